"""What Lightning says of every run, and nobody needs to know."""

import logging
import warnings

from restore_lightning.runs.distributed import is_rank_zero


def leave_out_messages() -> None:
    """Show what this package says, and leave out what Lightning says of every run."""
    logger = logging.getLogger("restore_lightning")
    logger.setLevel(logging.INFO if is_rank_zero() else logging.WARNING)
    logger.propagate = False
    logger.handlers = [logging.StreamHandler()]
    # Evaluation is image by image; workers are the user's choice, made by data.num_workers.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Lightning's own use of torch.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*torch.distributed.nn.functional.all_gather is deprecated.*")
    # Scores are those of all processes' images already.
    warnings.filterwarnings("ignore", message=".*It is recommended to use .*sync_dist=True.*")
    # It is: by the position, which the sampler asks the trainer for.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    # What is tested are the averages, which the checkpoint holds.
    warnings.filterwarnings("ignore", message=".*loading a checkpoint outside the 'fit' stage.*")
    # last.ckpt and best.ckpt are meant to be replaced.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_advertisement)


def _no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()
