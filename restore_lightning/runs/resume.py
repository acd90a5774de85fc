"""What a run that goes on from a checkpoint may change: one table, and the comparison by it."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from restore_lightning.checkpoint_files import (
    AVERAGED,
    CURRENT,
    DATA,
    EARLIER_PRECISION,
    KIND,
    ORDER,
    PRECISION,
    SETTINGS,
    SPEC,
)
from restore_lightning.checkpoints import network_state, state_dict_mismatch
from restore_lightning.errors import UserError
from restore_lightning.io.addresses import without_secrets
from restore_lightning.network_specs import architecture_difference
from restore_lightning.runs.settings import current_settings

log = logging.getLogger(__name__)

GO_ON = "go on with --config {config}"
ANOTHER_RUN = (
    "the checkpoint is of another run than the config's: {name} {difference}; what it holds of task, optimiser and"
    f" schedule goes on unchanged (max_steps, devices and data.num_workers may change): {GO_ON}, or start another run"
)
OTHER_DATA = f"the run was trained with {{name}} {{was}}, now it is {{now}}: {GO_ON}"
TITLES = {
    "data.seed": "seed_everything",
    "data.minibatches": "the schedule's minibatches per cycle",
    "data.samples per cycle": "the schedule's samples per cycle",
    "data.folders": "data.factors' folders",
}
"""What a refusal calls facts that the config calls otherwise."""

Verdict = Literal["refused", "warned", "free"]


def _values(was: Any, now: Any) -> str | None:
    return None if was == now else f"was {was}, is {now}"


def _counts(was: Any, now: Any) -> str | None:
    """The shuffle of a cycle follows from the order of the factors, too."""
    reordered = isinstance(was, Mapping) and isinstance(now, Mapping) and list(was) != list(now)
    return _values(was, now) or (f"had the order {', '.join(was)}, has {', '.join(now)}" if reordered else None)


def _networks(was: Any, now: Any) -> str | None:
    """Of (spec, tensors); a spec is None where nobody knows it."""
    expected = {name: tuple(tensor.shape) for name, tensor in now[1].items()}
    problem = state_dict_mismatch(expected, was[1], most=3)
    return problem or (architecture_difference(now[0], was[0]) if now[0] and was[0] else None)


def _orders(was: Any, now: Any) -> str | None:
    """None is no order: of step 1, or of a task that is told the factor."""
    if was is None or now is None or was == now:
        return None
    return f"[{', '.join(was)}], now it is [{', '.join(now)}]"


class Rule(NamedTuple):
    """What becomes of a difference between a checkpoint and the run that goes on from it.

    Args:
        what: May differ; as `docs/training.md` calls it.
        facts: Beginnings of the names of the facts that the rule is about, see `_facts`.
        verdict: What `fit` does.
        why: The reason, for the docs.
        message: Of a refusal or warning, with `{name}`, `{was}`, `{now}`, `{difference}`.
        difference: Says of the two values in which way they differ; None: as far as this rule goes, they do not.
        scoring: What `validate`, `test` and `predict` do.
    """

    what: str
    facts: tuple[str, ...]
    verdict: Verdict
    why: str
    message: str = ""
    difference: Callable[[Any, Any], str | None] = _values
    scoring: Verdict = "free"


RULES = (
    Rule(
        "a checkpoint of step 1 for a task of step 2",
        (ORDER,),
        "refused",
        "there is no fine-tuning to go on with: it is where step 2 starts (`model.init_from`)",
        "--ckpt_path names a checkpoint of step 1, there is no fine-tuning to go on with: give it as --model.init_from",
        difference=lambda was, now: "is missing" if was is None and now is not None else None,
    ),
    Rule(
        "a checkpoint without a state of training",
        ("optimizer_states",),
        "refused",
        "`restore convert` or `bundle` wrote it, or it holds weights only: it is where a run starts"
        " (`model.init_from`)",
        "--ckpt_path names a checkpoint without a state of training (restore convert or bundle wrote it?):"
        " give it as --model.init_from",
        difference=lambda was, now: None if was else "is missing",
    ),
    Rule(
        "the network, but for how its weights were initialised",
        (SPEC,),
        "refused",
        "the checkpoint's weights would not fit, or mean something else",
        "the checkpoint is of another network than the config's: {difference};"
        " give model.network the settings it was trained with ({config})",
        difference=_networks,
        scoring="refused",
    ),
    Rule(
        "the recurrent order",
        (ORDER,),
        "refused",
        "the weights were fine-tuned in it",
        "the checkpoint was fine-tuned in the order {difference}; {config} has the one it was",
        difference=_orders,
        scoring="warned",
    ),
    Rule(
        "task, optimiser, learning-rate schedule",
        ("model.class_path", "model.init_args.optimizer", "model.init_args.lr_scheduler"),
        "refused",
        "the checkpoint holds their state, which would go on unchanged",
        ANOTHER_RUN,
    ),
    Rule(
        "averaged weights, to none",
        (KIND,),
        "refused",
        "the checkpoint's weights are the averages",
        "--ckpt_path names a checkpoint of a run that averages its weights, this one does not: " + GO_ON,
        difference=lambda was, now: "averages" if was == AVERAGED != now else None,
    ),
    Rule(
        "photographs, to procedural scenes or back",
        ("data.root", "data.folders"),
        "refused",
        "other data altogether, mostly a forgotten `--data.root`",
        OTHER_DATA,
        difference=lambda was, now: None if _given(was) == _given(now) else "differ",
    ),
    Rule("`seed_everything`", ("data.seed",), "refused", "the order of the data follows from it", OTHER_DATA),
    Rule(
        "factors, `data.batches`, `minibatches` or samples per cycle",
        ("data.batches", "data.minibatches", "data.samples per cycle"),
        "refused",
        "the position in the data counts cycles of the schedule",
        OTHER_DATA,
        difference=_counts,
    ),
    Rule("the position in the data", ("data.drawn",), "free", "it is where the run goes on"),
    Rule(
        "samples per step (`samples_per_step`, `batch_size`, `accumulate_grad_batches`, devices), crops, augmentation,"
        " degradations, files",
        ("data.",),
        "warned",
        "steps from here on are of other images",
        "resuming with other data: {name} {difference}",
    ),
    Rule(
        "`trainer.precision`, also where the machine chooses it",
        (PRECISION,),
        "warned",
        "steps from here on are rounded otherwise",
        "resuming with another precision: {difference}; --trainer.precision {was} goes on as before",
    ),
    Rule(
        "how images are restored to be scored, baselines, titles, `init_from`, activation checkpointing",
        # Network and order too: of these the checkpoint speaks by itself.
        tuple(
            f"model.init_args.{name}"
            for name in (
                *("network", "order", "inference", "init_from", "fresh_branches", "baselines", "title"),
                *("recompute", "activation_checkpointing"),
            )
        ),
        "free",
        "no step of training depends on them",
    ),
    Rule(
        "the loss and its weights, gradient clipping, callbacks, `compile`",
        ("model.", "trainer.gradient_clip", "trainer.callbacks"),
        "warned",
        "steps from here on are other ones",
        "resuming with other settings: {name} {difference}",
    ),
    Rule(
        "`trainer.max_steps`, devices, nodes, `data.num_workers`, folders on another machine",
        ("trainer.",),
        "free",
        "the same steps, on another machine or for longer",
    ),
)
"""What a checkpoint and a run may differ in. Of the rules about a fact the first one counts that finds a difference."""


def task_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `flatten_config` that a checkpoint keeps, because a resumed run may not change them unnoticed."""
    return {
        name: value
        for name, value in settings.items()
        if name.startswith(("model.", "trainer."))
        and next(rule.verdict for rule in RULES if name.startswith(rule.facts)) != "free"
    }


def config_of(checkpoint: str | Path | None) -> str:
    """What a message calls the config of the run that a checkpoint is of: its path, where it is beside it."""
    path = None if checkpoint is None else Path(checkpoint)
    config = path.parent.parent / "config.yaml" if path is not None and path.is_file() else None
    return str(config) if config is not None and config.is_file() else "config.yaml of its folder"


def check_resumed(
    checkpoint: Mapping[str, Any], this_run: Mapping[str, Any], scoring: bool = False, path: str | Path | None = None
) -> None:
    """Compare a checkpoint with what a checkpoint of this run would say, by `RULES`.

    Args:
        checkpoint: As it was read.
        this_run: The same keys, of this run.
        scoring: The network is only scored: any data will do.
        path: Of the checkpoint, for messages.

    Raises:
        UserError: They differ in what cannot change.
    """
    facts, warnings, config = _facts(checkpoint, this_run), [], config_of(path)
    for rule in RULES:
        for name, (was, now) in list(facts.items()):
            difference = rule.difference(was, now) if name.startswith(rule.facts) else None
            if difference is None:
                continue
            del facts[name]  # no later rule is about it
            verdict = rule.scoring if scoring else rule.verdict
            if verdict == "refused":
                told = {"name": TITLES.get(name, name), "was": was, "now": now, "difference": difference}
                raise UserError(rule.message.format(**told, config=config))
            if verdict == "warned":
                for part, values in _by_factor(name.removeprefix("data."), was, now).items():
                    how = rule.difference(*values)
                    if how:
                        warnings.append(rule.message.format(name=part, was=values[0], difference=how, config=config))
    for warning in warnings:
        log.warning(without_secrets(warning))  # earlier versions kept addresses with all that was in them


def continue_batches(checkpoint: dict[str, Any], accumulate: int) -> None:
    """Let Lightning, which counts batches, begin with a whole step where more or fewer of them make one now.

    Args:
        checkpoint: Its counters are changed.
        accumulate: Batches of a step, from now on.
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for counted in (progress["total"], progress["current"]):
        # All by the same: where a step's end saved, its batch is not completed, which Lightning makes up for.
        more = checkpoint["global_step"] * accumulate - counted["processed"]
        counted.update({name: number + more for name, number in counted.items()})


def _facts(checkpoint: Mapping[str, Any], this_run: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> what the checkpoint says, and this run; without what one of the two says nothing of."""
    both = _of_ours(checkpoint), this_run
    facts: dict[str, Any] = {key: tuple(each.get(key) for each in both) for key in (ORDER, "optimizer_states")}
    facts[KIND] = tuple(each.get(KIND, CURRENT) for each in both)
    facts[PRECISION] = tuple(each.get(PRECISION) or EARLIER_PRECISION for each in both)
    facts[SPEC] = tuple((each.get(SPEC), network_state(each)) for each in both)
    before, after = (each.get(SETTINGS) or {} for each in both)
    if before and after:  # the names of a config's settings vary with their values
        before, after = current_settings(before), current_settings(after)
        facts |= {name: (before.get(name), after.get(name)) for name in before | after}
    before, after = (
        {"folders": {}, "batches": "one_factor", "phases": [], **each[DATA]} if each.get(DATA) else {} for each in both
    )
    return facts | {f"data.{name}": (before[name], after[name]) for name in before if name in after}


def _of_ours(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint without what other programs keep under the keys of ours."""
    kinds = {ORDER: list, SPEC: Mapping, SETTINGS: Mapping, DATA: Mapping}
    return {key: value for key, value in checkpoint.items() if key not in kinds or isinstance(value, kinds[key])}


def _given(places: Any) -> bool:
    """Whether a place, or one of any factor's places, is given."""
    return any(map(any, places.values())) if isinstance(places, Mapping) else places is not None


def _by_factor(name: str, was: Any, now: Any) -> dict[str, tuple[Any, Any]]:
    """What differs by what it is called in a warning: each factor's part, where the values are by factors."""
    if not (isinstance(was, Mapping) and isinstance(now, Mapping)):
        return {name: (was, now)}
    return {f"{name} of {factor}": (was.get(factor), now.get(factor)) for factor in dict(was) | dict(now)}
