"""Base classes of callbacks that change nothing of a run."""

from typing import ClassVar

import lightning.pytorch as pl

from seqlab.callbacks.writer import Writer, writer_of
from seqlab.errors import InputError


class Observer(pl.Callback):
    """A callback that changes nothing of what is trained and measured.

    It changes neither weights, nor random numbers, nor the end of training. The observers that ship are listed in
    :data:`seqlab.config.hash.OBSERVERS`. A run is the same run with and without them.

    Attributes:
        tasks: the classes of the tasks that it can observe; empty: any task.
    """

    tasks: ClassVar[tuple[type[pl.LightningModule], ...]] = ()

    @classmethod
    def check_task(cls, task: type[pl.LightningModule], key: str | None = None) -> None:
        """Refuses a task that the callback cannot observe.

        Args:
            task: the class of the task.
            key: the callback's key in the configuration, for the message.

        Raises:
            InputError: ``task`` is none of :attr:`tasks`.
        """
        if cls.tasks and not issubclass(task, cls.tasks):
            known = " or ".join(each.__name__ for each in cls.tasks)
            mend = f"give the callbacks of its preset, or {key}=null" if key else "leave it out"
            start = f"{key}: " if key else ""
            raise InputError(f"{start}{cls.__name__} is for {known}, not for {task.__name__}; {mend}")

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.check_task(type(pl_module))


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
