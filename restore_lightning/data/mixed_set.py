"""Clean images and their degraded versions by a recipe, e.g. the mixed-degradation data set of paper 2.

There (section 5.4, appendix C) a training image has one version per pure factor and a mixed one, of X factors; a test
image has one per subset of table 4.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restore_lightning.data.mixing_recipes import RECIPES, Recipe
from restore_lightning.data.shards.reader import CLEAN
from restore_lightning.data.shards.samples import TAR_BLOCKS, Member, file_state
from restore_lightning.data.sources.base import CleanImage
from restore_lightning.data.sources.crops import sizes_of
from restore_lightning.data.sources.folders import photographs
from restore_lightning.data.sources.scenes import scene
from restore_lightning.degradations import Haze, stand_in_depth
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.files import check_is_folder
from restore_lightning.io.image_files import image_size
from restore_lightning.io.images import read_image, to_array, to_float, to_uint8
from restore_lightning.seeding import derive, generator

CLEAN_FOLDERS = ("clear", "clean", "gt")
HAZY_NAME = re.compile(r"(?P<name>.+)_(?P<airlight>\d*\.?\d+)_(?P<beta>\d*\.?\d+)")


class Hazy(NamedTuple):
    """One of RESIDE-beta's hazy versions of an image.

    Args:
        airlight: v1 of RESIDE-beta.
        beta: v2 of RESIDE-beta.
        path: The file.
        name: Its path below the root.
    """

    airlight: float
    beta: float
    path: Path
    name: str


class Original(NamedTuple):
    """A clean image to make versions of.

    Args:
        name: Unique in the set.
        source: Where it comes from, for the manifest.
        read: Reads the image, and its depth where haze is computed.
        shape: (height, width).
        hazy: Its hazy versions, where haze is taken from RESIDE-beta.
        files: All that it is read from.
        depth_known: Whether its depth is there, or was needed for its hazy versions; else it takes a stand-in.
    """

    name: str
    source: str
    read: Callable[[], CleanImage]
    shape: tuple[int, int]
    hazy: Sequence[Hazy] = ()
    files: Sequence[Path] = ()
    depth_known: bool = True


def scenes(count: int, size: int, seed: int) -> list[Original]:
    """Procedural scenes, `size` pixels square."""
    seeds = [derive(seed, "mixed scene", number) for number in range(count)]
    return [
        Original(f"{number:06d}", f"scene {number}", partial(_scene, size, own), (size, size))
        for number, own in enumerate(seeds)
    ]


def _scene(size: int, seed: int) -> CleanImage:
    return CleanImage.of_arrays(*scene(size, size, seed))


def originals(root: Path, stand_in: bool = False) -> list[Original]:
    """Clean images with depth, or with RESIDE-beta's hazy versions.

    Args:
        root: Holds the clean images in `clear`, `clean` or `gt`, and either `depth/NAME.npy` (metres) or
            `depth/NAME.png` (16 bit, millimetres), or `hazy/NAME_AIRLIGHT_BETA.jpg` (RESIDE-beta's names,
            below any folder).
        stand_in: Depth may be missing, hazy versions are not used, and the clean images may lie in `root` itself.

    Raises:
        UserError: No such folder, or images without depth and hazy version; they are counted and named.
    """
    check_is_folder(root, "one that holds clean images", "--root")
    folder = next((root / name for name in CLEAN_FOLDERS if (root / name).is_dir()), root if stand_in else None)
    if folder is None:
        raise UserError(
            f"{root} has no folder clear, clean or gt: put the clean images into {root / 'clear'} and their depth"
            f" into {root / 'depth'} (NAME.npy in metres or 16-bit NAME.png in millimetres), or RESIDE-beta's hazy"
            f" versions into {root / 'hazy'}"
        )
    paths = [path for path in photographs(folder) if root / "depth" not in path.parents]
    hazy = {} if stand_in else _hazy_versions(root, folder)
    found: dict[str, Original] = {}
    without: list[str] = []
    stems = Counter(path.stem for path in paths)
    for path, size in zip(paths, sizes_of(paths, f"files in {folder}"), strict=True):
        name = path.relative_to(folder).with_suffix("").as_posix().replace(".", "_")
        versions, depth = hazy.get(path.stem, []), _depth_file(root / "depth" / path.relative_to(folder))
        if not versions and depth is None and not stand_in:
            without.append(path.name)
        if name in found:
            raise UserError(f"{path} and {found[name].source} would have one name in the set: rename one")
        if versions and stems[path.stem] > 1:
            raise UserError(f"{stems[path.stem]} images in {folder} are called {path.stem}: hazy versions fit them all")
        if not name.isprintable():
            raise UserError(f"{name!r} cannot be a name in the set: rename {str(path)!r}")
        beside = [version.path for version in versions] or ([depth] if depth else [])
        for file in beside:
            if _size(file) != size:
                raise UserError(
                    f"{file} is {_size(file)}, its image {path.name} {size} (height, width): give haze or depth of the"
                    " image's size"
                )
        read = partial(_read_clean, path, None if versions else depth)
        source = path.relative_to(root).as_posix()
        found[name] = Original(name, source, read, size, versions, [path, *beside], bool(beside))
    if without:
        allowed = Haze()
        raise UserError(
            f"{len(without)} of {len(paths)} images in {folder} have neither depth nor hazy version, which haze needs:"
            f" {shortened_list(without)}; add {root / 'depth'}/NAME.npy (metres) or NAME.png (16 bit, millimetres), or"
            f" NAME_AIRLIGHT_BETA.jpg, airlight in {_numbers(allowed.airlights)}, beta in {_numbers(allowed.betas)}"
        )
    return list(found.values())


def _depth_file(path: Path) -> Path | None:
    return next((file for suffix in (".npy", ".png") if (file := path.with_suffix(suffix)).is_file()), None)


def _hazy_versions(root: Path, folder: Path) -> dict[str, list[Hazy]]:
    """Name of the clean image -> its hazy versions whose parameters appendix C draws from."""
    allowed = Haze()
    found: dict[str, list[Hazy]] = {}
    for path in photographs(root):
        match = HAZY_NAME.fullmatch(path.stem)
        if match and folder not in path.parents and root / "depth" not in path.parents:
            airlight, beta = float(match["airlight"]), float(match["beta"])
            if airlight in allowed.airlights and beta in allowed.betas:
                name = path.relative_to(root).as_posix()
                found.setdefault(match["name"], []).append(Hazy(airlight, beta, path, name))
    return {name: sorted(versions) for name, versions in found.items()}


def _size(path: Path) -> tuple[int, ...]:
    """(height, width) from the header of an image or of a depth map."""
    return image_size(path) if path.suffix != ".npy" else tuple(_load_depth(path, mmap_mode="r").shape)


def _load_depth(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as depth: {error}".splitlines()[0], exit_code=1) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise UserError(f"{path} cannot be read as depth: it holds no array of real numbers", exit_code=1)
    return array


def _read_clean(path: Path, depth: Path | None) -> CleanImage:
    image = read_image(path)
    if depth is None:
        return CleanImage(image, None)
    metres = _load_depth(depth).astype(np.float32) if depth.suffix == ".npy" else _millimetres(depth) / np.float32(1000)
    if not (np.isfinite(metres).all() and (metres >= 0).all()):
        raise UserError(f"{depth} holds values that are no distances (negative, NaN or infinite): fill them in", 1)
    return CleanImage(image, torch.from_numpy(metres))


def _millimetres(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        if not opened.mode.startswith("I"):
            raise UserError(f"{path} has mode {opened.mode}: depth is 16 bits of gray, in millimetres", exit_code=1)
        return np.asarray(opened).astype(np.float32)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


class MixedSample(NamedTuple):
    """Every version of an image, a pure function of the seed and the image's name; a `Sample`.

    Args:
        split: "train", "val" or "test".
        original: The clean image.
        seed: Of every parameter.
        recipe: Name of what is made of it, see `RECIPES`.
    """

    split: str
    original: Original
    seed: int
    recipe: str = "mbn"

    @property
    def name(self) -> str:
        """The image's."""
        return self.original.name

    @property
    def sequence(self) -> str:
        """Nothing: they are no frames of videos."""
        return ""

    @property
    def bytes(self) -> int:
        """How much it will hold, nearly."""
        height, width = self.original.shape
        return (1 + len(self.versions)) * (height * width * 3 + TAR_BLOCKS)

    @property
    def versions(self) -> Mapping[str, tuple[str, ...] | None]:
        """What is made of the clean image: version -> its factors; None: those that the mixture draws."""
        return self._recipe.test if self.split == "test" else self._recipe.training

    @property
    def _recipe(self) -> Recipe:
        return RECIPES[self.recipe]

    def state(self) -> str:
        """What changes when anything that it is made of does."""
        image = self.original
        files = [(str(path), file_state(path)) for path in image.files]
        return repr((self.split, image.name, image.source, image.shape, self.seed, files, str(self._recipe.mixture())))

    def members(self) -> list[Member]:
        """The clean image and its versions."""
        clean = self.original.read()
        shape = self.original.shape
        if clean.depth is None and self._recipe.stand_in_depth:
            seed = derive(self.seed, self.split, self.name, "stand-in depth")
            clean = clean._replace(depth=stand_in_depth(*shape, seed))
        made = [Member(CLEAN, to_array(clean.image), shape, about={"source": self.original.source})]
        for version in self.versions:
            image, parameters = self._version(clean, version)
            about = {"factors": parameters}
            made.append(Member(version, to_array(image), shape, factors=tuple(parameters), about=about))
        return made

    def _version(self, clean: CleanImage, version: str) -> tuple[Tensor, dict[str, Any]]:
        original, mixture, factors = self.original, self._recipe.mixture(), self.versions[version]
        rng = generator(self.seed, self.split, original.name, version)
        parameters = mixture.draw(rng) if factors is None else mixture.draw_of(factors, rng)
        image, rest = to_float(clean.image), parameters
        if original.hazy and "haze" in parameters:
            hazy = original.hazy[int(rng.integers(len(original.hazy)))]
            given = {"airlight": hazy.airlight, "beta": hazy.beta, "file": hazy.name}
            parameters = parameters | {"haze": given}
            image, rest = to_float(read_image(hazy.path)), {k: v for k, v in parameters.items() if k != "haze"}
        return to_uint8(mixture.apply(image, clean.depth, **rest)), parameters
