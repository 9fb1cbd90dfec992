"""Columns of numbers in tables (csv, tsv, parquet) and arrays (npy): each value with its place."""

import logging
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.arrays import read_array
from seqlab.data.formats.kinds import broken_parquet
from seqlab.data.formats.number_marks import marks_mend, warn_of_thousands
from seqlab.data.formats.records import plain_records, quoted_records
from seqlab.data.formats.separators import NAMES, Writing, separator_of
from seqlab.data.formats.swallowed import check_no_rows_within
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""What stands for a missing number in text, in any case."""

_LARGEST: Final = float(np.finfo(np.float32).max)
_NO_VALUES: Final = ("None", "nan", "NaT", "<NA>")  # how what is no text says that it is missing
_ENDINGS: Final = {".csv": ",", ".tsv": "\t"}
_TABLES: Final = ".csv, .tsv, .parquet or .npy (csv and tsv also with .gz behind)"
_NO_NAME: Final = re.compile(r"|Unnamed: \d+(\.\d+)*")  # pandas' name of a column without one
_MOST_NAMES: Final = 20  # of columns that a message lists


@dataclass(frozen=True)
class Columns:
    """The columns of a table, by name, and where each row stands.

    Attributes:
        values: the columns, each a list of text or numbers, or an array.
        places: the place of each row, for messages.
        unnamed: the columns without a name, such as the row numbers that pandas writes, and then reads as "Unnamed: 0".
    """

    values: dict[str, Sequence[Any] | NDArray[Any]]
    places: Sequence[str]
    unnamed: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.places)

    def column(self, name: str, option: str) -> Sequence[Any] | NDArray[Any]:
        """One column.

        Args:
            name: its name.
            option: the option that names it, for messages.

        Raises:
            InputError: there is no such column, or the name is no text.
        """
        if not isinstance(name, str):
            raise InputError(f"{option}={name} must be a column's name, in quotes where it looks like something else")
        if name not in self.values:
            file = self.places[0].rpartition(":")[0] if self.places else "the file"
            names = list(self.values)
            shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
            others = [word for mark, word in NAMES.items() if mark != " " and len(names) == 1 and mark in names[0]]
            mend = f"; give data.separator={others[0]}" if others else ""
            raise InputError(f"{file}: there is no column {name!r}, which {option} names; it has {shown}{mend}")
        return self.values[name]

    def check_no_others(self, used: Collection[str | None], option: str) -> None:
        """Refuses a column that has no use, where the first file has decided which columns are read.

        Args:
            used: the columns that have one.
            option: the option that names columns, for the message.

        Raises:
            InputError: naming the column.
        """
        other = next((name for name in self.values if name not in used and name not in self.unnamed), None)
        if other is not None:
            file = self.places[0].rpartition(":")[0] if self.places else "the file"
            raise InputError(
                f"{file} has a column {other!r}, which the first file lacks; name the columns that are read by "
                f"{option}=, or give all files the same"
            )

    def others(self, used: Collection[str | None]) -> list[str]:
        """The names of the columns that have no other use. A log line tells of those without a name: they are left out.

        Args:
            used: the columns that have one.
        """
        unnamed = [name for name in self.values if name in self.unnamed and name not in used]
        if unnamed:
            log.warning(
                "%s: a column without a name is left out%s, such as pandas' row numbers; name it to have it read",
                self.places[0].rpartition(":")[0] if self.places else "the file",
                "".join(f" ({name})" for name in unnamed if name),
            )
        return [name for name in self.values if name not in used and name not in unnamed]


def read_columns(
    file: Path,
    encoding: str = "utf-8",
    separator: str | None = None,
    quoting: str | None = None,
    has_quoting: bool = False,
) -> Columns:
    """Reads a table: csv and tsv with a line of names, parquet, or npy with columns "0", "1", ...

    Args:
        file: the table.
        encoding: of csv and tsv.
        separator: what stands between two values; None: by the file's ending.
        quoting: "standard": values in double quotes may contain separators and line breaks; "none": quotes are ordinary
            characters; None: standard, but a value that contains rows is refused.
        has_quoting: whether the data has this option, which messages then name.

    Raises:
        InputError: the file has another ending or is broken, two columns share a name, or a row has more or fewer
            values than there are names; names file and line.
    """
    name = file.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if name.endswith(".npy"):
        return _of_array(file)
    if name.endswith(".parquet"):
        return _of_parquet(file)
    if ending not in _ENDINGS and separator is None:
        raise InputError(f"{file}: expected a file that ends in {_TABLES}, or data.separator= for text")
    mark = separator_of(separator) or _ENDINGS[ending]
    return _of_text(file, read_lines(file, encoding), mark, quoting, has_quoting)


def written_columns(file: Path, writing: Writing) -> Columns:
    """As :func:`read_columns`, for data with all options of writing but ``header``."""
    return read_columns(file, writing.encoding, writing.separator, writing.quoting, has_quoting=True)


def _of_text(file: Path, lines: Sequence[str], separator: str, quoting: str | None, has_quoting: bool) -> Columns:
    is_plain = quoting == "none"
    records = plain_records(lines, separator) if is_plain else quoted_records(file, lines, separator, 0, has_quoting)
    first = next(records, None)
    if first is None:
        raise InputError(f"{file}:1: expected a line of column names, got an empty file")
    names = [name.strip() for name in first.fields]
    _check_names(f"{file}:{first.line}", names)
    if all(_is_number(name) for name in names):
        raise InputError(f"{file}:{first.line}: expected a line of column names, got numbers; put one at the top")
    rows, places = [], []
    for record in records:
        if len(record.fields) != len(names):
            here = f"{file}:{record.line}: expected {len(names)} values ({', '.join(names[:_MOST_NAMES])})"
            others = [word for mark, word in NAMES.items() if mark not in (separator, " ") and mark in first.fields[0]]
            mend = f"; give data.separator={others[0]}" if len(names) == 1 and others else ""
            raise InputError(f"{here}, got {len(record.fields)}{mend}")
        if record.num_lines > 1 and quoting is None:
            check_no_rows_within(file, record, lines, separator, len(names), has_quoting)
        rows.append(record.fields)
        places.append(f"{file}:{record.line}")
    if len(names) == 1:
        _check_blanks(file, lines, first.line, len(rows))
    by_column = zip(*rows, strict=True) if rows else ([] for _ in names)
    columns: dict[str, Sequence[Any] | NDArray[Any]] = dict(zip(names, by_column, strict=True))
    return Columns(columns, places, frozenset(filter(_NO_NAME.fullmatch, names)))


def _check_blanks(file: Path, lines: Sequence[str], first: int, rows: int) -> None:
    """Refuses a blank line between the rows of a single column: it may be a missing value."""
    filled = [number for number, line in enumerate(lines[first:], first + 1) if line.strip()]
    if len(filled) == rows and filled and filled[-1] - first > rows:
        blank = next(number for number in range(first + 1, filled[-1]) if not lines[number - 1].strip())
        reads = "the line is blank, which may be a missing value where there is one column"
        raise InputError(f"{file}:{blank}: {reads}; write NA, or leave the line out")


def _of_parquet(file: Path) -> Columns:
    import pandas as pd
    import pyarrow as pa

    try:
        table = pd.read_parquet(file)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        raise InputError(f"{file} is not a parquet file{broken_parquet(file, error)}") from error
    unnamed = 0
    # An index is a column too, of times in most cases; pandas makes a range of even numbers, whatever their name.
    if not isinstance(table.index, pd.RangeIndex) or table.index.name is not None:
        unnamed = sum(name is None for name in table.index.names)
        table = table.reset_index()
    names = [str(name) for name in table.columns]
    _check_names(str(file), names)
    places = [f"{file}:{row}" for row in range(1, len(table) + 1)]
    columns = {}
    for name, column in zip(names, table, strict=True):
        try:
            columns[name] = table[column].to_numpy()
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise InputError(f"{file}: {name} has text that is not UTF-8; write the file anew in UTF-8") from error
    rows = names[:1] if unnamed == 1 and names[0] == "index" else ()
    return Columns(columns, places, frozenset(filter(_NO_NAME.fullmatch, names)).union(rows))


def _of_array(file: Path) -> Columns:
    array = read_array(file)
    if array.ndim not in (1, 2) or array.dtype.kind not in "biufc":
        wanted = "numbers (T,) or (T, F), a row a step"
        raise InputError(f"{file}: expected {wanted}, got {array.dtype} of shape {array.shape}")
    if np.iscomplexobj(array):
        raise InputError(f"{file}: expected real numbers, got {array.dtype}; give their parts as two features")
    table = array[:, None] if array.ndim == 1 else array
    places = [f"{file}:{row}" for row in range(1, len(table) + 1)]
    return Columns({str(number): table[:, number] for number in range(table.shape[1])}, places)


def _check_names(place: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{place}: {names.count(twice)} columns are named {twice!r}; rename them")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def numbers(column: Sequence[Any] | NDArray[Any], name: str, places: Sequence[str], decimal: str = ".") -> NDArray[Any]:
    """A column as float64, with NaN for what is missing.

    Args:
        column: its values.
        name: its name, for messages.
        places: the place of each value.
        decimal: the decimal mark of text, "." or ",".

    Raises:
        InputError: a value is no number, or is infinite or too large for float32; names its place.

    Example:
        >>> numbers(["1.5", "", "NA", "2e3"], "x", ["a:2", "a:3", "a:4", "a:5"]).tolist()
        [1.5, nan, nan, 2000.0]
    """
    values = np.asarray(column)
    if values.dtype.kind in "biuf":
        made = values.astype(np.float64)
    else:
        made = np.fromiter(
            (_number(value, name, place, decimal, column) for value, place in zip(column, places, strict=True)),
            np.float64,
            len(places),
        )
        warn_of_thousands(column, name, places, decimal)
    if (infinite := np.flatnonzero(np.isinf(made))).size:
        place = places[int(infinite[0])]
        raise InputError(f"{place}: {name} is infinite; leave the value empty, or leave the row out")
    if (large := np.flatnonzero(np.abs(made) > _LARGEST)).size:
        place, value = places[int(large[0])], made[large[0]]
        raise InputError(
            f"{place}: {name} is {value:g}, too large for float32; give it in a larger unit, or leave it empty"
        )
    return made


def is_missing(value: Any) -> bool:
    """Whether a value of a column is missing: no text but white space, or what stands for nothing in typed tables.

    Example:
        >>> [is_missing(value) for value in ("", " ", None, float("nan"), "None", 0)]
        [True, True, True, True, False, False]
    """
    return not value.strip() if isinstance(value, str) else str(value) in _NO_VALUES


def _number(value: Any, name: str, place: str, decimal: str, column: Iterable[Any]) -> float:
    if not isinstance(value, str) and str(value) in _NO_VALUES:
        return math.nan
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str):
        if text.casefold() in MISSING:
            return math.nan
        if decimal == "," and "." in text:  # 1.234 is a thousand and more, or a little above one
            mend = marks_mend(text, decimal) or "write all decimals alike, and no other points"
            raise InputError(f"{place}: {name} is {text[:60]!r}, and data.decimal=',': {mend}")
        text = text.replace(",", ".") if decimal == "," and text.count(",") == 1 else text
    try:
        if isinstance(text, str) and "_" in text:  # which Python takes for a digit separator
            raise ValueError
        if isinstance(text, (np.datetime64, np.timedelta64)):  # which count nanoseconds
            raise TypeError
        return float(text)
    except (TypeError, ValueError):
        mend = marks_mend(text, decimal) if isinstance(text, str) else ""
        if not mend and not any(re.match(r"\s*[+-]?[.,]?\d", str(other)) for other in column):
            mend = f"nor is another of its column: if that says which series a row is of, give data.id={name}"
        reason = f"no number; {mend or 'give a number, or leave the value empty'}"
        raise InputError(f"{place}: {name} is {str(value)[:60]!r}, {reason}") from None
