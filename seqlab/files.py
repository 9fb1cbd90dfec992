"""Files that are replaced whole, and those that a path or a pattern names."""

import contextlib
import glob
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_temporary_number = itertools.count()
_TEMPORARY = re.compile(r"\..+\.\d+-\d+\.tmp")


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace (or create) a file in one step: a reader sees the old content or the new one, never a part.

    The mode is the one that the umask gives to any new file; a link keeps pointing at its file.
    """
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The same for content that is written piece by piece: the file takes its place when the block ends, synced.

    Where the block raises, or the process is killed in it, the old file stays.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with replacing(os.path.join(folder.name, "file")) as file:
        ...     _ = file.write(b"whole")
        >>> os.listdir(folder.name)
        ['file']
        >>> folder.cleanup()
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{next(_temporary_number)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what writers that were killed in the middle of a write have left in a folder, where nobody writes now."""
    for path in Path(folder).glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def matches(path: Path) -> list[Path]:
    """What a path names: itself where it is there, else what it matches as a pattern, in sorted order.

    What is there by its literal name is that, whatever characters are in it; so is a folder before a pattern. A last
    part ``**`` names no folders.
    """
    if os.path.lexists(path):
        return [path]
    found = [Path(match) for match in sorted(glob.glob(_pattern(path), recursive=True))]
    return [match for match in found if not match.is_dir()] if path.name == "**" else found


def _pattern(path: Path) -> str:
    """A path as a pattern in which the folders that are there by their literal names stand for themselves."""
    escaped, real = Path(), Path()
    for part in path.parts:
        real = real / part
        escaped = escaped / (glob.escape(part) if os.path.lexists(real) else part)
    return str(escaped)
