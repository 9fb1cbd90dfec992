"""Pauses a run at a rung, where its sweep compares it with others."""

import math
from typing import Any

import lightning.pytorch as pl

from seqlab.callbacks.checkpoint import RunCheckpoint
from seqlab.run.rungs import Paused, late, unsteady
from seqlab.tasks.base import SequenceTask
from seqlab.tasks.schedules import first_change, is_full_rate, rate_factors


class PauseAtRung(pl.Callback):
    """Ends a training at the first validation at or after a share of its steps, once the checkpoint is written.

    The training up to there is that of a run that is not paused, and the run continues from there to the same end. A
    training that ends earlier, as by early stopping, is paused at its end.

    From the end of its warm-up, the rate must be constant up to the last rung: runs in the middle of a decay are no
    guide to how they end (Li et al. 2020; Hägele et al. 2024).

    Args:
        share: the share of the steps, above 0 and below 1.
        last_share: that of the last rung; None: this is the last.

    Raises:
        Paused: the rung is reached.
        InputError: the warm-up is not over at the rung, or the rate is not constant from there to the last rung. This
            is known when training begins, or at a first validation that comes too late; of a schedule that watches the
            training, at the rung.
    """

    def __init__(self, share: float, last_share: float | None = None) -> None:
        self.share = share
        self.last_share = share if last_share is None else last_share

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = _total_steps(pl_module)
        here, last = math.ceil(self.share * total), math.ceil(self.last_share * total)
        factors = _rate_factors(trainer, pl_module, last)
        changed = min((step for each in factors if (step := first_change(each)) is not None), default=None)
        if changed is not None or getattr(pl_module, "plateau", None) is not None:
            place = here if changed is None or changed < here else last
            raise unsteady(f"at step {place}", self.last_share, changed=changed)
        if not all(is_full_rate(each[here - 1]) for each in factors):
            raise unsteady(f"at step {here}", self.last_share, warms_up=True)
        # A run that was interrupted at the very validation, or went on by itself, has come to the rung already.
        self._pause_if_reached(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._pause_if_reached(trainer, pl_module)

    def _pause_if_reached(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        validation = _checkpoint(trainer).last_validation
        if validation is not None and validation[0] >= self.share * _total_steps(pl_module):
            if any(first_change(each) is not None for each in _rate_factors(trainer, pl_module, validation[0])):
                raise late(validation[0], self.share)
            self._check_present_rates(trainer, pl_module, validation[0])
            self.pause(trainer, pl_module)

    def pause(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends the training here.

        Raises:
            Paused: always.
        """
        step, value = _checkpoint(trainer).last_validation or (trainer.global_step, math.nan)
        raise Paused({"share": self.share, "step": step, "steps": _total_steps(pl_module), "value": value})

    def _check_present_rates(self, trainer: pl.Trainer, pl_module: pl.LightningModule, step: int) -> None:
        """Checks that the rates are those that the schedule tells: one that watches the training may have changed them.

        Raises:
            InputError: they are not.
        """
        expected = [each[-1] for each in _rate_factors(trainer, pl_module, trainer.global_step + 1)]
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        for number, group in enumerate(groups):
            own, factor = group.get("initial_lr", group["lr"]), expected[number] if number < len(expected) else 1.0
            if not math.isclose(group["lr"], own * factor, rel_tol=1e-6):
                raise unsteady(f"at step {step}", self.last_share)


def _rate_factors(trainer: pl.Trainer, pl_module: pl.LightningModule, steps: int) -> list[tuple[float, ...]]:
    """For each group of parameters, what its rate is multiplied by at the first steps."""
    assert isinstance(pl_module, SequenceTask) and pl_module.plan is not None
    if not trainer.lr_scheduler_configs:
        return []
    by_step = rate_factors(pl_module.schedule, trainer.optimizers[0], pl_module.plan, steps)
    return list(zip(*by_step, strict=True))


def _checkpoint(trainer: pl.Trainer) -> RunCheckpoint:
    """The callback that has saved the last validation."""
    return next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, RunCheckpoint))


def _total_steps(pl_module: Any) -> int:
    assert isinstance(pl_module, SequenceTask) and pl_module.plan is not None
    return pl_module.plan.total_steps
