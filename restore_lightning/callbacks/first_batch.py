"""What fails while a run takes over what a checkpoint holds."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from restore_lightning.errors import UserError, shortened_error
from restore_lightning.runs.distributed import of_another_rank
from restore_lightning.runs.memory import is_out_of_memory


class FirstBatch(Callback):
    """Knows what a checkpoint's content may be at fault for: restoring it, and the first step of the optimiser."""

    done = False
    stepped = False
    begun = False
    failed_in: str | None = None
    """What the Trainer did when it failed; None: nothing had begun."""

    def on_train_start(self, *_: Any) -> None:
        """It is restored."""
        self.done = self.begun = True

    on_validation_start = on_test_start = on_predict_start = on_train_start  # type: ignore[assignment]

    def on_before_optimizer_step(self, *_: Any) -> None:
        """The first one is done with what the optimiser kept."""
        self.done, self.stepped = self.stepped, True

    def on_train_batch_end(self, *_: Any) -> None:
        """What the optimiser kept has served."""
        self.done = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Note the stage, which the Trainer forgets."""
        self.failed_in = str(trainer.state.stage.value) if self.begun and trainer.state.stage else None

    def run(self, method: Callable[..., Any], **arguments: Any) -> None:
        """Call a method of the Trainer.

        Args:
            method: Of a Trainer that has this callback.
            arguments: Its arguments.

        Raises:
            UserError: It fails as what is read from a damaged checkpoint fails, in no foreseeable place.
        """
        self.done = self.stepped = self.begun = False
        try:
            method(**arguments)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
            path = arguments.get("ckpt_path")
            if path is None or self.done or is_out_of_memory(error) or of_another_rank(error):
                raise
            problem = shortened_error(error, 200)
            raise UserError(
                f"nothing can be done with checkpoint {path}: it seems to be damaged, or of another version"
                f" ({problem}); name another one by --ckpt_path",
                exit_code=1,
            ) from error
