"""The pages of files: scores.json and tar shards."""

import inspect
import json
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from docstring_parser import parse

from restore_lightning.data.shards.index import DTYPES, FORMAT, INDEX, MEMBER, SAMPLE
from restore_lightning.data.shards.reader import MANIFEST
from restore_lightning.metrics import MeanScores
from restore_lightning.reports.scores_json import DEGRADED, RESTORED, Method, RunScores, SetResult, write_scores

METHODS = {"methods": "title", "checkpoints": "checkpoint", "inferences": "inference"}
"""Keys that hold something of every method by the version's name."""
TESTED = ("checkpoint", "inference")
"""Keys that say it of the tested network alone."""


def scores_page() -> str:
    """The page of scores.json, in Markdown."""
    degraded, restored = MeanScores(25.31, 0.8216), MeanScores(31.17, 0.8949)
    sets = {"rain12": SetResult("rain", "durn-y", 12, {DEGRADED: degraded, RESTORED: restored}, "shards/rain12")}
    method = Method("R-MBN", "runs/r_mbn/checkpoints/best.ckpt", {"tile": 512})
    network = {"class_path": "restore_lightning.networks.MBN", "init_args": {"width": 64}}
    order = ["jpeg", "haze", "blur", "rain"]
    run = RunScores(sets, {RESTORED: method}, network, 11_254_072, order, "current", 150_000, "bf16-mixed")
    with TemporaryDirectory() as folder:
        write_scores(Path(folder, "scores.json"), run)
        text = Path(folder, "scores.json").read_text(encoding="utf-8")
    written: dict[str, Any] = json.loads(text)
    of_run, of_method = _told(RunScores), _told(Method)
    keys = {
        **{key: of_run[key] for key in of_run if key != "methods"},
        **{key: f"By version: {of_method[field]}" for key, field in METHODS.items()},
        **{key: f"Of the version `{RESTORED}`: {of_method[key]}" for key in TESTED},
    }
    of_set = {key: about for key, about in _told(SetResult).items() if key not in ("versions", "others")}
    page = [
        "# scores.json",
        "",
        "`restore test` writes it into the run's folder. An example:",
        "",
        f"```json\n{text.rstrip()}\n```",
        "",
        *_table("At the top", keys, written),
        *_table("A set: `sets.NAME`", of_set, set(written["sets"]["rain12"]) - {DEGRADED, RESTORED}),
        f"Every other key of a set is a version of its images: `{DEGRADED}`, `{RESTORED}`, and whatever the run was "
        "compared with (`told`, `before`, names of baselines). A set that several protocols scored has `protocols` beside",
        "them: each protocol's versions by its name, the first one's among them.",
        "",
        *_table("A version: `sets.NAME.VERSION`", _told(MeanScores), written["sets"]["rain12"][RESTORED]),
        "What is no number is written as `null`, what is infinite as `1e999`, which parsers read so.",
        "Files of older versions lack keys; readers take them for `null`.",
        "",
        "`restore score --json FILE` writes another file, of two folders: `protocol`, `images` (`name`, `psnr`,",
        "`ssim`) and their `mean`; of several protocols the first one's, and all by their names in `protocols`.",
    ]
    return "\n".join(page)


def shards_page() -> str:
    """The page of the shards' format, in Markdown."""
    return "\n".join(
        [
            "# Shards",
            "",
            "What `restore shards pack` and `restore mix` write: a folder of tar files, `SPLIT-000000.tar` and on,",
            f"`{INDEX}` and `{MANIFEST}`. [Data](../data.md) says how to make and use one.",
            "",
            _page_docstring("reader"),
            "",
            f"## {INDEX}",
            "",
            f"Format {FORMAT}, a file of NumPy arrays without pickles.",
            "",
            "::: restore_lightning.data.shards.index.Index",
            "    options: {heading_level: 3}",
            "",
            "### A sample",
            "",
            *_dtype(SAMPLE),
            "### A member",
            "",
            f"One stored image. `offset` and `bytes` are those of its tar member's data; `dtype` counts in {DTYPES},",
            "where `file` is an encoded image file; `version`, `factors` and `view` count in tables of those names.",
            "",
            *_dtype(MEMBER),
            "::: restore_lightning.data.shards.index.Shard",
            "    options: {heading_level: 3}",
            "",
            "::: restore_lightning.io.file_views.View",
            "    options: {heading_level: 3}",
        ]
    )


def _page_docstring(module: str) -> str:
    from importlib import import_module

    return inspect.getdoc(import_module(f"restore_lightning.data.shards.{module}")) or ""


def _dtype(dtype: Any) -> list[str]:
    rows = [f"| `{name}` | `{dtype[name].str}` |" for name in dtype.names]
    return ["| field | type |", "|---|---|", *rows, ""]


def _told(cls: Any) -> dict[str, str]:
    """What a dataclass's docstring says of each field."""
    told = {each.arg_name: " ".join((each.description or "").split()) for each in parse(cls.__doc__).params}
    return {field.name: told[field.name].replace("None:", "null:") for field in fields(cls)}


def _table(title: str, told: dict[str, str], written: Any) -> list[str]:
    if set(told) != set(written):
        raise RuntimeError(f"scores.json, {title}: written {sorted(written)}, told {sorted(told)}")
    rows = [f"| `{key}` | {told[key]} |" for key in told]
    return [f"## {title}", "", "| key | meaning |", "|---|---|", *rows, ""]
