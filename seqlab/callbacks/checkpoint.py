"""Checkpoints from which a killed or stopped run resumes exactly."""

import io
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger

from seqlab.callbacks import loops
from seqlab.errors import InputError
from seqlab.files import replacing, replacing_sealed
from seqlab.run.signals import StopRequest
from seqlab.tasks.base import SequenceTask

_BATCHES_BETWEEN_TALKS: Final = 16  # of several processes, about clocks and requests to stop
_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.nn.Parameter})
_CONTAINERS: Final = frozenset({dict, OrderedDict, list, tuple, set})
_IN_VALIDATION: Final = (
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "on_validation_batch_end",
)
# Lightning's own base class and bars of progress, and what ships here.
_HARMLESS: Final = ("seqlab.", "lightning.pytorch.callbacks.callback", "lightning.pytorch.callbacks.progress")
_EVENTS: Final = "events.out.tfevents.*"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that the file is whole at any moment.

    It writes the checkpoint with its checksum to a file in the same folder, syncs that file and renames it. The
    ``last.ckpt`` before it stays as ``previous.ckpt``. Lightning's writer goes through a temporary folder; across file
    systems its last move is a copy, and a kill leaves half of the file.

    Attributes:
        check_owner: raises if the folder belongs to another run by now, whose checkpoints must not be overwritten.
    """

    def __init__(self) -> None:
        super().__init__()
        self.check_owner: Callable[[], None] = lambda: None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        path = Path(path)
        if (found := _not_plain(checkpoint, "")) is not None:
            place, kind = found[0], type(found[1])
            raise InputError(
                f"{kind.__module__}.{kind.__qualname__} in {place} would not come back from a checkpoint, "
                "of which nothing is executed: keep numbers, texts, tensors, and lists and dicts of them, such as "
                "float(value) or torch.from_numpy(value)"
            )
        self.check_owner()  # before anything is made: a folder that was removed or moved is not made again
        path.parent.mkdir(parents=True, exist_ok=True)
        previous = path.with_name("previous.ckpt") if path.name == "last.ckpt" else None
        with replacing_sealed(path, previous) as file:
            torch.save(checkpoint, file)
            self.check_owner()  # again, for a large file takes its time

    def copy(self, path: Path, copy: Path) -> None:
        """Copies a checkpoint into a file of its own, so that damage to one does not reach the other."""
        with open(path, "rb") as whole, replacing(copy, previous=copy.with_name("previous.ckpt")) as file:
            shutil.copyfileobj(whole, file)
            self.check_owner()


def _not_plain(value: Any, place: str) -> tuple[str, Any] | None:
    """The first value that :func:`torch.load` would refuse with ``weights_only``, and its place in the checkpoint."""
    if type(value) in _PLAIN:
        return None
    if type(value) not in _CONTAINERS:
        return None if _comes_back(value) else (place, value)
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, entry in items:
        below = f"{place}[{key!r}]" if place else str(key)
        if (found := _not_plain(entry, below) or _not_plain(key, below)) is not None:
            return found
    return None


def _comes_back(value: Any) -> bool:
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # whatever a class raises that is not made for it
        return False
    return True


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
        stop: the request to stop that is watched; None: none is.
        goes_on: whether the run continues another one that had ended.

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
        self.goes_on = False
        self.best_score: float | None = None
        self.best_position: int | None = None
        self.saved_position = -1
        self._is_due = False
        self._before_validation: dict[str, Any] = {}  # Lightning's counts
        self._must_finish_validation = False
        self._moment = "batch"  # at which a checkpoint is taken: in a "validation", at an "epoch"'s end, or any other
        self._resumed: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        step = trainer.global_step
        checkpoint["run"] = {
            "best_score": self.best_score,
            "best_position": self.best_position,
            "position": loops.position(trainer),
            # Early stopping's decision, which Lightning forgets; not that of max_steps, which may be raised.
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
        self.saved_position = run["position"]
        self._resumed = checkpoint
        if run["stopped"] and not self.goes_on:
            trainer.should_stop = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()
        self._must_finish_validation = any(map(_takes_part_in_validation, _callbacks(trainer)))
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
            trainer.should_stop = True  # has Lightning validate the last weights, wherever in the epoch they stand
        loop = trainer.fit_loop.epoch_loop
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        if loop._should_check_val_fx(fetcher):
            if isinstance(pl_module, SequenceTask):
                pl_module.keep_generators()
            self._is_due = False  # the validation saves, and stops
            return
        stops, is_time = self._talk(trainer, loop.total_batch_idx)
        at_step = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        self._is_due |= not loop._should_accumulate() and (at_step or is_time)
        if loop._num_ready_batches_reached():
            return
        if stops or (self._is_due and not loop._should_accumulate()):
            self._save(trainer, "last.ckpt")
        if stops:
            self._end()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._resumed is not None and self.goes_on:
            trainer.should_stop = False  # which early stopping decides once more on the validation before
        loop = trainer.fit_loop.epoch_loop
        if not loop._num_ready_batches_reached() or self.saved_position == loops.position(trainer):
            return  # the training ends inside the epoch, or the validation has saved
        stops, is_time = self._talk(trainer, 0)
        if stops or is_time or self._is_due:
            self._save(trainer, "last.ckpt", moment="epoch")
        if stops:
            self._end()

    def _talk(self, trainer: pl.Trainer, batch: int) -> tuple[bool, bool]:
        """Whether the run is asked to stop, and whether it is time for a checkpoint, for all processes alike."""
        stops = self.stop is not None and self.stop.signum is not None
        is_time = self.every_n_minutes is not None and time.monotonic() - self.saved_at >= 60 * self.every_n_minutes
        if trainer.world_size == 1:
            return stops, is_time
        if batch % _BATCHES_BETWEEN_TALKS:  # they must save together, and asking at each batch would cost
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
        """Ends a validation of a run that is asked to stop; not one after the last step, which Lightning would not
        begin again, nor one in which the state is another than before it."""
        if trainer.should_stop or self._must_finish_validation or not self._talk(trainer, batch)[0]:
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
        better = self.best_score is None or (score < self.best_score if self.mode == "min" else score > self.best_score)
        if not better:
            self._save(trainer, "last.ckpt")
        else:
            self.best_score, self.best_position = score, loops.position(trainer)
            # The best one first: a run killed between the two resumes from the older last one, and comes by here again.
            best = self._save(trainer, "best.ckpt")
            if trainer.is_global_zero:
                checkpoint_io = trainer.strategy.checkpoint_io
                assert isinstance(checkpoint_io, AtomicCheckpointIO)
                checkpoint_io.copy(best, best.with_name("last.ckpt"))
        if self._talk(trainer, 0)[0]:
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


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    found: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return found


def _takes_part_in_validation(callback: pl.Callback) -> bool:
    """Whether a callback that is not of seqlab's does anything from a validation's start to its last batch."""
    owners = (next(owner for owner in type(callback).__mro__ if name in vars(owner)) for name in _IN_VALIDATION)
    return any(not owner.__module__.startswith(_HARMLESS) for owner in owners)


def _flushed_events(trainer: pl.Trainer) -> dict[str, int]:
    """The size of each of TensorBoard's files once all that was logged is in them, on the first process."""
    logger = trainer.logger
    if not isinstance(logger, TensorBoardLogger) or not trainer.is_global_zero:
        return {}
    logger.experiment.flush()
    return {path.name: path.stat().st_size for path in Path(logger.log_dir).glob(_EVENTS)}


def rewind_events(folder: Path, sizes: Mapping[str, int]) -> None:
    """Takes from TensorBoard's files what was logged after a checkpoint that knew them in these sizes: the resumed run
    logs it again."""
    for path in folder.glob(_EVENTS):
        if path.name.endswith(".seqlab"):
            continue  # a sweep's row of the HParams tab
        if path.name not in sizes:
            path.unlink()
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])
