"""Moments of a training from which Lightning resumes exactly, and how to give a checkpoint the counts of one of them.

Lightning knows from the counts of its loops where a checkpoint was taken. It resumes exactly from four moments: the end
of a batch inside an epoch with no validation due, a validation before its first batch, the end of a validation, and the
start of an epoch. From the last batch of an epoch, it would skip the validation or miscount the epochs. Inside a
validation, it would continue with the remaining batches. Some counts are wrong even so; the functions here correct
them.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

import lightning.pytorch as pl
import torch

_EPOCH: Final = "epoch_progress"
_BATCH: Final = "epoch_loop.batch_progress"
_VALIDATION: Final = "epoch_loop.val_loop.batch_progress"
_SCHEDULER: Final = "epoch_loop.scheduler_progress"
_OPTIMIZER: Final = "epoch_loop.automatic_optimization.optim_progress"


def position(trainer: pl.Trainer) -> int:
    """The number of windows or batches that a run has trained on."""
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.ready)


def validation_counts(trainer: pl.Trainer) -> dict[str, Any]:
    """The counts of the validation loop, for :func:`repeat_validation`."""
    return copy.deepcopy(trainer.fit_loop.epoch_loop.val_loop.batch_progress.state_dict())


def repeat_validation(checkpoint: dict[str, Any], before: dict[str, Any]) -> None:
    """Makes a checkpoint inside a validation resume with the whole validation.

    Args:
        checkpoint: the checkpoint; its counts are changed.
        before: the counts of the validation loop when the validation began.
    """
    begun = copy.deepcopy(before)
    for count in (begun["total"], begun["current"]):  # a batch was begun and not completed
        count["ready"] += 1
        count["started"] += 1
    checkpoint["loops"]["fit_loop"][_VALIDATION] = begun


def correct_validation(trainer: pl.Trainer, before: dict[str, Any]) -> None:
    """Restores the counts that the validation began with, when the training of a resumed run starts."""
    trainer.fit_loop.epoch_loop.val_loop.batch_progress.load_state_dict(before)


def begin_next_epoch(checkpoint: dict[str, Any]) -> None:
    """Makes a checkpoint at the end of an epoch resume with the next epoch."""
    loops = checkpoint["loops"]["fit_loop"]
    for count in loops[_EPOCH].values():
        count["ready"] += 1
        count["completed"] = count["processed"]
    optimizer = loops[_OPTIMIZER]["optimizer"]
    for progress in (loops[_BATCH], loops[_SCHEDULER], optimizer["step"], optimizer["zero_grad"]):
        progress["current"] = dict.fromkeys(progress["current"], 0)
    loops[_BATCH]["is_last_batch"] = False
    loops[_VALIDATION]["total"] = dict.fromkeys(loops[_VALIDATION]["total"], 0)


def correct_epoch(trainer: pl.Trainer) -> None:
    """Restores the count of epochs of an undisturbed run, when an epoch of a resumed run starts."""
    current = trainer.fit_loop.epoch_progress.current
    current.ready = current.completed + 1


def correct_batches(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Restores the count of batches for loggers, when the first batch of a resumed run starts."""
    saved = checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"]
    trainer.fit_loop.epoch_loop._batches_that_stepped = saved


def restore_metrics(trainer: pl.Trainer, metrics: Mapping[str, torch.Tensor]) -> None:
    """Restores the logged metrics, when the training of a resumed run starts.

    A checkpoint at the end of a validation resumes with the end of the epoch, where callbacks read these metrics.
    """
    trainer._logger_connector._callback_metrics.update(metrics)
