"""How long fuzzing goes on, and what it fuzzed."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from PIL import Image

from tests.fuzz.running import SECONDS

slow = dict.fromkeys(("deadline", "database"), None) | {"suppress_health_check": list(HealthCheck)}
settings.register_profile("short", max_examples=10, derandomize=True, phases=[Phase.explicit, Phase.generate], **slow)
settings.register_profile("long", max_examples=100, phases=[Phase.explicit, Phase.generate], **slow)
settings.load_profile("short")


def pytest_terminal_summary(terminalreporter):
    """Inputs and seconds by kind; nothing where other processes did it."""
    for kind, seconds in SECONDS.items():
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(Counter(code for code, _ in seconds).items()))
        total = sum(taken for _, taken in seconds)
        terminalreporter.write_line(f"fuzz {kind}: {len(seconds)} inputs, {total:.1f} s, exit codes {codes}")
    if SECONDS:
        every = [taken for seconds in SECONDS.values() for _, taken in seconds]
        terminalreporter.write_line(f"fuzz: {len(every)} inputs, {sum(every):.1f} s")


class Files(dict[str, bytes]):
    """Name -> content; long for a message."""

    def __repr__(self):
        return f"files {', '.join(self)}"


@pytest.fixture(scope="session")
def images() -> Files:
    """Suffix -> a small image file, of several modes."""
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
    made = {
        "rgb.png": rgb, "gray.png": rgb.convert("L"), "palette.png": rgb.convert("P"), "alpha.png": rgb.convert("RGBA"),
        "rgb.jpg": rgb, "cmyk.jpg": rgb.convert("CMYK"), "rgb.webp": rgb, "rgb.bmp": rgb, "rgb.tif": rgb,
        "deep.tif": rgb.convert("I"), "rgb.ppm": rgb,
    }  # fmt: skip
    found = Files()
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, image in made.items():
        buffer = io.BytesIO()
        form = {"jpg": "JPEG", "tif": "TIFF", "ppm": "PPM"}.get(name[-3:], name.rpartition(".")[2].upper())
        image.save(buffer, form, **({"exif": exif} if form in ("JPEG", "PNG", "WEBP", "TIFF") else {}))
        found[name] = buffer.getvalue()
    return found


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> Path:
    """A set of three pairs in two shards."""
    from restore_lightning.cli import main

    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(1)
    for number, split in enumerate(("train", "train", "test")):
        for kind in ("degraded", "clean"):
            path = root / f"data/{split}/{kind}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(path)
    assert main(["shards", "pack", "pairs", str(root / "data"), str(root / "set"), "--workers", "0"]) == 0
    return root / "set"
