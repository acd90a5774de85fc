"""What `scores.json` says of a tested run, written and read in this one place. Nothing here imports torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from restore_lightning.errors import UserError
from restore_lightning.io.files import check_is_folder, json_text, write_text
from restore_lightning.metrics import MeanScores, mean_scores

DEGRADED, RESTORED = "degraded", "restored"
"""The versions of an image that every test scores."""
KINDS: dict[Any, str] = {dict: "mapping", list: "list", str: "text", int: "whole number", str | dict: "text or mapping"}


@dataclass(frozen=True)
class SetResult:
    """The scores of a test set.

    Args:
        factor: What degrades its images, several joined by "+".
        protocol: How they were scored.
        images: How many there are.
        versions: Scores of the degraded images and of those that each method restored.
        data: Where the images come from; None: not recorded.
        others: Protocol -> the versions' scores, of protocols beside the first.
    """

    factor: str
    protocol: str
    images: int
    versions: Mapping[str, MeanScores]
    data: str | None = None
    others: Mapping[str, Mapping[str, MeanScores]] = field(default_factory=dict)

    def by_protocol(self) -> dict[str, "SetResult"]:
        """Protocol -> the scores by it alone, the first one's first."""
        scores = {self.protocol: self.versions, **self.others}
        return {name: replace(self, protocol=name, versions=one, others={}) for name, one in scores.items()}


@dataclass(frozen=True)
class Method:
    """What restored a version of the images.

    Args:
        title: What tables call it.
        checkpoint: Its weights' file, or one per factor; None: there is none, or it is not recorded.
        inference: The settings that it was used with; None: not recorded.
    """

    title: str
    checkpoint: str | Mapping[str, str] | None = None
    inference: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class RunScores:
    """What `restore test` found. What files of older versions do not say is None.

    Args:
        sets: Test set -> scores.
        methods: Version -> what made it: "restored", the tested network, and what it was compared with.
        network: The tested network's class_path and init_args.
        parameters: How many it has.
        order: The order of its recurrent passes; None: it is told the factor.
        weights: Whether they are averaged ones.
        step: That they were trained to.
        precision: That the images were restored in, e.g. "bf16-mixed".
    """

    sets: Mapping[str, SetResult]
    methods: Mapping[str, Method]
    network: Mapping[str, Any] | None = None
    parameters: int | None = None
    order: Sequence[str] | None = None
    weights: str | None = None
    step: int | None = None
    precision: str | None = None

    @property
    def restored(self) -> Method:
        """The tested network's way."""
        return self.methods[RESTORED]

    @property
    def titles(self) -> dict[str, str]:
        """What tables call the degraded images and the methods."""
        return {DEGRADED: DEGRADED, **{version: method.title for version, method in self.methods.items()}}


def views_by_protocol(sets: Mapping[str, SetResult]) -> dict[str, dict[str, SetResult]]:
    """The sets by the first protocol of each, under "", then by each further protocol those that it scored.

    Tables and means are of one of these: means over several protocols would be none.
    """
    further = dict.fromkeys(protocol for one in sets.values() for protocol in one.others)
    scored = {name: one.by_protocol() for name, one in sets.items()}
    first = {name: one[sets[name].protocol] for name, one in scored.items()}
    return {"": first} | {
        protocol: {name: one[protocol] for name, one in scored.items() if protocol in one} for protocol in further
    }


class OfFoldersError(UserError):
    """A `scores.json` that `restore score` wrote of two folders."""


def write_scores(path: Path, scores: RunScores) -> None:
    """Write a `scores.json`."""
    methods = scores.methods.items()
    sets = {
        name: {
            **{"factor": result.factor, "protocol": result.protocol, "data": result.data, "images": result.images},
            **_versions(result),
            **(
                {"protocols": {by: _versions(one) for by, one in result.by_protocol().items()}} if result.others else {}
            ),
        }
        for name, result in scores.sets.items()
    }
    content = {
        "checkpoint": scores.restored.checkpoint,
        "checkpoints": {version: method.checkpoint for version, method in methods},
        "weights": scores.weights,
        "step": scores.step,
        **({} if scores.precision is None else {"precision": scores.precision}),
        "network": scores.network,
        "parameters": scores.parameters,
        "inference": scores.restored.inference,
        "inferences": {version: method.inference for version, method in methods},
        "order": scores.order,
        "methods": {version: method.title for version, method in methods},
        "sets": sets,
    }
    write_text(path, json_text(content))


def _versions(result: SetResult) -> dict[str, dict[str, Any]]:
    return {version: asdict(means) for version, means in result.versions.items()}


def read_scores(path: Path) -> RunScores:
    """Read a `scores.json`, of this version or an older one.

    Raises:
        UserError: It is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("images"), list) and "protocol" in content:
            raise OfFoldersError(
                f"{path} is of restore score, which does not say what was scored: name one of restore test"
            )
        return _run_scores(content)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no file of restore test: {error}") from error


def read_all_scores(folder: Path) -> tuple[dict[Path, RunScores], list[str]]:
    """Every `scores.json` below a folder by its run, and what is wrong with those that are none.

    Those of `restore score` do not say of which set and method they are, and are passed over.

    Raises:
        UserError: No such folder, or there is none in it.
    """
    check_is_folder(folder, "the one with your runs, e.g. runs", "--results")
    paths = sorted(folder.rglob("scores.json"))
    if not paths:
        raise UserError(f"no scores.json below {folder}: restore test writes one into the folder of each run")
    found, problems = {}, []
    for path in paths:
        try:
            found[path.parent] = read_scores(path)
        except OfFoldersError:
            continue
        except UserError as error:
            problems.append(str(error))
    return found, problems


def mean_over_sets(scores: Sequence[MeanScores]) -> MeanScores:
    """The mean over sets; those of infinite PSNR are left out of the PSNR's mean, and counted as identical."""
    return mean_scores(np.array([one.psnr for one in scores]), np.array([one.ssim for one in scores]))


def _run_scores(content: Any) -> RunScores:
    """What a file says.

    Raises:
        ValueError: It says no scores.
    """
    if not isinstance(content, dict) or not isinstance(content.get("sets"), dict):
        raise ValueError('it has no "sets"')
    sets = {name: _set_result(f"set {name!r}", entry) for name, entry in content["sets"].items()}
    network = _entry(content, "network", dict)
    _entry(network or {}, "init_args", dict)
    titles = {version: version for result in sets.values() for version in result.versions}
    titles |= {RESTORED: RESTORED} | (_entry(content, "methods", dict) or {})
    titles.pop(DEGRADED, None)
    checkpoints, inferences = (_entry(content, key, dict) or {} for key in ("checkpoints", "inferences"))
    # There was one of each at first, the tested network's.
    checkpoints = {RESTORED: content.get("checkpoint"), **checkpoints}
    inferences = {RESTORED: content.get("inference"), **inferences}
    methods = {
        version: Method(
            str(title),
            _entry(checkpoints, version, str | dict, "checkpoint of "),
            _entry(inferences, version, dict, "inference of "),
        )
        for version, title in titles.items()
    }
    about = {"parameters": int, "order": list, "weights": str, "step": int, "precision": str}
    return RunScores(sets, methods, network, *(_entry(content, key, kind) for key, kind in about.items()))


def _set_result(where: str, entry: Any) -> SetResult:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} has no scores")
    about = {"factor": str, "protocol": str, "images": int}
    for key in about:
        if entry.get(key) is None:
            raise ValueError(f"{where} has no {key}")
    factor, protocol, images = (_entry(entry, key, kind, f"{where}, ") for key, kind in about.items())
    versions = _read_versions(where, {key: value for key, value in entry.items() if key != "protocols"})
    others = {
        by: _read_versions(f"{where}, {by}", _entry(entry["protocols"], by, dict, f"{where}, ") or {})
        for by in _entry(entry, "protocols", dict, f"{where}, ") or {}
        if by != protocol
    }
    return SetResult(factor, protocol, images, versions, _entry(entry, "data", str, f"{where}, "), others)


def _read_versions(where: str, entry: Mapping[str, Any]) -> dict[str, MeanScores]:
    return {key: _mean_scores(f"{where}, {key}", value) for key, value in entry.items() if isinstance(value, dict)}


def _mean_scores(where: str, entry: Mapping[str, Any]) -> MeanScores:
    values = [entry.get(key, "") for key in ("psnr", "ssim")]
    if not all(isinstance(value, float | int | None) for value in values):
        raise ValueError(f"{where}: no psnr and ssim")
    psnr, ssim = (math.nan if value is None else float(value) for value in values)  # NaN is written as null
    return MeanScores(psnr, ssim, _entry(entry, "identical", int, f"{where}, ") or 0)


def _entry(content: Mapping[str, Any], key: str, kind: type | UnionType, where: str = "") -> Any:
    """What a mapping has under a key; None: nothing.

    Raises:
        ValueError: It is of another kind.
    """
    value = content.get(key)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise ValueError(f"{where}{key} {repr(value)[:40]}: no {KINDS[kind]}")
    return value
