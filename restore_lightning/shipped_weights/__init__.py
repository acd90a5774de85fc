"""Networks that travel with the package: each folder here is a bundle of `restore bundle`, its name the network's."""

from importlib.resources import files
from pathlib import Path

FOLDER = Path(str(files(__name__)))
"""Where they lie."""


def shipped_networks() -> dict[str, Path]:
    """Name -> the bundle's folder."""
    return {path.name: path for path in sorted(FOLDER.iterdir()) if (path / "config.json").is_file()}
