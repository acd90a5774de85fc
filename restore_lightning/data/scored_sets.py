"""Which validation and test sets a run scores: those that the user names, else a factor's own, else bundled ones."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from restore_lightning.data.config import PROTOCOL, EvaluationConfig, ResolvedFactor, factors_of
from restore_lightning.data.evaluation_set import (
    EvaluationSet,
    SetInfo,
    bundled_entries,
    degraded_set,
    folder_entries,
    noisy_set,
    paired_set,
    shard_entries,
    shard_evaluation_set,
)
from restore_lightning.data.image_choice import image_choice
from restore_lightning.data.locations import Locations
from restore_lightning.data.mixing_recipes import published_protocol
from restore_lightning.data.shards.reader import DEGRADED, ShardSet
from restore_lightning.data.sources.bundled import BUNDLED
from restore_lightning.data.sources.folders import match_pairs
from restore_lightning.data.sources.local_shards import version_of
from restore_lightning.errors import UserError, did_you_mean
from restore_lightning.io.files import user_path
from restore_lightning.metrics import protocols

log = logging.getLogger(__name__)

PUBLISHED = {"cdd11": "CDD-11"}
"""Layouts of several versions -> what tables put before a version's name; `restore mix` makes images of our own."""


@dataclass(frozen=True)
class ScoredSets:
    """Finds the sets of a split.

    Args:
        split: "val" or "test".
        given: Sets of the user's own, by name, checked; they replace all others.
        crop_size: See `SetInfo`.
        locations: Where images are.
        resolved: The factors, every default filled in.
    """

    split: str
    given: Mapping[str, EvaluationConfig]
    crop_size: int | None
    locations: Locations
    resolved: Mapping[str, ResolvedFactor]

    def find(self) -> list[EvaluationSet]:
        """All sets of the split.

        Raises:
            UserError: A set cannot be read, or a factor has none and cannot be degraded on the fly.
        """
        if self.given:
            return [self._of_user(name, given) for name, given in self.given.items()]
        shards = self.locations.root_shards
        versions = [] if shards is None else shards.versions(self.split)
        if shards is not None and versions and DEGRADED not in versions:
            return self._of_mixed_set(shards, versions)
        return [scored for factor in self.resolved for scored in self._of_factor(factor)]

    def _of_user(self, name: str, given: EvaluationConfig) -> EvaluationSet:
        where = f"data.{self.split}_sets.{name}"
        factor = given.factor or next(iter(self.resolved))
        if factor not in self.resolved or (given.factor is None and len(self.resolved) > 1):
            near = did_you_mean(given.factor or "", self.resolved)
            raise UserError(
                f"{where}.factor {given.factor}: give one of data.factors ({', '.join(self.resolved)}){near}"
            )
        if given.shards is not None:
            shards, split = self.locations.open_shards(user_path(given.shards)), given.split or self.split
            if split not in shards.splits:
                raise UserError(
                    f"{where}.split {split}: {given.shards} has {', '.join(shards.splits)}; give one of them"
                    f"{did_you_mean(split, shards.splits)}"
                )
            info = self._info(factor, name, given, published_protocol(shards.versions(split)))
            if given.noise is not None:
                return noisy_set(info, given.noise, shard_entries(shards, split), f"shards {shards.folder}, {split}")
            return self._of_shards(info, shards, split)
        info = self._info(factor, name, given)
        assert given.clean is not None
        clean, choice = user_path(given.clean), image_choice(where, given.image_list, given.counterpart)
        if given.degraded is not None:
            pairs = match_pairs(user_path(given.degraded), clean, choice)
            return paired_set(info, pairs, f"pairs {given.degraded}, {given.clean}")
        if given.noise is not None:
            return noisy_set(info, given.noise, folder_entries(clean, choice), given.clean)
        degradation = self.resolved[factor].degradation
        if degradation is None:
            raise UserError(f"{where}.degraded is missing: {factor!r} has pairs for training, and no degradation")
        return degraded_set(info, degradation, folder_entries(clean, choice), given.clean)

    def _of_mixed_set(self, shards: ShardSet, versions: list[str]) -> list[EvaluationSet]:
        """A set for each version of the images of `restore mix`."""
        log.info("%s images: %s", self.split, self.locations.root)
        if self.split == "val":
            versions = [version for version in versions if version in self.resolved]
        protocol = published_protocol(shards.versions(self.split))
        prefix = PUBLISHED.get(shards.index.about.get("layout", "")) if self.split == "test" else None
        sets = []
        for version in versions:
            info = self._of_version(version, f"{prefix} {version}" if prefix else version, protocol)
            sets.append(shard_evaluation_set(info, shards, self.split, version))
        known = {name for factor, each in self.resolved.items() for name in factors_of(factor, each.degradation)}
        left_out = [scored.name for scored in sets if not known.issuperset(scored.factors)]
        if left_out:
            log.warning("not scored, data.factors lacks some of their factors: %s", ", ".join(left_out))
        return [scored for scored in sets if scored.name not in left_out]

    def _of_version(self, version: str, name: str, protocol: str | None) -> SetInfo:
        """How a version is scored: as the factor of its name says, or the only one, else as it was published."""
        only = next(iter(self.resolved)) if len(self.resolved) == 1 else None
        factor = version if version in self.resolved else only
        if factor is None:
            return SetInfo(name, version, (protocol or PROTOCOL,), self.crop_size)
        return replace(self._info(factor, name, default=protocol), factor=version)

    def _of_factor(self, factor: str) -> list[EvaluationSet]:
        """A factor's sets: of its shards, else of the split's folder in `data.root`, else bundled photographs."""
        shards = self.locations.of(factor).shards
        splits = [] if shards is None else [name for name in shards.splits if name.split("_")[0] == self.split]
        if shards is not None and splits:
            log.info("%s: %s images of %s", factor, ", ".join(splits), shards.folder)
            sets = []
            for split in splits:
                name, protocol = split.replace(self.split, factor, 1), published_protocol(shards.versions(split))
                sets.append(self._of_shards(self._info(factor, name, default=protocol), shards, split))
            return sets
        degradation = self.resolved[factor].degradation
        if degradation is None:
            raise UserError(
                f"factor {factor!r} has pairs of its own for training: name pairs for {self.split} too, by"
                f" --data.{self.split}_sets '{{NAME: {{degraded: FOLDER, clean: FOLDER}}}}', or {{NAME: {{shards:"
                f" FOLDER}}}}; where no such factor was meant, mend its name (data.factors: {', '.join(self.resolved)})"
            )
        folder = self.locations.split_folder(self.split)
        where = BUNDLED if folder is None else str(folder)
        log.info("%s: %s images: %s", factor, self.split, where)
        entries = bundled_entries(self.split, degradation) if folder is None else folder_entries(folder)
        return [degraded_set(self._info(factor), degradation, entries, where)]

    def _of_shards(self, info: SetInfo, shards: ShardSet, split: str) -> EvaluationSet:
        """A split's degraded images, or its clean ones, degraded on the fly."""
        degradation = self.resolved[info.factor].degradation
        version = version_of(shards.versions(split), info.factor, f"{shards.folder} ({split})", degradation)
        if version is not None:
            return shard_evaluation_set(info, shards, split, version)
        assert degradation is not None
        return degraded_set(info, degradation, shard_entries(shards, split), f"shards {shards.folder}, split {split}")

    def _info(
        self,
        factor: str,
        name: str | None = None,
        given: EvaluationConfig | None = None,
        default: str | None = None,
    ) -> SetInfo:
        given = given or EvaluationConfig()
        said = given.protocol if given.protocol is not None else self.locations.factors[factor].protocol
        scored_by = tuple(one.name for one in protocols(said if said is not None else default or PROTOCOL))
        return SetInfo(
            name or factor, factor, scored_by, self.crop_size, self.resolved[factor].colour, given.multiple, given.keep
        )
