"""Restormer (Zamir et al., "Efficient Transformer for High-Resolution Image Restoration", CVPR 2022)."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from restore_lightning.networks.info import NetworkInfo, SizeRule
from restore_lightning.networks.transformer import LayerNorm, TransformerBlock, TransformerUNet


class Restormer(nn.Module):
    """A U of transformer blocks that attend across channels.

    Its defaults are the released network for motion deblurring, deraining and single-image defocus deblurring
    (26,126,644 parameters); those for denoising are "BiasFree" (26,111,668, gray 26,109,076).

    Args:
        width: Channels at full resolution, even.
        blocks: Numbers of blocks of the four levels, finest first.
        refinement: Blocks after the decoder.
        heads: Of the attention on the four levels.
        expansion: Of the feed-forward networks.
        bias: Of the convolutions; the first one, down- and up-sampling have none.
        layer_norm: "WithBias", or "BiasFree" without mean and bias.
        image_channels: 3, or 1 for gray images.
        dual_pixel: Reads the left and the right image of a dual-pixel sensor, and has no global skip
            (26,132,548 parameters).

    Raises:
        ValueError: Numbers out of range, or not one for each level.
    """

    def __init__(
        self,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        bias: bool = False,
        layer_norm: LayerNorm = "WithBias",
        image_channels: int = 3,
        dual_pixel: bool = False,
    ) -> None:
        super().__init__()
        if type(image_channels) is not int or image_channels < 1:
            raise ValueError(f"image_channels={image_channels!r}: a whole number, at least 1")
        inputs = 2 * image_channels if dual_pixel else image_channels
        self.info = NetworkInfo(channels=inputs, scale=1, sizes=SizeRule(8, 8), channels_last=True)
        block = partial(TransformerBlock, expansion=expansion, bias=bias, layer_norm=layer_norm)
        self.unet = TransformerUNet(width, blocks, refinement, heads, block, bias)
        self.embed = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(width, 2 * width, 1, bias=bias) if dual_pixel else None
        self.output = nn.Conv2d(2 * width, image_channels, 3, padding=1, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """Restore.

        Args:
            image: (B, image_channels, H, W) in [0, 1], sides as in `info.sizes`; of dual pixels (B, 6, H, W), the
                left image first.

        Returns:
            (B, image_channels, H, W), of dual pixels (B, 3, H, W); not clamped.

        Raises:
            ValueError: Another number of channels.
        """
        if image.shape[1] != self.info.channels:
            raise ValueError(f"images of {image.shape[1]} channels: this Restormer reads {self.info.channels}")
        features = self.embed(image)
        x = self.unet(features)
        return self.output(x) + image if self.skip is None else self.output(x + self.skip(features))
