"""Checkpoints that are exported, and files of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import nn

import restore_lightning.networks

DRN = ("DRN", {"T": 1, "R": 1, "width": 4})
ODD = """
import torch
from torch import nn
from restore_lightning.networks import SizeRule

class Undecided(nn.Module):
    def forward(self, image):
        return image * 0.5 if image.mean() > 0.5 else image

class Wordless(nn.Module):
    def forward(self, image):
        return torch.special.bessel_j0(image)

class TwoFaced(nn.Module):
    def forward(self, image):
        return image * (0.5 if torch.compiler.is_compiling() else 1)

class Sharper(nn.Module):
    size_rule = SizeRule(4, 8)

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, image):
        assert image.shape[-1] % 4 == 0 and image.shape[-2] % 4 == 0
        return image + self.gain * (image - torch.cat([image[..., :1], image[..., :-1]], -1))
"""


def checkpoint(path: Path, name: str, arguments: dict, order: list[str] | None = None, factor: str = "rain") -> Path:
    """Weights of which none are zero, as `restore fit` saves them."""
    torch.manual_seed(0)
    network = getattr(restore_lightning.networks, name)(**arguments)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    spec = {"class_path": f"restore_lightning.networks.{name}", "init_args": arguments}
    torch.save({"network": spec, "order": order, "factor": factor, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def drn(tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("drn") / "drn.ckpt", *DRN)


@pytest.fixture(scope="module")
def drn_onnx(drn) -> Path:
    from restore_lightning.cli import main

    assert main(["export", str(drn), str(drn.with_suffix(".onnx"))]) == 0
    return drn.with_suffix(".onnx")


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    Image.fromarray(data.chelsea()[100:163, 100:187]).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def odd_checkpoint(folder: Path, name: str, factor: str = "rain", **tensors) -> Path:
    spec = {"class_path": f"odd_networks.{name}", "init_args": {}}
    state = {f"network.{key}": tensor for key, tensor in tensors.items()}
    torch.save({"network": spec, "order": None, "factor": factor, "state_dict": state}, folder / "odd.ckpt")
    return folder / "odd.ckpt"


@pytest.fixture(scope="module")
def odd_networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd_networks.py").write_text(ODD)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(scope="module")
def sharper(odd_networks) -> Path:
    """Weights of a network whose results leave [0, 1], and which takes multiples of 4."""
    return odd_checkpoint(odd_networks, "Sharper", gain=torch.tensor(3.0))


@pytest.fixture(scope="module")
def sharper_onnx(sharper) -> Path:
    """Its file, for multiples of 4 only, and not compared with it."""
    from restore_lightning.cli import main

    out = sharper.with_name("sharper.onnx")
    assert main(["export", str(sharper), str(out), "--no-padding", "--no-verify"]) == 0
    return out
