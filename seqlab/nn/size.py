"""Models of different shapes at one size: the hidden size that meets a parameter budget."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

import torch
from torch import nn

SizedModel: TypeAlias = Callable[[int], nn.Module]
SizedCount: TypeAlias = Callable[[int], int]


def count_parameters(module: nn.Module) -> int:
    """The number of parameters, tied ones counted once.

    Example:
        >>> count_parameters(nn.Linear(3, 4))
        16
    """
    return sum(parameter.numel() for parameter in module.parameters())


class Fit(NamedTuple):
    """The hidden size for which a model's number of parameters is nearest to a budget.

    Attributes:
        hidden_size: The size.
        num_parameters: The number of parameters there.
        neighbours: The sizes around the budget with their numbers of parameters, this one among them.
    """

    hidden_size: int
    num_parameters: int
    neighbours: dict[int, int]

    def times(self, step: int) -> "Fit":
        """The same for a model whose size was counted in steps.

        Example:
            >>> Fit(5, 100, {5: 100, 6: 120}).times(4)
            Fit(hidden_size=20, num_parameters=100, neighbours={20: 100, 24: 120})
        """
        sizes = {size * step: count for size, count in self.neighbours.items()}
        return Fit(self.hidden_size * step, self.num_parameters, sizes)

    def misses(self, budget: int, tolerance: float) -> str | None:
        """What to say of a number of parameters farther than ``tolerance * budget`` from the budget; None if nearer."""
        if abs(self.num_parameters - budget) <= tolerance * budget:
            return None
        nearest = " and ".join(f"{size} with {count:,}" for size, count in self.neighbours.items())
        return (
            f"expected a hidden size with {budget:,} parameters within {tolerance:.1%}, but the nearest are {nearest}"
        )


def match_parameters(build: SizedModel, budget: int, tolerance: float = 0.01) -> int:
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
    fit = nearest_size(build, budget)
    if message := fit.misses(budget, tolerance):
        raise ValueError(f"budget: {message}")
    return fit.hidden_size


def nearest_size(build: SizedModel, budget: int) -> Fit:
    """As :func:`match_parameters`, however far the nearest size is from the budget.

    Raises:
        ValueError: the model does not grow with its hidden size.
    """
    count = _counts(build)
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
    return Fit(best, count(best), {size: count(size) for size in (low, high)})


def common_budget(builds: Sequence[SizedModel], budget: int, tolerance: float = 0.01) -> int | None:
    """The budget nearest to another one that every model meets within a tolerance.

    Args:
        builds: Make the models, as in :func:`match_parameters`.
        budget: The number of parameters that is wanted.
        tolerance: The share of the budget by which a model's number may differ.

    Returns:
        The budget; None if there is none up to eight times as large or as small.

    Example:
        >>> from seqlab.nn import Encoder, LSTMCell
        >>> builds = [lambda size, depth=depth: Encoder(LSTMCell, 10, size, num_layers=depth) for depth in (1, 4)]
        >>> common_budget(builds, 500, tolerance=0.03)
        734
    """
    met = [_met_budgets(build, budget, tolerance) for build in builds]
    edges = {bound for intervals in met for interval in intervals for bound in interval}
    for candidate in sorted({budget, *edges}, key=lambda bound: abs(bound - budget)):
        is_met = all(any(low <= candidate <= high for low, high in intervals) for intervals in met)
        if is_met and all(nearest_size(build, candidate).misses(candidate, tolerance) is None for build in builds):
            return candidate
    return None


def _met_budgets(build: SizedModel, budget: int, tolerance: float) -> list[tuple[int, int]]:
    """The budgets around another one that a model meets, as ranges of whole numbers."""
    count = _counts(build)
    least, most = budget // 8, budget * 8
    size = nearest_size(build, max(least, 1)).hidden_size
    intervals: list[tuple[int, int]] = []
    while True:
        low, high = math.ceil(count(size) / (1 + tolerance)), math.floor(count(size) / max(1 - tolerance, 1e-9))
        if intervals and low <= intervals[-1][1] + 1 and low > budget:
            # From here on, every size's range reaches the next one's, as the gaps between sizes shrink in proportion.
            intervals.append((low, most))
            return intervals
        intervals.append((low, high))
        if count(size) > most:
            return intervals
        size += 1


def _counts(build: SizedModel) -> SizedCount:
    """Counts a model's parameters by its hidden size, each size once."""

    @cache
    def count(hidden_size: int) -> int:
        with torch.device("meta"):
            return count_parameters(build(hidden_size))

    return count
