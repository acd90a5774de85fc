"""Files are read and written in threads, beside the network, which gets images of one size in batches."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from restore_lightning.errors import UserError

Job = TypeVar("Job")
FAILURES = (UserError, OSError, RuntimeError, ValueError, MemoryError)
"""What may go wrong with one file while the others are done."""


def run_pipeline(
    jobs: Iterable[Job],
    read: Callable[[Job], Tensor],
    restore: Callable[[Tensor], Tensor],
    write: Callable[[Job, Tensor], object],
    batch_size: Callable[[int, int], int],
    threads: int = 2,
) -> Generator[tuple[Job, Exception | None]]:
    """Read, restore and write files.

    So many images as there are threads are read ahead of a batch; as many, and the batch, wait to be written. Closed
    early, by an error or Ctrl-C, it finishes the files that are being written and begins no other.

    Args:
        jobs: The files.
        read: A file as (C, H, W), in a thread.
        restore: (B, C, H, W) -> (B, C, H', W'). Called here, where contexts like autocast hold; with images of one size
            and type that follow each other, and with fewer of them where that fails.
        write: A file and its restored (C, H', W'), in a thread.
        batch_size: (height, width) -> how many images to restore at once.
        threads: That read and write.

    Yields:
        Each job, in order, when it is done, and what went wrong with it: one of `FAILURES`, or None.
    """
    todo = iter(jobs)
    reading: deque[tuple[Job, Future[Tensor]]] = deque()
    writing: deque[tuple[Job, Future[Any]]] = deque()
    pool = ThreadPoolExecutor(threads)

    def read_ahead() -> None:
        reading.extend((job, pool.submit(read, job)) for job in islice(todo, threads - len(reading)))

    try:
        while True:
            read_ahead()
            most = 1
            if not reading:
                break
            job, first = reading.popleft()
            if _failure(first) is not None:
                writing.append((job, first))
            else:
                image = first.result()
                most = batch_size(*image.shape[-2:])
                files, images = [job], [image]
                while len(files) < most:
                    read_ahead()
                    if not reading or not _fits(reading[0][1], image):
                        break
                    files.append(reading[0][0])
                    images.append(reading.popleft()[1].result())
                most = len(files)
                for job, restored in zip(files, _restored(restore, images), strict=True):
                    writing.append((job, pool.submit(_write, write, job, restored)))
            while len(writing) > threads + most:
                job, written = writing.popleft()
                yield job, _failure(written)
        while writing:
            job, written = writing.popleft()
            yield job, _failure(written)
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
        return list(restore(torch.stack(images)))
    except FAILURES as error:
        if len(images) == 1:
            return [error.with_traceback(None)]  # whose frames hold the tensors of the call
    half = len(images) // 2
    return _restored(restore, images[:half]) + _restored(restore, images[half:])
