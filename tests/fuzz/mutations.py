"""Damaged files and values: each a pure function of what is whole and a seed."""

import copy
import json
from typing import Any

import numpy as np

NUMBERS = (0, 1, 2, 3, 127, 128, 255)
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 65, 0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), "", " ", "x", "null", "1",
    "no", "..", "/", "a/b", "\u00e4\u0301", "\u202e", "\U0001f300", "x" * 300, "{", "%s", "${x}", [], {}, [1, 2], ["x"],
    {"x": 1}, {"class_path": "x"}, {"class_path": "torch.nn.Identity"},
)  # fmt: skip
"""What stands in the place of a value: of another type, at an end of its range, of an odd spelling. Nothing large: that
a machine has no memory for a network of a billion channels is no fault."""


def damaged_bytes(data: bytes, seed: int) -> bytes:
    """One to four changes: bits, bytes, runs of bytes, cuts, repetitions; half of them near the start."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        size = len(changed)
        at = int(rng.integers(0, min(size, 64) if rng.random() < 0.5 else size)) if size else 0
        length = int(rng.choice([1, 2, 4, 16, 256]))
        match rng.integers(8):
            case 0 if size:
                changed[at] ^= 1 << int(rng.integers(8))
            case 1:
                changed[at : at + 1] = bytes([int(rng.choice(NUMBERS))])
            case 2:
                changed[at : at + length] = rng.bytes(length)
            case 3:
                changed[at : at + length] = bytes(length)
            case 4:
                del changed[at : at + length]
            case 5:
                changed[at:at] = rng.bytes(length)
            case 6:
                changed[at:at] = changed[at : at + length]
            case _:
                del changed[at if rng.random() < 0.8 else 0 :]
    return bytes(changed)


def damaged_value(value: Any, seed: int) -> Any:
    """A copy of nested mappings and lists in which one to three entries are other ones, gone, or called otherwise."""
    rng = np.random.default_rng(seed)
    changed = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        places = _places(changed)
        if not places:
            return _other(rng)
        holder, key = places[rng.integers(len(places))]
        match rng.integers(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[f"{key}{rng.choice(['', 'x', ' '])}"] = holder.pop(key)
            case 2:
                other_holder, other_key = places[rng.integers(len(places))]
                holder[key] = copy.deepcopy(other_holder[other_key])
            case _:
                holder[key] = _other(rng)
    return changed


def damaged_text(text: str, seed: int) -> str:
    """Text with lines repeated, left out, swapped or moved in, and signs put into it."""
    rng = np.random.default_rng(seed)
    lines = text.splitlines()
    for _ in range(rng.integers(1, 4)):
        at, other = (int(rng.integers(len(lines))) for _ in range(2))
        match rng.integers(5):
            case 0:
                lines.insert(at, lines[other])
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = " " * int(rng.integers(1, 4)) + lines[at]
            case _:
                place = int(rng.integers(len(lines[at]) + 1))
                sign = str(
                    rng.choice(["\t", ":", "- ", "{", "]", "&a ", "*a", "!!int ", "'", '"', "#", "\0", "%", "@"])
                )
                lines[at] = lines[at][:place] + sign + lines[at][place:]
    return "\n".join(lines)


def _other(rng: np.random.Generator) -> Any:
    return copy.deepcopy(VALUES[rng.integers(len(VALUES))])


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) within nested mappings and lists."""
    if isinstance(value, dict):
        own = [(value, key) for key in value]
    elif isinstance(value, list):
        own = [(value, number) for number in range(len(value))]
    else:
        return []
    return own + [place for holder, key in own for place in _places(holder[key])]


def as_json(value: Any) -> bytes:
    """Bytes of a header; what JSON cannot say is a text."""
    return json.dumps(value, default=str).encode()
