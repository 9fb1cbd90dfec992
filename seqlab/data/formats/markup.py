"""Files of text that is written in something: tables, JSON, HTML and XML."""

import gzip
import json
import logging
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from seqlab.data.formats.tables import ending_of

log = logging.getLogger("seqlab")

_BY_ENDING: Final = {
    ".csv": "a table",
    ".tsv": "a table",
    ".json": "JSON",
    ".jsonl": "JSON",
    ".ndjson": "JSON",
    ".ipynb": "JSON",
    ".htm": "HTML",
    ".html": "HTML",
    ".xml": "XML",
}
_BY_BEGINNING: Final = {"<?xml": "XML", "<!doctype html": "HTML", "<html": "HTML"}
_MEND: Final = "export the text alone (of a table, its column) as plain text"
_READ_AT_ONCE: Final = 1 << 20  # bytes


def warn_of_markup(files: Iterable[Path], encoding: str, mend: str = _MEND) -> None:
    """Logs a line that names the first file whose text is not plain, where text is read as it stands.

    Args:
        files: the files.
        encoding: their encoding.
        mend: what to do if that is not meant.
    """
    marked = [(file, name) for file in files if (name := markup_of(file, encoding))]
    if marked:
        file, name = marked[0]
        log.warning(
            "%s is %s%s: its text is read as it stands, markup and all; if that is not meant, %s",
            *(file, name, f" (and {len(marked) - 1} more such)" if marked[1:] else "", mend),
        )


def markup_of(file: Path, encoding: str = "utf-8") -> str:
    """What the text of a file is written in, by the file's ending or first line; empty where it may be plain.

    Example:
        >>> markup_of(Path("talks.jsonl.gz")), markup_of(Path("notes.txt"))
        ('JSON', '')
    """
    if name := _BY_ENDING.get(ending_of(file)):
        return name
    line = _first_line(file, encoding)
    if name := next((name for mark, name in _BY_BEGINNING.items() if line.lower().startswith(mark)), ""):
        return name
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    is_json = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(v, (dict, list, str)) for v in value)
    )
    return "JSON" if value and is_json else ""  # a line [1] may be a footnote


def _first_line(file: Path, encoding: str) -> str:
    """The first line that is not blank; empty where the file cannot be read, which reading it tells."""
    try:
        with open(file, "rb") as plain:
            beginning = plain.read(_READ_AT_ONCE)
        if beginning.startswith(b"\x1f\x8b"):
            with gzip.open(file) as packed:
                beginning = packed.read(_READ_AT_ONCE)
    except (OSError, EOFError, zlib.error):
        return ""
    lines = beginning.decode(encoding, "ignore").removeprefix("\ufeff").splitlines()
    return next((line.strip() for line in lines if line.strip()), "")
