"""The shipped configs, and how a name on the command line becomes a file."""

import logging
from pathlib import Path

from restore_lightning.errors import UserError
from restore_lightning.io.files import near_path

log = logging.getLogger(__name__)

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
    missing = "no such file"
    if path.parent == Path():
        missing += f", and no shipped config of this name ({', '.join(shipped())})"
    raise UserError(f"--config {name}: {missing}{near_path(path, shipped(), Path.is_file)}")


def with_found_configs(words: list[str]) -> list[str]:
    """The command line with every --config replaced by the file it stands for.

    Raises:
        UserError: As `find_config`; or there is no name.
    """
    found = list(words)
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag not in ("--config", "-c"):
            continue
        place = i if equals else i + 1
        if place >= len(words):
            raise UserError("--config: name a file or a shipped config")
        path = find_config(value if equals else words[place])
        log.info("config: %s", path)
        found[place] = f"{flag}={path}" if equals else str(path)
    return found
