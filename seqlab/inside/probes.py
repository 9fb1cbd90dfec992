"""Linear probes: what can be read off a layer's states by a linear classifier (Alain & Bengio 2017)."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.errors import InputError


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted linear classifier of states.

    Attributes:
        classes: the labels that it tells apart, sorted.
        weight: of the standardised features, ``(C, F)``.
        bias: ``(C,)``.
        mean: of the features that it was fitted on, ``(F,)``.
        scale: their standard deviations, 1 for a feature that is constant, ``(F,)``.
    """

    classes: tuple[Any, ...]
    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor

    def predict(self, features: Tensor) -> list[Any]:
        """The likeliest label of each row of ``features (N, F)``."""
        scores = functional.linear((features.float() - self.mean) / self.scale, self.weight, self.bias)
        return [self.classes[index] for index in scores.argmax(1).tolist()]

    def accuracy(self, features: Tensor, labels: Sequence[Hashable]) -> float:
        """The share of rows whose label is predicted; one that fitting never saw is always missed."""
        _check(features, labels)
        right = sum(bool(one == other) for one, other in zip(self.predict(features), labels, strict=True))
        return right / len(labels)


def fit_probe(features: Tensor, labels: Sequence[Hashable], *, l2: float = 1e-3, max_iter: int = 200) -> Probe:
    """Fits multinomial logistic regression to states, by L-BFGS from zero weights: nothing is drawn.

        min over W, b:   mean_n -log softmax(W x_n + b)[y_n] + l2 / 2 * sum(W^2),   x standardised

    Fit it on some sentences and take :meth:`Probe.accuracy` on others, beside a probe of the embeddings, one of an
    untrained network, and :func:`majority_accuracy`: a probe's accuracy by itself says little (Hewitt & Liang 2019).

    Args:
        features: ``(N, F)``, such as a layer's h at N tokens.
        labels: N labels.
        l2: the weight of the penalty.
        max_iter: the most iterations.

    Raises:
        InputError: there is no row, the labels are not N, fewer than two differ, or a number is out of range.

    Example:
        >>> features = torch.tensor([[0.0, 1.0], [0.2, -1.0], [1.0, 1.0], [0.9, -1.0]])
        >>> fit_probe(features, ["low", "low", "high", "high"]).predict(torch.tensor([[0.1, 0.0], [0.8, 0.0]]))
        ['low', 'high']
    """
    _check(features, labels)
    if not l2 >= 0 or max_iter < 1:
        raise InputError(f"l2={l2}, max_iter={max_iter}: expected a number from 0, and one from 1")
    classes = tuple(sorted(set(labels), key=lambda label: (str(type(label)), label)))
    if len(classes) < 2:
        raise InputError(f"labels: expected two or more different ones, got {classes[0]!r} alone")
    index = {label: number for number, label in enumerate(classes)}
    targets = torch.tensor([index[label] for label in labels], device=features.device)
    x = features.detach().float()
    mean, scale = x.mean(0), x.std(0, correction=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    x = (x - mean) / scale
    weight = nn.Parameter(x.new_zeros(len(classes), x.size(1)))
    bias = nn.Parameter(x.new_zeros(len(classes)))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=max_iter, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(functional.linear(x, weight, bias), targets) + l2 / 2 * weight.pow(2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Probe(classes, weight.detach(), bias.detach(), mean, scale)


def majority_accuracy(train: Sequence[Hashable], test: Sequence[Hashable]) -> float:
    """The accuracy of always saying the commonest label of ``train``: what a probe must beat.

    Example:
        >>> majority_accuracy("aab", "abab")
        0.5
    """
    commonest = Counter(train).most_common(1)[0][0]
    return sum(label == commonest for label in test) / len(test)


def _check(features: Tensor, labels: Sequence[Hashable]) -> None:
    if features.dim() != 2 or not len(features) or len(labels) != len(features):
        raise InputError(f"features, labels: expected (N, F) and N, got {tuple(features.shape)} and {len(labels)}")
