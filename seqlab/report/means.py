"""The statistics of a report: a mean over a few seeds, its spread and its interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

DIVERGED = 1e100
"""A value beyond this has diverged, as one that is not finite has: a perplexity can be so large that its spread is not
finite."""

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T_QUANTILES = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of ``n`` values with its sample standard deviation and interval, which need two values or more."""

    n: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None


def mean_of(values: Sequence[float], comparisons: int = 1) -> Mean | None:
    """Mean, sample standard deviation and the interval of Student's t (1908); None without values.

    The interval assumes values that are about normal. Over three to five seeds it is honestly wide. A percentile
    bootstrap, which only draws the same few values again, covers the mean far too seldom.

    Args:
        values: The values.
        comparisons: The number m of intervals that are to hold together with 95 %: each has 1 - 0.05 / m (Bonferroni).

    Example:
        >>> mean = mean_of([10.0, 12.0])
        >>> mean.mean, round(mean.sd, 3), [round(bound, 3) for bound in mean.interval]
        (11.0, 1.414, [-1.706, 23.706])
        >>> mean_of([10.0])
        Mean(n=1, mean=10.0, sd=None, interval=None)
    """
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Mean(1, mean, None, None)
    sd = statistics.stdev(values)
    half = t_quantile(len(values) - 1, comparisons) * sd / math.sqrt(len(values))
    return Mean(len(values), mean, sd, (mean - half, mean + half))


def is_finite(value: float) -> bool:
    """Whether a value has not diverged."""
    return abs(value) <= DIVERGED  # False for NaN, too


def t_quantile(degrees_of_freedom: int, comparisons: int = 1) -> float:
    """The 1 - 0.025 / m quantile of Student's t, for m comparisons.

    For one comparison, to 4 decimals (beyond 30 degrees by the Cornish-Fisher expansion), without SciPy, whose import
    would take longer than most reports.

    Example:
        >>> t_quantile(1), round(t_quantile(60), 3), round(t_quantile(4, comparisons=3), 3)
        (12.7062, 2.0, 3.961)
    """
    if comparisons > 1:
        from scipy.special import stdtrit

        return float(stdtrit(degrees_of_freedom, 1 - 0.025 / comparisons))
    if degrees_of_freedom <= len(_T_QUANTILES):
        return _T_QUANTILES[degrees_of_freedom - 1]
    z, n = 1.959964, degrees_of_freedom
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3
