"""Texts and labels of separated values (csv, tsv), each with the line in which its row begins."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.records import Record, plain_records, quoted_records
from seqlab.data.formats.separators import NAMES
from seqlab.data.formats.swallowed import Suspect, check_swallowed, suspects_of, values_of
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?')  # the first line of some spreadsheets' files
_SHOWN_LINE: Final = 100  # characters of a first line in a message
_MOST_BEFORE: Final = 20  # lines among which the column names are searched for
_PAGES: Final = ("<!doctype html", "<html", "<?xml")
_MOST_NAMES: Final = 20  # of columns that a message lists


class Separated(NamedTuple):
    """How separated values are written, and the columns to read, by name or by number from 0 (or from the last, -1)."""

    text: str | int
    label: str | int
    separator: str
    header: bool = True
    quoting: str | None = None


def read_separated(file: Path, lines: Sequence[str], form: Separated) -> Iterator[tuple[int, str, str]]:
    """Reads the rows of a file: the first line, the text and the label of each. Blank lines are skipped.

    Args:
        file: the file, for messages.
        lines: its lines, without their ends.
        form: its columns, and how it is written.

    Raises:
        InputError: there is no line of names, no such column, or two of that name; a row has more or fewer values than
            the first line; a quote is not closed, or its value seems to contain rows; names file and line.
    """
    start = _separator_line(file, lines, form)
    records = (
        plain_records(lines, form.separator, start)
        if form.quoting == "none"
        else quoted_records(file, lines, form.separator, start)
    )
    first = next(records, None)
    if first is None:
        expected = "a line of column names" if form.header else "a row"
        raise InputError(f"{file}:1: expected {expected}, got an empty file")
    width = len(first.fields)
    later = lines[first.line : first.line + _MOST_BEFORE]
    text, label = (_column(file, first, form, option, later) for option in ("text", "label"))
    if text == label:
        raise InputError(
            f"{file}:{first.line}: data.text={form.text} and data.label={form.label} are the same column: "
            "give data.text= and data.label= two"
        )
    suspects: list[Suspect] = []
    classes, repeats = Counter[str](), 0
    for record in records if form.header else _with_first(first, records):
        if len(record.fields) != width:
            raise InputError(_ragged(file, record, first, form))
        if record.num_lines > 1 and form.quoting is None:
            suspects += suspects_of(record, lines, form.separator, label, width)
        else:
            classes[record.fields[label]] += 1
        if form.header and same_names(record.fields, first.fields):
            raise InputError(f"{file}:{record.line}: {names_again(record.fields, first.fields)}")
        repeats += record.fields == first.fields
        _check_label_quotes(f"{file}:{record.line}", record.fields[label], form)
        yield record.line, record.fields[text], record.fields[label]
    classes = _stripped(classes)
    _check_first_line(file, first, form, classes, (text, label), repeats)
    for suspect in suspects:
        check_swallowed(file, suspect, classes)


def same_names(values: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row is the line of column names again, in any case, order and spacing."""
    if values[-1].strip().casefold() not in map(_folded, names):  # true for almost all rows, and fast
        return False
    return sorted(map(_folded, values)) == sorted(map(_folded, names))


def names_again(values: Sequence[str], names: Sequence[str]) -> str:
    """The message about a second line of column names, with the mend."""
    if list(map(_folded, values)) == list(map(_folded, names)):
        return "the line of column names comes again; leave it out"
    return f"the column names come again, in another order ({', '.join(values)}): give each table a file of its own"


def _folded(name: str) -> str:
    return strip_label(name).casefold()


def _check_first_line(
    file: Path, first: Record, form: Separated, classes: Counter[str], columns: tuple[int, int], repeats: int
) -> None:
    """Refuses, or warns of, a first line that seems to be data and is read as names, or the other way round.

    Args:
        file: the file, for messages.
        first: the first record.
        form: its columns, and how it is written.
        classes: the labels of the other rows, with their frequencies.
        columns: the numbers of the columns of texts and labels.
        repeats: the number of rows that are equal to the first record.
    """
    name = strip_label(first.fields[columns[1]])
    if form.header and name in classes:
        looks = f"the first line looks like data, for its label {name!r} is that of other rows too"
        if isinstance(form.text, int) or isinstance(form.label, int):
            raise InputError(f"{file}:{first.line}: {looks}: give data.header=false")
        log.warning("%s:%d: %s: then give data.header=false and columns by number", file, first.line, looks)
    elif form.header:
        warn_of_names(f"{file}:{first.line}", first.fields, [form.text, form.label], columns)
    if not form.header and classes[name] == repeats and _like_names(first.fields):
        log.warning(
            "%s:%d: the first line is read as a row, but looks like column names (%s): if it is, leave out data.header",
            file,
            first.line,
            ", ".join(first.fields),
        )


def warn_of_names(place: str, names: Sequence[str], options: Sequence[str | int], columns: Sequence[int]) -> None:
    """Warns of a line of column names that looks like data. Where columns are given by number, any line has them.

    Args:
        place: the place of the line.
        names: the names in it.
        options: the columns that are read, by name or number, as the options give them.
        columns: the numbers of these columns.
    """
    unsure = [
        names[number]
        for option, number in zip(options, columns, strict=True)
        if isinstance(option, int) and str(option) != names[number]
    ]
    if any(map(_like_data, unsure)):
        log.warning(
            "%s: the first line looks like data, and is left out as column names (%s): if it is a row, give "
            "data.header=false",
            place,
            ", ".join(names)[:_SHOWN_LINE],
        )


def _stripped(labels: Counter[str]) -> Counter[str]:
    counts = Counter[str]()
    for label, count in labels.items():
        counts[strip_label(label)] += count
    return counts


def _separator_line(file: Path, lines: Sequence[str], form: Separated) -> int:
    """The number of lines that name the separator, as some spreadsheets do in the first line: 0 or 1.

    Raises:
        InputError: the line names another separator.
    """
    named = _SEPARATOR_LINE.fullmatch(lines[0]) if lines and form.header else None
    if named is not None and named[1] != form.separator:
        raise InputError(
            f"{file}:1: the line {lines[0]!r} says that {named[1]!r} stands between values: "
            f"give data.separator={NAMES.get(named[1], named[1])}"
        )
    return 0 if named is None else 1


def _with_first(first: Record, records: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from records


def _column(file: Path, first: Record, form: Separated, option: str, later: Sequence[str]) -> int:
    """The number of a column, from 0."""
    column: str | int = getattr(form, option)
    names = list(map(strip_label, first.fields))
    place = f"{file}:{first.line}"
    if form.header:
        matches = [number for number, name in enumerate(names) if name == strip_label(str(column))]
        if len(matches) > 1:
            raise InputError(
                f"{place}: {len(matches)} columns are named {column!r}; rename them, or give the number of one, from "
                f"0: data.{option}={matches[0]}"
            )
        if matches:
            return matches[0]
    if isinstance(column, int):
        if -len(names) <= column < len(names):
            return column % len(names)
        raise InputError(f"{place}: there is no column number {column}: the line has {len(names)} values, from 0")
    if first.num_lines > 1:
        raise InputError(
            f"{place}: the line of column names has a quote that closes {first.num_lines - 1} lines later; where "
            "quotes are characters of the texts, give data.quoting=none"
        )
    shown = ", ".join(map(repr, names[:_MOST_NAMES])) + (", ..." if len(names) > _MOST_NAMES else "")
    raise InputError(f"{place}: there is no column {column!r} but {shown}: {_missing_mend(first, form, option, later)}")


def _missing_mend(first: Record, form: Separated, option: str, later: Sequence[str]) -> str:
    """The mend where the first line does not name a column. ``later`` are the lines after it."""
    if first.fields[0].lstrip().startswith(("{", "[{")):
        return "the first line looks like JSON: then let the file's name end in .jsonl"
    if first.fields[0].lstrip().lower().startswith(_PAGES):
        return "the file looks like a web page: download the table itself"
    for number, line in enumerate(later[:_MOST_BEFORE], start=first.line + 1):
        names = list(map(strip_label, values_of(line, form.separator)))
        if len(names) > 1 and str(form.text) in names and str(form.label) in names:
            return f"line {number} has the column names: leave out what stands before it"
    others = [name for mark, name in NAMES.items() if mark not in (form.separator, " ") and mark in first.fields[0]]
    if len(first.fields) == 1 and others:
        return f"give data.separator={others[0]}"
    if any(_like_data(field) for field in first.fields):
        return "the first line looks like data; then give data.header=false data.text=NUMBER data.label=NUMBER, from 0"
    return f"give data.{option}=NAME"


def _like_data(field: str) -> bool:
    """Whether a column name looks like a value: empty, a number, or a sentence."""
    return not field.strip() or field.strip().lstrip("+-").replace(".", "", 1).isdigit() or len(field.split()) > 3


def _like_names(fields: Sequence[str]) -> bool:
    """Whether the values of a line look like column names: different single words."""
    return len(set(fields)) == len(fields) and all(
        len(field.split()) == 1 and not _like_data(field) for field in fields
    )


def _ragged(file: Path, record: Record, first: Record, form: Separated) -> str:
    shown = ", ".join(first.fields) if form.header else f"as in line {first.line}"
    message = f"{file}:{record.line}: expected {len(first.fields)} columns ({shown}), got {len(record.fields)}"
    if record.num_lines > 1:
        mend = "for texts with stray quotes give data.quoting=none"
        return f"{message} in {record.num_lines} lines of a quoted value; {mend}"
    mark = NAMES.get(form.separator, repr(form.separator))
    if len(record.fields) > len(first.fields) and not record.fields[-1].strip():
        return f"{message}, the last of them empty; let all lines end in a {mark}, or none"
    if any("\r" in field for field in record.fields):
        return f"{message}; carriage returns are characters where lines end otherwise: write all line ends alike"
    others = [name for other, name in NAMES.items() if name != "space" and record.fields[0].count(other)]
    if len(record.fields) == 1 and others and others[0] != mark:
        return f"{message}; here a {others[0]} seems to stand between the values: write the same in all lines"
    if len(record.fields) < len(first.fields):
        return f"{message}; give the line all its values, with a {mark} between them, or leave it out"
    return message if form.quoting == "none" else f"{message}; put a value that holds a {mark} in double quotes"


def _check_label_quotes(place: str, label: str, form: Separated) -> None:
    stripped = label.strip()
    if form.quoting != "none" and len(stripped) > 1 and stripped[0] == stripped[-1] == '"':
        raise InputError(
            f"{place}: the label {label!r} is in quotes that do not count, for they do not begin the value: leave out "
            "what stands before them"
        )
