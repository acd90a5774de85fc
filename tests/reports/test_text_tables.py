"""The tables' layouts, with numbers whose means are easy."""

from dataclasses import replace

from restore_lightning.metrics import MeanScores
from restore_lightning.reports.scores_json import Method, RunScores, SetResult
from restore_lightning.reports.text_tables import score_tables

ONE = {"restored": Method("MBN")}
TWO = {"told": Method("MBN (factor told)"), "restored": Method("R-MBN (factor unknown)")}


def result(factor, degraded, told, restored):
    psnrs = {"degraded": degraded, "told": told, "restored": restored}
    return SetResult(factor, "mbn-rgb", 2, {name: MeanScores(psnr, psnr / 100) for name, psnr in psnrs.items()})


def cells(table):
    return [line.split() for line in table.splitlines()]


def test_one_method_has_a_line_per_set_with_the_gain():
    scores = RunScores({"val/rain": result("rain", 20, 0, 21.5)}, ONE)
    header, line = cells(score_tables(scores))
    assert header == ["set", "factor", "protocol", "images", "degraded", "restored", "gain"]
    assert line == [
        "val/rain",
        "rain",
        "mbn-rgb",
        "2",
        "20.00",
        "/",
        "0.2000",
        "21.50",
        "/",
        "0.2150",
        "+1.50",
        "dB",
    ]


def by_two(factor, *psnrs):
    """Scored by a second protocol as 100 dB more."""
    first = result(factor, *psnrs)
    others = {version: MeanScores(means.psnr + 100, means.ssim) for version, means in first.versions.items()}
    return replace(first, others={"aio-rgb": others})


def test_several_protocols_have_a_line_each():
    scores = RunScores({"a": by_two("rain", 20, 0, 21.5), "b": result("haze", 10, 0, 12)}, ONE)
    _, *lines = cells(score_tables(scores))
    assert [(line[0], line[2], line[4]) for line in lines] == [
        ("a", "mbn-rgb", "20.00"),
        ("a", "aio-rgb", "120.00"),
        ("b", "mbn-rgb", "10.00"),
    ]


def test_several_protocols_have_a_table_each_beside_other_methods():
    """Means are of one protocol."""
    sets = {"rain": by_two("rain", 20, 30, 28), "haze": by_two("haze", 10, 20, 16), "blur": result("blur", 0, 0, 0)}
    first, second = score_tables(RunScores(sets, TWO)).split("\n\n")
    assert cells(first)[0] == ["rain", "haze", "blur", "mean"]
    heading, *table = second.splitlines()
    assert heading == "by aio-rgb:"
    assert table[0].split() == ["rain", "haze", "mean"]
    assert table[1].split() == ["protocol", "aio-rgb", "aio-rgb"]
    assert table[-1].endswith("128.00 / 0.2800  116.00 / 0.1600  122.00 / 0.2200")


def test_sets_of_identical_images_do_not_swallow_the_mean():
    infinite = result("haze", float("inf"), float("inf"), 50.0)
    scores = RunScores({"rain": result("rain", 20, 30, 28), "haze": infinite}, TWO)
    rows = score_tables(scores).splitlines()
    assert rows[-3].split()[1:] == ["20.00", "/", "0.2000", "inf", "/", "inf", "20.00", "/", "0.2000"]
    single = score_tables(RunScores({"haze": infinite}, ONE)).splitlines()
    assert single[-1].endswith("  -")


def test_several_methods_have_a_row_each_as_in_table_3():
    scores = RunScores({"rain": result("rain", 20, 30, 28), "haze": result("haze", 10, 20, 16)}, TWO)
    rows = score_tables(scores).splitlines()
    assert rows[0].split() == ["rain", "haze", "mean"]
    assert rows[-3].split() == ["degraded", "20.00", "/", "0.2000", "10.00", "/", "0.1000", "15.00", "/", "0.1500"]
    assert rows[-2].startswith("MBN (factor told)")
    assert rows[-2].endswith("30.00 / 0.3000  20.00 / 0.2000  25.00 / 0.2500")
    assert rows[-1].endswith("28.00 / 0.2800  16.00 / 0.1600  22.00 / 0.2200")
    assert len({len(row) for row in rows}) == 1


def test_mixed_sets_have_table_4s_layout_and_the_pure_ones_table_3s():
    sets = {"haze": result("haze", 10, 20, 16), "haze+jpeg": result("haze+jpeg", 8, 12, 14)}
    table_4, table_3 = score_tables(RunScores(sets | {"random": result("random", 9, 7, 12)}, TWO)).split("\n\n")
    rows = cells(table_4)
    assert rows[0][:7] == ["set", "rain", "blur", "haze", "jpeg", "images", "degraded"]
    assert rows[1][:6] == ["haze", "-", "-", "x", "-", "2"]
    assert rows[2][:6] == ["haze+jpeg", "-", "-", "x", "x", "2"]
    assert rows[3][:6] == ["random", "?", "?", "?", "?", "2"]
    assert " ".join(rows[4]) == "mean of the sets 9.00 / 0.0900 14.00 / 0.1400 13.00 / 0.1300"
    assert table_4.splitlines()[0].index("R-MBN") < table_4.splitlines()[0].index("told")
    assert cells(table_3)[0] == ["haze", "mean"]
