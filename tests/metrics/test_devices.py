"""Scoring on devices other than a CPU: few operations, nothing that waits, float64 where there is some."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from restore_lightning.hardware import has_float64
from restore_lightning.metrics import PROTOCOLS, ProtocolScores, functional, protocol, psnr, ssim
from restore_lightning.metrics.scores import SetScores
from tests.metrics.test_scores import assert_all, by_scikit_image, images

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "index", "equal", "is_nonzero", "_copy_from"}


class Recorded(TorchDispatchMode):
    """Counts the operations that are more than views, and those that make a host wait for its device."""

    def __init__(self):
        super().__init__()
        self.operations, self.waits = Counter(), Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, out = func.__name__.partition(".")[0], func(*args, **(kwargs or {}))
        tensors = [one for one in (*args, *(kwargs or {}).values(), out) if isinstance(one, torch.Tensor)]
        self.operations[name] += not func.is_view
        self.waits[name] += name in WAITS or len({one.device.type for one in tensors}) > 1
        return out


class WithoutFloat64(TorchDispatchMode):
    """Refuses float64 on the meta device, as Apple's GPUs do; copies to a CPU have the values of what was copied there.

    What was found of the device before is forgotten, and so is what is found here.
    """

    def __init__(self):
        super().__init__()
        self.values = {}

    def __enter__(self):
        has_float64.cache_clear()
        return super().__enter__()

    def __exit__(self, *error):
        has_float64.cache_clear()
        super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "meta":
            args = (self.values[id(args[0])],)
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.device.type == "meta":
            if out.dtype == torch.float64:
                raise TypeError("Cannot convert a tensor to float64, which the device does not support")
            self.values[id(out)] = args[0] if args and isinstance(args[0], torch.Tensor) else None
        return out


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_operations_of_an_image_of_720_lines(name, dtype):
    """The meta device computes nothing, and like a GPU is none that small blocks suit."""
    image = torch.empty(1, 3, 720, 1280, dtype=dtype, device="meta")
    scores, number = ProtocolScores(name).to("meta"), torch.empty(1, dtype=torch.int64, device="meta")
    scores.update(image, image, number)
    with Recorded() as recorded:
        scores.update(image, image, number)
    assert recorded.operations.total() <= 110
    assert not recorded.waits.total(), recorded.waits


def test_a_set_is_read_once():
    """All versions of all images, on their device until the means are asked for."""
    scores = SetScores("noise", "durn-y", ("degraded", "other", "restored")).to("meta")
    image = torch.empty(1, 3, 40, 48, device="meta")
    scores.update(dict.fromkeys(scores.versions, image), image, torch.full((1,), 0, device="meta"))
    with Recorded() as recorded:
        for number in range(1, 4):
            scores.update(dict.fromkeys(scores.versions, image), image, torch.full((1,), number, device="meta"))
    assert scores.images == 4
    assert not recorded.waits.total(), recorded.waits


@pytest.mark.parametrize("window", ["matlab", "skimage", "cube"])
@pytest.mark.parametrize("at_once", [1, 2**18, 2**19, 2**26])
def test_tiles_change_no_score(window, at_once):
    restored, clean = (version[:, :, :, :45].repeat(1, 1, 2, 2).double()[:3] for version in images())
    expected = psnr(restored, clean, 1.0), ssim(restored, clean, window, 1.0)
    found = psnr(restored, clean, 1.0, at_once), ssim(restored, clean, window, 1.0, at_once)
    for one, other in zip(found, expected, strict=True):
        assert one.tolist() == pytest.approx(other.tolist(), abs=1e-12)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_device_without_float64(name):
    """The same numbers, to the last bit, from the images as they were on the device."""
    pair = images()
    expected = protocol(name).scores(*pair)
    with WithoutFloat64():
        found = protocol(name).scores(*(version.to("meta") for version in pair))
    for score, values in expected.items():
        assert torch.equal(found[score], values)


def test_states_that_a_device_without_float64_keeps():
    restored, clean = images()
    with WithoutFloat64():
        assert not has_float64(torch.device("meta"))
        metric = ProtocolScores("durn-rgb").to("meta")
        metric.update(restored.to("meta"), clean.to("meta"), torch.arange(len(clean)))
        versions = SetScores("noise", "durn-rgb").to("meta")
        given = {version: restored.to("meta") for version in versions.versions}
        versions.update(given, clean.to("meta"), torch.arange(len(clean)))
    assert {row.device.type for row in metric.rows} == {"meta"}
    assert versions.images == len(clean)
    assert has_float64(torch.device("cpu"))
    assert has_float64(torch.device("meta"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_in_half_precision_keeps_its_scores(dtype):
    restored, clean = images()
    module = torch.nn.Module()
    module.scores = ProtocolScores("durn-rgb", "none")
    module.scores.update(restored, clean)
    module.to(dtype)
    module.scores.set_dtype(dtype)
    assert_all(module.scores.compute(), *by_scikit_image(restored, clean))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_autocast_changes_no_score(name):
    pair = images()
    expected = protocol(name).scores(*pair)
    with torch.autocast("cpu", torch.bfloat16):
        found = protocol(name).scores(*pair)
    for score, values in expected.items():
        assert values.dtype == torch.float64
        assert torch.equal(found[score], values)


def test_images_that_have_a_gradient():
    """What is kept for the next image may come from inference mode."""
    functional._bands.cache_clear()
    restored, clean = images()
    with torch.inference_mode():
        expected = ssim(restored, clean, "matlab", 1.0)
    found = ssim(restored.requires_grad_(), clean, "matlab", 1.0)
    assert not found.requires_grad
    assert torch.equal(found, expected)
