"""Sentence pairs from two columns of a table: csv, tsv, jsonl or parquet. Errors name the line."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.data.core.labels import short_repr, strip_label
from seqlab.data.formats.records import plain_records, quoted_records
from seqlab.data.formats.separated import names_again, same_names, warn_of_names
from seqlab.data.formats.separators import Writing
from seqlab.data.formats.tables import check_record, ending_of, json_lines, parquet_rows
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_NAME = re.compile(
    r"[a-z]{2,3}([-_][a-z]{2,4})?|source|target|src|tgt|input|output|english|german|french|spanish", re.IGNORECASE
)
_WHOLLY_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True)
class PairFormat(Writing):
    """The columns of a table with sentence pairs, and how the table is written.

    Args:
        source: the column of sources: its name, or in separated values its number from 0 (or from the last, -1).
        target: the column of targets, likewise.
        encoding, separator, header, quoting: see :class:`~seqlab.data.formats.separators.Writing`. Without ``header``,
            the first line holds column names if a column is given by name. Without ``separator``, it is a tab in all
            files but .csv. Without ``quoting``, the values decide how quotes are read in all files but .csv, and a file
            that can be read both ways is refused.

    Raises:
        InputError: an option is wrong.
    """

    source: str | int
    target: str | int

    def __post_init__(self) -> None:
        super().__post_init__()
        for side in ("source", "target"):
            self.check_column(side)
        if self.source == self.target:
            raise InputError(f"data.source and data.target are both {self.source}: the same column on both sides")

    @property
    def named(self) -> bool:
        """Whether the first line names the columns."""
        return isinstance(self.source, str) or isinstance(self.target, str) if self.header is None else self.header


class SentencePair(NamedTuple):
    """A sentence and its translation.

    Attributes:
        source: the sentence as it stands in the data.
        target: its translation as it stands in the data.
        place: the place of the pair, for messages: ``file:line``.
    """

    source: str
    target: str
    place: str


def read_pairs(file: Path, form: PairFormat) -> Iterator[SentencePair]:
    """Reads the rows of a table.

    Args:
        file: a table, by its ending: csv, tsv, jsonl or parquet; others read as separated values.
        form: its columns, and how it is written.

    Raises:
        InputError: there is no such column, or a row has no text in it; names file and line.
    """
    ending = ending_of(file)
    if ending in (".jsonl", ".ndjson", ".json", ".parquet"):
        yield from _records(file, form, ending == ".parquet")
        return
    separator = form.separator or ("," if ending == ".csv" else "\t")
    lines = read_lines(file, form.encoding)
    rows = _separated(file, lines, separator, _quoting(file, lines, separator, form, ending))
    first = next(rows, None)
    if first is None:
        return
    number, names = first
    columns = [_column(f"{file}:{number}", names, form, side) for side in ("source", "target")]
    if columns[0] == columns[1]:
        raise InputError(f"{file}:{number}: data.source and data.target name the same column")
    if form.named:
        warn_of_names(f"{file}:{number}", names, [form.source, form.target], columns)
        log.info("%s:%d: the line of column names: %s", file, number, ", ".join(names)[:100])
    elif all(map(_like_name, (names[column] for column in columns))):
        log.warning(
            "%s:%d: the first line looks like column names (%s), and is read as a pair: leave it out by "
            "data.header=true",
            *(file, number, ", ".join(names)[:100]),
        )
    if not form.named:
        yield SentencePair(names[columns[0]], names[columns[1]], f"{file}:{number}")
    for number, values in rows:
        if len(values) != len(names):
            hint = "" if form.quoting else "; where quotes are characters of the texts give data.quoting=none"
            raise InputError(
                f"{file}:{number}: expected {len(names)} columns as in the first line, got {len(values)}{hint}"
            )
        if form.named and same_names(values, names):
            raise InputError(f"{file}:{number}: {names_again(values, names)}")
        yield SentencePair(values[columns[0]], values[columns[1]], f"{file}:{number}")


def _like_name(value: str) -> bool:
    """Whether a value is a usual name of a column of pairs: the code of a language, or a word for a side."""
    return bool(_NAME.fullmatch(strip_label(value)))


def _separated(file: Path, lines: Sequence[str], separator: str, quoting: str) -> Iterator[tuple[int, list[str]]]:
    """The first line and the values of each row that is not blank."""
    is_plain = quoting == "none"
    for record in plain_records(lines, separator) if is_plain else quoted_records(file, lines, separator):
        yield record.line, record.fields


def _quoting(file: Path, lines: Sequence[str], separator: str, form: PairFormat, ending: str) -> str:
    """How quotes are read: by the options, or else by the values of the file.

    A value that begins with a quote but is not one quoted value shows that quotes are characters. Doubled quotes in a
    quoted value show the opposite.
    """
    if form.quoting is not None:
        return form.quoting
    if ending == ".csv":
        return _csv_quoting(file, lines, separator)
    plain = quoted = None  # lines that show the one or the other
    whole = None  # the first line with a value that can be read both ways
    for number, line in enumerate(lines, start=1):
        if '"' not in line:
            continue
        for value in line.split(separator):
            if not value.startswith('"'):
                continue
            if len(value) < 2 or not _WHOLLY_QUOTED.fullmatch(value):
                plain = plain or number
            elif '""' in value[1:-1]:
                quoted = quoted or number
            else:
                whole = whole or number
    if plain is not None and quoted is None:
        return "none"
    if quoted is not None and plain is None:
        return "standard"
    if plain is None and whole is None:
        return "none"
    at = plain or quoted or whole
    raise InputError(
        f"{file}:{at}: a value begins with a double quote, which may be a character of the text or stand around a "
        "value: give data.quoting=none or data.quoting=standard"
    )


def _csv_quoting(file: Path, lines: Sequence[str], separator: str) -> str:
    """Refuses a quoted value that seems to contain rows."""
    width = None
    for record in quoted_records(file, lines, separator):
        width = width or len(record.fields)
        if record.num_lines > 1:
            inside = lines[record.line - 1 : record.line - 1 + record.num_lines]
            if 2 * sum(len(line.split(separator)) == width for line in inside) > len(inside):
                raise InputError(
                    f"{file}:{record.line}: a quoted value spans {record.num_lines} lines, most of which would be rows "
                    "of their own: close the quote, or give data.quoting=none, or data.quoting=standard if it is right"
                )
    return "standard"


def _column(place: str, names: Sequence[str], form: PairFormat, side: str) -> int:
    column: str | int = getattr(form, side)
    stripped = list(map(strip_label, names))
    if form.named and str(column) in stripped:
        if stripped.count(str(column)) > 1:
            raise InputError(f"{place}: {stripped.count(str(column))} columns are named {column!r}; rename them")
        return stripped.index(str(column))
    if isinstance(column, int):
        if not -len(names) <= column < len(names):
            raise InputError(f"{place}: there is no column number {column}: the line has {len(names)} values, from 0")
        return column % len(names)
    shown = ", ".join(repr(name[:40]) for name in stripped)
    raise InputError(
        f"{place}: there is no column {column!r} but {shown}: give data.{side}=NAME, or where no line names them "
        "both as numbers, from 0, and if need be data.separator="
    )


def _records(file: Path, form: PairFormat, parquet: bool) -> Iterator[SentencePair]:
    sides = {"source": str(form.source), "target": str(form.target)}
    records: Iterator[tuple[str, dict[str, Any]]] = (
        parquet_rows(file, sides) if parquet else json_lines(file, form.encoding, sides.values())
    )
    for place, record in records:
        values = []
        check_record(place, record, sides)
        for column in sides.values():
            if not isinstance(record[column], str):
                raise InputError(f"{place}: expected text in {column!r}, got {short_repr(record[column])}")
            values.append(record[column])
        yield SentencePair(values[0], values[1], place)
