"""Command lines that nobody means: each ends with one line that says what is wrong, or does what it says."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_lightning.commands import COMMANDS, TRAINER_VERBS
from tests.conftest import CONF
from tests.fuzz.running import fuzzed

pytestmark = pytest.mark.slow
FLAGS = {
    "apply": ["--output", "--factor", "--order", "--tile", "--overlap", "--local-statistics", "--self-ensemble",
              "--precision", "--format", "--device", "--overwrite"],
    "convert": ["--hyperparameters", "--factor", "--overwrite"],
    "demo": ["--port", "--device", "--tile"],
    "export": ["--factor", "--order", "--precision", "--no-padding", "--opset", "--no-verify", "--overwrite"],
    "score": ["--protocol", "--scale", "--json", "--csv", "--overwrite"],
    "mix": ["--root", "--scenes", "--size", "--test", "--val", "--seed", "--workers", "--overwrite"],
    "bundle": ["--licence", "--scores", "--overwrite"],
    "push": ["--message", "--private", "--overwrite"],
    "weights": ["--overwrite"],
    "search": ["--config", "--first", "--max-steps", "--output"],
    "shards": ["--store", "--size", "--split", "--allow-missing", "--workers", "--shard-size", "--overwrite"],
    "table": ["--results", "--output", "--format", "--overwrite"],
}  # fmt: skip
TRAINER_FLAGS = [
    "--config", "--ckpt_path", "--overwrite", "--data.batch_size", "--data.crop_size", "--data.num_workers",
    "--data.factors", "--model.lr", "--model.network.width", "--trainer.max_steps", "--trainer.precision",
    "--trainer.default_root_dir", "--trainer.devices", "--checkpoint.every_n_train_steps", "--seed_everything",
    "--print_config",
]  # fmt: skip
ODD = ["", " ", "-1", "0", "1", "3.5", "nan", "1e400", "-", "--", "--x", "=", "x", "\u00e4", "\udcff", "a\0b",
       "x" * 5000, "{", "[1,", "null", "true", "cpu", "meta", "cuda:99", "rain", "rain,,blur", "rain,rain",
       "psnr", "durn-y", "sr-y", "DRN", "T=0", "T=x", "pack", "info", "verify", "layouts", "clean", "pairs",
       "mbn-1", "1x1", "0x5"]  # fmt: skip


@pytest.fixture(scope="module")
def known(step_1, photographs, packed, tmp_path_factory):
    """Words for things that are there."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("words\n")
    os.mkfifo(folder / "pipe")
    here = [folder / name for name in ("empty", "text.txt", "pipe", "new")]
    return [str(path) for path in (step_1, photographs, *photographs.iterdir(), packed, *here, CONF / "tiny.yaml")]


def whole_lines(verb, known) -> list[list[str]]:
    """What is meant, behind a verb."""
    checkpoint, photographs, photograph, _, packed, *_ = known
    return {
        "apply": [[checkpoint, photographs, "--output", "out", "--factor", "rain"],
                  [checkpoint, photograph, "--output", "out", "--order", "rain,blur", "--tile", "64"]],
        "demo": [[checkpoint, "--device", "cpu"]],
        "convert": [["DRN", checkpoint, "out.ckpt"]],
        "export": [[checkpoint, "out.onnx", "--factor", "rain"], [checkpoint, "out.pt2", "--order", "rain,blur"]],
        "score": [[photographs, photographs, "--protocol", "durn-y"],
                  [photograph, photograph, "--protocol", "sr-y", "--scale", "2", "--json", "out.json"]],
        "mix": [["out", "--scenes", "2", "--size", "32", "--test", "1", "--val", "0"]],
        "bundle": [[checkpoint, "out"]],
        "push": [["out", "hub:x"]],  # no owner: nothing is connected to
        "weights": [[]],
        "search": [["recurrent_order", "--config", "no.yaml", "--output", "out"]],
        "shards": [["pack", "clean", photographs, "out", "--workers", "0"], ["info", packed], ["layouts", "gopro"],
                   ["verify", packed, "--workers", "0"]],
        "table": [["drn-1", "--results", "out"], ["mbn-1"]],
    }[verb]  # fmt: skip


def extra(flags, known):
    """Flags with and without values, and other words."""
    word, flag = st.sampled_from(ODD + known), st.sampled_from(flags)
    joined = st.builds(lambda f, w: (f"{f}={w}",), flag, word)
    return st.one_of(st.tuples(flag, word), joined, st.tuples(word), st.tuples(flag))


@pytest.mark.parametrize("verb", COMMANDS)
@given(data=st.data())
def test_verbs(verb, data, known, folder):
    """A word or two of what is meant are other ones, gone, or more."""
    words = list(data.draw(st.sampled_from(whole_lines(verb, known))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words)))
        words[at : at + data.draw(st.integers(0, 1))] = data.draw(st.one_of(st.just(()), extra(FLAGS[verb], known)))
    # No server, no search of days, no processes, no graphs that take a minute to trace.
    last = {
        "demo": ("--port", -1),
        "search": ("--config", "no.yaml"),
        "mix": ("--workers", 0),
        "export": ("--opset", 1),
    }.get(verb, ())
    if words[:1] in (["pack"], ["verify"]):
        last = ("--workers", 0)
    fuzzed(f"command lines, {verb}", verb, *words, *last)


@pytest.mark.parametrize("verb", TRAINER_VERBS)
@given(data=st.data())
def test_trainer_verbs(verb, data, known, folder, step_1):
    files = [word for word in known if not word.endswith("pipe")]  # the parser waits for what is written to it
    pairs = data.draw(st.lists(extra(TRAINER_FLAGS, files), max_size=3))
    words = [word for pair in pairs for word in pair]
    start = () if verb == "fit" else ("--ckpt_path", step_1)
    ends = ("--trainer.max_steps", 1) if verb == "fit" else ()
    small = ("--trainer.limit_val_batches", 0, "--trainer.limit_test_batches", 1, "--trainer.limit_predict_batches", 1)
    quiet = ("--trainer.logger", "false", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu")
    fuzzed(f"command lines, {verb}", verb, "--config", CONF / "tiny.yaml", *start, *words, *ends, *small, *quiet)


FIRST = st.one_of(st.sampled_from(["fit", "apply", "--help", "--version"]), st.text(max_size=8))


@given(words=st.lists(FIRST, min_size=1, max_size=3))
def test_first_words(words):
    fuzzed("command lines", *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, in which all command lines of a test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("line"))
        yield
