"""Records of separated values with quotes, each with the line in which it begins."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.errors import InputError

_LARGEST_FIELD: Final = 2**31 - 1  # characters; the csv module's own limit, 131,072, is less than a book
_STAND_INS: Final = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # noncharacters: no text has them all


class Record(NamedTuple):
    """A record: its first line from 1, its values, and the number of lines that it spans."""

    line: int
    fields: list[str]
    num_lines: int


def plain_records(lines: Sequence[str], separator: str, start: int = 0) -> Iterator[Record]:
    """The records of a file whose quotes are ordinary characters: a line each, without blank ones.

    Args:
        lines: all its lines, without their ends.
        separator: what stands between two values.
        start: the number of lines to skip at the beginning.

    Example:
        >>> [record.fields for record in plain_records(['a,"b', "", "c,d"], ",")]
        [['a', '"b'], ['c', 'd']]
    """
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip():
            yield Record(number, line.split(separator), 1)


def quoted_records(
    file: Path, lines: Sequence[str], separator: str, start: int = 0, has_option: bool = True
) -> Iterator[Record]:
    """The records of a file, as the csv module splits them, without blank lines.

    That module can read neither a lone carriage return in a value nor a separator of several characters. Other
    characters replace these while it reads.

    Args:
        file: the file, for messages.
        lines: all its lines, without their ends.
        separator: what stands between two values.
        start: the number of lines to skip at the beginning.
        has_option: whether the data has the option ``quoting``, which messages then name.

    Raises:
        InputError: a quote is not closed, or closes in the middle of a value; names the line in which it opens.
    """
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
                yield Record(line, [restored(field) for field in fields] if changed else fields, num_lines)
            line = start + reader.line_num + 1
    except csv.Error as error:
        opens = _open_quote(lines, line, separator)
        if opens is None:
            raise InputError(f"{file}:{line}: {error}") from error
        reason = "is never closed" if "unexpected end" in str(error) else "closes in the middle of a value"
        option = "where quotes are characters of the texts, give data.quoting=none; otherwise " if has_option else ""
        raise InputError(
            f"{file}:{opens}: a quote opens here that {reason}; {option}write a quote within quotes twice"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _stand_ins(lines: Sequence[str], separator: str) -> tuple[str, str]:
    """The characters that replace a carriage return ("" where there is none) and the separator."""
    returns = any("\r" in line for line in lines)
    if not returns and len(separator) == 1:
        return "", separator
    free = iter([one for one in _STAND_INS if not any(one in line for line in lines)])
    return next(free) if returns else "", separator if len(separator) == 1 else next(free)


def _open_quote(lines: Sequence[str], line: int, separator: str) -> int | None:
    """The line in which the last quote of a broken record opens; None where no quote does.

    Args:
        lines: all lines of the file.
        line: the first line of the record, from 1.
        separator: what stands between two values.
    """
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
