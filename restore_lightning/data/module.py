"""The DataModule: multi-task training by the cyclic schedule, and the validation and test sets."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from restore_lightning.data.config import (
    EvaluationConfig,
    FactorConfig,
    ResolvedFactor,
    factors_of,
    is_url,
    resolve_factor,
)
from restore_lightning.data.evaluation import (
    EvaluationSet,
    SetInfo,
    bundled_entries,
    degraded_set,
    folder_entries,
    paired_set,
    shard_entries,
    shard_set,
)
from restore_lightning.data.locations import fingerprint
from restore_lightning.data.sampler import ScheduledBatches
from restore_lightning.data.schedule import CyclicSchedule
from restore_lightning.data.shards.index import INDEX
from restore_lightning.data.shards.reader import DEGRADED, MANIFEST, ShardSet
from restore_lightning.data.sources.base import PairSource
from restore_lightning.data.sources.folders import FolderPairs, FolderSource, matched
from restore_lightning.data.sources.scenes import SceneSource
from restore_lightning.data.sources.shards import TRAIN, shard_source, version_of
from restore_lightning.data.sources.streams import stream_source
from restore_lightning.data.sources.synthetic import SyntheticPairs
from restore_lightning.data.training import TrainingSet, augment, collate
from restore_lightning.degradations import Mixture
from restore_lightning.errors import UserError
from restore_lightning.io.images import to_float
from restore_lightning.metrics import protocol
from restore_lightning.metrics.functional import WINDOW_SIZE
from restore_lightning.runs.distributed import same_on_all_ranks
from restore_lightning.runs.signals import ignore_signals_in_worker

log = logging.getLogger(__name__)

MIXED_PROTOCOL = "mbn-rgb"
"""How paper 2 scores its mixed data set (table 4)."""


class RestorationData(LightningDataModule):
    """Clean images, degraded on the fly, or pairs of images; one degradation factor per minibatch.

    Args:
        factors: Factor -> its data; the schedule's cycle holds `minibatches` of each.
        root: Folder of clean photographs. If it has a subfolder `train`, only that is trained on,
            and subfolders `val` and `test` are used where they exist. None: procedural scenes.
            Without `val` and `test` folders, scikit-image's photographs are used, which are never
            trained on. Or tar shards, a folder or its URL: of clean images, or those that `restore mix` wrote, where a
            factor is trained on the version of its name, and all test sets are scored.
        batch_size: Samples per minibatch and device of factors that name no other.
        crop_size: Side of the degraded training crops in pixels of factors that name no other.
        val_crop_size: Cut degraded validation images to the centre of this size; None: whole images.
        val_sets: Validation sets of one's own by name; None: the folder `val` in `root`, or scikit-image's photographs.
        test_sets: The same for `restore test`, and the folder `test`.
        num_workers: Processes that prepare batches.
        seed: Of schedule, crops, degradations and augmentations.
    """

    def __init__(
        self,
        factors: dict[str, FactorConfig],
        root: str | None = None,
        batch_size: int = 4,
        crop_size: int = 64,
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
        if val_crop_size is not None and val_crop_size < max(WINDOW_SIZE.values()):
            raise UserError(
                f"data.val_crop_size {val_crop_size}: give at least {max(WINDOW_SIZE.values())} pixels or null"
            )
        self.factors = factors
        self.plans = {factor: resolve_factor(factor, data, batch_size, crop_size) for factor, data in factors.items()}
        self.schedule = CyclicSchedule({factor: data.minibatches for factor, data in factors.items()}, seed)
        self.root = root
        self.folder = None if root is None or is_url(root) else _folder(root)
        self.root_shards: ShardSet | None = None
        self._sets: dict[Path, ShardSet] = {}
        self.val_crop_size = val_crop_size
        self.num_workers = num_workers
        self.seed = seed
        self.own_sets = {"val": val_sets or {}, "test": test_sets or {}}
        self.val_sets: list[EvaluationSet] = []
        self.test_sets: list[EvaluationSet] = []
        self._batches: ScheduledBatches | None = None
        self._drawn: dict[str, list[int]] | None = None
        self.settings: dict[str, Any] = {}
        """What else all processes of a run must have in common, by name (set by the command)."""

    def setup(self, stage: str) -> None:
        """Find the images of a stage and say which they are; all processes must find the same."""
        same_on_all_ranks(
            lambda: self._find(stage), lambda: self._compared("val" if stage in ("fit", "validate") else "test")
        )

    def _compared(self, split: str) -> dict[str, Any]:
        """What processes compare: settings, folders, shards."""
        groups: dict[str, Mapping[str, FactorConfig | EvaluationConfig]] = {
            "factors": self.factors,
            f"{split}_sets": self.own_sets[split],
        }
        places = {"data.root": self.root} | {
            f"data.{group}.{name}.{key}": getattr(data, key)
            for group, entries in groups.items()
            for name, data in entries.items()
            for key in ("clean", "degraded", "shards")
        }
        found = {
            f"{key} {name}": fingerprint(_folder(name)) for key, name in places.items() if name and not is_url(name)
        }
        return self.settings | found | {"the index of shards": self._state()["shards"]}

    def _find(self, stage: str) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise UserError(f"data.root {self.folder} is no folder: give a folder of clean photographs, or of shards")
        stored = self.folder is not None and ((self.folder / INDEX).is_file() or (self.folder / MANIFEST).is_file())
        self.root_shards = self._opened(self.folder) if self.folder is not None and stored else None
        shared = [factor for factor in self.plans if self._shares_root(factor)]
        if self.root_shards is not None and DEGRADED in self.root_shards.versions(TRAIN) and len(shared) > 1:
            raise UserError(
                f"data.root {self.folder} holds one kind of degraded images, and {', '.join(shared)} would all train on"
                " them: name it for one factor, by --data.factors.FACTOR.shards"
            )
        mixed = [f for f in shared if isinstance(self.plans[f].degradation, Mixture) and self.plans[f].needs_depth]
        if mixed and self.folder is not None and not stored:
            raise UserError(
                f"factor {mixed[0]!r} mixes haze in, which needs depth, and the photographs of {self.folder} have none:"
                " write a data set from images with depth by restore mix and give its folder as --data.root,"
                " or give --data.root null (procedural scenes)"
            )
        for factor, plan in self.plans.items():
            if plan.degradation is not None and plan.degradation.scale != 1 and self._has_pairs(factor):
                self.plans[factor] = replace(plan, degradation=None)  # the pairs have a scale of their own
        for split, sets in self.own_sets.items():
            for name, given in sets.items():
                given.check(f"data.{split}_sets.{name}")
        if stage == "fit":
            self.training_set = TrainingSet(self._training_sources(), self.plans, self.seed)
        if stage in ("fit", "validate"):
            self.val_sets = self._evaluation_sets("val", self.val_crop_size)
        if stage in ("test", "predict"):
            self.test_sets = self._evaluation_sets("test", None)

    def _has_pairs(self, factor: str) -> bool:
        """Whether a factor's shards hold degraded images."""
        shards, _ = self._stored(factor)
        return shards is not None and any(shards.versions(split) for split in shards.splits)

    def _shares_root(self, factor: str) -> bool:
        data = self.factors[factor]
        return data.shards is None and data.clean is None and not data.scenes

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint says of its data, and how far the run is in them."""
        drawn = self._drawn
        if self.trainer is not None and self._batches is not None:
            drawn = self._batches.drawn(self.trainer.global_step)
        return self._state() | {"drawn": drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the data; whether they may differ says `runs.resume.RULES`."""
        self._drawn = state.get("drawn")

    def _state(self) -> dict[str, Any]:
        """What resumed runs and processes compare."""
        together = 1 if self.trainer is None else self.trainer.accumulate_grad_batches * self.trainer.world_size
        return {
            "root": self.root if self.folder is None else str(self.folder.resolve()),
            "seed": self.seed,
            "minibatches": self.schedule.minibatches,
            "samples per step": {factor: plan.batch_size * together for factor, plan in self.plans.items()},
            "crop": {factor: plan.crop_size for factor, plan in self.plans.items()},
            "folders": {f: [data.degraded, data.clean, data.shards] for f, data in self.factors.items()},
            "scenes": {f: data.scenes for f, data in self.factors.items()},
            "augment": {f: list(plan.augment) for f, plan in self.plans.items()},
            "shards": {f: shards.checksum for f in self.plans if (shards := self._stored(f)[0]) is not None},
            "degradations": {f: [str(p.degradation), p.colour, p.repeats] for f, p in self.plans.items()},
        }

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches from the run's position on; the position is all there is to resume."""
        trainer = self.trainer
        assert trainer is not None
        if trainer.max_steps < 1:
            raise UserError("the schedule counts optimiser steps: give --trainer.max_steps")
        cut: Any = (trainer.limit_train_batches, trainer.overfit_batches)  # type: ignore[attr-defined]
        if cut != (1.0, 0.0):
            raise UserError("the schedule is not cut into epochs: give --trainer.max_steps, no limit_train_batches")
        accumulate, interval = trainer.accumulate_grad_batches, trainer.val_check_interval
        if isinstance(interval, int) and interval % accumulate:
            raise UserError(
                f"trainer.val_check_interval {interval} counts batches, and {accumulate} make a step"
                f" (accumulate_grad_batches): give a multiple of {accumulate}"
            )
        self._batches = ScheduledBatches(
            self.schedule,
            {factor: plan.batch_size for factor, plan in self.plans.items()},
            lambda: trainer.global_step * accumulate,
            trainer.max_steps * accumulate,
            accumulate,
            trainer.global_rank,
            trainer.world_size,
            {factor: plan.repeats for factor, plan in self.plans.items()},
            self._drawn,
        )
        return DataLoader(
            self.training_set,
            batch_sampler=self._batches,
            collate_fn=collate,
            num_workers=self.num_workers,
            worker_init_fn=ignore_signals_in_worker,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """One loader per validation set, image by image."""
        return [self._evaluation_loader(dataset) for dataset in self.val_sets]

    def test_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """One loader per test set, image by image."""
        return [self._evaluation_loader(dataset) for dataset in self.test_sets]

    predict_dataloader = test_dataloader

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """On the device: bytes to numbers in [0, 1]; training crops are flipped and turned."""
        images = {key: batch[key] for key in ("degraded", "clean")}
        images = {key: to_float(image) if image.dtype == torch.uint8 else image for key, image in images.items()}
        if "turns" in batch:
            images = {key: augment(image, batch["turns"]) for key, image in images.items()}
        return batch | {key: image.contiguous() for key, image in images.items()}

    def _training_sources(self) -> dict[str, PairSource]:
        """Factor -> its pairs: from a source of its own, else from `root`, else procedural scenes."""
        return {factor: self._training_source(factor, plan) for factor, plan in self.plans.items()}

    def _training_source(self, factor: str, plan: ResolvedFactor) -> PairSource:
        data = self.factors[factor]
        shards, remote = self._stored(factor)
        if remote is not None:
            return stream_source(remote, factor, plan, data.degradation is not None)
        if shards is not None:
            return shard_source(shards, factor, plan, data.degradation is not None)
        if data.degraded is not None and data.clean is not None:
            pairs = FolderPairs(_folder(data.degraded), _folder(data.clean), plan.crop_size)
            log.info("%s: training on the %d pairs of %s", factor, len(pairs.pairs), data.degraded)
            return pairs
        folder = None if data.clean is None else _folder(data.clean)
        if folder is None and self.folder is not None and not data.scenes:
            folder = self.folder / "train" if (self.folder / "train").is_dir() else self.folder
        if folder is None:
            log.info("%s: training on procedural scenes%s", factor, "" if data.scenes else " (no data.root given)")
            return SyntheticPairs(SceneSource())
        photographs = FolderSource(folder, plan.clean_size)
        log.info("%s: training on %d photographs in %s", factor, len(photographs.paths), folder)
        if plan.needs_depth:
            log.info("photographs have no depth: haze is computed from a stand-in (ground that recedes upwards)")
        return SyntheticPairs(photographs)

    def _stored(self, factor: str) -> tuple[ShardSet | None, str | None]:
        """The shards of a factor's data: a set of them, or a URL; its own, or those of `root`."""
        data = self.factors[factor]
        if data.shards is not None:
            return (None, data.shards) if is_url(data.shards) else (self._opened(_folder(data.shards)), None)
        if data.clean is not None or data.scenes:
            return None, None
        if self.root is not None and is_url(self.root):
            return None, self.root
        return self.root_shards, None

    def _opened(self, folder: Path) -> ShardSet:
        """A set of shards; several factors may name one."""
        if folder not in self._sets:
            self._sets[folder] = ShardSet(folder)
        return self._sets[folder]

    def _evaluation_sets(self, split: str, crop_size: int | None) -> list[EvaluationSet]:
        if self.own_sets[split]:
            return [self._own_set(split, name, given, crop_size) for name, given in self.own_sets[split].items()]
        versions = [] if self.root_shards is None else self.root_shards.versions(split)
        if self.root_shards is not None and versions and DEGRADED not in versions:
            return self._stored_sets(self.root_shards, split, crop_size)
        return [
            dataset
            for factor, plan in self.plans.items()
            for dataset in self._factor_sets(split, factor, plan, crop_size)
        ]

    def _factor_sets(self, split: str, factor: str, plan: ResolvedFactor, crop_size: int | None) -> list[EvaluationSet]:
        """A factor's sets: of its shards, else of the folder `split` in `root`, else scikit-image's photographs."""
        spec = SetInfo(factor, factor, self.factors[factor].protocol, crop_size, plan.colour)
        shards, _ = self._stored(factor)
        found = [name for name in shards.splits if name.split("_")[0] == split] if shards is not None else []
        if shards is not None and found:
            log.info("%s: %s images of %s", factor, ", ".join(found), shards.folder)
            named = {name: replace(spec, name=name.replace(split, factor, 1)) for name in found}
            return [self._stored_set(each, shards, name) for name, each in named.items()]
        if plan.degradation is None:
            raise UserError(
                f"factor {factor!r} has pairs of its own for training: name pairs for {split} too, by"
                f" --data.{split}_sets '{{NAME: {{degraded: FOLDER, clean: FOLDER}}}}', or {{NAME: {{shards: FOLDER}}}}"
            )
        folder = self.folder / split if self.folder is not None and (self.folder / split).is_dir() else None
        where = "scikit-image's photographs" if folder is None else str(folder)
        log.info("%s: %s images: %s", factor, split, where)
        items = bundled_entries(split, plan.degradation) if folder is None else folder_entries(folder)
        return [degraded_set(spec, plan.degradation, items, where)]

    def _stored_set(self, spec: SetInfo, shards: ShardSet, split: str) -> EvaluationSet:
        """A split's degraded images, or its clean ones, degraded on the fly."""
        version = version_of(shards.versions(split), spec.factor, f"{shards.folder} ({split})")
        if version is not None:
            return shard_set(spec, shards, split, version)
        degradation = self.plans[spec.factor].degradation
        if degradation is None:
            raise UserError(f"{shards.folder} has clean images only: set data.factors.{spec.factor}.degradation")
        return degraded_set(spec, degradation, shard_entries(shards, split), f"shards {shards.folder}, split {split}")

    def _stored_sets(self, shards: ShardSet, split: str, crop_size: int | None) -> list[EvaluationSet]:
        log.info("%s images: %s", split, self.root)
        versions = shards.versions(split)
        if split == "val":
            versions = [version for version in versions if version in self.plans]
        sets = [
            shard_set(SetInfo(version, version, MIXED_PROTOCOL, crop_size), shards, split, version)
            for version in versions
        ]
        known = {name for factor, plan in self.plans.items() for name in factors_of(factor, plan.degradation)}
        left_out = [dataset.name for dataset in sets if not known.issuperset(dataset.factors)]
        if left_out:
            log.warning("not scored, data.factors lacks some of their factors: %s", ", ".join(left_out))
        return [dataset for dataset in sets if dataset.name not in left_out]

    def _own_set(self, split: str, name: str, given: EvaluationConfig, crop_size: int | None) -> EvaluationSet:
        where = f"data.{split}_sets.{name}"
        factor = given.factor or next(iter(self.plans))
        if factor not in self.plans or (given.factor is None and len(self.plans) > 1):
            raise UserError(f"{where}.factor {given.factor}: give one of data.factors ({', '.join(self.plans)})")
        plan, protocol_name = self.plans[factor], given.protocol or self.factors[factor].protocol
        protocol(protocol_name)
        spec = SetInfo(name, factor, protocol_name, crop_size, plan.colour, given.multiple)
        if given.shards is not None:
            shards, part = self._opened(_folder(given.shards)), given.split or split
            if part not in shards.splits:
                raise UserError(
                    f"{where}.split {part}: {given.shards} has {', '.join(shards.splits)}; give one of them"
                )
            return self._stored_set(spec, shards, part)
        assert given.clean is not None
        if given.degraded is not None:
            pairs = matched(_folder(given.degraded), _folder(given.clean))
            return paired_set(spec, pairs, f"pairs {given.degraded}, {given.clean}")
        if plan.degradation is None:
            raise UserError(f"{where}.degraded is missing: {factor!r} has pairs for training, and no degradation")
        return degraded_set(spec, plan.degradation, folder_entries(_folder(given.clean)), given.clean)

    def _evaluation_loader(self, dataset: EvaluationSet) -> DataLoader[dict[str, Any]]:
        trainer = self.trainer
        rank, processes = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        # Each image once, whatever the number of processes; one that is left over takes an image of another, which the
        # scores know by its number, because all of them have to come to the same gatherings.
        mine = range(rank, len(dataset), processes) or [rank % len(dataset)]
        return DataLoader(dataset, batch_size=1, sampler=mine, collate_fn=_one)


def _one(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one image: sizes differ."""
    (sample,) = samples
    return sample | {key: sample[key][None] for key in ("degraded", "clean")}


def _folder(name: str) -> Path:
    return Path(name).expanduser()
