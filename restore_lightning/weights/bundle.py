"""Bundles: a folder with a network's weights in safetensors, what they are, and a model card."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from restore_lightning.errors import UserError, shortened_list, shortened_text
from restore_lightning.io.files import check_folder, json_text, write_text, written_beside
from restore_lightning.shipped_weights import FOLDER as SHIPPED
from restore_lightning.weights.card import card_text

if TYPE_CHECKING:
    from torch import Tensor

MODEL, CONFIG, CARD = FILES = ("model.safetensors", "config.json", "README.md")
"""The files of a bundle."""
FORMAT = "restore-lightning/1"
"""What a bundle's config.json says it is; the number changes when older versions could not read it."""
SHA256 = "sha256"
"""Key of a bundle's config.json for the checksum of its weights' file."""


class OfOthersError(UserError):
    """A `config.json` of another program."""


class Bundle(NamedTuple):
    """What a bundle holds.

    Args:
        config: `config.json`: the network's class and arguments, and what is known of its weights.
        tensors: Name -> tensor, on the CPU.
    """

    config: dict[str, Any]
    tensors: dict[str, "Tensor"]


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds what a bundle begins with; `read_config` says whether it is one."""
    return (folder / CONFIG).is_file()


def read_config(folder: Path) -> dict[str, Any]:
    """What a bundle says of itself; its weights are not looked at.

    Raises:
        UserError: The folder is no bundle.
    """
    path = folder / CONFIG
    if not path.is_file():
        places = (f"{where}{name}.ckpt" for where in ("checkpoints/", "") for name in ("best", "last"))
        held = next((place for place in places if (folder / place).is_file()), "")
        hint = f"of a run, name a file: {folder / held}" if held else "restore bundle makes such folders"
        raise UserError(f"{folder}: a folder without {CONFIG}, which is no bundle; {hint}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {shortened_text(str(error), 100)}", exit_code=1) from error
    made = config.get("format") if isinstance(config, dict) else None
    if not _is_ours(made):
        raise OfOthersError(
            f'{path} is of another program: it lacks "format": "{FORMAT}"; weights of others become ours by restore'
            " convert"
        )
    if made != FORMAT:
        raise UserError(f"{path} is of a later version ({made}): install that of restore-lightning")
    odd = _odd(config)
    if odd:
        raise UserError(f"{path} is damaged: {shortened_list(odd)} is missing or of another kind", exit_code=1)
    return config


def _odd(config: Mapping[str, Any]) -> list[str]:
    """Keys that do not hold what is written there; what builds the network is looked at where it is built."""
    whole, text = (int, type(None)), (str, type(None))
    kinds: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(("bytes", "parameters"), (int,)),
        "step": whole,
        "factors": (list,),
        **dict.fromkeys(("scores", "order"), (list, type(None))),
        "data": (dict, type(None)),
        **dict.fromkeys(("colour", "weights", "precision", "licence", "trained_on", "repository", "notes"), text),
    }
    odd = [name for name, allowed in kinds.items() if not isinstance(config.get(name), allowed)]
    if odd:
        return odd
    scored = all(
        isinstance(one, dict) and isinstance(one.get("degraded"), dict | None) for one in config.get("scores") or []
    )
    names = [name for name in ("factors", "order") if not all(isinstance(one, str) for one in config.get(name) or [])]
    return names + ["scores"] * (not scored)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle; nothing in it is run, and its weights are those that its config was written with.

    Raises:
        UserError: It is none, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config, path = read_config(folder), folder / MODEL
    if not path.is_file():
        raise UserError(f"{folder}: {MODEL} is missing beside {CONFIG}: fetch the whole bundle", exit_code=1)
    stated, found = config.get(SHA256), checksum(path)
    if found != stated:
        raise UserError(
            f"{path} is not the file that {CONFIG} was written with: its sha256 is {found}, stated is {stated};"
            " fetch the bundle again",
            exit_code=1,
        )
    try:
        return Bundle(config, load_file(path))
    except (SafetensorError, ValueError, TypeError, RuntimeError, KeyError) as error:
        line = shortened_text(str(error), 100)
        raise UserError(f"{path} cannot be read as safetensors: {line}", exit_code=1) from error


def check_bundle_place(folder: Path, replace: bool) -> None:
    """Refuse a folder for a bundle before anything is computed for it.

    Args:
        folder: Where it shall be; other files in it stay.
        replace: Whether one that is there may be replaced.

    Raises:
        UserError: There is one, or a place where none can be, or files of these names that are of no bundle.
    """
    check_folder("FOLDER", folder)
    there = [name for name in FILES if (folder / name).exists()]
    if there and not replace:
        raise UserError(f"FOLDER {folder} holds {', '.join(there)} already: give --overwrite or another folder")
    if there and not _says_bundle(folder):
        raise UserError(
            f"FOLDER {folder} holds {', '.join(there)} without a {CONFIG} of restore bundle, and --overwrite replaces"
            " bundles only: give another folder, or move what is there"
        )


def _says_bundle(folder: Path) -> bool:
    """Whether a folder's config.json says that it is of a bundle, of any version, damaged or not."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and _is_ours(config.get("format"))


def _is_ours(made: Any) -> bool:
    """Whether a bundle's format is one of ours, of any version."""
    maker, _, version = str(made).partition("/")
    return maker == FORMAT.partition("/")[0] and version.isdigit()


def write_bundle(folder: Path, tensors: Mapping[str, "Tensor"], about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the three files of a bundle.

    All are written beside before the first takes its place: where there is no room, what was there stays. A process
    that is killed within leaves a bundle that is whole, or that its checksum refuses.

    Args:
        folder: Made where it is missing.
        tensors: Name -> tensor.
        about: Plain values; see `restore_lightning.commands.bundle` for what they say.

    Returns:
        What `config.json` says: `about`, and the format, size (bytes) and checksum of the weights' file.

    Raises:
        UserError: The weights' file cannot be written.
        OSError: One of the others cannot.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # Copies: safetensors takes no tensors that share memory, nor such as lie in it in another order.
    held = {name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    # Each takes its place when its block ends: config.json first, by which a bundle is known and its weights checked.
    with written_beside(folder / MODEL) as model:
        try:
            save_file(held, model, metadata={"format": "pt"})
        except SafetensorError as error:  # hides the system's error
            line = shortened_text(str(error), 100)
            raise UserError(f"{folder / MODEL} cannot be written: {line}", exit_code=1) from error
        config = {"format": FORMAT, **about, "bytes": model.stat().st_size, SHA256: checksum(model)}
        with written_beside(folder / CARD) as card:
            called = folder.name if folder.resolve().parent == SHIPPED.resolve() else "FOLDER"
            card.write_text(card_text(config, called), encoding="utf-8", errors="backslashreplace")
            write_text(folder / CONFIG, json_text(config))
        shutil.copymode(folder / CONFIG, model)  # safetensors lets nobody else read
    return config


def checksum(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
