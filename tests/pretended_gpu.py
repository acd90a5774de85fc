"""A pretended GPU, as strict as the real ones, for machines without any: what is refused there is refused here.

    python -m tests.pretended_gpu [--without-float64] fit --config tiny.yaml ... [then test ... then apply ...]

runs commands of `restore` one after the other with the device "pretended" (`--trainer.accelerator pretended
--trainer.strategy pretended`, or `apply --device pretended`), and prints last, in one line, a JSON list with each one's
{"code", "operations", "waits": {part: {line: number}}}. It is a process of its own since torch knows one such device.

A tensor there holds a CPU tensor and computes with it, so that the numbers are those of the CPU. Refused are:
operations on tensors of both devices, NumPy's view, forked processes, files that are read without being mapped to a
device that is there; under `use_deterministic_algorithms` what that function's documentation says CUDA refuses;
`--without-float64` that type, as Apple's GPUs do. Counted is where the host waits for the device, as
`torch.cuda.set_sync_debug_mode` sees it. Autocast follows CUDA's lists. There is one device, and neither streams nor
memory nor speed are like a GPU's.
"""

import json
import os
import sys
from collections import Counter, defaultdict
from contextlib import nullcontext
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry, CPUAccelerator
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import SingleDeviceStrategy, StrategyRegistry
from lightning.pytorch.trainer.connectors import accelerator_connector
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from restore_lightning.cli import main

NAME = "pretended"
PROCESS = os.getpid()
OPERATIONS: Counter[str] = Counter()
WAITS: defaultdict[str, Counter[str]] = defaultdict(Counter)
REFUSED_TYPES: set[torch.dtype] = set()
REFUSALS: list[str] = []
PARTS = {  # of a run, by Lightning's functions; what they call counts for the innermost of them
    "_TrainingEpochLoop.advance": "training step",
    "_TrainingEpochLoop.on_advance_end": "training step",
    "_EvaluationLoop.run": "evaluation",
    "_PredictionLoop.run": "evaluation",
    "Trainer.save_checkpoint": "checkpoint",
}
# The documentation of torch.use_deterministic_algorithms (2.13), as far as 2D images go; reflection padding: see below.
NOT_DETERMINISTIC = {
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("reflection_pad1d_backward", "reflection_pad3d_backward"),
    *("_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "fractional_max_pool2d_backward"),
    *("max_unpool2d", "nll_loss_forward", "nll_loss2d_forward", "_ctc_loss_backward", "grid_sampler_2d_backward"),
    *("put_", "histc", "bincount"),
}
WAITING = {
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "bincount", "repeat_interleave"),
    *("_unique2", "unique_dim", "unique_consecutive"),
}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}


def waited(what: str) -> None:
    """Count a wait, by the part of the run and by the line of this package, and of a library that it called."""
    part, lines, named, frame = "elsewhere", [], False, sys._getframe(1)
    while frame is not None and part == "elsewhere":
        code = frame.f_code
        part = PARTS.get(code.co_qualname, part)
        library, _, path = code.co_filename.rpartition("/site-packages/")
        ours = not library and "/restore_lightning/" in path
        if (ours or (library and not lines and not path.startswith("torch/"))) and not named:
            lines.append(f"{path.rpartition('/restore_lightning/')[2]}:{frame.f_lineno}")
            named = ours
        frame = frame.f_back
    WAITS[part][f"{what}: {' in '.join(lines)}"] += 1


def refuse(message: str) -> None:
    """Raise; within a backward pass, where torch cannot take it, the command fails at its end."""
    if torch._C._current_graph_task_id() == -1:
        raise RuntimeError(message)
    REFUSALS.append(message)


class PretendedTensor(torch.Tensor):
    """A tensor on the device; the CPU tensor `held` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "PretendedTensor":
        if os.getpid() != PROCESS:
            refuse("Cannot re-initialize the pretended device in a forked process")
        if held.dtype in REFUSED_TYPES:
            refuse(f"the pretended device has no {held.dtype}")
        strides = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        with torch.inference_mode(held.is_inference()):
            made = torch.Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, device=f"{NAME}:0", **strides)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        decomposed = func.decompose(*args, **kwargs)  # in inference mode nobody else has done it
        if decomposed is not NotImplemented:
            return decomposed
        name = func._schema.name.removeprefix("aten::")
        if name == "_has_compatible_shallow_copy_type":
            return False
        OPERATIONS[name] += 1
        tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, torch.Tensor)]
        check(func, name, args, kwargs, tensors)
        known = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, cls)}
        stays = torch.device(kwargs.get("device") or NAME).type == NAME
        if stays and "device" in kwargs:
            kwargs = kwargs | {"device": "cpu"}
        held = tree_map(lambda value: value.held if isinstance(value, cls) else value, (args, kwargs))
        results = func(*held[0], **held[1])
        for tensor in known.values():
            if (tensor.shape, tensor.stride()) != (tensor.held.shape, tensor.held.stride()):
                refuse(f"the pretended device cannot change shapes in place, as {func} does")

        def wrapped(value: Any) -> Any:
            """What was written to comes back as the tensor that it was."""
            if not stays or not isinstance(value, torch.Tensor):
                return value
            return known[id(value)] if id(value) in known else cls(value)

        return tree_map(wrapped, results)

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """With the next one: a module that is moved keeps its Parameters."""
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(held: dict[str, torch.Tensor], *_: Any) -> "PretendedTensor":
        return PretendedTensor(held["held"])

    def __reduce_ex__(self, protocol: int) -> Any:
        """In a file it is of its device; see `location`."""
        self.held.untyped_storage().pretended = True
        return self.held.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.cpu().tolist()


def check(func: Any, name: str, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> None:
    """Refuse what CUDA refuses, and count what makes the host wait."""
    host = [tensor for tensor in tensors if not isinstance(tensor, PretendedTensor)]
    if name == "_to_copy":
        if torch.device(kwargs.get("device") or NAME).type != NAME and not kwargs.get("non_blocking"):
            waited("copy to the host")
        return
    if name == "copy_":
        if host and not (args[2] if len(args) > 2 else kwargs.get("non_blocking")):
            waited(f"copy to the {'device' if host[0] is args[1] else 'host'}")
        return
    if name in INDEXING:
        indices = [index for index in args[1] if index is not None]
        for index in indices:
            if not isinstance(index, PretendedTensor):
                waited("index from the host")
            elif index.dtype in (torch.bool, torch.uint8):
                waited("index by a mask")
        host = [tensor for tensor in host if not any(tensor is index for index in indices)]
    # A number in a CPU tensor may meet others, as an operand.
    numbers = torch.Tag.pointwise in func.tags or name.startswith("_foreach") or name in INDEXING
    written = func._schema.is_mutable and host and host[0] is args[0]
    if written or any(tensor.dim() or not numbers for tensor in host):
        found = ", ".join(f"{tensor.device.type} {list(tensor.shape)}" for tensor in tensors)
        refuse(f"Expected all tensors to be on the same device: {func} got {found}")
    if name in WAITING:
        waited("item" if name == "_local_scalar_dense" else name)
    strict = torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    if strict and (name in NOT_DETERMINISTIC or (name == "cumsum" and tensors[0].is_floating_point())):
        refuse(f"{name} does not have a deterministic implementation")
    if strict and name == "reflection_pad2d_backward" and args[1].shape[-1] <= args[2][0] + args[2][1] + 1:
        refuse(f"{name}: CUDA's deterministic kernel leaves out terms of maps as narrow as {list(args[1].shape)}")


class PretendedAccelerator(CPUAccelerator):
    """The accelerator "pretended" of Lightning's Trainer."""

    def setup_device(self, device: torch.device) -> None: ...

    name = staticmethod(lambda: NAME)
    parse_devices = staticmethod(lambda devices: [0])
    get_parallel_devices = staticmethod(lambda devices: [torch.device(NAME, 0)])


class PretendedPrecision(MixedPrecision):
    """Mixed precision on this device, which Lightning takes for CUDA."""

    def __init__(self, precision: Any, device: str, scaler: Any = None) -> None:
        super().__init__(precision, NAME if device == "cuda" else device, scaler)


# Of the lists in ATen/autocast_mode.h, in half precision and in float32, what networks for images use.
LOWER = """conv1d conv2d conv_transpose2d.input convolution prelu addmm matmul einsum mm linear baddbmm bmm
    scaled_dot_product_attention"""
FLOAT32 = """exp log reciprocal rsqrt pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar softplus layer_norm group_norm
    native_layer_norm l1_loss smooth_l1_loss huber_loss mse_loss upsample_nearest2d upsample_bilinear2d cumsum prod
    upsample_bicubic2d softmax.int log_softmax.int linalg_vector_norm sum sum.dim_IntList"""
# Those that torch would make by resizing an empty tensor.
MADE = "empty.memory_format empty_strided arange arange.start arange.start_step linspace eye eye.m randperm"


def operators(names: str) -> list[Any]:
    packets = (name.partition(".") for name in names.split())
    return [getattr(getattr(torch.ops.aten, packet), overload or "default") for packet, _, overload in packets]


def made(operator: Any) -> Any:
    def kernel(*args: Any, device: Any = None, pin_memory: Any = None, **kwargs: Any) -> torch.Tensor:
        return PretendedTensor(operator(*args, device="cpu", **kwargs))

    return kernel


def cast(operator: Any, dtype: torch.dtype | None) -> Any:
    def converted(value: Any) -> Any:
        ours = isinstance(value, PretendedTensor) and value.is_floating_point() and value.dtype != torch.float64
        return value.to(dtype or torch.get_autocast_dtype(NAME)) if ours else value

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            return operator(*tree_map(converted, args), **tree_map(converted, kwargs))

    return kernel


def copied(source: torch.Tensor, target: PretendedTensor, non_blocking: bool = False) -> torch.Tensor:
    """What `torch.tensor(..., device="pretended")` calls."""
    if not non_blocking:
        waited("copy to the device")
    target.held.copy_(source)
    return target


def location(storage: Any) -> str | None:
    """What a file says of a tensor of this device."""
    return f"{NAME}:0" if getattr(storage, NAME, False) else None


def mapped(storage: Any, found: str) -> None:
    """Refuse to read it as a machine without the device does, unless it is mapped to another."""
    if found.startswith(NAME):
        refuse(f"the file has tensors of {found}, which is not there: give map_location")


def install() -> list[torch.library.Library]:
    """Make torch and Lightning know the device; it stays for as long as the result is kept."""
    module = SimpleNamespace(
        **{name: lambda: True for name in ("is_available", "is_initialized", "is_bf16_supported")},
        **{name: lambda *_: None for name in ("_lazy_init", "empty_cache", "manual_seed_all", "set_device")},
        synchronize=lambda *_: waited("synchronize"),
        device=lambda _: nullcontext(),
        device_count=lambda: 1,
        current_device=lambda: 0,
        get_rng_state=lambda *_: torch.get_rng_state(),
        set_rng_state=lambda state, *_: torch.set_rng_state(state),
        get_amp_supported_dtype=lambda: [torch.float16, torch.bfloat16],
        _is_in_bad_fork=lambda: os.getpid() != PROCESS,
    )
    _setup_privateuseone_for_python_backend(NAME, backend_module=module)
    ours, others = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    kernels = [("PrivateUse1", operator, made(operator)) for operator in operators(MADE)]
    kernels += [("PrivateUse1", torch.ops.aten._copy_from.default, copied)]
    kernels += [("AutocastPrivateUse1", operator, cast(operator, None)) for operator in operators(LOWER)]
    kernels += [("AutocastPrivateUse1", operator, cast(operator, torch.float32)) for operator in operators(FLOAT32)]
    for key, operator, kernel in kernels:
        ours.impl(operator, kernel, key)
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    # Backward passes in the thread that asks for them, so that a wait there is one of the training step.
    torch.autograd.set_multithreading_enabled(False)
    torch.serialization.register_package(0, location, mapped)
    AcceleratorRegistry.register(NAME, PretendedAccelerator)
    StrategyRegistry.register(NAME, SingleDeviceStrategy, device=f"{NAME}:0")
    accelerator_connector.MixedPrecision = PretendedPrecision
    return [ours, others]


def run(words: list[str]) -> int:
    """Run the commands, until one fails; its exit code."""
    reports = []
    for command in (list(group) for between, group in groupby(words, "then".__eq__) if not between):
        OPERATIONS.clear()
        WAITS.clear()
        code = main(command) or int(bool(REFUSALS))
        print(*dict.fromkeys(REFUSALS), sep="\n", file=sys.stderr)
        waits = {part: dict(found) for part, found in WAITS.items()}
        reports.append({"code": code, "operations": OPERATIONS.total(), "waits": waits})
        if code:
            break
    print(json.dumps(reports), flush=True)
    return code


if __name__ == "__main__":
    kept = install()
    if sys.argv[1:2] == ["--without-float64"]:
        REFUSED_TYPES.add(torch.float64)
        del sys.argv[1]
    sys.exit(run(sys.argv[1:]))
