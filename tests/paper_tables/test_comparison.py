"""Scores of ours in the papers' tables: what belongs where, and what does not."""

import json

import numpy as np
import pytest

from restore_lightning.data.sources.bundled import BUNDLED
from restore_lightning.io.files import json_text
from restore_lightning.metrics import MeanScores
from restore_lightning.paper_tables.comparison import compare
from restore_lightning.paper_tables.printed import table
from restore_lightning.reports.scores_json import read_all_scores, read_scores

DRN = {"class_path": "restore_lightning.networks.DRN", "init_args": {"T": 7, "R": 7}}
LEVELS = ["rain", "blur", "jpeg", "haze"]
MBN = {"design": "improved", "statistics": ["mean", "tv"], "fusion": True, "hierarchy": LEVELS}
ORDER = ["jpeg", "haze", "blur", "rain"]


def entry(protocol="matlab-y", images=12, data="pairs: a, b", **versions):
    scores = {"degraded": (30.135, 0.8554), "restored": (36.146, 0.9605), **versions}
    found = {version: {"psnr": psnr, "ssim": ssim, "identical": 0} for version, (psnr, ssim) in scores.items()}
    return {"factor": "rain", "protocol": protocol, "images": images, "data": data, **found}


def content(sets, network=DRN, title="DRN", **more):
    inference = {"tile": None, "overlap": 32, "local_statistics": None, "self_ensemble": False}
    methods = {"restored": title}
    return {
        "checkpoint": "best.ckpt", "order": None, "network": network, "parameters": 10595, "inference": inference,
        "methods": methods, "checkpoints": {"restored": "best.ckpt"}, "sets": sets, **more,
    }  # fmt: skip


@pytest.fixture
def compared(tmp_path):
    """A table compared with a run that has left this `scores.json`, if any."""

    def compare_with(name, given=None):
        if given is None:
            return compare(table(name), {})
        write(tmp_path / "a", given)
        return compare(table(name), {"runs/a": read_scores(tmp_path / "a/scores.json")})

    return compare_with


def ours(comparison):
    """Our rows from runs, each with the row above it."""
    rows = comparison.rows
    return [(rows[place - 1], row) for place, row in enumerate(rows) if row.origin and "shipped" not in row.origin]


def network(name, **arguments):
    return {"class_path": f"restore_lightning.networks.{name}", "init_args": arguments}


def test_a_run_stands_below_the_row_of_its_settings(compared):
    ((above, line),) = ours(compared("drn-3", content({"Rain100H": entry()}, network("DRN", T=6, R=6, width=16))))
    assert above.method == "DRN 6,6"
    assert line.method == "DRN (runs/a)"
    assert line.cells == [MeanScores(36.146, 0.9605), None]


def test_other_settings_stand_at_the_end(compared):
    comparison = compared("drn-1", content({"Rain12": entry()}, network("DRN", T=2, R=7)))
    ((_, line),) = ours(comparison)
    assert comparison.rows[-1] == line
    assert line.cells == [None, None, MeanScores(36.146, 0.9605), 10595]


@pytest.mark.parametrize("name", ["Rain12", "rain12", "RAIN-12", "rain_12"])
def test_names_of_sets_are_compared_without_case_and_punctuation(name, compared):
    ((_, line),) = ours(compared("drn-1", content({name: entry()})))
    assert line.cells[2] == MeanScores(36.146, 0.9605)


def test_other_names_of_a_set(compared):
    sets = {"sots-indoor": entry("durn-rgb", 500), "dcpdn": entry("durn-rgb", 400)}
    ((above, line),) = ours(compared("durn-6", content(sets, network("DuRN", preset="US"))))
    assert above.method == "DuRN-US (ours)"
    assert None not in line.cells


def test_a_set_of_another_protocol_is_left_out_and_named(compared):
    comparison = compared("drn-1", content({"Rain12": entry("durn-y"), "Rain100L": entry(images=100)}))
    ((_, line),) = ours(comparison)
    assert line.cells == [None, MeanScores(36.146, 0.9605), None, 10595]
    assert "Rain12" not in line.origin
    assert comparison.left_out == ["runs/a: Rain12 was scored by durn-y, this table's is matlab-y: left out"]
    comparison = compared("drn-1", content({"Rain12": entry("durn-y")}))
    assert not ours(comparison)
    assert len(comparison.left_out) == 1


def test_a_set_by_several_protocols_gives_the_tables_one(compared):
    """Whichever stands first; what the others are for is no reproach."""
    scores = {name: {"restored": {"psnr": psnr, "ssim": 0.5}} for name, psnr in (("aio-rgb", 20), ("matlab-y", 36))}
    sets = {"Rain12": entry("durn-y") | {"protocols": scores}, "Rain100L": entry("durn-y") | {"protocols": {}}}
    comparison = compared("drn-1", content(sets))
    ((_, line),) = ours(comparison)
    assert line.cells == [None, None, MeanScores(36, 0.5), 10595]
    assert "Rain12 by matlab-y, 12 images" in line.origin
    assert comparison.left_out == ["runs/a: Rain100L was scored by durn-y, this table's is matlab-y: left out"]
    del scores["matlab-y"]
    comparison = compared("drn-1", content(sets))
    assert "Rain12 was scored by durn-y, aio-rgb, this table's is matlab-y: left out" in comparison.left_out[0]


def test_one_set_fills_columns_of_several_protocols(compared):
    both = {"durn-y": {"restored": {"psnr": 28, "ssim": 0.8}}, "jpeg-gray": {"restored": {"psnr": 29.5, "ssim": 0.82}}}
    sets = {"LIVE1": entry("durn-y", 29, restored=(28, 0.8)) | {"protocols": both}}
    ((_, line),) = ours(compared("mbn-3", content(sets, network("MBN"))))
    assert line.cells == [None, None, None, MeanScores(28, 0.8), MeanScores(29.5, 0.82)]


def test_protocols_that_compute_the_same_are_one(compared):
    comparison = compared("din-6", content({"Rain12": entry("matlab-y")}))
    (line,) = [line for _, line in ours(comparison) if line.method.startswith("DRN")]
    assert line.cells == [None, None, MeanScores(36.146, 0.9605), None]


def test_a_set_twice_is_named(compared):
    comparison = compared("drn-1", content({"Rain12": entry(), "rain-12": entry(images=3)}))
    ((_, line),) = ours(comparison)
    assert line.cells[2] == MeanScores(36.146, 0.9605)
    assert comparison.left_out == ["runs/a: rain-12 is Rain12 once more: left out"]


def test_one_set_by_two_protocols(compared):
    sets = {"LIVE1": entry("durn-y", 29), "LIVE1 q10": entry("jpeg-gray", 29, restored=(29.5, 0.82))}
    ((_, line),) = ours(compared("mbn-3", content(sets, network("MBN"))))
    assert line.cells == [None, None, None, MeanScores(36.146, 0.9605), MeanScores(29.5, 0.82)]


def test_the_line_says_where_numbers_are_from(compared):
    sets = {"Rain12": entry(images=3, data="pairs: Rain12/rainy, Rain12/clean"), "Rain100L": entry(images=100)}
    sets["Rain100L"]["restored"]["identical"] = 2
    tiles = {"tile": 256, "overlap": 16, "local_statistics": 128, "self_ensemble": True}
    ((_, line),) = ours(compared("drn-1", content(sets, inference=tiles)))
    assert line.origin.split("; ") == [
        "checkpoint best.ckpt",
        "tiles of 256 with an overlap of 16, local statistics over 128, self-ensemble",
        "Rain12 by matlab-y, 3 images (the published set has 12), data pairs: Rain12/rainy, Rain12/clean",
        "Rain100L by matlab-y, 100 images, 2 of them equal to the clean ones and left out of the mean PSNR,"
        " data pairs: a, b",
    ]


def test_each_method_is_used_in_a_way_of_its_own(compared):
    versions = {"restored": "DRN", "plus": "DRN+"}
    ways = {"restored": {"tile": None}, "plus": {"tile": None, "self_ensemble": True}}
    given = content({"Rain12": entry(plus=(36.5, 0.961))}, methods=versions, inferences=ways)
    origins = [line.origin.split("; ")[1] for _, line in ours(compared("drn-1", given))]
    assert origins == ["no tiles", "no tiles, self-ensemble"]


def test_what_older_files_do_not_say(compared):
    sets = {"Rain12": {key: value for key, value in entry().items() if key != "data"}}
    old = {"checkpoint": "old.ckpt", "order": None, "methods": {"restored": "DRN"}, "sets": sets}
    ((above, line),) = ours(compared("drn-1", old))
    assert line.cells == [None, None, MeanScores(36.146, 0.9605), None]
    assert line.origin.startswith("checkpoint old.ckpt; inference not recorded; Rain12 by matlab-y")
    assert line.origin.endswith("data not recorded")
    assert "DRN" in above.method  # by its name


def methods_of_mbn(title="R-MBN (factor unknown)"):
    methods = {"told": "MBN (factor told)", "before": "MBN before step 2", "cascade": "cascade", "restored": title}
    versions = {version: (20 + i, 0.5) for i, version in enumerate(methods)}
    checkpoints = {"restored": "r.ckpt", "told": "m.ckpt", "cascade": {"rain": "a.ckpt", "blur": "b.ckpt"}}
    report = content({"GoPro": entry("durn-y", 1111, **versions)}, network("MBN", **MBN))
    return report | {"methods": methods, "checkpoints": checkpoints, "order": ORDER}


def test_every_method_of_a_run_has_a_row_of_its_own(compared):
    comparison = compared("mbn-3", methods_of_mbn())
    places = {line.method: above.method for above, line in ours(comparison)}
    assert places["MBN (factor told) (runs/a)"] == "MBN"
    assert places["cascade (runs/a)"] == "cascade"
    assert places["R-MBN (factor unknown) (runs/a)"] == "R-MBN"
    assert comparison.rows[-1].method == "MBN before step 2 (runs/a)"
    origins = {line.method: line.origin for _, line in ours(comparison)}
    assert origins["cascade (runs/a)"].startswith("checkpoint rain a.ckpt, blur b.ckpt;")
    assert origins["MBN before step 2 (runs/a)"].startswith("checkpoint not recorded;")


def test_mixed_sets(compared):
    report = methods_of_mbn("R-MBN* (factor unknown)")
    report["sets"] = {name: entry("mbn-rgb", 492) for name in ("rain", "rain+blur", "random", "val/rain")}
    ((above, line),) = ours(compared("mbn-4", report))
    assert above.method == "R-MBN*"
    assert [place for place, cell in enumerate(line.cells) if cell] == [0, 4, 15]


TASKS = {"GoPro": ("durn-y", 28.5, 0.86), "SOTS": ("mbn-rgb", 33.0, 0.97), "DID-MDN": ("durn-y", 32.6, 0.91)}


@pytest.mark.parametrize("jpeg", [False, True])
def test_means_over_tasks(jpeg, compared):
    tasks = TASKS | ({"LIVE1": ("durn-y", 28.1, 0.83)} if jpeg else {})
    sets = {name: entry(by, restored=(psnr, ssim)) for name, (by, psnr, ssim) in tasks.items()}
    order = ["jpeg", "haze", "blur", "rain"] if jpeg else ["haze", "blur", "rain"]
    ((above, line),) = ours(compared("mbn-2", content(sets, network("MBN"), "R-MBN", order=order)))
    assert above.method == ("J→H→B→R" if jpeg else "H→B→R")
    blank, mean = line.cells if jpeg else reversed(line.cells)
    assert blank is None
    assert (mean.psnr, mean.ssim) == pytest.approx(np.mean([scores for _, *scores in tasks.values()], axis=0))


def test_a_part_of_a_mean_is_left_out_and_named(compared):
    comparison = compared("mbn-5", content({"GoPro": entry("durn-y")}, network("MBN")))
    assert not ours(comparison)
    (reason,) = comparison.left_out
    assert reason.endswith("GoPro is a part of this table's means, over GoPro and SOTS indoor and DID-MDN: left out")


@pytest.mark.parametrize("levels", [["rain", ["blur", "jpeg"], "haze"], ["rain", ["jpeg", "blur"], "haze"]])
def test_a_level_of_the_hierarchy_has_no_order(levels, compared):
    sets = {name: entry(by) for name, (by, *_) in (TASKS | {"LIVE1": ("durn-y",)}).items()}
    ((above, _),) = ours(compared("mbn-6", content(sets, network("MBN", hierarchy=levels))))
    assert above.method == "R→BJ→H"


def test_the_order_of_levels_counts(compared):
    assert table("mbn-6").rows[0].settings[0]["hierarchy"] == ["jpeg", "rain", "blur", "haze"]
    sets = {name: entry(by) for name, (by, *_) in (TASKS | {"LIVE1": ("durn-y",)}).items()}
    comparison = compared("mbn-6", content(sets, network("MBN", hierarchy=["haze", "rain", "blur", "jpeg"])))
    assert comparison.rows[-1].origin


@pytest.mark.parametrize(("scale", "ensemble", "row"), [(2, False, "DIN (ours)"), (4, True, "DIN+ (ours)")])
def test_scales_and_self_ensemble(scale, ensemble, row, compared):
    given = network("DIN", scale=scale, fusion="asyca", dwc=True, gff=True)
    report = content({"Set5": entry("sr-y", 5)}, given, "DIN" + "+" * ensemble)
    report["inference"]["self_ensemble"] = ensemble
    comparison = compared("din-3", report)
    (_, degraded), (above, line) = ours(comparison)
    assert above.method == row
    times = f"\N{MULTIPLICATION SIGN}{scale}"
    assert above.cells[0] == times
    assert line.cells[:2] == [times, MeanScores(36.146, 0.9605)]
    assert degraded.method == "degraded images (runs/a)"
    assert degraded.cells[:2] == [times, MeanScores(30.135, 0.8554)]
    assert "checkpoint" not in degraded.origin


def test_another_scale_is_left_out_and_named(compared):
    comparison = compared("din-2", content({"Set14": entry("sr-y", 14)}, network("DIN", scale=4)))
    assert not ours(comparison)
    assert comparison.left_out == ["runs/a: Set14: its network has scale 4, this table's 2: left out"]


def test_ablations(compared):
    arguments = {"statistics": ["mean"], "fusion": False, "design": "minimal"}
    ((above, line),) = ours(compared("mbn-1", content({"LIVE1": entry("durn-y", 29)}, network("MBN", **arguments))))
    assert above.method == "GAP"
    assert line.cells[:3] == ["-", "x", "-"]


@pytest.mark.parametrize(
    ("name", "given", "row"),
    [
        ("mbn-3", network("MBN", **MBN), "MBN"),
        ("mbn-3", network("MBN", **MBN | {"design": "minimal", "statistics": []}), None),
        ("mbn-3", network("MBN", **MBN | {"hierarchy": ["rain", "blur", "haze"]}), None),
        ("din-3", network("DIN", scale=2, fusion="asyca", dwc=True, gff=True), "DIN (ours)"),
        ("din-3", network("DIN", scale=2, fusion="sum", dwc=False, gff=False), None),
    ],
)
def test_ablations_stay_out_of_the_headline_rows(name, given, row, compared):
    sets = {"LIVE1": entry("durn-y", 29), "Set14": entry("sr-y", 14)}
    places = {line.method: above.method for above, line in ours(compared(name, content(sets, given)))}
    assert places["DRN (runs/a)"] == (row or compared(name).rows[-1].method)


def test_a_fine_tuned_network_is_no_ablation(compared):
    given = content({"LIVE1": entry("durn-y", 29)}, network("MBN", **MBN), title="R-MBN", order=ORDER)
    comparison = compared("mbn-1", given)
    ((_, line),) = ours(comparison)
    assert comparison.rows[-1] == line


def test_scikit_images_photographs_are_no_published_set(compared):
    sets = {
        "haze": entry("mbn-rgb", 5, f"{BUNDLED}, degraded on the fly by Haze()"),
        "rain": entry("mbn-rgb", 492, "shards mixed, split test"),
    }
    comparison = compared("mbn-4", content(sets, network("MBN", **MBN), title="R-MBN", order=ORDER))
    ((_, line),) = ours(comparison)
    assert [cell for cell in line.cells if cell] == [MeanScores(36.146, 0.9605)]
    assert comparison.left_out == ["runs/a: haze is scikit-image's photographs, no published set: left out"]


def test_what_is_no_number_is_left_out_and_named(tmp_path):
    sets = {"Rain12": entry(restored=(float("nan"), 0.9)), "Rain100L": entry(images=100)}
    write(tmp_path / "run", json_text(content(sets)))
    runs, problems = read_all_scores(tmp_path)
    comparison = compare(table("drn-1"), runs)
    assert not problems
    ((_, line),) = ours(comparison)
    assert line.cells == [None, MeanScores(36.146, 0.9605), None, 10595]
    reason = "Rain12, restored: a score is no number (NaN): left out"
    assert comparison.left_out == [f"{tmp_path / 'run'}: {reason}"]


def write(folder, given):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(given if isinstance(given, str) else json.dumps(given))


AIO = ("SOTS outdoor", "Rain100L", "CBSD68 15", "CBSD68 25", "CBSD68 50")


def scored_by(protocols, *names):
    """Entries of sets; each score tells its set and protocol."""

    def scores(place, by):
        return {"restored": {"psnr": 20.0 + place, "ssim": 0.5 + 0.1 * protocols.index(by)}}

    return {
        name: entry(protocols[0], restored=tuple(scores(place, protocols[0])["restored"].values()))
        | {"protocols": {by: scores(place, by) for by in protocols}}
        for place, name in enumerate(names)
    }


def test_ssims_of_other_kinds_are_rows_of_their_own(compared):
    """Ours by the columns' protocol and by MoCE-IR's stand below one row, and say which is which."""
    comparison = compared("aio-3", content(scored_by(["aio-rgb", "moce-rgb"], *AIO), network("NAFNet"), "NAFNet"))
    (above, first), (_, second) = ours(comparison)
    assert above.method == "NAFNet"
    assert (first.method, first.ssim) == ("NAFNet (runs/a)", "")
    assert (second.method, second.ssim) == ("NAFNet (runs/a) by moce-rgb", "g")
    assert first.cells == [*(MeanScores(20.0 + place, 0.5) for place in range(5)), MeanScores(22.0, 0.5)]
    assert second.cells[0] == MeanScores(20.0, 0.6)
    assert "Rain100L by moce-rgb" in second.origin
    assert "Rain100L by aio-rgb" not in second.origin
    assert comparison.left_out == []
    assert [row.ssim for row in comparison.rows if row.method in ("MoCE-IR", "InstructIR-3D", "DFPIR")] == [
        "p",
        "g",
        "",
    ]


def test_an_average_without_all_its_sets_is_blank_and_named(compared):
    comparison = compared("aio-3", content(scored_by(["aio-rgb"], *AIO[:4]), network("NAFNet"), "NAFNet"))
    ((_, line),) = ours(comparison)
    assert line.cells[4:] == [None, None]
    assert comparison.left_out == ["runs/a: average: CBSD68 50 is missing: left blank"]


def test_protocols_that_no_row_has_are_left_out(compared):
    comparison = compared("aio-3", content(scored_by(["mbn-rgb"], "Rain100L"), network("NAFNet"), "NAFNet"))
    assert ours(comparison) == []
    assert comparison.left_out == [
        "runs/a: Rain100L was scored by mbn-rgb, this table's is aio-rgb or instructir-rgb or dcpt-rgb or moce-rgb:"
        " left out"
    ]
