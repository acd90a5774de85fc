"""Phases of training with crops and steps of their own (Restormer's progressive learning)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from restore_lightning.data.config import Samples
from restore_lightning.data.sampler import PhaseBatches
from restore_lightning.errors import UserError


@dataclass
class PhaseConfig:
    """A part of training whose steps differ from the others'.

    Args:
        steps: Optimiser steps; with the last phase training goes on to its end.
        crop_size: Side of the degraded crops of all factors in pixels; None: as without phases.
        samples_per_step: On all devices together; None: as without phases.
    """

    steps: int
    crop_size: int | None = None
    samples_per_step: int | None = None

    def check(self, where: str) -> None:
        """Refuse numbers below 1; `where` is its key, for messages."""
        for key in ("steps", "crop_size", "samples_per_step"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise UserError(f"{where}.{key} {value}: give at least 1")


def phase_batches(
    phases: Sequence[PhaseConfig], sizes: Mapping[str, int], devices: int, accumulated: int
) -> list[PhaseBatches]:
    """What batches are like from which step on.

    Args:
        phases: One after the other; none: all steps are alike.
        sizes: Samples per batch on one device of each factor, where a phase says nothing.
        devices: On all nodes together.
        accumulated: Batches of a step on each device.

    Raises:
        UserError: A phase's steps cannot be divided so.
    """
    made, start = [], 0
    for number, each in enumerate(phases):
        own = sizes
        if each.samples_per_step is not None:
            samples = Samples(f"data.phases.{number}.samples_per_step", each.samples_per_step, per_step=True)
            own = dict.fromkeys(sizes, samples.of_batch(devices, accumulated))
        made.append(PhaseBatches(start, own, each.crop_size))
        start += each.steps
    return made or [PhaseBatches(0, sizes)]


def phases_told(phases: Sequence[PhaseBatches], devices: int, accumulated: int) -> str:
    """How steps are divided from which one on, for people; see `phase_batches`."""

    def of_step(sizes: Mapping[str, int]) -> str:
        told = {factor: f"{size * devices * accumulated} samples per step" for factor, size in sizes.items()}
        alike = len(set(told.values())) == 1
        return next(iter(told.values())) if alike else ", ".join(f"{factor} {line}" for factor, line in told.items())

    return "; ".join(
        f"from step {each.start}: {of_step(each.sizes)}"
        + (f", crops of {each.crop_size} pixels" if each.crop_size else "")
        for each in phases
    )


def never_reached(phases: Sequence[PhaseBatches], max_steps: int) -> str:
    """What to tell the user of phases that begin where training ends, or later; "": nothing.

    Args:
        phases: See `phase_batches`.
        max_steps: Optimiser steps of the run; -1: no end.
    """
    late = [
        f"data.phases.{number} (from step {each.start})"
        for number, each in enumerate(phases)
        if 0 <= max_steps <= each.start and number
    ]
    if not late:
        return ""
    return (
        f"trainer.max_steps {max_steps} ends training before {', '.join(late)}: give more steps, or leave the rest out"
    )
