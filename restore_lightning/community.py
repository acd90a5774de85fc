"""Networks of the community: files whose architecture the package spandrel knows."""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from restore_lightning.checkpoint_files import (
    ANY,
    FACTORS,
    ORDER,
    SPEC,
    WEIGHTS,
    read_file,
)
from restore_lightning.errors import UserError, shortened_error, shortened_list
from restore_lightning.io.files import with_home
from restore_lightning.networks import NetworkInfo, SizeRule

INNER = "model."
"""What the names of its tensors begin with."""
OVER_THE_WHOLE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.InstanceNorm2d, nn.GroupNorm)
"""Layers by which every pixel depends on all others."""
ONE_BY_ONE = ("DRUNet", "DnCNN")
"""Architectures that spandrel calls with a map of noise for one image; it promises no more of any."""


class Spandrel(nn.Module):
    """A network of which spandrel knows the architecture and its sizes by the names and shapes of its tensors.

    It can be trained further. Its checkpoints need the package spandrel, but not the file.

    Args:
        file: Of its weights: .safetensors, or .pth, .pt and .ckpt of torch. Only tensors and plain values are read.

    Raises:
        UserError: The file or its network cannot be used, or could not be built again from a checkpoint.
    """

    read_off: ClassVar = ("file",)
    """Arguments that only say where the tensors came from."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.take(_tensors_of(Path(with_home(file))), file)
        self.check_rebuilt(file)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network that tensors are of, with them as its weights.

        Args:
            tensors: As `state_dict` names them, or as a file does behind `INNER`.

        Raises:
            UserError: As the class.
        """
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network.take({name.removeprefix(INNER): tensor for name, tensor in tensors.items()}, "the network")
        return network

    def take(self, tensors: Mapping[str, Any], name: str) -> None:
        """Become the network that tensors are of; `name` is what messages call it."""
        described = _described(tensors, name)
        self.model: nn.Module = described.model
        # Its own call takes no gradient; some networks take more than an image, or return several.
        self._call = described._call_fn
        self._square = described.size_requirements.square
        self._one_by_one = described.architecture.id in ONE_BY_ONE
        self.title = described.architecture.name
        sizes = described.size_requirements
        pooled = any(isinstance(module, OVER_THE_WHOLE) for module in self.model.modules())
        self.info = NetworkInfo(
            channels=described.input_channels,
            scale=described.scale,
            sizes=SizeRule(sizes.multiple_of, max(sizes.minimum, 1)),
            tiling="exact" if described.tiling.name == "SUPPORTED" and not pooled else "approximate",
            half_precision=described.supports_bfloat16,
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, C, scale * H, scale * W), not clamped."""
        height, width = image.shape[-2:]
        if self._square and height != width:
            side = max(height, width)
            reflected = min(side - width, width - 1), min(side - height, height - 1)
            image = functional.pad(image, (0, reflected[0], 0, reflected[1]), "reflect")
            image = functional.pad(image, (0, side - image.shape[-1], 0, side - image.shape[-2]), "replicate")
        if self._one_by_one and isinstance(image.shape[0], torch.SymInt):  # as exporting traces it
            raise UserError(
                f"{self.title} takes one image at a time by spandrel, an exported file takes batches: restore apply"
                " takes its own file",
                exit_code=1,
            )
        parts = torch.split(image, 1) if self._one_by_one else [image]
        result = torch.cat([self._call(self.model, part) for part in parts])
        scale = self.info.scale or 1
        return result[..., : scale * height, : scale * width]

    def check_rebuilt(self, name: str) -> None:
        """Refuse a network that its tensors alone do not tell: some files name them otherwise than their networks do.

        Args:
            name: What messages call it.

        Raises:
            UserError: A checkpoint or bundle of it could not be used.
        """
        with suppress(UserError):
            again = type(self).from_tensors(self.state_dict()).model
            settings = [str(getattr(one, "hyperparameters", None)) for one in (self.model, again)]
            if type(again) is type(self.model) and settings[0] == settings[1]:
                return
        raise UserError(
            f"{name}: its tensors alone do not tell this {self.title}, so that neither checkpoints nor bundles can keep"
            " it: use the file itself, by spandrel:FILE"
        )


def read_community(file: Path) -> dict[str, Any]:
    """A file as a checkpoint: what `spandrel:FILE` stands for.

    Raises:
        UserError: It cannot be read.
    """
    tensors = {f"{WEIGHTS}{INNER}{name}": tensor for name, tensor in _tensors_of(file).items()}
    spec = {"class_path": f"{Spandrel.__module__}.{Spandrel.__name__}", "init_args": {"file": str(file)}}
    return {SPEC: spec, FACTORS: [ANY], ORDER: [ANY], "state_dict": tensors}


def _tensors_of(file: Path) -> dict[str, Tensor]:
    """Name -> tensor of a file, out of what training scripts wrap them in."""
    spandrel = _spandrel(str(file))
    if file.suffix.lower() == ".safetensors":
        try:
            held: Any = load_file(file)
        except (SafetensorError, ValueError, TypeError, RuntimeError, KeyError, OSError) as error:
            raise UserError(f"{file} cannot be read as safetensors: {shortened_error(error)}", exit_code=1) from error
    else:
        held = read_file(file)
    if isinstance(held, Mapping) and SPEC in held:
        raise UserError(f"{file} is a checkpoint of restore fit or convert: name it without spandrel:")
    if isinstance(held, Mapping):
        held = spandrel.canonicalize_state_dict(held)
    items = held.items() if isinstance(held, Mapping) else ()
    tensors = {name: value for name, value in items if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{file} holds no tensors by name, as the weights of a network are kept", exit_code=1)
    return tensors


def _described(tensors: Mapping[str, Any], name: str) -> Any:
    """The descriptor of spandrel.

    Raises:
        UserError: It knows none, or it is none of an image alone with as many channels in as out.
    """
    spandrel = _spandrel(name)
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch, to those who write architectures
            described = spandrel.MAIN_REGISTRY.load(dict(tensors))
    except spandrel.UnsupportedModelError as error:
        raise UserError(
            f"{name}: spandrel {spandrel.__version__} knows no architecture with the tensors"
            f" {shortened_list(list(tensors), 3)}; the papers' networks become ours by restore convert"
        ) from error
    except Exception as error:  # of any kind, from the code of the architecture that was taken for it
        raise UserError(f"{name}: spandrel cannot load it: {shortened_error(error)}", exit_code=1) from error
    kind = described.architecture.name
    if not isinstance(described, spandrel.ImageModelDescriptor):
        raise UserError(f"{name}: {kind} takes a mask beside the image: give a network that restores whole images")
    channels = described.input_channels, described.output_channels
    if channels not in ((1, 1), (3, 3)):
        raise UserError(f"{name}: {kind} maps {channels[0]} channels to {channels[1]}: give one for RGB or gray images")
    return described


def _spandrel(name: str) -> Any:
    """The package.

    Raises:
        UserError: It is missing, or what it needs.
    """
    try:
        import spandrel
    except ModuleNotFoundError as error:
        raise UserError(f"{name}: {error.name} is not installed: pip install 'restore-lightning[spandrel]'") from error
    except Exception as error:  # torchvision raises RuntimeError where its compiled part does not fit
        raise UserError(
            f"{name}: spandrel cannot be imported: {shortened_error(error)}; it needs the torchvision that was"
            f" built for torch {torch.__version__}"
        ) from error
    return spandrel
