"""What `restore apply` is going to do: which files, their outputs, and what is said of the others."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.files import near_path

if TYPE_CHECKING:
    from restore_lightning.io.image_files import Photo

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif", "webp": ".webp"}
"""Of `--format`."""
LOSSLESS = ("png", "tiff")


class Job(NamedTuple):
    """One file to restore, and where to."""

    source: Path
    target: Path


class Naming(NamedTuple):
    """Where outputs go, and how they are called.

    Args:
        output: `--output`.
        form: `--format`.
        suffix: `--suffix`.
    """

    output: Path
    form: str = "png"
    suffix: str = ""

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """As the command line says.

        Raises:
            UserError: A quality of formats that have none, or that is none; a suffix that is no part of a name.
        """
        if options.quality is not None and not 1 <= options.quality <= 100:
            raise UserError(f"--quality {options.quality}: give 1 to 100")
        if options.quality is not None and options.format in LOSSLESS:
            raise UserError(f"--quality {options.quality}: {options.format} has none, give --format jpeg, webp or same")
        if Path(f"a{options.suffix}").name != f"a{options.suffix}":
            raise UserError(f"--suffix {options.suffix}: give a part of a name, without folders")
        return cls(options.output, options.format, options.suffix)

    def target(self, source: Path, root: Path) -> Path:
        """The output of a file below `root`."""
        from restore_lightning.io.photo_writing import written_suffix

        suffix = SUFFIXES.get(self.form) or written_suffix(source.suffix)
        return self.output / source.relative_to(root).with_name(f"{source.stem}{self.suffix}{suffix}")


class Plan(NamedTuple):
    """What is going to be done.

    Args:
        jobs: The files and their outputs.
        skipped: How many are left because their outputs exist.
        others: Files in the folders that are no images.
        converted: Sources that are written in another format than asked for, which nothing is written in.
        earlier: Files in the folders that are left because their names are those of outputs.
    """

    jobs: list[Job]
    skipped: int
    others: list[Path]
    converted: list[Path]
    earlier: list[Path]

    def said(self) -> list[str]:
        """What the user is told before."""
        from restore_lightning.io.image_folders import left_out

        told = [left_out(self.others)] if self.others else []
        if self.converted:
            kinds = ", ".join(sorted({path.suffix for path in self.converted}))
            named = shortened_list(list(map(str, self.converted)), 3)
            told.append(f"{kinds} cannot be written, these become .png: {named}")
        if self.earlier:
            count = len(self.earlier)
            are = "1 file is named as an output" if count == 1 else f"{count} files are named as outputs"
            named = shortened_list(list(map(str, self.earlier)), 3)
            told.append(f"{are} and left out: {named}; to restore one, name it as INPUT")
        return told


class Notes:
    """What is to be said of files that are restored all the same."""

    def __init__(self) -> None:
        self.pictures: dict[str, int] = {}
        self.lost: dict[str, list[str]] = {}

    def read(self, job: Job, photo: "Photo") -> None:
        """A file was read."""
        if photo.pictures > 1:
            self.pictures[str(job.source)] = photo.pictures

    def written(self, job: Job, lost: Sequence[str]) -> None:
        """A file was written, without what its format does not hold."""
        for what in lost:
            self.lost.setdefault(what, []).append(str(job.target))

    def said(self) -> list[str]:
        """A line for each kind."""
        from restore_lightning.io.image_folders import several_pictures

        told = [several_pictures(dict(sorted(self.pictures.items())))] if self.pictures else []
        return told + [
            f"{what} not kept, the format does not hold it: {shortened_list(sorted(paths), 3)}"
            for what, paths in self.lost.items()
        ]


def plan(inputs: Sequence[Path], naming: Naming, overwrite: bool = False, skip_existing: bool = False) -> Plan:
    """Find the files and their outputs; nothing is written yet.

    Args:
        inputs: Files and folders.
        naming: Of the outputs.
        overwrite: Replace outputs that exist.
        skip_existing: Leave files whose outputs exist.

    Raises:
        UserError: A missing input, no images, two inputs for one output, or outputs that exist.
    """
    from restore_lightning.io.image_folders import find_images, left_out
    from restore_lightning.io.photo_writing import WRITTEN

    output = naming.output
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is a file: name a folder")
    if output.suffix.lower() in WRITTEN and not output.exists():
        raise UserError(f"--output {output}: name a folder, files keep their names")
    jobs: list[Job] = []
    others: list[Path] = []
    for given in inputs:
        if not given.exists():
            raise UserError(f"{given}: no such file or folder{near_path(given)}")
        if not given.is_dir():
            jobs.append(Job(given, naming.target(given, given.parent)))
            continue
        within = None if output.exists() and output.samefile(given) else output
        files = find_images(given, without=within)
        jobs += [Job(source, naming.target(source, given)) for source in files.images]
        others += files.others
    named = set(inputs)
    earlier = [source for source in _earlier_outputs(jobs) if source not in named] if naming.suffix else []
    left_aside = set(earlier)
    jobs = [job for job in jobs if job.source not in left_aside]
    if not jobs:
        holds = f" ({left_out(others)})" if others else ""
        raise UserError(f"no images in {', '.join(map(str, inputs))}{holds}")
    twice = [str(target) for target, count in Counter(job.target for job in jobs).items() if count > 1]
    if twice:
        raise UserError(
            f"several inputs would become {twice[0]}: name each file once, keep the formats by --format same,"
            " or restore the folders one by one"
        )
    sources = {job.source.resolve() for job in jobs}
    same = [str(job.target) for job in jobs if job.target.resolve() in sources]
    if same:
        raise UserError(f"--output {output} would replace the input {same[0]}: choose another folder, or --suffix")
    existing = [job for job in jobs if _exists(job.target)]
    if existing and not (overwrite or skip_existing):
        raise UserError(
            f"{len(existing)} outputs exist already, e.g. {existing[0].target}: give --overwrite, --skip-existing or"
            " another --output"
        )
    skipped = set(existing if skip_existing else ())
    left = [job for job in jobs if job not in skipped]
    converted = [job.source for job in left if naming.form == "same" and _other_format(job)]
    return Plan(left, len(skipped), others, converted, earlier)


def _earlier_outputs(jobs: Sequence[Job]) -> list[Path]:
    """Sources with the name of an output of another source, in whatever format an earlier call wrote it."""
    from restore_lightning.io.photo_writing import WRITTEN

    outputs = {(job.target.parent.resolve(), job.target.stem) for job in jobs}
    return [
        source
        for source, _ in jobs
        if source.suffix.lower() in WRITTEN and (source.parent.resolve(), source.stem) in outputs
    ]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no name of a file, as is said when it is written
        return False


def _other_format(job: Job) -> bool:
    return job.target.suffix != job.source.suffix
