"""Callbacks that only look at a run, and those that also see the test of the trained model."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger


class Observer(pl.Callback):
    """A callback that changes nothing of what is trained and measured: neither weights, nor random numbers, nor when
    training ends.

    Those that ship stand in :data:`seqlab.config.hash.OBSERVERS`: with or without them a run is the same run.
    """


class AtTest(Observer):
    """A callback that the test of the best checkpoint calls too, once a training is over.

    That test has no logger of its own: what is to be shown goes to the writer of the training.

    Attributes:
        writer: TensorBoard's writer of the training; None without one.
        last_step: the training's last optimizer step.
    """

    writer: Any | None = None
    last_step: int = 0

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.writer = trainer.logger.experiment if isinstance(trainer.logger, TensorBoardLogger) else None
        self.last_step = trainer.global_step
