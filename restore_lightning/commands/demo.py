"""`restore demo`: a local page on which photographs are restored."""

import argparse
import tempfile
from pathlib import Path

from restore_lightning.commands.apply import choose_order
from restore_lightning.errors import UserError
from restore_lightning.io.files import with_home
from restore_lightning.runs.signals import leaving_by_signals
from restore_lightning.shipped_weights import shipped_networks
from restore_lightning.weights import find_weights
from restore_lightning.weights.sources import KINDS

PORT = 7860
TILE = 512


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="restore demo",
        description="Serve a page on this machine, on which photographs are restored and compared; Ctrl-C ends it.",
        allow_abbrev=False,
    )
    made.add_argument(
        "weights",
        type=with_home,
        metavar="WEIGHTS",
        nargs="?",
        help=f"{KINDS}; default: the first of the shipped networks",
    )
    made.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"of 127.0.0.1; 0: any that is free (default {PORT})"
    )
    made.add_argument("--device", help="e.g. cpu, cuda, cuda:1, mps; default: cuda where there is one")
    made.add_argument(
        "--tile",
        type=int,
        default=TILE,
        metavar="N",
        help="photographs with a side of more than N pixels are restored in tiles, as by restore apply --tile N; others"
        f" whole (default {TILE})",
    )
    return made


def run(words: list[str]) -> int:
    """Serve until the process is stopped."""
    options = parser().parse_args(words)
    if not 0 <= options.port < 2**16:
        raise UserError(f"--port {options.port}: give 1 to 65535, or 0 for any that is free")
    shipped = list(shipped_networks())
    if options.weights is None and not shipped:
        raise UserError(f"no network is shipped with this version: give WEIGHTS ({KINDS})")
    weights = find_weights(options.weights or shipped[0]).name

    from restore_lightning.demo.server import DemoServer, render_page
    from restore_lightning.demo.service import RestorationService
    from restore_lightning.inference import PAPER_ORDER, Restorer

    trained = Restorer.from_checkpoint(weights)
    factors, own = trained.factors, trained.order
    ranks = {factor: rank for rank, factor in enumerate(PAPER_ORDER)}
    order = own or sorted(factors, key=lambda factor: ranks.get(factor, len(ranks)))
    network = type(next(iter(trained.networks.values()))).__name__

    def order_of(factor: str | None, order: str | None) -> list[str]:
        return choose_order(factors, own, factor, order)

    with (
        leaving_by_signals(),
        tempfile.TemporaryDirectory(prefix="restore_demo_", ignore_cleanup_errors=True) as folder,
    ):
        try:
            service = RestorationService(trained, order_of, Path(folder), options.device, options.tile)
        except ValueError as error:
            raise UserError(f"--{error}") from error
        with DemoServer(
            options.port, service, render_page(network, weights, factors, order, own is not None)
        ) as server:
            print(f"{network}, {weights}: open {server.address} (Ctrl-C ends it)", flush=True)
            server.serve_forever()
    return 0
