"""Protocols against scikit-image and OpenCV on real photographs, and the anchors: numbers of independent code."""

import io
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.metrics import structural_similarity

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.degradations import Jpeg
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


def published_pairs(folder, name):
    """(H, W, 3) arrays of a set in `../shared`: degraded, clean."""
    if name == "Rain12":
        clean = sorted((folder / "Rain12/norain").glob("*.png"))
        return [(read(folder / f"Rain12/rain/{path.name.removeprefix('no')}"), read(path)) for path in clean]
    photographs = [read(path) for path in sorted((folder / "LIVE1").iterdir())]
    if name == "LIVE1 gray":
        photographs = [y_rounded(image) for image in photographs]
    return list(zip(map(coded, photographs), photographs, strict=True))


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def coded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=10)
    return np.asarray(Image.open(buffer))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "name", "expected_psnr", "expected_ssim"),
    [
        ("Rain12", "matlab-y", 30.135, 0.8554),
        ("LIVE1 gray", "jpeg-gray", 27.77, 0.7730),
        ("LIVE1", "matlab-y", 28.366, 0.7941),
        ("LIVE1", "durn-y", 27.04, 0.7819),
        ("LIVE1", "durn-rgb", 25.69, 0.7493),
    ],
)
def test_anchors(images, name, expected_psnr, expected_ssim, shared):
    """PROTOCOLS.md, means over images; its other rows are tested where their data are read or made."""
    found = published_pairs(shared / "data", images)
    assert len(found) == (12 if images == "Rain12" else 29)
    scores = [protocol(name).scores(*(from_array(image)[None] for image in pair)) for pair in found]
    assert np.mean([float(score["psnr"]) for score in scores]) == pytest.approx(expected_psnr, abs=0.01)
    assert np.mean([float(score["ssim"]) for score in scores]) == pytest.approx(expected_ssim, abs=5e-4)


ALL_IN_ONE = ("aio-rgb", "moce-rgb", "instructir-rgb")
"""Whose SSIMs the anchors call u, g and p."""


def cut(image):
    """The centre, of multiples of 16 pixels."""
    (top, below), (left, right) = (((side % 16) // 2, (side % 16 + 1) // 2) for side in image.shape[:2])
    return image[top : image.shape[0] - below, left : image.shape[1] - right]


def assert_anchor(pairs, psnr, ssims, names=ALL_IN_ONE):
    """Means over pairs of (H, W, 3) arrays in 0..255."""
    for name, expected in zip(names, ssims, strict=True):
        scores = [
            protocol(name).scores(*(image.transpose(2, 0, 1)[None] / 255 for image in pair)).values() for pair in pairs
        ]
        found = np.mean([[value.item() for value in score] for score in scores], axis=0)
        assert found[0] == pytest.approx(psnr, abs=0.01), name
        assert found[1] == pytest.approx(expected, abs=5e-4), name


@pytest.mark.slow
def test_anchors_of_noisy_images(shared):
    """ALL_IN_ONE.md's table of 12 images: noise of 15, then 25, then 50 from one stream of NumPy's old generator."""
    cleans = [cut(read(path)) for path in sorted((shared / "data/CBSD68/original_png").iterdir())]
    assert len(cleans) == 12
    stream = np.random.RandomState(0)
    for sigma, truncated, clipped, unclipped in (
        (15, (24.837, (0.5745, 0.5546, 0.5552)), (24.841, (0.5744, 0.5545, 0.5551)), (24.612, (0.5432,))),
        (25, (20.525, (0.4040, 0.3800, 0.3804)), (20.524, (0.4039, 0.3799, 0.3803)), (20.174, (0.3674,))),
        (50, (14.948, (0.2131, 0.1922, 0.1924)), (14.944, (0.2130, 0.1921, 0.1923)), (14.152, (0.1776,))),
    ):
        noisy = [(clean + sigma * stream.randn(*clean.shape), clean) for clean in cleans]
        assert_anchor([(np.floor(image.clip(0, 255)), clean) for image, clean in noisy], *truncated)
        assert_anchor([(image.clip(0, 255), clean) for image, clean in noisy], *clipped)
        assert_anchor(noisy, *unclipped, names=["instructir-rgb"])
        rounded = clipped[0], clipped[1][2:]
        assert_anchor(noisy, *rounded, names=["dcpt-rgb"])


def hazy(folder):
    """SOTS indoor: 10 pixels are cut off the clean images, then both to the centre of multiples of 16."""
    cleans = {name: read(folder / f"RESIDE/SOTS/gt/{name}.png")[10:-10, 10:-10] for name in ("1400", "1401")}
    files = sorted((folder / "RESIDE/SOTS/hazy").iterdir())
    return [(cut(read(path)), cut(cleans[path.name[:4]])) for path in files]


def blurred(folder):
    return [
        tuple(read(folder / f"GoPro_pairs/{scene}_{kind}1.png") for kind in ("blur", "sharp"))
        for scene in ("Flower", "Istanbul")
    ]


@pytest.mark.parametrize(
    ("pairs", "count", "psnr", "ssims"),
    [
        (hazy, 4, 15.763, (0.7976, 0.7964, 0.7964)),
        pytest.param(blurred, 2, 24.579, (0.7607, 0.7684, 0.7690), marks=pytest.mark.slow),
        pytest.param(
            lambda folder: published_pairs(folder, "Rain12"), 12, 28.815, (0.8280, 0.8350, 0.8354),
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_anchors_of_degraded_inputs(pairs, count, psnr, ssims, shared):
    """ALL_IN_ONE.md; files of 8 bits, for which "dcpt-rgb" is "instructir-rgb"."""
    found = pairs(shared / "data")
    assert len(found) == count
    assert_anchor(found, psnr, (*ssims, ssims[2]), names=(*ALL_IN_ONE, "dcpt-rgb"))


def test_several_protocols():
    assert [one.name for one in protocols(["moce-rgb", "aio-rgb"])] == ["moce-rgb", "aio-rgb"]
    assert [one.scale for one in protocols("sr-y", 3)] == [3]
    with pytest.raises(UserError, match="no protocol is named: give some of durn-rgb, durn-y"):
        protocols([])
    with pytest.raises(UserError, match="protocol 'aio-rgb' is named twice"):
        protocols(["aio-rgb", "moce-rgb", "aio-rgb"])
    with pytest.raises(UserError, match=r"unknown protocol 'aio': choose one of .*aio-rgb, moce-rgb"):
        protocols(["aio-rgb", "aio"])


@pytest.mark.slow
def test_live1_as_a_dedicated_jpeg_network_is_tested(shared):
    """27.77 dB / 0.7730 from the data of `restore test`; paper 2 cuts its own to multiples of 16."""
    factor = FactorConfig(colour="y", protocol="jpeg-gray", degradation=Jpeg(qualities=(10,)))
    sets = {"whole": {}, "cut": {"multiple": 16}}
    sets = {name: EvaluationConfig(clean=str(shared / "data/LIVE1"), **given) for name, given in sets.items()}
    module = RestorationData({"jpeg": factor}, test_sets=sets)
    module.setup("test")
    whole, cut = module.test_sets
    values = []
    for item in whole:
        assert item["clean"].shape == item["degraded"].shape
        assert item["clean"].shape[0] == 1
        values.append(
            [float(v) for v in protocol("jpeg-gray").scores(item["degraded"][None], item["clean"][None]).values()]
        )
    assert np.mean(values, axis=0) == pytest.approx([27.77, 0.7730], abs=5e-3)
    assert len(values) == 29
    sizes = [(whole[i]["clean"].shape[1:], cut[i]["clean"].shape[1:]) for i in (0, 10, 20)]
    assert all([side - side % 16 for side in before] == list(after) for before, after in sizes)


@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, 33.67, 0.9303), (3, 30.40, 0.8689), (4, 28.43, 0.8111), (8, 24.40, 0.6582)]
)
def test_bicubic_rows_of_paper_3(scale, psnr, ssim, shared, restore, tmp_path):
    """PROTOCOLS.md's Set5, by restore test: its degraded images are enlarged bicubically for the score."""
    tiny = [word for key in ("D", "B", "M", "growth") for word in (f"--model.network.{key}", "1")]
    words = [*tiny, "--model.network.width", "4", "--model.network.scale", scale]
    words += ["--data.factors.downscale.degradation.scale", scale, "--trainer.default_root_dir", tmp_path]
    words += ["--data.crop_size", 12, "--data.samples_per_step", 1, "--data.num_workers", 0]
    words += ["--trainer.accelerator", "cpu", "--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    words += ["--trainer.limit_val_batches", "0", "--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    code, _, err = restore("fit", "--config", "din_sr.yaml", *words)
    assert code == 0, err
    sets = json.dumps({"Set5": {"clean": str(shared / "data/Set5")}})
    code, _, err = restore("test", "--config", tmp_path / "config.yaml", "--data.test_sets", sets)
    assert code == 0, err
    entry = json.loads((tmp_path / "scores.json").read_text())["sets"]["Set5"]
    assert (entry["images"], entry["protocol"]) == (5, "sr-y")
    assert entry["degraded"]["psnr"] == pytest.approx(psnr, abs=0.01)
    assert entry["degraded"]["ssim"] == pytest.approx(ssim, abs=5e-4)


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
