"""Where a run's images are."""

import zlib
from pathlib import Path

from restore_lightning.data.shards.index import INDEX, SHARD
from restore_lightning.io.image_files import find_images


def fingerprint(place: Path) -> str:
    """What a folder of images or shards (or a file) holds: names and sizes, for comparing and for people."""
    if place.is_file():
        files = [place]
    elif (place / INDEX).is_file():
        files = [place / INDEX, *(path for path in sorted(place.iterdir()) if SHARD.fullmatch(path.name))]
    else:
        files = list(find_images(place))
    sizes = {path.relative_to(place).as_posix(): path.stat().st_size for path in files}
    found = zlib.crc32("\n".join(f"{name} {size}" for name, size in sizes.items()).encode())
    return f"{len(sizes)} files of {sum(sizes.values())} bytes with checksum {found:08x}"
