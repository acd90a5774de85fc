"""benchmarks/on_gpu.py: its table, its page, and what it does where there is no GPU."""

import os
import subprocess
import sys

import pytest

from benchmarks.on_gpu import BEGIN, BENCHMARKS, END, ROOT, Machine, result_of, run, table, with_table

MACHINE = Machine("NVIDIA H100", 1, "550.54", "2.13.0+cu126", "1a2b3c", "2026-01-31")


def test_the_table_names_the_machine_each_ratio_and_each_failure():
    results = [
        result_of("tests/gpu", 0, "", "....\n==== 12 passed, 3 skipped in 61.20s ====\n", 64.2),
        result_of("training_step", 0, '{"ratio": 2.314, "cycle": 1}', "progress", 300.4),
        result_of("scoring", 1, "", "Traceback ...\nRuntimeError: a | b\n", 5),
        result_of("loading", 0, "{}", "", 7),
        result_of("apply", -9, "", "", 8),
    ]
    assert table(MACHINE, results).splitlines() == [
        "NVIDIA H100, driver 550.54, torch 2.13.0+cu126; 1a2b3c, 2026-01-31.",
        "",
        "| | ours over the plain way | seconds |",
        "|---|---|---|",
        "| tests/gpu | 12 passed, 3 skipped in 61.20s | 64 |",
        "| training_step | 2.31 | 300 |",
        "| scoring | failed: RuntimeError: a / b | 5 |",
        "| loading | failed: no ratio in its JSON ('ratio') | 7 |",
        "| apply | failed: exit code -9 | 8 |",
    ]
    assert results[1].report == {"ratio": 2.314, "cycle": 1}
    assert table(MACHINE._replace(cards=8), []).startswith("8 x NVIDIA H100, ")


def test_parts_are_processes_whose_last_line_is_kept():
    script = (
        "import json, sys; print(json.dumps({'ratio': 2})); print('why', file=sys.stderr); sys.exit(int(sys.argv[1]))"
    )
    good, bad = (run("apply", [sys.executable, "-c", script, code]) for code in "03")
    assert (good.figure, good.failure, good.report) == ("2.00", None, {"ratio": 2})
    assert (bad.failure, bad.report) == ("why", None)
    assert run("tests/gpu", [sys.executable, "-c", "print('...'); print('3 passed')"]).figure == "3 passed"


def test_the_table_takes_the_place_of_the_one_before():
    page = f"# Speed\n\n{BEGIN}\n{END}\n\nThe end.\n"
    once = with_table(page, "| a |")
    assert once == f"# Speed\n\n{BEGIN}\n| a |\n{END}\n\nThe end.\n"
    assert with_table(once, "| b |") == once.replace("| a |", "| b |")


@pytest.mark.parametrize(
    "page", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}", f"{BEGIN}{BEGIN}{END}"]
)
def test_a_page_without_its_two_comments(page):
    with pytest.raises(ValueError, match="needs one line"):
        with_table(page, "")


def test_without_a_gpu_nothing_is_touched(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\nkept\n{END}\n")
    call = [sys.executable, str(ROOT / "benchmarks/on_gpu.py"), "--page", str(page)]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False, env=hidden)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["on_gpu: torch finds no CUDA GPU here; nothing was run"]
    assert "kept" in page.read_text()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_are_there(name):
    assert (ROOT / f"benchmarks/{name}.py").is_file()
