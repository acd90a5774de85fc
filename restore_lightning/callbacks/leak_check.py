"""Before training: whether images of the test sets that the config names are trained on."""

import logging
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from restore_lightning.data.image_choice import EVERY_IMAGE, ImageChoice, image_choice
from restore_lightning.data.leaks.exact import equal_images
from restore_lightning.data.leaks.images import ImageEntry, images_of, shard_images
from restore_lightning.data.module import RestorationData
from restore_lightning.data.sources.local_shards import TRAIN
from restore_lightning.errors import UserError, shortened_list
from restore_lightning.io.files import user_path
from restore_lightning.io.image_folders import find_images

log = logging.getLogger(__name__)

SECONDS = 30.0
"""Longest time that it takes, nearly."""


class LeakCheck(Callback):
    """Warns where clean images of `data.test_sets` are clean training images, pixel by pixel, as wholes.

    It looks once, before a run's first step, on the first process; not where a run goes on. Shards that are kept
    elsewhere and procedural scenes are not looked at.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare."""
        data = getattr(trainer, "datamodule", None)
        if not trainer.is_global_zero or trainer.ckpt_path is not None or not isinstance(data, RestorationData):
            return
        if not data.own_sets["test"]:
            return
        train = _training_images(data)
        found = equal_images(train, _test_images(data), SECONDS)
        if found.pairs:
            named = [f"{test} = {other}" for test, other in found.pairs]
            count = len({test for test, _ in found.pairs})
            are = "1 test image is a training image" if count == 1 else f"{count} test images are training images"
            log.warning("%s: %s; see restore shards leaks", are, shortened_list(named, 3))
        if found.compared < len(train):
            log.info(
                "%d of %d training images were compared with the test sets in %.0f s; restore shards leaks takes all",
                found.compared,
                len(train),
                SECONDS,
            )


def _training_images(data: RestorationData) -> list[ImageEntry]:
    """The clean images that lie on this machine, each once."""
    entries: dict[str, ImageEntry] = {}
    for factor in data.factors:
        place = data.locations.of(factor)
        found: list[ImageEntry] = []
        if place.shards is not None:
            found = shard_images(place.shards, TRAIN)
        elif place.clean is not None:
            found = _folder_images(place.clean, place.degraded, place.choice)
        entries |= {entry.name: entry for entry in found}
    return list(entries.values())


def _test_images(data: RestorationData) -> list[ImageEntry]:
    """The clean images of the sets that the user names; those of a set that is not there `restore test` refuses."""
    entries: dict[str, ImageEntry] = {}
    for name, given in data.own_sets["test"].items():
        try:
            if given.shards is not None:
                found = shard_images(data.locations.open_shards(user_path(given.shards)), given.split or "test")
            else:
                choice = image_choice(f"data.test_sets.{name}", given.image_list, given.counterpart)
                degraded = None if given.degraded is None else user_path(given.degraded)
                found = _folder_images(user_path(str(given.clean)), degraded, choice)
        except UserError:
            continue
        entries |= {entry.name: entry for entry in found}
    return list(entries.values())


def _folder_images(clean: Path, degraded: Path | None, choice: ImageChoice) -> list[ImageEntry]:
    """The clean images of a folder that are used."""
    if choice == EVERY_IMAGE:
        paths = [clean]
    elif degraded is None:
        paths = choice.of(clean, find_images(clean).images)
    else:
        paths = [file for _, _, file in choice.pairs(degraded, clean)]
    return images_of(paths, training=True).entries
