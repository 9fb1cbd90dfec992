"""Quotes that are not closed: values of several lines that contain rows of their table."""

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.records import Record
from seqlab.errors import InputError

_SURE_LINES: Final = 4  # as many lines with the form of rows are rows, whatever their labels


class Suspect(NamedTuple):
    """A field of several lines that may contain rows: the line of its quote, its lines, and the labels of such rows."""

    line: int
    num_lines: int
    labels: list[str]


def suspects_of(record: Record, lines: Sequence[str], separator: str, label: int, width: int) -> Iterator[Suspect]:
    """The quoted fields of a record most of whose lines have as many values as a row.

    Args:
        record: the record.
        lines: all lines of its file.
        separator: what stands between two values.
        label: the number of the column of labels.
        width: the number of values of a row.
    """
    line = record.line
    for field in record.fields:
        more = field.count("\n")
        if more:
            inside = [text for text in lines[line - 1 : line + more] if text.strip()]
            rows = [values for text in inside if len(values := values_of(text, separator)) == width]
            if 2 * len(rows) > len(inside):
                yield Suspect(line, len(inside), [values[label].strip('"') for values in rows])
        line += more


def values_of(line: str, separator: str) -> list[str]:
    """The values of a line, if it is a row by itself."""
    if '"' not in line or len(separator) > 1:
        return line.split(separator)
    try:
        return next(csv.reader([line.replace("\r", " ")], delimiter=separator, strict=True), [])
    except csv.Error:
        return line.split(separator)


def check_swallowed(file: Path, suspect: Suspect, classes: Counter[str]) -> None:
    """Refuses a field most of whose lines are rows, by their labels, which other rows have, or by their number.

    Args:
        file: the file, for messages.
        suspect: the field.
        classes: the labels of other rows.

    Raises:
        InputError: the field contains rows.
    """
    matching = sum(strip_label(label) in classes for label in suspect.labels)
    plain = sum(bool(label) and not label[0].isspace() for label in suspect.labels)  # prose has a space after a comma
    alike = plain == suspect.num_lines >= _SURE_LINES
    if 2 * matching > suspect.num_lines or alike:
        raise InputError(
            f"{file}:{suspect.line}: a quote opens here whose value spans {suspect.num_lines} lines, "
            f"{len(suspect.labels)} of which would be rows of their own: close the quote, or give data.quoting=none, "
            "where quotes are characters of the texts (data.quoting=standard reads the value as it stands)"
        )


def check_no_rows_within(
    file: Path, record: Record, lines: Sequence[str], separator: str, width: int, has_option: bool
) -> None:
    """Refuses a record one of whose values contains rows of the table, where rows have no labels to know them by.

    A line after the first of a value is taken for a row if it has as many values as one, none of them empty or behind a
    space, as prose has it after a comma.

    Args:
        file: the file, for messages.
        record: the record.
        lines: all lines of the file.
        separator: what stands between two values.
        width: the number of values of a row.
        has_option: whether the data has the option ``quoting``, which the message then names.

    Raises:
        InputError: most further lines of a value are rows; names the line in which its quote opens.
    """
    line = record.line
    for field in record.fields if width > 1 else ():
        more = field.count("\n")
        inside = [values_of(text, separator) for text in lines[line : line + more] if text.strip()]
        rows = [values for values in inside if len(values) == width and not any(map(_like_prose, values))]
        if more and 2 * len(rows) > len(inside):
            options = ", or give data.quoting=none, where quotes are characters of the texts" if has_option else ""
            reads = " (data.quoting=standard reads the value as it stands)" if has_option else ""
            raise InputError(
                f"{file}:{line}: a quote opens here whose value spans {more + 1} lines, {len(rows)} of which would be "
                f"rows of their own: close the quote{options}{reads}"
            )
        line += more


def _like_prose(value: str) -> bool:
    """Whether what stands behind a separator is no value of a row: nothing, or what begins with a space."""
    return not value or value[0].isspace()


def rows_within(value: str, separator: str, width: int, classes: Collection[str] | None = None) -> int:
    """How many lines of a value are rows of its table, if most of them are; else 0. For values of another reader.

    Args:
        value: a value of several lines.
        separator: what stands between two values of a row.
        width: the number of values of a row.
        classes: the labels of other rows, one of which a row has; None: the table has no labels.

    Example:
        >>> rows_within("one,neg\\ntwo,pos\\nthree", ",", 2, {"neg", "pos"}), rows_within("a, b\\nc", ",", 2, {"neg"})
        (2, 0)
    """
    lines = [line for line in value.split("\n") if line.strip()]
    split = [values for line in lines if len(values := line.split(separator)) == width > 1]
    if classes is not None:
        labelled = sum(any(strip_label(value) in classes for value in values) for values in split)
        return labelled if 2 * labelled >= len(lines) else 0
    plain = sum(not any(one[:1].isspace() or not one for one in values) for values in split)
    return plain if plain >= len(lines) - 1 >= _SURE_LINES - 1 else 0
