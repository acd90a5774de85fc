"""The pretended device refuses and counts what the others' tests rely on: else they could not fail."""

import json
import subprocess
import sys

import pytest

from tests.conftest import CONF

CASES = {
    "operands of both devices": ("torch.rand(2) + there", "same device"),
    "a CPU tensor written to": ("torch.zeros(2).add_(there)", "same device"),
    "a number of the CPU": ("there + torch.tensor(1.0)", ""),
    "numpy": ("there.numpy()", "numpy"),
    "the gradient of bicubic resampling": (
        "functional.interpolate(image, scale_factor=2, mode='bicubic').sum().backward()",
        "upsample_bicubic2d_backward does not have a deterministic",
    ),
    "the gradient of a convolution": (
        "functional.conv2d(image, torch.rand(1, 1, 3, 3).to(there)).sum().backward()",
        "",
    ),
    "the gradient of reflection padding": ("functional.pad(image, (3,) * 4, mode='reflect').sum().backward()", ""),
    "the same of a narrow map": (
        "functional.pad(image, (4,) * 4, mode='reflect').sum().backward()",
        "reflection_pad2d_backward: CUDA's deterministic kernel leaves out",
    ),
    "float64": ("there.double()", "float64"),
    "a file for its own device": ("torch.load(saved(there))", "give map_location"),
    "a file, mapped to the CPU": ("torch.load(saved(there), map_location='cpu') + torch.rand(2)", ""),
    "autocast": ("half(lambda: there[None] @ there[:, None]).dtype == torch.bfloat16 or 1 / 0", ""),
    "autocast, kept in float32": ("half(lambda: there.bfloat16().exp()).dtype == torch.float32 or 1 / 0", ""),
}
WAITS = {
    "there.sum().item()": 1,
    "float(there[0])": 1,
    "bool(there.isfinite().all())": 1,
    "there[[1, 0]]": 1,
    "there[there > 2]": 1,
    "torch.tensor([1.0], device='pretended')": 1,
    "there.cpu()": 1,
    "torch.rand(2).to('pretended')": 1,
    "torch.rand(2).to('pretended', non_blocking=True)": 0,
    "torch.zeros(2, device='pretended').add_(there).mean() + 1": 0,
    "torch.where(there > 2, there, 0.0)[1:].clamp(0, 1)": 0,
}
SCRIPT = """
import io, json, sys
import torch
from torch.nn import functional
from tests import pretended_gpu

kept = pretended_gpu.install()
pretended_gpu.REFUSED_TYPES.add(torch.float64)
torch.use_deterministic_algorithms(True)
there = torch.rand(2).to("pretended")
image = torch.rand(1, 1, 8, 8).to("pretended").requires_grad_()

def saved(tensor):
    file = io.BytesIO()
    torch.save(tensor, file)
    file.seek(0)
    return file

def half(call):
    with torch.autocast("pretended", torch.bfloat16):
        return call()

def refusal(expression):
    pretended_gpu.REFUSALS.clear()
    try:
        eval(expression)
    except Exception as error:
        return str(error)
    return " ".join(pretended_gpu.REFUSALS)

def waits(expression):
    pretended_gpu.WAITS.clear()
    eval(expression)
    return sum(found.total() for found in pretended_gpu.WAITS.values())

refused, counted = json.loads(sys.argv[1])
print(json.dumps([[refusal(each) for each in refused], [waits(each) for each in counted]]))
"""


@pytest.fixture(scope="module")
def found() -> tuple[list[str], list[int]]:
    """What each case refuses, and how often each expression waits."""
    expressions = [[expression for expression, _ in CASES.values()], list(WAITS)]
    call = [sys.executable, "-c", SCRIPT, json.dumps(expressions)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False, cwd=CONF.parents[1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_refused(found):
    for (case, (_, expected)), message in zip(CASES.items(), found[0], strict=True):
        assert expected in message if expected else not message, (case, message)


def test_what_waits(found):
    assert dict(zip(WAITS, found[1], strict=True)) == WAITS
