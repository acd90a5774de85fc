"""Finds test images that are in the training data, whole or in part, as they are or changed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from restore_lightning.data.leaks.confirm import Confirmed, confirm
from restore_lightning.data.leaks.exact import pixel_digest
from restore_lightning.data.leaks.features import Features, features_of
from restore_lightning.data.leaks.images import ImageEntry
from restore_lightning.data.leaks.index import LEAST_AGREEING, PatchIndex, Turn
from restore_lightning.errors import UserError
from restore_lightning.io.image_files import too_large

KEPT_IMAGES = 8
"""Test images that a process keeps, to be compared with several training images."""
SAME_SIZE = 0.01
"""By how much two images' scales may differ that are called of one size."""
WHOLE = 0.97
"""Share of an image that is called all of it, where pixels differ."""

Result = TypeVar("Result")


class LeakPair(NamedTuple):
    """A test image and a training image with the same content.

    Args:
        test: Name of the test image.
        train: Name of the training image.
        turn: What makes the training image lie as the test image does.
        test_size: (height, width) of the test image.
        train_size: (height, width) of the turned training image.
        found: How they agree.
    """

    test: str
    train: str
    turn: Turn
    test_size: tuple[int, int]
    train_size: tuple[int, int]
    found: Confirmed

    @property
    def kind(self) -> str:
        """What they have in common: "exact": all pixels, "crop": all of a part, "near": what the pixels show."""
        if not self.found.equal:
            return "near"
        return "exact" if self.test_size == self.train_size and self.found.box[:2] == (0, 0) else "crop"

    @property
    def changes(self) -> list[str]:
        """What was done to one image to get the other, for people."""
        across, down = self.found.scale
        resized = max(abs(across - 1), abs(down - 1)) > SAME_SIZE
        factor = f"{1 / across:.2f}" if abs(across / down - 1) < SAME_SIZE else f"{1 / across:.2f} x {1 / down:.2f}"
        area = self.found.box[2] * self.found.box[3] / (self.train_size[0] * self.train_size[1])
        cut = self.kind == "near" and min(self.found.common, area, 1 / area) < WHOLE
        said = {
            "cropped": cut,
            str(self.turn): bool(str(self.turn)),
            f"resized to {factor}": resized,
            "other pixels": not self.found.equal and not resized,
        }
        return [words for words, holds in said.items() if holds]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "test": self.test,
            "train": self.train,
            "kind": self.kind,
            "changes": self.changes,
            "turn": str(self.turn),
            "scale": [round(1 / scale, 4) for scale in self.found.scale],
            "box": [round(side, 1) for side in self.found.box],
            "common": round(self.found.common, 4),
            "psnr": round(self.found.psnr, 2),
            "correlation": round(self.found.correlation, 4),
        }


class Leaks(NamedTuple):
    """What a search found.

    Args:
        pairs: By name of the test image.
        problems: Images that could not be read or compared, and why.
        plain: Test images with too little structure to be known again when they were changed.
    """

    pairs: list[LeakPair]
    problems: list[str]
    plain: list[str]


class _Known(NamedTuple):
    """What is kept of a test image: a digest of its pixels, and its patches."""

    digest: bytes
    features: Features


class _Found(NamedTuple):
    """The pairs that a training image is in, and what could not be read or compared."""

    pairs: list[LeakPair]
    problems: list[str]


def find_leaks(train: Sequence[ImageEntry], test: Sequence[ImageEntry], workers: int = 0) -> Leaks:
    """The pairs of test and training images that show the same content.

    Args:
        train: Training images.
        test: Test images.
        workers: Processes that read and compare images.
    """
    problems: list[str] = []
    entries: list[ImageEntry] = []
    known: list[_Known] = []
    for entry, found in zip(test, _done(_Images(test), workers, "test images"), strict=True):
        if isinstance(found, str):
            problems.append(found)
        else:
            entries.append(entry)
            known.append(found)
    pairs: list[LeakPair] = []
    for found in _done(_Comparisons(train, entries, known), workers, "training images"):
        pairs += found.pairs
        problems += found.problems
    problems = list(dict.fromkeys(problems))
    plain = [entry.name for entry, one in zip(entries, known, strict=True) if len(one.features.scales) < LEAST_AGREEING]
    order = {entry.name: number for number, entry in enumerate(entries)}
    return Leaks(sorted(pairs, key=lambda pair: order[pair.test]), problems, plain)


def _done(tasks: "Dataset[Any]", workers: int, what: str) -> "tqdm[Any]":
    loader = DataLoader(tasks, batch_size=None, num_workers=workers, collate_fn=_as_it_is)
    return tqdm(loader, unit="image", desc=what, disable=None)


def _as_it_is(found: Any) -> Any:
    return found


class _Images(Dataset[_Known | str]):
    """Item i is what is kept of image i, or why it cannot be read."""

    def __init__(self, entries: Sequence[ImageEntry]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> _Known | str:
        entry = self.entries[number]
        return _tried(entry, lambda: _known(entry.read()))


class _Comparisons(Dataset[_Found]):
    """Item i is what is found of training image i."""

    def __init__(self, train: Sequence[ImageEntry], test: Sequence[ImageEntry], known: Sequence[_Known]) -> None:
        self.train, self.test = train, test
        self.index = PatchIndex([one.features for one in known])
        self.digests: dict[bytes, list[int]] = defaultdict(list)
        for number, one in enumerate(known):
            self.digests[one.digest].append(number)

    def __len__(self) -> int:
        return len(self.train)

    def __getitem__(self, number: int) -> _Found:
        entry = self.train[number]
        image = _tried(entry, entry.read)
        if isinstance(image, str):
            return _Found([], [image])
        height, width = image.shape[:2]
        whole = Confirmed(True, (1.0, 1.0), (0.0, 0.0, float(height), float(width)), 1.0, float("inf"), 1.0)
        found = {
            same: LeakPair(self.test[same].name, entry.name, Turn(), (height, width), (height, width), whole)
            for same in self.digests.get(pixel_digest(image), ())
        }
        problems: list[str] = []
        placements = _tried(entry, lambda: self.index.placements(features_of(_gray(image)), height, width))
        if isinstance(placements, str):
            return _Found(list(found.values()), [placements])
        for placement in placements:
            if placement.image in found:
                continue
            test = self.test[placement.image]
            other = _read_again(test)
            if isinstance(other, str):
                problems.append(other)
                continue
            agreement = _tried(test, partial(confirm, other, image, placement))
            if isinstance(agreement, str):
                problems.append(agreement)
            elif agreement is not None:
                sizes = other.shape[:2], placement.turn.of(image).shape[:2]
                found[placement.image] = LeakPair(test.name, entry.name, placement.turn, *sizes, agreement)
        return _Found(list(found.values()), problems)


def _gray(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L"))


def _known(image: np.ndarray) -> _Known:
    return _Known(pixel_digest(image), features_of(_gray(image)))


def _tried(entry: ImageEntry, done: Callable[[], Result]) -> Result | str:
    """What is made of an image, or why it cannot be: one image's trouble does not lose what others showed."""
    try:
        return done()
    except UserError as error:
        return str(error)
    except MemoryError as error:
        return f"{entry.name} {too_large(error)}"


@lru_cache(KEPT_IMAGES)
def _read_again(entry: ImageEntry) -> np.ndarray | str:
    return _tried(entry, entry.read)
