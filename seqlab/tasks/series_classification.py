"""Classification of whole sequences of numbers or pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.batch import pad
from seqlab.data.formats.clips import Clip
from seqlab.data.formats.missing import filled, warn_of_nothing
from seqlab.data.formats.series import Series
from seqlab.data.series_classification.batch import SeriesClassSpec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.classifier import Classifier
from seqlab.tasks.base import OptimizerFactory, Schedule
from seqlab.tasks.classes import SequenceClassTask, class_prediction, probabilities
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction

_COLUMNS: Final = 10  # classes whose probabilities are shown in a table
_AT_ONCE: Final = 64  # sequences that are answered in one batch


class SeriesClassificationTask(SequenceClassTask):
    r"""Predicts the class of a sequence of numbers or pictures.

    .. math::  \mathcal{L} = -\frac{1}{B} \sum_b \log p(c_b \mid x_b)

    Args:
        model: the classifier.
        spec: the facts about the data.
        label_smoothing: the share of each target that is spread over all classes (Szegedy et al. 2016), in training.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Attributes:
        confusion: for each evaluated split, the counts ``(true, predicted)`` of its last evaluation. Sequences of
            classes that training never saw are a last row.

    Raises:
        InputError: ``label_smoothing`` is not in [0, 1).
    """

    reads = "frames"

    def __init__(
        self,
        model: Classifier,
        spec: SeriesClassSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        label_smoothing: float = 0.0,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, spec.labels, optimizer, schedule, label_smoothing, metric, mode)

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows sequences, spread over the split, by their names and lengths, with the probabilities of the classes."""
        total = len(data.lengths(split))
        numbers = [int(place) for place in np.linspace(0, total - 1, min(count, total))]
        batch = data.collate(split, numbers)
        rows, lines = [], []
        answers = probabilities(self.model, batch.inputs, batch.lengths).tolist()
        for number, values in zip(numbers, answers, strict=True):
            row = data.rows(split)[number]
            shown = class_prediction(row.name, "label", self.labels, values).line
            rows.append([row.name, str(len(row)), row.label, *(f"{value:.3f}" for value in values[:_COLUMNS])])
            lines.append(f"{shown}  (true: {row.label})")
        head = ["sequence", "steps", "true", *self.labels[:_COLUMNS]]
        return Examples("predictions", table(head, rows), tuple(lines))

    @staticmethod
    def predict(
        model: Classifier,
        spec: SeriesClassSpec,
        vocabularies: Mapping[str, Vocabulary],
        inputs: Sequence[Series | Clip],
    ) -> list[Prediction]:
        """Returns the likeliest class of each sequence with the probabilities of all.

        Args:
            model: the trained classifier.
            spec: the facts about its data.
            vocabularies: none.
            inputs: the sequences, as ``spec.read_inputs`` reads them.

        Raises:
            InputError: a sequence is empty, or has missing values that training refused.
        """
        frames = [_frames(spec, each) for each in inputs]
        answers: list[Prediction] = [Prediction({}, "")] * len(inputs)
        order = sorted(range(len(inputs)), key=lambda number: len(frames[number]))  # like lengths share a batch
        for start in range(0, len(order), _AT_ONCE):
            numbers = order[start : start + _AT_ONCE]
            values = probabilities(model, *pad([frames[number] for number in numbers])).tolist()
            for number, each in zip(numbers, values, strict=True):
                name = inputs[number].name
                answers[number] = class_prediction(name, "label", spec.labels, each, key="sequence")
        return answers


def _frames(spec: SeriesClassSpec, sequence: Series | Clip) -> NDArray[np.float32]:
    """What the model reads of a sequence, ``(T, F)`` or ``(T, C, H, W)``."""
    if not len(sequence):
        raise InputError(f"{sequence.name} has no step; give it at least one")
    if isinstance(sequence, Clip):
        return sequence.values.astype(np.float32)
    warn_of_nothing(sequence, spec.features)
    return filled(sequence, spec.features, spec.missing, spec.means, len(sequence))
