"""How a series is known again that a model was trained on, in a file where it is shorter or longer."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from seqlab.data.core.fingerprint import same_numbers
from seqlab.data.formats.series import Series

_STEPS: Final = 32  # steps by which a series is known
_MOST: Final = 1000  # series that are kept


def beginning(series: Series) -> str:
    """A hash of a series' first values; empty if they are too few, or all the same, to tell it from others.

    Args:
        series: the series.

    Example:
        >>> from seqlab.data.forecasting.generated import Sine
        >>> one, shorter = (Sine(steps=steps, gaps=0.0).read()[0] for steps in (80, 60))
        >>> beginning(one) == beginning(shorter) != ""
        True
    """
    values = series.values[:_STEPS]
    if len(values) < _STEPS or not any(len(np.unique(column[~np.isnan(column)])) > 1 for column in values.T):
        return ""
    return same_numbers(values)[1].hex()


def beginnings(all_series: Sequence[Series], ends: Sequence[int]) -> dict[str, int]:
    """For each beginning, the number of steps of that series that training reads.

    Left out are beginnings that several series share, those after the first thousand, and series of which training
    reads less than the beginning.

    Args:
        all_series: the series.
        ends: for each, the number of steps that training reads.
    """
    names = [beginning(series) for series in all_series]
    counts = Counter(names)
    kept = [(name, end) for name, end in zip(names, ends, strict=True) if counts[name] == 1 and end >= _STEPS]
    return {name: int(end) for name, end in kept[:_MOST] if name}
