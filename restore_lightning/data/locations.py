"""Where a run's images are: each factor's own, or those of `data.root`."""

import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from restore_lightning.data.config import EvaluationConfig, FactorConfig, ResolvedFactor, is_url
from restore_lightning.data.image_choice import EVERY_IMAGE, ImageChoice, image_choice
from restore_lightning.data.shards.index import INDEX, SHARD
from restore_lightning.data.shards.reader import DEGRADED, MANIFEST, ShardSet
from restore_lightning.data.sources.local_shards import TRAIN
from restore_lightning.degradations import Mixture
from restore_lightning.errors import UserError
from restore_lightning.io.addresses import check_no_secret
from restore_lightning.io.files import check_is_folder, user_path
from restore_lightning.io.image_folders import find_images


class Location(NamedTuple):
    """Where a factor's training images are; nowhere: procedural scenes are painted.

    Args:
        shards: A set of shards.
        url: Of a set of shards that is kept elsewhere.
        clean: Folder of clean images.
        degraded: Folder of their degraded versions; None: they are degraded on the fly.
        choice: Which images of the folders, and which belong together.
    """

    shards: ShardSet | None = None
    url: str | None = None
    clean: Path | None = None
    degraded: Path | None = None
    choice: ImageChoice = EVERY_IMAGE

    @property
    def has_pairs(self) -> bool:
        """Whether there are local shards that hold degraded images."""
        return self.shards is not None and any(map(self.shards.versions, self.shards.splits))


class Locations:
    """Finds the images of `data.root` and of each factor; a set of shards that several name is opened once.

    Args:
        root: `data.root`: a folder of photographs or shards, a URL of shards, or None.
        factors: `data.factors`.

    Raises:
        UserError: An address with a secret.
    """

    def __init__(self, root: str | None, factors: Mapping[str, FactorConfig]) -> None:
        check_no_secret("data.root", root or "")
        for factor, given in factors.items():
            check_no_secret(f"data.factors.{factor}.shards", given.shards or "")
        self.root = root
        self.factors = factors
        self.folder = None if root is None or is_url(root) else user_path(root)
        self._opened: dict[Path, ShardSet] = {}

    @cached_property
    def root_shards(self) -> ShardSet | None:
        """Those that `data.root` holds; None: it holds photographs, or is no folder."""
        folder = self.folder
        stored = folder is not None and ((folder / INDEX).is_file() or (folder / MANIFEST).is_file())
        return self.open_shards(folder) if folder is not None and stored else None

    def open_shards(self, folder: Path) -> ShardSet:
        """The set of shards in a folder."""
        if folder not in self._opened:
            self._opened[folder] = ShardSet(folder)
        return self._opened[folder]

    def split_folder(self, split: str) -> Path | None:
        """The subfolder of `data.root` that is called like a split, where there is one."""
        folder = None if self.folder is None else self.folder / split
        return folder if folder is not None and folder.is_dir() else None

    def of(self, factor: str) -> Location:
        """Where a factor's training images are."""
        given = self.factors[factor]
        if given.shards is not None:
            if is_url(given.shards):
                return Location(url=given.shards)
            return Location(shards=self.open_shards(user_path(given.shards)))
        if given.clean is not None:
            degraded = None if given.degraded is None else user_path(given.degraded)
            choice = image_choice(f"data.factors.{factor}", given.image_list, given.counterpart)
            return Location(clean=user_path(given.clean), degraded=degraded, choice=choice)
        if given.scenes or self.root is None:
            return Location()
        if self.folder is None:
            return Location(url=self.root)
        if self.root_shards is not None:
            return Location(shards=self.root_shards)
        return Location(clean=self.split_folder(TRAIN) or self.folder)

    def fingerprints(self, group: str, sets: Mapping[str, EvaluationConfig]) -> dict[str, str]:
        """What `fingerprint` says of each local place that the user names, by its key and name.

        Args:
            group: Key of the sets: "val_sets" or "test_sets".
            sets: The user's own sets.
        """
        named: dict[str, str | None] = {"data.root": self.root}
        for of, entries in (("factors", self.factors), (group, sets)):
            for name, given in entries.items():
                keys = ("clean", "degraded", "shards", "image_list")
                named |= {f"data.{of}.{name}.{key}": getattr(given, key) for key in keys}
        return {
            f"{key} {place}": fingerprint(user_path(place))
            for key, place in named.items()
            if place and not is_url(place)
        }

    def check_root(self, resolved: Mapping[str, ResolvedFactor]) -> None:
        """Refuse a `data.root` that does not fit the factors which have no images of their own.

        Raises:
            UserError: It is no folder, or its images cannot be these factors'.
        """
        if self.folder is None:
            return
        check_is_folder(self.folder, "a folder of clean photographs, or of shards", "data.root")
        sharing = [
            factor
            for factor, given in self.factors.items()
            if given.shards is None and given.clean is None and not given.scenes
        ]
        shards = self.root_shards
        if shards is not None and DEGRADED in shards.versions(TRAIN) and len(sharing) > 1:
            raise UserError(
                f"data.root {self.folder} holds one kind of degraded images, and {', '.join(sharing)} would all train"
                " on them: name it for one factor, by --data.factors.FACTOR.shards"
            )
        mixtures = [(factor, resolved[factor].degradation) for factor in sharing]
        # Where paper 2's set is made; CDD-11's haze takes a stand-in.
        mixed = [f for f, d in mixtures if isinstance(d, Mixture) and d.combinations is None and d.needs_depth]
        if mixed and shards is None:
            raise UserError(
                f"factor {mixed[0]!r} mixes haze in, which needs depth, and the photographs of {self.folder} have none:"
                " write a data set from images with depth by restore mix and give its folder as --data.root,"
                " or give --data.root null (procedural scenes)"
            )


def fingerprint(place: Path) -> str:
    """What a folder of images or shards holds (names and sizes), or a file, for comparing and for people."""
    if place.is_file():
        content = place.read_bytes()
        return f"1 file of {len(content)} bytes with checksum {zlib.crc32(content):08x}"
    if (place / INDEX).is_file():
        files = [place / INDEX, *(path for path in sorted(place.iterdir()) if SHARD.fullmatch(path.name))]
    else:
        files = find_images(place).images
    sizes = {path.relative_to(place).as_posix(): path.stat().st_size for path in files}
    listed = "\n".join(f"{name} {size}" for name, size in sizes.items())
    found = zlib.crc32(listed.encode(errors="surrogateescape"))  # names need not be UTF-8
    return f"{len(sizes)} files of {sum(sizes.values())} bytes with checksum {found:08x}"
