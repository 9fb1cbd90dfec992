"""Classification of whole texts."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor

from seqlab.data.classification.batch import ClassificationSpec
from seqlab.data.core.batch import pad
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.classifier import Classifier
from seqlab.tasks.base import OptimizerFactory, Schedule
from seqlab.tasks.classes import SequenceClassTask, class_prediction, first_tokens, probabilities
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction

_COLUMNS: Final = 10  # classes whose probabilities are shown in a table
_MOST_PRINTED: Final = 50  # classes up to which a line has the probabilities of all; of more, the likeliest five


class ClassificationTask(SequenceClassTask):
    r"""Predicts the class of a text.

    .. math::  \mathcal{L} = -\frac{1}{B} \sum_b \log p(c_b \mid x_b)

    Args:
        model: the classifier.
        spec: the facts about the data.
        label_smoothing: the share of each target that is spread over all classes (Szegedy et al. 2016), in training.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Attributes:
        confusion: for each evaluated split, the counts ``(true, predicted)`` of its last evaluation. Texts of classes
            that training never saw are a last row.

    Raises:
        InputError: ``label_smoothing`` is not in [0, 1).
    """

    def __init__(
        self,
        model: Classifier,
        spec: ClassificationSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        label_smoothing: float = 0.0,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, spec.labels, optimizer, schedule, label_smoothing, metric, mode)

    def probabilities(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """The answer to texts as token numbers ``(B, T)``: the probability of each class, ``(B, C)`` on the CPU."""
        return probabilities(self.model, inputs, lengths)

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows each text, as the model reads it, with the probabilities of the classes."""
        batch = data.collate(split, list(range(min(count, len(data.lengths(split))))))
        texts = [
            data.vocabulary.decode(row[:length].tolist())
            for row, length in zip(batch.inputs, batch.lengths, strict=True)
        ]
        labels = [row.label for row in data.rows(split)[: len(texts)]]
        rows, lines = [], []
        answers = self.probabilities(batch.inputs, batch.lengths).tolist()
        for text, label, values in zip(texts, labels, answers, strict=True):
            rows.append([text, label, *(f"{value:.3f}" for value in values[:_COLUMNS])])
            pairs = list(zip(self.labels, values, strict=True))
            if len(pairs) > _MOST_PRINTED:
                pairs = sorted(pairs, key=lambda pair: -pair[1])[:5]
            printed = "  ".join(f"{name} {value:.4f}" for name, value in pairs)
            lines.append(f"{printed}  {text}  (true: {label})")
        return Examples("predictions", table(["text", "true", *self.labels[:_COLUMNS]], rows), tuple(lines))

    @staticmethod
    def predict(
        model: Classifier, spec: ClassificationSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[str]
    ) -> list[Prediction]:
        """Returns the likeliest class of each text with the probabilities of all. Texts are cut as in training.

        Args:
            model: the trained classifier.
            spec: the facts about its data.
            vocabularies: the vocabulary of its data, as "tokens".
            inputs: the texts.

        Raises:
            InputError: a text is empty.
        """
        vocabulary = vocabularies["tokens"]
        rows = [vocabulary.encode(text, f"text {number}") for number, text in enumerate(inputs, start=1)]
        for number, row in enumerate(rows, start=1):
            if not len(row):
                raise InputError(f"text {number} is empty; give it at least one {vocabulary.unit}")
        rows = first_tokens(rows, spec.max_length, "texts")
        return [
            class_prediction(text, "label", spec.labels, values)
            for text, values in zip(inputs, probabilities(model, *pad(rows)).tolist(), strict=True)
        ]
