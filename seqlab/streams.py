"""Output to terminals and files whose encoding lacks characters. Torch is not needed."""

import codecs
import io
import sys
from typing import TextIO


def print_any_text() -> None:
    """Makes every text printable: a character that the output's encoding lacks is escaped, as é in ASCII: ``\\xe9``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_unicode(stream: TextIO) -> bool:
    """Whether an output's encoding has all characters.

    Example:
        >>> import io
        >>> [is_unicode(io.TextIOWrapper(io.BytesIO(), name)) for name in ("utf-8", "ascii", "cp1252")]
        [True, False, False]
    """
    return codecs.lookup(stream.encoding or "utf-8").name.startswith("utf")
