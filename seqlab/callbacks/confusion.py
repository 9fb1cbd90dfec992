"""Which class or tag is taken for which."""

from typing import Any

import lightning.pytorch as pl
import torch

from seqlab.callbacks.at_test import AtTest
from seqlab.tasks.classification import ClassificationTask
from seqlab.tasks.tagging import TaggingTask


class ConfusionMatrix(AtTest):
    """Draws the test's confusion matrix into TensorBoard, ``test/confusion``: a row for each true class or tag.

    The colour is the share of its row; the counts stand in the fields where there are at most 20 classes or tags.
    """

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not isinstance(pl_module, (ClassificationTask, TaggingTask)):
            came = type(pl_module).__name__
            raise TypeError(f"expected ClassificationTask or TaggingTask, got {came}; give callbacks=default")
        names = pl_module.tags if isinstance(pl_module, TaggingTask) else pl_module.labels
        if self.writer is not None:
            self.writer.add_figure("test/confusion", draw(pl_module.confusion["test"], names), self.last_step)


def draw(confusion: torch.Tensor, labels: tuple[str, ...]) -> Any:
    """A figure of the counts ``(true, predicted)``."""
    from matplotlib.figure import Figure

    size = 2.5 + 0.6 * min(len(labels), 30)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(labels) <= 20:
        for row, column in torch.cartesian_prod(torch.arange(len(labels)), torch.arange(len(labels))).tolist():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(int(confusion[row, column])), ha="center", va="center", color=color)
    return figure
