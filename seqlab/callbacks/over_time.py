"""What a classifier of sequences believes after each step, drawn under what it has read."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, data_and_task
from seqlab.data.series_classification.module import SeriesClassData
from seqlab.files import write_atomically
from seqlab.nn.models.classifier import Classifier
from seqlab.tasks.classes import probabilities
from seqlab.tasks.series_classification import SeriesClassificationTask

FIGURE: Final = "answers.png"
"""The file in the run's folder."""

_MOST_ANSWERS: Final = 64  # steps after which the model is asked
_MOST_PICTURES: Final = 16  # frames of a clip that are shown
_MOST_LINES: Final = 12  # features or classes that are drawn


class AnswersOverTime(AtTest):
    """Draws what the trained model believes after each step of a few test sequences.

    Each has two charts: what was read (the numbers, in deviations from training's mean, or the pictures), and under it
    the probability of each class after so many steps. The model is asked about each beginning of the sequence anew, so
    the chart is right for a bidirectional one too. It goes into TensorBoard, ``test/answers``, and into the run's
    folder, ``answers.png``. Of more than 64 steps, 64 are asked about.

    Args:
        num_examples: the number of sequences, spread over the test.

    Raises:
        InputError: ``num_examples`` is less than 1; before training: the task does not classify sequences of numbers.
    """

    tasks = (SeriesClassificationTask,)
    folder: Path | None = None

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = check_num_examples("answers", num_examples)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_end(trainer, pl_module)
        self.folder = Path(trainer.default_root_dir)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or self.folder is None:  # an evaluation of a finished run, whose files stay
            return
        data, task = data_and_task(trainer, pl_module, SeriesClassData, SeriesClassificationTask)
        total = len(data.lengths("test"))
        numbers = [int(place) for place in np.linspace(0, total - 1, min(self.num_examples, total))]
        means, stds = data.spec.statistics()
        drawn = []
        for number in numbers:
            row = data.rows("test")[number]
            batch = data.collate("test", [number])
            steps, beliefs = over_time(task.model, batch.inputs)
            likeliest = task.labels[int(beliefs[-1].argmax())]
            title = f"{row.name}: {likeliest}" + ("" if likeliest == row.label else f" (true: {row.label})")
            frames = batch.inputs[0] if data.has_pictures else (batch.inputs[0] - means) / stds
            drawn.append((title, frames.numpy(), steps, beliefs))
        figure = draw(drawn, task.labels, data.spec.features)
        if self.writer is not None:
            self.writer.add_figure("test/answers", figure, self.last_step)
        write_atomically(self.folder / FIGURE, _png(figure))


def over_time(model: Classifier, inputs: Tensor) -> tuple[list[int], Tensor]:
    """The probabilities of the classes after the first steps of one sequence, for up to 64 numbers of steps.

    Args:
        model: the classifier.
        inputs: the sequence, ``(1, T, ...)``.

    Returns:
        The numbers of steps, ascending, T the last; and the probabilities after so many, ``(len, C)``.
    """
    total = inputs.size(1)
    steps = np.unique(np.linspace(1, total, min(total, _MOST_ANSWERS)).round().astype(int)).tolist()
    beliefs = [probabilities(model, inputs[:, :count], torch.tensor([count])) for count in steps]
    return steps, torch.cat(beliefs)


def draw(
    sequences: Sequence[tuple[str, NDArray[np.float32], Sequence[int], Tensor]],
    labels: Sequence[str],
    features: Sequence[str],
) -> Any:
    """Draws sequences, each with the probabilities of the classes under it.

    Args:
        sequences: for each its title, its frames ``(T, F)`` or ``(T, C, H, W)``, the numbers of steps that were read,
            and the probabilities after so many, ``(len, C)``.
        labels: the names of the classes.
        features: the names of the F features.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shares = [share for _, frames, _, _ in sequences for share in (0.5 if frames.ndim == 4 else 1.0, 1.0)]
    figure = Figure(figsize=(9, 1.7 * sum(shares)), layout="constrained")
    rows = figure.subplots(len(shares), 1, squeeze=False, height_ratios=shares)[:, 0]
    for number, (title, frames, steps, beliefs) in enumerate(sequences):
        above, below = rows[2 * number], rows[2 * number + 1]
        above.set_title(_plain(title), fontsize="medium", loc="left")
        if frames.ndim == 4:
            _draw_pictures(above, frames)
        else:
            _draw_lines(above, frames, features)
        shown = beliefs.amax(0).argsort(descending=True)[:_MOST_LINES].sort().values.tolist()
        for kind in shown:
            below.plot(
                steps, beliefs[:, kind].numpy(), label=_plain(labels[kind]), marker="." if len(steps) < 30 else ""
            )
        for axes in (above, below):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        above.tick_params(labelbottom=False)
        below.set_ylim(-0.03, 1.03)
        below.set_xlim(0.5, len(frames) + 0.5)
        below.set_ylabel("P(class)")
        below.set_xlabel("steps read")
        below.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _draw_lines(axes: Any, frames: NDArray[np.float32], features: Sequence[str]) -> None:
    for number, name in enumerate(features[:_MOST_LINES]):
        axes.plot(range(1, len(frames) + 1), frames[:, number], linewidth=1, label=_plain(name))
    axes.set_xlim(0.5, len(frames) + 0.5)
    axes.set_ylabel("deviations")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_pictures(axes: Any, frames: NDArray[np.float32]) -> None:
    """A strip of pictures, each where its step is on the axis below."""
    count, channels, height, width = frames.shape
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST_PICTURES)).round().astype(int)).tolist()
    low, high = float(frames.min()), float(frames.max())
    scaled = (frames - low) / ((high - low) or 1.0)
    side = count / len(shown)  # the room of a picture on the axis of steps
    for place, step in enumerate(shown):
        picture = scaled[step].transpose(1, 2, 0) if channels == 3 else scaled[step][0]
        left = 0.5 + place * side + 0.02 * side
        axes.imshow(
            picture, extent=(left, left + 0.96 * side, 0, 1), cmap="gray", vmin=0, vmax=1, aspect="auto", origin="upper"
        )
    axes.set_xlim(0.5, count + 0.5)
    axes.set_ylim(0, 1)
    axes.tick_params(bottom=False, left=False, labelleft=False)
    axes.set_box_aspect(height / width / len(shown))


def _plain(text: str) -> str:
    """A text without Matplotlib's formulas."""
    return text.replace("$", r"\$")


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
