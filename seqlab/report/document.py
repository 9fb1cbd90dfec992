"""A report inside another document, between two markers."""

import os
from pathlib import Path

from seqlab.errors import InputError
from seqlab.files import write_atomically

BEGIN = "<!-- seqlab report: begin -->"
END = "<!-- seqlab report: end -->"


def write_into(path: str | os.PathLike[str], content: str) -> None:
    """Replaces the text between `BEGIN` and `END` in a file; the rest of the file stays as it is, byte for byte.

    Raises:
        InputError: There is no such file, it is not UTF-8, or it does not have just one pair of markers.
    """
    target, name = Path(path), os.fspath(path)
    try:
        text = target.read_bytes().decode()
    except OSError as error:
        raise InputError(f"--into: cannot read {name!r} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"--into: expected a text file in UTF-8, got {name!r}") from None
    begin, end = text.find(BEGIN), text.find(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or end < begin:
        raise InputError(f"--into: expected the lines {BEGIN} and {END}, in this order and once each, in {name!r}")
    newline = "\r\n" if "\r\n" in text else "\n"
    block = f"{BEGIN}\n\n{content.strip()}\n\n".replace("\n", newline)
    try:
        write_atomically(target, (text[:begin] + block + text[end:]).encode())
    except OSError as error:
        raise InputError(f"--into: cannot write {name!r} ({error.strerror})") from None
