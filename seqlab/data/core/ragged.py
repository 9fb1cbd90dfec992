"""Rows of different lengths in one array."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.batch import kept_type, pad


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, one after the other.

    Attributes:
        values: ``(total,)``, the values of all rows, such as the token ids of a split's texts; or ``(total, ...)``,
            where each step has several numbers, such as the frames of series.
        starts: ``(N + 1,)`` int64; row n is ``values[starts[n] : starts[n + 1]]``.

    Example:
        >>> rows = Ragged.of(np.array([7, 8, 9]), counts=[1, 2])
        >>> rows.lengths.tolist(), rows.row(1).tolist()
        ([1, 2], [8, 9])
        >>> rows.first(1).values.tolist(), rows.where(np.array([False, True])).values.tolist()
        ([7, 8], [8, 9])
    """

    values: NDArray[Any]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[Any], counts: Sequence[int] | NDArray[Any]) -> "Ragged":
        """The rows that have these ``counts (N,)`` of the values."""
        return cls(values, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of values in each row, ``(N,)``."""
        return np.diff(self.starts)

    def row(self, number: int) -> NDArray[Any]:
        """The values of one row: integers as int64, other numbers as float32."""
        values: NDArray[Any] = self.values[self.starts[number] : self.starts[number + 1]]
        return values.astype(kept_type(values))

    def pad(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The rows with these numbers as one tensor ``(B, T, ...)`` with zeros behind, and their lengths ``(B,)``."""
        return pad([self.row(number) for number in numbers])

    def first(self, limit: int) -> "Ragged":
        """The first ``limit`` values of each row."""
        position = np.arange(len(self.values)) - np.repeat(self.starts[:-1], self.lengths)
        return Ragged.of(self.values[position < limit], np.minimum(self.lengths, limit))

    def where(self, condition: NDArray[np.bool_]) -> "Ragged":
        """The rows for which the condition, ``(N,)``, is true."""
        return Ragged.of(self.values[np.repeat(condition, self.lengths)], self.lengths[condition])
