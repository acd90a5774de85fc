"""Protocols against scikit-image, scipy and OpenCV on real photographs."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.metrics import structural_similarity

from restore_lightning.errors import UserError
from restore_lightning.io.images import from_array, in_colour, read_image, to_float
from restore_lightning.metrics import PROTOCOLS, protocol, protocols, psnr, ssim
from restore_lightning.metrics.mean_scores import mean_over_images
from tests.references import GAUSSIAN, TABLE, by_scikit_image, cubic_ssim, y_matlab, y_rounded


def batch(*images):
    return torch.stack([to_float(from_array(image)) for image in images])


@pytest.fixture(scope="module")
def pairs():
    """What noise, blur and JPEG make of photographs, in (H, W, 3) float 0..255, and the photographs in uint8."""
    rng = np.random.default_rng(0)
    cleans = [image[:181, :203] for image in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())]
    coded = Image.open(io.BytesIO(cv2.imencode(".jpg", cleans[3][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 10])[1]))
    return [
        ((cleans[0] + rng.normal(0, 8, cleans[0].shape)).clip(0, 255), cleans[0]),
        ((cleans[1] + rng.normal(0, 25, cleans[1].shape)).clip(0, 255), cleans[1]),
        (cv2.GaussianBlur(cleans[2].astype(np.float64), (0, 0), 2), cleans[2]),
        (np.asarray(coded).astype(np.float64), cleans[3]),
    ]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_against_scikit_image(name, pairs, device):
    """Float images in a batch, each alone, and their bytes as tensors and as NumPy arrays."""
    scored = protocol(name, scale=3)
    restored = torch.stack([torch.from_numpy(a / 255).permute(2, 0, 1) for a, _ in pairs]).to(device)
    clean = batch(*(b for _, b in pairs)).to(device)
    values = scored.psnr(restored, clean), scored.ssim(restored, clean)
    for i, (a, b) in enumerate(pairs):
        expected = by_scikit_image(a, b, name)
        found = [float(column[i]) for column in values]
        assert found[0] == pytest.approx(expected[0], abs=1e-3)
        assert found[1] == pytest.approx(expected[1], abs=1e-5)
        alone = scored.scores(restored[i : i + 1], clean[i : i + 1])
        assert [float(alone["psnr"]), float(alone["ssim"])] == pytest.approx(found, rel=1e-12)
        in_bytes = TABLE[name][2](a).clip(0, 255).astype(np.uint8)
        expected = by_scikit_image(in_bytes, b, name)
        coded = [image.transpose(2, 0, 1)[None] for image in (in_bytes, b)]
        for given in (coded, [torch.from_numpy(np.ascontiguousarray(image)).to(device) for image in coded]):
            again = scored.scores(*given)
            assert type(again["psnr"]) is type(given[0])
            assert again["psnr"].item() == pytest.approx(expected[0], abs=1e-9)
            assert again["ssim"].item() == pytest.approx(expected[1], abs=1e-9)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_on_research_images(name, shared):
    """Real rain, blur, noise and haze."""
    for restored, clean in (
        ("Rain12/rain/rain-001.png", "Rain12/norain/norain-001.png"),
        ("GoPro_pairs/Flower_blur1.png", "GoPro_pairs/Flower_sharp1.png"),
        ("PolyU/CroppedImages/Canon5D2_5_160_3200_chair_11_real.JPG",) * 2,
        ("RESIDE/SOTS/hazy/1400_1.png", "RESIDE/SOTS/hazy/1400_2.png"),
    ):
        a, b = read_image(shared / "data" / restored), read_image(shared / "data" / clean.replace("_real", "_mean"))
        expected = by_scikit_image(*(image.permute(1, 2, 0).numpy() for image in (a, b)), name)
        found = protocol(name, scale=3).scores(a[None], b[None])
        assert float(found["psnr"]) == pytest.approx(expected[0], abs=1e-3)
        assert float(found["ssim"]) == pytest.approx(expected[1], abs=1e-5)


@pytest.mark.parametrize("window", ["matlab", "skimage", "skimage-gaussian"])
@pytest.mark.parametrize("size", [(11, 11), (11, 42), (43, 12), (42, 74), (75, 107)])
def test_ssim_of_any_size_and_of_floats(size, window):
    """Sizes around the blocks that are filtered at once; scikit-image in float64."""
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 1, (2, 3, *size)), rng.uniform(0, 1, (2, 3, *size))
    gaussian = GAUSSIAN | {"use_sample_covariance": window == "skimage-gaussian"}
    settings = {"data_range": 1.0, "channel_axis": 0, "full": True, **({} if window == "skimage" else gaussian)}
    border = 3 if window == "skimage" else 5
    maps = [
        structural_similarity(x, y, **settings)[1][:, border:-border, border:-border] for x, y in zip(a, b, strict=True)
    ]
    found = ssim(torch.from_numpy(a), torch.from_numpy(b), window, data_range=1.0)
    assert found.tolist() == pytest.approx([similar.mean() for similar in maps], abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 40), (11, 11), (32, 43), (75, 107)])
def test_ssim_over_the_channels_too(size, channels):
    """Of any size: scipy repeats the borders as the authors' code does."""
    a, b = np.random.default_rng(1).uniform(0, 255, (2, 2, channels, *size))
    expected = [cubic_ssim(*(image.transpose(1, 2, 0) for image in pair)) for pair in zip(a, b, strict=True)]
    assert ssim(a, b, "cube").tolist() == pytest.approx(expected, abs=1e-12)
    assert ssim(*map(torch.from_numpy, (a, b)), "cube").tolist() == pytest.approx(expected, abs=1e-12)


def test_what_is_scored_as_it_is():
    """Neither cut off nor rounded, and by "instructir-rgb" not clipped either."""
    clean = torch.full((1, 3, 16, 16), 100 / 255, dtype=torch.float64)
    for name in ("aio-rgb", "moce-rgb", "instructir-rgb"):
        assert protocol(name).psnr(clean + 0.1 / 255, clean).item() == pytest.approx(20 * np.log10(2550))
    outside = torch.cat([clean[..., :8] + 1, clean[..., 8:] - 1], dim=3)
    inside = outside.clamp(0, 1)
    assert protocol("instructir-rgb").psnr(outside, clean).item() == pytest.approx(0, abs=1e-9)
    assert torch.equal(protocol("aio-rgb").psnr(outside, clean), protocol("aio-rgb").psnr(inside, clean))
    assert torch.equal(protocol("instructir-rgb").psnr(inside, clean), protocol("aio-rgb").psnr(inside, clean))


def test_quantisation_cuts_off():
    scored = protocol("durn-rgb")
    clean = torch.full((1, 3, 16, 16), 100 / 255)
    assert scored.psnr(clean + 0.9 / 255, clean).isinf().all()
    assert scored.psnr(clean - 0.1 / 255, clean).item() == pytest.approx(20 * np.log10(255))


def test_bytes_survive_the_way_through_floats():
    values = torch.arange(256, dtype=torch.uint8).repeat(3, 16, 1)[None]
    assert protocol("mbn-rgb").psnr(to_float(values), values.double() / 255).isinf().all()


def test_identical_images_do_not_swallow_the_mean():
    assert mean_over_images(torch.tensor([30.0, float("inf"), 40.0])) == 35
    assert mean_over_images(torch.tensor([float("inf")])) == float("inf")
    assert np.isnan(mean_over_images(torch.tensor([30.0, float("nan")])))  # a broken image is not left out
    assert np.isnan(mean_over_images(torch.tensor([])))


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="11x11"):
        ssim(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20), "matlab")


def test_psnr_of_equal_images_is_infinite():
    image = torch.rand(2, 3, 8, 8)
    assert psnr(image, image).isinf().all()


def test_unknown_protocol():
    with pytest.raises(UserError, match="unknown protocol 'psnr': choose one of durn-rgb, durn-y"):
        protocol("psnr")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_protocols_refuse(name):
    scored, clean = protocol(name, scale=2), torch.rand(2, 3, 20, 24)
    for restored, message in (
        (torch.rand(2, 3, 24, 20), r"restored \(2, 3, 24, 20\), clean \(2, 3, 20, 24\): shapes must agree"),
        (torch.rand(1, 3, 20, 24), "shapes must agree"),
        (torch.rand(2, 4, 20, 24), "with 1 or 3 channels"),
        (torch.rand(3, 20, 24), r"give \(B, C, H, W\)"),
        (torch.zeros(2, 3, 20, 24, dtype=torch.int64), "torch.int64: give floating point in .0, 1., or uint8"),
    ):
        for score in (scored.psnr, scored.ssim, scored.scores):
            with pytest.raises(ValueError, match=message):
                score(restored, clean)
    gray = torch.rand(2, 1, 20, 24)
    if name == "jpeg-gray":  # the luma that a network restored, beside the photograph
        assert scored.psnr(gray, clean).shape == (2,)
    else:
        with pytest.raises(ValueError, match="shapes must agree"):
            scored.psnr(gray, clean)
    assert scored.psnr(gray, gray).isposinf().all()
    small = clean[..., : 14 if name == "sr-y" else 6]
    if name == "nafnet-3d":  # repeats borders
        assert scored.ssim(small, small).tolist() == pytest.approx([1, 1])
        return
    with pytest.raises(ValueError, match=r"SSIM \((matlab|skimage|skimage-gaussian)\) needs (7x7|11x11) pixels"):
        scored.ssim(small, small)


def test_a_border_must_leave_something():
    image = torch.rand(1, 3, 16, 20)
    with pytest.raises(ValueError, match="sr-y leaves nothing of an image of 16x20 pixels"):
        protocol("sr-y", scale=8).psnr(image, image)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_broken_number_is_seen_in_its_image_only(name, device):
    clean = torch.rand(3, 3, 40, 70, device=device)
    restored = clean * 0.9
    expected = protocol(name).scores(restored, clean)
    restored[1, 0, 17, 60] = float("nan")
    for score, values in protocol(name).scores(restored, clean).items():
        assert values.isnan().tolist() == [False, True, False]
        assert values[::2].tolist() == pytest.approx(expected[score][::2].tolist(), rel=1e-12)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_empty_batch_has_no_values(name):
    empty = torch.zeros(0, 3, 16, 16)
    assert {score: tuple(values.shape) for score, values in protocol(name).scores(empty, empty).items()} == {
        "psnr": (0,),
        "ssim": (0,),
    }


def test_the_luma_that_is_coded():
    """MATLAB's in 8 bits; what is gray is taken as it is, image by image."""
    photograph = data.chelsea()[:24, :32]
    luma = y_rounded(photograph)
    image = from_array(photograph)
    assert np.array_equal(in_colour(image, "y")[0], luma)
    assert torch.equal(in_colour(from_array(luma), "y"), from_array(luma))
    assert torch.equal(in_colour(from_array(luma).expand(3, -1, -1), "y"), from_array(luma))
    assert in_colour(image / 255, "y")[0].numpy() == pytest.approx(y_matlab(photograph) / 255, abs=1e-6)
    assert torch.equal(in_colour(from_array(luma).expand(3, -1, -1) / 255, "y"), from_array(luma) / 255)
    gray = from_array(luma).expand(3, -1, -1)
    both = torch.stack([gray, image])
    assert protocol("jpeg-gray").psnr(both, torch.stack([image, image])).isposinf().all()
    assert protocol("jpeg-gray").psnr(gray[None, :1], image[None]).isposinf().all()


def test_several_protocols():
    assert [one.name for one in protocols(["moce-rgb", "aio-rgb"])] == ["moce-rgb", "aio-rgb"]
    assert [one.scale for one in protocols("sr-y", 3)] == [3]
    with pytest.raises(UserError, match="no protocol is named: give some of durn-rgb, durn-y"):
        protocols([])
    with pytest.raises(UserError, match="protocol 'aio-rgb' is named twice"):
        protocols(["aio-rgb", "moce-rgb", "aio-rgb"])
    with pytest.raises(UserError, match=r"unknown protocol 'aio': choose one of .*aio-rgb, moce-rgb"):
        protocols(["aio-rgb", "aio"])


def test_sr_y_rounds_and_leaves_the_border_out():
    clean = torch.rand(1, 3, 24, 24)
    restored = clean.clone()
    restored[..., :2, :] = 0
    restored[..., -2:] = 1
    assert bool(torch.isinf(protocol("sr-y", scale=2).psnr(restored, clean)))
    assert bool(torch.isfinite(protocol("sr-y", scale=1).psnr(restored, clean)))
    almost = torch.full((1, 1, 16, 16), 0.6 / 255)
    assert float(protocol("sr-y").psnr(almost, torch.full_like(almost, 1 / 255))) == float("inf")  # rounded
    assert float(protocol("durn-gray").psnr(almost, torch.zeros_like(almost))) == float("inf")  # cut off
