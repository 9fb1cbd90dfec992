"""Files that are replaced whole, that end in a checksum of themselves, and those that a path or a pattern names."""

import contextlib
import glob
import hashlib
import io
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_temporary_number = itertools.count()
_TEMPORARY = re.compile(r"\..+\.\d+-\d+\.tmp")
_SEAL = re.compile(rb"seqlab sha256 ([0-9a-f]{64})\n")
_SEAL_SIZE: Final = 79
_BLOCK: Final = 1 << 20


class DamagedFileError(ValueError):
    """A file's content is not what was written."""


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace (or create) a file in one step: a reader sees the old content or the new one, never a part.

    The mode is the one that the umask gives to any new file; a link keeps pointing at its file.
    """
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], previous: str | os.PathLike[str] | None = None) -> Iterator[BinaryIO]:
    """The same for content that is written piece by piece: the file takes its place when the block ends, synced.

    Where the block raises, or the process is killed in it, the old file stays. Once it is replaced it stays as
    ``previous``, if that is given.

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
        if previous is not None and os.path.exists(target):
            copy_file(target, previous)
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def copy_file(path: str | os.PathLike[str], copy: str | os.PathLike[str]) -> None:
    """Replaces ``copy`` by the file at ``path``: another name for it where the file system has hard links, which takes
    neither time nor room."""
    folder, name = os.path.split(os.path.realpath(copy))
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{next(_temporary_number)}.tmp")
    try:
        os.link(path, temporary)
    except OSError:  # a file system without links, or with a limit on them
        with open(path, "rb") as whole, replacing(copy) as file:
            while block := whole.read(_BLOCK):
                file.write(block)
    else:
        os.replace(temporary, copy)  # which leaves two names of one file as they are
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


class _Hashing(io.RawIOBase):
    """Passes on what is written, in order, and hashes it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self.hash.update(content)
        return self.file.write(content)


@contextlib.contextmanager
def replacing_sealed(
    path: str | os.PathLike[str], previous: str | os.PathLike[str] | None = None
) -> Iterator[BinaryIO]:
    """As :func:`replacing`; the file ends in a checksum of what was written, which :func:`check_seal` looks at.

    What is written must be of a format whose readers pass over bytes behind its end, such as a ZIP archive.
    """
    with replacing(path, previous) as file:
        hashing = _Hashing(file)
        yield hashing  # type: ignore[misc]
        file.write(b"seqlab sha256 " + hashing.hash.hexdigest().encode() + b"\n")


def check_seal(path: str | os.PathLike[str]) -> bool:
    """Reads a whole file and compares it with its checksum; False where it has none.

    Raises:
        DamagedFileError: they differ.
        OSError: it can't be read.
    """
    left = os.path.getsize(path) - _SEAL_SIZE
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            content.update(block)
            left -= len(block)
        seal = _SEAL.fullmatch(file.read())
    if seal is None:
        return False
    if seal[1].decode() != content.hexdigest():
        raise DamagedFileError("its checksum is not that of its content")
    return True


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


def files_below(folder: Path) -> list[Path]:
    """All files below a folder as absolute paths, in sorted order, but what is hidden."""
    found: list[Path] = []
    for place, folders, names in os.walk(os.path.abspath(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
    return found
