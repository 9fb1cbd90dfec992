"""Language modelling by counting: one pass over the text, no gradient."""

from typing import Any, Literal

import torch
from torch import Tensor

from seqlab.data.core.batch import IGNORE_INDEX, Batch
from seqlab.data.language_model.batch import LanguageModelSpec
from seqlab.errors import InputError
from seqlab.nn.models.ngram import KneserNey
from seqlab.tasks.base import OptimizerFactory, Schedule, StepOutput
from seqlab.tasks.language_model import LanguageModelTask
from seqlab.tasks.schedules import Constant


class CountingTask(LanguageModelTask):
    """Fits an n-gram model to the training text in one pass, and evaluates it like any language model.

    A validation first counts the windows so far. Each row of the data is a text of its own, and where rows restart, so
    is each document. With ``data.batch_size=1`` the text is whole. A row predicts its last token but does not read it,
    because that token is the first of the next row. ``trainer.max_steps`` limits the number of windows.

    Args:
        model: the n-gram model.
        spec: the facts about the data.
        optimizer: None, as ``optimizer=none`` gives.
        schedule: a :class:`~seqlab.tasks.schedules.Constant` without warmup, or None.
        metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Raises:
        InputError: there is an optimizer or a schedule, the model is of another kind, or, when training begins, there
            is more than one epoch.
    """

    model: KneserNey

    def __init__(
        self,
        model: KneserNey,
        spec: LanguageModelSpec,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if not isinstance(model, KneserNey):
            raise InputError(f"task=counting fits a model=kneser_ney, not a {type(model).__name__}")
        if optimizer is not None or schedule not in (None, Constant()):
            raise InputError("task=counting takes no gradient steps; set optimizer=none scheduler=constant")
        super().__init__(model, spec, None, schedule, metric=metric, mode=mode)
        self.automatic_optimization = False
        self._windows: list[tuple[Tensor, Tensor, Tensor]] = []  # of each: tokens, their number by row, is_first
        self._num_counted = 0  # of these windows

    def carried(self) -> Any:
        return self._windows

    def carry_on(self, state: Any) -> None:
        self._windows = [tuple(window) for window in state]

    def on_train_start(self) -> None:
        if self.trainer.max_epochs != 1:
            raise InputError(f"trainer.max_epochs={self.trainer.max_epochs}: counting reads the text once; give 1")
        super().on_train_start()

    def training_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        lengths = (batch.targets != IGNORE_INDEX).sum(1)
        self._windows.append((batch.inputs.to("cpu", torch.int32), lengths.cpu(), batch.is_first.cpu()))
        if 0 < self.trainer.max_steps <= len(self._windows):
            self.trainer.should_stop = True
        return {"nll": torch.zeros((), device=self.device), "tokens": lengths.sum()}

    def on_train_epoch_end(self) -> None:
        self._count()

    def on_validation_epoch_start(self) -> None:
        if self.trainer.state.fn == "fit":
            self._count()

    def _count(self) -> None:
        """Fits the model to all windows read so far, row by row."""
        if self._num_counted == len(self._windows):
            return
        self._num_counted = len(self._windows)
        inputs, lengths, is_first = (torch.stack(parts, 1) for parts in zip(*self._windows, strict=True))
        steps = torch.arange(inputs.size(2))
        valid = steps < lengths[..., None]  # (B, windows, T)
        begins = is_first[..., None] & (steps == 0)
        self.model.count(inputs[valid], begins[valid])
