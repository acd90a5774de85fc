"""How a run computes, where its config leaves that to the machine."""

import logging
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator
from lightning.pytorch.plugins import Precision
from torch import nn

from restore_lightning.errors import UserError
from restore_lightning.hardware import allow_tf32, computes_bfloat16
from restore_lightning.networks import network_info

log = logging.getLogger(__name__)


def check_accelerator(accelerator: Any) -> None:
    """Refuse a kind of device that this machine has none of; Lightning's own line does not say what to do.

    Args:
        accelerator: `trainer.accelerator`.

    Raises:
        UserError: It is such a kind.
    """
    kinds: dict[str, tuple[Any, ...]] = {
        "gpu": (CUDAAccelerator, MPSAccelerator),
        "cuda": (CUDAAccelerator,),
        "mps": (MPSAccelerator,),
        "tpu": (XLAAccelerator,),
    }
    wanted = kinds.get(str(accelerator))
    if wanted and not any(kind.is_available() for kind in wanted):
        raise UserError(
            f"trainer.accelerator {accelerator}: torch finds none on this machine; give --trainer.accelerator cpu, or"
            " auto, which takes what there is"
        )


def chosen_precision(trainer: Mapping[str, Any], network: nn.Module, trained: str | None = None) -> Any:
    """What the config says; else what the run's checkpoint was trained in; else what device and network do well.

    That is bf16-mixed where both compute well in bfloat16, and 32-true elsewhere.

    Args:
        trainer: The config's arguments of the Trainer; a plugin of the user's decides by itself.
        network: The network that is trained or scored.
        trained: What its checkpoint was trained in; None: there is none.

    Raises:
        UserError: It says 16-true.
    """
    if trainer["precision"] == "16-true":
        raise UserError(
            "trainer.precision 16-true: float16 has no room for the steps of an optimiser; give bf16-mixed or 16-mixed"
        )
    plugins = trainer["plugins"] if isinstance(trainer["plugins"], list) else [trainer["plugins"]]
    if trainer["precision"] is not None or any(isinstance(plugin, Precision) for plugin in plugins):
        return trainer["precision"]
    if trained is not None:
        return trained
    device = _device_kind(trainer["accelerator"])
    if not (device in ("cpu", "cuda") and computes_bfloat16(device) and network_info(network).half_precision):
        return "32-true"
    log.info("precision: bf16-mixed, which this machine computes fast; --trainer.precision 32-true: in float32")
    return "bf16-mixed"


def chosen_benchmark(trainer: Mapping[str, Any]) -> bool | None:
    """What the config says; else whether cuDNN tries its ways to convolve once for each size of training crops.

    Not where the run is to be deterministic.
    """
    chosen: bool | None = trainer["benchmark"]
    unsaid = chosen is None and not trainer["deterministic"]
    return True if unsaid and _device_kind(trainer["accelerator"]) == "cuda" else chosen


def use_tensor_cores(trainer: Mapping[str, Any]) -> None:
    """Let CUDA devices multiply float32 matrices in TF32, as torch lets them convolve; neither if `deterministic`."""
    if _device_kind(trainer["accelerator"]) == "cuda":
        allow_tf32("cuda", not trainer["deterministic"])


def _device_kind(accelerator: Any) -> str:
    """The kind of device that `trainer.accelerator` stands for, chosen as Lightning does."""
    kinds: dict[str, Any] = {"tpu": XLAAccelerator, "mps": MPSAccelerator, "cuda": CUDAAccelerator}
    if accelerator == "gpu":
        del kinds["tpu"]
    elif accelerator != "auto":
        return str(accelerator)
    return next((name for name, kind in kinds.items() if kind.is_available()), "cpu")
