"""What a run computes in: the machine's choice, the config's, and what is said of it."""

import json

import pytest
import torch
import yaml

from restore_lightning import hardware
from restore_lightning.errors import UserError
from restore_lightning.networks import DRN, MBN
from restore_lightning.runs import precision
from restore_lightning.runs.precision import check_accelerator, chosen_benchmark, chosen_precision, use_tensor_cores
from tests.conftest import CONF

TRAINER = {"accelerator": "cpu", "precision": None, "plugins": None, "benchmark": None, "deterministic": None}
HAS_BFLOAT16 = hardware.computes_bfloat16("cpu")


@pytest.fixture
def cuda(monkeypatch):
    """A machine whose CUDA devices are all that Lightning finds; what torch does with TF32 is put back."""
    monkeypatch.setattr(precision.CUDAAccelerator, "is_available", lambda: True)
    monkeypatch.setattr(precision.MPSAccelerator, "is_available", lambda: False)
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_bfloat16_where_machine_and_network_compute_it_well(monkeypatch):
    class Plain(torch.nn.Module):
        """Says nothing of half precision."""

    for has in (False, True):
        monkeypatch.setattr(precision, "computes_bfloat16", lambda device, has=has: has)
        network = MBN(width=2)
        assert chosen_precision(TRAINER, network) == ("bf16-mixed" if has else "32-true")
        assert chosen_precision(TRAINER, Plain()) == chosen_precision(TRAINER, DRN()) == "32-true"
        assert chosen_precision(TRAINER | {"accelerator": "mps"}, network) == "32-true"
        assert chosen_precision(TRAINER | {"precision": "64-true"}, network) == "64-true"
        assert chosen_precision(TRAINER, network, "32-true") == "32-true"  # its checkpoint's


def test_a_plugin_of_the_users_decides(monkeypatch):
    from lightning.pytorch.plugins import DoublePrecision

    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    assert chosen_precision(TRAINER | {"plugins": [DoublePrecision()]}, DRN()) is None


def test_the_kind_of_device_that_lightning_would_take(cuda, monkeypatch):
    asked = []
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: asked.append(device) or True)
    for accelerator in ("auto", "gpu", "cuda", "cpu"):
        chosen_precision(TRAINER | {"accelerator": accelerator}, DRN())
    assert asked == ["cuda", "cuda", "cuda", "cpu"]


def test_a_kind_of_device_that_is_there(cuda):
    for accelerator in ("auto", "gpu", "cuda", "cpu"):
        check_accelerator(accelerator)
    with pytest.raises(UserError, match=r"trainer.accelerator mps: torch finds none on this machine"):
        check_accelerator("mps")


@pytest.mark.parametrize("verb", ["fit", "test"])
@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "tpu"])
def test_a_kind_of_device_that_is_not_there(accelerator, verb, restore, step_1, tmp_path, monkeypatch):
    for kind in (precision.CUDAAccelerator, precision.MPSAccelerator, precision.XLAAccelerator):
        monkeypatch.setattr(kind, "is_available", lambda: False)
    words = ("--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path / "run", "--ckpt_path", step_1)
    code, _, err = restore(verb, *words, "--trainer.accelerator", accelerator)
    assert code == 2
    assert err.splitlines()[-1] == (
        f"restore {verb}: trainer.accelerator {accelerator}: torch finds none on this machine; give"
        " --trainer.accelerator cpu, or auto, which takes what there is"
    )
    assert not (tmp_path / "run").exists()


def test_cudnn_is_benchmarked_unless_told_otherwise(cuda):
    auto = TRAINER | {"accelerator": "auto"}
    assert chosen_benchmark(auto) is True
    assert chosen_benchmark(auto | {"benchmark": False}) is False
    assert chosen_benchmark(auto | {"deterministic": True}) is None
    assert chosen_benchmark(TRAINER) is None


def test_tensor_cores_unless_the_run_is_deterministic(cuda):
    auto = TRAINER | {"accelerator": "auto"}
    for deterministic, kept in ((True, "highest"), (False, "high")):
        use_tensor_cores(auto | {"deterministic": deterministic})
        assert torch.get_float32_matmul_precision() == kept
        assert torch.backends.cudnn.allow_tf32 is not deterministic
    use_tensor_cores(TRAINER | {"deterministic": True})  # on a CPU nothing changes
    assert torch.get_float32_matmul_precision() == "high"


def test_tf32_is_of_cuda_devices_only(cuda):
    for device, allowed in (("cuda:1", False), ("cpu", True), (torch.device("mps"), True)):
        hardware.allow_tf32(device, allowed)
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cudnn.allow_tf32 is False
    hardware.allow_tf32(torch.device("cuda"), True)
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.backends.cudnn.allow_tf32 is True


def test_float16_weights_are_refused():
    with pytest.raises(UserError, match=r"16-true: float16 has no room .* give bf16-mixed or 16-mixed"):
        chosen_precision(TRAINER | {"precision": "16-true"}, DRN())


def test_what_a_run_says_of_its_precision(restore, small_tests, tmp_path):
    """Its first lines, config.yaml, checkpoints and scores."""
    words = ("--config", CONF / "tiny.yaml", "--trainer.default_root_dir", tmp_path, *small_tests)
    code, _, err = restore("fit", *words)
    assert code == 0, err
    expected = "bf16-mixed" if HAS_BFLOAT16 else "32-true"
    assert err.count("--trainer.precision 32-true: in float32") == HAS_BFLOAT16
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["trainer"]["precision"] == expected
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["precision"] == expected
    code, _, err = restore("test", "--config", tmp_path / "config.yaml")
    assert code == 0, err
    assert json.loads((tmp_path / "scores.json").read_text())["precision"] == expected
    code, _, err = restore("test", *words, "--trainer.precision", "32-true")
    assert code == 0, err
    assert json.loads((tmp_path / "scores.json").read_text())["precision"] == "32-true"
