"""What only a machine with a GPU can show: its tests and all benchmarks, into the table of docs/performance.md.

    python benchmarks/on_gpu.py [--page docs/performance.md]

Runs the tests marked `gpu`, then each benchmark without arguments, as a process of its own. One that fails is named in
the table, the others go on; the exit code is 1 then. The table replaces what stands between the page's two comments.

Progress on standard error, one JSON object on standard output: the machine, each benchmark's own object, and as `ratio`
the least of theirs. Where there is no GPU it says so, exits with 2 and touches nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
BENCHMARKS = ("training_step", "loading", "scoring", "apply")
BEGIN, END = "<!-- benchmarks/on_gpu.py: begin -->", "<!-- benchmarks/on_gpu.py: end -->"


class Machine(NamedTuple):
    """What the figures are of.

    Args:
        card: The GPU's name.
        cards: How many there are.
        driver: Its version.
        torch: Its version, with that of CUDA.
        commit: Of this repository.
        date: Of the run.
    """

    card: str
    cards: int
    driver: str
    torch: str
    commit: str
    date: str


class Result(NamedTuple):
    """What one part of the run gave.

    Args:
        name: Of the benchmark; "tests/gpu".
        seconds: That it took.
        figure: The ratio, ours over the plain way; of the tests how many passed.
        failure: Why there is no figure, in one line; None: there is one.
        report: The benchmark's own object.
    """

    name: str
    seconds: float
    figure: str
    failure: str | None = None
    report: dict[str, Any] | None = None


def table(machine: Machine, results: Sequence[Result]) -> str:
    """The results in Markdown."""
    cards = f"{machine.cards} x " if machine.cards > 1 else ""
    lines = [
        f"{cards}{machine.card}, driver {machine.driver}, torch {machine.torch}; {machine.commit}, {machine.date}.",
        "",
        "| | ours over the plain way | seconds |",
        "|---|---|---|",
    ]
    for result in results:
        found = result.figure if result.failure is None else f"failed: {result.failure}"
        lines.append(f"| {result.name} | {found.replace('|', '/')} | {result.seconds:.0f} |")
    return "\n".join(lines)


def with_table(page: str, made: str) -> str:
    """A page with the table between its two comments.

    Raises:
        ValueError: It lacks one of them, or has them more than once or in the other order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the page needs one line {BEGIN} and after it one line {END}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def result_of(name: str, code: int, output: str, said: str, seconds: float) -> Result:
    """What a process gave.

    Args:
        name: Of the part.
        code: Its exit code.
        output: A benchmark's standard output: its object.
        said: What was shown while it ran; the last line says why it failed, or how many tests passed.
        seconds: That it took.
    """
    last = said.strip().splitlines()[-1].strip("= ") if said.strip() else f"exit code {code}"
    if code:
        return Result(name, seconds, "", last)
    if name not in BENCHMARKS:
        return Result(name, seconds, last)
    try:
        report = json.loads(output)
        return Result(name, seconds, f"{report['ratio']:.2f}", None, report)
    except (ValueError, KeyError, TypeError) as error:
        return Result(name, seconds, "", f"no ratio in its JSON ({error})")


def run(name: str, command: Sequence[str]) -> Result:
    """Run one part; what it says is shown as it comes."""
    print(f"on_gpu: {name}", file=sys.stderr, flush=True)
    start, said = time.perf_counter(), []
    with tempfile.TemporaryFile("w+") as output:
        to = output if name in BENCHMARKS else subprocess.PIPE
        errors = subprocess.PIPE if name in BENCHMARKS else subprocess.STDOUT
        with subprocess.Popen(command, cwd=ROOT, text=True, stdout=to, stderr=errors) as process:
            for line in process.stdout or process.stderr or ():
                said.append(line)
                print(line, end="", file=sys.stderr, flush=True)
        output.seek(0)
        result = result_of(name, process.returncode, output.read(), "".join(said), time.perf_counter() - start)
    print(f"on_gpu: {name}: {result.failure or result.figure}", file=sys.stderr, flush=True)
    return result


def first_line(*command: str) -> str:
    """Of what a program prints; "unknown" where it cannot be run."""
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def this_machine() -> Machine | None:
    """The machine at hand; None: it has no CUDA GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    return Machine(
        torch.cuda.get_device_name(0),
        torch.cuda.device_count(),
        first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        torch.__version__ if "+" in torch.__version__ else f"{torch.__version__} (CUDA {torch.version.cuda})",
        first_line("git", "describe", "--always", "--dirty"),
        time.strftime("%Y-%m-%d"),
    )


def main() -> int:
    """Run everything; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=ROOT / "docs/performance.md", help="where the table goes")
    options = parser.parse_args()
    machine = this_machine()
    if machine is None:
        print("on_gpu: torch finds no CUDA GPU here; nothing was run", file=sys.stderr)
        return 2
    try:
        with_table(options.page.read_text(), "")  # before an hour is spent
    except (OSError, ValueError) as error:
        print(f"on_gpu: {options.page}: {error}", file=sys.stderr)
        return 2
    tests = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    results = [run("tests/gpu", tests)]
    results += [run(name, [sys.executable, str(ROOT / f"benchmarks/{name}.py")]) for name in BENCHMARKS]
    options.page.write_text(with_table(options.page.read_text(), table(machine, results)))
    ratios = [result.report["ratio"] for result in results if result.report]
    figures = {result.name: result._asdict() for result in results}
    report = {"ratio": min(ratios, default=None), "machine": machine._asdict(), **figures}
    print(json.dumps(report, indent=2))
    return int(any(result.failure for result in results))


if __name__ == "__main__":
    sys.exit(main())
