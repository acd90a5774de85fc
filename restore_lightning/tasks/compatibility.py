"""Whether network and images fit each other."""

from torch import Tensor, nn

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.errors import UserError
from restore_lightning.networks import SizeRule


def size_of(images: Tensor) -> str:
    """Channels x height x width of (B, C, H, W), for messages."""
    return "x".join(map(str, images.shape[1:]))


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


def check_colour(network: nn.Module, data: str, plan: ResolvedFactor) -> None:
    """Refuse gray images for a network that reads colours.

    Raises:
        UserError: The data are gray, the network declares three channels.
    """
    channels = getattr(network, "image_channels", 1)
    if plan.colour != "rgb" and channels != 1:
        raise UserError(
            f"data.factors.{data}.colour is {plan.colour}, the network reads {channels} channels: give a network for"
            " gray images (model.network.image_channels 1), or colour rgb"
        )
