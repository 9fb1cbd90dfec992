"""Mean and deviation of features in training."""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.labels import shortened
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_DIGITS = 2.0**-24  # the relative error of a number in float32
_LEAST_SHARE = 1000 * _DIGITS  # of a feature's mean, that its deviation has to be
_SMALLEST = float(np.finfo(np.float32).tiny)  # the least number that float32 holds with all its digits


def feature_statistics(
    values: NDArray[np.float64], names: Sequence[str], source: object
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, ``(F,)`` each; 1 is the deviation of a feature that never changes.

    Args:
        values: all steps of training, ``(N, F)``; NaN does not count.
        names: the features' names, for messages.
        source: what they come from, for messages.

    Raises:
        InputError: a feature has no value, or varies by less than float32 can tell.

    Example:
        >>> feature_statistics(np.array([[1.0, 5.0], [3.0, np.nan]]), ["a", "b"], "a file")
        (array([2., 5.]), array([1., 1.]))
    """
    for number, name in enumerate(names):
        if np.isnan(values[:, number]).all():
            raise InputError(f"{source}: {name} has no value in the training part; leave the column out")
    means = np.nanmean(values, 0)
    stds = np.where(
        np.nanmax(values, 0) > np.nanmin(values, 0), np.nanstd(values, 0), 0.0
    )  # of equal numbers it is 1e-17
    for name, mean, std in zip(names, means, stds, strict=True):
        check_resolved(name, float(mean), float(std), source)
    return means, np.where(stds > 0, stds, 1.0)


def warn_of_lost_digits(parts: Iterable[tuple[str, NDArray[np.float64]]], names: Sequence[str], source: object) -> None:
    """Warns of series whose changes are lost in float32, though over all series a feature varies enough.

    Args:
        parts: the name of each series, and what training has of its features, ``(T, F)``.
        names: the features' names, for messages.
        source: what they come from, for messages.
    """
    lost = []
    for series, values in parts:
        for name, column in zip(names, values.T, strict=True):
            there = column[~np.isnan(column)]
            if len(there) and there.min() < there.max() and there.std() < _LEAST_SHARE * abs(there.mean()):
                lost.append(f"{name} of {series}")
    if lost:
        log.warning(
            "%s: float32 cannot resolve how these change: %s; subtract a constant from each", source, shortened(lost)
        )


def constant_features(values: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """The names of the features that never change; see :func:`feature_statistics`."""
    return [name for name, never in zip(names, _never_change(values), strict=True) if never]


def _never_change(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.nanmax(values, 0) == np.nanmin(values, 0))


def check_resolved(name: str, mean: float, std: float, source: object) -> None:
    """Refuses a feature whose changes are lost in float32.

    Raises:
        InputError: they are.
    """
    if 0 < std < _SMALLEST:
        raise InputError(
            f"{source}: {name} varies by {std:.3g}, too little for float32; give it in a smaller unit, so that its "
            "numbers are larger"
        )
    if 0 < std < _LEAST_SHARE * abs(mean):
        raise InputError(
            f"{source}: {name} is {mean:.10g} give or take {std:.3g}, which float32 cannot resolve; "
            "subtract a constant from it"
        )
