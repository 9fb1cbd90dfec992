"""Pauses a run at a rung, where its sweep compares it with others."""

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from torch.optim.lr_scheduler import LambdaLR

from seqlab.callbacks.checkpoint import RunCheckpoint
from seqlab.run.rungs import Paused, late, unsteady
from seqlab.tasks.base import SequenceTask


class PauseAtRung(pl.Callback):
    """Ends a training at the first validation at or after a share of its steps, once the checkpoint is written.

    The training up to there is that of a run that is not paused, and the run continues from there to the same end. A
    training that ends earlier, as by early stopping, is paused at its end.

    The rate must be constant up to there: runs in the middle of a decay are no guide to how they end (Li et al. 2020;
    Hägele et al. 2024).

    Args:
        share: the share of the steps, above 0 and below 1.

    Raises:
        Paused: the rung is reached.
        InputError: the rate is not constant up to the rung. Of schedules that ship, this is known when training
            begins, or at a first validation that comes too late; of others, at the rung.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step = math.ceil(self.share * _total_steps(pl_module))
        if not self._is_constant(trainer, pl_module, step):
            raise unsteady(f"at step {step}", self.share, warms_up=_warms_up(trainer, step))
        # A run that was interrupted at the very validation, or went on by itself, has come to the rung already.
        self._pause_if_reached(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._pause_if_reached(trainer, pl_module)

    def _pause_if_reached(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        validation = _checkpoint(trainer).last_validation
        if validation is not None and validation[0] >= self.share * _total_steps(pl_module):
            if not self._is_constant(trainer, pl_module, validation[0]):
                raise late(validation[0], self.share)
            self._check_present_rate(trainer, validation[0])
            self.pause(trainer, pl_module)

    def pause(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends the training here.

        Raises:
            Paused: always.
        """
        step, value = _checkpoint(trainer).last_validation or (trainer.global_step, math.nan)
        raise Paused({"share": self.share, "step": step, "steps": _total_steps(pl_module), "value": value})

    def _is_constant(self, trainer: pl.Trainer, pl_module: pl.LightningModule, step: int) -> bool:
        """Whether the step before ``step`` is taken at the optimizer's own rate, as far as the schedule tells."""
        return getattr(pl_module, "plateau", None) is None and all(
            factor(step - 1) == 1 for factor in _factors(trainer)
        )

    def _check_present_rate(self, trainer: pl.Trainer, step: int) -> None:
        """Checks that schedules which only the training itself shows have left the rate as it was.

        Raises:
            InputError: one has changed it.
        """
        schedules = [
            each.scheduler for each in trainer.lr_scheduler_configs if not isinstance(each.scheduler, LambdaLR)
        ]
        groups = [group for schedule in schedules for group in schedule.optimizer.param_groups]
        if any(group["lr"] != group.get("initial_lr", group["lr"]) for group in groups):
            raise unsteady(f"at step {step}", self.share)


def _factors(trainer: pl.Trainer) -> list[Callable[[int], float]]:
    """What the schedules multiply the optimizer's rate by, at each step."""
    schedules = [each.scheduler for each in trainer.lr_scheduler_configs]
    return [factor for each in schedules if isinstance(each, LambdaLR) for factor in each.lr_lambdas]


def _warms_up(trainer: pl.Trainer, step: int) -> bool:
    """Whether a schedule has not come to the optimizer's own rate before ``step``."""
    return any(all(factor(number) < 1 for number in range(step)) for factor in _factors(trainer))


def _checkpoint(trainer: pl.Trainer) -> RunCheckpoint:
    """The callback that has saved the last validation."""
    return next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, RunCheckpoint))


def _total_steps(pl_module: Any) -> int:
    assert isinstance(pl_module, SequenceTask) and pl_module.plan is not None
    return pl_module.plan.total_steps
