"""What a user may say of factors."""

import re

import pytest

from restore_lightning.data.config import FactorConfig, Samples
from restore_lightning.data.module import RestorationData
from restore_lightning.degradations import Jpeg, Noise
from restore_lightning.errors import UserError
from tests.data.conftest import rain_and_jpeg


def test_a_degradation_of_ones_own_settings():
    data = rain_and_jpeg(factors={"blocks": FactorConfig(degradation=Jpeg(qualities=(5,)))})
    assert data.resolved["blocks"].degradation.qualities == (5,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": {"fog": FactorConfig()}}, r"unknown factor 'fog'.*rain, blur, jpeg, haze, noise"),
        ({"batch_size": 0, "factors": {"rain": FactorConfig()}}, r"data\.batch_size 0: give at least 1"),
        ({"factors": {"rain": FactorConfig(batch_size=-1)}}, r"data\.factors\.rain\.batch_size -1"),
        ({"batch_size": 2, "samples_per_step": 8}, r"data\.batch_size 2 \(on one.* data\.samples_per_step 8 .* null"),
        (
            {"factors": {"rain": FactorConfig(batch_size=2, samples_per_step=8)}},
            r"data\.factors\.rain\.batch_size 2 .*both",
        ),
        ({"samples_per_step": 0, "batch_size": None}, r"data\.samples_per_step 0: give at least 1"),
        ({"factors": {"rain": FactorConfig(crop_size=0)}}, r"data\.factors\.rain\.crop_size 0"),
        ({"factors": {"rain": FactorConfig(minibatches=0)}}, r"data\.factors\.rain\.minibatches 0"),
        ({"factors": {"rain": FactorConfig(protocol="psnr")}}, r"unknown protocol 'psnr'"),
        ({"num_workers": -1}, r"data\.num_workers -1"),
        ({"seed": -1}, r"data\.seed -1"),
    ],
)
def test_wrong_settings(arguments, message):
    with pytest.raises(UserError, match=message):
        rain_and_jpeg(**arguments)


def test_a_factor_has_one_source():
    with pytest.raises(UserError, match="a degradation and a folder of degraded images: give one"):
        RestorationData({"rain": FactorConfig(clean="x", degraded="y", degradation=Noise())})


@pytest.mark.parametrize(
    ("devices", "accumulated", "message"),
    [
        (
            3,
            2,
            r"40 on 3 devices x 2 accumulated batches: give a multiple of 6, e\.g\. 36 or 42, or devices x batch",
        ),
        (16, 4, r"40 on 16 devices x 4 accumulated batches: give a multiple of 64, e\.g\. 64, or devices x batch"),
    ],
)
def test_a_step_that_devices_cannot_divide(devices, accumulated, message):
    """The numbers that are named do divide."""
    samples = Samples("data.samples_per_step", 40, per_step=True)
    with pytest.raises(UserError, match=r"data\.samples_per_step " + message) as caught:
        samples.of_batch(devices, accumulated)
    nearest, products = re.fullmatch(r".*e\.g\. ([\d or]+), or .* of ([\d, ]+)", str(caught.value)).groups()
    for number in map(int, nearest.split(" or ")):
        assert Samples("", number, per_step=True).of_batch(devices, accumulated) * devices * accumulated == number
    for product in map(int, products.split(", ")):
        assert samples.of_batch(product, 1) * product == 40


def test_a_step_is_divided_among_devices():
    assert Samples("", 40, per_step=True).of_batch(4, 2) == 5
    assert Samples("", 5, per_step=False).of_step(8) == 40
