"""A classifier of DNA that answers with the mean of both strands."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqlab.nn.models.classifier import Classifier


class BothStrands(Classifier):
    r"""The mean of a classifier's probabilities for a sequence and for its reverse complement :math:`\bar{x}`.

    .. math::  \log p(c \mid x) = \log \frac{1}{2} \left( p_\theta(c \mid x) + p_\theta(c \mid \bar{x}) \right)

    ``model(inputs (B, T), lengths=None) -> log-probabilities (B, num_classes)``.

    Args:
        classifier: the classifier of single strands, whose parts it shares.
        complement: for each token, the token of the complement.
    """

    complement: Tensor

    def __init__(self, classifier: Classifier, complement: Sequence[int]) -> None:
        nn.Module.__init__(self)
        self.classifier = classifier
        self.input, self.encoder, self.head = classifier.input, classifier.encoder, classifier.head
        self.tbptt_steps = classifier.tbptt_steps
        self.register_buffer("complement", torch.tensor(complement), persistent=False)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            lengths = torch.full(inputs.shape[:1], inputs.size(1), device=inputs.device)
        turned = opposite_strand(inputs, lengths, self.complement)
        strands = torch.stack([self.classifier(each, lengths) for each in (inputs, turned)])
        return strands.log_softmax(-1).logsumexp(0) - math.log(2)


def opposite_strand(inputs: Tensor, lengths: Tensor, complement: Sequence[int] | Tensor) -> Tensor:
    """Returns the reverse complement of each row.

    Args:
        inputs: the tokens ``(B, T)``; beyond a row's length there are zeros.
        lengths: ``(B,)``, the number of tokens of each row.
        complement: the token of each token's complement.

    Returns:
        ``(B, T)``, with the same lengths and zeros beyond them.

    Example:
        >>> opposite_strand(torch.tensor([[0, 1, 1], [2, 3, 0]]), torch.tensor([3, 2]), (3, 2, 1, 0))
        tensor([[2, 2, 3],
                [0, 1, 0]])
    """
    places = lengths.unsqueeze(1) - 1 - torch.arange(inputs.size(1), device=inputs.device)  # (B, T)
    turned = torch.as_tensor(complement, device=inputs.device)[inputs.gather(1, places.clamp(min=0))]
    return turned.masked_fill(places < 0, 0)
