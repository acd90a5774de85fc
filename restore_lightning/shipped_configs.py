"""The shipped configs, and how a name on the command line becomes a file."""

from pathlib import Path

from restore_lightning.errors import UserError

PACKAGE = Path(__file__).parent
# In a wheel the configs travel inside the package; in a checkout they lie beside it.
FOLDER = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"


def shipped() -> list[str]:
    """Names of the shipped configs."""
    return sorted(path.name for path in FOLDER.glob("*.yaml"))


def find_config(name: str) -> Path:
    """A config by its path, else by its name among the shipped ones (".yaml" may be left out).

    Raises:
        UserError: Neither, or no text file.
    """
    path = Path(name).expanduser()
    if path.is_file():
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"--config {name} is no text file in UTF-8 ({error.reason}): name a YAML file") from error
        return path
    for candidate in (name, f"{name}.yaml"):
        if candidate in shipped():
            return FOLDER / candidate
    if path.is_dir():
        raise UserError(f"--config {name}: a folder; name a file, e.g. {path / 'config.yaml'} of a run")
    raise UserError(f"--config {name}: no such file, and no shipped config of this name ({', '.join(shipped())})")
