"""Metrics that are exact over a whole split."""

import math

import torch
from torch import Tensor
from torchmetrics import Metric


class TokenMetrics(Metric):
    r"""Mean negative log-likelihood of next-token prediction, and what follows from it.

    .. math::  \text{loss} = \frac{1}{N} \sum_{n} -\log p(x_n \mid x_{<n}), \qquad \text{perplexity} = e^{\text{loss}},
    \qquad
               \text{bits per character} = \frac{\text{loss}}{c \ln 2}

    with ``c`` characters a token. The sums are float64 and the counts integers, added up over all batches and devices
    before anything is divided, so unequal batches weigh as they should.

    Args:
        characters_per_token: ``c``, over the split.

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
        """Adds one batch: the summed negative log-likelihood in nats, the predicted tokens, and how many were the
        likeliest."""
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
