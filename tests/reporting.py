"""What the tests of the report page share: a run's scores and pictures, and reading the page."""

import base64
import csv
import io
from datetime import datetime

import numpy as np
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore_lightning.io.images import from_array, to_array, to_float, to_uint8
from restore_lightning.metrics import MeanScores
from restore_lightning.reports.pictures import StepImage
from restore_lightning.reports.scores_json import Method, RunScores, SetResult

DESKTOP, PHONE, SMALL_PHONE = (1280, 900), (390, 844), (360, 740)
EVIL = """<img src=x onerror="document.title='evil'">"</script><b>'{{ 7 * 7 }}"""
WRITTEN = datetime(2026, 1, 31, 12, 30)
PHOTOS = {"coffee": data.coffee()[:, :480], EVIL: data.chelsea()}


def scores_of(image, clean):
    arrays = to_array(image), to_array(clean)
    return {
        "psnr": peak_signal_noise_ratio(arrays[1], arrays[0]),
        "ssim": structural_similarity(*arrays, channel_axis=2),
    }


def restored_by(degraded, clean, share):
    """Nearer to the clean image by a share."""
    return to_uint8(to_float(degraded).lerp(to_float(clean), share))


def made(name, degradation, shares=(0.2, 0.5)):
    """A photograph degraded for real, after passes towards the clean image."""
    clean = from_array(PHOTOS[name])
    degraded = to_uint8(degradation(to_float(clean), 1))
    passes = [restored_by(degraded, clean, share) for share in shares]
    scores = {"degraded": scores_of(degraded, clean), "restored": scores_of(passes[-1], clean)}
    steps = [
        StepImage(factor, i, scores_of(i, clean)["psnr"]) for factor, i in zip(("jpeg", "rain"), passes, strict=False)
    ]
    return degraded, passes, clean, scores, steps


def scores_of_run(images, methods=("restored",), checkpoint="runs/x/checkpoints/best.ckpt", order=("jpeg", "rain")):
    """What `scores.json` would say of images by set, with means that NumPy takes."""
    sets = {}
    for name, scored in images.items():
        versions = {}
        for version in ("degraded", *methods):
            psnr, ssim = (np.array([one.scores[version][s] for one in scored]) for s in ("psnr", "ssim"))
            same = np.isinf(psnr)
            mean = psnr.mean() if same.all() else psnr[~same].mean()
            versions[version] = MeanScores(float(mean), float(ssim.mean()), int(same.sum()))
        sets[name] = SetResult("rain", "mbn-rgb", len(scored), versions, f"folder of {name}")
    network = {"class_path": "restore_lightning.networks.MBN", "init_args": {"width": 8, "hierarchy": ["rain", "jpeg"]}}
    way = {"self_ensemble": False, "tile": None}
    named = {method: Method(f"{method} ({EVIL})", checkpoint, way) for method in methods}
    return RunScores(sets, named, network, 1234567, order, "averaged", 2000)


CURVES = list(
    csv.DictReader(
        io.StringIO(
            "step,lr,cycle,train/rain/loss,train/jpeg/loss,val/rain/psnr,val/jpeg/psnr,val/psnr,val/psnr_x\n"
            "9,0.1,0,-0.5,,,,,\n"
            "19,0.1,0,-0.75,0.25,,,,\n"
            "19,,,,,20.5,30.25,25.375,7\n"
            "29,0.1,1,nan,-1.25,,,,\n"
            "39,0.1,1,-1,oops,22,31,26.5,7\n"
        )
    )
)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def sources_of(tab, selector):
    return tab.eval_on_selector_all(selector, "images => images.map(image => [image.alt, image.src])")


def first_stage(tab, left="degraded", right="clean"):
    """The first picture's stage, slider and box, two versions chosen."""
    viewer = tab.locator(".viewer").first
    for side, label in (("from", left), ("to", right)):
        viewer.locator(f".{side}").get_by_label(label, exact=True).check()
    stage = viewer.locator(".stage")
    stage.scroll_into_view_if_needed()
    return stage, viewer.locator("input[type=range]"), stage.bounding_box()


def divided(stage, slider, value):
    """A screenshot of the stage with the divider there."""
    slider.fill(str(value))
    return pixels(stage.screenshot())


def inner(image):
    """Without the antialiased edge."""
    return image[4:-4, 4:-4]


def check_division(stage, slider, shown):
    """Left of the divider is what the stage shows with the divider at the right end, right of it the other."""
    value = int(slider.input_value())
    right, left = divided(stage, slider, 0), divided(stage, slider, 100)
    width = shown.shape[1]
    at = round(width * value / 100)
    keep = 30  # pixels beside the handle
    assert np.abs(left - right)[:, keep:-keep].mean() > 1
    np.testing.assert_allclose(shown[:, keep : max(keep, at - keep)], left[:, keep : max(keep, at - keep)], atol=1)
    np.testing.assert_allclose(shown[:, at + keep : -keep], right[:, at + keep : -keep], atol=1)
