"""Files are read and written in threads, beside the network, which gets images of one size in batches."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from restore_lightning.errors import UserError

Job = TypeVar("Job")
FAILURES = (UserError, OSError, RuntimeError, ValueError, MemoryError)
"""What may go wrong with one file while the others are done."""
MOST_PIXELS = 2**27
"""Of the images that are in memory at once, 4 to 12 bytes each, beside those at the network: 134 megapixels."""


def run_pipeline(
    jobs: Iterable[Job],
    read: Callable[[Job], Tensor],
    restore: Callable[[Tensor], Tensor],
    write: Callable[[Job, Tensor], object],
    batch_size: Callable[[int, int], int],
    pixels: Callable[[Job], int],
    threads: int = 2,
) -> Generator[tuple[Job, Exception | None]]:
    """Read, restore and write files.

    So many images as there are threads are read ahead of a batch; as many, and the batch, wait to be written: fewer
    where they have more than `MOST_PIXELS` together, and a larger one is alone. Closed early, by an error or Ctrl-C, it
    finishes the files that are being written and begins no other.

    Args:
        jobs: The files.
        read: A file as (C, H, W), in a thread.
        restore: (B, C, H, W) -> (B, C, H', W'). Called here, where contexts like autocast hold; with images of one size
            and type that follow each other, and with fewer of them where that fails.
        write: A file and its restored (C, H', W'), in a thread.
        batch_size: (height, width) -> how many images to restore at once.
        pixels: A file -> how many pixels its image has, without decoding it; 0 where that is not known.
        threads: That read and write.

    Yields:
        Each job, in order, when it is done, and what went wrong with it: one of `FAILURES`, or None.
    """
    todo = ((job, pixels(job)) for job in jobs)
    following = next(todo, None)
    held: dict[Job, int] = {}
    """Pixels of each file from where its reading begins until it is written."""
    reading: deque[tuple[Job, Future[Tensor]]] = deque()
    writing: deque[tuple[Job, Future[Any]]] = deque()
    pool = ThreadPoolExecutor(threads)

    def read_ahead() -> None:
        nonlocal following
        while following is not None and len(reading) < threads:
            job, size = following
            if held and sum(held.values()) + size > MOST_PIXELS:
                break
            held[job] = size
            reading.append((job, pool.submit(read, job)))
            following = next(todo, None)

    def restore_batch() -> int:
        """The next file, and those that go with it; how many they are."""
        job, first = reading.popleft()
        if _failure(first) is not None:
            writing.append((job, first))
            return 1
        image = first.result()
        files, images = [job], [image]
        most = batch_size(*image.shape[-2:])
        while len(files) < most:
            read_ahead()
            if not reading or not _fits(reading[0][1], image):
                break
            files.append(reading[0][0])
            images.append(reading.popleft()[1].result())
        for job, restored in zip(files, _restored(restore, images), strict=True):
            if isinstance(restored, Tensor):
                held[job] = max(held[job], restored[0].numel())
            writing.append((job, pool.submit(_write, write, job, restored)))
        return len(files)

    def finished() -> tuple[Job, Exception | None]:
        job, written = writing.popleft()
        failure = _failure(written)
        del held[job]
        return job, failure

    try:
        while True:
            read_ahead()
            if reading:
                most = restore_batch()
                while len(writing) > threads + most:
                    yield finished()
            elif writing:  # the end, or what follows waits for their memory
                yield finished()
            else:
                break
    finally:
        pool.shutdown(cancel_futures=True)


def _write(write: Callable[[Job, Tensor], object], job: Job, restored: Tensor | Exception) -> None:
    if isinstance(restored, Exception):
        raise restored
    write(job, restored)


def _fits(read: Future[Tensor], image: Tensor) -> bool:
    """Whether a file that was read goes into one batch with an image."""
    if _failure(read) is not None:
        return False
    other = read.result()
    return (other.shape, other.dtype) == (image.shape, image.dtype)


def _failure(future: Future[Any]) -> Exception | None:
    """What went wrong with one file, once that is known; what is no file's fault is raised."""
    error = future.exception()
    if error is not None and not isinstance(error, FAILURES):
        raise error
    return error


def _restored(restore: Callable[[Tensor], Tensor], images: list[Tensor]) -> list[Tensor | Exception]:
    """Each image restored, or why not: one that fails, or too little memory for all, does not cost the others."""
    try:
        return list(restore(torch.stack(images) if len(images) > 1 else images[0][None]))  # no copy of a large one
    except FAILURES as error:
        if len(images) == 1:
            return [error.with_traceback(None)]  # whose frames hold the tensors of the call
    half = len(images) // 2
    return _restored(restore, images[:half]) + _restored(restore, images[half:])
