"""`restore fit | validate | test | predict`: one LightningCLI."""

import argparse
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger

from restore_lightning.callbacks import (
    AtomicCheckpointIO,
    BestCheckpoint,
    BranchTable,
    FactorProgress,
    FirstBatch,
    LastCheckpoint,
    LeakCheck,
    PictureGrid,
    PredictionWriter,
    RemoveEarlierRun,
    ReportPage,
    RunConfig,
    RunFolder,
    ScoreReport,
    Scoring,
)
from restore_lightning.checkpoints import precision_of, read_checkpoint
from restore_lightning.commands.lightning_messages import leave_out_messages
from restore_lightning.commands.parser_messages import one_line, refusal
from restore_lightning.commands.yaml_keys import use_text_keys
from restore_lightning.data.module import RestorationData
from restore_lightning.errors import UserError, shortened_text
from restore_lightning.io.files import check_folder, with_home
from restore_lightning.network_specs import check_arguments, check_serialisable
from restore_lightning.runs.distributed import configure_ddp, of_another_rank, starting_processes
from restore_lightning.runs.folder import (
    CHECKPOINTS,
    cut_short,
    earlier_run,
    resume_point,
    run_folder,
    trained_checkpoint,
)
from restore_lightning.runs.loggers import finish_wandb, recorded_run, run_loggers, wandb_logger
from restore_lightning.runs.memory import is_out_of_memory, too_little_memory
from restore_lightning.runs.precision import check_accelerator, chosen_benchmark, chosen_precision, use_tensor_cores
from restore_lightning.runs.resume import task_settings
from restore_lightning.runs.settings import flatten_config
from restore_lightning.shipped_configs import with_found_configs
from restore_lightning.tasks import RestorationTask
from restore_lightning.weights import find_weights
from restore_lightning.weights.hub import HUB

log = logging.getLogger(__name__)

# The schedule knows no epochs, it counts optimiser steps: their number is all that a resumed run
# needs (Lightning replays the first batches of an epoch otherwise).
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": -1,
    "check_val_every_n_epoch": None,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
    "default_root_dir": "runs/run",
}


class RestoreCLI(LightningCLI):
    """The LightningCLI of this package: any task, one DataModule, the files of a run."""

    verb: ClassVar[str]
    overwrite: ClassVar[bool] = False
    earlier: list[Path]
    first_batch: FirstBatch
    resumed: bool
    """Whether `fit` goes on with the run of its folder."""
    folder: ClassVar = RunFolder()

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """One seed for weights and data."""
        parser.add_argument("--seed_everything", type=int, default=0, help="Seed of weights, schedule and data.")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """`--checkpoint.every_n_train_steps`, and the seed of the data."""
        parser.add_lightning_class_args(LastCheckpoint, "checkpoint")
        # The parser adds `--data.test_sets.NAME.KEY VALUE` to a mapping, but not to null.
        parser.set_defaults({"data.val_sets": {}, "data.test_sets": {}})
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse a checkpoint that cannot be read: Lightning, which reads it next, would not say what to do."""
        super().parse_arguments(parser, args)
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path and Path(path).is_file():
            read_checkpoint(path)

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint that the verb starts from; protect an earlier run."""
        self.earlier = []
        config = self.config[self.subcommand]
        config.trainer.default_root_dir = with_home(config.trainer.default_root_dir)
        network = config.model.init_args.get("network")
        if network is not None:
            check_arguments(network.as_dict())
        if self.subcommand == "fit":
            config.trainer.default_root_dir = run_folder(config.trainer.default_root_dir)
        initial = config.model.init_args.get("init_from")
        if self.subcommand == "fit" and initial is not None and initial.startswith(HUB):
            pinned = find_weights(initial, "model.init_from")
            config.model.init_args.init_from = pinned.name  # with the commit, in config.yaml
        checkpoints = Path(config.trainer.default_root_dir, CHECKPOINTS)
        given = config.get("ckpt_path") and with_home(config["ckpt_path"])
        if self.subcommand == "fit":
            check_folder("trainer.default_root_dir", checkpoints.parent)
            found = resume_point(checkpoints, given)
            config["ckpt_path"] = found
            self.resumed = found is not None and Path(found).resolve().parent == checkpoints.resolve()
            replace = self.overwrite or (given == "last" and cut_short(checkpoints.parent))
            self.earlier = [] if self.resumed else earlier_run(checkpoints.parent, replace)
        else:
            config["ckpt_path"] = trained_checkpoint(checkpoints, given, str(self.subcommand))

    def instantiate_classes(self) -> None:
        """Make task, data and Trainer, and tell them what the config says; what a class refuses is a wrong call."""
        try:
            super().instantiate_classes()
        except (TypeError, ValueError) as error:
            raise UserError(one_line(str(error))) from error
        network = self.config[self.subcommand].model.init_args.get("network")
        self.model.network_spec = network.as_dict() if network is not None else None
        written = yaml.safe_load(self.parser.dump(self.config.clone(), skip_unset=False))
        self.datamodule.settings = flatten_config(written[self.subcommand])
        self.model.settings = task_settings(self.datamodule.settings)
        if self.subcommand == "fit" and self.model.network_spec is not None:
            check_serialisable(self.model.network_spec)

    def before_fit(self) -> None:
        """Read initial weights."""
        if self.config[self.subcommand].ckpt_path is None:
            self.model.load_initial_weights()

    def fit(self, **arguments: Any) -> None:
        """Train."""
        self._run(self.trainer.fit, **arguments)

    def after_fit(self) -> None:
        """Say where everything is."""
        if self.trainer.is_global_zero:
            run, step = self.trainer.default_root_dir, self.trainer.global_step
            if not self.first_batch.stepped:
                print(f"nothing was left to do: step {step} of {self.trainer.max_steps}; raise --trainer.max_steps")
            for callback in self.trainer.early_stopping_callbacks:
                if callback.stopping_reason_message:
                    print(f"stopped early: {callback.stopping_reason_message}", flush=True)
            print(f"run: {run}; next: restore test --config {Path(run, 'config.yaml')}", flush=True)

    def validate(self, **arguments: Any) -> None:
        """Score, with our table instead of Lightning's."""
        self._run(self.trainer.validate, verbose=False, **arguments)

    def test(self, **arguments: Any) -> None:
        """Score, with our table instead of Lightning's."""
        self._run(self.trainer.test, verbose=False, **arguments)

    def predict(self, **arguments: Any) -> None:
        """Write restored images."""
        self._run(self.trainer.predict, **arguments)

    def _run(self, method: Callable[..., Any], **arguments: Any) -> None:
        """Call a method of the Trainer; memory that does not suffice is an error that names what to make smaller.

        Raises:
            UserError: There is not enough memory.
        """
        try:
            self.first_batch.run(method, **arguments)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                told = too_little_memory(self.datamodule, self.model, self.first_batch.failed_in)
                raise UserError(told, exit_code=1) from error
            raise

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The verb, as parsers of all four take longer, and the arguments of its method that are no options."""
        own = {"model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule", "verbose"}
        return {RestoreCLI.verb: own}

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The run's own callbacks, and its loggers unless the config names some or none."""
        trainer = self.config_init[self.subcommand].trainer
        check_accelerator(trainer.accelerator)
        kwargs["precision"] = chosen_precision(trainer, self.model.network, self._trained_precision())
        self.config[self.subcommand].trainer.precision = kwargs["precision"]  # the run's, on any other machine too
        if self.subcommand == "fit":
            kwargs["benchmark"] = chosen_benchmark(trainer)
        use_tensor_cores(trainer)
        scoring = Scoring()
        self.first_batch = FirstBatch()
        RestoreCLI.folder = RunFolder()
        own = [
            self.first_batch,
            RestoreCLI.folder,
            RemoveEarlierRun(self.earlier),
            BestCheckpoint(),
            LeakCheck(),
            BranchTable(),
            PictureGrid(),
            scoring,
            ScoreReport(scoring),
            ReportPage(scoring),
            PredictionWriter(),
        ]
        if trainer.enable_progress_bar is not False:
            own.append(FactorProgress())
        self.trainer_defaults["callbacks"] = own
        if trainer.logger in (None, True):
            kwargs["logger"] = self._loggers(Path(trainer.default_root_dir))
        plugins = trainer.plugins if isinstance(trainer.plugins, list) else [trainer.plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [plugin for plugin in plugins if plugin is not None] + [AtomicCheckpointIO()]
        made = super().instantiate_trainer(**kwargs)
        # Lightning's handlers save and broadcast within the handler, which hangs; `LastCheckpoint` stops the run.
        # Private: in public only those for Slurm can be switched off, not the one for SIGTERM.
        made._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        if self.subcommand == "fit":
            configure_ddp(made, self.model, self.model.idle_branches, trainer.sync_batchnorm)
        return made

    def _trained_precision(self) -> str | None:
        """Of the checkpoint that the verb begins with, if there is one."""
        path = self.config[self.subcommand].get("ckpt_path")
        return None if path is None else precision_of(path)

    def _loggers(self, run: Path) -> list[Logger] | bool:
        """Those of the run; `test` adds to what W&B has of it."""
        if self.subcommand == "fit":
            return run_loggers(run, self.resumed)
        recorded = recorded_run(run) if self.subcommand == "test" else None
        return [wandb_logger(run, recorded)] if recorded else False


def _types_in_order() -> None:
    """Let `--trainer.limit_val_batches 1` mean one batch.

    `typing` caches unions without regard to order, so that Lightning's `Union[int, float]` may
    come out as `Union[float, int]`, and 1 as 1.0, which is 100%.
    """
    annotations = inspect.unwrap(Trainer.__init__).__annotations__
    for split in ("train", "val", "test", "predict"):
        annotations[f"limit_{split}_batches"] = int | float | None


def run(verb: str, words: list[str]) -> int:
    """Run one verb of the Trainer."""
    leave_out_messages()
    _types_in_order()
    use_text_keys()
    RestoreCLI.verb = verb
    RestoreCLI.overwrite = "--overwrite" in words and verb == "fit"
    words = [word for word in words if word != "--overwrite" or verb != "fit"]
    if RestoreCLI.overwrite and any(word.startswith("--ckpt_path") for word in words):
        raise UserError("--overwrite starts over, --ckpt_path goes on: give one of them")
    parser = {"allow_abbrev": False, "exit_on_error": False}
    # Lightning starts the processes of other GPUs with these words.
    argv, sys.argv = sys.argv, [sys.argv[0], verb, *with_found_configs(words)]
    # Networks of the user's own lie beside the configs that name them; last, so that they hide nothing.
    path = sys.path.copy()
    sys.path.append(str(Path.cwd()))
    try:
        with starting_processes():
            RestoreCLI(
                RestorationTask,
                RestorationData,
                save_config_callback=RunConfig,
                save_config_kwargs={"save_to_log_dir": False},
                trainer_defaults=dict(TRAINER_DEFAULTS),
                parser_kwargs=parser | {verb: parser},
                subclass_mode_model=True,
                auto_configure_optimizers=False,
            )
    except argparse.ArgumentError as error:
        config_given = any(word.startswith(("--config", "-c")) for word in words)
        raise UserError(refusal(str(error), verb, config_given)) from error
    except RuntimeError as error:
        if not of_another_rank(error):
            raise
        line = shortened_text(" ".join(str(error).split()), 150)
        raise UserError(f"another process of this run ended, its own line says why ({line})", exit_code=1) from error
    finally:
        sys.argv = argv
        sys.path[:] = path
        finish_wandb()
        RestoreCLI.folder.release()
    return 0
