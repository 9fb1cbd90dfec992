"""What stands between the columns of a line."""

import contextlib
import csv
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

BLANKS: Final = " \t"  # what surrounds a word; other spaces, such as a no-break space, can be one

Split = Callable[[str], list[str]]


def splitter(separator: str | None, rows: Iterable[str], columns: Sequence[int | str]) -> tuple[Split | None, str]:
    """How lines are split into columns.

    Args:
        separator: what stands between columns; "whitespace": any run of spaces and tabs; None: a tab where that reads
            every line alike, else any run of spaces and tabs.
        rows: the lines that hold words.
        columns: those that are read, by number, or by name in a file with a header.

    Returns:
        The way, and ""; or None and a line that the two ways would read differently.
    """
    if separator == "whitespace":
        return split_at_blanks, ""
    if separator is not None:
        return lambda line: split_at(line, separator), ""
    widths, blank_widths, differs = set[int](), set[int](), ""
    for line in rows:
        tabbed, spaced = split_at_tabs(line), split_at_blanks(line)
        widths.add(len(tabbed))
        blank_widths.add(len(spaced))
        if widths == {1} or len(widths) > 1:
            return split_at_blanks, ""
        differs = differs or ("" if _same_cells(tabbed, spaced, columns) else line)
    if not differs:
        return split_at_blanks, ""
    return (split_at_tabs, "") if len(blank_widths) > 1 else (None, differs)


def _same_cells(one: Sequence[str], other: Sequence[str], columns: Sequence[int | str]) -> bool:
    for column in columns:
        if isinstance(column, str):  # of a name, which is looked up in a header
            return list(one) == list(other)
        inside = all(-len(fields) <= column < len(fields) for fields in (one, other))
        if not inside or one[column] != other[column]:
            return False
    return True


def split_at_blanks(line: str) -> list[str]:
    """At any run of spaces and tabs."""
    return re.split(r"[ \t]+", line.strip(BLANKS))


def split_at_tabs(line: str) -> list[str]:
    """At each tab."""
    return [field.strip(BLANKS) for field in line.strip(BLANKS).split("\t")]


def split_at(line: str, separator: str) -> list[str]:
    """At each separator; values with a comma or semicolon may be in double quotes."""
    fields = line.split(separator)
    if '"' in line and separator in ",;":
        with contextlib.suppress(csv.Error):  # of a lone quote, which is a word
            fields = next(csv.reader([line], delimiter=separator, strict=True))  # as spreadsheets quote a separator
    return [field.strip(BLANKS) for field in fields]
