"""Files through the pipeline: in batches, in order, one failure a file, and what is left when it ends early."""

import threading
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from restore_lightning.errors import UserError
from restore_lightning.inference.batches import batch_size
from restore_lightning.inference.pipeline import run_pipeline


class Run(NamedTuple):
    """What a pipeline did: the batches that the network got, the files that were written, and what it yielded."""

    batches: list[int]
    written: dict[str, torch.Tensor]
    outcomes: list[tuple[str, str | None]]


def of_no_size(name):
    return 0


def run(images, restore=lambda images: images * 2, most=4, threads=2):
    """Run a pipeline; an image that is an exception cannot be read."""
    batches: list[int] = []
    written = {}

    def read(name):
        if isinstance(images[name], Exception):
            raise images[name]
        return images[name]

    def counted(batch):
        batches.append(len(batch))
        return restore(batch)

    done = run_pipeline(images, read, counted, written.__setitem__, lambda height, width: most, of_no_size, threads)
    return Run(batches, written, [(name, None if error is None else str(error)) for name, error in done])


def of_size(*sizes):
    return {f"{number}": torch.full((3, size, size), float(number)) for number, size in enumerate(sizes)}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("most", [1, 3, 100])
def test_each_file_gets_its_own_image_in_order(most, threads):
    images = of_size(*[8] * 7, 4, 4, 8, 6, *[8] * 9)
    found = run(images, most=most, threads=threads)
    assert found.outcomes == [(name, None) for name in images]
    assert found.written.keys() == images.keys()
    assert all(torch.equal(found.written[name], 2 * image) for name, image in images.items())
    assert sum(found.batches) == len(images)
    assert max(found.batches) <= most
    if most == 100:
        assert max(found.batches) > 4


def test_batches_are_of_one_size_and_type():
    images = of_size(8, 8, 4, 8, 8)
    images["4"] = images["4"].byte()
    assert run(images, threads=5).batches == [2, 1, 1, 1]


def test_files_that_cannot_be_read_cost_no_other():
    images = of_size(*[8] * 6)
    images["0"], images["3"] = UserError("0 is text"), OSError("3 is gone")
    found = run(images)
    assert found.outcomes == [
        ("0", "0 is text"),
        ("1", None),
        ("2", None),
        ("3", "3 is gone"),
        ("4", None),
        ("5", None),
    ]
    assert found.written.keys() == {"1", "2", "4", "5"}


def test_a_file_that_cannot_be_written_costs_no_other():
    def write(name, image):
        if name == "1":
            raise OSError("disk full")

    done = run_pipeline(
        "0123", lambda name: torch.zeros(3, 4, 4), lambda images: images, write, lambda *size: 2, of_no_size
    )
    assert [(name, str(error)) for name, error in done if error] == [("1", "disk full")]


def test_one_image_that_fails_is_found_in_its_batch():
    def restore(images):
        if (images == 5).any():
            raise ValueError("I do not like 5")
        return images + 1

    found = run(of_size(*[8] * 9), restore, most=8, threads=9)
    assert found.outcomes == [(str(n), "I do not like 5" if n == 5 else None) for n in range(9)]
    assert all(torch.equal(image, torch.full((3, 8, 8), int(name) + 1.0)) for name, image in found.written.items())


def test_too_little_memory_for_a_batch_is_enough_for_its_parts():
    def restore(images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("too many")
        return images

    found = run(of_size(*[8] * 8), restore, most=8, threads=8)
    assert all(error is None for _, error in found.outcomes)
    assert len(found.written) == 8
    assert found.batches == [8, 4, 2, 2, 4, 2, 2]


def test_no_more_than_a_few_images_are_read_ahead():
    """Of 50 files, while the network is at the first ones."""
    reading = []

    def read(name):
        reading.append(name)
        return torch.zeros(3, 4, 4)

    done = run_pipeline(
        range(50), read, lambda images: images, lambda name, image: None, lambda *size: 2, of_no_size, 3
    )
    next(done)
    # What was yielded, 5 that wait to be written, one batch at the network and 5 that are read ahead.
    assert len(reading) <= 1 + 5 + 2 + 5
    done.close()


def test_a_small_image_does_not_let_large_ones_be_read_ahead():
    """Of a size of which 256 make a batch."""
    reading = []

    def read(name):
        reading.append(name)
        return torch.zeros(3, 4, 4) if name == 0 else torch.zeros(3, 64, 64)

    def most(height, width):
        return 4096 // (height * width)

    done = run_pipeline(range(50), read, lambda images: images, lambda name, image: None, most, of_no_size, 3)
    next(done)
    assert len(reading) <= 12
    done.close()


@pytest.mark.parametrize(("size", "at_once"), [(2**20, 5), (2**25, 4), (2**26 + 1, 1), (2**30, 1)])
def test_large_images_wait_for_each_other(size, at_once):
    """So many are in memory as the pixels that their headers promise allow; small ones as threads are there."""
    there, most = set(), []
    first_ones = threading.Event()

    def read(name):
        there.add(name)
        most.append(len(there))
        if len(there) >= at_once:
            first_ones.set()
        assert first_ones.wait(10)
        return torch.zeros(3, 4, 4)

    def write(name, image):
        there.remove(name)

    done = list(run_pipeline(range(20), read, lambda images: images, write, lambda *_: 1, lambda _: size, threads=5))
    assert done == [(name, None) for name in range(20)]
    assert not there
    if at_once < 5:
        assert max(most) == at_once
    else:
        assert 5 <= max(most) <= 11


def test_enlarged_images_count_as_they_are():
    """By a network of super-resolution; none is read while three of them wait to be written."""
    reading, go_on = [], threading.Event()

    def read(name):
        reading.append(name)
        return torch.zeros(3, 2, 2)

    def restore(images):
        return torch.zeros(1, 1, 1, 1).expand(len(images), 3, 2**13, 2**13)

    def write(name, image):
        assert go_on.wait(10)

    done = run_pipeline(range(20), read, restore, write, lambda *_: 1, lambda _: 4, threads=2)
    threading.Timer(0.3, go_on.set).start()
    next(done)
    assert len(reading) <= 4
    assert len(list(done)) == 19


def test_closed_early_it_finishes_what_is_written_and_begins_no_other(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def write(name, image):
        begun.set()
        go_on.wait(10)
        Path(tmp_path / str(name)).write_text("whole")

    def restore(images):
        if begun.is_set():
            threading.Timer(0.1, go_on.set).start()
            raise KeyboardInterrupt  # as Ctrl-C, while the first file is being written
        return images

    def wait_for_the_first(name):
        assert name == 0 or begun.wait(10)
        return torch.zeros(3, 4, 4)

    done = run_pipeline(range(20), wait_for_the_first, restore, write, lambda *size: 1, of_no_size, threads=2)
    with pytest.raises(KeyboardInterrupt):
        list(done)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]


def test_errors_that_are_no_files_fault_end_it():
    def restore(images):
        raise TypeError("a fault of the program")

    with pytest.raises(TypeError, match="a fault of the program"):
        run(of_size(8, 8), restore)


@pytest.mark.parametrize(("device", "pixels"), [("cpu", 2**16), ("cuda:1", 2**20), ("mps", 2**20)])
def test_batches_are_bounded_by_their_pixels(device, pixels):
    for height, width in ((64, 64), (100, 130), (256, 256)):
        count = batch_size(device, height, width)
        assert count * height * width <= pixels < (count + 1) * height * width
    assert batch_size(device, 5000, 4000) == 1
