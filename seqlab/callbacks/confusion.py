"""The confusion matrix of the test: a figure and tables."""

import csv
import io
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import torch

from seqlab.callbacks.at_test import AtTest
from seqlab.files import write_atomically
from seqlab.tasks.classes import SequenceClassTask
from seqlab.tasks.classification import ClassificationTask
from seqlab.tasks.series_classification import SeriesClassificationTask
from seqlab.tasks.tagging import TaggingTask

MOST_NAMED: Final = 50
"""The most classes or tags that a figure names."""

_MOST_PIXELS: Final = 500  # of a figure's side
_UNSEEN: Final = "(not in training)"
_FIGURES: Final = ("true", "predicted", "correct", "precision", "recall", "f1")


class ConfusionMatrix(AtTest):
    """Draws the confusion matrix of the test into TensorBoard, ``test/confusion``: a row for each true class or tag.

    The colour of a field is its share of the row. Up to 20 classes or tags, the fields also show the counts; above 50,
    the axes have no names. The run's folder gets ``confusion.csv`` with all counts, ``classes.csv`` with precision,
    recall and F1 of each class or tag, and, where entities are scored, ``entities.csv`` with those of each type.

    Raises:
        InputError: before training: the task neither classifies nor tags.
    """

    tasks = (ClassificationTask, TaggingTask, SeriesClassificationTask)
    folder: Path | None = None

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_end(trainer, pl_module)
        self.folder = Path(trainer.default_root_dir)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, (SequenceClassTask, TaggingTask))
        names = pl_module.tags if isinstance(pl_module, TaggingTask) else pl_module.labels
        confusion = pl_module.confusion["test"]
        if self.writer is not None:
            self.writer.add_figure("test/confusion", draw(confusion, names), self.last_step)
        if self.folder is None:  # an evaluation of a finished run, whose files stay
            return
        write_counts(confusion, names, self.folder)
        if isinstance(pl_module, TaggingTask) and "test" in pl_module.entity_counts:
            write_entities(pl_module.entity_counts["test"], pl_module.entity_types, self.folder)


def draw(confusion: torch.Tensor, labels: tuple[str, ...]) -> Any:
    """Draws a confusion matrix.

    Args:
        confusion: the counts, ``(true, predicted)``; a row more than there are labels is of classes training never saw.
        labels: the names of the classes.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    size = 2.5 + 0.6 * min(len(labels), 30)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(labels) > MOST_NAMED:
        confusion = _coarse(confusion)
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    if len(labels) > MOST_NAMED:
        axes.set_title(f"{len(labels):,} in the order of their numbers")
        axes.set_xticks([])
        axes.set_yticks([])
        return figure
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(confusion)), _with_unseen(confusion, labels))
    if len(labels) <= 20:
        for row, column in torch.cartesian_prod(torch.arange(len(confusion)), torch.arange(len(labels))).tolist():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(int(confusion[row, column])), ha="center", va="center", color=color)
    return figure


def write_counts(confusion: torch.Tensor, labels: tuple[str, ...], folder: Path) -> None:
    """Writes ``confusion.csv`` and ``classes.csv``, in the order of the classes.

    The first file has a line for each pair of a true and a predicted class that occurs, the second one for each class.

    Args:
        confusion: the counts, ``(true, predicted)``, as in :func:`draw`.
        labels: the names of the classes.
        folder: the folder of the files.
    """
    true_names = _with_unseen(confusion, labels)
    pairs = confusion.nonzero()
    counts = confusion[pairs[:, 0], pairs[:, 1]].tolist()
    rows = [
        [true_names[true], labels[predicted], count]
        for (true, predicted), count in zip(pairs.tolist(), counts, strict=True)
    ]
    _write(folder / "confusion.csv", ["true", "predicted", "count"], rows)
    true, predicted, correct = confusion.sum(1).tolist(), confusion.sum(0).tolist(), confusion.diagonal().tolist()
    rows = [_figures(*row) for row in zip(labels, true, predicted, correct, strict=False)]
    _write(folder / "classes.csv", ["class", *_FIGURES], rows)


def write_entities(counts: torch.Tensor, types: tuple[str, ...], folder: Path) -> None:
    """Writes ``entities.csv``, with a line for each type of entity.

    Args:
        counts: the numbers of correct, predicted and true entities, ``(types, 3)``.
        types: the names of the types.
        folder: the folder of the file.
    """
    rows = [_figures(name, *reversed(row)) for name, row in zip(types, counts.tolist(), strict=True)]
    _write(folder / "entities.csv", ["type", *_FIGURES], rows)


def _figures(name: str, true: int, predicted: int, correct: int) -> list[Any]:
    precision, recall = _share(correct, predicted), _share(correct, true)
    return [name, true, predicted, correct, precision, recall, _f1(correct, predicted + true)]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.6g}" if whole else ""


def _f1(correct: int, occurring: int) -> str:
    return f"{2 * correct / occurring:.6g}" if occurring else ""


def _with_unseen(confusion: torch.Tensor, labels: tuple[str, ...]) -> tuple[str, ...]:
    return labels if len(confusion) == len(labels) else (*labels, _UNSEEN)


def _coarse(confusion: torch.Tensor) -> torch.Tensor:
    """Adds up neighbours of a large matrix, so that it has at most 500 rows and columns."""
    step = -(-max(confusion.shape) // _MOST_PIXELS)
    if step == 1:
        return confusion
    rows = torch.arange(confusion.size(0)) // step
    columns = torch.arange(confusion.size(1)) // step
    size = int(rows[-1]) + 1, int(columns[-1]) + 1
    fewer = confusion.new_zeros(size[0], confusion.size(1)).index_add_(0, rows, confusion)
    return confusion.new_zeros(size).index_add_(1, columns, fewer)


def _write(file: Path, head: list[str], rows: list[list[Any]]) -> None:
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write_atomically(file, content.getvalue().encode())
