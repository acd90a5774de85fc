"""The DataModule: multi-task training by the cyclic schedule, and the validation and test sets."""

import logging
from dataclasses import asdict, replace
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from restore_lightning.data.config import (
    BatchKind,
    EvaluationConfig,
    FactorConfig,
    Samples,
    resolve_factor,
    samples_of,
)
from restore_lightning.data.cyclic_schedule import CyclicSchedule
from restore_lightning.data.evaluation_set import EvaluationSet, evaluation_loader
from restore_lightning.data.locations import Locations
from restore_lightning.data.mixed_batches import check_batches, check_scales, samples_per_cycle
from restore_lightning.data.phases import PhaseConfig, never_reached, phase_batches, phases_told
from restore_lightning.data.sampler import Batches, MixedBatches, PhaseBatches, ScheduledBatches
from restore_lightning.data.scored_sets import ScoredSets
from restore_lightning.data.trainer_checks import check_steps
from restore_lightning.data.training_set import TrainingSet, augment, collate, training_source
from restore_lightning.errors import UserError
from restore_lightning.io.images import to_float
from restore_lightning.metrics.functional import LARGEST_WINDOW
from restore_lightning.runs.distributed import same_on_all_ranks
from restore_lightning.runs.exits import end_workers_at_exit
from restore_lightning.runs.signals import ignore_signals_in_worker

log = logging.getLogger(__name__)


class RestorationData(LightningDataModule):
    """Clean images, degraded on the fly, or pairs of images, of one degradation factor or several.

    Args:
        factors: Factor -> its data; the schedule's cycle holds `minibatches` of each, or samples.
        root: Folder of clean photographs. If it has a subfolder `train`, only that is trained on,
            and subfolders `val` and `test` are used where they exist. None: procedural scenes.
            Without `val` and `test` folders, scikit-image's photographs are used, which are never
            trained on. Or tar shards, a folder or its URL: of clean images, or those that `restore mix` wrote, where a
            factor is trained on the version of its name, and all test sets are scored.
        batch_size: Samples per batch and device of factors that say nothing else; 4 without `samples_per_step`.
        samples_per_step: In place of it: samples of an optimiser step on all devices together, which take equal parts:
            devices x nodes x accumulated batches x samples per batch. The same recipe on any number of devices.
        crop_size: Side of the degraded training crops in pixels of factors that name no other.
        batches: "one_factor": the samples of a step have one factor, a cycle has `minibatches` of each (paper 2).
            "mixed": a step's samples are drawn from all; a cycle has each image of each factor `copies` times, or
            `samples_per_cycle` of them. Not for networks with branches.
        phases: Parts of training with crops and samples per step of their own, one after the other; null: all steps
            are alike.
        val_crop_size: Cut degraded validation images to the centre of this size; None: whole images.
        val_sets: Validation sets of one's own by name; None: the folder `val` in `root`, or scikit-image's photographs.
        test_sets: The same for `restore test`, and the folder `test`.
        num_workers: Processes that prepare batches, and images that are scored.
        seed: Of schedule, crops, degradations and augmentations.
    """

    def __init__(
        self,
        factors: dict[str, FactorConfig],
        root: str | None = None,
        batch_size: int | None = None,
        samples_per_step: int | None = None,
        crop_size: int = 64,
        batches: BatchKind = "one_factor",
        phases: list[PhaseConfig] | None = None,
        val_crop_size: int | None = None,
        val_sets: dict[str, EvaluationConfig] | None = None,
        test_sets: dict[str, EvaluationConfig] | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (("seed", seed, 0), ("num_workers", num_workers, 0)):
            if value < least:
                raise UserError(f"data.{name} {value}: give at least {least}")
        if val_crop_size is not None and val_crop_size < LARGEST_WINDOW:
            raise UserError(f"data.val_crop_size {val_crop_size}: give at least {LARGEST_WINDOW} pixels or null")
        self.factors = factors
        self.resolved = {factor: resolve_factor(factor, data, crop_size) for factor, data in factors.items()}
        common = samples_of("data", batch_size, samples_per_step) or Samples("data.batch_size", 4, per_step=False)
        self._samples = {
            factor: samples_of(f"data.factors.{factor}", data.batch_size, data.samples_per_step) or common
            for factor, data in factors.items()
        }
        check_batches(batches, factors, self.resolved)
        self.phases = phases or []
        for number, each in enumerate(self.phases):
            each.check(f"data.phases.{number}")
        self.batches: BatchKind = batches
        self.schedule: CyclicSchedule | None = None
        """Of batches that mix factors, known once the images are found."""
        if batches == "one_factor":
            self.schedule = CyclicSchedule({factor: data.minibatches for factor, data in factors.items()}, seed)
        self.locations = Locations(root, factors)
        self.val_crop_size = val_crop_size
        self.num_workers = num_workers
        self.seed = seed
        self.own_sets = {"val": val_sets or {}, "test": test_sets or {}}
        self.val_sets: list[EvaluationSet] = []
        self.test_sets: list[EvaluationSet] = []
        self.batch_sizes: dict[str, int] = {}
        """Factor -> samples of a batch on one device, known once training is set up."""
        self.phase_batches: list[PhaseBatches] = []
        """What batches are like from which step on; known with `batch_sizes`."""
        self._batches: Batches | None = None
        self._drawn: dict[str, list[int]] | None = None
        self.settings: dict[str, Any] = {}
        """What else all processes of a run must have in common, by name (set by the command)."""

    def setup(self, stage: str) -> None:
        """Find the images of a stage and say which they are; all processes must find the same."""
        split = "val" if stage in ("fit", "validate") else "test"
        end_workers_at_exit()
        same_on_all_ranks(lambda: self._find(stage, split), lambda: self._compared(split))
        if stage == "fit":
            log.info(self._division())
            if late := never_reached(self.phase_batches, self.trainer.max_steps if self.trainer else -1):
                log.warning(late)

    @property
    def _parts(self) -> tuple[int, int]:
        """What divides a step: devices on all nodes together, and batches on each."""
        return (1, 1) if self.trainer is None else (self.trainer.world_size, self.trainer.accumulate_grad_batches)

    @property
    def samples_per_step(self) -> dict[str, int]:
        """Factor -> samples of an optimiser step, on all devices together."""
        devices, accumulated = self._parts
        return {factor: samples.of_step(devices * accumulated) for factor, samples in self._samples.items()}

    def crop_sizes(self, factor: str) -> list[int]:
        """Sides of a factor's degraded crops in all phases (pixels)."""
        own = self.resolved[factor].crop_size
        return list(dict.fromkeys(each.crop_size or own for each in self.phases)) or [own]

    def states_samples_per_step(self, factor: str) -> bool:
        """Whether the config says what a factor's steps take on all devices together, not a batch on one."""
        return self._samples[factor].per_step

    def finer_division(self) -> int | None:
        """The next larger number of accumulated batches that divides all factors' and phases' steps, if any."""
        devices, accumulated = self._parts
        stated = [samples.number for samples in self._samples.values() if samples.per_step]
        stated += [each.samples_per_step for each in self.phases if each.samples_per_step is not None]
        numbers = range(accumulated + 1, min(stated, default=accumulated) // devices + 1)
        return next((n for n in numbers if all(number % (devices * n) == 0 for number in stated)), None)

    def _division(self) -> str:
        """How steps are divided, for people: one line for all factors, or each factor's."""
        devices, accumulated = self._parts
        if self.phases:
            return phases_told(self.phase_batches, devices, accumulated)
        told = {
            factor: f"{self.samples_per_step[factor]} samples per step: {devices} devices x {size} x {accumulated}"
            " accumulated"
            for factor, size in self.batch_sizes.items()
        }
        if len(set(told.values())) == 1:
            return next(iter(told.values()))
        return "; ".join(f"{factor}: {line}" for factor, line in told.items())

    def _find(self, stage: str, split: str) -> None:
        self.locations.check_root(self.resolved)
        for factor, resolved in self.resolved.items():
            scaled = resolved.degradation is not None and resolved.degradation.scale != 1
            if scaled and self.locations.of(factor).has_pairs:
                self.resolved[factor] = replace(resolved, degradation=None)  # the pairs have a scale of their own
        for each, sets in self.own_sets.items():
            for name, given in sets.items():
                given.check(f"data.{each}_sets.{name}")
        if stage == "fit":
            self.batch_sizes = {factor: samples.of_batch(*self._parts) for factor, samples in self._samples.items()}
            self.phase_batches = phase_batches(self.phases, self.batch_sizes, *self._parts)
            sources = {
                factor: training_source(
                    factor,
                    given,
                    replace(self.resolved[factor], crop_size=max(self.crop_sizes(factor))),
                    self.locations.of(factor),
                )
                for factor, given in self.factors.items()
            }
            self.training_set = TrainingSet(sources, self.resolved, self.seed)
            if self.batches == "mixed":
                check_scales(sources, self.resolved)
                counts = {f: samples_per_cycle(f, given, sources[f].images) for f, given in self.factors.items()}
                self.schedule = CyclicSchedule(counts, self.seed)
                log.info("a cycle has %d samples: %s", self.schedule.length, counts)
        crop_size = self.val_crop_size if split == "val" else None
        found = ScoredSets(split, self.own_sets[split], crop_size, self.locations, self.resolved).find()
        if split == "val":
            self.val_sets = found
        else:
            self.test_sets = found

    def _compared(self, split: str) -> dict[str, Any]:
        """What processes compare: settings, folders, shards."""
        found = self.locations.fingerprints(f"{split}_sets", self.own_sets[split])
        return self.settings | found | {"the index of shards": self._state()["shards"]}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint says of its data, and how far the run is in them."""
        drawn = self._drawn
        if self.trainer is not None and self._batches is not None:
            drawn = self._batches.sample_counts(self.trainer.global_step)
        return self._state() | {"drawn": drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the data; whether they may differ says `runs.resume.RULES`."""
        self._drawn = state.get("drawn")

    def _state(self) -> dict[str, Any]:
        """What resumed runs and processes compare."""
        root, folder = self.locations.root, self.locations.folder
        per_cycle = "minibatches" if self.batches == "one_factor" else "samples per cycle"
        return {
            "batches": self.batches,
            **({per_cycle: self.schedule.counts} if self.schedule else {}),
            "phases": [asdict(each) for each in self.phases],
            "root": root if folder is None else str(folder.resolve()),
            "seed": self.seed,
            "samples per step": self.samples_per_step,
            "crop": {factor: resolved.crop_size for factor, resolved in self.resolved.items()},
            "folders": {factor: [data.degraded, data.clean, data.shards] for factor, data in self.factors.items()},
            "image_list": {factor: data.image_list for factor, data in self.factors.items()},
            "counterpart": {factor: data.counterpart for factor, data in self.factors.items()},
            "scenes": {factor: data.scenes for factor, data in self.factors.items()},
            "augment": {factor: list(resolved.augment) for factor, resolved in self.resolved.items()},
            "shards": {f: found.checksum for f in self.resolved if (found := self.locations.of(f).shards) is not None},
            "degradations": {f: [str(p.degradation), p.colour, p.repeats] for f, p in self.resolved.items()},
        }

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches from the run's position on; the position is all there is to resume."""
        trainer = self.trainer
        assert trainer is not None
        check_steps(trainer)
        accumulate = trainer.accumulate_grad_batches
        assert self.schedule is not None
        where: dict[str, Any] = {
            "schedule": self.schedule,
            "phases": self.phase_batches,
            "start": lambda: trainer.global_step * accumulate,
            "end": trainer.max_steps * accumulate,
            "accumulate": accumulate,
            "rank": trainer.global_rank,
            "world_size": trainer.world_size,
            "earlier_counts": self._drawn,
        }
        if self.batches == "mixed":
            self._batches = MixedBatches(**where)
        else:
            repeats = {factor: resolved.repeats for factor, resolved in self.resolved.items()}
            self._batches = ScheduledBatches(**where, repeats=repeats)
        return DataLoader(
            self.training_set,
            batch_sampler=self._batches,
            collate_fn=collate,
            num_workers=self.num_workers,
            worker_init_fn=ignore_signals_in_worker,
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )

    def val_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """One loader per validation set, image by image."""
        return [evaluation_loader(scored, self.trainer, self.num_workers) for scored in self.val_sets]

    def test_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """One loader per test set, image by image."""
        return [evaluation_loader(scored, self.trainer, self.num_workers) for scored in self.test_sets]

    predict_dataloader = test_dataloader

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """On the device: training crops are flipped and turned, bytes become numbers in [0, 1], channels lie last.

        Crops that are trained on are in the type of `trainer.precision`. All others are in float32 at least: losses and
        scores compare with them, and what restores images converts them.
        """
        kind = self._precision()
        least = torch.promote_types(kind, torch.float32)
        training = "turns" in batch
        images = {}
        for key in ("degraded", "clean"):
            image = augment(batch[key], batch["turns"]) if training else batch[key]
            image = to_float(image, least).to(kind if training and key == "degraded" else least)
            images[key] = image.contiguous(memory_format=torch.channels_last)
        return batch | images

    def _precision(self) -> torch.dtype:
        """What `trainer.precision` computes in."""
        numbers = torch.empty(0, dtype=torch.float32)
        if self.trainer is not None:
            numbers = self.trainer.precision_plugin.convert_input(numbers)
        return numbers.dtype
