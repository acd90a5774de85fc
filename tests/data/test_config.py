"""What a user may say of factors."""

import pytest

from restore_lightning.data.config import FactorConfig
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
