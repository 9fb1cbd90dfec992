"""Texts and labels of separated values (csv, tsv), each with the line where its row begins."""

import csv
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.separators import NAMES
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?')  # with which spreadsheets begin a file
_LARGEST_FIELD: Final = 2**31 - 1  # of the csv module, whose own limit of 131,072 characters is shorter than a book
_STAND_INS: Final = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # noncharacters: no text has them all
_SHOWN_LINE: Final = 100  # characters of a first line in a message
_MOST_BEFORE: Final = 20  # lines before the column names that are looked through
_PAGES: Final = ("<!doctype html", "<html", "<?xml")
_MOST_NAMES: Final = 20  # of columns that a message lists
_SURE_LINES: Final = 4  # lines of the form of rows that are no accident, whatever their labels


class Separated(NamedTuple):
    """How separated values are written, and the columns to read: names, or numbers from 0 (or from the last, -1)."""

    text: str | int
    label: str | int
    separator: str
    header: bool = True
    quoting: str | None = None


class _Record(NamedTuple):
    line: int  # its first
    fields: list[str]
    num_lines: int


class _Suspect(NamedTuple):
    """A field of several lines, of which some look like rows: where its quote opens, and the labels they would have."""

    line: int
    num_lines: int
    labels: list[str]


def read_separated(file: Path, lines: Sequence[str], form: Separated) -> Iterator[tuple[int, str, str]]:
    """For each row its first line, its text and its label. Blank lines are skipped.

    Raises:
        InputError: there is no line of names, no such column, or two of that name; a row has more or fewer values than
            the first line; a quote is not closed, or seems to have swallowed rows; names file and line.
    """
    start = _separator_line(file, lines, form)
    records: Iterator[_Record] = quoted_records(file, lines, form.separator, start)
    if form.quoting == "none":
        numbered = enumerate(lines[start:], start + 1)
        records = (_Record(number, line.split(form.separator), 1) for number, line in numbered if line.strip())
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
    suspects: list[_Suspect] = []
    classes, repeats = Counter[str](), 0
    for record in records if form.header else _with_first(first, records):
        if len(record.fields) != width:
            raise InputError(_ragged(file, record, first, form))
        if record.num_lines > 1 and form.quoting is None:
            suspects += _suspects(record, lines, form.separator, label, width)
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
        _check_swallowed(file, suspect, classes)


def same_names(values: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row is the line of column names again: whatever the case, the order and the spaces around them."""
    if values[-1].strip().casefold() not in map(_folded, names):  # of almost all rows, and fast
        return False
    return sorted(map(_folded, values)) == sorted(map(_folded, names))


def names_again(values: Sequence[str], names: Sequence[str]) -> str:
    """What a user can do about a second line of column names."""
    if list(map(_folded, values)) == list(map(_folded, names)):
        return "the line of column names comes again; leave it out"
    return f"the column names come again, in another order ({', '.join(values)}): give each table a file of its own"


def _folded(name: str) -> str:
    return strip_label(name).casefold()


def _check_first_line(
    file: Path, first: _Record, form: Separated, classes: Counter[str], columns: tuple[int, int], repeats: int
) -> None:
    """Refuses or tells a first line that seems to be what ``header`` says that it is not; ``repeats`` are the rows
    equal to it.
    """
    name = strip_label(first.fields[columns[1]])
    if form.header and name in classes:
        looks = f"the first line looks like data, for its label {name!r} is that of other rows too"
        if isinstance(form.text, int) or isinstance(form.label, int):
            raise InputError(f"{file}:{first.line}: {looks}: give data.header=false")
        log.warning("%s:%d: %s: then give data.header=false and columns by number", file, first.line, looks)
    elif form.header:
        tell_names(f"{file}:{first.line}", first.fields, [form.text, form.label], columns)
    if not form.header and classes[name] == repeats and _like_names(first.fields):
        log.warning(
            "%s:%d: the first line is read as a row, but looks like column names (%s): if it is, leave out data.header",
            file,
            first.line,
            ", ".join(first.fields),
        )


def tell_names(place: str, names: Sequence[str], asked: Sequence[str | int], columns: Sequence[int]) -> None:
    """Tells of a line of names that looks like data where columns are asked for by number, which any line has."""
    unsure = [
        names[at] for one, at in zip(asked, columns, strict=True) if isinstance(one, int) and str(one) != names[at]
    ]
    if any(map(_like_data, unsure)):
        log.warning(
            "%s: the first line looks like data, and is left out as column names (%s): if it is a row, give "
            "data.header=false",
            place,
            ", ".join(names)[:_SHOWN_LINE],
        )


def _stripped(labels: Counter[str]) -> Counter[str]:
    found = Counter[str]()
    for label, count in labels.items():
        found[strip_label(label)] += count
    return found


def _separator_line(file: Path, lines: Sequence[str], form: Separated) -> int:
    """1 where the first line is that with which spreadsheets name the separator, which must be the one; else 0."""
    named = _SEPARATOR_LINE.fullmatch(lines[0]) if lines and form.header else None
    if named is not None and named[1] != form.separator:
        raise InputError(
            f"{file}:1: the line {lines[0]!r} says that {named[1]!r} stands between values: "
            f"give data.separator={NAMES.get(named[1], named[1])}"
        )
    return 0 if named is None else 1


def _with_first(first: _Record, records: Iterator[_Record]) -> Iterator[_Record]:
    yield first
    yield from records


def quoted_records(file: Path, lines: Sequence[str], separator: str, start: int = 0) -> Iterator[_Record]:
    """The records of lines that the csv module splits, with stand-ins for what it can't read: a lone carriage return
    in a value, and a separator of several characters."""
    carriage, single = _stand_ins(lines, separator)

    def feed() -> Iterator[str]:
        for line in lines[start:]:
            line = line.replace("\r", carriage) if carriage else line
            yield (line.replace(separator, single) if single != separator else line) + "\n"

    def restored(field: str) -> str:
        field = field.replace(carriage, "\r") if carriage else field
        return field.replace(single, separator) if single != separator else field

    limit = csv.field_size_limit(_LARGEST_FIELD)
    line = start + 1
    try:
        reader = csv.reader(feed(), delimiter=single, strict=True)
        for fields in reader:
            num_lines = start + reader.line_num - line + 1
            if num_lines > 1 or lines[line - 1].strip():
                changed = carriage or single != separator
                yield _Record(line, [restored(field) for field in fields] if changed else fields, num_lines)
            line = start + reader.line_num + 1
    except csv.Error as error:
        opens = _open_quote(lines, line, separator)
        if opens is None:
            raise InputError(f"{file}:{line}: {error}") from error
        reason = "is never closed" if "unexpected end" in str(error) else "closes in the middle of a value"
        raise InputError(
            f"{file}:{opens}: a quote opens here that {reason}; where quotes are characters of the texts, give "
            "data.quoting=none; otherwise write a quote within quotes twice"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _stand_ins(lines: Sequence[str], separator: str) -> tuple[str, str]:
    """A character for a carriage return ("" where there is none) and one for the separator."""
    returns = any("\r" in line for line in lines)
    if not returns and len(separator) == 1:
        return "", separator
    free = iter([one for one in _STAND_INS if not any(one in line for line in lines)])
    return next(free) if returns else "", separator if len(separator) == 1 else next(free)


def _open_quote(lines: Sequence[str], line: int, separator: str) -> int | None:
    """The line where the last quote opens of a record that begins in ``line`` and is broken; None where none does."""
    opened, inside, at_start = None, False, True
    for number in range(line, len(lines) + 1):
        content, position = lines[number - 1], 0
        while position < len(content):
            if inside:
                if content.startswith('""', position):
                    position += 1
                elif content[position] == '"':
                    inside = False
                    after = content[position + 1 :]
                    if after and not after.startswith(separator):
                        return opened
            elif content[position] == '"' and at_start:
                opened, inside = number, True
            at_start = not inside and content.endswith(separator, 0, position + 1)
            position += 1
        if not inside:
            break
    return opened


def _column(file: Path, first: _Record, form: Separated, option: str, later: Sequence[str]) -> int:
    """Where a column stands."""
    column: str | int = getattr(form, option)
    names = list(map(strip_label, first.fields))
    place = f"{file}:{first.line}"
    if form.header:
        found = [number for number, name in enumerate(names) if name == strip_label(str(column))]
        if len(found) > 1:
            raise InputError(
                f"{place}: {len(found)} columns are named {column!r}; rename them, or give the number of one, from 0: "
                f"data.{option}={found[0]}"
            )
        if found:
            return found[0]
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


def _missing_mend(first: _Record, form: Separated, option: str, later: Sequence[str]) -> str:
    """What a user can do about a column that the first line doesn't name; ``later`` are the lines after it."""
    if first.fields[0].lstrip().startswith(("{", "[{")):
        return "the first line looks like JSON: then let the file's name end in .jsonl"
    if first.fields[0].lstrip().lower().startswith(_PAGES):
        return "the file looks like a web page: download the table itself"
    for number, line in enumerate(later[:_MOST_BEFORE], start=first.line + 1):
        names = list(map(strip_label, _values(line, form.separator)))
        if len(names) > 1 and str(form.text) in names and str(form.label) in names:
            return f"line {number} has the column names: leave out what stands before it"
    others = [name for mark, name in NAMES.items() if mark not in (form.separator, " ") and mark in first.fields[0]]
    if len(first.fields) == 1 and others:
        return f"give data.separator={others[0]}"
    if any(_like_data(field) for field in first.fields):
        return "the first line looks like data; then give data.header=false data.text=NUMBER data.label=NUMBER, from 0"
    return f"give data.{option}=NAME"


def _like_data(field: str) -> bool:
    """Whether a name of a column would rather be a value: empty, a number, or a sentence."""
    return not field.strip() or field.strip().lstrip("+-").replace(".", "", 1).isdigit() or len(field.split()) > 3


def _like_names(fields: Sequence[str]) -> bool:
    """Whether the values of a line would rather be names of columns: single words, each another one."""
    return len(set(fields)) == len(fields) and all(
        len(field.split()) == 1 and not _like_data(field) for field in fields
    )


def _ragged(file: Path, record: _Record, first: _Record, form: Separated) -> str:
    shown = ", ".join(first.fields) if form.header else f"as in line {first.line}"
    found = f"{file}:{record.line}: expected {len(first.fields)} columns ({shown}), got {len(record.fields)}"
    if record.num_lines > 1:
        return (
            f"{found} in {record.num_lines} lines of a quoted value; for texts with stray quotes give data.quoting=none"
        )
    mark = NAMES.get(form.separator, repr(form.separator))
    if len(record.fields) > len(first.fields) and not record.fields[-1].strip():
        return f"{found}, the last of them empty; let all lines end in a {mark}, or none"
    if any("\r" in field for field in record.fields):
        return f"{found}; carriage returns are characters where lines end otherwise: write all line ends alike"
    others = [name for other, name in NAMES.items() if name != "space" and record.fields[0].count(other)]
    if len(record.fields) == 1 and others and others[0] != mark:
        return f"{found}; here a {others[0]} seems to stand between the values: write the same in all lines"
    return found if form.quoting == "none" else f"{found}; put a value that holds a {mark} in double quotes"


def _check_label_quotes(place: str, label: str, form: Separated) -> None:
    stripped = label.strip()
    if form.quoting != "none" and len(stripped) > 1 and stripped[0] == stripped[-1] == '"':
        raise InputError(
            f"{place}: the label {label!r} is in quotes that do not count, for they do not begin the value: leave out "
            "what stands before them"
        )


def _suspects(record: _Record, lines: Sequence[str], separator: str, label: int, width: int) -> Iterator[_Suspect]:
    """The quoted fields of a record of which most lines have as many values as a row."""
    line = record.line
    for field in record.fields:
        more = field.count("\n")
        if more:
            inside = [text for text in lines[line - 1 : line + more] if text.strip()]
            rows = [values for text in inside if len(values := _values(text, separator)) == width]
            if 2 * len(rows) > len(inside):
                yield _Suspect(line, len(inside), [values[label].strip('"') for values in rows])
        line += more


def _values(line: str, separator: str) -> list[str]:
    """The values of a line by itself."""
    if '"' not in line or len(separator) > 1:
        return line.split(separator)
    try:
        return next(csv.reader([line.replace("\r", " ")], delimiter=separator, strict=True), [])
    except csv.Error:
        return line.split(separator)


def _check_swallowed(file: Path, suspect: _Suspect, classes: Counter[str]) -> None:
    """Refuses a field of lines that would be rows: by their labels, which other rows have, or by their sheer number."""
    known = sum(strip_label(label) in classes for label in suspect.labels)
    plain = sum(bool(label) and not label[0].isspace() for label in suspect.labels)  # prose has a space after a comma
    alike = plain == suspect.num_lines >= _SURE_LINES
    if 2 * known > suspect.num_lines or alike:
        raise InputError(
            f"{file}:{suspect.line}: a quote opens here whose value spans {suspect.num_lines} lines, "
            f"{len(suspect.labels)} of which would be rows of their own: close the quote, or give data.quoting=none, "
            "where quotes are characters of the texts (data.quoting=standard reads the value as it stands)"
        )


def rows_within(value: str, separator: str, width: int, classes: Collection[str] | None = None) -> int:
    """How many lines of a value would be rows of its table, where they are so many that a stray quote must have
    swallowed them; else 0. For values that another reader has split.

    Args:
        value: of several lines.
        separator: what stands between two values of a row.
        width: how many values a row has.
        classes: the labels of other rows, one of which a row's line has; None: the table has none.

    Example:
        >>> rows_within("one,neg\\ntwo,pos\\nthree", ",", 2, {"neg", "pos"}), rows_within("a, b\\nc", ",", 2, {"neg"})
        (2, 0)
    """
    lines = [line for line in value.split("\n") if line.strip()]
    split = [values for line in lines if len(values := line.split(separator)) == width > 1]
    if classes is not None:
        known = sum(any(strip_label(one) in classes for one in values) for values in split)
        return known if 2 * known >= len(lines) else 0
    plain = sum(not any(one[:1].isspace() or not one for one in values) for values in split)
    return plain if plain >= len(lines) - 1 >= _SURE_LINES - 1 else 0
