"""Folders: matching by name, sizes, crops of the same place, each photograph once per round."""

import pytest
import torch
from PIL import Image

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.folders import CleanFolder, FolderPairs, match_pairs, scale_of
from restore_lightning.errors import UserError
from restore_lightning.io.images import read_image


def test_matched_by_name_without_suffix(folders):
    pairs = match_pairs(folders / "dark", folders / "clean")
    assert [pair.name for pair in pairs] == ["a", "b", "sub/c"]
    assert scale_of(pairs) == 1
    one = match_pairs(folders / "dark/a.bmp", folders / "clean/b.png")
    assert [(pair.name, pair.clean.name) for pair in one] == [("a", "b.png")]


def test_what_does_not_fit_is_named(folders, tmp_path):
    (folders / "dark/b.bmp").rename(folders / "dark/d.bmp")
    with pytest.raises(UserError, match=r"1 of 3 have no partner in .*clean: .*d.bmp; 1 of 3 have .*dark: .*b.png"):
        match_pairs(folders / "dark", folders / "clean")
    (folders / "dark/d.bmp").rename(folders / "dark/b.bmp")
    Image.new("RGB", (150, 119)).save(folders / "dark/a.bmp")
    with pytest.raises(UserError, match=r"1 of 3 pairs differ in size: .*a.bmp is 150x119, .*a.png is 150x120"):
        scale_of(match_pairs(folders / "dark", folders / "clean"))
    (folders / "dark/a.bmp").write_text("no image")
    with pytest.raises(UserError, match=r"1 of 3 pairs: .*a.bmp cannot be read"):
        scale_of(match_pairs(folders / "dark", folders / "clean"))
    Image.new("RGB", (150, 120)).save(folders / "dark/a.png")
    with pytest.raises(UserError, match="have one name"):
        match_pairs(folders / "dark", folders / "clean")
    with pytest.raises(UserError, match="no such file or folder"):
        match_pairs(folders / "nowhere", folders / "clean")
    with pytest.raises(UserError, match="give two folders, or two files"):
        match_pairs(folders / "dark", folders / "clean/a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        match_pairs(tmp_path / "empty", folders / "clean")


def test_crops_show_the_same_place(folders):
    source = FolderPairs(folders / "dark", folders / "clean", 32)
    resolved = ResolvedFactor(32, (), None)
    crops = [source.pair(SampleIndex("dark", 0, number, number), resolved, 5) for number in range(9)]
    for crop in crops:
        assert crop.degraded.shape == crop.clean.shape == (3, 32, 32)
        assert bool((crop.clean - crop.degraded == 9).all())
        assert crop.factors == ("dark",)
    again = source.pair(SampleIndex("dark", 0, 3, 3), resolved, 5)
    assert torch.equal(again.clean, crops[3].clean)
    assert not torch.equal(crops[0].clean, crops[3].clean)  # the next round, or another place
    with pytest.raises(UserError, match=r"crop_size 200 is larger than 3 of 3 images"):
        FolderPairs(folders / "dark", folders / "clean", 200)


def test_small_and_large_pairs(folders):
    """Super-resolution pairs: the clean crop is the same place, larger."""
    for path in (folders / "dark").rglob("*.bmp"):
        image = Image.open(path)
        image.resize((50, 40), Image.Resampling.NEAREST).save(path)
    source = FolderPairs(folders / "dark", folders / "clean", 16)
    assert source.scale == 3
    crop = source.pair(SampleIndex("dark", 0, 0, 0), ResolvedFactor(16, (), None), 0)
    assert (crop.degraded.shape, crop.clean.shape) == ((3, 16, 16), (3, 48, 48))
    assert bool((crop.clean[:, 1::3, 1::3] - crop.degraded == 9).all())  # nearest takes the middle pixel
    Image.new("RGB", (75, 60)).save(folders / "dark/a.bmp")
    with pytest.raises(UserError, match="2 and 3 times as large"):
        FolderPairs(folders / "dark", folders / "clean", 16)


def test_a_round_takes_every_photograph_once(photos):
    source = CleanFolder(photos, 16)
    crops = [source.crop(number, 16, 0, seed=0)[0].image for number in range(6)]
    images = [read_image(path) for path in source.paths]

    def origin(crop):
        return next(
            i
            for i, image in enumerate(images)
            if (image.unfold(1, 16, 1).unfold(2, 16, 1) == crop[:, None, None]).all((0, 3, 4)).any()
        )

    assert sorted(origin(crop) for crop in crops[:3]) == sorted(origin(crop) for crop in crops[3:]) == [0, 1, 2]


def test_the_margin_ends_at_the_image(photos):
    source = CleanFolder(photos, 190)  # the images are 200 x 280
    clean, window = source.crop(0, 190, 30, seed=0)
    assert clean.image.shape[1] <= 200
    assert window.cut(clean.image).shape == (3, 190, 190)


def test_folders_that_cannot_be_trained_on(tmp_path, photos):
    with pytest.raises(UserError, match=r"no folder"):
        CleanFolder(tmp_path / "nothing", 16)
    with pytest.raises(UserError, match=r"holds no images"):
        CleanFolder(tmp_path, 16)
    with pytest.raises(UserError, match=r"crop_size 256 is larger than 3 of 3 images.*280x200"):
        CleanFolder(photos, 256)
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "good.png").write_bytes((photos / "a.png").read_bytes())
    with pytest.raises(UserError, match=r"1 of 2 files.*broken\.png cannot be read"):
        CleanFolder(tmp_path, 16)
