"""What a classifier answers, shown: its confusion matrix and the answers to single texts."""

from typing import Any

import lightning.pytorch as pl
import torch

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import tensorboard_writer
from seqlab.data.classification import ClassificationData
from seqlab.errors import InputError
from seqlab.tasks.classification import ClassificationTask, probabilities


class ConfusionMatrix(AtTest):
    """Draws the test's confusion matrix into TensorBoard, ``test/confusion``: a row for each true class.

    The colour is the share of its row; the counts stand in the fields where there are at most 20 classes.
    """

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        task = _classification(pl_module)
        if self.writer is not None:
            self.writer.add_figure("test/confusion", draw(task.confusion["test"], task.labels), self.last_step)


class SamplePredictions(AtTest):
    """The probabilities of the first ``num_examples`` texts of a split, as the model reads them.

    Those of validation go to TensorBoard at each validation, as a table; those of the test are printed at the end,
    where ``print_test`` is true. Nothing is drawn at random.
    """

    def __init__(self, num_examples: int = 8, print_test: bool = False) -> None:
        if num_examples < 1:
            raise InputError(f"callbacks.predictions.num_examples is {num_examples}; expected 1 or more")
        self.num_examples = num_examples
        self.print_test = print_test

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        task = _classification(pl_module)
        head = ["text", "true", *task.labels[:10]]
        rows = [" | ".join(head), " | ".join(["---"] * len(head))]
        for text, label, found in self._answers(trainer, task, "validation"):
            rows.append(" | ".join([text.replace("|", "\\|"), label, *(f"{value:.3f}" for value in found[:10])]))
        writer.add_text("predictions", "\n".join(f"| {row} |" for row in rows), trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.print_test:
            return
        task = _classification(pl_module)
        for text, label, found in self._answers(trainer, task, "test"):
            shown = "  ".join(f"{name} {value:.4f}" for name, value in zip(task.labels, found, strict=True))
            print(f"{shown}  {text}  (true: {label})", flush=True)

    def _answers(self, trainer: pl.Trainer, task: ClassificationTask, split: str) -> list[tuple[str, str, list[float]]]:
        """Text, true label and probabilities of each example."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ClassificationData)
        batch = data.collate(split, list(range(min(self.num_examples, len(data.lengths(split))))))
        found = probabilities(task.model, batch.inputs, batch.lengths)
        texts = [
            data.vocabulary.decode(row[:length].tolist())
            for row, length in zip(batch.inputs, batch.lengths, strict=True)
        ]
        labels = [task.labels[target] for target in batch.targets.tolist()]
        return list(zip(texts, labels, found.tolist(), strict=True))


def _classification(pl_module: pl.LightningModule) -> ClassificationTask:
    if not isinstance(pl_module, ClassificationTask):
        raise TypeError(f"expected a ClassificationTask, got a {type(pl_module).__name__}; give callbacks=default")
    return pl_module


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
