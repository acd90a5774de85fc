"""The report page in a real browser: what it says, on any screen."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from restore_lightning.io.images import to_array
from restore_lightning.metrics import MeanScores
from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.page import render_page
from restore_lightning.reports.pictures import make_picture
from tests.reporting import (
    CURVES,
    DESKTOP,
    EVIL,
    PHONE,
    SMALL_PHONE,
    WRITTEN,
    check_division,
    decoded,
    first_stage,
    pixels,
    scores_of,
    scores_of_run,
    sources_of,
)


@pytest.mark.parametrize("size", [DESKTOP, PHONE, SMALL_PHONE], ids=str)
def test_only_the_table_scrolls_sideways(visit, chosen, size):
    methods = ["restored", *(f"method number {n}" for n in range(6))]
    score = {"psnr": 20.123, "ssim": 0.5123}
    images = {"x" * 90: [ImageScores("y" * 200, dict.fromkeys(["degraded", *methods], score))]}
    report = scores_of_run(images, methods, checkpoint="runs/" + "z" * 300)
    longest = chosen[0][0]._replace(name="y" * 200, set="x" * 90)
    tab = visit(render_page(report, images, CURVES, [longest, chosen[0][1]], "t" * 200, WRITTEN), size)
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= size[0]
    assert tab.evaluate("document.querySelector('.scroller').scrollWidth") > size[0] - 60
    if size != DESKTOP:
        targets = "summary, .choice label, .passes button, .stage input, nav a"
        heights = tab.eval_on_selector_all(targets, "all => all.map(one => one.getBoundingClientRect().height)")
        assert min(heights) >= 44


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


TEXTS = """() => [...document.querySelectorAll("body *")]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.checkVisibility()
               && !e.matches("script, style"))
  .map(e => {
    let behind = e;
    while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    const style = getComputedStyle(e);
    return [e.textContent.trim().slice(0, 40), e instanceof SVGElement ? style.fill : style.color,
            behind ? getComputedStyle(behind).backgroundColor : "none"];
  })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(visit, sample, scheme):
    tab = visit(sample, PHONE, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    tab.locator(".chart > svg").first.hover()
    texts = tab.evaluate(TEXTS)
    assert len(texts) > 100
    for text, colour, behind in texts:
        one, other = sorted(luminance([int(v) for v in re.findall(r"\d+", c)]) for c in (colour, behind))
        assert (other + 0.05) / (one + 0.05) >= 4.5, (text, colour, behind)
    page_colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance([int(v) for v in re.findall(r"\d+", page_colour)]) > 0.5) == (scheme == "light")


def test_names_are_text(visit, sample, chosen):
    tab = visit(sample)
    assert tab.title() == f"run {EVIL}"
    assert tab.locator("h1").text_content() == f"run {EVIL}"
    assert tab.locator("#picture-1 h3").text_content() == EVIL
    assert tab.locator("#scores thead th").last.text_content() == f"restored ({EVIL})"
    assert tab.locator("#distribution h3").all_text_contents() == ["rain", EVIL]
    assert tab.locator("b:not(.best)").count() == 0
    assert tab.locator("img[src=x], [onerror]").count() == 0
    assert tab.locator("script").count() == 1


def test_the_table_holds_means_gains_and_marks_the_best(visit, sample, chosen):
    tab = visit(sample)
    rows = [
        [" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()]
        for row in tab.locator("#scores tr").all()[1:]
    ]
    means = {
        version: {s: np.mean([p.scores[version][s] for p in chosen[0]]) for s in ("psnr", "ssim")}
        for version in ("degraded", "restored")
    }
    gain = means["restored"]["psnr"] - means["degraded"]["psnr"]
    degraded, restored = (f"{m['psnr']:.2f} / {m['ssim']:.4f}" for m in means.values())
    assert rows[1] == [degraded, f"{restored} +{gain:.2f} dB"]
    assert len(rows) == 3  # two sets, their mean
    marked = tab.locator("#scores tbody tr").nth(1).locator(".best").all_text_contents()
    assert marked == restored.split(" / ")
    assert "3 images" in tab.locator("#scores tbody th").first.text_content()


def test_the_run_is_described(visit, sample):
    text = visit(sample).locator("body").inner_text()
    expected = [
        "1,234,567 parameters", "jpeg → rain", "runs/x/checkpoints/best.ckpt (averaged weights, step 2000)",
        "2026-01-31 12:30", "self_ensemble", '["rain", "jpeg"]', "folder of rain",
    ]  # fmt: skip
    assert [phrase for phrase in expected if phrase not in text] == []


def test_identical_images_are_inf_and_counted(visit):
    same, other = {"psnr": math.inf, "ssim": 1.0}, {"psnr": 20.0, "ssim": 0.5}
    images = {
        "some": [
            ImageScores("a", {"degraded": other, "restored": same}),
            ImageScores("b", {"degraded": other, "restored": other}),
        ],
        "all": [ImageScores("c", {"degraded": same, "restored": same})],
    }
    tab = visit(render_page(scores_of_run(images), images, [], [], "run", WRITTEN))
    some, all_same = tab.locator("#scores tbody tr").all()
    assert "20.00 / 0.7500" in some.text_content()  # the SSIM is the mean of both
    assert "1 identical (inf), left out" in some.text_content()
    assert all_same.locator("td").first.inner_text().startswith("inf / 1.0000")
    assert "nan" not in tab.locator("main").inner_text().lower()
    notes = tab.locator("#distribution figcaption").all_text_contents()
    assert all("Not drawn: 1 without a finite PSNR" in note for note in notes)


def test_several_protocols_have_rows_and_means_of_their_own():
    """Read as text: it needs no browser."""
    scores = {"degraded": {"psnr": 20.0, "ssim": 0.5}, "restored": {"psnr": 25.0, "ssim": 0.75}}
    images = {name: [ImageScores("one", scores)] for name in ("a", "b", "c")}
    run = scores_of_run(images)
    others = {"moce-rgb": {"degraded": MeanScores(20.0, 0.25), "restored": MeanScores(25.0, 0.625)}}
    run.sets.update({name: replace(run.sets[name], others=others) for name in ("a", "b")})
    table = render_page(run, images, [], [], "run", WRITTEN).partition("<tbody>")[2].partition("</table>")[0]
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
    heads = [" ".join(row[: row.index("/") - 1]) for row in rows]
    by = {"mbn-rgb": "rain, mbn-rgb, 1 image", "moce-rgb": "rain, moce-rgb, 1 image"}
    assert heads[:5] == [f"{name} {by[p]}" for name, p in zip("aabbc", [*by, *by, "mbn-rgb"], strict=True)]
    assert heads[5:] == ["mean of the sets", "mean of the sets moce-rgb"]
    ssims = [float(row[row.index("/") + 1]) for row in rows]
    assert ssims == [0.5, 0.25, 0.5, 0.25, 0.5, 0.5, 0.25]


def test_one_image_of_converted_weights(visit, chosen):
    _, sources = chosen
    source = {label: sources[1][label] for label in ("degraded", "restored", "clean")}
    scores = {label: scores_of(source[label], source["clean"]) for label in ("degraded", "restored")}
    one = make_picture("rain", "only", "largest gain", scores, **source)
    images = {"rain": [ImageScores("only", scores)]}
    report = scores_of_run(images, order=None, checkpoint=None)
    tab = visit(render_page(report, images, [], [one], "run", WRITTEN))
    assert "No curves" in tab.locator("#training").inner_text()
    assert tab.locator(".passes").count() == 0
    assert tab.locator("#distribution .dot[data-text]").count() == 1
    assert "1 image" in tab.locator("#scores tbody th").text_content()
    assert tab.locator("#scores tfoot").count() == 0
    stage, slider, _ = first_stage(tab)
    check_division(stage, slider, pixels(stage.screenshot()))
    # Alone, it has room for every bit.
    for label, uri in sources_of(tab, ".stage img"):
        np.testing.assert_array_equal(decoded(uri), to_array(source[label]), label)
    assert "480x400 pixels, lossless" in tab.locator(".note").text_content()
