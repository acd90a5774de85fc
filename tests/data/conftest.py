"""Sets of pairs and of clean images, in folders and packed."""

import pytest
from PIL import Image
from skimage import data

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.sources.folders import CleanFolder
from restore_lightning.data.sources.scenes import CleanScenes
from tests.conftest import CONF


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Folder of sets: `pairs` (degraded = clean + 20, 200x150; train and test), `photos` (clean; train and val)."""
    from restore_lightning.cli import main

    where = tmp_path_factory.mktemp("sets")
    images = [data.coffee(), data.chelsea(), data.astronaut(), data.rocket()]
    for number, image in enumerate(images):
        clean = image[:150, :200].clip(0, 235)
        for kind, values in (("clean", clean), ("degraded", clean + 20)):
            split = "test" if number == 3 else "train"
            path = where / f"root/{split}/{kind}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
        path = where / f"clean/{'val' if number == 0 else 'train'}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clean).save(path)
    for layout, root, name in (("pairs", "root", "pairs"), ("clean", "clean", "photos")):
        assert main(["shards", "pack", layout, str(where / root), str(where / name), "--workers", "0"]) == 0
    return where


def samples_of(module, factor, count=6):
    """A factor's first training samples."""
    return [module.training_set[SampleIndex(factor, 0, number, number)] for number in range(count)]


@pytest.fixture
def folders(tmp_path):
    """Three pairs of photographs, the "degraded" ones darker by a known amount; one in a subfolder, suffixes differ."""
    for name, image in (("a", data.chelsea()), ("b", data.coffee()), ("sub/c", data.astronaut())):
        clean, dark = image[:120, :150].clip(9), image[:120, :150].clip(9) - 9
        for folder, pixels, suffix in (("clean", clean, ".png"), ("dark", dark, ".bmp")):
            path = tmp_path / folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path


@pytest.fixture
def trained(restore, tmp_path):
    """A tiny run on rain."""
    code, _, err = restore("fit", "--config", CONF / "single.yaml", "--trainer.default_root_dir", tmp_path / "run")
    assert code == 0, err
    return tmp_path / "run"


@pytest.fixture(params=["scenes", "folder"])
def source(request, photos):
    """Where clean crops come from."""
    return CleanScenes() if request.param == "scenes" else CleanFolder(photos, 48)


def rain_and_jpeg(**arguments):
    """Data of two factors that differ in crops and batches."""
    factors = {"rain": FactorConfig(crop_size=32), "jpeg": FactorConfig(minibatches=2, batch_size=3)}
    return RestorationData(**{"factors": factors, "batch_size": 2, "crop_size": 64} | arguments)
