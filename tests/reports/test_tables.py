"""The tables' layouts, with numbers whose means are easy."""

from restore_lightning.reports import score_tables

METHODS = {"told": "MBN (factor told)", "restored": "R-MBN (factor unknown)"}


def entry(factor, degraded, told, restored):
    versions = {"degraded": degraded, "told": told, "restored": restored}
    scores = {name: {"psnr": psnr, "ssim": psnr / 100} for name, psnr in versions.items()}
    return {"factor": factor, "protocol": "mbn-rgb", "images": 2, **scores}


def cells(table):
    return [line.split() for line in table.splitlines()]


def test_one_method_has_a_line_per_set_with_the_gain():
    report = {"methods": {"restored": "MBN"}, "sets": {"val/rain": entry("rain", 20, 0, 21.5)}}
    header, line = cells(score_tables(report))
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


def test_sets_of_identical_images_do_not_swallow_the_mean():
    infinite = entry("haze", float("inf"), float("inf"), 50.0)
    report = {"methods": METHODS, "sets": {"rain": entry("rain", 20, 30, 28), "haze": infinite}}
    rows = score_tables(report).splitlines()
    assert rows[-3].split()[1:] == ["20.00", "/", "0.2000", "inf", "/", "inf", "20.00", "/", "0.2000"]
    single = score_tables({"methods": {"restored": "MBN"}, "sets": {"haze": infinite}}).splitlines()
    assert single[-1].endswith("  -")


def test_several_methods_have_a_row_each_as_in_table_3():
    report = {"methods": METHODS, "sets": {"rain": entry("rain", 20, 30, 28), "haze": entry("haze", 10, 20, 16)}}
    rows = score_tables(report).splitlines()
    assert rows[0].split() == ["rain", "haze", "mean"]
    assert rows[-3].split() == ["degraded", "20.00", "/", "0.2000", "10.00", "/", "0.1000", "15.00", "/", "0.1500"]
    assert rows[-2].startswith("MBN (factor told)")
    assert rows[-2].endswith("30.00 / 0.3000  20.00 / 0.2000  25.00 / 0.2500")
    assert rows[-1].endswith("28.00 / 0.2800  16.00 / 0.1600  22.00 / 0.2200")
    assert len({len(row) for row in rows}) == 1


def test_mixed_sets_have_table_4s_layout_and_the_pure_ones_table_3s():
    sets = {"haze": entry("haze", 10, 20, 16), "haze+jpeg": entry("haze+jpeg", 8, 12, 14)}
    table_4, table_3 = score_tables({"methods": METHODS, "sets": sets | {"random": entry("random", 9, 7, 12)}}).split(
        "\n\n"
    )
    rows = cells(table_4)
    assert rows[0][:7] == ["set", "rain", "blur", "haze", "jpeg", "images", "degraded"]
    assert rows[1][:6] == ["haze", "-", "-", "x", "-", "2"]
    assert rows[2][:6] == ["haze+jpeg", "-", "-", "x", "x", "2"]
    assert rows[3][:6] == ["random", "?", "?", "?", "?", "2"]
    assert " ".join(rows[4]) == "mean of the sets 9.00 / 0.0900 14.00 / 0.1400 13.00 / 0.1300"
    assert table_4.splitlines()[0].index("R-MBN") < table_4.splitlines()[0].index("told")
    assert cells(table_3)[0] == ["haze", "mean"]
