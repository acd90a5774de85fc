"""The DataModule: multi-task training by the cyclic schedule, and the validation and test sets."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from restore_lightning.data.evaluation import (
    EvaluationSet,
    ImageSet,
    bundled_items,
    degraded_set,
    folder_items,
    paired_set,
    stored_set,
)
from restore_lightning.data.pairs import FromFolders, matched
from restore_lightning.data.schedule import CyclicSchedule
from restore_lightning.data.shards import MANIFEST, ShardSet
from restore_lightning.data.sources import FolderSource, SceneSource
from restore_lightning.data.training import (
    FactorData,
    FactorPlan,
    FromShards,
    OnTheFly,
    PairSource,
    ScheduledBatches,
    TrainingSet,
    augment,
    collate,
    factors_of,
)
from restore_lightning.degradations import DEGRADATIONS, Mixture
from restore_lightning.errors import UserError
from restore_lightning.images import to_float
from restore_lightning.metrics import protocol
from restore_lightning.metrics.functional import WINDOW_SIZE

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
            trained on. Or a data set that `restore mix` wrote: a factor is trained on the version of
            its name, and all test sets in it are scored.
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
        factors: dict[str, FactorData],
        root: str | None = None,
        batch_size: int = 4,
        crop_size: int = 64,
        val_crop_size: int | None = None,
        val_sets: dict[str, ImageSet] | None = None,
        test_sets: dict[str, ImageSet] | None = None,
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
        self.plans = {factor: _plan(factor, data, batch_size, crop_size) for factor, data in factors.items()}
        self.schedule = CyclicSchedule({factor: data.minibatches for factor, data in factors.items()}, seed)
        self.root = None if root is None else Path(root).expanduser()
        self.val_crop_size = val_crop_size
        self.num_workers = num_workers
        self.seed = seed
        self.own_sets = {"val": val_sets or {}, "test": test_sets or {}}
        self.val_sets: list[EvaluationSet] = []
        self.test_sets: list[EvaluationSet] = []

    def setup(self, stage: str) -> None:
        """Find the images of a stage and say which they are."""
        if self.root is not None and not self.root.is_dir():
            raise UserError(f"data.root {self.root} is no folder: give a folder of clean photographs")
        self.shards = ShardSet(self.root) if self.root is not None and (self.root / MANIFEST).is_file() else None
        mixed = [f for f, p in self.plans.items() if isinstance(p.degradation, Mixture) and p.needs_depth]
        if mixed and self.root is not None and self.shards is None:
            raise UserError(
                f"factor {mixed[0]!r} mixes haze in, which needs depth, and the photographs of {self.root} have none:"
                " write a data set from images with depth by restore mix and give its folder as --data.root,"
                " or give --data.root null (procedural scenes)"
            )
        if stage == "fit":
            self.training_set = TrainingSet(self._training_sources(), self.plans, self.seed)
        if stage in ("fit", "validate"):
            self.val_sets = self._evaluation_sets("val", self.val_crop_size)
        if stage in ("test", "predict"):
            self.test_sets = self._evaluation_sets("test", None)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint says of its data."""
        sizes = {
            factor: [self.schedule.minibatches[factor], plan.batch_size, plan.crop_size]
            for factor, plan in self.plans.items()
        }
        root = None if self.root is None else str(self.root.resolve())
        return {
            "root": root,
            "seed": self.seed,
            "factors (minibatches, batch, crop)": sizes,
            "folders": {factor: [data.degraded, data.clean] for factor, data in self.factors.items()},
            "degradations": {f: [str(p.degradation), p.colour, p.repeats] for f, p in self.plans.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Say where a resumed run's data differ from what it was trained on.

        Raises:
            UserError: Photographs before, procedural scenes now, or the other way round.
        """
        if self.trainer is not None and self.trainer.state.fn != TrainerFn.FITTING:
            return  # any data may be scored
        now = self.state_dict()
        if (state["root"] is None) != (now["root"] is None):
            raise UserError(
                f"the run was trained with data.root {state['root']}, now it is {now['root']}:"
                " go on with --config config.yaml of its folder"
            )
        if any(map(any, state.get("folders", {}).values())) != any(map(any, now["folders"].values())):
            raise UserError(
                f"the run was trained with data.factors' folders {state.get('folders')}, now they are"
                f" {now['folders']}: go on with --config config.yaml of its folder"
            )
        for key, was in state.items():
            if now.get(key) != was:
                log.warning("resuming with other data: %s was %s, is %s", key, was, now.get(key))

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches from the run's position on; the position is all there is to resume."""
        trainer = self.trainer
        assert trainer is not None
        if trainer.max_steps < 1:
            raise UserError("the schedule counts optimiser steps: give --trainer.max_steps")
        cut: Any = (trainer.limit_train_batches, trainer.overfit_batches)  # type: ignore[attr-defined]
        if cut != (1.0, 0.0):
            raise UserError("the schedule is not cut into epochs: give --trainer.max_steps, no limit_train_batches")
        accumulate = trainer.accumulate_grad_batches
        batches = ScheduledBatches(
            self.schedule,
            {factor: plan.batch_size for factor, plan in self.plans.items()},
            lambda: trainer.global_step * accumulate,
            trainer.max_steps * accumulate,
            accumulate,
            trainer.global_rank,
            trainer.world_size,
            {factor: plan.repeats for factor, plan in self.plans.items()},
        )
        return DataLoader(
            self.training_set,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=self.num_workers,
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
        return batch | images

    def _training_sources(self) -> dict[str, PairSource]:
        """Factor -> its pairs: from folders of its own, else from `root`, else procedural scenes."""
        sources: dict[str, PairSource] = {}
        shared: dict[str, FactorPlan] = {}
        for factor, plan in self.plans.items():
            data = self.factors[factor]
            if data.degraded is not None and data.clean is not None:
                pairs = FromFolders(_folder(data.degraded), _folder(data.clean), plan.crop_size)
                log.info("%s: training on the %d pairs of %s", factor, len(pairs.pairs), data.degraded)
                sources[factor] = pairs
            elif data.clean is not None:
                photographs = FolderSource(_folder(data.clean), plan.clean_size)
                log.info("%s: training on %d photographs in %s", factor, len(photographs.paths), data.clean)
                sources[factor] = OnTheFly(photographs)
            else:
                shared[factor] = plan
        return sources | (dict.fromkeys(shared, self._root_source(shared)) if shared else {})

    def _root_source(self, plans: Mapping[str, FactorPlan]) -> PairSource:
        if self.shards is not None:
            own = [factor for factor in plans if self.factors[factor].degradation is not None]
            if own:
                raise UserError(
                    f"data.factors.{own[0]}.degradation is set, but the images of {self.root} are degraded already:"
                    " leave it out or give clean photographs"
                )
            source = FromShards(self.shards, {factor: plan.crop_size for factor, plan in plans.items()})
            log.info("training on the %d images of %s", len(source.samples), self.root)
            return source
        if self.root is None:
            log.info("training on procedural scenes (no data.root given)")
            return OnTheFly(SceneSource())
        train = self.root / "train"
        folder = train if train.is_dir() else self.root
        photographs = FolderSource(folder, max(plan.clean_size for plan in plans.values()))
        log.info("training on %d photographs in %s", len(photographs.paths), folder)
        if any(plan.needs_depth for plan in plans.values()):
            log.info("photographs have no depth: haze is computed from a stand-in (ground that recedes upwards)")
        return OnTheFly(photographs)

    def _evaluation_sets(self, split: str, crop_size: int | None) -> list[EvaluationSet]:
        if self.own_sets[split]:
            return [self._own_set(split, name, given, crop_size) for name, given in self.own_sets[split].items()]
        if self.shards is not None and split in self.shards.samples:
            return self._stored_sets(self.shards, split, crop_size)
        folder = self.root / split if self.root is not None and (self.root / split).is_dir() else None
        log.info("%s images: %s", split, "scikit-image's photographs" if folder is None else folder)
        sets = []
        for factor, plan in self.plans.items():
            if plan.degradation is None:
                raise UserError(
                    f"factor {factor!r} has pairs of its own for training: name pairs for {split} too, by"
                    f" --data.{split}_sets '{{NAME: {{degraded: FOLDER, clean: FOLDER}}}}'"
                )
            items = bundled_items(split, plan.degradation) if folder is None else folder_items(folder)
            protocol_name = self.factors[factor].protocol
            sets.append(degraded_set(factor, factor, protocol_name, plan.degradation, items, crop_size, plan.colour))
        return sets

    def _stored_sets(self, shards: ShardSet, split: str, crop_size: int | None) -> list[EvaluationSet]:
        log.info("%s images: %s", split, self.root)
        versions = shards.versions(split)
        if split == "val":
            versions = [version for version in versions if version in self.plans]
        sets = [stored_set(shards, split, version, MIXED_PROTOCOL, crop_size) for version in versions]
        known = {name for factor, plan in self.plans.items() for name in factors_of(factor, plan.degradation)}
        left_out = [dataset.name for dataset in sets if not known.issuperset(dataset.factors)]
        if left_out:
            log.warning("not scored, data.factors lacks some of their factors: %s", ", ".join(left_out))
        return [dataset for dataset in sets if dataset.name not in left_out]

    def _own_set(self, split: str, name: str, given: ImageSet, crop_size: int | None) -> EvaluationSet:
        where = f"data.{split}_sets.{name}"
        factor = given.factor or next(iter(self.plans))
        if factor not in self.plans or (given.factor is None and len(self.plans) > 1):
            raise UserError(f"{where}.factor {given.factor}: give one of data.factors ({', '.join(self.plans)})")
        plan, protocol_name = self.plans[factor], given.protocol or self.factors[factor].protocol
        protocol(protocol_name)
        if given.degraded is not None:
            pairs = matched(_folder(given.degraded), _folder(given.clean))
            return paired_set(name, factor, protocol_name, pairs, crop_size, plan.colour)
        if plan.degradation is None:
            raise UserError(f"{where}.degraded is missing: {factor!r} has pairs for training, and no degradation")
        items = folder_items(_folder(given.clean))
        return degraded_set(name, factor, protocol_name, plan.degradation, items, crop_size, plan.colour)

    def _evaluation_loader(self, dataset: EvaluationSet) -> DataLoader[dict[str, Any]]:
        return DataLoader(dataset, batch_size=1, collate_fn=_one)


def _one(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one image: sizes differ."""
    (sample,) = samples
    return sample | {key: sample[key][None] for key in ("degraded", "clean")}


def _folder(name: str) -> Path:
    return Path(name).expanduser()


def _plan(factor: str, data: FactorData, batch_size: int, crop_size: int) -> FactorPlan:
    where = f"data.factors.{factor}"
    if data.degraded is not None and data.clean is None:
        raise UserError(f"{where}.degraded is given without {where}.clean: give the folder of the clean images too")
    if data.degradation is not None and data.degraded is not None:
        raise UserError(f"{where} has a degradation and a folder of degraded images: give one of them")
    if data.degradation is None and data.degraded is None and factor not in DEGRADATIONS:
        raise UserError(
            f"unknown factor {factor!r}: there is no degradation of this name ({', '.join(DEGRADATIONS)});"
            f" rename it, set {where}.degradation, or give pairs by {where}.degraded and {where}.clean"
        )
    for name, value in (("minibatches", data.minibatches), ("repeats", data.repeats)):
        if value < 1:
            more = ", or leave the factor out" if name == "minibatches" else ""
            raise UserError(f"{where}.{name} {value}: give at least 1{more}")
    batch = data.batch_size if data.batch_size is not None else batch_size
    crop = data.crop_size if data.crop_size is not None else crop_size
    if batch < 1:
        key = "data.batch_size" if data.batch_size is None else f"{where}.batch_size"
        raise UserError(f"{key} {batch}: give at least 1")
    if crop < 1:
        key = "data.crop_size" if data.crop_size is None else f"{where}.crop_size"
        raise UserError(f"{key} {crop}: give at least 1 pixel")
    protocol(data.protocol)
    degradation = data.degradation or (None if data.degraded is not None else DEGRADATIONS[factor]())
    return FactorPlan(batch, crop, tuple(data.augment), degradation, data.colour, data.repeats)
