"""Labelling: a label for each step of a sequence, or for those that are asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.data.core.batch import IGNORE_INDEX, pad
from seqlab.data.labelling.batch import LabellingBatch, LabellingSpec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.generation import evaluation
from seqlab.nn.models.labeller import Labeller
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, StepOutput, full_precision
from seqlab.tasks.devices import global_mean
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction

_SHOWN: Final = 32  # the last steps of an example that are shown


class LabelMetrics(Metric):
    r"""Loss and accuracy of labels, over all that are asked, at the last of each sequence, and of whole sequences.

    With N labels in S sequences, of which each has one at least:

    .. math::  \text{accuracy} = \frac{1}{N} \sum_{s,t} [\hat y_{s,t} = y_{s,t}], \quad
               \text{last accuracy} = \frac{1}{S} \sum_s [\hat y_{s,\text{last}} = y_{s,\text{last}}], \quad
               \text{sequence accuracy} = \frac{1}{S} \sum_s \prod_t [\hat y_{s,t} = y_{s,t}]

    Where there are several lengths, each figure is also given for the sequences of each, as ``accuracy_64``. Sums are
    float64 and counts integers, added up over all batches and devices.

    Args:
        lengths: the lengths of the sequences; none or one: no figures by length.

    Example:
        >>> metrics = LabelMetrics()
        >>> right, asked = torch.tensor([[True, False], [True, True]]), torch.ones(2, 2, dtype=torch.bool)
        >>> metrics.update(torch.ones(2, 2), right, asked, torch.tensor([2, 2]))
        >>> {name: float(value) for name, value in metrics.compute().items()}
        {'loss': 1.0, 'accuracy': 0.75, 'last_accuracy': 0.5, 'sequence_accuracy': 0.5}
    """

    full_state_update = False
    nll: Tensor
    counts: Tensor
    lengths: Tensor

    def __init__(self, lengths: Sequence[int] = ()) -> None:
        super().__init__()
        groups = list(lengths) if len(lengths) > 1 else [0]
        self.register_buffer("lengths", torch.tensor(groups), persistent=False)
        self.add_state("nll", torch.zeros(len(groups), dtype=torch.float64), dist_reduce_fx="sum")
        # of each length: labels, right ones, sequences, those whose last label is right, and those that are all right
        self.add_state("counts", torch.zeros((len(groups), 5), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, right: Tensor, asked: Tensor, lengths: Tensor) -> None:
        """Adds a batch.

        Args:
            nll: the loss of each step in nats, ``(B, T)``, 0 where nothing is asked.
            right: whether the answer is right, ``(B, T)``; anything where nothing is asked.
            asked: which steps have a label, ``(B, T)``.
            lengths: of the sequences, ``(B,)``.
        """
        labels = asked.sum(1)
        has_any = labels > 0
        steps = torch.arange(asked.size(1), device=asked.device)
        last = torch.where(asked, steps, -1).amax(1).clamp(min=0)
        last_right = has_any & right.gather(1, last.unsqueeze(1)).squeeze(1)
        all_right = has_any & (right | ~asked).all(1)
        rows = torch.stack((labels, (right & asked).sum(1), has_any, last_right, all_right), 1)  # (B, 5)
        group = torch.zeros_like(lengths)
        if len(self.lengths) > 1:
            group = (lengths.unsqueeze(1) == self.lengths).int().argmax(1)
        self.nll.index_add_(0, group, nll.sum(1, dtype=torch.float64))
        self.counts.index_add_(0, group, rows)

    def compute(self) -> dict[str, Tensor]:
        values = _figures(self.nll.sum(), self.counts.sum(0))
        if len(self.lengths) > 1:
            for length, nll, counts in zip(self.lengths.tolist(), self.nll, self.counts, strict=True):
                values |= {f"{name}_{length}": value for name, value in _figures(nll, counts).items()}
        return values


def _figures(nll: Tensor, counts: Tensor) -> dict[str, Tensor]:
    labels, right, sequences, last_right, all_right = counts.double()
    return {
        "loss": nll / labels,
        "accuracy": right / labels,
        "last_accuracy": last_right / sequences,
        "sequence_accuracy": all_right / sequences,
    }


class LabellingTask(SequenceTask):
    r"""Predicts the label of each step that is asked.

    .. math::  \mathcal{L} = -\frac{1}{N} \sum_{b,t\ \text{asked}} \log p(y_{b,t} \mid x_{b,1}, \dots, x_{b,t})

    over the N labels of a batch. Where the test has sequences of several lengths, each has metrics of its own.

    Args:
        model: the labeller.
        spec: the facts about the data.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.
    """

    model: Labeller

    def __init__(
        self,
        model: Labeller,
        spec: LabellingSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        self.labels = spec.labels
        self.eval_metrics = nn.ModuleDict({"val": LabelMetrics(), "test": LabelMetrics(spec.test_lengths)})

    def training_step(self, batch: LabellingBatch, batch_idx: int) -> StepOutput:
        asked = batch.targets != IGNORE_INDEX
        total = F.cross_entropy(self._logits(batch, asked), batch.targets[asked], reduction="sum")
        count = asked.sum()
        loss = global_mean(total / count.clamp(min=1), count)
        return {"loss": loss, "nll": total.detach(), "tokens": count, "steps": batch.lengths.sum()}

    def evaluate(self, batch: LabellingBatch, split: str) -> None:
        asked = batch.targets != IGNORE_INDEX
        logits = full_precision(self._logits(batch, asked))
        nll, right = torch.zeros(asked.shape, device=asked.device), torch.zeros_like(asked)
        nll = nll.to(logits.dtype).masked_scatter(
            asked, F.cross_entropy(logits, batch.targets[asked], reduction="none")
        )
        right = right.masked_scatter(asked, logits.argmax(-1) == batch.targets[asked])
        self.metrics_of(split).update(nll, right, asked, batch.lengths)

    def loss_terms(self, batch: LabellingBatch) -> tuple[Tensor, Tensor | None]:
        logits = self.model(batch.inputs, batch.lengths).transpose(1, 2)  # (B, classes, T)
        return F.cross_entropy(logits, batch.targets, ignore_index=IGNORE_INDEX, reduction="none"), batch.lengths

    def _logits(self, batch: LabellingBatch, asked: Tensor) -> Tensor:
        """The logits of the N steps that are asked, ``(N, C)``."""
        logits: Tensor = self.model.head(self.model.features(batch.inputs, batch.lengths)[asked])
        return logits

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows the last steps of each sequence with their true and their predicted labels."""
        batch = data.collate(split, list(range(min(count, len(data.lengths(split))))))
        answers = likeliest(self.model, batch.inputs, batch.lengths)
        rows, lines = [], []
        for number, length in enumerate(batch.lengths.tolist()):
            shown = slice(max(0, length - _SHOWN), length)
            tokens = " ".join(data.vocabulary.tokens[token] for token in batch.inputs[number, shown].tolist())
            tokens = f"... {tokens}" if length > _SHOWN else tokens
            targets, given = batch.targets[number, shown], answers[number, shown]
            asked = targets != IGNORE_INDEX
            true, predicted = (
                " ".join(self.labels[label] for label in each[asked].tolist()) for each in (targets, given)
            )
            right = f"{int((targets == given)[asked].sum())} of {int(asked.sum())}"
            rows.append([f"`{tokens}`", f"`{true}`", f"`{predicted}`", right])
            lines.append(f"{tokens}\n  {predicted}  (true: {true}; {right} right)")
        return Examples("predictions", table(["last tokens", "true", "predicted", "right"], rows), tuple(lines))

    @staticmethod
    def predict(
        model: Labeller, spec: LabellingSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[str]
    ) -> list[Prediction]:
        """Returns the label of each step of some sequences, tokens with spaces between, also where none is asked.

        Args:
            model: the trained labeller.
            spec: the facts about its data.
            vocabularies: the vocabulary of its data, as "tokens".
            inputs: the sequences.

        Raises:
            InputError: a sequence is empty, or has a token that the data have not.
        """
        vocabulary = vocabularies["tokens"]
        for number, text in enumerate(inputs, start=1):
            if unknown := vocabulary.unknown(text):
                known = ", ".join(vocabulary.tokens[:20]) + (", ..." if len(vocabulary) > 20 else "")
                raise InputError(f"text {number} has {unknown[0]!r}; give tokens with spaces between, of {known}")
        rows = [vocabulary.encode(text, f"text {number}") for number, text in enumerate(inputs, start=1)]
        for number, row in enumerate(rows, start=1):
            if not len(row):
                raise InputError(f"text {number} is empty; give it at least one token")
        answers = likeliest(model, *pad(rows))
        predictions = []
        for text, row, numbers in zip(inputs, rows, answers.tolist(), strict=True):
            labels = [spec.labels[label] for label in numbers[: len(row)]]
            words = vocabulary.pieces(text)
            line = " ".join(f"{word}/{label}" for word, label in zip(words, labels, strict=True))
            predictions.append(Prediction({"text": " ".join(words), "tokens": words, "labels": labels}, line))
        return predictions


def likeliest(model: Labeller, inputs: Tensor, lengths: Tensor) -> Tensor:
    """Returns the numbers of the likeliest labels ``(B, T)``, on the CPU."""
    device = next(model.parameters()).device
    with evaluation(model):
        logits: Tensor = model(inputs.to(device), lengths.to(device))
        return logits.argmax(-1).cpu()
