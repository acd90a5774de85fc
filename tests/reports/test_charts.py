"""The report page's charts in a real browser: values lie where the axes say, and can be named."""

import re

import numpy as np
import pytest

from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.page import render_page
from tests.reporting import WRITTEN, scores_of_run


def axis_value(figure, dot, axis):
    """The value that an axis's ticks give a dot, by a straight line through two of them."""
    ticks = figure.locator(f"svg text.{axis}:not(.axis-label)")
    where = "y" if axis == "y" else "x"
    places = [float(one.get_attribute(where)) for one in ticks.all()]
    values = [float(text.replace("\N{MINUS SIGN}", "-").replace(",", "")) for text in ticks.all_text_contents()]
    assert len(values) >= 2
    shift = 4 if axis == "y" else 0  # text stands below its line
    slope, start = np.polyfit(np.array(places) - shift, values, 1)
    return slope * float(dot.get_attribute(f"c{where}")) + start


def test_curves_lie_where_the_axes_say(visit, sample):
    tab = visit(sample)
    loss, psnr = tab.locator("#training .chart").all()
    assert loss.locator(".legend li").all_text_contents() == ["rain", "jpeg"]
    assert psnr.locator(".legend li").all_text_contents() == ["rain", "jpeg", "mean of the factors"]
    points = {"rain": [(9, -0.5), (19, -0.75), (39, -1)], "jpeg": [(19, 0.25), (29, -1.25)]}
    dots = loss.locator("svg .dot[data-text]").all()
    for dot, (step, value) in zip(dots, [*points["rain"], *points["jpeg"]], strict=True):
        assert axis_value(loss, dot, "x") == pytest.approx(step, abs=0.05)
        assert axis_value(loss, dot, "y") == pytest.approx(value, abs=0.005)
    assert "Left out: 2 values that are no finite number." in loss.text_content()
    assert psnr.locator("svg .dot[data-text]").count() == 6
    assert psnr.locator("polyline").count() == 3


def test_values_are_named_by_pointer_and_keyboard(visit, sample):
    tab = visit(sample)
    chart, tip = tab.locator("#training .chart > svg").last, tab.locator("#tip")
    assert not tip.is_visible()
    chart.locator(".dot").nth(3).hover()
    assert tip.text_content() == "jpeg, step 39: 31.00"
    chart.focus()
    tab.keyboard.press("Home")
    assert tip.text_content() == "rain, step 19: 20.50"
    tab.keyboard.press("ArrowRight")
    assert tip.text_content() == "rain, step 39: 22.00"
    tab.keyboard.press("End")
    assert tip.text_content() == "mean of the factors, step 39: 26.50"
    tab.keyboard.press("Tab")
    assert not tip.is_visible()


def test_every_image_has_a_dot_and_the_chosen_lead_to_their_pictures(visit, sample, chosen):
    tab = visit(sample)
    rain = tab.locator("#distribution .chart").first
    dots = rain.locator("svg .dot[data-text]").all()
    values = {p.name: [p.scores[v]["psnr"] for v in ("degraded", "restored")] for p in chosen[0]} | {"other": [22, 21]}
    assert len(dots) == 3
    for dot in dots:
        text = dot.get_attribute("data-text")
        name = text[: text.rindex(": ")]
        for axis, value in zip("xy", values[name], strict=True):
            assert axis_value(rain, dot, axis) == pytest.approx(value, abs=0.05)
    assert "2 of 3 images gained, 1 lost" in rain.text_content()
    second = tab.locator("#picture-2")
    assert second.get_attribute("open") is None
    link = rain.locator("a[href='#picture-2']")
    link.focus()
    assert tab.locator("#tip").text_content().startswith("coffee: ")
    link.press("Enter")
    second.locator(".stage").wait_for()  # visible; the page opens it when the browser tells it of the new fragment


def test_long_runs_and_large_sets_are_thinned(visit):
    rows = [{"step": str(step), "train/rain/loss": str(step % 4)} for step in range(1200)]
    rng = np.random.default_rng(0)
    images = {
        "rain": [
            ImageScores(f"i{n}", {"degraded": {"psnr": a, "ssim": 0.5}, "restored": {"psnr": a + b, "ssim": 0.5}})
            for n, (a, b) in enumerate(rng.normal(10, 2, (20000, 2)))
        ]
    }
    html = render_page(scores_of_run(images), images, rows, [], "run", WRITTEN)
    assert len(html.encode()) < 2.5e6
    tab = visit(html)
    loss = tab.locator("#training .chart")
    assert loss.locator("svg .dot[data-text]").count() == 300
    assert "mean of 4 logged values" in loss.text_content()
    assert axis_value(loss, loss.locator("svg .dot[data-text]").nth(7), "y") == pytest.approx(1.5, abs=0.01)
    note = tab.locator("#distribution figcaption").text_content()
    drawn, total = map(int, re.search(r"(\d+) of the (\d+) images are drawn", note).groups())
    assert total == 20000
    assert tab.locator("#distribution .dot[data-text]").count() == drawn <= 8001
