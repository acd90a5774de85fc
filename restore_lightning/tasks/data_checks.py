"""Whether network, initial weights and data fit each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from restore_lightning.checkpoints import Trained, architecture_difference, load_trained, shapes, state_dict_mismatch
from restore_lightning.data.config import ResolvedFactor
from restore_lightning.errors import UserError
from restore_lightning.networks import NetworkInfo, SizeRule


def size_of(images: Tensor) -> str:
    """Channels x height x width of (B, C, H, W), for messages."""
    return "x".join(map(str, images.shape[1:]))


def check_factor(network: NetworkInfo, factor: str) -> None:
    """Refuse data of a factor that the network lacks.

    Raises:
        UserError: It does.
    """
    if factor not in network.factors:
        raise UserError(
            f"data.factors names {factor!r}, the network's hierarchy [{', '.join(network.factors)}] misses it:"
            " add it to the hierarchy or remove its data"
        )


def check_passes(passes: Sequence[str], data: str, factors: Sequence[str]) -> None:
    """Refuse data of a factor that no pass removes.

    Args:
        passes: What the passes remove.
        data: Name of the data.
        factors: All that degrades them.

    Raises:
        UserError: There is one.
    """
    left_out = [factor for factor in factors if factor not in passes]
    if left_out:
        raise UserError(f"data.factors.{data} has {left_out[0]}, which model.skip leaves out: remove its data")


def check_images(network: NetworkInfo, data: str, plan: ResolvedFactor) -> None:
    """Refuse images of other channels, or another scale, than the network declares.

    Args:
        network: What it declares.
        data: Name of the images' data.
        plan: How they are made.

    Raises:
        UserError: The images are gray and the network reads colours, or they are made smaller by another number than
            the network enlarges them by.
    """
    if plan.colour != "rgb" and network.channels == 3:
        raise UserError(
            f"data.factors.{data}.colour is {plan.colour}, the network reads 3 channels: give a network for"
            " gray images (model.network.image_channels 1), or colour rgb"
        )
    if plan.degradation is not None and network.scale not in (None, plan.degradation.scale):
        raise UserError(
            f"the network makes images {network.scale} times larger, they are made {plan.degradation.scale} times"
            f" smaller: give model.network.scale (of DIN) and data.factors.{data}.degradation.scale one value"
        )


def check_crop(rule: SizeRule, smallest: int, data: str, crop: int, through: str = "") -> None:
    """Refuse crops that a network or its loss cannot take.

    Args:
        rule: What the network accepts.
        smallest: Pixels per side that the loss needs.
        data: Name of the crops' data.
        crop: Their side in pixels.
        through: In which part of the network, for the message.

    Raises:
        UserError: The network accepts other sizes only.
    """
    usable = rule.padded(max(crop, smallest))
    if usable != crop:
        raise UserError(
            f"crop_size {crop} of factor {data!r}: the network{through} takes multiples of {rule.multiple} from"
            f" {max(rule.minimum, smallest)} on; the next is {usable}"
        )


def read_initial_checkpoint(init_from: str, network: nn.Module, spec: dict[str, Any] | None) -> Trained:
    """The checkpoint that a task's training starts from.

    Args:
        init_from: The task's argument.
        network: The task's, of which it must be.
        spec: Its class and arguments; None: not known.

    Raises:
        UserError: It cannot be read, or its network is another one.
    """
    path = Path(init_from).expanduser()
    if not path.is_file():
        raise UserError(
            f"model.init_from {path}: no such file; run step 1 first, or name the checkpoint of another run"
        )
    trained = load_trained(path)
    problem = spec and architecture_difference(spec, trained.spec)
    problem = problem or state_dict_mismatch(shapes(network), trained.network.state_dict(), most=3)
    if problem:
        raise UserError(
            f"model.init_from {path} is of another network than the config's: {problem};"
            " give model.network the settings of the config.yaml beside its checkpoints"
        )
    return trained
