"""`restore bundle`: a checkpoint -> a folder of safetensors, config.json and a model card."""

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.files import user_path, with_home
from restore_lightning.weights import Weights, find_weights, write_bundle
from restore_lightning.weights.bundle import MODEL, SHA256, check_bundle_place
from restore_lightning.weights.card import factor_flag
from restore_lightning.weights.sources import KINDS

if TYPE_CHECKING:
    from torch import Tensor

PLACES = frozenset(("root", "folders"))
"""What a checkpoint says of its data that names places."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore bundle",
        description="Write a network's weights as safetensors, what they are (config.json), and a model card"
        " (README.md) into a folder that every verb takes in place of a checkpoint, and that restore push uploads.",
        allow_abbrev=False,
    )
    made.add_argument("checkpoint", type=with_home, metavar="WEIGHTS", help=KINDS)
    made.add_argument("folder", type=user_path, metavar="FOLDER", help="for the three files; others in it stay")
    made.add_argument(
        "--licence", metavar="NAME", help="of the weights, e.g. apache-2.0; default: that of a published network"
    )
    made.add_argument(
        "--scores",
        type=user_path,
        nargs="+",
        metavar="FILE",
        help="scores.json of restore test with this checkpoint, or several; default: the run's, if it is of this"
        " checkpoint",
    )
    made.add_argument(
        "--notes", type=user_path, metavar="FILE", help="Markdown for the card: how it was trained, where it fails"
    )
    made.add_argument(
        "--half", action="store_true", help="store floating-point weights in 16 bits: half the size, read as 32"
    )
    made.add_argument("--overwrite", action="store_true", help="replace a bundle in FOLDER")
    return made


def run(words: list[str]) -> int:
    """Read the weights as every verb does, and write the bundle."""
    options = parser().parse_args(words)
    check_bundle_place(options.folder, options.overwrite)
    notes = None if options.notes is None else _read(options.notes)

    from restore_lightning.checkpoint_files import (
        ABOUT,
        CURRENT,
        DATA,
        KIND,
        MULTIPLE,
        PRECISION,
        STEP,
    )
    from restore_lightning.checkpoints import read_checkpoint, trained_of
    from restore_lightning.networks import network_info, parameters

    weights = find_weights(options.checkpoint)
    checkpoint = read_checkpoint(weights.name)
    trained = trained_of(checkpoint, weights.name)
    info = network_info(trained.network)
    known = dict(checkpoint.get(ABOUT) or {})
    scores, note = _scores(options.scores, weights, checkpoint.get(STEP) or 0)
    data = checkpoint.get(DATA)
    config = write_bundle(
        options.folder,
        _halved(trained.network.state_dict()) if options.half else trained.network.state_dict(),
        {
            "network": _spec(trained.network, trained.spec),
            "factors": list(trained.networks),
            "told": bool(info.factors) and trained.order is None,
            "order": trained.order,
            MULTIPLE: checkpoint.get(MULTIPLE),
            "channels": info.channels,
            "scale": info.scale,
            "colour": info.colour,
            "parameters": parameters(trained.network),
            PRECISION: checkpoint.get(PRECISION),
            KIND: checkpoint.get(KIND) or CURRENT,
            "step": checkpoint.get(STEP) or 0,
            **known,
            "data": public_data(data) if isinstance(data, Mapping) else None,
            "licence": options.licence or known.get("licence"),
            "scores": known.get("scores") or [] if scores is None else scores,
            "notes": notes or known.get("notes"),
        },
    )
    print(f"{trained.spec['class_path']}: {config['parameters']:,} parameters, removes {', '.join(config['factors'])}")
    print(f"{options.folder / MODEL}: {config['bytes']:,} bytes, sha256 {config[SHA256]}")
    if note:
        print(f"scores: none in the card, {note}; give --scores FILE")
    if not config["licence"]:
        print("licence: not stated; give --licence NAME before others are to use it")
    named = shlex.quote(str(options.folder))
    print(f"written: {options.folder}; next: restore apply {named} PHOTO{factor_flag(config)} --output DIR")
    return 0


def public_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its data, without what that says of a machine."""
    return {str(key): public(value, place=key in PLACES) for key, value in data.items()}


def _read(path: Path) -> str:
    """A text of the user's.

    Raises:
        UserError: There is none.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UserError(f"--notes {path} cannot be read: {error}") from error


def _halved(tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Floating-point tensors in float16.

    Raises:
        UserError: One holds values that float16 does not reach.
    """
    import torch

    halved = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    # What was infinite before, as in masks, stays so.
    far = [name for name, t in tensors.items() if not torch.equal(t.isfinite(), halved[name].isfinite())]
    if far:
        raise UserError(f"--half: {shortened_list(far)} holds values beyond 65504, which 16 bits do not reach")
    return halved


def _spec(network: Any, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A network's class and arguments; of files that its tensors came from the last name is kept."""
    origins = getattr(network, "read_off", ())
    if not origins:
        return dict(spec)
    network.check_rebuilt(spec["class_path"])
    arguments = spec.get("init_args") or {}
    kept = {name: public(value, place=name in origins) for name, value in arguments.items()}
    return {**spec, "init_args": kept}


def public(value: Any, place: bool = False) -> Any:
    """Plain values without what they say of a machine: folders by their last name, addresses without a password.

    Args:
        value: Plain values.
        place: Whether its texts are places, relative ones too; else what looks like the path of a folder is one.
    """
    if isinstance(value, Mapping):
        return {str(key): public(item, place) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item, place) for item in value]
    if not isinstance(value, str):
        return value if isinstance(value, bool | int | float | None) else str(value)
    if "://" in value and not value.startswith("file:"):
        url = urlsplit(value)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    windows = PureWindowsPath(value)
    absolute = PurePosixPath(value).is_absolute() or windows.drive or value.startswith(("~", "file:"))
    return windows.name if place or absolute or ".." in windows.parts else value


def _scores(given: list[Path] | None, weights: Weights, step: int) -> tuple[list[dict[str, Any]] | None, str | None]:
    """The scores of a checkpoint, None where there are none to take, and then why.

    Raises:
        UserError: A file was named, and is not of this checkpoint.
    """
    if given is not None:
        return [row for path in given for row in _scores_of(path, weights, step)], None
    if weights.place.is_dir():
        return None, None  # a bundle has said its own
    beside = [folder / "scores.json" for folder in (weights.place.parent.parent, weights.place.parent)]
    path = next((one for one in beside if one.is_file()), None)
    if path is None:
        return [], f"there is no scores.json of its run ({beside[0]})"
    try:
        return _scores_of(path, weights, step), None
    except OtherScoresError as other:
        return [], str(other)


class OtherScoresError(UserError):
    """Scores that are of another checkpoint."""


def _scores_of(path: Path, weights: Weights, step: int) -> list[dict[str, Any]]:
    """The rows of one scores.json.

    Raises:
        OtherScoresError: It is not of this checkpoint.
    """
    from restore_lightning.reports.scores_json import DEGRADED, RESTORED, read_scores

    found = read_scores(path)
    of = found.restored.checkpoint
    if not _same(of, weights) or (found.step is not None and found.step != step):
        raise OtherScoresError(
            f"{path} is of {of} at step {found.step}, not of {weights.name} at step {step}: test this checkpoint"
        )
    return [
        {
            **{"set": name, "factor": one.factor, "protocol": one.protocol, "images": one.images},
            **{"psnr": one.versions[RESTORED].psnr, "ssim": one.versions[RESTORED].ssim},
            "degraded": {"psnr": one.versions[DEGRADED].psnr, "ssim": one.versions[DEGRADED].ssim}
            if DEGRADED in one.versions
            else None,
            "inference": _inference(found.restored.inference or {}),
        }
        for name, result in found.sets.items()
        for one in result.by_protocol().values()
        if RESTORED in one.versions
    ]


def _same(tested: str | Mapping[str, str] | None, weights: Weights) -> bool:
    """Whether weights are those that scores name; a file that was moved since then is known by its name alone."""
    if not isinstance(tested, str) or tested == weights.name or weights.from_hub:
        return tested == weights.name
    path = Path(with_home(tested))
    if path.exists():
        return path.resolve() == weights.place.resolve()
    return PureWindowsPath(tested).name == weights.place.name


def _inference(settings: Mapping[str, Any]) -> str:
    """How images were restored to be scored, e.g. "tile 512, overlap 64"."""
    parts = [
        name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"
        for name, value in settings.items()
        if value
    ]
    return ", ".join(parts) or "whole images"
