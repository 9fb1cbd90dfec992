"""What tasks share that give each example one of several classes."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.core.summary import counted
from seqlab.nn.models.classifier import Classifier
from seqlab.nn.models.generation import evaluation
from seqlab.tasks.base import (
    OptimizerFactory,
    Schedule,
    SequenceTask,
    StepOutput,
    check_label_smoothing,
    full_precision,
)
from seqlab.tasks.devices import global_mean
from seqlab.tasks.metrics import OpenClassMetrics
from seqlab.tasks.prediction import Prediction

log = logging.getLogger("seqlab")


class ClassTask(SequenceTask):
    """Gives each example of a batch a class: ``batch.targets (B,)``, ``IGNORE_INDEX`` for one that training never saw.

    A subclass defines ``logits`` and ``num_read``. The logged losses are without label smoothing.

    Args:
        model: the model to train.
        num_classes: C, the number of classes.
        label_smoothing: the share of each target that is spread over all classes (Szegedy et al. 2016), in training.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Raises:
        InputError: ``label_smoothing`` is not in [0, 1).
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        optimizer: OptimizerFactory,
        schedule: Schedule | None,
        label_smoothing: float,
        metric: str,
        mode: Literal["min", "max"],
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        self.num_classes = num_classes
        self.label_smoothing = check_label_smoothing(label_smoothing)
        self.eval_metrics = nn.ModuleDict({split: OpenClassMetrics(num_classes) for split in ("val", "test")})

    def logits(self, batch: Any) -> Tensor:
        """The logits of the classes, ``(B, C)``."""
        raise NotImplementedError

    def num_read(self, batch: Any) -> Tensor:
        """The number of tokens, or frames, that the model reads of a batch, a scalar."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> StepOutput:
        logits = self.logits(batch)
        loss = F.cross_entropy(logits, batch.targets, label_smoothing=self.label_smoothing)
        nll = F.cross_entropy(logits.detach(), batch.targets) if self.label_smoothing else loss.detach()
        examples = (batch.targets != IGNORE_INDEX).sum()
        mean = global_mean(loss, examples)
        return {"loss": mean, "nll": nll * examples, "tokens": examples, "steps": self.num_read(batch)}

    def evaluate(self, batch: Any, split: str) -> None:
        logits = full_precision(self.logits(batch))
        nll = F.cross_entropy(logits, batch.targets, reduction="none")
        targets = batch.targets.masked_fill(batch.targets == IGNORE_INDEX, self.num_classes)
        self.metrics_of(split).update(nll.sum(dtype=torch.float64), logits.argmax(-1), targets)


class SequenceClassTask(ClassTask):
    r"""A :class:`ClassTask` of whole sequences, by a :class:`~seqlab.nn.Classifier`.

    .. math::  \mathcal{L} = -\frac{1}{B} \sum_b \log p(c_b \mid x_b)

    A batch has ``inputs``, ``lengths`` and ``targets``.

    Args:
        model: the classifier.
        labels: the names of the classes, in the order of their numbers.
        label_smoothing: the share of each target that is spread over all classes (Szegedy et al. 2016), in training.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Attributes:
        labels: the names of the classes.
        confusion: for each evaluated split, the counts ``(true, predicted)`` of its last evaluation. Sequences of
            classes that training never saw are a last row.

    Raises:
        InputError: ``label_smoothing`` is not in [0, 1).
    """

    model: Classifier

    def __init__(
        self,
        model: Classifier,
        labels: Sequence[str],
        optimizer: OptimizerFactory,
        schedule: Schedule | None,
        label_smoothing: float,
        metric: str,
        mode: Literal["min", "max"],
    ) -> None:
        super().__init__(model, len(labels), optimizer, schedule, label_smoothing, metric, mode)
        self.labels = tuple(labels)
        self.confusion: dict[str, Tensor] = {}

    def logits(self, batch: Any) -> Tensor:
        logits: Tensor = self.model(batch.inputs, batch.lengths)
        return logits

    def num_read(self, batch: Any) -> Tensor:
        read: Tensor = batch.lengths.sum()
        return read

    def loss_terms(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        return F.cross_entropy(self.logits(batch), batch.targets, reduction="none"), batch.lengths

    def finish(self, split: str) -> None:
        self.confusion[split] = self.metrics_of(split).counts()
        super().finish(split)


def probabilities(model: Classifier, inputs: Tensor, lengths: Tensor) -> Tensor:
    """Returns the probability of each class, ``(B, C)`` on the CPU.

    Args:
        model: the classifier.
        inputs: what its input reads, ``(B, T)`` or ``(B, T, ...)``.
        lengths: the steps of each row, ``(B,)``.
    """
    device = next(model.parameters()).device
    with evaluation(model):
        logits: Tensor = model(inputs.to(device), lengths.to(device))
        return logits.float().softmax(-1).cpu()


def first_tokens(rows: Sequence[Any], max_length: int | None, unit: str) -> list[Any]:
    """Rows of tokens cut as training cuts them. A log line counts those that are longer.

    Args:
        rows: the tokens of each text.
        max_length: the most tokens of a row; None: no limit.
        unit: what the rows are, in the plural, for the line.

    Example:
        >>> first_tokens([[1, 2, 3], [4]], 2, "texts")
        [[1, 2], [4]]
    """
    longer = sum(len(row) > max_length for row in rows) if max_length is not None else 0
    if longer:
        log.warning("%d of %s read to token %d alone, as in training", longer, counted(len(rows), unit), max_length)
    return [row[:max_length] for row in rows]


def class_prediction(
    text: str, name: str, classes: Sequence[str], probabilities: Sequence[float], printed: int = 5, key: str = "text"
) -> Prediction:
    """The likeliest class of a text or of something that has a name, with the probabilities of all.

    Args:
        text: the text, or the name.
        name: the key of the likeliest class, such as "label".
        classes: the names of the classes.
        probabilities: one for each class.
        printed: how many of the likeliest classes the line has.
        key: the key of the text.

    Example:
        >>> class_prediction("so so", "label", ["bad", "good"], [0.25, 0.75]).line
        'good 0.7500  bad 0.2500  so so'
    """
    by_name = dict(zip(classes, probabilities, strict=True))
    ranked = sorted(by_name.items(), key=lambda item: -item[1])
    likeliest = "  ".join(f"{label} {probability:.4f}" for label, probability in ranked[:printed])
    return Prediction({key: text, name: ranked[0][0], "probabilities": by_name}, f"{likeliest}  {text}")
