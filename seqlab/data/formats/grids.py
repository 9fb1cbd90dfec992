"""Times of series on a grid of equal steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.times import shown
from seqlab.errors import InputError

_FEWEST_DAYS: Final = 28  # between two times of a monthly series
_UNITS: Final = (("week", 7 * 86_400), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True)
class Grid:
    """Equal steps of time, from the first time of a series on.

    Attributes:
        first: the first time.
        step: from time to time: a number, nanoseconds of dates, or months.
        months: whether the steps are months.
        at_ends: whether the times are the last days of months.
    """

    first: Any
    step: float = 1.0
    months: bool = False
    at_ends: bool = False

    def times(self, positions: NDArray[np.int64]) -> Any:
        """The times at these positions, from 0.

        Example:
            >>> grid = Grid(np.datetime64("2026-01-31", "ns"), 1, months=True, at_ends=True)
            >>> grid.times(np.array([1, 2])).astype("datetime64[D]")
            array(['2026-02-28', '2026-03-31'], dtype='datetime64[D]')
        """
        if not self.months:
            steps = positions * self.step
            if isinstance(self.first, np.integer):  # beyond what floats tell apart
                return self.first + np.rint(steps).astype(np.int64)
            return self.first + (steps.astype("timedelta64[ns]") if isinstance(self.first, np.datetime64) else steps)
        month = self.first.astype("datetime64[M]")
        months = month + (positions * int(self.step)).astype("timedelta64[M]")
        if not self.at_ends:
            return months.astype("datetime64[ns]") + (self.first - month.astype("datetime64[ns]"))
        days = (months + 1).astype("datetime64[D]") - 1
        return days.astype("datetime64[ns]") + (self.first - self.first.astype("datetime64[D]"))

    def __str__(self) -> str:
        """The step in words."""
        if self.months:
            return f"{int(self.step)} month{'s' * (self.step > 1)}"
        if not isinstance(self.first, np.datetime64):
            return f"{self.step:.10g}"
        seconds = self.step / 1e9
        for unit, size in _UNITS:
            if seconds >= size and seconds % size == 0:
                count = int(seconds // size)
                return f"{count} {unit}{'s' * (count > 1)}"
        return f"{seconds:.10g} seconds"


def grid_of(times: NDArray[Any], name: str, places: Sequence[str]) -> tuple[NDArray[np.int64], Grid]:
    """The position of each time on a grid of equal steps, from 0, and the grid.

    A step is the commonest difference of two neighbours; months count as steps where all times are of the same day of
    the month, or its last one.

    Args:
        times: the times of one series, which run forward.
        name: their column, for messages.
        places: the place of each.

    Raises:
        InputError: a time lies between two steps.

    Example:
        >>> times = np.array(["2026-01-31", "2026-02-28", "2026-04-30"], dtype="datetime64[ns]")
        >>> positions, grid = grid_of(times, "day", ["a:2", "a:3", "a:4"])
        >>> positions.tolist(), str(grid)
        ([0, 1, 3], '1 month')
    """
    if len(times) < 2:
        return np.zeros(len(times), dtype=np.int64), Grid(times[0])
    if np.issubdtype(times.dtype, np.datetime64):
        months = _months(times)
        if months is not None:
            step = int(np.gcd.reduce(np.diff(months)))
            days = times.astype("datetime64[D]")
            at_ends = bool(((days + 1).astype("datetime64[M]") != days.astype("datetime64[M]")).all())
            return (months - months[0]) // step, Grid(times[0], step, months=True, at_ends=at_ends)
        offsets, resolution = (times - times[0]).astype(np.int64).astype(np.float64), 1.0
    elif np.issubdtype(times.dtype, np.integer):
        offsets, resolution = (times - times[0]).astype(np.float64), 1.0
    else:
        offsets, resolution = times.astype(np.float64) - float(times[0]), float(np.spacing(np.abs(times).max()))
    gaps = np.diff(offsets)
    differences, counts = np.unique(gaps, return_counts=True)
    commonest = float(differences[int(counts.argmax())])
    # Neighbours first: where times are long numbers, a step that is off by a rounding is off by whole steps at the end.
    positions = np.concatenate([[0.0], np.cumsum(np.rint(gaps / commonest))])
    exact = _exact_step(offsets, positions, commonest, resolution)
    grid = Grid(times[0], exact)
    off = np.flatnonzero(np.abs(offsets / exact - positions) > 1e-4 + 2 * resolution / exact)
    if off.size or (np.diff(positions) == 0).any():
        at = int(off[0]) if off.size else int(np.flatnonzero(np.diff(positions) == 0)[0]) + 1
        raise InputError(
            f"{places[at]}: {name} {shown(times[at])} lies between two steps of {grid}, the commonest step; mend it, "
            "or give data.time_gaps=true, which takes the rows as they are and lets the model read the time since the "
            "row before"
        )
    return positions.astype(np.int64), grid


def _exact_step(
    offsets: NDArray[np.float64], positions: NDArray[np.float64], commonest: float, resolution: float
) -> float:
    """The step without the rounding of times, if one serves them all: 0.1 where two times differ by 0.09999990463."""
    if positions[-1] == 0:
        return commonest
    mean = float(offsets[-1] / positions[-1])
    for digits in range(1, 16):
        step = float(f"{mean:.{digits}g}")
        if np.abs(positions * step - offsets).max() <= 2 * resolution:
            return step
    return commonest


def _months(times: NDArray[Any]) -> NDArray[np.int64] | None:
    """The months of the times, counted from 1970, if they are of a monthly series."""
    days = times.astype("datetime64[D]")
    if np.diff(days).astype(np.int64).min() < _FEWEST_DAYS or len({*(times - days).astype(np.int64).tolist()}) > 1:
        return None
    months = times.astype("datetime64[M]")
    day_of_month = (days - months.astype("datetime64[D]")).astype(np.int64)
    is_last = (days + 1).astype("datetime64[M]") != months
    return months.astype(np.int64) if is_last.all() or len(np.unique(day_of_month)) == 1 else None
