"""Files: replaced in one step, sealed with a checksum, and found by a path or a pattern."""

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
    """A file's content differs from what was written."""


def is_file_name(text: str | os.PathLike[str]) -> bool:
    """Whether a text is the name of a file that is there; a name without a suffix may as well be a word.

    Example:
        >>> is_file_name(__file__), is_file_name("I saw it at 3.30")
        (True, False)
    """
    return bool(os.path.splitext(text)[1]) and os.path.isfile(os.path.expanduser(text))


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Replaces (or creates) a file in one step: a reader sees the old content or the new one, never a part.

    The file has the mode of any new file, by the umask. A link stays, and its target is replaced.
    """
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], previous: str | os.PathLike[str] | None = None) -> Iterator[BinaryIO]:
    """The same for content that is written in pieces: the file is replaced, and synced, when the block ends.

    If the block raises, or the process is killed in it, the old file stays.

    Args:
        path: the file.
        previous: where the old file is kept; None: nowhere.

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
    """Replaces ``copy`` by a copy of the file at ``path``: a hard link where there are links, which takes no room."""
    folder, name = os.path.split(os.path.realpath(copy))
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{next(_temporary_number)}.tmp")
    try:
        os.link(path, temporary)
    except OSError:  # the file system has no hard links, or a limit on them
        with open(path, "rb") as whole, replacing(copy) as file:
            while block := whole.read(_BLOCK):
                file.write(block)
    else:
        os.replace(temporary, copy)  # does nothing if the two are links to one file: then the temporary link stays
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


class _Hashing(io.RawIOBase):
    """Writes to a file, and hashes what is written."""

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
    """As :func:`replacing`, and the file ends in a checksum of its content, for :func:`check_seal`.

    The content must have a format whose readers ignore bytes behind its end, such as a ZIP archive.
    """
    with replacing(path, previous) as file:
        hashing = _Hashing(file)
        yield hashing  # type: ignore[misc]
        file.write(b"seqlab sha256 " + hashing.hash.hexdigest().encode() + b"\n")


def check_seal(path: str | os.PathLike[str]) -> bool:
    """Compares a file's content with its checksum; False if the file has none.

    Raises:
        DamagedFileError: they differ.
        OSError: the file can't be read.
    """
    remaining = os.path.getsize(path) - _SEAL_SIZE
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while remaining > 0 and (block := file.read(min(remaining, _BLOCK))):
            content.update(block)
            remaining -= len(block)
        seal = _SEAL.fullmatch(file.read())
    if seal is None:
        return False
    if seal[1].decode() != content.hexdigest():
        raise DamagedFileError("its checksum is not that of its content")
    return True


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes the temporary files of writers that were killed. Nobody may be writing in the folder."""
    for path in Path(folder).glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def matches(path: Path) -> list[Path]:
    """The files or folders that a path names: the path itself if it exists, else its matches as a pattern, sorted.

    A folder in the path that exists by its literal name is that folder, even with the characters of a pattern in its
    name. A last part ``**`` matches files only.
    """
    if os.path.lexists(path):
        return [path]
    paths = [Path(match) for match in sorted(glob.glob(_pattern(path), recursive=True))]
    return [match for match in paths if not match.is_dir()] if path.name == "**" else paths


def _pattern(path: Path) -> str:
    """A path as a pattern, with the parts that exist by their literal names escaped."""
    escaped, real = Path(), Path()
    for part in path.parts:
        real = real / part
        escaped = escaped / (glob.escape(part) if os.path.lexists(real) else part)
    return str(escaped)


def files_below(folder: Path, regular: bool = True) -> list[Path]:
    """The absolute paths of all files below a folder, sorted, without hidden files and folders.

    Args:
        folder: the folder.
        regular: whether links to what is not there, pipes and devices are left out.
    """
    paths: list[Path] = []
    for place, folders, names in os.walk(os.path.abspath(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in paths if path.is_file()] if regular else paths
