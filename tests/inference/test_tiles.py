"""Tiles: their places and weights, what a network sees, memory, and how they compare with the whole image."""

import itertools

import numpy as np
import pytest
import torch
from skimage import data
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from restore_lightning.inference import InferenceSettings, Restorer, restore, restore_in_order
from restore_lightning.inference.batches import batch_size
from restore_lightning.inference.tiles import placed, tile_layout, tiled
from restore_lightning.io.images import to_float, to_integers
from restore_lightning.networks import DIN, DRN, MBN, DuRN, SizeRule

LAYOUTS = [(100, 40, 24), (65, 64, 48), (64, 64, 32), (30, 64, 48), (97, 16, 1), (50, 20, 20), (200, 64, 63), (9, 4, 2)]


def weight(place, start, side, step, size):
    """Of one pixel in one tile, before the tiles' weights are made to sum to 1."""
    overlap = side - step
    context = overlap // 4
    ramp = overlap - 2 * context or 1
    value = 1.0
    if start > 0:
        value *= min(1, max(0, (place - start + 0.5 - context) / ramp))
    if start + side < size:
        value *= min(1, max(0, (start + side - 1 - place + 0.5 - context) / ramp))
    return value


@pytest.mark.parametrize(("size", "side", "step"), LAYOUTS)
def test_tiles_along_one_direction(size, side, step):
    found = placed(size, side, step)
    side = min(side, size)
    starts = [start for start, _ in found]
    assert starts[0] == 0
    assert starts[-1] == size - side
    assert all(0 < after - before <= step for before, after in itertools.pairwise(starts))
    expected = np.zeros((len(starts), size))
    for i, start in enumerate(starts):
        for place in range(start, start + side):
            expected[i, place] = weight(place, start, side, step, size)
    assert expected.sum(axis=0).min() > 0
    expected /= expected.sum(axis=0)
    for row, (start, weights) in zip(expected, found, strict=True):
        np.testing.assert_allclose(weights.numpy(), row[start : start + side], rtol=1e-12)


@pytest.mark.parametrize("scale", [1, 2])
def test_blending(scale):
    """Each tile becomes its mean: the blend of these numbers, pixel by pixel."""
    image = torch.rand(2, 3, 11, 17, dtype=torch.float64)
    side, step = 8, 4

    def flat(part):
        return part.mean(dim=(2, 3), keepdim=True).expand(-1, -1, scale * part.shape[2], scale * part.shape[3])

    expected = np.zeros((2, 3, 11, 17))
    total = np.zeros((11, 17))
    for top, left in itertools.product((0, 3), (0, 4, 8, 9)):
        mean = image.numpy()[:, :, top : top + side, left : left + side].mean(axis=(2, 3))
        for y, x in itertools.product(range(top, top + side), range(left, left + side)):
            share = weight(y, top, side, step, 11) * weight(x, left, side, step, 17)
            expected[:, :, y, x] += share * mean
            total[y, x] += share
    expected = (expected / total).repeat(scale, axis=2).repeat(scale, axis=3)
    np.testing.assert_allclose(tiled(flat, image, side, step).numpy(), expected, rtol=1e-12)


class Strided(nn.Module):
    """Works at a quarter of the resolution, where the grid of a tile must be that of the image."""

    size_rule = SizeRule(4, 4)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(48, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 48, 1), nn.PixelShuffle(4)
        )

    def forward(self, image):
        return self.layers(image)


def reach(network, factor=None):
    """How far from a pixel of the result the pixels lie that it depends on, by its gradient."""
    image = torch.rand(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    result = restore(network.double(), image, factor)
    scale = result.shape[-1] // 96
    result[..., 48 * scale : 52 * scale, 48 * scale : 52 * scale].sum().backward()
    used = image.grad.abs().sum(dim=(0, 1)).nonzero()
    network.float()
    return int(max(48 - used.min(), used.max() - 51))


LOCAL = {
    "DRN": lambda: DRN(T=2, R=1, resblocks=1, width=8),
    "DIN x2": lambda: DIN(2, D=1, B=1, M=1, growth=2, width=4, fusion="sum"),
    "strided": Strided,
    "gray DuRN": lambda: DuRN("P", image_channels=1, width=4, blocks=[("P", 3, 3, 1)]),
}


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("batch", [1, 2])
def test_tiles_of_a_network_that_does_not_see_far_are_the_whole_image(name, batch):
    torch.manual_seed(0)
    network = LOCAL[name]().eval()
    context = reach(network)
    assert 2 < context < 12
    image = torch.rand(batch, 3, 101, 150)
    with torch.no_grad():
        whole = restore(network, image)
        exact = restore(network, image, settings=InferenceSettings(tile=64, overlap=4 * context))
        torch.testing.assert_close(exact, whole, rtol=0, atol=1e-5)
        # With less context than it needs they are not: what the overlap is for.
        near = restore(network, image, settings=InferenceSettings(tile=64, overlap=0))
    assert (near - whole).abs().max() > 1e-4


@pytest.fixture(scope="module")
def mbn():
    torch.manual_seed(0)
    network = MBN(width=4, stem=[(3, 3, 1)], extra=[(3, 3, 1)] * 3, iterations=2).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):  # fresh ones shrink what they get to nothing
            nn.init.kaiming_normal_(module.weight)
    for module in network.outputs.values():
        for layer in module.last:
            nn.init.normal_(layer.weight, std=0.002)  # the result stays near the image
    return network


@pytest.fixture(scope="module")
def photo():
    return to_float(torch.from_numpy(data.astronaut()[:256, :320].copy()).permute(2, 0, 1))[None]


def seen_by(network, call):
    """Sizes of the images that a network is called with."""
    sizes = []
    handle = network.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    try:
        with torch.no_grad():
            call()
    finally:
        handle.remove()
    return sizes


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("batch", [1, 2])
def test_tiles_in_batches_are_those_one_by_one(mbn, photo, at_once, batch):
    """To 1e-5, before any rounding to bytes; attention's statistics are of each tile."""
    image = torch.cat([photo[..., :100, :130], photo[..., 100:200, :130]])[:batch]
    sizes = []

    def restored(part):
        sizes.append(len(part))
        return mbn(part, "haze")[-1]

    with torch.no_grad():
        one_by_one = torch.cat([tiled(restored, one, 64, 48) for one in image.split(1)])
        sizes.clear()
        together = tiled(restored, image, 64, 48, at_once)
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-5)
    full, rest = divmod(6, at_once)  # 2 x 3 tiles
    assert sizes == [batch * at_once] * full + ([batch * rest] if rest else [])


def test_too_little_memory_for_several_tiles_is_enough_for_fewer(photo):
    sizes = []

    def restored(parts):
        sizes.append(len(parts))
        if len(parts) > 3:
            raise torch.OutOfMemoryError("no")
        return parts

    torch.testing.assert_close(tiled(restored, photo, 64, 48, at_once=16), photo)
    assert sizes == [16, 8, 4, *[2] * 17, 1]  # 5 x 7 tiles: what was too much is not tried again

    def too_large(parts):
        raise torch.OutOfMemoryError("not even one")

    with pytest.raises(torch.OutOfMemoryError, match="not even one"):
        tiled(too_large, photo, 64, 48, at_once=16)


def test_each_pass_has_tiles_of_its_own_rule(mbn, photo):
    image = photo[..., :131, :150]
    inference = InferenceSettings(tile=70, overlap=10)
    for factor, side in (("rain", 70), ("blur", 80), ("jpeg", 80), ("haze", 72)):
        sizes = seen_by(mbn, lambda factor=factor: restore(mbn, image, factor, inference))
        assert set(sizes) == {(side, side)}
        assert mbn.info.size_rule(factor).padded(70) == side
    passes = []
    sizes = seen_by(mbn, lambda: passes.extend(restore_in_order(mbn, image, ["rain", "blur"], inference)))
    assert set(sizes) == {(70, 70), (80, 80)}
    with torch.no_grad():
        assert torch.equal(passes[1], restore(mbn, passes[0], "blur", inference))


def test_images_that_are_smaller_than_a_tile_are_whole(mbn, photo):
    image = photo[..., :60, :200]
    inference = InferenceSettings(tile=128, overlap=16)
    assert set(seen_by(mbn, lambda: restore(mbn, image, "haze", inference))) == {(60, 128)}
    with torch.no_grad():
        small = image[..., :100]
        assert torch.equal(restore(mbn, small, "haze", inference), restore(mbn, small, "haze"))


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


@pytest.mark.slow
@pytest.mark.parametrize(
    "inference", [InferenceSettings(64, 16), InferenceSettings(64, 16, local_statistics=32, self_ensemble=True)]
)
def test_memory_is_that_of_a_batch_of_tiles(mbn, inference):
    """No tensor is larger than the largest one of a single batch, but the image itself."""

    def largest(number, size):
        mode = Largest()
        with torch.no_grad(), mode:
            restore(mbn, torch.rand(number, 3, size, size), "haze", inference)
        return mode.numbers

    one, image = largest(batch_size("cpu", 64, 64), 64), 3 * 480 * 480
    assert one < image < 16 * one  # the image is smaller than what it would need as a whole
    assert largest(1, 480) == image


class Storages(TorchDispatchMode):
    """Memory of float tensors of some size or more, all of it that operations take."""

    def __init__(self, size):
        super().__init__()
        self.size, self.found = size, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                storage = tensor.untyped_storage()
                if storage.nbytes() >= self.size:
                    self.found[storage.data_ptr()] = storage
        return result


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("ensemble", [False, True])
def test_whole_numbers_are_restored_as_what_they_stand_for(dtype, ensemble, photo):
    """In tiles the only float image is the result."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 3, 1)
    image = to_integers(photo.repeat(1, 1, 2, 2), dtype)  # larger than a batch of tiles
    settings = InferenceSettings(tile=64, overlap=16, self_ensemble=ensemble)
    storages = Storages(4 * image.numel())
    with torch.no_grad():
        expected = restore(network, to_float(image), None, settings)
        with storages:
            found = restore(network, image, None, settings)
    assert torch.equal(found, expected)
    assert ensemble or len(storages.found) == 1


def test_attention_makes_tiles_differ_and_local_statistics_differ_less(mbn, photo):
    """What docs/large_images.md says of networks with channel attention."""

    def difference(statistics):
        whole = restore(mbn, photo, "haze", InferenceSettings(local_statistics=statistics))
        tiles = restore(mbn, photo, "haze", InferenceSettings(tile=160, overlap=96, local_statistics=statistics))
        return (whole - tiles).abs().mean()

    with torch.no_grad():
        assert difference(None) > 1e-3
        assert difference(32) < difference(None) / 3


def test_everything_at_once(mbn, photo):
    """The mean over 8 turns, each of them in tiles with local statistics."""
    image = photo[..., :100, :130]
    one = InferenceSettings(tile=64, overlap=16, local_statistics=48)
    restored = []
    with torch.no_grad():
        for turns, flip in itertools.product(range(4), (False, True)):
            given = np.rot90(image.numpy(), turns, (2, 3))
            given = np.ascontiguousarray(given[..., ::-1] if flip else given)
            result = restore(mbn, torch.from_numpy(given), "haze", one).numpy()
            restored.append(np.rot90(result[..., ::-1] if flip else result, -turns, (2, 3)))
        found = restore(mbn, image, "haze", InferenceSettings(64, 16, 48, self_ensemble=True)).numpy()
    inside = np.all([(y > 0) & (y < 1) for y in restored], axis=0)  # not clamped before the mean
    assert inside.mean() > 0.1
    np.testing.assert_allclose(found[inside], np.mean(restored, axis=0)[inside], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 0}, "tile 0: give at least 1 pixel"),
        ({"tile": 64, "overlap": 64}, "overlap 64: give 0 or more pixels, less than the tile's 64"),
        ({"tile": 64, "overlap": -1}, "overlap -1: give 0 or more pixels"),
        ({"local_statistics": -3}, "local_statistics -3: give at least 1 pixel"),
    ],
)
def test_settings_that_no_network_can_use(settings, message):
    with pytest.raises(ValueError, match=message):
        InferenceSettings(**settings)


@pytest.mark.parametrize(("tile", "overlap"), [(32, 8), (64, 16), (256, 64), (1024, 64), (None, None)])
def test_tiles_overlap_by_a_quarter_at_most_unless_told(tile, overlap):
    assert InferenceSettings(tile=tile).overlap == overlap


def test_settings_that_a_network_cannot_use(mbn):
    with pytest.raises(ValueError, match="tile 16: the network takes images from 32 pixels on"):
        Restorer(dict.fromkeys(["haze", "blur"], mbn), settings=InferenceSettings(tile=16, overlap=0))
    with pytest.raises(
        ValueError, match="tiles of 64 pixels lie 16 pixels apart or a multiple of that, give at most 48"
    ):
        restore(mbn, torch.rand(1, 3, 200, 200), "blur", InferenceSettings(tile=60, overlap=50))
    with pytest.raises(ValueError, match="takes no statistics over whole images"):
        Restorer({"rain": DRN()}, settings=InferenceSettings(local_statistics=64))


def test_layouts_keep_to_the_networks_grid():
    for multiple, tile, overlap in itertools.product((1, 4, 16), (64, 70, 250), (0, 1, 30)):
        side, step = tile_layout(SizeRule(multiple, 32), tile, overlap)
        assert side % multiple == step % multiple == 0
        assert tile <= side < tile + multiple
        assert overlap <= side - step < overlap + multiple
