"""Base classes of callbacks that change nothing of a run."""

import lightning.pytorch as pl

from seqlab.callbacks.writer import Writer, writer_of


class Observer(pl.Callback):
    """A callback that changes nothing of what is trained and measured.

    It changes neither weights, nor random numbers, nor the end of training. The observers that ship are listed in
    :data:`seqlab.config.hash.OBSERVERS`. A run is the same run with and without them.
    """


class AtTest(Observer):
    """An observer that also sees the test of the best checkpoint, after training.

    That test has no logger, so the observer writes to the training's.

    Attributes:
        writer: the writer to the training's logger; None if that takes no texts and figures.
        last_step: the number of optimizer steps of the training.
    """

    writer: Writer | None = None
    last_step: int = 0

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.writer = writer_of(trainer)
        self.last_step = trainer.global_step
