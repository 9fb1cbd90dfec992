"""Series with a class each: long tables with a column of labels, and files of one series."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.labels import LabelNames
from seqlab.data.formats.number_columns import Columns, read_columns
from seqlab.data.formats.series import Series, SeriesFormat, rows_by_id, series_of
from seqlab.data.formats.ts_files import Case, is_ts, read_ts
from seqlab.errors import InputError

_TYPED: Final = (".parquet",)  # tables whose values have types


@dataclass(frozen=True, eq=False)
class LabelledSeries:
    """One series and its class.

    Attributes:
        series: T steps of F numbers.
        label: the name of its class.
        place: where its label stands, for messages.
    """

    series: Series
    label: str
    place: str

    @property
    def name(self) -> str:
        """The name of the series."""
        return self.series.name

    @property
    def values(self) -> NDArray[np.float64]:
        """``(T, F)``; NaN is a missing value."""
        return self.series.values

    def __len__(self) -> int:
        return len(self.series)


def number_names(file: Path, form: SeriesFormat, label: str | None = None) -> list[str]:
    """The features of a file of series: the columns beside those of times, ids and labels.

    Args:
        file: csv, tsv, parquet, npy or ts.
        form: how it holds series.
        label: the column of labels; None: there is none.

    Raises:
        InputError: the file is broken, or there is no such column.
    """
    if is_ts(file):
        return [str(number) for number in range(_cases(file, form)[0].series.values.shape[1])]
    if label is not None:
        _check_labels(file)
    columns = read_columns(file, form.encoding, form.separator)
    others = {"data.label": label, "data.id": form.id, "data.time": form.time}
    for option, name in others.items():
        if name is not None:  # else a column of texts would be taken for numbers
            columns.column(name, option)
    names = columns.others(others.values())
    if not names:
        raise InputError(f"{file}: there is no column of numbers beside those of times, ids and labels")
    return names


def read_numbers(
    file: Path, form: SeriesFormat, features: Sequence[str], by_place: bool = False, no_others: str | None = None
) -> list[Series]:
    """Reads the series of a file, whatever their labels.

    Args:
        file: csv, tsv, parquet, npy or ts.
        form: how it holds series.
        features: their names, in order; ``.npy`` and ``.ts`` number them "0", "1", ...
        by_place: whether a file that only numbers its features may stand for others of as many features.
        no_others: the option that names the columns, if the file may have no others; None: it may.

    Raises:
        InputError: the file is broken, lacks a feature or has one too many; names file and line.
    """
    if is_ts(file):
        return [
            _chosen(case.series, features, case.place, by_place, no_others is not None) for case in _cases(file, form)
        ]
    columns = read_columns(file, form.encoding, form.separator)
    if no_others is not None:
        columns.check_no_others([*features, form.id, form.time], no_others)
    numbered = file.name.lower().endswith(".npy")
    if by_place and numbered and not all(name in columns.values for name in features):
        _check_count(str(file), len(columns.values), features)
        return series_of(file, columns, form, list(columns.values))
    return series_of(file, columns, form, features)


def read_labelled(
    file: Path, form: SeriesFormat, label: str, features: Sequence[str], names: LabelNames, no_others: str | None = None
) -> list[LabelledSeries]:
    """Reads the series of a file, and the class of each.

    Args:
        file: csv, tsv, parquet or ts.
        form: how it holds series.
        label: the column of labels, of which all rows of a series have the same; a ts file has none.
        features: the columns of numbers, in order.
        names: makes the names of the classes.
        no_others: the option that names the columns, if the file may have no others; None: it may.

    Raises:
        InputError: the file is broken, lacks a column, or a series has no label or two; names file and line.
    """
    if is_ts(file):
        return _of_cases(file, form, features, names, no_others is not None)
    _check_labels(file)
    columns = read_columns(file, form.encoding, form.separator)
    if no_others is not None:
        columns.check_no_others([*features, form.id, form.time, label], no_others)
    all_series = series_of(file, columns, form, features)
    labels = [str(each) for each in _labels(columns, form, label, names, not file.name.lower().endswith(_TYPED))]
    rows = rows_by_id(columns, form.id) if form.id is not None else {file.stem: list(range(len(columns)))}
    made = []
    for series, numbers in zip(all_series, rows.values(), strict=True):
        first = numbers[0]
        other = next((number for number in numbers if labels[number] != labels[first]), None)
        if other is not None:
            several = "if the file holds several, name the column that tells them apart by data.id="
            mend = "" if form.id is not None else f"; {several}"
            raise InputError(
                f"{columns.places[other]}: {label} is {labels[other]!r}, and {labels[first]!r} in "
                f"{columns.places[first]}: a series has one label, here {series.name}{mend}"
            )
        made.append(LabelledSeries(series, labels[first], columns.places[first]))
    return made


def _check_labels(file: Path) -> None:
    if file.name.lower().endswith(".npy"):
        raise InputError(
            f"{file} holds numbers without labels; give a table with a line for each file, its name and its label, as "
            "data.path=TABLE data.file=COLUMN"
        )


def _labels(columns: Columns, form: SeriesFormat, label: str, names: LabelNames, written: bool) -> list[str]:
    found = []
    for value, place in zip(columns.column(label, "data.label"), columns.places, strict=True):
        plain: Any = value.item() if isinstance(value, np.generic) else value
        found.append(names.name(plain, place, written))
    return found


def _of_cases(
    file: Path, form: SeriesFormat, features: Sequence[str], names: LabelNames, exact: bool
) -> list[LabelledSeries]:
    made = []
    for case in _cases(file, form):
        if case.label is None:
            raise InputError(f"{case.place}: the file has no labels (@classLabel false); give one that has")
        label = names.name(case.label, case.place, written=True)
        made.append(LabelledSeries(_chosen(case.series, features, case.place, False, exact), label, case.place))
    return made


def _cases(file: Path, form: SeriesFormat) -> list[Case]:
    """The cases of a .ts file; options that are for tables are refused."""
    for option, value in (("id", form.id), ("time", form.time), ("separator", form.separator)):
        if value is not None:
            raise InputError(f"data.{option}={value} is for tables, and {file} is none: a .ts file has a series a line")
    return read_ts(file, form.encoding)


def _chosen(series: Series, features: Sequence[str], place: str, by_place: bool, exact: bool) -> Series:
    """A series of a .ts file, with these features alone."""
    available = [str(number) for number in range(series.values.shape[1])]
    unknown = next((name for name in features if name not in available), None)
    if unknown is not None:
        if by_place:
            _check_count(place, len(available), features)
            return series
        raise InputError(
            f"{place}: there is no dimension {unknown!r}, which the data names; it has {', '.join(available)}"
        )
    if exact and len(available) > len(features):
        raise InputError(
            f"{place}: {len(available)} numbers a step, and {len(features)} in the first file; give all series the same"
        )
    chosen = [available.index(name) for name in features]
    return Series(series.name, series.values[:, chosen], series.places)


def _check_count(place: str, count: int, features: Sequence[str]) -> None:
    if count != len(features):
        raise InputError(
            f"{place}: expected {len(features)} numbers a step ({', '.join(features[:20])}), got {count}; give a file "
            "like those of training"
        )
