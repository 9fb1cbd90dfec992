"""Where sequences with a number each come from: a user's files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.cut import Cut
from seqlab.data.core.reading import Reading
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.series import TIME_GAP, Series, SeriesFormat, feature_names, read_series, warn_of_equal_ids
from seqlab.data.formats.sources import FileRows
from seqlab.errors import InputError


@dataclass(frozen=True, eq=False)
class NumberedSeries:
    """A series and its numbers.

    Attributes:
        series: the series, of the features alone.
        targets: its numbers, ``(K,)`` float64.
    """

    series: Series
    targets: NDArray[np.float64]


class NumberedSource(Protocol):
    """The contract of a source of series with numbers. A source may also have ``files()``, the files that it reads."""

    targets: Sequence[str]
    """The names of the numbers of a series."""
    features: Sequence[str]
    """The names of the numbers of a frame."""
    format: SeriesFormat

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[NumberedSeries]:
        """The series of "train", "validation" or "test"."""


class NumberedSeriesFiles(FileRows[NumberedSeries]):
    """Series in csv, tsv, parquet or npy, with a column of the number that is asked of each series.

    A row is a step. With ``form.id`` a file holds many series, in the long form; without it each file is one. A
    target's column has the series' number in all its rows, or in some, and nothing in the others.

    Args:
        files: the files of each split; or those of one set (``path``), whose series are shuffled and cut.
        form: how they hold series.
        targets: the columns of the numbers that are asked.
        features: the columns that are read; empty: all that have no other use.
        cut: how one set is cut.

    Raises:
        InputError: no file, no target, a column with two uses, or an option is wrong; on first use: what
            :func:`read_series` refuses, or a series without its number or with two.
    """

    unit = "series"

    def __init__(
        self,
        files: Files | Paths = Files(),
        form: SeriesFormat = SeriesFormat(),
        targets: Sequence[str] | str | None = None,
        features: Sequence[str] | str | None = None,
        cut: Cut = Cut(),
    ) -> None:
        self._files = Files.of(files).expanded("series with numbers")
        self.format, self._cut = form, cut
        if cut.split_unique:
            raise InputError("data.split_unique=true is for texts; leave it out")
        self.targets, self._features = _names("targets", targets), _names("features", features)
        if not self.targets:
            raise InputError("series with numbers: give data.targets=COLUMN, whose number is asked of each series")
        uses = [("data.time", form.time), ("data.id", form.id)]
        uses += [(f"data.{option}", name) for option in ("targets", "features") for name in _columns(self, option)]
        for number, (option, name) in enumerate(uses):
            other = next((use for use, earlier in uses[:number] if earlier == name and name is not None), None)
            if other is not None:
                raise InputError(f"{other} and {option} both name the column {name!r}; a column has one use")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read of each step."""
        if self._features:
            return self._features
        first = self.files()[0]
        names = tuple(name for name in feature_names(first, self.format) if name not in self.targets)
        if not names:
            raise InputError(f"{first}: every column has another use, so there is none to read; give data.features=")
        return names

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers of a frame."""
        return (*self.columns, TIME_GAP) if self.format.time_gaps else self.columns

    def _read_files(self) -> dict[str, Reading[NumberedSeries]]:
        return {name: Reading(self._read_all(files)) for name, files in self._files.items()}

    def _read_all(self, files: Sequence[Path]) -> list[NumberedSeries]:
        read = {file: self._read(file) for file in files}
        warn_of_equal_ids(self.format, {file: [each.series.name for each in rows] for file, rows in read.items()})
        return [each for rows in read.values() for each in rows]

    def _read(self, file: Path) -> list[NumberedSeries]:
        count = len(self.targets)
        no_others = None if self._features else "data.features"
        all_series = read_series(file, self.format, (*self.columns, *self.targets), count, no_others)
        return [
            NumberedSeries(
                replace(series, values=series.values[:, :-count]),
                np.array([_number(series, number - count, name) for number, name in enumerate(self.targets)]),
            )
            for series in all_series
        ]


def _number(series: Series, column: int, name: str) -> float:
    """The one number that a column holds."""
    values = series.values[:, column]
    rows = np.flatnonzero(~np.isnan(values))
    if not len(rows):
        raise InputError(f"{series.places[0]}: series {series.name} has no {name}; give it in one of its rows, or all")
    differing = rows[values[rows] != values[rows[0]]]
    if len(differing):
        raise InputError(
            f"{series.places[differing[0]]}: {name} is {values[differing[0]]:g}, and {values[rows[0]]:g} at "
            f"{series.places[rows[0]]}, of the same series {series.name}; a series has one"
        )
    return float(values[rows[0]])


def _columns(source: NumberedSeriesFiles, option: str) -> Sequence[str]:
    return source.targets if option == "targets" else source._features


def _names(option: str, value: Sequence[str] | str | None) -> tuple[str, ...]:
    names = () if value is None else (value,) if isinstance(value, (str, int)) else tuple(value)
    if not all(isinstance(name, (str, int)) and str(name) for name in names):
        raise InputError(f"data.{option}={value} must be a column's name, or a list of names")
    return tuple(str(name) for name in names)
