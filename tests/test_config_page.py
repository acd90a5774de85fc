"""The page of a config's keys has every class that a config says something by."""

import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import get_args, get_type_hints

import pytest

from restore_lightning import degradations, learning_rates
from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from scripts.documentation.config_page import config_page


@pytest.fixture(scope="module")
def page():
    return config_page()


def configured(cls: type) -> Iterator[type]:
    """The dataclasses that a class's arguments are made of, and theirs."""
    found = list(get_type_hints(cls.__init__).values())
    while found:
        kind = found.pop()
        found += get_args(kind)
        if is_dataclass(kind):
            yield kind
            yield from configured(kind)


@pytest.mark.parametrize("cls", [RestorationData, FactorConfig, EvaluationConfig])
def test_what_data_are_made_of(page, cls):
    names = {each.__name__ for each in configured(cls) if not inspect.isabstract(each)}
    assert cls is FactorConfig or names  # its degradation is an abstract class
    assert [name for name in names if f"\n### {name}\n" not in page] == []


@pytest.mark.parametrize(("module", "base"), [(degradations, degradations.Degradation), (learning_rates, object)])
def test_classes_that_a_config_names(page, module, base):
    classes = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, base)]
    names = [
        each.__name__
        for each in classes
        if each.__module__.startswith(module.__name__) and each is not base and not issubclass(each, Exception)
    ]
    assert names
    assert [name for name in names if f"\n### {name}\n" not in page] == []


def test_keys_of_a_schedule_leave_the_optimizer_out(page):
    section = page.split("\n### WarmupCosine\n")[1].split("\n### ")[0]
    assert "`warmup`" in section
    assert "`optimizer`" not in section
