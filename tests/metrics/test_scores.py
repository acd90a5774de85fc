"""The Metric and a set's scores: over batches, over real processes, in half precision, against scikit-image."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.utils.data.distributed import DistributedSampler

from restore_lightning.io.images import from_array, to_float
from restore_lightning.metrics import ProtocolScores, protocol
from restore_lightning.metrics.scores import SetScores

COUNT = 7


def images():
    """(COUNT, 3, 40, 48) restored and clean ones; the fourth are equal."""
    rng = np.random.default_rng(0)
    clean = np.stack([data.coffee()[60 * i : 60 * i + 40, 50 : 50 + 48] for i in range(COUNT)])
    spread = np.array([4, 8, 12, 0, 16, 20, 24])[:, None, None, None]
    noisy = (clean + rng.normal(0, 1, clean.shape) * spread).clip(0, 255).astype(np.uint8)
    return [torch.stack([to_float(from_array(image)) for image in version]) for version in (noisy, clean)]


def by_scikit_image(restored, clean):
    """(N,) PSNR and (N,) SSIM of durn-rgb, from 8-bit arrays."""
    pairs = [
        [
            np.floor(image.double().clamp(0, 1).numpy() * 255 + 1e-4).astype(np.uint8).transpose(1, 2, 0)
            for image in pair
        ]
        for pair in zip(restored, clean, strict=True)
    ]
    with np.errstate(divide="ignore"):
        psnr = np.array([peak_signal_noise_ratio(b, a, data_range=255) for a, b in pairs])
    return psnr, np.array([structural_similarity(b, a, data_range=255, channel_axis=2) for a, b in pairs])


def assert_all(scored, psnr, ssim):
    assert scored["psnr"].tolist() == pytest.approx(psnr.tolist(), abs=1e-6)
    assert scored["ssim"].tolist() == pytest.approx(ssim.tolist(), abs=1e-9)


def assert_means(scored, psnr, ssim):
    assert float(scored["psnr"]) == pytest.approx(psnr[np.isfinite(psnr)].mean(), abs=1e-6)
    assert float(scored["ssim"]) == pytest.approx(ssim.mean(), abs=1e-9)


def on_a_rank(rank, world, places, folder):
    """One of several processes: scores the images of each case that are its share."""
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    restored, clean = images()
    found = {}
    for case, shares in places.items():
        every = ProtocolScores("durn-rgb", "none")
        mean = ProtocolScores("durn-rgb")
        versions = SetScores("noise", "durn-rgb")
        for batch in shares[rank]:
            numbers = torch.tensor(batch)
            every.update(restored[batch], clean[batch], numbers)
            mean.update(restored[batch], clean[batch], numbers)
            versions.update({"degraded": restored[batch], "restored": clean[batch]}, clean[batch], numbers)
        found[case] = every.compute(), mean.compute(), versions.compute(), versions.per_image()
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_real_processes_count_each_image_once(world, tmp_path):
    """Uneven shares, a padded last batch, a padding sampler, a rank without images: one process's scores."""
    padded = [DistributedSampler(range(COUNT), world, rank, shuffle=False) for rank in range(world)]
    places = {
        "uneven": [[[0, 1, 2, 3]], [[4, 5], [6]], []][:world],
        "padded batches": [[[0, 1], [2, 2]], [[3, 4], [5, 6], [6, 6]], [[5]]][:world],
        "padding sampler": [[[number] for number in sampler] for sampler in padded],
        "a rank without images": [[], [[6, 5, 4], [3, 2, 1], [0, 0, 0]], []][:world],
    }
    assert sum(len(list(sampler)) for sampler in padded) > COUNT
    torch.multiprocessing.spawn(on_a_rank, (world, places, str(tmp_path)), nprocs=world)
    psnr, ssim = by_scikit_image(*images())
    assert np.isinf(psnr).sum() == 1
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert set(found) == set(places)
        for every, mean, versions, per_image in found.values():
            assert every["numbers"].tolist() == list(range(COUNT))
            assert_all(every, psnr, ssim)
            assert_means(mean, psnr, ssim)
            assert versions["images"] == COUNT
            assert (versions["degraded"]["identical"], versions["restored"]["identical"]) == (1, COUNT)
            assert versions["restored"]["psnr"] == float("inf")
            assert versions["degraded"]["psnr"] == pytest.approx(psnr[np.isfinite(psnr)].mean(), abs=1e-6)
            assert list(per_image) == list(range(COUNT))
            assert [per_image[i]["degraded"]["psnr"] for i in per_image] == pytest.approx(psnr.tolist(), abs=1e-6)
            assert [per_image[i]["restored"]["ssim"] for i in per_image] == pytest.approx([1.0] * COUNT)


@pytest.mark.parametrize("size", [1, 2, 3, COUNT])
def test_batches_equal_single_images(size, device):
    restored, clean = (version.to(device) for version in images())
    scores = ProtocolScores("durn-rgb", "none").to(device)
    for start in range(0, COUNT, size):
        places = torch.arange(start, min(start + size, COUNT))
        scores.update(restored[places], clean[places], places)
    computed = scores.compute()
    assert {values.device.type for values in computed.values()} == {device}
    assert_all(computed, *by_scikit_image(*images()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_bytes_survive_in_other_floating_point_types(dtype, device):
    restored, clean = ((version * 255).round() / 255 for version in images())
    scores = ProtocolScores(protocol("durn-rgb"), "none").to(device)
    scores.update(restored.to(device, dtype), clean.to(device, dtype))
    assert_all(scores.compute(), *by_scikit_image(restored, clean))


def test_without_numbers_every_image_counts():
    restored, clean = images()
    scores = ProtocolScores("durn-rgb", "none")
    for _ in range(2):
        scores.update(restored, clean)
    psnr, ssim = by_scikit_image(restored, clean)
    assert_all(scores.compute(), np.tile(psnr, 2), np.tile(ssim, 2))
    scores.reset()
    scores.update(restored[:2], clean[:2])
    assert_all(scores.compute(), psnr[:2], ssim[:2])


def test_the_errors_are_never_pooled():
    restored, clean = images()
    places = [0, 6]  # the least noise and the most
    scores = ProtocolScores("durn-rgb")
    value = scores(restored[places], clean[places])  # forward: torchmetrics' other way to update
    psnr, ssim = (values[places] for values in by_scikit_image(restored, clean))
    assert_means(value, psnr, ssim)
    assert_means(scores.compute(), psnr, ssim)
    pooled = -10 * torch.log10(((restored[places] - clean[places]) ** 2).mean())
    assert abs(float(pooled) - psnr.mean()) > 1


def test_a_set_of_one_image(device):
    restored, clean = images()
    scores = SetScores("noise", "durn-rgb").to(device)
    given = clean[:1].to(device)
    scores.update({"degraded": restored[:1].to(device), "restored": given}, given, torch.tensor([5]))
    psnr, ssim = (float(values[0]) for values in by_scikit_image(restored[:1], clean[:1]))
    degraded = {"psnr": pytest.approx(psnr), "ssim": pytest.approx(ssim)}
    restored = {"psnr": float("inf"), "ssim": pytest.approx(1)}
    assert scores.per_image() == {5: {"degraded": degraded, "restored": restored}}
    assert scores.compute() == {
        "images": 1,
        "degraded": {**degraded, "identical": 0},
        "restored": {**restored, "identical": 1},
    }


def test_no_images_have_no_mean():
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert ProtocolScores("durn-rgb").compute()["psnr"].isnan()


def test_numbers_are_one_per_image():
    restored, clean = images()
    with pytest.raises(ValueError, match=r"numbers of shape \(2,\) for 7 images: give one per image"):
        ProtocolScores("durn-rgb").update(restored, clean, torch.arange(2))
