"""Faults that fuzzing found, each as the smallest case that shows it: one line that says what is wrong."""

import json

import numpy as np
import pytest
import torch

from tests.conftest import CONF
from tests.fuzz.running import fuzzed

SINGLE = CONF / "single.yaml"
KIND = "found earlier"


@pytest.fixture
def checkpoint(step_1, tmp_path):
    """Writes a checkpoint that is whole, but for some entries."""

    def write(**changes):
        whole = torch.load(step_1, weights_only=True)
        torch.save(whole | changes, tmp_path / "last.ckpt")
        return tmp_path / "last.ckpt"

    return write


@pytest.mark.parametrize("weights", [{"network.a": 1.0}, {"network.a": None, 3: "x"}])
def test_weights_that_are_no_tensors(weights, checkpoint, photographs, tmp_path):
    words = ("apply", checkpoint(state_dict=weights), photographs, "--factor", "rain", "--output", tmp_path / "out")
    assert "its weights a are no tensors" in fuzzed(KIND, *words, codes=(1,)).err


@pytest.mark.parametrize("optimizer", [[{"state": 1}], [{}], [[]]])
def test_a_state_of_the_optimiser_that_is_none(optimizer, checkpoint, tmp_path):
    run = ("fit", "--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path / "run")
    done = fuzzed(KIND, *run, "--ckpt_path", checkpoint(optimizer_states=optimizer), codes=(1,))
    assert "nothing can be done with checkpoint" in done.err


def test_a_run_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    done = fuzzed(KIND, "fit", "--config", SINGLE, "--trainer.default_root_dir", tmp_path / "file/run", codes=(2,))
    assert f"file/run is no place for a folder, {tmp_path / 'file'} is a file" in done.err


def test_a_config_that_is_no_text(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    done = fuzzed(KIND, "fit", "--config", tmp_path / "c.yaml", codes=(2,))
    assert "c.yaml is no text file in UTF-8" in done.err


def test_an_argument_of_another_type(tmp_path):
    """Of a class that checks none itself."""
    network = {"class_path": "torch.nn.Conv2d", "init_args": {"in_channels": 3, "out_channels": 3, "kernel_size": "x"}}
    words = ("--model.network", json.dumps(network), "--trainer.default_root_dir", tmp_path / "run")
    fuzzed(KIND, "fit", "--config", SINGLE, *words, codes=(2,))


def test_a_split_whose_name_is_too_long(photographs, tmp_path):
    pack = ("shards", "pack", "clean", photographs, tmp_path / "set", "--workers", 0)
    assert "its name is part of files'" in fuzzed(KIND, *pack, "--split", "x" * 201, codes=(2,)).err


def test_a_file_in_a_place_that_cannot_be_written(photographs, tmp_path):
    """Its name is longer than file systems take."""
    words = ("score", photographs, photographs, "--protocol", "durn-y", "--json", tmp_path / ("x" * 300))
    assert "File name too long" in fuzzed(KIND, *words, codes=(1,)).err


def test_an_index_with_a_split_without_samples(packed, tmp_path):
    with np.load(packed / "index.npz") as stored:
        arrays = dict(stored)
    header = json.loads(arrays["header"].tobytes())
    header["splits"].append("val")
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    for path in packed.glob("*.tar"):
        (tmp_path / path.name).symlink_to(path)
    np.savez(tmp_path / "index.npz", **arrays)
    done = fuzzed(KIND, "shards", "info", tmp_path, codes=(1,))
    assert "a split has no samples" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("convert", "a.ckpt", "--overwrite", "--", "--overwrite", "--"), "-- stands twice"),
        (("table", "drn-1", "--output", "a\0b"), "has a null byte"),
    ],
)
def test_words_that_are_none(words, told):
    assert told in fuzzed(KIND, *words, codes=(2,)).err
