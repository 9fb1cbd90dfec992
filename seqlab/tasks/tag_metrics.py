"""Metrics of tags and of the entities they make, exact over a whole split."""

from collections.abc import Sequence
from typing import Final

import torch
from nervaluate import Evaluator
from torch import Tensor
from torchmetrics import Metric

from seqlab.tasks.metrics import OpenClassMetrics

MOST_SHOWN: Final = 50
"""Up to this number of tags, or types of entities, each has a metric of its own; the run's files have all of them."""

_UNTYPED: Final = "entity"


class TagMetrics(OpenClassMetrics):
    r"""Mean negative log-likelihood of the true tags a word, and the share of words that get the right one.

    .. math::  \text{loss} = \frac{1}{N} \sum_{s} -\log p(y_s \mid x_s)

    over N words of sentences s. ``accuracy`` is over all words, ``unseen_accuracy`` over those that do not occur in
    training, or on other data than the run's over those that its vocabulary lacks (absent if there are none), and
    ``accuracy_TAG`` over those whose true tag is TAG (absent for a tag that does not occur, and for all of more than
    ``MOST_SHOWN`` tags). The sum is float64 and the counts integers, added up over all batches and devices before
    anything is divided.

    A word whose tag training never saw, a target of ``len(tags)`` or more, counts as tagged wrongly, as in
    :class:`~seqlab.tasks.metrics.OpenClassMetrics`.

    Args:
        tags: the tags in the order of their numbers.

    Example:
        >>> metrics = TagMetrics(["NOUN", "VERB"])
        >>> true, predicted = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
        >>> metrics.update(torch.tensor(1.5), predicted, true, torch.tensor([False, True, True]))
        >>> {name: round(float(value), 2) for name, value in metrics.compute().items()}
        {'loss': 0.5, 'accuracy': 0.67, 'unseen_accuracy': 0.5, 'accuracy_NOUN': 0.5, 'accuracy_VERB': 1.0}
    """

    unseen: Tensor
    unseen_correct: Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__(len(tags))
        self.tags = tuple(tags)
        self.add_state("unseen", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("unseen_correct", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, predicted: Tensor, targets: Tensor, unseen: Tensor) -> None:  # type: ignore[override]
        """Adds a batch.

        Args:
            nll: the sum of the negative log-likelihoods in nats, a scalar.
            predicted: the number of each word's predicted tag, ``(N,)``.
            targets: the number of its true tag, ``(N,)``.
            unseen: whether the word does not occur in training, ``(N,)``.
        """
        super().update(nll, predicted, targets.clamp(max=len(self.tags)))
        self.unseen += unseen.sum()
        self.unseen_correct += (unseen & (predicted == targets)).sum()

    def compute(self) -> dict[str, Tensor]:
        figures = super().compute()
        metrics = {"loss": figures["loss"], "accuracy": figures["accuracy"]}
        if self.unseen:
            metrics["unseen_accuracy"] = self.unseen_correct.double() / self.unseen
        if len(self.tags) > MOST_SHOWN:
            return metrics
        words = self.confusion[:-1].sum(1).double()  # (tags,)
        shares = self.confusion.diagonal()[:-1] / words.clamp(min=1)
        occur = (words > 0).tolist()
        return metrics | {
            f"accuracy_{tag}": share for tag, share, occurs in zip(self.tags, shares, occur, strict=True) if occurs
        }


class EntityMetrics(Metric):
    r"""Precision, recall and F1 of whole entities, as CoNLL scores them (Tjong Kim Sang & De Meulder 2003).

    .. math::  P = \frac{\text{correct}}{\text{predicted}}, \qquad R = \frac{\text{correct}}{\text{true}}, \qquad
               F_1 = \frac{2 \, \text{correct}}{\text{predicted} + \text{true}}

    An entity is correct if its first word, its last word and its type are. It begins with B-X, or with an I-X that
    follows neither B-X nor I-X; without types the tags are B and I. The package nervaluate, in its mode "strict",
    decides what is an entity and what is correct. Its counts are added up here, over all batches and devices before
    anything is divided. Without predicted (true) entities, precision (recall) is 0.

    ``entity_precision``, ``entity_recall`` and ``entity_f1`` are over all types, ``entity_f1_TYPE`` over the entities
    of one (absent for a type that is neither true nor predicted, and for all of more than ``MOST_SHOWN`` types, or
    where there are no types).

    Args:
        tags: the tags in the order of their numbers: O, B-X and I-X, with those that training never saw.

    Example:
        >>> metrics = EntityMetrics(["B-PER", "I-PER", "O"])
        >>> true, predicted = [0, 1, 2, 0], [0, 2, 2, 1]  # the second entity has no B-, and counts
        >>> metrics.update([predicted], [true])
        >>> {name: float(value) for name, value in metrics.compute().items() if "PER" not in name}
        {'entity_precision': 0.5, 'entity_recall': 0.5, 'entity_f1': 0.5}
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()
        self.tags = tuple(tags)
        self.types = tuple(sorted({tag[2:] for tag in tags if tag != "O"}))
        self._named = [f"{tag}-{_UNTYPED}" if tag in ("B", "I") else tag for tag in self.tags]  # for nervaluate
        # (types, 3): the numbers of correct, predicted and true entities.
        self.add_state("counts", torch.zeros((len(self.types), 3), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> None:
        """Adds some sentences.

        Args:
            predicted: the numbers of the predicted tags of each sentence.
            targets: the numbers of its true tags.
        """
        named = [[[self._named[tag] for tag in row] for row in rows] for rows in (targets, predicted)]
        # The types that occur alone, because nervaluate's time grows with the number of types.
        types = {tag[2:] for rows in named for row in rows for tag in row if tag != "O"}
        results = Evaluator(*named, tags=sorted(types), loader="list").evaluate()["entities"]
        counts = torch.zeros_like(self.counts)
        for row, kind in enumerate(self.types):
            if (kind or _UNTYPED) in results:
                strict = results[kind or _UNTYPED]["strict"]
                counts[row] = torch.tensor([strict.correct, strict.actual, strict.possible])
        self.counts += counts

    def compute(self) -> dict[str, Tensor]:
        counts = self.counts.double()  # (types, 3)
        total = counts.sum(0)
        metrics = {
            "entity_precision": total[0] / total[1].clamp(min=1),
            "entity_recall": total[0] / total[2].clamp(min=1),
            "entity_f1": _f1(total),
        }
        if len(self.types) > MOST_SHOWN or self.types == ("",):
            return metrics
        occur = (counts[:, 1:].sum(1) > 0).tolist()
        return metrics | {
            f"entity_f1_{kind}": _f1(row) for kind, row, occurs in zip(self.types, counts, occur, strict=True) if occurs
        }


def _f1(counts: Tensor) -> Tensor:
    """F1 from the numbers of correct, predicted and true entities, ``(3,)``; 0 without entities."""
    return 2 * counts[0] / (counts[1] + counts[2]).clamp(min=1)
