"""The papers' tables as data: their structure, and what of ours is shipped beside them."""

import json
import re

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from restore_lightning import networks
from restore_lightning.data.mixing_recipes import TEST_SETS
from restore_lightning.errors import UserError
from restore_lightning.metrics import PROTOCOLS
from restore_lightning.networks import DIN, MBN, parameters
from restore_lightning.paper_tables.comparison import SAME
from restore_lightning.paper_tables.printed import FOLDER, SSIM_KINDS, known_set, printed_score, table, tables
from restore_lightning.published import card
from restore_lightning.shipped_weights import shipped_networks
from tests.published.test_load import PAPERS

SCORE = re.compile(r"(\d\d\.\d+|-) / (0\.\d+|-)|\d\d\.\d+|0\.\d+|N/A")


def test_all_tables_of_the_papers_are_there():
    wanted = [f"durn-{number}" for number in (*range(1, 9), "s5")] + [f"mbn-{number}" for number in range(1, 9)]
    wanted += [f"drn-{n}" for n in range(1, 4)] + [f"din-{n}" for n in range(1, 8)]
    assert list(tables()) == [*wanted, "aio-3", "aio-5", "cdd-11"]
    with pytest.raises(UserError, match=r"unknown table 'drn-4': choose one of durn-1, .*cdd-11"):
        table("drn-4")


@pytest.mark.parametrize("name", tables())
def test_structure(name):
    published = table(name)
    assert published.title
    assert published.source
    for row in (*published.rows, *published.measured):
        assert len(row.cells) == len(published.columns)
        for column, cell in zip(published.columns, row.cells, strict=True):
            assert cell is None or isinstance(cell, str | int)
            assert not isinstance(cell, bool)
            if column.kind == "scores" and cell is not None:
                assert SCORE.fullmatch(cell), cell
                psnr, ssim = printed_score(cell)
                assert psnr is None or 10 < float(psnr) < 45
                assert ssim is None or 0 < float(ssim) < 1
                assert psnr or ssim or cell in ("- / -", "N/A")
    for column in published.columns:
        assert column.kind in ("scores", "parameters", "label", "paper")
        assert any(row.cells[published.columns.index(column)] is not None for row in published.rows)
        for test_set in column.sets:
            assert known_set(test_set) == test_set
            # `jpeg-gray` is used by dedicated JPEG networks only.
            assert column.sets[test_set] in {*PROTOCOLS, "jpeg-gray"}


ALL_IN_ONE = ("aio-3", "aio-5", "cdd-11")


@pytest.mark.parametrize("name", ALL_IN_ONE)
def test_tables_of_several_papers_say_where_each_row_is_from(name):
    assert table(name).ssim == "u"
    for row in table(name).rows:
        assert row.source
        assert row.ssim in SSIM_KINDS
        assert row.how in ("", "copied", "second-hand")
    methods = [row.method for row in table(name).rows]
    assert len(set(methods)) == len(methods)
    protocols = {protocol for kind in SSIM_KINDS.values() for protocol in kind.protocols}
    assert protocols <= PROTOCOLS.keys()


@pytest.mark.parametrize("name", ALL_IN_ONE)
def test_numbers_of_all_in_one_restoration(name, shared):
    """Each is the one that was collected, in its place."""
    page = (shared / "spec/ALL_IN_ONE.md").read_text()
    part = re.split(r"^\S", page.partition(f"\n{name.upper()}:")[2], maxsplit=1, flags=re.MULTILINE)[0]
    collected = re.findall(r"^  [\w-]+: +\[(.*)\]", part, re.MULTILINE)
    assert collected
    cells = [[tuple(re.findall(r"\d+\.\d+", cell)) for cell in row.split(",")] for row in collected]
    ours = [[tuple(filter(None, printed_score(str(cell)))) for cell in row.cells] for row in table(name).rows]
    assert ours == cells


MISPRINTED = {("Restormer (another one)", "psnr"), ("NAFNet", "ssim")}
"""Averages of aio-3 that remarks name; of others the last digit may differ."""


@pytest.mark.parametrize("name", ALL_IN_ONE)
def test_averages_are_those_of_the_columns(name):
    for row in table(name).rows:
        psnr, ssim = zip(*(printed_score(str(cell)) for cell in row.cells), strict=True)
        for kind, (*values, mean), digit in (("psnr", psnr, 0.01), ("ssim", ssim, 0.001)):
            known = [float(value) for value in values if value]
            near = abs(sum(known) / len(known) - float(mean)) < 1.6 * digit
            assert near or len(known) < len(values) or (name == "aio-3" and (row.method, kind) in MISPRINTED), row


def test_names_of_sets_are_told_apart():
    sets = yaml.safe_load((FOLDER / "sets.yaml").read_text())
    for test_set, about in sets.items():
        assert about["images"] > 0
        for name in (test_set, *about.get("names", ())):
            assert known_set(name) == test_set, name
            assert known_set(name.upper().replace("-", "_")) == test_set
    assert set(TEST_SETS) <= sets.keys()
    assert sets.keys() == {test_set for published in tables().values() for test_set in published.sets}


LAYOUTS = (
    "gopro sots-indoor sots-outdoor durn-reside dcpdn did-mdn-test ddn rain100l rain100h rain12 rain1400 polyu live1"
    " set5 set14 bsds100 urban100 manga109"
)


@pytest.mark.parametrize("layout", LAYOUTS.split())
def test_layouts_are_names_of_sets(layout):
    assert layout in yaml.safe_load((FOLDER.parent / "data/layouts/layouts.yaml").read_text())
    assert known_set(layout)


@pytest.mark.parametrize(("one", "other"), SAME.items())
def test_protocols_that_are_the_same(one, other):
    assert PROTOCOLS[one].__dict__ | {"name": other} == PROTOCOLS[other].__dict__


@pytest.mark.parametrize("network", PAPERS)
def test_cards_say_what_the_tables_say(network):
    """Scores of a card occur in each table that it names."""
    stem = network.partition("_")[0].lower()
    named = 0
    for given in card(network)["scores"]:
        numbers = re.findall(r"(?<!supplement )\btable (\w+)", given["source"])
        numbers += [f"s{number}" for number in re.findall(r"supplement table (\w+)", given["source"])]
        for number in numbers:
            found = {
                tuple(part and float(part) for part in printed_score(cell))
                for row in table(f"{stem}-{number}").rows
                for column, cell in zip(table(f"{stem}-{number}").columns, row.cells, strict=True)
                if column.kind == "scores" and cell is not None and given["protocol"] in column.sets.values()
            }
            assert (given["psnr"], given["ssim"]) in found, given
            named += 1
    assert named


def test_shipped_networks_on_rain12_score_what_their_cards_say():
    measured = {row.method.partition(" ")[0]: row.cells for row in table("drn-1").measured}
    for name, folder in shipped_networks().items():
        scores = json.loads((folder / "config.json").read_text(encoding="utf-8"))["scores"]
        (rain12,) = [score for score in scores if score["set"] == "Rain12"]
        assert measured[name][2] == f"{rain12['psnr']:.2f} / {rain12['ssim']:.4f}"


@pytest.mark.parametrize(
    ("facts", "count"),
    [
        (row.facts, cell)
        for published in tables().values()
        for row in published.measured
        for column, cell in zip(published.columns, row.cells, strict=True)
        if column.kind == "parameters" and cell is not None
    ],
)
def test_measured_parameters(facts, count):
    arguments = {key: value for key, value in facts.items() if key != "class"}
    assert parameters(getattr(networks, facts["class"])(**arguments)) == count


def parts(design):
    """Parameters of each part of the network, by table 8's names."""
    if design == "minimal":
        network = MBN(design="minimal", hierarchy=[["rain", "blur", "jpeg", "haze"]])
        assert len(network.extra) == 0
        inputs = {"in-branch conv.\N{MULTIPLICATION SIGN}3": parameters(network.inputs)}
    else:
        network = MBN()
        inputs = {f"in-branch I{i}": parameters(branch) for i, branch in enumerate(network.inputs.values(), 1)}
    stem = {f"stem M{i}": parameters(block) for i, block in enumerate(network.stem, 1)}
    outputs = {}
    for i, (factor, branch) in enumerate(network.outputs.items()):
        extra = network.extra[:i] if design == "improved" else []
        name = "+".join([*(f"M{6 + j}" for j in range(len(extra))), f"g{i + 1}"])
        outputs[f"out-branch {name}"] = parameters(branch) + sum(map(parameters, extra))
        assert network.levels[factor] == len(extra)
    sections = {"stem, all": sum(stem.values())}
    if design == "minimal":
        sections["out-branches, all"] = sum(outputs.values())
    output = parameters(network.extra) + parameters(network.outputs)
    assert parameters(network) == sum(inputs.values()) + sum(stem.values()) + output
    return {**inputs, **stem, **outputs, **sections}, [sum(inputs.values()), sum(stem.values()), output]


@pytest.mark.parametrize("design", ["minimal", "improved"])
def test_measured_parts_of_mbn(design):
    components, sections = parts(design)
    by_part = [components.get(column.name) for column in table("mbn-8").columns]
    for name, counts in (("mbn-7", sections), ("mbn-8", by_part)):
        unit = "MB" if name == "mbn-7" else ""
        memory = [None if count is None else f"{count * 4e-6:.2f}{unit}" for count in counts]
        rows = {row.facts["count"]: row.cells for row in table(name).measured if row.facts["design"] == design}
        assert rows == {"parameters": counts, "memory": memory}


def test_measured_multiplications_of_din():
    network = DIN(stride=4).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 720, 1280, device="meta"))
    assert table("din-5").measured[0].cells[-1] == f"{counter.get_total_flops() / 2e9:.2f}G"
