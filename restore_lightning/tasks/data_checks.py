"""Whether network and data fit each other, checked before training."""

from collections.abc import Sequence

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.errors import UserError
from restore_lightning.networks import NetworkInfo, SizeRule


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


def check_images(network: NetworkInfo, data: str, resolved: ResolvedFactor) -> None:
    """Refuse images of other channels, or another scale, than the network declares.

    Args:
        network: What it declares.
        data: Name of the images' data.
        resolved: How they are made.

    Raises:
        UserError: The images are gray and the network reads colours, or they are made smaller by another number than
            the network enlarges them by.
    """
    if resolved.colour != "rgb" and network.channels == 3:
        raise UserError(
            f"data.factors.{data}.colour is {resolved.colour}, the network reads 3 channels: give a network for"
            " gray images (model.network.image_channels 1), or colour rgb"
        )
    if resolved.degradation is not None and network.scale not in (None, resolved.degradation.scale):
        raise UserError(
            f"the network makes images {network.scale} times larger, they are made {resolved.degradation.scale} times"
            f" smaller: give data.factors.{data}.degradation.scale the network's, or another network (DIN's scale can"
            " be chosen: model.network.scale)"
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
