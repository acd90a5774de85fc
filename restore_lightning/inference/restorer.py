"""Restoring images of any size with trained networks."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from restore_lightning.checkpoint_files import ANY
from restore_lightning.checkpoints import load_trained
from restore_lightning.errors import UserError
from restore_lightning.hardware import computes_bfloat16
from restore_lightning.inference.batches import batch_size
from restore_lightning.inference.padding import pad_by_reflection
from restore_lightning.inference.self_ensemble import self_ensemble
from restore_lightning.inference.settings import DEFAULT, InferenceSettings
from restore_lightning.inference.tiles import tile_layout, tiled
from restore_lightning.io.images import to_float
from restore_lightning.networks import network_info, to_channels_last
from restore_lightning.networks.statistics import global_statistics, local_statistics


class RestorationStep(NamedTuple):
    """What one pass of a network makes of images.

    Args:
        factor: What it removes.
        image: (B, C, H, W) after it, in [0, 1].
    """

    factor: str
    image: Tensor


@dataclass(frozen=True, eq=False)
class Restorer:
    """Trained networks and the way they are used.

    Args:
        networks: Factor -> the network that removes it; one that removes several stands under each of them, or, where
            it removes them in one pass, under all their names together ("noise, rain").
        order: The order in which factors are removed from any image; None: the image's own factors are told, and the
            one that was applied last is removed first.
        settings: Whole images or tiles, local statistics, self-ensemble; in each pass.

    Raises:
        ValueError: An order with a factor that no network removes, tiles that are too small for a network or do not
            move on, or local statistics where no network takes any over whole images.
    """

    networks: Mapping[str, nn.Module]
    order: Sequence[str] | None = None
    settings: InferenceSettings = DEFAULT

    def __post_init__(self) -> None:
        """Refuse what a network cannot be used with, before it is."""
        tile, overlap = self.settings.tile, self.settings.overlap or 0
        used = self._used()
        if tile is not None:
            for factor, network in used.items():
                tile_layout(network_info(network).size_rule(factor), tile, overlap)
        if self.settings.local_statistics is not None and not any(map(global_statistics, used.values())):
            raise ValueError("local_statistics: the network takes no statistics over whole images, leave it out")

    @classmethod
    def told_nothing(cls, network: nn.Module, factors: Sequence[str], settings: InferenceSettings = DEFAULT) -> Self:
        """A network without branches: one pass by it, whatever an image's factors are.

        Args:
            network: The network.
            factors: That it was trained on; its one pass is called by all of them.
            settings: Of the pass.
        """
        name = ", ".join(factors)
        return cls({name: network}, [name], settings)

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | Mapping[str, str | Path]) -> Self:
        """Networks as they were trained to be used, in eval mode on the CPU.

        Args:
            checkpoint: Written by `restore fit` or `convert`, or other weights that `find_weights` finds; or factor ->
                checkpoint, for dedicated networks.

        Raises:
            UserError: A checkpoint that cannot be read.
            ValueError: No checkpoint, or one under a factor that its network does not remove.
        """
        if not isinstance(checkpoint, Mapping):
            trained = load_trained(checkpoint)
            if len(trained.factors) > 1:
                return cls.told_nothing(trained.network, trained.factors)
            return cls(trained.networks, trained.order)
        if not checkpoint:
            raise ValueError("no checkpoint is named: give FACTOR: CHECKPOINT for each factor")
        networks = {}
        for factor, path in checkpoint.items():
            found = load_trained(path).networks
            if ANY in found:
                found = {factor: found[ANY]}
            if factor not in found:
                raise ValueError(f"{path} is named for {factor!r}, its network has {', '.join(found)}")
            networks[factor] = found[factor]
        return cls(networks)

    @property
    def factors(self) -> list[str]:
        """All that it can remove."""
        return list(self.networks)

    def to(self, device: torch.device | str) -> Self:
        """Move the networks; those that take images channels-last get their weights so too."""
        for network in dict.fromkeys(self.networks.values()):
            if network_info(network).channels_last:
                to_channels_last(network)
            network.to(device)
        return self

    def precision(self, device: torch.device | str) -> torch.dtype:
        """bfloat16 where the device computes faster in it and all networks that are used compute well; else float32."""
        safe = all(network_info(network).half_precision for network in self._used().values())
        return torch.bfloat16 if safe and computes_bfloat16(device) else torch.float32

    def restore_steps(self, image: Tensor, factors: Sequence[str]) -> list[RestorationStep]:
        """Restore, pass by pass; each restores the clamped result of the one before.

        Args:
            image: (B, C, H, W) in [0, 1], or uint8 or uint16, any size. In tiles it need not be on the device of the
                networks, which get tile by tile: the results are where it is.
            factors: What degrades it, in the order of application; not looked at where there is an order.

        Returns:
            What each pass removes and the image after it, clamped to [0, 1]; the last one is the result.
        """
        return list(self._steps(image, factors))

    def restore(self, image: Tensor, factors: Sequence[str]) -> Tensor:
        """The result of `restore_steps`: (B, C, H, W), clamped to [0, 1]; the others are not kept."""
        return deque(self._steps(image, factors), maxlen=1).pop().image

    def _steps(self, image: Tensor, factors: Sequence[str]) -> Iterator[RestorationStep]:
        for factor in reversed(factors) if self.order is None else self.order:
            image = restore(self._network(factor), image, factor, self.settings)
            yield RestorationStep(factor, image)

    def _used(self) -> dict[str, nn.Module]:
        """Factor -> its network, of those that are removed."""
        return {factor: self._network(factor) for factor in (self.factors if self.order is None else self.order)}

    def _network(self, factor: str) -> nn.Module:
        if factor not in self.networks:
            raise ValueError(f"unknown factor {factor!r}: there are networks for {', '.join(self.networks)}")
        return self.networks[factor]


def restore_in_order(
    network: nn.Module, image: Tensor, order: Sequence[str], settings: InferenceSettings = DEFAULT
) -> list[Tensor]:
    """Remove one factor after the other by a multi-branch network (paper 2, section 4.2).

    Args:
        network: `(image, factor) -> outputs`.
        image: (B, 3, H, W) in [0, 1], any size.
        order: The factors, in the order in which they are removed.
        settings: In each pass.

    Returns:
        The image after each pass, (B, 3, H, W) in [0, 1]; the last one is the result.
    """
    restorer = Restorer(dict.fromkeys(order, network), order, settings)
    return [step.image for step in restorer.restore_steps(image, ())]


def network_outputs(network: nn.Module, image: Tensor, factor: str | None = None) -> list[Tensor]:
    """All that a network makes of images, the result last: the one place that knows how networks are called.

    Args:
        network: See `NetworkInfo`. One that is told nothing is called `stages(image)` where its class has this
            method, else `network(image)`; either gives an image or several.
        image: (B, C, H, W) in [0, 1], of a size that it accepts.
        factor: One of its factors, if it is told.

    Returns:
        Images (B, C, H, W), not clamped; the result is larger for super-resolution.

    Raises:
        UserError: It returns something else.
    """
    info = network_info(network)
    image = image.contiguous(memory_format=torch.channels_last if info.channels_last else torch.contiguous_format)
    if info.factors:
        outputs: list[Tensor] = network(image, factor)
        return outputs
    if info.channels == 1 and image.shape[1] == 3:
        channels = network_outputs(network, image.flatten(0, 1)[:, None])
        return [y.reshape(*image.shape[:2], *y.shape[2:]) for y in channels]
    swapped = info.colour == "bgr"
    # Of the class: a ModuleList called `stages` is something else.
    call: Any = network.stages if callable(getattr(type(network), "stages", None)) else network
    result = call(image.flip(1) if swapped else image)
    images = [result] if isinstance(result, Tensor) else list(result)
    if not images or not all(isinstance(y, Tensor) for y in images):
        raise UserError(
            f"{type(network).__name__} returns {type(result).__name__}: it must return an image, or a list of images"
        )
    return [y.flip(1) for y in images] if swapped else images


def restore(
    network: nn.Module, image: Tensor, factor: str | None = None, settings: InferenceSettings = DEFAULT
) -> Tensor:
    """Restore images of any size by one pass of a network.

    Args:
        network: See `network_outputs`; its `NetworkInfo` says which sizes it accepts.
        image: (B, C, H, W) in [0, 1], or uint8 or uint16, which become that part by part.
        factor: One of the network's factors, if it is told.
        settings: In tiles, with local statistics, as a self-ensemble; all of them combine.

    Returns:
        (B, C, H, W), clamped to [0, 1]; larger for super-resolution.

    Raises:
        ValueError: As `Restorer`.
    """

    def restored(image: Tensor) -> Tensor:
        return _restored(network, image, factor, settings)

    result = self_ensemble(restored, to_float(image)) if settings.self_ensemble else restored(image)
    if settings.tile is None or result.requires_grad:
        return result.clamp(0, 1)
    return result.clamp_(0, 1)  # it was made of tiles here, and may be all that memory holds


def _restored(network: nn.Module, image: Tensor, factor: str | None, settings: InferenceSettings) -> Tensor:
    # Its device may be another, and its type: trained with --trainer.precision bf16-true or 64-true.
    parameter = next((p for p in network.parameters() if p.is_floating_point()), image)
    kind = image.dtype if image.is_floating_point() else torch.float32
    computed = parameter.dtype if parameter.is_floating_point() else kind

    def result_of(image: Tensor) -> Tensor:
        there = to_float(image.to(parameter.device, non_blocking=True), kind).to(computed)
        crop = settings.local_statistics
        with nullcontext() if crop is None else local_statistics(network, crop, image.shape[-2:]):
            return network_outputs(network, there, factor)[-1].to(kind)

    rule = network_info(network).size_rule(factor)
    height, width = image.shape[-2:]
    padded = pad_by_reflection(image, rule.padded(height), rule.padded(width))
    if settings.tile is None:
        result = result_of(padded).to(image.device)
    else:
        side, step = tile_layout(rule, settings.tile, settings.overlap or 0)
        at_once = max(1, batch_size(parameter.device, side, side) // len(image))
        result = tiled(result_of, padded, side, step, at_once)
    scale = result.shape[-2] // padded.shape[-2]
    return result[..., : scale * height, : scale * width]
