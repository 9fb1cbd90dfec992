"""Callbacks that show progress in a terminal and in a log file."""

import math
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from seqlab.callbacks import loops
from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.metrics import TrainingMetrics
from seqlab.errors import InputError
from seqlab.tasks.base import SequenceTask


class RichProgress(RichProgressBar):
    """Lightning's Rich bar (epoch, steps, elapsed, time left) with the training loss and the speed.

    Args:
        refresh_rate: the number of batches between two updates of the bar.
    """

    def __init__(self, refresh_rate: int = 10) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainingMetrics) and callback.loss is not None:
                items["loss"] = callback.loss
                items |= callback.speed(pl_module)
        return items


class EpochLines(pl.Callback):
    """Prints a line for each validation: epoch, step, the judged metric, the perplexity and the speed.

    Args:
        metric: the judged metric.
    """

    def __init__(self, metric: str = "val/loss") -> None:
        self.metric = metric

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        parts = [f"epoch {trainer.current_epoch + 1}", f"step {trainer.global_step}"]
        for name in dict.fromkeys([self.metric, "val/perplexity"]):
            if name in metrics:
                parts.append(f"{name} {float(metrics[name]):.4g}")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainingMetrics):
                parts += [f"{speed} {unit}" for unit, speed in callback.speed(pl_module).items()]
        print("  ".join(parts), flush=True)


class ProgressLines(AtTest):
    """Prints a line every few minutes where there is no progress bar.

    During training it shows epoch, step, loss, learning rate and time left; during a long validation or test, the
    batch. The loss is that of the first device since the last logged one. The time left is for the training, from the
    mean time of a step, validations included.

    Args:
        every_n_minutes: minutes between two lines.

    Raises:
        InputError: ``every_n_minutes`` is not above 0.
    """

    def __init__(self, every_n_minutes: float = 1.0) -> None:
        number = isinstance(every_n_minutes, (int, float)) and not isinstance(every_n_minutes, bool)
        if not (number and every_n_minutes > 0):
            raise InputError(
                f"callbacks.progress.every_n_minutes is {every_n_minutes}; expected a positive number, or "
                "callbacks.progress=null for no lines"
            )
        self.seconds = 60.0 * every_n_minutes
        self._start_time = self._printed_at = time.monotonic()
        self._start_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start_time = self._printed_at = time.monotonic()
        self._start_step = _progress(trainer, pl_module)[0]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._is_time(trainer):
            print("  ".join(self._parts(trainer, pl_module)), flush=True)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show_evaluation(trainer, "validation", batch_idx, trainer.num_val_batches)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show_evaluation(trainer, "test", batch_idx, trainer.num_test_batches)

    def _is_time(self, trainer: pl.Trainer) -> bool:
        now = time.monotonic()
        if now - self._printed_at < self.seconds:
            return False
        self._printed_at = now
        return trainer.is_global_zero and trainer.progress_bar_callback is None

    def _show_evaluation(self, trainer: pl.Trainer, split: str, batch: int, batches: list[int | float]) -> None:
        if self._is_time(trainer):
            print(f"{split}  batch {batch + 1:,} of {sum(batches):,}", flush=True)

    def _parts(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> list[str]:
        step, total = _progress(trainer, pl_module)
        plan = getattr(pl_module, "plan", None)
        # These can be fewer than max_epochs, because max_steps may end the run.
        epochs = math.ceil(total / plan.steps_per_epoch) if plan else max(trainer.max_epochs or 0, 0)
        parts = [
            f"epoch {trainer.current_epoch + 1}" + (f" of {epochs}" if epochs else ""),
            f"step {step:,} of {total:,}",
        ]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainingMetrics):
                if (loss := callback.running_loss()) is not None:
                    parts.append(f"loss {loss:.4g}")
                if trainer.optimizers and math.isfinite(callback.rate):  # NaN before the first step
                    parts.append(f"rate {callback.rate:.4g}")
        if step > self._start_step:
            seconds = (time.monotonic() - self._start_time) / (step - self._start_step)
            parts.append(f"{duration(seconds * (total - step))} left")
        return parts


def _progress(trainer: pl.Trainer, pl_module: pl.LightningModule) -> tuple[int, int]:
    """The number of steps so far and in all; of windows in a task without gradient steps."""
    step = trainer.global_step if pl_module.automatic_optimization else loops.position(trainer)
    plan = pl_module.plan if isinstance(pl_module, SequenceTask) else None
    return step, plan.total_steps if plan else int(trainer.estimated_stepping_batches)


def duration(seconds: float) -> str:
    """Writes a time to wait, in about two digits.

    Example:
        >>> duration(42), duration(600), duration(7000), duration(200_000)
        ('42 s', '10 min', '1 h 57 min', '55 h')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{max(0, round(seconds))} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 10 else f"{hours} h"
