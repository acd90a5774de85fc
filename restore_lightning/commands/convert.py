"""`restore convert`: a checkpoint that the papers' authors published -> one of ours."""

import argparse
import ast
from typing import Any

from restore_lightning.errors import UserError
from restore_lightning.io.files import check_output, user_path, written_beside


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from restore_lightning.published import NETWORKS

    made = argparse.ArgumentParser(
        prog="restore convert",
        description="Turn a checkpoint that the authors of a paper published into one for restore apply and test.",
        allow_abbrev=False,
    )
    made.add_argument("network", metavar="NETWORK", help=f"one of {', '.join(NETWORKS)}")
    made.add_argument("file", type=user_path, metavar="FILE", help="the authors' checkpoint")
    made.add_argument("output", type=user_path, metavar="OUT", help="the checkpoint to write, e.g. drn.ckpt")
    made.add_argument(
        "--hyperparameters",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="what shapes cannot tell, e.g. T=7 R=7 for DRN, train_size=256 for NAFNetLocal (their defaults)",
    )
    made.add_argument("--factor", help="what the network removes; default: what the paper trained it for")
    made.add_argument("--overwrite", action="store_true", help="replace OUT")
    return made


def run(words: list[str]) -> int:
    """Check the authors' checkpoint and write ours."""
    options = parser().parse_args(words)
    output = options.output
    if output.exists() and options.file.exists() and output.samefile(options.file):
        raise UserError(f"{output} exists already, it is the authors' file: name another one to write")
    check_output("OUT", output, options.overwrite)

    import torch
    from lightning import __version__ as lightning_version

    from restore_lightning.checkpoint_files import (
        ABOUT,
        FACTORS,
        MULTIPLE,
        ORDER,
        SPEC,
        WEIGHTS,
    )
    from restore_lightning.networks import network_info, parameters
    from restore_lightning.published import card, import_network

    network: Any
    network, spec = import_network(options.network, options.file, _pairs(options.hyperparameters))
    described = card(options.network)
    factors, told = network_info(network).factors, described["factor"]
    if factors and options.factor:
        raise UserError(f"--factor {options.factor}: {options.network} has factors of its own, leave it out")
    removes = [options.factor] if options.factor else [told] if isinstance(told, str) else list(told)
    checkpoint = {
        "state_dict": {f"{WEIGHTS}{name}": tensor for name, tensor in network.state_dict().items()},
        SPEC: spec,
        ORDER: None,
        FACTORS: None if factors else removes,
        MULTIPLE: None,
        ABOUT: {key: described[key] for key in ("licence", "trained_on", "repository")},
        # What Lightning reads of a checkpoint, for restore test --ckpt_path.
        "pytorch-lightning_version": lightning_version,
        "global_step": 0,
        "epoch": 0,
    }
    with written_beside(output) as beside:
        torch.save(checkpoint, beside)
    print(f"{options.network}: {parameters(network):,} parameters, removes {', '.join(factors or removes)}")
    print(f"trained on: {described['trained_on']}")
    print(f"repository: {described['repository']}, licence: {described['licence']}")
    print(f"written: {output}; next: restore apply {output} PHOTO --output DIR")
    return 0


def _pairs(words: list[str]) -> dict[str, Any]:
    """["T=7"] -> {"T": 7}."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            equals = ""
        if not equals:
            raise UserError(f"--hyperparameters {word}: give NAME=NUMBER, e.g. T=7")
    return found
