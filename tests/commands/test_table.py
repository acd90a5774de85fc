"""`restore table`: three formats, files, and wrong calls."""

import csv
import io
import json
import re
import subprocess
import sys

import pytest

from restore_lightning.paper_tables.formats import FORMATS
from restore_lightning.paper_tables.printed import tables
from tests.paper_tables.test_comparison import content, entry, write


@pytest.fixture
def runs(tmp_path):
    """Runs whose names and data hold characters that formats give a meaning to."""
    data = "pairs: 50%_rain|12 & more, {clean} #1\n$x^2~\\"
    write(tmp_path / "runs/a_b|c", content({"Rain12": entry(data=data)}, title="DRN*_100%"))
    write(tmp_path / "runs/other", content({"Rain12": entry("durn-y")}))
    write(tmp_path / "runs/blur", content({"GoPro": entry("durn-rgb")}))
    return tmp_path / "runs"


def test_the_shipped_row_of_rain12(restore):
    code, out, err = restore("table", "drn-1", "--format", "csv")
    assert (code, err) == (0, "")
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(out))}
    published, measured = rows["DRN"], rows["DRN, released Rain100L weights"]
    assert (published["from"], published["Rain12 PSNR"], published["Rain12 SSIM"]) == ("published", "36.15", "0.960")
    assert (measured["from"], measured["Rain12 PSNR"], measured["Rain12 SSIM"]) == ("ours", "36.15", "0.9605")
    assert published["Parameters"] == measured["Parameters"] == "10595"
    assert measured["Rain100H PSNR"] == measured["Rain100L SSIM"] == ""  # not run
    others = ["mbn-small (factor told)", "r-mbn-small (factor unknown)"]
    assert list(rows)[-4:] == ["DRN", "DRN, released Rain100L weights", *others]
    code, out, _ = restore("table", "drn-1")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("| Rain12 ")]
    assert [cell.strip() for cell in line.split("|")[-5:-3]] == ["36.15 / 0.960", "36.15 / 0.9605"]


def cells(line):
    """A line of a Markdown table, parted where pipe characters are not escaped."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown(restore, runs):
    code, out, err = restore("table", "drn-1", "--results", runs)
    assert (code, err) == (0, "")
    rows = [cells(line) for line in out.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {1 + 6 + 4}
    assert all(re.fullmatch(r":?-+:?", cell) for cell in rows[1])
    assert rows[0][-3] == rf"ours: DRN\*_100% ({runs}/a_b\|c)"
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["Rain12"][-5:-2] == ["36.15 / 0.960", "36.15 / 0.9605", "36.15 / 0.9605"]
    assert by_name["Rain100H"][-5:] == ["26.99 / 0.861", "", "", "", ""]
    assert by_name["Parameters"][-5:-2] == ["10,595", "10,595", "10,595"]
    remarks = [line for line in out.splitlines() if line.startswith("- ")]
    assert "checkpoint best.ckpt; no tiles; Rain12 by matlab-y, 12 images, data pairs: 50%_rain\\|12" in out
    assert f"- {runs}/other: Rain12 was scored by durn-y, this table's is matlab-y: left out" in remarks
    assert "blur" not in out


def test_csv(restore, runs):
    code, out, err = restore("table", "drn-1", "--results", runs, "--format", "csv")
    assert (code, err) == (0, "")
    head, *rows = csv.reader(io.StringIO(out))
    assert head == [
        "method", "from", "Rain100H PSNR", "Rain100H SSIM", "Rain100L PSNR", "Rain100L SSIM", "Rain12 PSNR",
        "Rain12 SSIM", "Parameters", "origin",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(head)}
    assert rows[0] == ["GMM [15]", "published", "15.05", "0.425", "28.66", "0.865", "32.02", "0.855", "—", ""]
    assert rows[-3][:-1] == [f"DRN*_100% ({runs}/a_b|c)", "ours", "", "", "", "", "36.146", "0.9605", "10595"]
    assert "50%_rain|12 & more, {clean} #1\n$x^2~\\" in rows[-3][-1]


def test_latex(restore, runs):
    code, out, err = restore("table", "drn-1", "--results", runs, "--format", "latex")
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{l" + "r" * 10 + "}"
    assert lines[-1] == r"\end{tabular}"
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    rows = [line for line in lines[1:-1] if not line.endswith("rule")]
    for row in rows:
        assert row.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", row)) == 10
        assert not re.search(r"(?<!\\)[%_#$^~]", row.replace(r"$\rightarrow$", ""))
        assert row.count("{") == row.count("}")
    assert rf"DRN*\_100\% ({str(runs).replace('_', chr(92) + '_')}/a\_b|c)" in rows[0]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", tables())
def test_every_table_in_every_format(name, form, restore):
    code, out, err = restore("table", name, "--format", form)
    assert (code, err) == (0, "")
    published = tables()[name]
    if form == "csv":
        head, *rows = csv.reader(io.StringIO(out))
        assert {len(row) for row in rows} == {len(head)}
        assert [row[0] for row in rows if row[1] == "published"] == [row.method for row in published.rows]
    elif form == "markdown":
        rows = [cells(line) for line in out.splitlines() if line.startswith("|")]
        methods = len(published.rows) + len(published.measured)
        across, down = (methods, len(published.columns)) if published.transposed else (len(published.columns), methods)
        assert {len(row) for row in rows} == {1 + across}
        assert len(rows) == 2 + down
    else:
        rows = [line for line in out.splitlines() if line.endswith(r" \\")]
        assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
        assert all(len(re.findall(r"(?<!\\)\$", row)) % 2 == 0 for row in rows)
        text = "".join(rows)
        assert text.count("{") == text.count("}")
        assert re.sub(r"\$\\(rightarrow|times)\$", "", text).isascii()


def test_marks_of_rows_that_do_not_compare(restore):
    code, out, _ = restore("table", "aio-3")
    assert code == 0
    rows = {row[0]: row[1:] for row in map(cells, out.splitlines()) if row}
    assert rows["AdaIR"][0] == "31.06 / 0.980"
    assert rows["MoCE-IR"][0] == "31.34 / 0.979 g"
    assert rows["Restormer (another one)"][2] == "33.72"  # no SSIM, no mark
    remarks = [line for line in out.splitlines() if line.startswith("- ")]
    assert any(line.startswith("- SSIM marked g: ") and "moce-rgb" in line for line in remarks)
    assert "- IDR: a public note that compiles papers; second-hand" in remarks
    code, out, _ = restore("table", "aio-3", "--format", "csv")
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(out))}
    assert (rows["MoCE-IR"]["Rain100L SSIM"], rows["MoCE-IR"]["SSIM"]) == ("0.984", "g")
    assert (rows["AdaIR"]["SSIM"], rows["AdaIR"]["origin"]) == ("u", "AdaIR README")


def test_without_a_name_all_are_listed(restore):
    code, out, _ = restore("table")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(tables())


def test_it_starts_without_torch():
    check = (
        "import sys; from restore_lightning.cli import main; main(['table', 'drn-1']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False"


def test_output(restore, runs, tmp_path):
    path = tmp_path / "new/table.md"
    words = ("table", "drn-1", "--results", runs, "--output", path)
    code, out, err = restore(*words)
    assert (code, out, err) == (0, f"written: {path}\n", "")
    assert path.read_text() == restore("table", "drn-1", "--results", runs)[1]
    path.write_text("mine")
    code, _, err = restore(*words)
    assert code == 2
    assert "exists already: give --overwrite or another name" in err
    assert path.read_text() == "mine"
    assert restore(*words, "--overwrite")[0] == 0
    assert "36.15" in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["table.md"]


def test_what_cannot_be_read_is_named_and_the_others_are_used(restore, runs):
    write(runs / "cut", json.dumps(content({"Rain12": entry()}))[:100])
    code, out, err = restore("table", "drn-1", "--results", runs)
    assert code == 1
    assert f"ours: DRN\\*_100% ({runs}" in out
    (line,) = err.splitlines()
    assert line.startswith(f"left out: {runs}/cut/scores.json is no file of restore test: ")


def test_runs_that_do_not_belong_in_a_table(restore, runs):
    code, _, err = restore("table", "din-7", "--results", runs)
    assert code == 0
    assert err == f"nothing of ours below {runs} belongs in din-7\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("drn-9",), "unknown table 'drn-9': choose one of durn-1, "),
        (("drn-1", "--results", "nowhere"), "--results nowhere is no folder"),
        (("drn-1", "--results", "empty"), "no scores.json below empty"),
        (("--results", "empty"), "name a table"),
        (("drn-1", "--output", "empty"), "--output empty is no place for a file"),
        (("drn-1", "--format", "html"), "invalid choice: 'html'"),
        (("drn-1", "--result", "empty"), "unrecognized arguments"),
    ],
)
def test_wrong_calls(words, message, restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, out, err = restore("table", *words)
    assert (code, out) == (2, "")
    assert message in err
