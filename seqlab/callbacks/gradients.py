"""The gradient by lag and by layer, in TensorBoard: whether it vanishes or explodes as training goes on."""

import dataclasses
import logging
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from seqlab.callbacks.at_test import Observer
from seqlab.callbacks.writer import validation_writer
from seqlab.errors import InputError
from seqlab.inside.draw import draw_norms_by_lag
from seqlab.nn import norms_by_lag
from seqlab.tasks.base import SequenceTask

log = logging.getLogger("seqlab")


class GradientsByLag(Observer):
    r"""Shows :math:`|\partial \ell_t / \partial h_{t-k}|` by the lag k and by layer, in TensorBoard at each validation.

    It is measured by :func:`seqlab.nn.norms_by_lag` on the first rows of the first validation batch, each begun from
    the initial state, in evaluation mode. ``gradient_by_lag`` is a figure of all lags; the scalars
    ``gradient_by_lag/LAYER.PART/LAG`` are those of the lags 1, 2, 4, ... A log line names a task that gives no losses
    by step or row, such as tagging with a CRF.

    Args:
        num_rows: the rows that are read.
        positions: the steps of a row whose losses are differentiated, spread evenly; each takes a backward pass.

    Raises:
        InputError: a number is less than 1.
    """

    def __init__(self, num_rows: int = 16, positions: int = 8) -> None:
        for name, value in (("num_rows", num_rows), ("positions", positions)):
            if value < 1:
                raise InputError(f"callbacks.gradients.{name} is {value}; expected 1 or more")
        self.num_rows, self.positions = num_rows, positions
        self._batch: Any = None
        self._silent = False

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == dataloader_idx == 0 and validation_writer(trainer) is not None:
            self._batch = batch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer, batch = validation_writer(trainer), self._batch
        self._batch = None
        if writer is None or batch is None or self._silent:
            return
        assert isinstance(pl_module, SequenceTask)
        norms = gradients_by_lag(pl_module, batch, self.num_rows, self.positions)
        if norms is None:
            self._silent = True
            log.warning("callbacks.gradients: %s gives no losses by step or row", type(pl_module).__name__)
            return
        for name, values in norms.items():
            for lag in (1 << power for power in range(len(values).bit_length())):
                if lag < len(values) and values[lag].isfinite():
                    writer.add_scalar(f"gradient_by_lag/{name}/{lag}", float(values[lag]), trainer.global_step)
        writer.add_figure("gradient_by_lag", draw_norms_by_lag(norms), trainer.global_step)


def gradients_by_lag(
    task: SequenceTask, batch: Any, num_rows: int = 16, positions: int = 8
) -> dict[str, Tensor] | None:
    """The norms by lag of a task's model on some rows of a batch; None where the task gives no such losses.

    The task is left as it was: weights, gradients, training mode and random state.

    Args:
        task: the task.
        batch: a batch of its data, on its device.
        num_rows: the rows that are read, the first ones.
        positions: as in :func:`seqlab.nn.norms_by_lag`.

    Returns:
        ``(T,)`` by the layer's name in the model and the part of its state, on the CPU.
    """
    was_training = task.model.training
    task.model.eval()

    def losses() -> Tensor:
        terms = task.loss_terms(rows)
        assert terms is not None
        return terms[0]

    try:
        # Lightning validates in inference mode, whose tensors autograd refuses to keep.
        with torch.inference_mode(False):
            rows = _first_rows(batch, num_rows)
            with torch.no_grad():
                terms = task.loss_terms(rows)
            if terms is None:
                return None
            norms = norms_by_lag(task.model, losses, terms[1], positions)
    finally:
        task.model.train(was_training)
    return {name: values.cpu() for name, values in norms.items()}


def _first_rows(batch: Any, count: int) -> Any:
    """A copy of the first rows of a batch."""
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return dataclasses.replace(
        batch, **{name: value[:count].clone() for name, value in values.items() if isinstance(value, Tensor)}
    )
