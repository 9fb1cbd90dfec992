"""Checkpoints that a killed run resumes from exactly."""

import shutil
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from seqlab.errors import InputError
from seqlab.files import replacing

_STEPS_BETWEEN_CLOCKS = 16


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its target, syncs it and renames it, so that the target is always a whole file.

    Lightning's own writer goes through a temporary folder; across file systems the last move is a copy, and a kill
    leaves half of it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save(checkpoint, file)


class RunCheckpoint(Checkpoint):
    """Keeps ``checkpoints/best.ckpt``, by the judged metric, and ``checkpoints/last.ckpt``, to resume from.

    A checkpoint is taken at the end of each validation and, with ``every_n_steps`` or ``every_n_minutes``, between
    them: at optimizer steps alone, since accumulated gradients are in no checkpoint, and never at a step where
    validation is due, since Lightning would skip that validation in the resumed run. When one is taken changes nothing
    of what is trained.

    Args:
        every_n_steps: optimizer steps between checkpoints of the running state; None: as the others say.
        every_n_minutes: minutes after any checkpoint until the next of the running state; None: as the others say.
        metric: the logged metric that decides which checkpoint is best.
        mode: ``min`` where a lower ``metric`` is better, ``max`` where a higher one is.
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
        self.best_score: float | None = None
        self.saved_step = -1

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if 0 < trainer.max_steps <= step:
            trainer.should_stop = True  # has Lightning validate the last weights, wherever in the epoch they stand
        loop = trainer.fit_loop.epoch_loop
        if step == self.saved_step or loop._should_accumulate() or not self._is_due(trainer):
            return
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        if not loop._should_check_val_fx(fetcher):
            self._save(trainer, "last.ckpt")

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0:
            return True
        if self.every_n_minutes is None:
            return False
        is_time = time.monotonic() - self.saved_at >= 60 * self.every_n_minutes
        if trainer.world_size == 1:
            return is_time
        # All processes must save together, and clocks differ; asking the first one at each step would cost.
        return trainer.global_step % _STEPS_BETWEEN_CLOCKS == 0 and bool(trainer.strategy.broadcast(is_time))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self.metric not in trainer.callback_metrics:
            logged = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"optimize.metric={self.metric} is not logged by validation; it logs {logged}")
        score = float(trainer.callback_metrics[self.metric])
        better = self.best_score is None or (score < self.best_score if self.mode == "min" else score > self.best_score)
        if not better:
            self._save(trainer, "last.ckpt")
            return
        self.best_score = score
        # The best one first: a run killed between the two resumes from the older last one, and comes by here again.
        best = self._save(trainer, "best.ckpt")
        if trainer.is_global_zero:
            _copy_atomically(best, best.with_name("last.ckpt"))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.saved_step != trainer.global_step:
            self._save(trainer, "last.ckpt")

    def _save(self, trainer: pl.Trainer, name: str) -> Path:
        path = Path(trainer.default_root_dir) / "checkpoints" / name
        self.saved_step = trainer.global_step
        trainer.save_checkpoint(path)
        self.saved_at = time.monotonic()
        return path


def _copy_atomically(source: Path, target: Path) -> None:
    with open(source, "rb") as whole, replacing(target) as copy:
        shutil.copyfileobj(whole, copy)
