"""Metrics that are exact over a whole split."""

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.tasks.devices import summed


class TokenMetrics(Metric):
    r"""Mean negative log-likelihood of next-token prediction, and what follows from it.

    .. math::  \text{loss} = \frac{1}{N} \sum_{n} -\log p(x_n \mid x_{<n}), \qquad \text{perplexity} = e^{\text{loss}},
    \qquad
               \text{bits per character} = \frac{\text{loss}}{c \ln 2}

    with ``c`` characters per token. Sums are float64 and counts are integers. They are added over all batches and
    devices before anything is divided, so batches of different sizes have the right weights.

    Args:
        characters_per_token: ``c``, the mean over the split.

    Example:
        >>> metrics = TokenMetrics()
        >>> metrics.update(torch.tensor(6.0), torch.tensor(4), torch.tensor(1))
        >>> metrics.update(torch.tensor(2.0), torch.tensor(1), torch.tensor(1))
        >>> metrics.compute()["loss"]
        tensor(1.6000, dtype=torch.float64)
    """

    full_state_update = False
    nll: Tensor
    tokens: Tensor
    correct: Tensor

    def __init__(self, characters_per_token: float = 1.0) -> None:
        super().__init__()
        self.characters_per_token = characters_per_token
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("correct", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, tokens: Tensor, correct: Tensor) -> None:
        """Adds a batch.

        Args:
            nll: the sum of the negative log-likelihoods in nats, a scalar.
            tokens: the number of predicted tokens.
            correct: the number of tokens that were the likeliest.
        """
        self.nll += nll
        self.tokens += tokens
        self.correct += correct

    def compute(self) -> dict[str, Tensor]:
        loss = self.nll / self.tokens
        return {
            "loss": loss,
            "perplexity": loss.exp(),
            "bits_per_character": loss / (self.characters_per_token * math.log(2)),
            "accuracy": self.correct.double() / self.tokens,
        }


class ClassMetrics(Metric):
    r"""Mean negative log-likelihood of the true class, accuracy and macro F1, from one confusion matrix.

    .. math::  F_1(c) = \frac{2 n_{cc}}{\sum_j n_{cj} + \sum_i n_{ic}}, \qquad
               \text{macro F1} = \text{mean of } F_1(c) \text{ over the classes that occur}

    with :math:`n_{ij}` the examples of class i that were taken for class j (van Rijsbergen 1979). A class occurs if it
    is true or predicted at least once. The sum is float64 and the counts integers, added up over all batches and
    devices before anything is divided.

    Args:
        num_classes: C.

    Example:
        >>> metrics = ClassMetrics(2)
        >>> metrics.update(torch.tensor(2.0), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
        >>> metrics.confusion.tolist(), round(float(metrics.compute()["accuracy"]), 4)
        ([[1, 1], [0, 1]], 0.6667)
    """

    full_state_update = False
    nll: Tensor
    confusion: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state(
            "confusion", torch.zeros((num_classes, num_classes), dtype=torch.int64), dist_reduce_fx="sum"
        )  # (true, predicted)

    def update(self, nll: Tensor, predicted: Tensor, targets: Tensor) -> None:
        """Adds a batch.

        Args:
            nll: the sum of the negative log-likelihoods in nats, a scalar.
            predicted: the number of each example's predicted class, ``(B,)``.
            targets: the number of its true class, ``(B,)``.
        """
        self.nll += nll
        # In place, because a new matrix of thousands of classes for each batch would cost more than the model.
        self.confusion.index_put_((targets, predicted), torch.ones_like(targets), accumulate=True)

    def compute(self) -> dict[str, Tensor]:
        total, correct = self.confusion.sum().double(), self.confusion.diagonal().double()
        occurrences = (self.confusion.sum(0) + self.confusion.sum(1)).double()  # (C,), true and predicted ones
        return {
            "loss": self.nll / total,
            "accuracy": correct.sum() / total,
            "macro_f1": (2 * correct / occurrences.clamp(min=1)).sum() / (occurrences > 0).sum(),
        }


class OpenClassMetrics(ClassMetrics):
    """The metrics of :class:`ClassMetrics` for data with classes that training never saw.

    An example of such a class has the target ``num_classes`` and counts as a mistake. The loss leaves it out, because
    its probability of 0 would make every loss infinite.

    Args:
        num_classes: the classes of training.

    Example:
        >>> metrics = OpenClassMetrics(2)
        >>> metrics.update(torch.tensor(0.6), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
        >>> {name: round(float(value), 4) for name, value in metrics.compute().items()}
        {'loss': 0.3, 'accuracy': 0.6667, 'macro_f1': 0.5556}
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes + 1)

    def counts(self) -> Tensor:
        """The counts ``(true, predicted)`` over all devices, on the CPU.

        Classes that training never saw are a last row, where there are any.
        """
        pairs = summed(self.confusion).cpu()[:, :-1]  # no unseen class is ever predicted
        return pairs if pairs[-1].any() else pairs[:-1]

    def compute(self) -> dict[str, Tensor]:
        return {**super().compute(), "loss": self.nll / self.confusion[:-1].sum()}
