"""Checkpoints from which a killed or stopped run resumes exactly."""

import csv
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from seqlab.callbacks import loops
from seqlab.callbacks.checkpoint_io import AtomicCheckpointIO
from seqlab.errors import InputError
from seqlab.run.signals import StopRequest
from seqlab.tasks.base import SequenceTask

_BATCHES_BETWEEN_AGREEMENTS: Final = 16  # after which several processes agree on whether to save and stop
_IN_VALIDATION: Final = (
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "on_validation_batch_end",
)
# Modules whose callbacks leave a validation as it is: ours, Lightning's base class and its progress bars.
_HARMLESS: Final = ("seqlab.", "lightning.pytorch.callbacks.callback", "lightning.pytorch.callbacks.progress")
_EVENTS: Final = "events.out.tfevents.*"  # TensorBoard's files
TABLE_NAME: Final = "metrics.csv"
"""The file of Lightning's CSVLogger in a run's folder."""


class RunCheckpoint(Checkpoint):
    """Keeps the best checkpoint, the last one and the one before it, in the folder ``checkpoints`` of a run.

    ``best.ckpt`` is the best by the judged metric, ``last.ckpt`` the one to resume from, ``previous.ckpt`` the one
    before. A checkpoint is taken at the end of each validation. With ``every_n_steps`` or ``every_n_minutes``, others
    are taken between validations, at optimizer steps. The moment of a checkpoint does not change the training: inside
    an accumulation it holds the gradients so far.

    A run that is asked to stop saves after the current window, then raises :class:`~seqlab.run.signals.Stopped`. Inside
    a validation it saves the state before it, and the resumed run repeats the validation. If another callback takes
    part in validations, the run finishes the validation first, because that callback may have changed weights or
    counted batches.

    :mod:`seqlab.callbacks.loops` says from which moments Lightning resumes exactly.

    Args:
        every_n_steps: optimizer steps between checkpoints of the running state; None: no such checkpoints.
        every_n_minutes: minutes from any checkpoint to the next of the running state; None: no such checkpoints.
        metric: the logged metric that decides which checkpoint is best.
        mode: ``min`` where a lower ``metric`` is better, ``max`` where a higher one is.

    Attributes:
        stop: the request to stop that is watched; None: no request can come.
        begins_at_parent: whether training begins with the checkpoint of another run, which had ended.
        best_score: the best value of ``metric`` so far; None before the first validation.
        best_position: the number of batches trained on when it was measured.
        last_validation: the optimizer step of the last validation, and ``metric`` there; None before the first.
        saved_position: the number of batches trained on at the last checkpoint; -1 before the first.
        saved_at: the clock of :func:`time.monotonic` at the last checkpoint, in seconds.

    Raises:
        InputError: ``every_n_steps`` or ``every_n_minutes`` is not a positive number.
    """

    def __init__(
        self,
        every_n_steps: int | None = None,
        metric: str = "val/loss",
        mode: str = "min",
        every_n_minutes: float | None = None,
    ) -> None:
        super().__init__()
        for name, value, kinds in (("steps", every_n_steps, int), ("minutes", every_n_minutes, (int, float))):
            number = isinstance(value, kinds) and not isinstance(value, bool)
            if value is not None and not (number and value > 0):
                raise InputError(f"callbacks.checkpoint.every_n_{name} is {value}; expected a positive number or null")
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self.saved_at = time.monotonic()
        self.metric = metric
        self.mode = mode
        self.stop: StopRequest | None = None
        self.begins_at_parent = False
        self.best_score: float | None = None
        self.best_position: int | None = None
        self.last_validation: tuple[int, float] | None = None
        self.saved_position = -1
        self._is_due = False  # whether a checkpoint waits for the next optimizer step
        self._before_validation: dict[str, Any] = {}  # Lightning's counts when the validation began
        self._must_finish_validation = False
        self._moment = "batch"  # of the checkpoint being taken: in a "validation", at the end of an "epoch", or other
        self._resumed: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        step = trainer.global_step
        checkpoint["run"] = {
            "best_score": self.best_score,
            "best_position": self.best_position,
            "last_validation": self.last_validation,
            "position": loops.position(trainer),
            # The decision of early stopping, which Lightning does not save. That of max_steps may change by a resume.
            "stopped": trainer.should_stop and not 0 < trainer.max_steps <= step,
            "moment": self._moment,
            "metrics": {name: value.detach().cpu() for name, value in trainer.callback_metrics.items()},
            "before_validation": self._before_validation,
        }
        checkpoint["events"] = _flushed_events(trainer)
        if self._moment == "validation":
            loops.repeat_validation(checkpoint, self._before_validation)
        elif self._moment == "epoch":
            loops.begin_next_epoch(checkpoint)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        run = checkpoint["run"]
        if "metrics" not in run:
            raise InputError(
                "checkpoint: expected the run's metrics in it, which this one, of an earlier version of seqlab, lacks; "
                "it cannot be resumed: begin the run again in another folder"
            )
        self.best_score, self.best_position = run["best_score"], run["best_position"]
        self.last_validation = run.get("last_validation")
        self.saved_position = run["position"]
        self._resumed = checkpoint
        if run["stopped"] and not self.begins_at_parent:
            trainer.should_stop = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()
        self._must_finish_validation = any(
            map(_takes_part_in_validation, trainer.callbacks)  # type: ignore[attr-defined]
        )
        if self._resumed is not None:
            loops.restore_metrics(trainer, self._resumed["run"]["metrics"])
        if self._resumed_at("validation"):
            assert self._resumed is not None
            loops.correct_validation(trainer, self._resumed["run"]["before_validation"])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._resumed_at("epoch"):
            loops.correct_epoch(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._resumed_at("epoch"):
            assert self._resumed is not None
            loops.correct_batches(trainer, self._resumed)
        self._resumed = None

    def _resumed_at(self, moment: str) -> bool:
        return self._resumed is not None and self._resumed["run"]["moment"] == moment

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # so Lightning validates the last weights, even inside an epoch
        loop = trainer.fit_loop.epoch_loop
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        if loop._should_check_val_fx(fetcher):
            if isinstance(pl_module, SequenceTask):
                pl_module.keep_generators()
            self._is_due = False  # the end of the validation saves, and stops the run
            return
        stops, is_time = self._agree(trainer, loop.total_batch_idx)
        at_step = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        self._is_due |= not loop._should_accumulate() and (at_step or is_time)
        if loop._num_ready_batches_reached():
            return
        if stops or (self._is_due and not loop._should_accumulate()):
            self._save(trainer, "last.ckpt")
        if stops:
            self._end()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._resumed is not None and self.begins_at_parent:
            trainer.should_stop = False  # early stopping decides again, on the validation before the resume
        loop = trainer.fit_loop.epoch_loop
        if not loop._num_ready_batches_reached() or self.saved_position == loops.position(trainer):
            return  # the training ends inside the epoch, or the validation has saved
        stops, is_time = self._agree(trainer, 0)
        if stops or is_time or self._is_due:
            self._save(trainer, "last.ckpt", moment="epoch")
        if stops:
            self._end()

    def _agree(self, trainer: pl.Trainer, batch: int) -> tuple[bool, bool]:
        """Whether the run is asked to stop and whether a checkpoint is due by the clock, the same on all processes."""
        stops = self.stop is not None and self.stop.signum is not None
        is_time = self.every_n_minutes is not None and time.monotonic() - self.saved_at >= 60 * self.every_n_minutes
        if trainer.world_size == 1:
            return stops, is_time
        if batch % _BATCHES_BETWEEN_AGREEMENTS:  # communication at each batch would cost time
            return False, False
        strategy = trainer.strategy
        return strategy.reduce_boolean_decision(stops, all=False), bool(strategy.broadcast(is_time))

    def _end(self) -> None:
        assert self.stop is not None
        raise self.stop.exception()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._before_validation = loops.validation_counts(trainer)
            self._stop_validation(trainer, 0)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.state.fn == "fit":
            self._stop_validation(trainer, batch_idx)

    def _stop_validation(self, trainer: pl.Trainer, batch: int) -> None:
        """Ends the validation of a run that is asked to stop.

        Two validations go on: one after the last step, which Lightning would not repeat, and one in which another
        callback may have changed the state.
        """
        if trainer.should_stop or self._must_finish_validation or not self._agree(trainer, batch)[0]:
            return
        self._save(trainer, "last.ckpt", moment="validation")
        self._end()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if isinstance(pl_module, SequenceTask):
            pl_module.forget_generators()
        if self.metric not in trainer.callback_metrics:
            logged = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"optimize.metric={self.metric} is not logged by validation; it logs {logged}")
        score = float(trainer.callback_metrics[self.metric])
        self.last_validation = trainer.global_step, score
        better = self.best_score is None or (score < self.best_score if self.mode == "min" else score > self.best_score)
        if not better:
            self._save(trainer, "last.ckpt")
        else:
            self.best_score, self.best_position = score, loops.position(trainer)
            # The best one first: a run killed between the two resumes from the older last one and repeats this step.
            best = self._save(trainer, "best.ckpt")
            if trainer.is_global_zero:
                checkpoint_io = trainer.strategy.checkpoint_io
                assert isinstance(checkpoint_io, AtomicCheckpointIO)
                checkpoint_io.copy(best, best.with_name("last.ckpt"))
        if self._agree(trainer, 0)[0]:
            self._end()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.saved_position != loops.position(trainer):
            self._save(trainer, "last.ckpt")

    def _save(self, trainer: pl.Trainer, name: str, moment: str = "batch") -> Path:
        path = Path(trainer.default_root_dir) / "checkpoints" / name
        self.saved_position, self._is_due = loops.position(trainer), False
        self._moment = moment
        trainer.save_checkpoint(path)
        self._moment = "batch"
        self.saved_at = time.monotonic()
        return path


def _takes_part_in_validation(callback: pl.Callback) -> bool:
    """Whether a foreign callback has a hook between the start of a validation and the end of its last batch."""
    owners = (next(owner for owner in type(callback).__mro__ if name in vars(owner)) for name in _IN_VALIDATION)
    return any(not owner.__module__.startswith(_HARMLESS) for owner in owners)


def _flushed_events(trainer: pl.Trainer) -> dict[str, int]:
    """Writes all that was logged to TensorBoard's files, and returns each file's size in bytes.

    Of a CSVLogger's table it returns the number of rows. Empty with other loggers, and on all processes but the first.
    """
    logger = trainer.logger
    if isinstance(logger, CSVLogger) and trainer.is_global_zero:
        logger.save()
        return {TABLE_NAME: len(read_table(Path(logger.log_dir) / TABLE_NAME))}
    if not isinstance(logger, TensorBoardLogger) or not trainer.is_global_zero:
        return {}
    logger.experiment.flush()
    return {path.name: path.stat().st_size for path in Path(logger.log_dir).glob(_EVENTS)}


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSVLogger's table, without empty fields; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def rewind_events(folder: Path, sizes: Mapping[str, int]) -> None:
    """Removes from TensorBoard's files what was logged after a checkpoint, because the resumed run logs it again.

    Args:
        folder: the folder of the files.
        sizes: the size in bytes of each file at the checkpoint; other files are deleted.
    """
    for path in folder.glob(_EVENTS):
        if path.name.endswith(".seqlab"):
            continue  # a sweep's row of the HParams tab
        if path.name not in sizes:
            path.unlink()
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])
