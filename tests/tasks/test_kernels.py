"""How a task's network and optimiser compute: layout in memory, fused steps, compiled graphs."""

import json
from copy import deepcopy

import pytest
import torch
from torch import nn

from restore_lightning.networks import DRN, MBN, NetworkInfo, to_channels_last
from restore_lightning.tasks import ImageToImageTask, MultiBranchTask
from restore_lightning.tasks.kernels import fuse_step
from tests.conftest import CONF

SIZES = {"rain": 32, "blur": 64, "jpeg": 64, "haze": 64}


def tiny_network():
    torch.manual_seed(0)
    return MBN(width=2, stem=[(3, 3, 1)], extra=[(3, 3, 1)] * 3, iterations=2, init="scaled")


def stepped(optimizer, network, steps=3):
    """The weights after some steps on the same images."""
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        optimizer.zero_grad()
        network(image).square().mean().backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def small(channels_last):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, (3, 2)))
    if channels_last:
        to_channels_last(network)
    return network


@pytest.mark.parametrize(
    "make",
    [
        lambda p, **told: torch.optim.Adam(p, lr=0.01, **told),
        lambda p, **told: torch.optim.AdamW(p, lr=0.01, amsgrad=True, **told),
        lambda p, **told: torch.optim.SGD(p, lr=0.1, momentum=0.9, **told),
    ],
)
def test_states_of_an_older_run_follow_the_layout(make):
    """Saved unfused and with channels first, and gone on with fused and channels last, as if nothing had changed."""
    network = small(channels_last=False)
    optimizer = make(network.parameters(), fused=False)
    stepped(optimizer, network)
    weights, states = deepcopy((network.state_dict(), optimizer.state_dict()))

    continued = small(channels_last=True)
    continued.load_state_dict(weights)
    other = make(continued.parameters())
    states["param_groups"][0]["fused"] = None
    other.load_state_dict(states)
    fuse_step(other)
    assert other.param_groups[0]["fused"] is True
    torch.testing.assert_close(stepped(other, continued), stepped(optimizer, network), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("told", "fused"), [({}, True), ({"fused": False}, False), ({"foreach": True}, None)])
def test_what_an_optimiser_was_told_counts(told, fused):
    """Also after it has taken the states of another one."""
    network = small(channels_last=True)
    optimizer = torch.optim.Adam(network.parameters(), **told)
    another = torch.optim.Adam(network.parameters(), fused=True)
    stepped(another, network)
    optimizer.load_state_dict(another.state_dict())
    fuse_step(optimizer)
    assert optimizer.param_groups[0]["fused"] is fused
    stepped(optimizer, network)


def test_an_optimiser_that_does_not_fuse_is_left_alone():
    optimizer = torch.optim.RMSprop(small(channels_last=True).parameters())
    fuse_step(optimizer)
    assert "fused" not in optimizer.param_groups[0]


def test_a_network_is_laid_out_with_its_channels_last():
    class Video(nn.Module):
        def __init__(self):
            super().__init__()
            self.image, self.video, self.point = nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Conv2d(3, 4, 1)

    network = Video()
    weight = network.image.weight.detach().clone()
    ImageToImageTask(network)
    assert network.image.weight.is_contiguous()  # it does not say that it takes them
    network.info = NetworkInfo(channels_last=True)
    ImageToImageTask(network)
    assert network.image.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.point.weight.stride() == (3, 1, 3, 3)  # as its gradient's, which DDP compares
    assert network.video.weight.is_contiguous()
    assert torch.equal(network.image.weight, weight)


class Counted:
    """A backend that makes nothing of graphs, and counts them."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


@pytest.mark.slow
def test_no_graph_is_made_again_after_each_factor_was_seen_once(monkeypatch):
    counted, make = Counted(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: make(*args, **kwargs, backend=counted))
    task, plain = MultiBranchTask(tiny_network(), compile=True), MultiBranchTask(tiny_network())
    assert task.state_dict().keys() == plain.state_dict().keys()
    generator, made = torch.Generator().manual_seed(0), []
    for _ in range(3):
        for factor, size in SIZES.items():
            clean, degraded = torch.rand(2, 1, 3, size, size, generator=generator)
            batch = {"factor": factor, "factors": [(factor,)], "degraded": degraded, "clean": clean}
            loss = task.loss(batch)
            loss.backward()
            assert float(loss.detach()) == pytest.approx(float(plain.loss(batch).detach()), rel=1e-5)
        made.append(counted.graphs)
    assert made[0] >= len(SIZES)
    assert made[1:] == made[:1] * 2


def test_a_network_that_is_called_by_its_stages_is_compiled_too(monkeypatch):
    counted, make = Counted(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: make(*args, **kwargs, backend=counted))
    network, (clean, degraded) = DRN(T=2, R=1, width=2), torch.rand(2, 1, 3, 16, 16)
    batch = {"clean": clean, "degraded": degraded}
    losses = [float(ImageToImageTask(network, compile=on).loss(batch).detach()) for on in (False, True)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert counted.graphs > 0


FLOAT16 = {"class_path": "lightning.pytorch.plugins.MixedPrecision", "init_args": {"precision": "16-mixed"}}
FLOAT16["init_args"]["device"] = "cpu"  # where Lightning takes bf16-mixed instead, unless it is given its plugin
HALF = {"bf16-mixed": ("--trainer.precision", "bf16-mixed"), "16-mixed": ("--trainer.plugins", json.dumps([FLOAT16]))}


@pytest.mark.slow
@pytest.mark.parametrize("precision", HALF)
def test_gradients_are_clipped_in_half_precision(precision, restore, tmp_path):
    """Lightning refuses to with optimisers that fuse by their own argument; a clip of nearly 0 leaves the weights."""
    sgd = json.dumps({"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}})
    words = (*HALF[precision], "--trainer.max_steps", 1, "--trainer.limit_val_batches", 0)
    weights = []
    for clip in (1e-12, 1.0):
        run = ("--trainer.default_root_dir", tmp_path / str(clip), "--trainer.gradient_clip_val", clip)
        code, _, err = restore("fit", "--config", CONF / "single.yaml", *words, *run, "--model.optimizer", sgd)
        assert code == 0, err
        last = torch.load(tmp_path / str(clip) / "checkpoints/last.ckpt", weights_only=True)
        assert last["optimizer_states"][0]["param_groups"][0]["fused"] is True
        assert last["precision"] == precision
        weights.append(torch.cat([tensor.flatten() for tensor in last["state_dict"].values()]))
    moved = float((weights[1] - weights[0]).norm())
    assert 0 < moved <= 0.1 + 1e-6  # lr x the norm that is left


def test_what_is_compiled_fits_and_goes_on(restore, tmp_path, monkeypatch):
    make = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: make(*args, **kwargs, backend="eager"))
    for steps, more in ((2, ()), (4, ("--ckpt_path", "last", "--model.compile", "true"))):
        words = ("--trainer.default_root_dir", tmp_path, "--trainer.max_steps", steps, *more)
        code, _, err = restore("fit", "--config", CONF / "single.yaml", *words)
        assert code == 0, err
        assert err.count("resuming with other settings: model.init_args.compile was False, is True") == bool(more)
