"""Fixtures of the report page."""

import pytest

from restore_lightning.degradations import Jpeg, Rain
from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.page import render_page
from restore_lightning.reports.pictures import make_picture
from tests.reporting import CURVES, DESKTOP, EVIL, WRITTEN, made, scores_of_run


@pytest.fixture(scope="session")
def chosen():
    """Pictures as `restore test` would choose them, and what they were made from."""
    pictures, sources = [], []
    for name, degradation, why in ((EVIL, Jpeg(qualities=(5,)), "largest loss"), ("coffee", Rain(), "largest gain")):
        degraded, passes, clean, scores, steps = made(name, degradation)
        sources.append({"degraded": degraded, "after jpeg": passes[0], "restored": passes[1], "clean": clean})
        pictures.append(make_picture("rain", name, why, scores, degraded, passes[-1], clean, steps))
    return pictures, sources


@pytest.fixture(scope="module")
def sample(chosen):
    """A page with everything."""
    pictures, _ = chosen
    images = {
        "rain": [ImageScores(p.name, p.scores) for p in pictures]
        + [ImageScores("other", {"degraded": {"psnr": 22.0, "ssim": 0.5}, "restored": {"psnr": 21.0, "ssim": 0.4}})],
        EVIL: [ImageScores(f"{EVIL}{n}", p.scores) for n, p in enumerate(pictures)],
    }
    return render_page(scores_of_run(images), images, CURVES, pictures, f"run {EVIL}", WRITTEN)


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page from disk; at the end, nothing was requested or complained about."""
    contexts, complaints, requests = [], [], []

    def open_page(html, size=DESKTOP, **options):
        path = tmp_path / "index.html"
        path.write_text(html, encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": size[0], "height": size[1]}, **options))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url.split(":")[0] for url in requests} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in requests) == len(contexts)
