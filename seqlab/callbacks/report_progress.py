"""Reports progress, batch by batch, to the process that waits for a run."""

from typing import Any, Protocol

import lightning.pytorch as pl


class ProgressSender(Protocol):
    """Receives the reports."""

    def send(self, stage: str, step: int | None = None, steps: int | None = None) -> None:
        """Reports that the run has reached ``step`` of ``steps`` of a stage."""


class ReportProgress(pl.Callback):
    """Reports each batch of training and of evaluation.

    Args:
        progress: receives the reports.
        training: the name of the stage of training.
        evaluation: the name of the stage of validation and test.
    """

    def __init__(self, progress: ProgressSender, training: str, evaluation: str) -> None:
        self._progress = progress
        self._training, self._evaluation = training, evaluation

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        plan = getattr(pl_module, "plan", None)
        self._progress.send(self._training, trainer.global_step, None if plan is None else plan.total_steps)

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        self._progress.send(self._evaluation)

    def on_test_batch_end(self, *_: Any, **__: Any) -> None:
        self._progress.send(self._evaluation)
