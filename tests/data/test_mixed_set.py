"""The mixed-degradation data set: appendix C's parameters, the same bytes for the same seed, and what is refused."""

import io
import json
import pickle
import shutil
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from webdataset import WebDataset

from restore_lightning.data.config import FactorConfig
from restore_lightning.data.mixed_set import MixedSample, originals, scenes
from restore_lightning.data.mixing_recipes import COMBINATIONS, PURE, TEST_SETS
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.shards.reader import ShardSet
from restore_lightning.degradations import CDD11, Haze, Mixture, RelativeHaze, haze, jpeg, motion_blur, rain
from restore_lightning.errors import UserError
from restore_lightning.io.images import from_array, to_array, to_float, to_uint8
from restore_lightning.seeding import generator

ALLOWED = {  # appendix C
    "rain": {
        "level": {0.55, 0.65, 0.7, 0.8},
        "length": {10, 20, 35, 50},
        "angle": {110, 105, 100, 90, 85, 80, 70},
    },
    "haze": {"airlight": {1, 0.95, 0.9, 0.8, 0.85}, "beta": {0.2, 0.16, 0.12, 0.1, 0.08}},
    "jpeg": {"quality": set(range(15, 51))},
}
KERNELS = {(10, 1.5), (10, 2.5), (12, 3), (12, 3.5), (13, 8), (15, 12)}


def check_parameters(factors):
    assert list(factors) == [name for name in ("haze", "rain", "blur", "jpeg") if name in factors]  # order of synthesis
    for name, values in factors.items():
        if name == "blur":
            assert (values["radius"], values["sigma"]) in KERNELS
            assert -45 <= values["angle"] <= 45
        for key, allowed in ALLOWED.get(name, {}).items():
            assert values[key] in allowed


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A set of 6 scenes, 2 of them for test, 1 for validation."""
    from restore_lightning.cli import main

    folder = tmp_path_factory.mktemp("mixed") / "set"
    assert main(["mix", str(folder), "--scenes", "6", "--size", "96", "--test", "2", "--val", "1", "--seed", "3"]) == 0
    return folder


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()][1:]


def test_the_sixteen_sets():
    assert len(TEST_SETS) == 16
    assert Counter(name.count("+") + 1 for name in COMBINATIONS) == {2: 6, 3: 4, 4: 1}
    assert TEST_SETS[:4] == PURE
    assert TEST_SETS[-1] == "random"


def test_a_mixture_has_x_factors_x_uniform():
    draws = [list(Mixture().draw(generator(0, n))) for n in range(4000)]
    sizes = Counter(map(len, draws))
    assert sizes.keys() == {1, 2, 3, 4}
    assert all(abs(count - 1000) < 5 * np.sqrt(750) for count in sizes.values())
    singles = Counter(draw[0] for draw in draws if len(draw) == 1)
    assert singles.keys() == set(PURE)
    assert all(abs(count - 250) < 5 * np.sqrt(250) for count in singles.values())


def test_the_order_of_synthesis():
    sample = scenes(1, 64, 0)[0].read()
    image, parameters = to_float(sample.image), Mixture().draw_of(PURE, generator(5))
    expected = haze(image, sample.depth, **parameters["haze"])
    expected = motion_blur(rain(expected, **parameters["rain"]), **parameters["blur"])
    assert torch.equal(Mixture().apply(image, sample.depth, **parameters), jpeg(expected, **parameters["jpeg"]))


def test_every_parameter_is_recorded_and_allowed(written):
    lines = manifest(written)
    assert Counter(line["split"] for line in lines) == {"train": 3, "val": 1, "test": 2}
    names = [line["name"] for line in lines]
    assert len(set(names)) == 6  # no image is in two splits
    for line in lines:
        versions = {name: about["factors"] for name, about in line["versions"].items() if name != "clean"}
        wanted = TEST_SETS if line["split"] == "test" else (*PURE, "mixed")
        assert tuple(versions) == wanted
        for name, factors in versions.items():
            check_parameters(factors)
            if name not in ("random", "mixed"):
                assert set(factors) == set(name.split("+"))


def rows_by_version(shards, split):
    """Name of the sample -> version -> its row."""
    found = {}
    for version in ("clean", *shards.versions(split)):
        for row in shards.rows(split, version).tolist():
            found.setdefault(shards.name(row), {})[version] = row
    return found


def test_the_manifest_suffices_to_make_every_image_again(written):
    shards, originals_by_name = ShardSet(written), {image.name: image for image in scenes(6, 96, 3)}
    for line in manifest(written):
        rows = rows_by_version(shards, line["split"])[line["name"]]
        clean = originals_by_name[line["name"]].read()
        assert torch.equal(shards.read(rows["clean"]), clean.image)
        assert list(rows) == list(line["versions"])
        for version, about in line["versions"].items():
            if version != "clean":
                image = Mixture().apply(to_float(clean.image), clean.depth, **about["factors"])
                assert torch.equal(shards.read(rows[version]), to_uint8(image)), version
                assert shards.factors(rows[version]) == tuple(about["factors"])


def test_the_seed_decides_the_bytes(written, restore, tmp_path):
    words = ("--scenes", 6, "--size", 96, "--test", 2, "--val", 1)
    assert restore("mix", tmp_path / "same", *words, "--seed", 3, "--workers", 2)[0] == 0
    assert restore("mix", tmp_path / "other", *words, "--seed", 4)[0] == 0
    files = sorted(path.name for path in written.iterdir())
    assert files == ["index.npz", "manifest.jsonl", "test-000000.tar", "train-000000.tar", "val-000000.tar"]
    for name in files:
        assert (written / name).read_bytes() == (tmp_path / "same" / name).read_bytes()
        assert (written / name).read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_webdataset_reads_the_shards(written):
    samples = list(WebDataset(str(written / "test-000000.tar"), shardshuffle=False))
    ours = ShardSet(written)
    rows = rows_by_version(ours, "test")
    assert [s["__key__"] for s in samples] == list(rows)
    array = np.load(io.BytesIO(samples[0]["rain+blur.npy"]))
    assert np.array_equal(array.transpose(2, 0, 1), ours.read(rows[samples[0]["__key__"]]["rain+blur"]).numpy())


def test_training_crops_come_from_the_set(written):
    data = RestorationData(
        {"mixed": FactorConfig(minibatches=2), "rain": FactorConfig()}, root=str(written), crop_size=64
    )
    data.setup("fit")
    source, resolved = data.training_set.sources["rain"], data.resolved["rain"]
    pairs = [source.pair(SampleIndex("rain", 0, number, number), resolved, 1) for number in range(6)]
    assert all(pair.degraded.shape == (3, 64, 64) and pair.factors == ("rain",) for pair in pairs)
    assert all((pair.degraded.int() - pair.clean.int()).min() >= 0 for pair in pairs)  # rain only brightens
    again = [source.pair(SampleIndex("rain", 0, number, number), resolved, 1) for number in range(6)]
    assert all(torch.equal(a.degraded, b.degraded) for a, b in zip(pairs, again, strict=True))
    assert all(not torch.equal(a.clean, b.clean) for a, b in pairwise(pairs))
    source = data.training_set.sources["mixed"]
    shards = data.locations.root_shards
    mixed = {source.pair(SampleIndex("mixed", 0, number, number), resolved, 1).factors for number in range(3)}
    assert mixed == {shards.factors(row) for row in shards.rows("train", "mixed").tolist()}
    assert [s.name for s in data.val_sets] == ["rain", "mixed"]
    data.setup("test")
    assert [s.name for s in data.test_sets] == list(TEST_SETS)
    assert {s.protocols for s in data.test_sets} == {("mbn-rgb",)}
    scored = data.test_sets[10][1]
    assert (scored["set"], scored["factors"]) == ("rain+blur+haze", ("haze", "rain", "blur"))


@pytest.fixture
def reside(tmp_path, photos):
    """Two images in RESIDE-beta's folders: hazy versions named by airlight and beta."""
    root = tmp_path / "reside"
    for folder in ("clear", "hazy"):
        (root / folder).mkdir(parents=True)
    for name, source in (("0001", photos / "a.png"), ("0002", photos / "more/c.png")):
        image = Image.open(source).convert("RGB")
        image.save(root / f"clear/{name}.png")
        for airlight, beta in (("0.8", "0.1"), ("1", "0.2"), ("0.9", "0.04")):  # 0.04 is not drawn from
            Image.blend(image, Image.new("RGB", image.size, "white"), float(beta)).save(
                root / f"hazy/{name}_{airlight}_{beta}.png"
            )
    return root


def test_resides_hazy_versions(reside):
    images = originals(reside)
    assert [image.name for image in images] == ["0001", "0002"]
    used = set()
    for seed in range(12):
        made = {member.version: member for member in MixedSample("test", images[0], seed).members()}
        given = made["haze"].about["factors"]["haze"]
        used.add(given["file"])
        assert given["file"] == f"hazy/0001_{given['airlight']:g}_{given['beta']:g}.png"
        assert np.array_equal(made["haze"].data, np.array(Image.open(reside / given["file"])))
        both = made["haze+jpeg"].about["factors"]
        assert list(both) == ["haze", "jpeg"]
        hazy = from_array(np.array(Image.open(reside / both["haze"]["file"])))
        expected = to_uint8(jpeg(to_float(hazy), both["jpeg"]["quality"]))
        assert np.array_equal(made["haze+jpeg"].data, to_array(expected))
    assert used == {"hazy/0001_0.8_0.1.png", "hazy/0001_1_0.2.png"}


def test_a_hazy_version_that_fits_two_images_is_refused(reside):
    (reside / "clear/more").mkdir()
    shutil.copy(reside / "clear/0001.png", reside / "clear/more/0001.png")
    with pytest.raises(UserError, match=r"2 images in .* are called 0001"):
        originals(reside)


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_images_with_depth(kind, tmp_path, photos):
    (tmp_path / "clean/a").mkdir(parents=True)
    (tmp_path / "depth/a").mkdir(parents=True)
    Image.open(photos / "a.png").save(tmp_path / "clean/a/x.y.png")
    metres = np.linspace(1, 9, 200 * 280).reshape(200, 280)
    if kind == "npy":
        np.save(tmp_path / "depth/a/x.y.npy", metres)
    else:
        Image.fromarray((metres * 1000).round().astype(np.uint16)).save(tmp_path / "depth/a/x.y.png")
    (image,) = originals(tmp_path)
    assert image.name == "a/x_y"
    clean = image.read()
    np.testing.assert_allclose(clean.depth.numpy(), metres, atol=1e-3)
    made = {member.version: member for member in MixedSample("test", image, 0).members()}
    parameters = made["haze"].about["factors"]["haze"]
    expected = to_uint8(Haze().apply(to_float(clean.image), clean.depth, **parameters))
    assert np.array_equal(made["haze"].data, to_array(expected))


def wrong(restore, *words):
    code, _, err = restore("mix", *words)
    (line,) = [line for line in err.splitlines() if line.startswith("restore ")]
    assert "Traceback" not in err
    return code, line


def test_images_without_depth_are_refused_and_named(restore, reside, tmp_path, photos):
    code, line = wrong(restore, tmp_path / "out", "--root", photos)
    assert code == 2
    assert "has no folder clear, clean or gt" in line
    Image.open(photos / "a.png").save(reside / "clear/0003.png")
    code, line = wrong(restore, tmp_path / "out", "--root", reside)
    assert code == 2
    assert "1 of 3 images" in line
    assert "have neither depth nor hazy version, which haze needs: 0003.png" in line
    assert not (tmp_path / "out").exists()


def test_wrong_depth_and_wrong_hazy_versions(restore, reside, tmp_path):
    (reside / "depth").mkdir()
    Image.new("RGB", (10, 10)).save(reside / "hazy/0001_0.9_0.1.png")
    assert (
        "is (10, 10), its image 0001.png (200, 280) (height, width)"
        in wrong(restore, tmp_path / "out", "--root", reside)[1]
    )
    shutil.rmtree(reside / "hazy")
    for depth, message in (
        (np.ones((3, 3)), "give haze or depth of the image's size"),
        (np.full((200, 280), np.nan), "no distances"),
        (np.array({"a": 1}, dtype=object), "cannot be read as depth"),
        (np.full((200, 280), "a"), "0001.npy cannot be read as depth: it holds no array of real numbers"),
        (np.ones((200, 280), dtype=complex), "it holds no array of real numbers"),
    ):
        for name in ("0001", "0002"):
            np.save(reside / f"depth/{name}.npy", depth)
        code, line = wrong(restore, tmp_path / "out", "--root", reside, "--workers", 1)
        assert message in line
        assert code
    assert [path.name for path in tmp_path.iterdir()] == ["reside"]  # nothing half written


def test_an_existing_folder_is_not_overwritten(restore, written, tmp_path):
    words = ("--scenes", 2, "--size", 32)
    assert "give --overwrite" in wrong(restore, written, *words)[1]
    (tmp_path / "mine.txt").touch()
    code, line = wrong(restore, tmp_path, *words, "--overwrite")
    assert code == 2
    assert "no data set of ours" in line
    assert (tmp_path / "mine.txt").exists()
    shutil.copytree(written, tmp_path / "set")
    # What lies in a set besides its own files keeps it from being replaced, its source above all.
    (tmp_path / "set/clear").mkdir()
    assert "no data set of ours" in wrong(restore, tmp_path / "set", "--root", tmp_path / "set", "--overwrite")[1]
    (tmp_path / "set/clear").rmdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/manifest.jsonl").write_text('{"audio": "a.wav"}')
    assert "no data set of ours" in wrong(restore, tmp_path / "foreign", *words, "--overwrite")[1]
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert restore("mix", tmp_path / "link", *words, "--overwrite")[0] == 0
    assert len(manifest(tmp_path / "set")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "set", "foreign", "link"}
    assert "exists already" in wrong(restore, tmp_path / "mine.txt", *words)[1]
    assert "is no folder" in wrong(restore, tmp_path / "mine.txt/below", *words)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--scenes", 1), "--scenes 1: give at least 2"),
        (("--scenes", 4, "--test", 4), "leave at least one for test and one to train on"),
        (("--scenes", 4, "--test", 0), "leave at least one for test and one to train on"),
        (("--scenes", 4, "--test", 1, "--val", 3), "leave at least one for test and one to train on"),
        (("--scenes", 4, "--test", "no.txt"), "--test no.txt: no number, and no file of this name"),
        (("--scenes", 4, "--workers", -1), "--workers -1: give at least 0"),
        (("--root", "nowhere"), "--root nowhere is no folder: give one that"),
    ],
)
def test_wrong_calls(words, message, restore, tmp_path):
    code, line = wrong(restore, tmp_path / "out", *words)
    assert code == 2
    assert message in line
    assert not (tmp_path / "out").exists()


def test_the_test_images_can_be_named(restore, reside, tmp_path):
    (reside / "clear/0002.png").rename(reside / "clear/0002 a.png")
    for path in sorted((reside / "hazy").glob("0002_*")):
        path.rename(path.with_name(path.name.replace("0002", "0002 a")))
    for text in ("0002 a\n", "0002 a.png\n\n"):
        (tmp_path / "names.txt").write_text(text)
        words = ("--root", reside, "--test", tmp_path / "names.txt", "--overwrite")
        assert restore("mix", tmp_path / "out", *words)[0] == 0
        assert {line["name"]: line["split"] for line in manifest(tmp_path / "out")} == {
            "0001": "train",
            "0002 a": "test",
        }
    (tmp_path / "names.txt").write_text("0009\n")
    words = ("--root", reside, "--test", tmp_path / "names.txt")
    line = wrong(restore, tmp_path / "other", *words)[1]
    assert "1 of 1 lines name no image of the set: 0009; its images are called 0001, 0002 a" in line
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    assert "no text file" in wrong(restore, tmp_path / "other", *words)[1]


def test_samples_travel_to_workers_that_are_not_forked(reside):
    for images in (scenes(2, 32, 0), originals(reside)):
        sample = MixedSample("train", images[1], 0)
        again = pickle.loads(pickle.dumps(sample))
        assert again.state() == sample.state()
        for one, other in zip(sample.members(), again.members(), strict=True):
            assert np.array_equal(one.data, other.data)


def test_only_sets_of_the_datas_factors_are_scored(written, caplog):
    data = RestorationData({"rain": FactorConfig(), "haze": FactorConfig()}, root=str(written))
    data.setup("test")
    names = [dataset.name for dataset in data.test_sets]
    assert set(names) >= {"rain", "haze", "rain+haze"}
    assert all({"blur", "jpeg"}.isdisjoint(dataset.factors) for dataset in data.test_sets)


def test_sets_and_factors_that_do_not_fit(written):
    def fit(**arguments):
        factors = arguments.pop("factors", {"rain": FactorConfig()})
        RestorationData(factors, root=str(written), **arguments).setup("fit")

    with pytest.raises(UserError, match=r"has no images of 'noise': it has rain, blur, haze, jpeg, mixed"):
        fit(factors={"noise": FactorConfig()})
    with pytest.raises(UserError, match=r"crop_size 128 is larger than 3 of 3 images"):
        fit(crop_size=128)
    with pytest.raises(
        UserError, match=r"data.factors.rain.degradation is set, but the images .* are degraded already"
    ):
        fit(factors={"rain": FactorConfig(degradation=Haze())})


@pytest.fixture(scope="module")
def eleven(tmp_path_factory, photos):
    """Photographs without depth, degraded by CDD-11's recipe; one for test."""
    from restore_lightning.cli import main

    folder = tmp_path_factory.mktemp("eleven") / "set"
    assert main(["mix", str(folder), "--recipe", "cdd11", "--root", str(photos), "--test", "1"]) == 0
    return folder


def test_cdd11s_eleven_sets_of_any_clean_images(eleven):
    lines, shards = manifest(eleven), ShardSet(eleven)
    assert [line["split"] for line in lines] == ["train", "train", "test"]
    for line in lines:
        assert tuple(line["versions"]) == ("clean", *CDD11)
        rows = rows_by_version(shards, line["split"])[line["name"]]
        for version in CDD11:
            factors = shards.factors(rows[version])
            assert sorted(factors) == sorted(version.split("_"))
            assert factors == tuple(name for name in ("low", "rain", "snow", "haze") if name in factors)
            assert not torch.equal(shards.read(rows[version]), shards.read(rows["clean"]))
    about = lines[0]["versions"]["low_haze_rain"]["factors"]
    assert 2 <= about["low"]["power"] <= 3
    assert 0.6 <= about["haze"]["airlight"] <= 0.9


def test_stand_ins_are_said(tmp_path, photos, restore):
    (tmp_path / "root/depth").mkdir(parents=True)
    for name in ("a", "b", "c"):
        Image.open(photos / "a.png").crop((0, 0, 48, 40)).save(tmp_path / f"root/{name}.png")
    for number, name in enumerate(("a", "b", "c")):
        np.save(tmp_path / f"root/depth/{name}.npy", np.ones((40, 48)))
        words = ("--recipe", "cdd11", "--root", tmp_path / "root", "--test", "1")
        code, out, err = restore("mix", tmp_path / f"out{number}", *words)
        assert code == 0, err
        if number < 2:
            said = f"haze of {2 - number} of 3 images is over a stand-in: they have no {tmp_path / 'root/depth'}/NAME"
            assert out.splitlines()[1] == said
        else:
            assert "stand-in" not in out


def test_depth_is_used_where_there_is_one(tmp_path, photos):
    (tmp_path / "depth").mkdir()
    for name in ("a", "b"):
        Image.open(photos / "a.png").save(tmp_path / f"{name}.png")
    depth = np.repeat(np.linspace(1, 9, 200)[:, None], 280, axis=1)
    np.save(tmp_path / "depth/a.npy", depth)
    with_depth, without = originals(tmp_path, stand_in=True)
    assert (with_depth.name, without.name) == ("a", "b")
    made = {member.version: member for member in MixedSample("test", with_depth, 0, "cdd11").members()}
    parameters = made["haze"].about["factors"]["haze"]
    clean = with_depth.read()
    expected = to_uint8(RelativeHaze().apply(to_float(clean.image), torch.from_numpy(depth).float(), **parameters))
    assert np.array_equal(made["haze"].data, to_array(expected))
    again = [MixedSample("test", without, 0, "cdd11").members()[2].data for _ in range(2)]
    assert np.array_equal(*again)


def test_a_run_on_the_eleven_sets(eleven):
    """Each by its name, as a factor; or the photographs themselves, degraded on the fly."""
    data = RestorationData({name: FactorConfig() for name in CDD11}, root=str(eleven), crop_size=32)
    data.setup("fit")
    resolved = data.resolved["low_haze_rain"]
    pair = data.training_set.sources["low_haze_rain"].pair(SampleIndex("low_haze_rain", 0, 0, 0), resolved, 1)
    assert pair.factors == ("low", "rain", "haze")
    data.setup("test")
    assert [scored.name for scored in data.test_sets] == list(CDD11)
    assert {scored.protocols for scored in data.test_sets} == {("aio-rgb",)}


def test_a_version_is_scored_as_its_factor_says(eleven):
    factors = {name: FactorConfig() for name in ("low", "haze", "low_haze")}
    factors["low"] = FactorConfig(protocol=["moce-rgb", "durn-y"], colour="gray")
    data = RestorationData(factors, root=str(eleven))
    data.setup("test")
    low, haze, mixed = data.test_sets
    assert [scored.name for scored in data.test_sets] == ["low", "haze", "low_haze"]
    assert low.protocols == ("moce-rgb", "durn-y")
    assert haze.protocols == mixed.protocols == ("aio-rgb",)
    assert [scored[0]["clean"].shape[0] for scored in (low, haze)] == [1, 3]


def test_the_eleven_on_the_fly(photos):
    factors = {"low_haze_rain": FactorConfig(), "snow": FactorConfig(), "cdd11": FactorConfig()}
    data = RestorationData(factors, root=str(photos), crop_size=32)
    data.setup("fit")
    for name in factors:
        pair = data.training_set.sources[name].pair(SampleIndex(name, 0, 3, 3), data.resolved[name], 1)
        assert pair.degraded.shape == pair.clean.shape == (3, 32, 32)
        assert not torch.equal(pair.degraded, pair.clean)
    data.setup("test")
    assert data.test_sets[0].factors == ("low", "rain", "haze")
