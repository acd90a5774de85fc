import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from restore_lightning.callbacks.branch_table import Work, branch_table, cycle_table, flop_per_image
from restore_lightning.networks import MBN


@pytest.fixture(scope="module")
def network():
    return MBN()


def test_table_8(network):
    table = branch_table(network).splitlines()
    text = "\n".join(table)
    for name, parameters in (
        ("I rain", "0.32"),
        ("I blur", "0.98"),
        ("I haze", "0.07"),
        ("M1", "0.64"),
        ("M5", "0.98"),
    ):
        assert any(name in line and parameters in line for line in table), name
    assert "0.98 + 1.43 + 0.48" in text  # M6 + M7 + g3
    assert "0.98 + 1.43 + 1.43 + 0.13" in text  # M6 + M7 + M8 + g4
    assert "11,254,072 parameters" in text


@pytest.mark.parametrize(
    ("factor", "size", "giga"), [("rain", 128, 761), ("blur", 256, 366), ("haze", 256, 432), ("jpeg", 256, 491)]
)
def test_work_per_image(factor, size, giga):
    # Counted independently on the released network, which leaves out a convolution at the finest scale.
    assert flop_per_image(MBN(released=True), factor, size) / 1e9 == pytest.approx(giga, abs=0.6)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"design": "minimal"}, {"pairs": {"blur": "basic"}, "scales": 2}], ids=str)
def test_work_is_what_torch_counts(arguments, frozen):
    """Of real tensors, with input branches that learn, or do not."""
    network = MBN(width=2, stem=[[3, 3, 1]], extra=[[5, 3, 2]] * 3, iterations=2, **arguments)
    network.inputs.requires_grad_(not frozen)
    for factor in network.info.factors:
        with FlopCounterMode(display=False) as counter:
            outputs = network(torch.rand(1, 3, 48, 48), factor)
            torch.autograd.backward([output.sum() for output in outputs])
        assert flop_per_image(network, factor, 48) == counter.get_total_flops()


def test_work_of_the_papers_cycle():
    sizes = {"rain": (1, 40, 128), "haze": (1, 40, 256), "jpeg": (1, 40, 256), "blur": (3, 40, 256)}
    cycle = {factor: Work(*numbers, [factor]) for factor, numbers in sizes.items()}
    assert "111.3 TFLOP" in cycle_table(MBN(released=True), cycle)
