"""`restore export`: a trained network as a file that runs without this package."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from restore_lightning.commands.apply import add_passes, choose_order
from restore_lightning.errors import UserError
from restore_lightning.io.files import check_output, user_path, with_home, written_beside
from restore_lightning.weights.sources import KINDS

if TYPE_CHECKING:
    from restore_lightning.export.description import Description


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore export",
        description="Write a trained network as ONNX or as a program of torch.export: RGB images of any size in [0, 1]"
        " in, restored ones out.",
        allow_abbrev=False,
    )
    made.add_argument("weights", type=with_home, metavar="WEIGHTS", help=f"{KINDS}; e.g. best.ckpt")
    made.add_argument("output", type=user_path, metavar="OUT", help="the file to write, *.onnx or *.pt2")
    add_passes(made)
    made.add_argument(
        "--precision",
        choices=("float32", "fp16", "bf16"),
        default="float32",
        help="that it computes in; images are float32 in any case (default float32)",
    )
    made.add_argument(
        "--no-padding",
        dest="padding",
        action="store_false",
        help="leave out the padding to sizes that the network takes: whoever uses the file has to do it",
    )
    made.add_argument("--opset", type=int, metavar="N", help="of ONNX (default: that of torch's exporter)")
    made.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="keep the file without a comparison with PyTorch on photographs of three sizes",
    )
    made.add_argument("--overwrite", action="store_true", help="replace OUT")
    return made


def run(words: list[str]) -> int:
    """Export, and keep the file only if it does what the network does."""
    options = parser().parse_args(words)
    output = options.output
    if output.suffix not in (".onnx", ".pt2"):
        raise UserError(f"OUT {output}: its suffix names the format, give .onnx or .pt2")
    if options.opset is not None and output.suffix == ".pt2":
        raise UserError(f"--opset {options.opset} is of ONNX: give OUT.onnx, or leave it out")
    if options.precision == "bf16" and output.suffix == ".onnx" and options.verify:
        raise UserError(
            "--precision bf16: onnxruntime's CPU has no convolutions in bfloat16 to compare with; give fp16, OUT.pt2,"
            " or --no-verify for a device that has them"
        )
    check_output("OUT", output, options.overwrite)

    from restore_lightning.export.graph import Passes, traced
    from restore_lightning.export.onnx_network import check_installed, check_opset
    from restore_lightning.export.verification import TOLERANCES, differences
    from restore_lightning.export.writing import read_program, write_program
    from restore_lightning.inference import Restorer

    if output.suffix == ".onnx":
        check_installed()
    if options.opset is not None:
        check_opset(options.opset)
    trained = Restorer.from_checkpoint(options.weights)
    order = choose_order(trained.factors, trained.order, options.factor, options.order)
    restorer = Restorer(trained.networks, order)
    passes = Passes(restorer, options.precision, options.padding)
    described = passes.description
    print(f"tracing {described.network} ({', '.join(order)}): minutes, if it is large", file=sys.stderr)
    checked = "not compared with PyTorch"
    with written_beside(output) as beside:
        program = traced(passes)
        print(f"writing {output}", file=sys.stderr)
        write_program(program, beside, described, options.opset)
        del program  # the memory is for what was written
        if options.verify:
            print("comparing with PyTorch", file=sys.stderr)
            most = TOLERANCES[described.precision]
            written, described = read_program(beside)
            found = {f"{height}x{width}": value for (height, width), value in differences(written, restorer, described)}
            size = max(found, key=lambda size: found[size])
            if not found[size] <= most:
                advice = "" if described.precision == "float32" else ", or another --precision"
                raise UserError(
                    f"{output} is not kept: it differs from PyTorch by {found[size]:.1e} on {size} pixels, at most"
                    f" {most:g} is allowed in {described.precision}; try the other format{advice}",
                    exit_code=1,
                )
            checked = f"differs from PyTorch by {found[size]:.1e} at most ({', '.join(found)} pixels)"
    print(f"{described.network}, removes {described.removes}, {described.precision}: {checked}")
    print(f"written: {output} ({output.stat().st_size / 2**20:.1f} MiB); next: {_next(output, described)}")
    return 0


def _next(output: Path, described: "Description") -> str:
    """A command line, or a line of Python, that uses the file."""
    if output.suffix == ".onnx":
        return f"restore apply {shlex.quote(str(output))} PHOTO --output DIR"
    from restore_lightning.networks import SizeRule

    rule = SizeRule(described.multiple, described.minimum)
    image = f"torch.rand(1, {described.channels}, {rule.padded(96)}, {rule.padded(128)})"
    return f"import torch; restored = torch.export.load({str(output)!r}).module()({image})  # RGB in [0, 1]"
