"""What callbacks that show a model at work share: where to write, and the model."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from seqlab.nn.models import NextTokenModel


def tensorboard_writer(trainer: pl.Trainer) -> Any | None:
    """TensorBoard's writer at a validation of a training; None elsewhere, without TensorBoard, and on all devices but
    the first."""
    fitting = trainer.state.fn == "fit" and not trainer.sanity_checking and trainer.is_global_zero
    return trainer.logger.experiment if fitting and isinstance(trainer.logger, TensorBoardLogger) else None


def language_model(pl_module: pl.LightningModule) -> NextTokenModel:
    """The task's language model.

    Raises:
        TypeError: where the task has a model of another kind.
    """
    model = pl_module.model
    if not isinstance(model, NextTokenModel):
        raise TypeError(f"expected a task with a NextTokenModel, got a {type(model).__name__}")
    return model
