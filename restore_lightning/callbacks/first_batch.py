"""What fails before a run's first batch is done, where it begins with a checkpoint."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback

from restore_lightning.errors import UserError, shortened_text
from restore_lightning.runs.memory import is_out_of_memory


class FirstBatch(Callback):
    """Knows whether the run has come to its images, in training to the end of a step with what the optimiser kept.

    Until then a checkpoint's content is what differs from other runs.
    """

    done = False

    def on_train_batch_end(self, *_: Any) -> None:
        """It has."""
        self.done = True

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = on_train_batch_end  # type: ignore[assignment]

    def run(self, method: Callable[..., Any], **arguments: Any) -> None:
        """Call a method of the Trainer.

        Args:
            method: Of a Trainer that has this callback.
            arguments: Its arguments.

        Raises:
            UserError: It fails as what is read from a damaged checkpoint fails, in no foreseeable place.
        """
        self.done = False
        try:
            method(**arguments)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
            path = arguments.get("ckpt_path")
            if path is None or self.done or is_out_of_memory(error):
                raise
            problem = shortened_text(" ".join(f"{type(error).__name__}: {error}".split()), 200)
            raise UserError(
                f"nothing can be done with checkpoint {path}: it seems to be damaged, or of another version"
                f" ({problem}); name another one by --ckpt_path",
                exit_code=1,
            ) from error
