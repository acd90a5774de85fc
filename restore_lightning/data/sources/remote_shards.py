"""Training crops from tar shards that are kept elsewhere (https, s3, ...): read one after the other, nothing is stored.

What comes next depends on what came before, hence a resumed run sees other crops than one that was never stopped.
"""

import io
import logging
import random
import time
from collections.abc import Iterator
from typing import Any

import fsspec
import numpy as np
import torch
from torch import Tensor
from webdataset import shuffle

# The public `tarfile_to_samples` opens addresses itself: by `curl`, with no S3 and none of our errors.
from webdataset.tariterators import group_by_keys, tar_file_expander

from restore_lightning.data.config import ResolvedFactor
from restore_lightning.data.sampler import SampleIndex
from restore_lightning.data.shards.index import FILE, INDEX, read_index
from restore_lightning.data.shards.reader import CLEAN
from restore_lightning.data.sources.base import CleanImage, Pair, PairSource
from restore_lightning.data.sources.crops import random_window
from restore_lightning.data.sources.local_shards import TRAIN, version_of
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.errors import UserError
from restore_lightning.io.addresses import file_in, with_names, with_variables, without_secrets
from restore_lightning.io.images import in_colour
from restore_lightning.io.pixel_windows import Window
from restore_lightning.seeding import derive, generator

log = logging.getLogger(__name__)

BUFFER = 32
"""Samples that a process holds and draws the next one from."""
ATTEMPTS = 5
"""Shards in a row that may fail before the run ends."""
WAIT = 1.0
"""Seconds to wait after a failure, longer after each one in a row."""


def stream_source(url: str, factor: str, resolved: ResolvedFactor, chosen: bool) -> PairSource:
    """A factor's training data in remote shards; see `shard_source`."""
    stream = RemoteShards(url)
    version = version_of(stream.versions, factor, url, resolved.degradation, chosen)
    if resolved.repeats > 1:
        raise UserError(f"data.factors.{factor}.repeats {resolved.repeats}: streamed images cannot be repeated, give 1")
    smallest = resolved.crop_size if version is not None else resolved.clean_size
    if smallest > stream.smallest:
        raise UserError(
            f"crop_size {smallest} is larger than the smallest image of {url} ({stream.smallest} pixels): choose a"
            " smaller --data.crop_size (or the factor's)"
        )
    log.warning(
        "%s: streamed from %s; a resumed run sees other crops than one that was never stopped (copy the shards to a"
        " local disk to resume exactly)",
        factor,
        url,
    )
    return StreamPairs(stream, version) if version is not None else SyntheticPairs(CleanStream(stream))


class RemoteShards:
    """The training samples of remote shards, over and over, in an order of each process's own.

    Args:
        url: Of the folder; `${NAME}` in it is an environment variable, where secrets are kept.

    Raises:
        UserError: It cannot be read, or holds no arrays for training.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with self._open(INDEX) as file:
            index = read_index(io.BytesIO(file.read()), file_in(self.url, INDEX))
        if TRAIN not in index.splits:
            raise UserError(f"{url} has no training images, only {', '.join(index.splits)}")
        members = index.members[index.samples["split"][index.members["sample"]] == index.splits.index(TRAIN)]
        if (members["dtype"] == FILE).any():
            raise UserError(f"{url} holds image files, and arrays are what is streamed: pack it with --store arrays")
        names = dict.fromkeys(index.versions[number].split("-")[0] for number in np.unique(members["version"]))
        self.versions = [name for name in names if name != CLEAN]
        self.smallest = int(min(members["height"].min(), members["width"].min()))
        self.shards = [index.shards[number].name for number in np.unique(members["shard"])]
        self._samples: Iterator[dict[str, Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A process has a stream of its own."""
        return self.__dict__ | {"_samples": None}

    def next(self, number: int, seed: int) -> dict[str, Any]:
        """The next sample: the content of its files, by version.

        Args:
            number: Of the sample; the first one and the seed decide this process's order.
            seed: Of the run and the factor.
        """
        if self._samples is None:
            own = derive(seed, "stream", number)
            self._samples = shuffle(BUFFER, initial=BUFFER, rng=random.Random(own))(self._samples_in_turn(own))
        assert self._samples is not None
        return next(self._samples)

    def _samples_in_turn(self, seed: int) -> Iterator[dict[str, Any]]:
        rng, failed = generator(seed), 0
        whole = {f"{name}.npy" for name in (CLEAN, *self.versions)}
        while True:
            for number in rng.permutation(len(self.shards)):
                shard = self.shards[number]
                try:
                    with self._open(shard) as file:
                        for sample in group_by_keys(tar_file_expander([{"url": shard, "stream": file}])):
                            if not whole <= {without_number(name) for name in sample}:
                                raise EOFError(f"{sample['__key__']} is not whole")
                            yield sample
                            failed = 0
                except Exception as error:  # each protocol has its own
                    failed += 1
                    if failed == ATTEMPTS:
                        raise UserError(
                            f"{self.url}: {failed} shards in a row cannot be read: {self._shown(error)}", exit_code=1
                        ) from error
                    left_out = file_in(self.url, shard)
                    log.warning("the rest of %s is left out of this round: %s", left_out, self._shown(error))
                    time.sleep(WAIT * failed)

    def _open(self, name: str) -> Any:
        # A web server that cannot serve parts of a file is read from start to end, too.
        options = {"block_size": 0} if self.url.startswith("http") else {}
        place = file_in(with_variables(self.url), name)
        try:
            return fsspec.open(place, "rb", **options).open()
        except ImportError as error:
            raise UserError(f"{self.url}: {error}") from error
        except Exception as error:
            raise UserError(
                f"{file_in(self.url, name)} cannot be read: {self._shown(error_name(error))}", exit_code=1
            ) from error

    def _shown(self, error: object) -> str:
        """What a library says, which may repeat the address."""
        return without_secrets(with_names(str(error), self.url))


class StreamPairs:
    """Crops of pairs, a random version of each; a `PairSource`.

    Args:
        stream: Where they come from.
        version: Of the images.
    """

    images: int | None = None
    scale: int | None = None

    def __init__(self, stream: RemoteShards, version: str) -> None:
        self.stream = stream
        self.version = version

    def pair(self, index: SampleIndex, resolved: ResolvedFactor, seed: int) -> Pair:
        """See `PairSource`; which image it is depends on what was drawn before."""
        sample = self.stream.next(index.number, seed)
        versions = sorted(name for name in sample if without_number(name) == f"{self.version}.npy")
        chosen = versions[int(generator(seed, "version", index.number).integers(len(versions)))]
        degraded, clean = (in_colour(_image(sample[name]), resolved.colour) for name in (chosen, f"{CLEAN}.npy"))
        pair = Pair(degraded, clean, (index.factor,))
        return pair.cut(random_window(degraded.shape[1:], resolved.crop_size, index.crop, seed))


class CleanStream:
    """Crops of clean images, to be degraded on the fly; a `CleanSource`.

    Args:
        stream: Where they come from.
    """

    images: int | None = None

    def __init__(self, stream: RemoteShards) -> None:
        self.stream = stream

    def crop(self, number: int, size: int, margin: int, seed: int) -> tuple[CleanImage, Window]:
        """See `CleanSource`; which image it is depends on what was drawn before."""
        image = _image(self.stream.next(number, seed)[f"{CLEAN}.npy"])
        outer, inner = random_window(image.shape[1:], size, number, seed).with_margin(margin, *image.shape[1:])
        return CleanImage(image, None).cut(outer), inner


def without_number(name: str) -> str:
    """A file's name without the number of its version.

    >>> without_number("degraded-07.npy")
    'degraded.npy'
    """
    version, _, suffix = name.partition(".")
    return f"{version.split('-')[0]}.{suffix}"


def error_name(error: Exception) -> str:
    """What failed, in the words of the protocol's library."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"


def _image(data: bytes) -> Tensor:
    return torch.from_numpy(np.load(io.BytesIO(data), allow_pickle=False)).permute(2, 0, 1)
