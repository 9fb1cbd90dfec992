"""Points in a training that Lightning resumes from rightly, and how a checkpoint is made one of them.

Lightning reads off the counts of its loops where a checkpoint was taken. It gets four points right: a batch's end where
no validation is due and the epoch goes on, a validation before its first batch, a validation's end, and an epoch's
begin. Of a checkpoint at an epoch's last batch it would leave out the validation, or miscount the epochs; in a
validation it would go on with the batches that are left. It miscounts a little even so, which is put right here.
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
    """The windows or batches that a run has trained on."""
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.ready)


def validation_counts(trainer: pl.Trainer) -> dict[str, Any]:
    """The counts of the validation in a training, for :func:`repeat_validation`."""
    return copy.deepcopy(trainer.fit_loop.epoch_loop.val_loop.batch_progress.state_dict())


def repeat_validation(checkpoint: dict[str, Any], before: dict[str, Any]) -> None:
    """Has a checkpoint that is taken in a validation resume with the whole of it; ``before`` are its counts as it
    began."""
    begun = copy.deepcopy(before)
    for count in (begun["total"], begun["current"]):  # one batch was begun and not ended
        count["ready"] += 1
        count["started"] += 1
    checkpoint["loops"]["fit_loop"][_VALIDATION] = begun


def correct_validation(trainer: pl.Trainer, before: dict[str, Any]) -> None:
    """Gives a resumed run, once its training starts, the counts that the validation had as it first began."""
    trainer.fit_loop.epoch_loop.val_loop.batch_progress.load_state_dict(before)


def begin_next_epoch(checkpoint: dict[str, Any]) -> None:
    """Has a checkpoint that is taken at an epoch's end resume with the next epoch."""
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
    """Gives a resumed run, as the epoch starts, the epochs that an undisturbed one counts."""
    current = trainer.fit_loop.epoch_progress.current
    current.ready = current.completed + 1


def correct_batches(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Gives a resumed run, as its first batch starts, the batches that an undisturbed one counts for its loggers."""
    saved = checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"]
    trainer.fit_loop.epoch_loop._batches_that_stepped = saved


def restore_metrics(trainer: pl.Trainer, metrics: Mapping[str, torch.Tensor]) -> None:
    """Gives a resumed run, once its training starts, what was logged for callbacks: a checkpoint at a validation's end
    resumes with the end of the epoch, where they look at it."""
    trainer._logger_connector._callback_metrics.update(metrics)
