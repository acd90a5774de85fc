"""What the file of a checkpoint holds: the keys of its entries, and the reading of it."""

from pathlib import Path
from typing import Any

import torch

from restore_lightning.errors import UserError
from restore_lightning.io.files import near_path

SPEC = "network"
"""Key of a checkpoint under which the network's class and arguments are kept."""
ORDER = "order"
"""Key under which the recurrent order is kept that the network was fine-tuned in; None: in none."""
FACTORS = "factors"
"""Key under which the factors are kept that a network was trained on which is told none; else it says them itself."""
EARLIER_FACTOR = "factor"
"""Key under which earlier versions kept the one factor of such a network, as a text."""
ANY = "degradation"
"""The factor of a network that does not say what it removes; it stands for any."""
WEIGHTS = "network."
"""What the names of the network's tensors begin with in a checkpoint's state_dict."""
SETTINGS = "settings"
"""Key under which the settings of the task are kept that a resumed run compares; see `runs/resume.py`."""
DATA = "RestorationData"
"""Key under which Lightning keeps the state of the DataModule: the name of its class."""
KIND, AVERAGED, CURRENT = "weights", "averaged", "current"
"""Key that says which weights `state_dict` holds, and its values: the averages over steps, or those of the last one."""
PRECISION = "precision"
"""Key under which the precision is kept that the network was trained in, as Lightning calls it."""
EARLIER_PRECISION = "32-true"
"""That of checkpoints which do not say it: Lightning's default, which was ours."""
MULTIPLE = "size_multiple"
"""Key under which the size multiple is kept of a network that declares none."""
ABOUT = "about"
"""Key under which is kept what others say of weights: their licence, origin, training data, scores."""
STEP = "global_step"
"""Key under which Lightning keeps the optimiser steps that were done."""
LFS_POINTER = b"version https://git-lfs"
"""What a file begins with that Git LFS left in the place of another."""


def read_file(path: str | Path) -> Any:
    """What a file of torch holds; only tensors and plain values are read.

    Raises:
        UserError: No such file, or it cannot be read.
    """
    if not Path(path).is_file():
        missing = f"no such file{near_path(Path(path), kind=Path.is_file)}"
        raise UserError(f"checkpoint {path}: {'a folder, name a file' if Path(path).is_dir() else missing}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"checkpoint {path} {damage(Path(path))}", exit_code=1) from error


def damage(path: Path) -> str:
    """What may be wrong with a file that cannot be read as a checkpoint, for people."""
    if path.suffix in (".onnx", ".pt2"):
        return (
            "cannot be read: it is an exported network, restore apply takes .onnx and torch.export.load .pt2; name the"
            " checkpoint that it was exported from"
        )
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
    if not start:
        return "cannot be read: it is empty"
    if start == LFS_POINTER:
        return "cannot be read: it is Git LFS's pointer to the file; fetch the file by git lfs pull"
    return "cannot be read: no checkpoint, a damaged one, or one with more than tensors and plain values"
