"""Models of different shapes at one size: the hidden size that meets a parameter budget."""

from collections.abc import Callable
from functools import cache

import torch
from torch import nn


def count_parameters(module: nn.Module) -> int:
    """The number of parameters, tied ones counted once.

    Example:
        >>> count_parameters(nn.Linear(3, 4))
        16
    """
    return sum(parameter.numel() for parameter in module.parameters())


def match_parameters(build: Callable[[int], nn.Module], budget: int, tolerance: float = 0.01) -> int:
    """The hidden size for which a model's number of parameters is nearest to a budget.

    With it, depths are compared at equal parameters (Melis et al. 2018).

    Args:
        build: Makes the model: ``build(hidden_size)``. It is called on the meta device, where models take neither
            memory nor random numbers. The number of parameters must grow with the size.
        budget: The number of parameters.
        tolerance: The share of the budget by which the number may differ.

    Raises:
        ValueError: no size comes within ``tolerance * budget`` of ``budget``; the message names the nearest sizes.

    Example:
        >>> from seqlab.nn import Encoder, LSTMCell
        >>> match_parameters(lambda hidden_size: Encoder(LSTMCell, 10, hidden_size, num_layers=2), 9_600)
        26
    """

    @cache
    def count(hidden_size: int) -> int:
        with torch.device("meta"):
            return count_parameters(build(hidden_size))

    high = 1
    while count(high) < budget:
        high *= 2
        if count(high) <= count(high // 2):
            raise ValueError(
                f"budget: expected a model that grows with its hidden size, got {count(high)} at {high} too"
            )
    low = max(high // 2, 1)
    while high - low > 1:  # count(low) < budget <= count(high), but for budgets below count(1)
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < budget else (low, middle)
    best = min((low, high), key=lambda size: abs(count(size) - budget))
    if abs(count(best) - budget) > tolerance * budget:
        nearest = " and ".join(f"{size} with {count(size):,}" for size in dict.fromkeys((low, high)))
        wanted = f"a hidden size with {budget:,} parameters within {tolerance:.1%}"
        raise ValueError(f"budget: expected {wanted}, but the nearest are {nearest}")
    return best
