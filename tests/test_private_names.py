"""Private names of other libraries: few, each with a reason beside it, and each still there."""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

import restore_lightning

PACKAGE = Path(restore_lightning.__file__).parent
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
ALLOWED = {
    ("runs/distributed.py", "_ddp_kwargs"): "Lightning makes the strategy; its arguments cannot be added in public",
    ("runs/exits.py", "_exit"): "public in spite of its name: nothing else leaves a process whose threads hang",
    ("networks/info.py", "_check"): "public in spite of its name: the way to tell torch.export what holds of a size",
    ("community.py", "_call_fn"): "spandrel's public call takes no gradient, and these networks are trained further",
    ("commands/trainer.py", "_signal_connector"): "Lightning's handler of SIGTERM cannot be switched off in public",
}
"""File and name -> why there is no public way."""


def private(name: str | None) -> bool:
    return name is not None and name.startswith("_") and not name.startswith("__") and name not in OF_NAMED_TUPLES


def own(node: ast.expr) -> bool:
    """Whether this is `self`, `cls` or `super()`."""
    return ast.unparse(node) in ("self", "cls", "super()")


def of_others(tree: ast.AST) -> Iterator[str]:
    """Private names that are imported, or asked for by their owner's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr) and not own(node.value):
            yield node.attr
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            yield from filter(private, [part for name in names if name for part in name.split(".")])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            yield from filter(private, [arg.value for arg in node.args if isinstance(arg, ast.Constant)][:1])


def mentioned(tree: ast.AST) -> set[str]:
    """Private names of `self`, and private methods."""
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and own(node.value)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return set(filter(private, names))


def inherited(tree: ast.Module, module: str) -> Iterator[str]:
    """Private names of a class that a library's class has too: used, or hidden by accident."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (names := mentioned(node)):
            for base in getattr(importlib.import_module(module), node.name).__mro__[1:]:
                if base.__module__.split(".")[0] not in ("restore_lightning", "builtins", "typing", "abc"):
                    theirs = set(vars(base)) | mentioned(ast.parse(textwrap.dedent(inspect.getsource(base))))
                    yield from names & theirs


def used() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = ".".join(("restore_lightning", *place.with_suffix("").parts)).removesuffix(".__init__")
        names = [*of_others(tree), *(inherited(tree, module) if path.name != "__main__.py" else ())]
        yield from ((place.as_posix(), name) for name in names)


def test_only_these_are_used():
    assert set(used()) == set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from a import _b", ["_b"]),
        ("import a._b", ["_b"]),
        ("from a._b import c", ["_b"]),
        ("a.b._c()", ["_c"]),
        ("self.trainer._c = 1", ["_c"]),
        ("getattr(a, '_b')", ["_b"]),
        ("a._replace(b=1); self._c; super()._d(); a.__class__", []),
    ],
)
def test_what_counts_as_private(source, found):
    assert list(of_others(ast.parse(source))) == found


def test_what_is_inherited(tmp_path, monkeypatch):
    """An attribute that a library's class assigns, and a method that hides one."""
    source = """
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.callbacks import ModelCheckpoint
class Used(LightningCLI):
    def before_fit(self):
        self._parser("fit")
class Assigned(ModelCheckpoint):
    def setup(self, trainer, pl_module, stage):
        self._last_global_step_saved = self._our_own = 0
"""
    (tmp_path / "with_private_names.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert set(inherited(ast.parse(source), "with_private_names")) == {"_parser", "_last_global_step_saved"}


def test_arguments_of_ddp():
    assert DDPStrategy(find_unused_parameters=True)._ddp_kwargs == {"find_unused_parameters": True}


def test_signal_handlers_of_the_trainer():
    trainer = Trainer(accelerator="cpu", logger=False)
    assert "signal.signal(" in inspect.getsource(type(trainer._signal_connector))
    source = inspect.getsource(Trainer)
    assert source.count("self._signal_connector.register_signal_handlers()") == 1
