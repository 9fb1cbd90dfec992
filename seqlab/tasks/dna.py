"""Classification of DNA, on one strand or both."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from seqlab.data.classification.batch import ClassificationBatch
from seqlab.data.classification.dna import DnaSpec
from seqlab.data.core.batch import pad
from seqlab.data.formats.fasta import FastaRecord
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.classifier import Classifier
from seqlab.nn.models.strands import BothStrands, opposite_strand
from seqlab.tasks.base import OptimizerFactory, Schedule, StepOutput
from seqlab.tasks.classes import class_prediction, first_tokens, probabilities
from seqlab.tasks.classification import ClassificationTask
from seqlab.tasks.prediction import Prediction

log = logging.getLogger("seqlab")

STRANDS: Final = ("none", "train", "predict", "both")
_AT_ONCE: Final = 1 << 17  # bases that ``predict`` reads at once, padding included


class DnaTask(ClassificationTask):
    r"""Predicts the class of a sequence of DNA.

    Where a class is the same on both strands, the reverse complement :math:`\bar{x}` of a sequence is one more sequence
    of its class. In training ("train"), each sequence of a batch is replaced by its reverse complement with probability
    1/2. In evaluation and prediction ("predict"), the probabilities are the mean of those of both strands,

    .. math::  p(c \mid x) = \frac{1}{2} \left( p_\theta(c \mid x) + p_\theta(c \mid \bar{x}) \right),

    so that a sequence and its reverse complement have the same answer. "both" is both, "none" neither. A sequence is
    cut to ``max_length`` first.

    Args:
        model: the classifier.
        spec: the facts about the data.
        reverse_complement: "none", "train", "predict" or "both".
        label_smoothing: the share of each target that is spread over all classes (Szegedy et al. 2016), in training.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self,
        model: Classifier,
        spec: DnaSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        label_smoothing: float = 0.0,
        reverse_complement: str = "none",
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, spec, optimizer, schedule, label_smoothing, metric, mode)
        self.spec = spec
        self.turns, self.averages = _uses(reverse_complement)

    def training_step(self, batch: ClassificationBatch, batch_idx: int) -> StepOutput:
        if self.turns:
            turned = opposite_strand(batch.inputs, batch.lengths, self.spec.complement)
            chosen = torch.rand(len(turned), device=turned.device) < 0.5
            batch = replace(batch, inputs=torch.where(chosen.unsqueeze(1), turned, batch.inputs))
        return super().training_step(batch, batch_idx)

    def logits(self, batch: ClassificationBatch) -> Tensor:
        logits = super().logits(batch)
        if self.training or not self.averages:
            return logits
        turned = replace(batch, inputs=opposite_strand(batch.inputs, batch.lengths, self.spec.complement))
        both = torch.stack([logits, super().logits(turned)]).log_softmax(-1)
        return both.logsumexp(0) - torch.tensor(2.0).log().item()

    def probabilities(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        return strand_probabilities(self.model, self.spec, self.averages, inputs, lengths)

    def finish(self, split: str) -> None:
        super().finish(split)
        accuracies = self.spec.bayes_accuracy or {}
        name = {"val": "validation", "test": "test"}[split]
        if name in accuracies:
            self.log(f"{split}/bayes_accuracy", torch.tensor(accuracies[name], dtype=torch.float64))

    @staticmethod
    def predict(  # type: ignore[override]
        model: Classifier,
        spec: DnaSpec,
        vocabularies: Mapping[str, Vocabulary],
        inputs: Sequence[FastaRecord],
        reverse_complement: str = "none",
    ) -> list[Prediction]:
        """Returns the likeliest class of each record with the probabilities of all.

        A log line counts the records with letters that training never saw.

        Args:
            model: the trained classifier.
            spec: the facts about its data.
            vocabularies: the vocabulary of its data, as "tokens".
            inputs: the records, as ``spec.read_inputs`` reads them.
            reverse_complement: as in training; "predict" and "both" average over both strands.

        Raises:
            InputError: ``reverse_complement`` is none of its choices.
        """
        averages = _uses(reverse_complement)[1]
        _warn_of_unseen(spec, inputs)
        rows = [vocabularies["tokens"].encode(each.sequence, each.place) for each in inputs]
        rows = first_tokens(rows, spec.max_length, "records")
        order = np.argsort([len(row) for row in rows], kind="stable")
        answers: dict[int, Prediction] = {}
        for numbers in _chunks(order.tolist(), [len(row) for row in rows]):
            values = strand_probabilities(model, spec, averages, *pad([rows[number] for number in numbers])).tolist()
            for number, each in zip(numbers, values, strict=True):
                answers[number] = _prediction(inputs[number], spec, each)
        return [answers[number] for number in range(len(rows))]

    @staticmethod
    def exported(model: Classifier, spec: DnaSpec, reverse_complement: str = "none") -> Classifier:
        """Returns what is exported: a model that answers as ``predict`` does, of both strands where that averages."""
        return BothStrands(model, spec.complement) if _uses(reverse_complement)[1] else model


def strand_probabilities(model: Classifier, spec: DnaSpec, averages: bool, inputs: Tensor, lengths: Tensor) -> Tensor:
    """Returns the probability of each class, ``(B, C)`` on the CPU; of both strands the mean if it ``averages``."""
    forward = probabilities(model, inputs, lengths)
    if not averages:
        return forward
    return (forward + probabilities(model, opposite_strand(inputs, lengths, spec.complement), lengths)) / 2


def _uses(reverse_complement: str) -> tuple[bool, bool]:
    """Whether training turns sequences, and whether prediction averages over both strands."""
    if reverse_complement not in STRANDS:
        raise InputError(f"task.reverse_complement={reverse_complement} must be one of {', '.join(STRANDS)}")
    return reverse_complement in ("train", "both"), reverse_complement in ("predict", "both")


def _chunks(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of the sequences of each chunk, shorter sequences first."""
    chunks: list[list[int]] = [[]]
    for number in order:
        if chunks[-1] and (len(chunks[-1]) + 1) * lengths[number] > _AT_ONCE:
            chunks.append([])
        chunks[-1].append(number)
    return chunks


def _prediction(record: FastaRecord, spec: DnaSpec, values: Sequence[float]) -> Prediction:
    answer = class_prediction(record.name, "label", spec.labels, values)
    return Prediction({"id": record.name, **{k: v for k, v in answer.values.items() if k != "text"}}, answer.line)


def _warn_of_unseen(spec: DnaSpec, records: Sequence[FastaRecord]) -> None:
    unseen = set(spec.unseen or "")
    having = [record for record in records if unseen.intersection(record.sequence)]
    if having:
        letters = ", ".join(sorted(unseen.intersection("".join(record.sequence for record in having))))
        log.warning(
            "%d of %d records have letters that training never saw (%s), such as %s: what the model makes of them is "
            "left to chance",
            *(len(having), len(records), letters, having[0].place),
        )
