"""Names that there are not: the line ends with the one that is meant."""

import pytest

from tests.conftest import CONF

TINY, SINGLE = (CONF / f"{name}.yaml" for name in ("tiny", "single"))

NEAR = [
    (("fitt",), "fit"),
    (("aply",), "apply"),
    (("score", "a", "b", "--protocol", "durn_y"), "durn-y"),
    (("score", "a", "b", "--protocol", "durn-rgb,DURNY"), "durn-y"),
    (("shards", "pack", "gopr", "a", "b"), "gopro"),
    (("shards", "layouts", "sots-indor"), "sots-indoor"),
    (("table", "aoi-3"), "aio-3"),
    (("convert", "NAFNett", "a", "b"), "NAFNet"),
    (("apply", "mbn-small", "PHOTOGRAPHS", "--output", "out", "--factor", "hase"), "haze"),
    (("fit", "--config", TINY, "--data.factors", "{hase: {}}"), "haze"),
    (("fit", "--config", TINY, "--data.val_sets", "{mine: {clean: PHOTOGRAPHS, factor: hase}}"), "haze"),
    (("fit", "--config", TINY, "--model.factor_weights", "{hase: 2}"), "haze"),
    (("fit", "--config", TINY, "--data.factors.rain.protocol", "durn_y"), "durn-y"),
    (("fit", "--config", SINGLE, "--model.network", "NAFNett"), "NAFNet"),
    (("fit", "--config", SINGLE, "--model.loss", "Charbonier"), "Charbonnier"),
    (("fit", "--config", SINGLE, "--model.lr_scheduler", "WarmUpCosin"), "WarmupCosine"),
    (("fit", "--config", TINY, "--model", "MultiBranchTsk"), "MultiBranchTask"),
    (("fit", "--config", TINY, "--data.factors.rain.degradation", "Rainn"), "Rain"),
    (("fit", "--config", TINY, "--data.factors.rain.degradation", "{class_path: Rainn}"), "Rain"),
    (("fit", "--config", TINY, "--data.factors.rain.colour", "grey"), "gray"),
    (("fit", "--config", TINY, "--data.batches", "mixd"), "mixed"),
    (("fit", "--config", TINY, "--model.network.pairs", "{rain: basc}"), "basic"),
    (("fit", "--config", TINY, "--model.optimizer", "AdmW"), "AdamW"),
]


@pytest.mark.parametrize(("words", "near"), NEAR, ids=lambda value: value if isinstance(value, str) else value[-1])
def test_the_near_one_is_named(words, near, restore, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = restore(*(str(word).replace("PHOTOGRAPHS", str(photographs)) for word in words))
    assert code == 2, err
    (line,) = (line for line in err.splitlines() if line.startswith("restore "))
    assert line.endswith(f"; did you mean {near}?")
    assert not (tmp_path / "runs").exists()


def test_class_names_in_a_config(restore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = SINGLE.read_text(encoding="utf-8")
    for known, wrong in (("DRN", "DRRN"), ("ImageToImageTask", "ImageToImagTask")):
        (tmp_path / "mine.yaml").write_text(text.replace(f"class_path: {known}", f"class_path: {wrong}"))
        code, _, err = restore("fit", "--config", "mine.yaml")
        assert code == 2
        assert err.splitlines()[-1].endswith(f"; did you mean {known}?")


def test_several_where_one_is_meant(restore, photographs):
    """Each of them exists: none is near."""
    _, _, err = restore("fit", "--config", TINY, "--data.factors.rain.protocol", "durn-y,mbn-rgb")
    assert err.splitlines()[-1].endswith("; several are a list, [a, b]")
    _, _, err = restore("apply", "mbn-small", photographs, "--output", "out", "--factor", "rain,haze")
    assert err.splitlines()[-1].endswith("; several in turn: --order rain,haze")


def test_nothing_is_near(restore):
    code, _, err = restore("score", "a", "b", "--protocol", "nonsense")
    assert code == 2
    assert "did you mean" not in err
