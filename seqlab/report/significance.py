"""Tests of paired differences: p-values by Holm, and the difference that so many pairs would have shown."""

import math
from collections.abc import Sequence

from seqlab.report.means import Mean, t_quantile

POWER = 0.8
_QUANTILES = 4000


def p_value(difference: Mean) -> float | None:
    """The two-sided p-value of Student's paired t-test; None for fewer than two pairs.

    Example:
        >>> from seqlab.report.means import mean_of
        >>> round(p_value(mean_of([1.0, 2.0, 3.0])), 4)
        0.0742
    """
    if difference.sd is None:
        return None
    if difference.sd == 0:
        return 1.0 if difference.mean == 0 else 0.0
    from scipy.special import stdtr

    t = difference.mean / (difference.sd / math.sqrt(difference.n))
    return 2 * float(stdtr(difference.n - 1, -abs(t)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm (1979): below 0.05, a difference holds beside all others.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def detectable(difference: Mean, comparisons: int) -> float | None:
    """The true difference that this many pairs, as scattered as these, would show with a probability of 80 %.

    To show means an interval of 1 - 0.05 / m without zero. None for fewer than two pairs.

    Args:
        difference: The mean difference over pairs.
        comparisons: The number m of differences that are judged together.

    Example:
        >>> from seqlab.report.means import mean_of
        >>> round(detectable(mean_of([1.0, 2.0, 3.0]), comparisons=1), 3)  # with a deviation of 1
        3.264
    """
    if difference.sd is None:
        return None
    import numpy as np
    from scipy.special import chdtri, ndtr

    freedom = difference.n - 1
    # The t statistic is (normal + shift) / scale; its power is a mean over the quantiles of the scale. SciPy's own
    # noncentral t is wrong by a third at few degrees of freedom.
    scales = np.sqrt(chdtri(freedom, (np.arange(_QUANTILES) + 0.5) / _QUANTILES) / freedom)
    bounds = t_quantile(freedom, comparisons) * scales

    def misses(shift: float) -> float:
        return float(np.mean(ndtr(bounds - shift) - ndtr(-bounds - shift)))

    low, high = 0.0, 1.0
    while misses(high) > 1 - POWER:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if misses(middle) > 1 - POWER else (low, middle)
    return high * difference.sd / math.sqrt(difference.n)
