"""What the machine's processors can do."""

from functools import lru_cache
from typing import Any

import torch


def computes_bfloat16(device: torch.device | str) -> bool:
    """Whether a device has instructions for bfloat16, so that it computes faster in it than in float32.

    Processors of the x86 kind by AVX-512 or AMX, CUDA devices from Ampere on. Where torch cannot say it (before 2.10,
    other kinds of devices): no.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        ask: Any = getattr(torch.cpu, "get_capabilities", dict)
        found = ask()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return False


def allow_tf32(device: torch.device | str, allowed: bool) -> None:
    """Whether a CUDA device may round float32 to TF32 where it multiplies and convolves; of others nothing changes.

    TF32 is faster and has 10 bits after the point, torch's own setting is TF32 where it convolves. It holds for the
    process. `NVIDIA_TF32_OVERRIDE=0` in the environment switches it off.
    """
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        torch.backends.cudnn.allow_tf32 = allowed


@lru_cache
def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64, which Apple's GPUs and some of Intel's do not."""
    try:
        torch.ones(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):
        return False
    return True
