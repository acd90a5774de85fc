"""`restore score`: numbers of scikit-image, and what happens to images that cannot be scored."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from restore_lightning.io.files import json_text
from restore_lightning.metrics import PROTOCOLS
from tests.commands.conftest import by_columns, read
from tests.references import by_scikit_image


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


def test_what_is_left_out_is_named(restore, images):
    (images / "noisy/notes.txt").touch()
    picture = Image.fromarray(read(images / "noisy/a.png"))
    picture.save(images / "noisy/a.png", save_all=True, append_images=[picture.rotate(180)])
    code, _, err = restore("score", images / "noisy", images / "clean", "--protocol", "durn-y")
    assert code == 0
    assert f"1 file is no image that can be read: {images / 'noisy/notes.txt'}\n" in err
    assert f"1 file holds several pictures, the first is taken: {images / 'noisy/a.png'} (2)\n" in err


def test_transparency_is_said_not_to_be_scored(restore, images):
    opaque = read(images / "noisy/a.png")
    alpha = np.full((*opaque.shape[:2], 1), 255, np.uint8)
    words = ("score", images / "noisy", images / "clean", "--protocol", "durn-y")
    Image.fromarray(np.concatenate([opaque, alpha], 2)).save(images / "noisy/a.png")
    code, before, err = restore(*words)
    assert (code, "alpha" in err) == (0, False)
    alpha[3, 4] = 254
    Image.fromarray(np.concatenate([opaque, alpha], 2)).save(images / "noisy/a.png")
    code, out, err = restore(*words)
    assert (code, out) == (0, before)
    assert f"1 file has transparent pixels, colours are scored and alpha is not: {images / 'noisy/a.png'}\n" in err
