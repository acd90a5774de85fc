"""WEIGHTS on a command line, in a config or in Python -> the file or folder that holds them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from restore_lightning.errors import UserError, did_you_mean, shortened_list
from restore_lightning.io.files import near_path, with_home
from restore_lightning.shipped_weights import shipped_networks
from restore_lightning.weights.bundle import is_bundle, read_config
from restore_lightning.weights.hub import HUB, fetch

KINDS = "a checkpoint, a bundle's folder, the name of a shipped network, hub:owner/name[@revision], or spandrel:FILE"
"""What WEIGHTS may be, for help."""
SPANDREL = "spandrel:"
"""What names begin with of files that the package spandrel reads."""


class Weights(NamedTuple):
    """Weights that have been found.

    Args:
        name: What names exactly these: as given, on the hub with the commit.
        place: A checkpoint's file, or a bundle's folder.
    """

    name: str
    place: Path

    @property
    def from_hub(self) -> bool:
        """Whether others wrote them, unseen."""
        return self.name.startswith(HUB)

    @property
    def from_community(self) -> bool:
        """Whether spandrel knows what they are of."""
        return self.name.startswith(SPANDREL)


def find_weights(weights: str | Path, what: str = "checkpoint", words: Sequence[str] = (), advice: str = "") -> Weights:
    """Where weights are; those on the hub are fetched, unless they are cached.

    Args:
        weights: A checkpoint's file, a bundle's folder, the name of a shipped network, `hub:owner/name[@revision]`,
            `spandrel:FILE`.
        what: The flag or key that named them, for messages.
        words: What else that flag or key takes, for messages.
        advice: What to do where there is no such file, for the message.

    Raises:
        UserError: There are none, or a folder is no bundle.
    """
    given = with_home(str(weights))
    try:
        if given.startswith(HUB):
            return Weights(*fetch(given))
        if given.startswith(SPANDREL):
            return Weights(given, _community_file(given))
        path, shipped = Path(given), shipped_networks()
        if path.is_file() or is_bundle(path):
            return Weights(given, path)
        if given in shipped:
            return Weights(given, shipped[given])
        if path.is_dir():
            read_config(path)  # says what is missing
        last = path.with_name("last.ckpt")
        if path.name == "best.ckpt" and last.is_file():
            raise UserError(f"{given}: no such file; the run was not validated yet, {last} is where it stands")
        missing = "no network is shipped by name"
        if shipped:
            missing = f"no shipped network of this name (there are {shortened_list(list(shipped), 20)})"
        near = (did_you_mean(given, words) if not path.suffix else "") or near_path(path, shipped)
        raise UserError(f"{given}: no such file or folder, and {missing}{advice}{near}")
    except UserError as error:
        raise UserError(f"{what} {error}", error.exit_code) from error


def _community_file(given: str) -> Path:
    path = Path(with_home(given.removeprefix(SPANDREL)))
    if not path.is_file():
        missing = f"no such file{near_path(path, kind=Path.is_file)}"
        raise UserError(f"{given}: {'a folder, name a file in it' if path.is_dir() else missing}")
    return path
