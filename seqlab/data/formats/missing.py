"""Missing values of series: refused, carried forward, or left for the model to be told of."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.series import TIME_GAP, Series
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

MISSING_CHOICES = ("refuse", "forward", "mask")


def check_missing(choice: str) -> str:
    """Checks that ``data.missing`` is one of the choices, and returns it.

    Raises:
        InputError: it is not.
    """
    if choice not in MISSING_CHOICES:
        raise InputError(f"data.missing={choice} must be one of {', '.join(MISSING_CHOICES)}")
    return choice


def filled(
    series: Series, names: Sequence[str], missing: str, means: Sequence[float], until: int
) -> NDArray[np.float32]:
    """The inputs of a series, ``(T, F)``, with missing values handled as the user chose.

    Args:
        series: the series.
        names: of its features, for messages.
        missing: "refuse" raises; "forward" carries the last value on, and takes the mean of training before the first;
            "mask" leaves NaN for the model.
        means: the mean of each feature in training.
        until: steps from there on may be missing, for nothing of them is read.

    Raises:
        InputError: a value is missing and ``missing`` is "refuse"; names its place and the choices.
    """
    values = series.values.copy()
    gaps = np.isnan(values)
    if missing == "refuse" and gaps[:until].any():
        step, feature = map(int, np.argwhere(gaps[:until])[0])
        raise InputError(
            f"{series.places[step]}: {names[feature]} is missing{_after(series, step)}, and "
            f"{int(gaps[:until].sum()):,} of {gaps[:until].size:,} values of {series.name} are; give "
            "data.missing=forward, which carries the last value on, or data.missing=mask, which tells the model what "
            "is missing"
        )
    if missing == "forward" and gaps.any():
        rows = np.where(gaps, -1, np.arange(len(values))[:, None])
        rows = np.maximum.accumulate(rows, 0)
        carried = np.take_along_axis(values, rows.clip(0), 0)
        values = np.where(rows < 0, np.asarray(means), carried)
    return values.astype(np.float32)


def warn_of_nothing(series: Series, names: Sequence[str], first: int = 0, end: int | None = None) -> None:
    """Warns of a series without a single value among those that a model reads: its answer is about nothing.

    Args:
        series: the series.
        names: of its features.
        first: the first step that is read.
        end: the step after the last one; None: all are read.
    """
    numbers = [number for number, name in enumerate(names) if name != TIME_GAP]
    if np.isnan(series.values[first:end, numbers]).all():
        log.warning(
            "%s: series %s has no value in the steps that are read: the answer is what the model says of nothing",
            *(series.places[first], series.name),
        )


def _after(series: Series, step: int) -> str:
    return ", or a step after this row" if series.inserted and np.isnan(series.values[step]).all() else ""
