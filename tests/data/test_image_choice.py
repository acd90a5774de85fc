"""Lists of images, and clean images of other names than the degraded ones', as a run takes them."""

import pytest
from PIL import Image

from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.errors import UserError

HAZE = [r"(?:.*/)?(\d+)_.*", r"\1"]


@pytest.fixture
def hazy(tmp_path):
    """Clean images of 1 to 3, two hazy ones each; gray values 10 n, and 10 n + 1, 10 n + 2."""
    for number in (1, 2, 3):
        files = {f"original/{number}.png": 0, f"synthetic/part1/{number}_0.8_0.2.jpg": 1}
        for path, more in (files | {f"synthetic/part2/{number}_1_0.2.jpg": 2}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 36), (10 * number + more,) * 3).save(tmp_path / path, quality=100)
    return tmp_path


def folders(root):
    return {"degraded": str(root / "synthetic"), "clean": str(root / "original"), "counterpart": HAZE}


def pairs_of(root, **given):
    """Gray of the degraded image -> of the clean one, in a test set of a run."""
    data = RestorationData(
        {"haze": FactorConfig(**folders(root))}, test_sets={"sots": EvaluationConfig(**folders(root) | given)}
    )
    data.setup("test")
    return {int(sample["degraded"][0, 0, 0]): int(sample["clean"][0, 0, 0]) for sample in data.test_sets[0]}


def test_counterparts_of_other_names(hazy):
    expected = {10 * n + more: 10 * n for n in (1, 2, 3) for more in (1, 2)}
    assert pairs_of(hazy) == expected


def test_the_degraded_images_suffix_decides_between_two(hazy):
    Image.new("RGB", (40, 36), (77,) * 3).save(hazy / "original/1.jpg", quality=100)
    assert pairs_of(hazy)[11] == 77
    assert pairs_of(hazy)[21] == 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("synthetic/part1/1_0.8_0.2.jpg\npart2/3_1_0.2.jpg\n", {11: 10, 32: 30}),
        ("2.png\n", {21: 20, 22: 20}),
    ],
)
def test_a_list_of_pairs(text, expected, hazy):
    (hazy / "list.txt").write_text(text)
    assert pairs_of(hazy, image_list=str(hazy / "list.txt")) == expected


def test_training_on_listed_images(hazy):
    (hazy / "rain.txt").write_text("synthetic/part1/2_0.8_0.2.jpg\n")
    (hazy / "clean.txt").write_text("original/3.png\n")
    given = {
        "real": FactorConfig(**folders(hazy), image_list=str(hazy / "rain.txt")),
        "noise": FactorConfig(clean=str(hazy / "original"), image_list=str(hazy / "clean.txt")),
    }
    scored = {"x": EvaluationConfig(clean=str(hazy / "original"), factor="noise", image_list=str(hazy / "clean.txt"))}
    data = RestorationData(given, crop_size=16, val_sets=scored)
    data.setup("fit")
    assert [pair.name for pair in data.training_set.sources["real"].pairs] == ["part1/2_0.8_0.2"]
    assert [path.name for path in data.training_set.sources["noise"].clean.paths] == ["3.png"]
    assert [image.name for image in data.val_sets[0].images] == ["3"]


def test_what_does_not_fit_is_named(hazy):
    (hazy / "original/2.png").unlink()
    with pytest.raises(UserError, match=r"2 images have no counterpart: .*part1/2_0.8_0.2.jpg \(no 2 in .*original\)"):
        pairs_of(hazy)
    (hazy / "list.txt").write_text("part1/1_0.8_0.2.jpg\npart1/9_0.8_0.2.jpg\n")
    with pytest.raises(UserError, match=r"1 names do not fit: .*list.txt, line 2: there is no image part1/9_0.8_0.2"):
        pairs_of(hazy, image_list=str(hazy / "list.txt"))
    (hazy / "list.txt").write_text("part1/2_0.8_0.2.jpg\n")
    with pytest.raises(UserError, match=r"1 images have no counterpart: .*part1/2_0.8_0.2.jpg"):
        pairs_of(hazy, image_list=str(hazy / "list.txt"))
    (hazy / "synthetic/part1/cat.jpg").write_bytes((hazy / "synthetic/part1/1_0.8_0.2.jpg").read_bytes())
    with pytest.raises(UserError, match=r"part1/cat.jpg \(its name fits no"):
        pairs_of(hazy)


@pytest.mark.parametrize("text", ["1.png\noriginal/3.png\n", "original/3.png\n", "part1/1_0.8_0.2.jpg\n3.png\n"])
def test_a_listed_clean_image_without_a_degraded_one_is_named(text, hazy):
    for path in hazy.glob("synthetic/*/3_*"):
        path.unlink()
    (hazy / "list.txt").write_text(text)
    with pytest.raises(
        UserError, match=r"1 images have no counterpart: \S*original/3.png \(none of \S*synthetic belongs"
    ):
        pairs_of(hazy, image_list=str(hazy / "list.txt"))


def test_a_name_of_several_images_is_refused(hazy):
    """As a frame's number in a folder of sequences."""
    (hazy / "synthetic/part2/1_0.8_0.2.jpg").write_bytes((hazy / "synthetic/part2/1_1_0.2.jpg").read_bytes())
    (hazy / "list.txt").write_text("2.png\n1_0.8_0.2.jpg\n")
    with pytest.raises(UserError) as refused:
        pairs_of(hazy, image_list=str(hazy / "list.txt"))
    above = f"{hazy.parent.name}/{hazy.name}/synthetic"
    assert str(refused.value).endswith(
        f"line 2: 1_0.8_0.2.jpg may be {above}/part1/1_0.8_0.2.jpg, {above}/part2/1_0.8_0.2.jpg: give more of its path"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"counterpart": ["("]}, r"data.test_sets.x.counterpart \['\('\]: give a regular expression"),
        ({"counterpart": ["(", "a"]}, "give a regular expression"),
        ({"counterpart": ["a", r"\1"]}, "give a regular expression"),
    ],
)
def test_what_is_no_rule(given, message):
    with pytest.raises(UserError, match=message):
        EvaluationConfig(clean="a", degraded="b", **given).check("data.test_sets.x")


def test_what_says_nothing():
    with pytest.raises(UserError, match=r"data.factors.rain.image_list says nothing without data.factors.rain.clean"):
        RestorationData({"rain": FactorConfig(image_list="a.txt")})
    with pytest.raises(UserError, match="counterpart says nothing without"):
        RestorationData({"rain": FactorConfig(clean="a", counterpart=["a", "b"])})
