"""Pictures of what a network computes inside: sums of feature maps over channels (paper 1, fig. 12 and supplement)."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from restore_lightning.errors import UserError
from restore_lightning.io.images import enlarged, to_uint8, write_image
from restore_lightning.networks import network_info


def normalised(features: Tensor) -> Tensor:
    """The sum over channels of (1, C, H, W), stretched to [0, 1]: (1, 1, H, W)."""
    total = features.float().sum(dim=1, keepdim=True)
    low, high = total.min(), total.max()
    return (total - low) / (high - low).clamp_min(1e-12)


class ActivationMaps(Callback):
    """At test, `<run>/pictures/maps-<set>-<image>.png`: degraded | the sum of each layer's channels | restored.

    Args:
        layers: Title -> name of a module whose output is shown (the first one, where it returns several); None: what
            the network suggests by its `info.layers`, e.g. the blocks of a DuRN that the paper shows.
        images: Pictures per test set.
    """

    def __init__(self, layers: dict[str, str] | None = None, images: int = 4) -> None:
        self.layers = layers
        self.images = images
        self._handles: list[RemovableHandle] = []
        self._order: list[str] = []
        self._seen: dict[str, Tensor] = {}
        self._written: dict[str, int] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the layers.

        Raises:
            UserError: The network has no such module, or suggests none; or it sees tiles.
        """
        network: Any = pl_module.network
        if pl_module.inference.tile is not None:
            raise UserError("ActivationMaps shows maps of whole images: leave out model.inference.tile")
        layers = self.layers if self.layers is not None else network_info(network).layers
        if not layers:
            raise UserError(
                f"ActivationMaps: {type(network).__name__} suggests no layers: give layers, title: name of a module"
            )
        modules = dict(network.named_modules())
        for title, name in layers.items():
            if name not in modules:
                raise UserError(
                    f"ActivationMaps.layers {title!r}: the network has no module {name!r}; it has"
                    f" {', '.join(child for child, _ in network.named_children())} and what is in them"
                )
            self._handles.append(modules[name].register_forward_hook(self._keep(title)))
        self._order, self._written = list(layers), {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Write one picture."""
        seen, self._seen = self._seen, {}
        name, written = batch["set"], self._written.get(batch["set"], 0)
        if written >= self.images or not trainer.is_global_zero:
            return
        self._written[name] = written + 1
        restored: Tensor = outputs["steps"][-1].image
        height, width = restored.shape[-2:]
        unused = [title for title in self._order if title not in seen]
        if unused:
            raise UserError(f"ActivationMaps.layers {unused[0]!r}: the network does not use this module")
        padded = _padded_like(pl_module.network, batch, restored)
        maps = [enlarged(normalised(seen[title]), padded)[..., :height, :width] for title in self._order]
        images = (enlarged(batch["degraded"], restored), *maps, restored)
        columns = [image.expand(-1, 3, -1, -1) for image in images]
        image = f"maps-{name}-{batch['name']}".replace("/", "-")
        write_image(
            to_uint8(torch.cat(columns, dim=3)[0]).cpu(), Path(trainer.default_root_dir, "pictures", f"{image}.png")
        )

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no more, and say what the pictures show."""
        self._listen_no_more()
        if trainer.is_global_zero:
            columns = " | ".join(["degraded", *self._order, "restored"])
            print(f"activation maps: {Path(trainer.default_root_dir, 'pictures')}/maps-*.png: {columns}", flush=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the network as it was."""
        self._listen_no_more()

    def _listen_no_more(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _keep(self, title: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            # An image may pass several times (self-ensemble, gray networks on colours): the first is shown.
            self._seen.setdefault(title, (output if isinstance(output, Tensor) else output[0])[:1].detach())

        return hook


def _padded_like(network: Any, batch: dict[str, Any], restored: Tensor) -> Tensor:
    """A tensor of the size that a restored image has before the padding is cut off."""
    rule = network_info(network).size_rule(batch["factors"][-1])
    sides = batch["degraded"].shape[-2:]
    scale = restored.shape[-1] // sides[1]
    return restored.new_empty(1, 1, *(scale * rule.padded(side) for side in sides))
