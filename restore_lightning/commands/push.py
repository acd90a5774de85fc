"""`restore push`: a bundle -> a repository on the Hugging Face hub."""

import argparse

from restore_lightning.errors import UserError
from restore_lightning.io.files import user_path
from restore_lightning.weights import find_weights, read_config
from restore_lightning.weights.hub import push, repository


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore push",
        description="Upload a bundle to the Hugging Face hub, as one commit. The token is HF_TOKEN, or that of hf auth"
        " login.",
        allow_abbrev=False,
    )
    made.add_argument("folder", type=user_path, metavar="FOLDER", help="of restore bundle")
    made.add_argument("name", metavar="hub:OWNER/NAME", help="the repository; it is made where there is none")
    made.add_argument("--message", default="Upload by restore push", metavar="TEXT", help="of the commit")
    made.add_argument(
        "--private", action="store_true", help="a repository that is made is private, one that is public is refused"
    )
    made.add_argument("--overwrite", action="store_true", help="replace a bundle there; it stays under its commit")
    return made


def run(words: list[str]) -> int:
    """Check the bundle as its users will, and upload it."""
    options = parser().parse_args(words)
    repository(options.name)
    if not options.folder.is_dir():
        raise UserError(f"FOLDER {options.folder}: no such folder; restore bundle WEIGHTS FOLDER makes one")
    read_config(options.folder)

    from restore_lightning.checkpoints import load_trained

    load_trained(find_weights(options.folder, "FOLDER").name)
    name = push(options.folder, options.name, options.message, options.private, options.overwrite)
    print(f"uploaded: {name}; next: restore apply {name} PHOTO --output DIR")
    return 0
