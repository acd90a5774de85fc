"""The end of `restore test` and `restore predict`: the table, `scores.json`, restored images."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from restore_lightning.files import write_text
from restore_lightning.images import to_uint8, write_image
from restore_lightning.metrics.scores import SetScores


def score_table(scores: dict[str, SetScores]) -> str:
    """PSNR (dB) and SSIM of degraded and restored images, one line per set, means over images."""
    lines = [
        f"{'set':<16}{'factor':<10}{'protocol':<11}{'images':>6}   {'degraded':>17}   {'restored':>17}   {'gain':>8}"
    ]
    for name, entry in scores.items():
        table = entry.compute()
        shown = "".join(f"   {table[k]['psnr']:>6.2f} dB / {table[k]['ssim']:.4f}" for k in ("degraded", "restored"))
        gain = table["restored"]["psnr"] - table["degraded"]["psnr"]
        lines.append(
            f"{name:<16}{entry.factor:<10}{entry.protocol.name:<11}{entry.images:>6}{shown}   {gain:>+5.2f} dB"
        )
    return "\n".join(lines)


class ScoreReport(Callback):
    """After `validate` and `test`: prints the table; after `test` it writes `<run>/scores.json` too."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The verb, not the validation during training."""
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.VALIDATING:
            print(score_table(_scored(pl_module)), flush=True)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All sets are scored."""
        if not trainer.is_global_zero:
            return
        scores = _scored(pl_module)
        sets = {
            name: {"factor": entry.factor, "protocol": entry.protocol.name, "images": entry.images, **entry.compute()}
            for name, entry in scores.items()
        }
        path = Path(trainer.default_root_dir, "scores.json")
        report = {"checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None, "sets": sets}
        write_text(path, json.dumps(report, indent=2) + "\n")
        print(score_table(scores), f"scores: {path}", sep="\n", flush=True)


def _scored(task: Any) -> dict[str, SetScores]:
    return {name: entry for name, entry in task.scores.items() if entry.images}


class PredictionWriter(Callback):
    """After each image of `predict`: writes it to `<run>/predictions/<set>/<name>.png`."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one restored image."""
        restored: Tensor = outputs
        write_image(
            to_uint8(restored[0]).cpu(),
            Path(trainer.default_root_dir, "predictions", batch["set"], f"{batch['name']}.png"),
        )

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where they are."""
        print(f"restored images: {Path(trainer.default_root_dir, 'predictions')}", flush=True)
