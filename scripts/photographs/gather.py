"""Write the photographs that the shipped networks were trained on.

    python -m scripts.photographs.gather OUT

takes them from packages of Debian 12 (`apt-get download`, `dpkg-deb`) and from scikit-learn's wheel (`pip download`),
reduces each by an integer so that its longer side has at most 1000 pixels, which also averages away what JPEG or WebP
coding left, and writes PNG files. photographs.csv names each: package, file in it, for GCompris' resource files the
offset of the picture, and the licence as Debian's copyright files and GCompris' sources state it.
"""

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

TABLE = Path(__file__).with_name("photographs.csv")
LONGER_SIDE = 1000  # pixels


def photographs() -> list[dict[str, str]]:
    """The rows of photographs.csv: name, package, file, offset, author, licence."""
    with TABLE.open(newline="") as table:
        return list(csv.DictReader(table))


def gather(out: Path) -> None:
    """Write `out/NAME.png` of every row.

    Raises:
        subprocess.CalledProcessError: A package cannot be fetched.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = photographs()
    with tempfile.TemporaryDirectory() as folder:
        packages = {package: _fetch(package, Path(folder)) for package in sorted({row["package"] for row in rows})}
        for row in rows:
            encoded = (packages[row["package"]] / row["file"]).read_bytes()[int(row["offset"] or 0) :]
            image = Image.open(io.BytesIO(encoded)).convert("RGB")
            image.reduce(max(2, -(-max(image.size) // LONGER_SIDE))).save(out / f"{row['name']}.png")


def _fetch(package: str, folder: Path) -> Path:
    """The folder that holds a package's files."""
    files = folder / package
    files.mkdir()
    if package.startswith("scikit-learn"):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(files), package]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(files.glob("*.whl"))) as wheel:
            wheel.extractall(files)
    else:
        subprocess.run(["apt-get", "-qq", "download", package], check=True, cwd=files)
        subprocess.run(["dpkg-deb", "-x", str(next(files.glob("*.deb"))), str(files)], check=True)
    return files


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
