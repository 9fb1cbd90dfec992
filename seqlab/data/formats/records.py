"""Records of separated values with quotes, each with the line where it begins."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.errors import InputError

_LARGEST_FIELD: Final = 2**31 - 1  # of the csv module, whose own limit of 131,072 characters is shorter than a book
_STAND_INS: Final = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # noncharacters: no text has them all


class Record(NamedTuple):
    """The values of a record, its first line and how many it spans."""

    line: int
    fields: list[str]
    num_lines: int


def quoted_records(file: Path, lines: Sequence[str], separator: str, start: int = 0) -> Iterator[Record]:
    """The records of lines, blank ones skipped, as the csv module splits them.

    What that module can't read has stand-ins meanwhile: a lone carriage return in a value, and a separator of several
    characters.

    Args:
        file: where they are from, for messages.
        lines: of the whole file.
        separator: what stands between two values.
        start: lines at the beginning to leave out.

    Raises:
        InputError: a quote is not closed, or closes in the middle of a value; names the line where it opens.
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
