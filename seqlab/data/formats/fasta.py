"""FASTA: sequences under headers, plain or gzip (Pearson & Lipman 1988). Errors name the line."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.data.formats.bases import BaseReading
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_SPACES: Final = re.compile(r"[ \t\r\v\f]+")
_SHOWN: Final = 40  # characters of a line in a message


class FastaRecord(NamedTuple):
    """A sequence of a FASTA file.

    Attributes:
        name: the first word of its header.
        header: the whole header, without the mark ``>``.
        sequence: its letters as they stand, from all its lines; empty where the record has none.
        place: the line of its header, for messages: ``file:line``.
    """

    name: str
    header: str
    sequence: str
    place: str


@dataclass(frozen=True)
class _Line:
    number: int
    text: str


def read_fasta(file: Path, reading: BaseReading, encoding: str = "utf-8") -> list[FastaRecord]:
    """Reads the records of a FASTA file.

    A header begins with ``>``; the lines up to the next one are its sequence. White space in a sequence does not count,
    nor do blank lines. Lines that begin with ``;`` are comments; a log line counts them.

    Args:
        file: the file, plain or gzip.
        reading: which letters are bases; the sequences stay as they stand.
        encoding: the file's encoding.

    Returns:
        The records in their order, at least one.

    Raises:
        InputError: the file cannot be read or has no record, something stands before the first header, a header is
            empty, or a letter is refused; names file and line.
    """
    records: list[FastaRecord] = []
    comments = 0
    for header, lines in _by_header(file, read_lines(file, encoding)):
        name, *_ = header.text.split(maxsplit=1) or [""]
        if not name:
            raise InputError(f"{file}:{header.number}: the header is empty; give the record a name behind >")
        parts = []
        for line in lines:
            if line.text.startswith(";"):
                comments += 1
                continue
            part = _SPACES.sub("", line.text)
            reading.read(part, f"{file}:{line.number}")
            parts.append(part)
        records.append(FastaRecord(name, header.text.strip(), "".join(parts), f"{file}:{header.number}"))
    if comments:
        log.info("%s: lines that begin with ; are comments, and are left out: %d", file, comments)
    if not records:
        raise InputError(f"{file}:1: expected a header that begins with >, got an empty file")
    return records


def _by_header(file: Path, lines: list[str]) -> Iterator[tuple[_Line, list[_Line]]]:
    """The headers without their marks, each with the lines below it."""
    header: _Line | None = None
    body: list[_Line] = []
    for number, text in enumerate(lines, start=1):
        if text.startswith(">"):
            if header is not None:
                yield header, body
            header, body = _Line(number, text[1:]), []
        elif text.strip() and header is not None:
            body.append(_Line(number, text))
        elif text.strip() and not text.startswith(";"):
            raise InputError(f"{file}:{number}: {_before_a_header(text)}")
    if header is not None:
        yield header, body


def _before_a_header(text: str) -> str:
    """What is wrong with a file whose first line is no header, and the mend."""
    shown = text[:_SHOWN]
    if text.startswith("@"):
        return f"expected a header that begins with >, got {shown!r}: is this FASTQ? Convert it to FASTA"
    if text.lstrip().startswith(">"):
        return f"expected a header that begins with >, got {shown!r}: take out the space before it"
    return f"expected a header that begins with >, got {shown!r}; a sequence stands below its header"
