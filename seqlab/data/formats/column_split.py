"""How the lines of a file are split into columns."""

import contextlib
import csv
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

BLANKS: Final = " \t"  # around a word; other spaces, such as a no-break space, may be words themselves

Split = Callable[[str], list[str]]


def splitter(separator: str | None, rows: Iterable[str], columns: Sequence[int | str]) -> tuple[Split | None, str]:
    """The function that splits the lines of a file into columns.

    Args:
        separator: what stands between columns; "whitespace": any run of spaces and tabs; None: a tab where that reads
            every line alike, else any run of spaces and tabs.
        rows: the lines that hold words.
        columns: the columns that are read, by number, or by name in a file with a header.

    Returns:
        The function and an empty text; or None and a line in which tabs, and runs of spaces and tabs, both separate
        columns but give different words or tags.
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
        if isinstance(column, str):  # a name, whose number only the header tells: so all fields must be equal
            return list(one) == list(other)
        inside = all(-len(fields) <= column < len(fields) for fields in (one, other))
        if not inside or one[column] != other[column]:
            return False
    return True


def split_at_blanks(line: str) -> list[str]:
    """Splits a line at each run of spaces and tabs."""
    return re.split(r"[ \t]+", line.strip(BLANKS))


def split_at_tabs(line: str) -> list[str]:
    """Splits a line at each tab."""
    return [field.strip(BLANKS) for field in line.strip(BLANKS).split("\t")]


def split_at(line: str, separator: str) -> list[str]:
    """Splits a line at each separator. Values with a comma or semicolon may stand in double quotes."""
    fields = line.split(separator)
    if '"' in line and separator in ",;":
        with contextlib.suppress(csv.Error):  # raised for a lone quote, which is a word
            fields = next(csv.reader([line], delimiter=separator, strict=True))
    return [field.strip(BLANKS) for field in fields]
