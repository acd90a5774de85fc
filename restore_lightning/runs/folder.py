"""The folder of a run: its lock, the files of an earlier run, the checkpoints that a verb starts from."""

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from restore_lightning.errors import UserError
from restore_lightning.io.files import NO_LOCKS, locked_exclusively, write_text
from restore_lightning.runs.distributed import is_rank_zero
from restore_lightning.weights import find_weights

log = logging.getLogger(__name__)


LOCK, HOLDER = ".lock", ".lock.holder"
"""The files in a run's folder that keep others from it, and that say who does: Windows lets nobody read the first."""


def lock_run_folder(folder: Path) -> FileLock:
    """Keep a folder for this process, until the lock is released; it goes with the process.

    Returns:
        The lock; where the folder cannot be locked one that holds nothing.

    Raises:
        UserError: Another process holds it, other than this Slurm job's on a node where it ran before.
        OSError: Nothing can be written to the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / HOLDER
    job, host = os.environ.get("SLURM_JOB_ID"), socket.gethostname()
    lock = None
    try:
        lock = locked_exclusively(folder / LOCK)
        if lock is None:
            holder = path.read_text(encoding="utf-8").strip() if path.is_file() else "another process"
            # A job that was requeued because its node failed: a network file system keeps that node's lock for a while.
            own = job is not None and holder.startswith(f"job {job},") and not holder.endswith(f" on {host}")
            if not own:
                raise UserError(
                    f"{folder} is in use by {holder}: wait for its end or stop it,"
                    " or choose another --trainer.default_root_dir"
                )
            log.warning("%s is still locked by this job's earlier start, %s: going on", folder, holder)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning(
            "the file system of %s has no locks (%s): make sure that no other job writes to it", folder, error.strerror
        )
    write_text(path, f"{f'job {job}, ' if job else ''}process {os.getpid()} on {host}\n")
    return lock or FileLock(folder / LOCK)


def unlock_run_folder(lock: FileLock) -> None:
    """Let others write to a folder; where nothing has been written, the lock's own files go."""
    folder = Path(lock.lock_file).parent
    with suppress(OSError):  # it may be gone, or away
        if lock.is_locked and {path.name for path in folder.iterdir()} <= {LOCK, HOLDER}:
            (folder / HOLDER).unlink(missing_ok=True)
            (folder / LOCK).unlink(missing_ok=True)  # still locked: a next one makes its own; Windows does it itself
    lock.release()


def run_folder(chosen: str) -> str:
    """Where a run's files go: what was chosen, in a W&B sweep a folder below it, called by W&B's id of the run.

    `${envvar:WANDB_RUN_ID}` in a sweep's command cannot do this: the agent fills it in before it sets the run's id.
    """
    run_of_sweep = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    return str(Path(chosen, run_of_sweep)) if run_of_sweep else chosen


METRICS = "metrics.csv"
"""What a run's folder calls the logged numbers."""
CHECKPOINTS = "checkpoints"
"""The folder in a run's that holds `last.ckpt`, `best.ckpt`, and what callbacks of the user keep."""
RUN_FILES = (
    *(f"{CHECKPOINTS}/last.ckpt", f"{CHECKPOINTS}/best.ckpt"),
    *(METRICS, "scores.json", "scores.csv", "report/index.html"),
)
"""What a run leaves in its folder that a new one there would replace, beside checkpoints of other names."""


def saved_checkpoints(checkpoints: Path) -> list[Path]:
    """A run's checkpoints; those that begin with a dot were not finished."""
    return sorted(checkpoints.glob("[!.]*.ckpt"))


def remove_unfinished(checkpoints: Path) -> None:
    """Remove what a process left behind that was killed while it saved."""
    for path in checkpoints.glob(".*.ckpt"):
        path.unlink(missing_ok=True)


def cut_short(run: Path) -> bool:
    """Whether a run left nothing that anybody would miss: neither checkpoints nor scores, at most some numbers."""
    kept = [name for name in RUN_FILES if (run / name).exists() and name != METRICS]
    return not kept and not saved_checkpoints(run / CHECKPOINTS)


def earlier_run(run: Path, replace: bool) -> list[Path]:
    """Files of an earlier run in this folder, which the new one replaces.

    The other processes of a run leave this to the first one.

    Raises:
        UserError: There are some, and they are not to be replaced.
    """
    if not is_rank_zero():
        return []
    existing = [run / name for name in RUN_FILES if (run / name).exists()]
    existing += [path for path in saved_checkpoints(run / CHECKPOINTS) if path not in existing]
    if existing and not replace:
        saved = any(path.suffix == ".ckpt" for path in existing)
        go_on = "go on with --ckpt_path last, choose" if saved else "it has no checkpoint to go on from; choose"
        raise UserError(
            f"{run} holds an earlier run ({', '.join(path.name for path in existing)}): {go_on}"
            " another --trainer.default_root_dir, or start over with --overwrite"
        )
    return existing


def resume_point(checkpoints: Path, given: str | None) -> str | None:
    """The checkpoint that `fit` goes on from; None: it starts anew.

    Args:
        checkpoints: The run's folder of them.
        given: `--ckpt_path`: what `find_weights` finds, "last", or None.

    Raises:
        UserError: There is no such checkpoint.
    """
    if given is None:
        return None
    last = checkpoints / "last.ckpt"
    if given != "last" or last.is_file():
        path = find_weights(last if given == "last" else given, "--ckpt_path", ["last"]).name
        log.info("resuming from %s", path)
        return path
    if is_rank_zero():
        log.warning(
            "STARTING ANEW, from step 0: --ckpt_path last found no checkpoint in %s. If there should be one, stop this"
            " (Ctrl-C) and check --trainer.default_root_dir",
            checkpoints,
        )
    return None


def trained_checkpoint(checkpoints: Path, given: str | None, verb: str) -> str:
    """The checkpoint that a verb other than `fit` uses.

    Args:
        checkpoints: The run's folder of them.
        given: `--ckpt_path`: what `find_weights` finds, "best", "last", or None: the best one, or the last where there
            is no best.
        verb: For the message.

    Raises:
        UserError: There is none.
    """
    names = {None: ("best", "last"), "best": ("best",), "last": ("last",)}.get(given)
    if names is None:
        name = find_weights(str(given), "--ckpt_path", ["best", "last"]).name
        log.info("weights: %s", name)
        return name
    candidates = [checkpoints / f"{name}.ckpt" for name in names]
    for path in candidates:
        if path.is_file():
            log.info("weights: %s", path)
            return str(path)
    raise UserError(
        f"{verb} needs a trained network, there is no {' or '.join(map(str, candidates))}: run fit first,"
        " or give --ckpt_path FILE"
    )
