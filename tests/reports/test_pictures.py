"""The report page's pictures in a real browser: what is seen, and how large it may be."""

import re
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import uniform_filter
from skimage import data

from restore_lightning.io.images import from_array, to_array
from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.page import render_page
from restore_lightning.reports.pictures import coded_within, make_picture
from tests.reporting import (
    PHONE,
    WRITTEN,
    check_division,
    decoded,
    divided,
    first_stage,
    inner,
    pixels,
    scores_of_run,
    sources_of,
)


def test_pictures_in_the_page_are_those_given(visit, sample, chosen):
    tab = visit(sample)
    for index, source in enumerate(chosen[1], start=1):
        views = sources_of(tab, f"#picture-{index} .stage img")
        assert [label for label, _ in views] == list(source)
        for label, uri in views:
            assert np.abs(decoded(uri).astype(int) - to_array(source[label])).mean() < 2, label
    loaded = tab.eval_on_selector_all("img", "all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth)))")
    assert len(loaded) == 2 * (2 * 4 + 1)
    assert min(loaded) > 0


def test_crops_are_exact_and_where_the_images_differ_most(visit, sample, chosen):
    tab = visit(sample)
    for index, source in enumerate(chosen[1], start=1):
        arrays = {label: to_array(image) for label, image in source.items()}
        difference = ((arrays["degraded"].astype(float) - arrays["clean"]) ** 2).mean(axis=2)
        means = uniform_filter(difference, 64)[32:-31, 32:-31]
        height, width = difference.shape
        style = tab.locator(f"#picture-{index} .region").get_attribute("style")
        left, top = (float(re.search(rf"{side}: ([\d.]+)%", style)[1]) / 100 for side in ("left", "top"))
        row, column = round(top * height), round(left * width)
        assert means[row, column] > 0.9 * means.max()
        for (alt, uri), array in zip(sources_of(tab, f"#picture-{index} .crops img"), arrays.values(), strict=True):
            np.testing.assert_array_equal(decoded(uri), array[row : row + 64, column : column + 64], alt)


def test_the_divider_follows_the_mouse(visit, sample):
    tab = visit(sample)
    stage, slider, box = first_stage(tab)
    before = pixels(stage.screenshot())
    y = box["y"] + box["height"] / 3
    tab.mouse.move(box["x"] + box["width"] / 2, y)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.4, y, steps=3)
    tab.mouse.move(box["x"] + box["width"] * 0.3, y, steps=3)
    tab.mouse.up()
    assert int(slider.input_value()) == pytest.approx(30, abs=1)
    shown = pixels(stage.screenshot())
    strip = slice(round(shown.shape[1] * 0.35), round(shown.shape[1] * 0.45))
    assert np.abs(shown - before)[:, strip].mean() > 1
    check_division(stage, slider, shown)


def test_the_divider_follows_a_finger(visit, sample):
    tab = visit(sample, PHONE, has_touch=True, is_mobile=True)
    stage, slider, box = first_stage(tab)
    session = tab.context.new_cdp_session(tab)

    def touch(kind, share=None):
        at = [] if share is None else [{"x": box["x"] + box["width"] * share, "y": box["y"] + box["height"] / 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", 0.5)
    for share in (0.55, 0.65, 0.75, 0.8):
        touch("touchMove", share)
    touch("touchEnd")
    assert int(slider.input_value()) == pytest.approx(80, abs=2)
    check_division(stage, slider, pixels(stage.screenshot()))


def test_the_divider_follows_the_keyboard(visit, sample):
    tab = visit(sample)
    stage, slider, _ = first_stage(tab, "degraded", "restored")
    slider.focus()
    for key, value in (("ArrowLeft", 49), ("ArrowRight", 50), ("ArrowRight", 51), ("Home", 0), ("End", 100)):
        tab.keyboard.press(key)
        assert int(slider.input_value()) == value
    assert slider.get_attribute("aria-valuetext") == "100 % degraded, 0 % restored"
    tab.keyboard.press("PageDown")
    assert int(slider.input_value()) < 100
    check_division(stage, slider, pixels(stage.screenshot()))


def test_every_version_can_be_on_either_side(visit, sample, chosen):
    tab = visit(sample)
    labels = list(chosen[1][0])
    stage, slider, _ = first_stage(tab)
    tab.add_style_tag(content=".divider, .tag, .region { display: none !important }")
    shown = {}
    for label in labels:
        first_stage(tab, left=label, right="clean")
        left = divided(stage, slider, 100)
        first_stage(tab, left="clean", right=label)
        np.testing.assert_allclose(inner(divided(stage, slider, 0)), inner(left), atol=1, err_msg=label)
        shown[label] = left
    for label, after in pairwise(labels):
        assert np.abs(shown[label] - shown[after]).mean() > 1, (label, after)
    first_stage(tab, "restored", "restored")
    np.testing.assert_allclose(inner(divided(stage, slider, 20)), inner(shown["restored"]), atol=1)


def test_the_passes_are_walked_through(visit, sample, chosen):
    tab = visit(sample)
    viewer = tab.locator(".viewer").first
    compared = lambda: viewer.locator(".tag").all_text_contents()  # noqa: E731
    assert compared() == ["degraded", "restored"]
    walked = []
    for button in ("next", "next", "next", "previous"):
        viewer.locator(f".{button}").click()
        walked.append(compared())
    first, second = ["degraded", "after jpeg"], ["after jpeg", "restored"]
    assert walked == [first, second, first, second]
    assert viewer.locator("[data-pass][aria-pressed=true]").count() == 1
    versions = chosen[0][0].versions
    steps = viewer.locator("[data-pass]").all_text_contents()
    for step, factor, before, after in zip(steps, ("jpeg", "rain"), versions, versions[1:], strict=False):
        _, name, psnr, change = re.sub(" dB", "", step).split()
        assert (name, float(psnr)) == (factor, round(after.psnr, 2))
        assert float(change) == pytest.approx(after.psnr - before.psnr, abs=0.006)
    assert viewer.locator(".status").text_content() == steps[1]


def test_coded_pictures_stay_within_any_budget(chosen):
    pictures = [*chosen[0], *chosen[0]]
    errors = []
    for budget in (20_000_000, 1_000_000, 400_000):
        shown = coded_within(pictures, budget)
        assert len(shown) == 4
        assert sum(len(uri) for one in shown for uri in (one.thumbnail, *one.views, *one.crops)) <= budget
        first = Image.fromarray(decoded(shown[0].views[0]))
        assert first.size == shown[0].size[::-1]
        same_size = np.asarray(first.resize((451, 300)), dtype=float)
        errors.append(np.abs(same_size - to_array(chosen[1][0]["degraded"])).mean())
    assert 0 == errors[0] < errors[1] < errors[2]
    few = coded_within(pictures, 180_000)
    assert 0 < len(few) < 4
    assert [one.picture for one in few] == pictures[: len(few)]
    assert coded_within(pictures, 1000) == []


@pytest.mark.slow
def test_many_large_pictures_fit_into_10_megabytes(visit):
    height, width = 1800, 2700
    rng = np.random.default_rng(0)
    clean = np.asarray(Image.fromarray(data.coffee()).resize((width, height)))
    degraded = (clean + rng.normal(0, 40, (height, width, 1))).clip(0, 255).astype(np.uint8)
    scores = {"degraded": {"psnr": 18.0, "ssim": 0.3}, "restored": {"psnr": 20.0, "ssim": 0.4}}
    large = make_picture("rain", "large", "largest gain", scores, *map(from_array, (degraded, degraded, clean)))
    images = {"rain": [ImageScores("large", scores)]}
    html = render_page(scores_of_run(images), images, [], [large] * 10, "run", WRITTEN)
    assert len(html.encode()) < 10_000_000
    tab = visit(html, PHONE)
    assert tab.locator(".picture").count() == 10
    shown = re.search(r"shown at (\d+)x(\d+) of 2700x1800 pixels", tab.locator(".note").first.text_content())
    natural = tab.eval_on_selector(".stage img", "image => [image.naturalWidth, image.naturalHeight]")
    assert natural == [int(side) for side in shown.groups()]


def test_pictures_that_do_not_fit_are_counted(visit, chosen):
    images = {"rain": [ImageScores("a", chosen[0][0].scores)]}
    # Text takes nearly all of the page.
    report = scores_of_run(images, checkpoint="c" * 9_600_000)
    html = render_page(report, images, [], list(chosen[0]) * 4, "run", WRITTEN)
    assert len(html.encode()) < 10_000_000
    tab = visit(html)
    left = tab.locator(".picture").count()
    assert 0 < left < 8
    assert f"{8 - left} more chosen image" in tab.locator("#images").inner_text()


def test_versions_of_unequal_size_are_refused(chosen):
    source = chosen[1][0]
    parts = partial(make_picture, "rain", "a.png", "why", {}, source["degraded"])
    with pytest.raises(ValueError, match=r"rain, a.png: restored is \(3, 300, 450\), clean is \(3, 300, 451\)"):
        parts(source["restored"][:, :, 1:], source["clean"])
