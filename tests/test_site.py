"""The documentation site: it builds without a warning, is whole, loads nothing from elsewhere, and fits a phone."""

import doctest
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from restore_lightning.commands import COMMANDS, TRAINER_VERBS
from restore_lightning.runs.settings import flatten_config
from scripts.documentation import links, pages
from scripts.documentation.api import packages
from scripts.figures import house
from tests.conftest import CONF, missing
from tests.reporting import DESKTOP, PHONE

ROOT = Path(__file__).parents[1]
SECTIONS = ("trainer", "data", "checkpoint")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages."""
    if not find_spec("zensical") or not find_spec("mkdocstrings_handlers"):
        missing("zensical or mkdocstrings-python (the extra docs)")
    output = tmp_path_factory.mktemp("documentation") / "built"
    build = [sys.executable, "-m", "scripts.documentation.build", "--output", output]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    return output / "site"


@pytest.mark.slow
def test_every_page_verb_and_package_is_there(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
    command = links.Page((site / "reference/command.html").read_text(encoding="utf-8"))
    assert {f"restore-{verb}" for verb in (*TRAINER_VERBS, *COMMANDS)} < command.anchors
    assert {f"restore-shards-{verb}" for verb in ("pack", "info", "verify", "layouts")} < command.anchors
    for package, modules in packages().items():
        page = links.Page((site / f"reference/api/{package}.html").read_text(encoding="utf-8"))
        assert set(modules) <= page.anchors


@pytest.mark.slow
def test_every_key_that_print_config_knows_has_its_row(site, restore):
    code, out, _ = restore("fit", "--config", CONF / "tiny.yaml", "--print_config")
    assert code == 0
    page = (site / "reference/config.html").read_text(encoding="utf-8")
    config = yaml.safe_load(out)
    keys = {key for section in SECTIONS for key in config[section]}
    keys |= {key for key in config["model"]["init_args"] if key != "network"}
    keys |= {key for key in config["model"]["init_args"]["network"]["init_args"]}
    keys |= {key for factor in config["data"]["factors"].values() for key in factor}
    assert len(keys) > 80
    for key in keys:
        assert f"{key}</code>" in page, key
    for key in flatten_config({section: config[section] for section in ("trainer", "checkpoint")}):
        assert f"<code>{key}</code>" in page, key


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=str)
def test_a_reader_with_a_browser(site, browser, size):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme="dark")
    try:
        tab = context.new_page()
        complaints, elsewhere = [], []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: elsewhere.append(request.url) if is_elsewhere(request.url, home) else None)
        for page in ("index", "data", "architecture", "reference/config", "reference/api/restore_lightning.networks"):
            tab.goto(f"{home}{page}.html")
            assert tab.evaluate("document.scrollingElement.scrollWidth") <= size[0], page
        background = "getComputedStyle(document.body).backgroundColor"
        dark = tab.evaluate(background)
        tab.locator("form[data-md-component=palette] label:visible").click()
        tab.wait_for_function(f"{background} !== {dark!r}")
        tab.wait_for_load_state("networkidle")  # before the search is loaded, its letters are other shortcuts
        tab.keyboard.press("Control+k")
        tab.get_by_role("combobox").fill("samples_per_step")
        tab.get_by_role("option").filter(has_text="samples_per_step").first.wait_for()
        assert (complaints, elsewhere) == ([], [])
    finally:
        context.close()
        server.shutdown()


def is_elsewhere(url, home):
    return not url.startswith((home, "data:", "blob:"))


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#there">b</a><a href="#top">a</a>')
    (tmp_path / "b.html").write_text('<p id="there">B</p><a href="https://example.org/x">elsewhere</a>')
    assert list(links.problems(tmp_path)) == []
    bad = '<a href="a.html#gone">1</a><a href="c.html">2</a><img src="no.png"><script src="https://cdn.example/x.js">'
    (tmp_path / "b.html").write_text(f'<p id="there">B</p>{bad}</script>')
    assert list(links.problems(tmp_path)) == [
        "b.html: a.html#gone has no such anchor",
        "b.html: c.html is not there",
        "b.html: no.png is not there",
        "b.html loads https://cdn.example/x.js",
    ]


def test_links_of_the_repository_become_the_sites(tmp_path):
    assert pages.stage(tmp_path) == []
    layouts = "restore_lightning/data/layouts/layouts.yaml"
    text = (tmp_path / "data.md").read_text(encoding="utf-8")
    assert f"](files/{layouts})" in text
    assert "](reference/api/restore_lightning.data.layouts.md#restore_lightning.data.layouts.layout)" in text
    assert (tmp_path / "files" / layouts).read_bytes() == (ROOT / layouts).read_bytes()
    assert "](data.md)" in (tmp_path / "index.md").read_text(encoding="utf-8")


def test_the_drawing_of_the_rooms_is_that_of_the_imports():
    assert house.circles(house.rooms()) == []
    assert house.FIGURE.read_text(encoding="utf-8") == house.draw(house.rooms()), "make figures draws it anew"


EXAMPLES = [f"documentation.{name}" for name in ("command_page", "config_page", "docstrings", "pages")]


@pytest.mark.parametrize("module", [*EXAMPLES, "figures.house"])
def test_examples_in_scripts(module):
    if module.endswith("docstrings") and not find_spec("griffe"):
        missing("griffe (the extra docs)")
    found = doctest.testmod(import_module(f"scripts.{module}"))
    assert found.attempted
    assert not found.failed
