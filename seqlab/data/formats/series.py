"""Series of numbers in files: wide tables, long tables with an id, and arrays."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.grids import Grid, grid_of
from seqlab.data.formats.ids import read_ids
from seqlab.data.formats.number_columns import Columns, numbers, read_columns
from seqlab.data.formats.separators import separator_of
from seqlab.data.formats.times import check_forward, check_pattern, read_times, shown
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

TIME_GAP: Final = "the time since the row before"
"""The name of the feature that ``SeriesFormat.time_gaps`` adds."""


@dataclass(frozen=True, eq=False)
class Series:
    """One series: T steps of F numbers.

    Attributes:
        name: its id, or its file's name where a file is one series.
        values: ``(T, F)`` float64; NaN is a missing value.
        places: the place of each step, for messages; that of the row before for a step that the file has not.
        times: ``(T,)`` datetime64 or float64, the time of each step; None where rows have none.
        inserted: how many steps the file has not: gaps in its times.
        grid: the times as equal steps; None where there are none, or rows come at any time.
    """

    name: str
    values: NDArray[np.float64]
    places: Sequence[str]
    times: NDArray[Any] | None = None
    inserted: int = 0
    grid: Grid | None = None

    def __len__(self) -> int:
        return len(self.values)

    def when(self, step: int) -> str:
        """The time of a step, from 0, for a message: of a later step than the series has, too."""
        if self.grid is not None:
            return shown(self.grid.times(np.array([step]))[0])
        return f"step {step + 1}" if self.times is None or step >= len(self) else shown(self.times[step])


@dataclass(frozen=True, kw_only=True)
class SeriesFormat:
    """How files hold series.

    Args:
        time: the column of times; None: rows follow each other, a step apart.
        time_format: how dates are written, as for ``datetime.strptime``; None: as numbers or in ISO 8601.
        id: the column that says which series a row is of; None: a file is one series.
        time_gaps: whether rows may come at any times: the time since the row before is then one more feature, in
            seconds where times are dates, else in the numbers' own unit, and 0 at the first row. Otherwise times make a
            grid, and a step that the file lacks is a missing value.
        encoding: of csv and tsv.
        separator: what stands between two values; None: by the file's ending.
        decimal: the decimal mark, "." or ",".

    Raises:
        InputError: an option is wrong.
    """

    time: str | None = None
    time_format: str | None = None
    id: str | None = None
    time_gaps: bool = False
    encoding: str = "utf-8"
    separator: str | None = None
    decimal: str = "."

    def __post_init__(self) -> None:
        separator_of(self.separator)
        if self.decimal not in (".", ","):
            raise InputError(f"data.decimal={self.decimal!r} must be '.' or ','")
        if self.time is None:
            for option in ("time_format", "time_gaps"):
                if getattr(self, option):
                    raise InputError(
                        f"data.{option}={getattr(self, option)} needs the column of times: give data.time="
                    )

        elif self.time_format is not None:
            check_pattern(self.time_format)

    def plain(self) -> dict[str, Any]:
        """The fields as plain values, which make the same format again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def read_series(
    file: Path, form: SeriesFormat, features: Sequence[str], num_known: int = 0, no_others: str | None = None
) -> list[Series]:
    """Reads the series of a file.

    Args:
        file: csv, tsv, parquet or npy.
        form: how it holds series.
        features: the columns of numbers, in their order; empty: all but those of times and ids.
        num_known: how many of them, the last ones, are known beforehand; with ``form.time_gaps`` the time since the
            row before stands ahead of these.
        no_others: the option that names the columns, if the file may have no others; None: it may.

    Returns:
        The series in the order of their first rows.

    Raises:
        InputError: the file is broken, lacks a column or has one too many, a value is no number or infinite, a time
            runs backwards or lies between two steps; names file and line.
    """
    columns = read_columns(file, form.encoding, form.separator)
    if no_others is not None:
        columns.check_no_others([*features, form.id, form.time], no_others)
    return series_of(file, columns, form, features, num_known)


def series_of(
    file: Path, columns: Columns, form: SeriesFormat, features: Sequence[str], num_known: int = 0
) -> list[Series]:
    """The series in the columns of a file; see :func:`read_series`."""
    if not len(columns):
        raise InputError(f"{file} has no row; give it at least one")
    names = list(features) or columns.others((form.time, form.id))
    if not names:
        raise InputError(f"{file}: there is no column of numbers beside those of data.time and data.id")
    values = np.stack([numbers(columns.column(n, "the data"), n, columns.places, form.decimal) for n in names], 1)
    times = None
    if form.time is not None:
        column = columns.column(form.time, "data.time")
        times = read_times(column, form.time, columns.places, form.time_format, form.decimal)
    return [_series(each, form, num_known) for each in _by_id(file, columns, form, values, times)]


def feature_names(file: Path, form: SeriesFormat) -> list[str]:
    """The columns of a file beside those of times and ids."""
    return read_columns(file, form.encoding, form.separator).others((form.time, form.id))


def warn_of_equal_ids(form: SeriesFormat, names: Mapping[Path, Sequence[str]]) -> None:
    """Warns where two files of one split hold series of one id.

    Each file may number its own series, or a file may go on where another ends, so nothing is refused.

    Args:
        form: how the files hold series; without ``form.id``, a series has its file's name.
        names: the names of the series of each file.
    """
    if form.id is None:
        return
    first: dict[str, Path] = {}
    again = [(name, file) for file, each in names.items() for name in each if first.setdefault(name, file) != file]
    if again:
        name, file = again[0]
        count = "" if len(again) == 1 else f"; so do {len(again)} ids in all"
        log.warning(
            "%s: the %s %s stands in %s too%s. In each file it is a series of its own; where one file continues "
            "another, give their rows as one file",
            *(file, form.id, name, first[name], count),
        )


def steps_of(all_series: Iterable[Series]) -> tuple[str, ...]:
    """The different steps of time of series, in words; none where they have no times.

    Rows that come at any times have the kind of these: seconds of dates, or numbers. A series of one row has no step.

    Raises:
        InputError: the times of some series are dates, and of others numbers.
    """
    some = [each for each in all_series if each.times is not None]
    dates, others = (next((each for each in some if _has_dates(each) == kind), None) for kind in (True, False))
    if dates is not None and others is not None:
        raise InputError(
            f"{others.places[0]}: the times of series {others.name} are numbers, and those of {dates.name} at "
            f"{dates.places[0]} dates; give all times in one form"
        )
    return tuple(sorted({_step_of(each) for each in some if len(each) > 1}))


def steps_of_training(splits: Mapping[str, Sequence[Series]], trained: Sequence[str] | None) -> tuple[str, ...]:
    """The steps of the training series. Series of any split are told whose steps are none of these, or of ``trained``.

    Raises:
        InputError: the times of some series are dates, and of others numbers.
    """
    steps = steps_of(splits["train"])
    steps_of(each for rows in splits.values() for each in rows)
    for rows in splits.values():
        warn_of_other_steps(rows, steps if trained is None else trained)
    return steps


def _has_dates(series: Series) -> bool:
    return series.times is not None and np.issubdtype(series.times.dtype, np.datetime64)


def _step_of(series: Series) -> str:
    if series.grid is not None:
        return str(series.grid)
    return "any length, in seconds of dates" if _has_dates(series) else "any length, in numbers"


def warn_of_other_steps(all_series: Sequence[Series], trained: Sequence[str]) -> None:
    """Warns of series whose steps of time are none of training's: a model knows steps, not times.

    Args:
        all_series: the series.
        trained: the steps of training's series, from :func:`steps_of`; empty: they had none.
    """
    others = [each for each in all_series if trained and steps_of([each]) and _step_of(each) not in trained]
    if others:
        log.warning(
            "%s: the steps of series %s are of %s, and those of training of %s: what a step means is known from "
            "training alone; give series like those",
            *(others[0].places[0], others[0].name, _step_of(others[0]), ", ".join(trained[:4])),
        )


def _by_id(file: Path, columns: Columns, form: SeriesFormat, values: Any, times: Any) -> list[Series]:
    if form.id is None:
        return [Series(file.stem, values, columns.places, times)]
    return [
        Series(name, values[at], [columns.places[i] for i in at], None if times is None else times[at])
        for name, at in rows_by_id(columns, form.id).items()
    ]


def rows_by_id(columns: Columns, id_column: str) -> dict[str, list[int]]:
    """The numbers of the rows of each series, in the order of their first rows.

    Raises:
        InputError: there is no such column, or a row has no id.
    """
    rows: dict[str, list[int]] = {}
    ids = read_ids(columns, id_column, "data.id", "every row needs the id of its series")
    for number, name in enumerate(ids):
        rows.setdefault(name, []).append(number)
    return rows


def _series(series: Series, form: SeriesFormat, num_known: int) -> Series:
    """A series with its times checked, and the steps that its file lacks as missing values."""
    if series.times is None or form.time is None:
        return series
    check_forward(series.times, form.time, series.places)
    if form.time_gaps:
        gaps = np.diff(series.times, prepend=series.times[:1])
        unit = np.timedelta64(1, "s") if np.issubdtype(gaps.dtype, np.timedelta64) else 1.0  # the same for all series
        place = series.values.shape[1] - num_known
        return replace(series, values=np.insert(series.values, place, gaps / unit, axis=1))
    positions, grid = grid_of(series.times, form.time, series.places)
    steps = int(positions[-1]) + 1
    if steps == len(series):
        return replace(series, grid=grid)
    if steps > 100 * len(series):
        at = int(np.diff(positions).argmax()) + 1
        raise InputError(
            f"{series.places[at]}: {form.time} jumps from {shown(series.times[at - 1])} to {shown(series.times[at])}: "
            f"more than 99 of 100 steps of {grid} are missing; give data.time_gaps=true, or cut the series there"
        )
    before = np.searchsorted(positions, np.arange(steps), side="right") - 1  # the row at or before each step
    values = np.full((steps, series.values.shape[1]), np.nan)
    values[positions] = series.values
    places = [series.places[row] for row in before]
    times = grid.times(np.arange(steps))
    return Series(series.name, values, places, times, steps - len(series), grid)
