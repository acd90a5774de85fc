"""`restore score`: numbers of scikit-image, and what happens to images that cannot be scored."""

import csv
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from restore_lightning.io.files import json_text
from restore_lightning.metrics import PROTOCOLS
from tests.io.photo_files import exif_block, short
from tests.references import by_scikit_image


@pytest.fixture
def images(tmp_path):
    """Two folders: photographs of different sizes, one in a subfolder, and noisy ones under the same names."""
    rng = np.random.default_rng(0)
    for name, image in (("b", data.coffee()[:90, :111]), ("a", data.chelsea()[:91, :120]), ("c/d", data.rocket()[:99])):
        noisy = (image + rng.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)
        for folder, pixels in (("clean", image), ("noisy", noisy)):
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path


def read(path):
    return np.asarray(Image.open(path))


def by_columns(rows):
    return {row["name"]: [float(row["psnr"]), float(row["ssim"])] for row in rows}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scores_are_scikit_images(protocol, restore, images):
    scale = ("--scale", 3) if protocol == "sr-y" else ()
    words = ("--protocol", protocol, "--json", images / "out/scores.json", "--csv", images / "out/scores.csv", *scale)
    code, out, err = restore("score", images / "noisy", images / "clean", *words)
    assert code == 0, err
    report = json.loads((images / "out/scores.json").read_text())
    names = [image["name"] for image in report["images"]]
    assert (report["protocol"], report["identical"], report["not_scored"]) == (protocol, 0, [])
    assert names == ["a", "b", "c/d"]
    expected = {
        name: by_scikit_image(*(read(images / folder / f"{name}.png") for folder in ("noisy", "clean")), protocol)
        for name in names
    }
    found = by_columns(report["images"])
    for name, (psnr, ssim) in expected.items():
        assert found[name] == [pytest.approx(psnr, abs=1e-6), pytest.approx(ssim, abs=1e-9)]
        assert f"{name}  " in out
        assert f"{psnr:.3f} dB  {ssim:.4f}" in out
    mean = np.mean(list(expected.values()), axis=0)
    assert [report["mean"]["psnr"], report["mean"]["ssim"]] == pytest.approx(mean.tolist(), abs=1e-6)
    assert f"mean of 3 images   {mean[0]:.3f} dB  {mean[1]:.4f}" in out
    with (images / "out/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [*names, "mean"]
    assert by_columns(rows) == {**found, "mean": [report["mean"]["psnr"], report["mean"]["ssim"]]}


def test_several_protocols_at_once(restore, images):
    """Each as by itself; the first one's scores stand where one protocol's do."""
    shutil.copy(images / "clean/b.png", images / "noisy/b.png")
    folders, alone = ("score", images / "noisy", images / "clean"), {}
    for name in ("moce-rgb", "aio-rgb", "matlab-y"):
        code, _, err = restore(*folders, "--protocol", name, "--json", images / f"{name}.json")
        assert code == 0, err
        alone[name] = json.loads((images / f"{name}.json").read_text())
    files = ("--json", images / "out.json", "--csv", images / "out.csv")
    code, out, err = restore(*folders, "--protocol", "moce-rgb,aio-rgb", "--protocol", "matlab-y", *files)
    assert code == 0, err
    report = json.loads((images / "out.json").read_text())
    protocols = report.pop("protocols")
    assert report == alone["moce-rgb"]
    assert list(protocols) == list(alone)
    for name, one in protocols.items():
        assert one | {"protocol": name, "not_scored": []} == alone[name]
    table, equal = out.splitlines()[:-3], out.splitlines()[-3:]
    assert table[0].split() == list(alone)
    means = [alone[name]["mean"] for name in alone]
    shown = [f"{mean['psnr']:7.3f} dB  {mean['ssim']:.4f}" for mean in means]
    assert table[-1] == "  ".join(["mean of 3 images", *shown])
    assert equal[0] == "1 of 3 equal the clean image by moce-rgb: infinite PSNR, left out of its mean"
    with (images / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in alone:
        found = by_columns([row for row in rows if row["protocol"] == name])
        assert found == by_columns(alone[name]["images"]) | {"mean": [*alone[name]["mean"].values()]}
    assert restore(*folders, "--protocol", "durn-y", *files)[0] == 0  # replaces them as its own


def test_two_files(restore, images):
    code, out, err = restore("score", images / "noisy/a.png", images / "clean/a.png", "--protocol", "durn-rgb")
    assert code == 0, err
    psnr, ssim = by_scikit_image(read(images / "noisy/a.png"), read(images / "clean/a.png"), "durn-rgb")
    assert f"mean of 1 image   {psnr:.3f} dB  {ssim:.4f}" in out
    shutil.copy(images / "noisy/a.png", images / "other.png")
    assert restore("score", images / "other.png", images / "clean/a.png", "--protocol", "durn-rgb")[0] == 0


def test_equal_images_are_infinite_and_left_out_of_the_mean(restore, images):
    shutil.copy(images / "clean/b.png", images / "noisy/b.png")
    words = ("--protocol", "durn-rgb", "--json", images / "out.json", "--csv", images / "out.csv")
    code, out, err = restore("score", images / "noisy", images / "clean", *words)
    assert code == 0, err
    assert "inf dB  1.0000" in out
    assert "1 of 3 equal the clean image: infinite PSNR, left out of its mean" in out
    text = (images / "out.json").read_text()
    assert '"psnr": 1e999' in text  # Infinity is no JSON
    report = json.loads(text, parse_constant=pytest.fail)
    found = by_columns(report["images"])
    assert found["b"] == [float("inf"), pytest.approx(1)]
    assert report["identical"] == 1
    assert report["mean"]["psnr"] == pytest.approx((found["a"][0] + found["c/d"][0]) / 2)
    assert report["mean"]["ssim"] == pytest.approx(np.mean([ssim for _, ssim in found.values()]))
    *rows, mean = csv.reader((images / "out.csv").read_text().splitlines())
    assert rows[0] == ["name", "psnr", "ssim", "identical"]
    assert [(row[0], row[3]) for row in rows[1:]] == [("a", "0"), ("b", "1"), ("c/d", "0")]
    assert (rows[2][1], mean[0], mean[3]) == ("inf", "mean", "1")


def test_a_folder_beside_itself(restore, images):
    words = ("--protocol", "matlab-y", "--json", images / "out.json")
    code, out, err = restore("score", images / "clean", images / "noisy/../clean", *words)
    assert code == 0
    assert "are the same: its images are compared with themselves" in err
    assert "3 of 3 equal the clean image: infinite PSNR\n" in out
    assert json.loads((images / "out.json").read_text())["mean"]["psnr"] == float("inf")


def test_images_without_a_partner_are_named_on_both_sides(restore, images):
    (images / "noisy/a.png").rename(images / "noisy/a2.png")
    Image.new("RGB", (20, 20)).save(images / "clean/e.webp")
    words = ("--protocol", "durn-y", "--json", images / "out.json")
    code, out, err = restore("score", images / "noisy", images / "clean", *words)
    assert code == 1
    assert f"not scored: 1 of 3 have no partner in {images / 'clean'}: {images / 'noisy/a2.png'}\n" in err
    alone = f"{images / 'clean/a.png'}, {images / 'clean/e.webp'}"
    assert f"not scored: 2 of 4 have no partner in {images / 'noisy'}: {alone}\n" in err
    assert "mean of 2 images" in out
    report = json.loads((images / "out.json").read_text())
    assert [image["name"] for image in report["images"]] == ["b", "c/d"]
    assert len(report["not_scored"]) == 2


def test_folders_without_a_common_name(restore, images):
    (images / "other").mkdir()
    Image.new("RGB", (20, 20)).save(images / "other/a_restored.png")
    code, out, err = restore("score", images / "other", images / "clean", "--protocol", "durn-y")
    assert code == 2
    assert "a_restored.png; 3 of 3 have no partner in" in err
    assert "a.png, " in err
    assert "matched by name without suffix: rename them" in err
    assert out == ""


@pytest.mark.parametrize("protocol", ["durn-rgb", "matlab-y", "jpeg-gray"])
def test_gray_alpha_and_16_bit_files(protocol, restore, images, tmp_path):
    clean = read(images / "clean/a.png")
    gray = np.asarray(Image.fromarray(clean).convert("L"))
    noisy = (gray + np.random.default_rng(1).normal(0, 9, gray.shape)).clip(0, 255).astype(np.uint8)
    files = {"gray": (noisy, gray), "deep": (noisy.astype(np.uint16) * 257, gray.astype(np.uint16) * 257)}
    alpha = np.dstack([read(images / "noisy/a.png"), np.full(clean.shape[:2], 128, np.uint8)])
    for name, (restored, target) in {**files, "alpha": (alpha, clean)}.items():
        for folder, pixels in (("restored", restored), ("target", target)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    words = ("--protocol", protocol, "--json", tmp_path / "out.json")
    code, _, err = restore("score", tmp_path / "restored", tmp_path / "target", *words)
    assert code == 0, err
    found = by_columns(json.loads((tmp_path / "out.json").read_text())["images"])
    of_colours = protocol == "durn-rgb"  # of equal channels the scores of one
    pair = (np.dstack([noisy] * 3), np.dstack([gray] * 3)) if of_colours else (noisy, gray)
    expected = by_scikit_image(*pair, protocol if of_colours else "gray")
    for name in ("gray", "deep"):
        assert found[name] == [pytest.approx(expected[0], abs=1e-6), pytest.approx(expected[1], abs=1e-9)]
    psnr, ssim = by_scikit_image(read(images / "noisy/a.png"), clean, protocol)
    assert found["alpha"] == [pytest.approx(psnr, abs=1e-6), pytest.approx(ssim, abs=1e-9)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("noisy", "clean", "--protocol", "nonsense"), "unknown protocol 'nonsense': choose one of"),
        (("noisy", "nowhere", "--protocol", "durn-y"), "nowhere: no such file or folder"),
        (("noisy", "clean/a.png", "--protocol", "durn-y"), "give two folders, or two files"),
        (("noisy", "clean", "--protocol", "sr-y"), "give --scale, e.g. 2"),
        (("noisy", "clean", "--protocol", "sr-y", "--scale", "0"), "--scale 0: give at least 1"),
        (("noisy", "clean", "--protocol", "matlab-y", "--scale", "4"), "matlab-y leaves no border out, drop it"),
        (("noisy", "clean", "--protocol", "aio-rgb,nonsense"), "unknown protocol 'nonsense': choose one of"),
        (("noisy", "clean", "--protocol", "aio-rgb", "--protocol", "aio-rgb"), "'aio-rgb' is named twice"),
        (("noisy", "clean", "--protocol", "aio-rgb,sr-y"), "--protocol sr-y leaves out a border"),
        (
            ("noisy", "clean", "--protocol", "durn-y", "--json", "there"),
            "--json there exists already: give",
        ),
        (("noisy", "clean", "--protocol", "durn-y", "--csv", "there"), "--csv there exists already: give"),
        (("noisy", "clean", "--protocol", "durn-y", "--json", "clean", "--overwrite"), "is no place for a file"),
        (("noisy", "clean", "--protocol", "durn-y", "--csv", "there/x.csv"), "is no place for a file"),
        (("noisy", "clean", "--protocol", "durn-y", "--csv", "no/../there"), "no/../there exists already"),
        (("noisy", "clean", "--protocol", "durn-y", "--csv", "x", "--json", "./x"), "--json and --csv name the same"),
    ],
)
def test_wrong_calls(words, message, restore, images, monkeypatch):
    monkeypatch.chdir(images)
    (images / "there").write_text("mine")
    code, _, err = restore("score", *words)
    assert code == 2
    assert message in err
    assert (images / "there").read_text() == "mine"


def test_gray_files_are_scored_as_gray(restore, tmp_path):
    """MATLAB's luma is of colours only; a gray file beside a colour one is one of equal channels."""
    noise = np.random.default_rng(0).normal(0, 12, (90, 100))
    clean = data.camera()[:90, :100]
    noisy = (clean + noise).clip(0, 255).astype(np.uint8)
    for name, image in (("clean", clean), ("noisy", noisy)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        Image.fromarray(image).convert("RGB").save(tmp_path / f"{name}-rgb.png")
    found = {}
    for restored, beside in (("noisy", "clean"), ("noisy", "clean-rgb"), ("noisy-rgb", "clean-rgb")):
        words = ("--protocol", "matlab-y", "--json", tmp_path / "scores.json")
        code, _, err = restore("score", tmp_path / f"{restored}.png", tmp_path / f"{beside}.png", *words)
        assert code == 0, err
        found[restored, beside] = json.loads((tmp_path / "scores.json").read_text())["mean"]["psnr"]
    assert found["noisy", "clean"] == pytest.approx(peak_signal_noise_ratio(clean, noisy), abs=1e-6)
    coloured = by_scikit_image(read(tmp_path / "noisy-rgb.png"), read(tmp_path / "clean-rgb.png"), "matlab-y")[0]
    assert found["noisy", "clean-rgb"] == found["noisy-rgb", "clean-rgb"] == pytest.approx(coloured, abs=1e-6)


def test_overwrite(restore, images):
    (images / "out.csv").write_text("mine")
    words = ("--protocol", "durn-y", "--csv", images / "out.csv", "--overwrite")
    assert restore("score", images / "noisy", images / "clean", *words)[0] == 0
    assert (images / "out.csv").read_text().startswith("name,psnr,ssim")


def test_scores_replace_earlier_scores(restore, images):
    """Another file of the same name needs --overwrite, as the wrong calls show."""
    files = ("--json", images / "out.json", "--csv", images / "out.csv")
    for protocol in ("durn-rgb", "durn-y"):
        code, _, err = restore("score", images / "noisy", images / "clean", "--protocol", protocol, *files)
        assert code == 0, err
    assert json.loads((images / "out.json").read_text())["protocol"] == "durn-y"
    assert (images / "out.csv").read_text().count("mean") == 1


def test_what_cannot_be_scored_is_named_and_the_others_done(restore, images):
    Image.new("RGB", (92, 91)).save(images / "noisy/a.png")
    (images / "noisy/b.png").write_text("no image")
    code, out, err = restore("score", images / "noisy", images / "clean", "--protocol", "durn-rgb")
    assert code == 1
    assert f"{images / 'noisy/a.png'} is 92x91, {images / 'clean/a.png'} is 120x91: sizes must agree" in err
    assert "b.png cannot be read" in err
    assert "mean of 1 image" in out
    for folder in ("noisy", "clean"):
        Image.new("RGB", (6, 90)).save(images / folder / "c/d.png")
    code, out, err = restore("score", images / "noisy", images / "clean", "--protocol", "durn-rgb")
    assert code == 1
    assert "c/d.png: SSIM (skimage) needs 7x7 pixels, the image is 90x6" in err
    assert "none of 3 images could be scored" in err
    assert out == ""


def test_torch_is_not_imported(images):
    """It would take longer than the scores."""
    words = ["score", str(images / "noisy"), str(images / "clean"), "--protocol", "matlab-y"]
    script = f"import sys; from restore_lightning.cli import main; assert main({words}) == 0; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120)
    assert not {"torch", "torchmetrics", "kornia", "scipy"} & set(done.stdout.split())


@pytest.mark.parametrize("word", ["Infinity", "-Infinity", 'a "NaN" \\', "\\", "NaN, NaN"])
def test_words_in_json_stay_as_they_are(word):
    value = {word: [word, 1.5, float("inf"), {word: -float("inf")}]}
    assert json.loads(json_text(value), parse_constant=pytest.fail) == value
    assert json.loads(json_text([float("nan"), word]), parse_constant=pytest.fail) == [None, word]


def mean_of(restore, tmp_path, restored, clean, protocol="durn-rgb", *words):
    code, _, err = restore("score", restored, clean, "--protocol", protocol, "--json", tmp_path / "mean.json", *words)
    assert code == 0, err
    return json.loads((tmp_path / "mean.json").read_text())["mean"]["psnr"]


@pytest.mark.parametrize("suffix", ["png", "gif", "tif"])
def test_gray_palettes_are_scored_as_gray(suffix, restore, tmp_path):
    clean = data.camera()[:90, :100]
    noisy = (clean + np.random.default_rng(0).normal(0, 12, clean.shape)).clip(0, 255).astype(np.uint8)
    for name, image in (("clean", clean), ("noisy", noisy)):
        Image.fromarray(image).convert("P").save(tmp_path / f"{name}.{suffix}")
    found = mean_of(restore, tmp_path, tmp_path / f"noisy.{suffix}", tmp_path / f"clean.{suffix}", "matlab-y")
    assert found == pytest.approx(peak_signal_noise_ratio(clean, noisy), abs=1e-6)


@pytest.mark.parametrize(("bits", "suffix"), [(12, "png"), (10, "png"), (12, "tif"), (16, "png"), (16, "tif")])
def test_values_of_fewer_bits_in_files_of_16(bits, suffix, restore, tmp_path):
    """As scikit-image has it with that range; the protocol's 8 bits add little to so much noise."""
    most = 2**bits - 1
    clean = (data.coffee()[:90, :100] / 255 * most).round().astype(np.uint16)
    noisy = (clean + np.random.default_rng(0).normal(0, most * 0.0237, clean.shape)).clip(0, most).astype(np.uint16)
    for name, image in (("clean", clean), ("noisy", noisy)):
        cv2.imwrite(str(tmp_path / f"{name}.{suffix}"), image[..., ::-1])
    files = tmp_path / f"noisy.{suffix}", tmp_path / f"clean.{suffix}"
    expected = peak_signal_noise_ratio(clean, noisy, data_range=most)
    assert 32 < expected < 33.5
    assert mean_of(restore, tmp_path, *files, "durn-rgb", "--bits", bits) == pytest.approx(expected, abs=0.05)
    if bits < 16:
        assert mean_of(restore, tmp_path, *files) > expected + 5  # of the whole range it is little
        code, _, err = restore("score", *files, "--protocol", "durn-rgb", "--bits", bits - 1)
        assert code == 1
        assert f"noisy.{suffix} holds values up to {noisy.max()}: more than --bits {bits - 1} has" in err
    code, _, err = restore("score", *files, "--protocol", "durn-rgb", "--bits", 8)
    assert code == 2
    assert "--bits 8: give 9 to 16" in err


def test_what_is_left_out_is_named(restore, images):
    (images / "noisy/notes.txt").touch()
    picture = Image.fromarray(read(images / "noisy/a.png"))
    picture.save(images / "noisy/a.png", save_all=True, append_images=[picture.rotate(180)])
    code, _, err = restore("score", images / "noisy", images / "clean", "--protocol", "durn-y")
    assert code == 0
    assert f"1 file is no image that can be read: {images / 'noisy/notes.txt'}\n" in err
    assert f"1 file holds several pictures, the first is taken: {images / 'noisy/a.png'} (2)\n" in err


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8(restore, images):
    name = os.fsdecode(b"\xff\xe9.png")
    for folder in ("noisy", "clean"):
        (images / folder / "a.png").rename(images / folder / name)
    words = ("--protocol", "durn-y", "--json", images / "out.json", "--csv", images / "out.csv")
    code, out, err = restore("score", images / "noisy", images / "clean", *words)
    assert code == 0, err
    assert "\\udcff\\udce9 " in out
    assert name.removesuffix(".png") in {
        image["name"] for image in json.loads((images / "out.json").read_text())["images"]
    }
    assert "\\udcff" in (images / "out.csv").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_as_file_systems_allow_them(restore, images):
    """Composed in two ways, and of as many letters as there may be."""
    for name, noisy, clean in (("a", "cafe\u0301", "caf\u00e9"), ("b", "x" * 251, "x" * 251)):
        (images / f"noisy/{name}.png").rename(images / f"noisy/{noisy}.png")
        (images / f"clean/{name}.png").rename(images / f"clean/{clean}.png")
    code, out, err = restore("score", images / "noisy", images / "clean", "--protocol", "durn-y")
    assert code == 0, err
    assert "mean of 3 images" in out


def test_a_photo_that_is_turned_and_strange(restore, tmp_path):
    """What cameras say of how they were held counts, whatever else they say."""
    upright = data.coffee()[:40, :60]
    block = exif_block((0x0112, 3, 1, short(8)), (0x011A, 2, 3, b"72\0"))
    Image.fromarray(upright).save(tmp_path / "clean.png")
    Image.fromarray(np.rot90(upright, -1)).save(tmp_path / "turned.png", exif=block)
    assert mean_of(restore, tmp_path, tmp_path / "turned.png", tmp_path / "clean.png") == float("inf")
