"""Which files are read: paths, patterns and lists of these, and the splits that they make."""

import logging
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from seqlab.data.core.inputs import flat
from seqlab.data.core.summary import agree
from seqlab.errors import InputError
from seqlab.files import matches

log = logging.getLogger("seqlab")

_SHOWN = 5  # files that a message names

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def expand_paths(paths: Paths, option: str) -> list[Path]:
    """The files that a path, a pattern or a list of these names, patterns in sorted order.

    What is a file by its literal name is that file, whatever characters are in it; so is a folder before a pattern. A
    last part ``**`` names files alone; any other pattern names what it matches.

    Args:
        paths: a path, a pattern or a list of these.
        option: what a user gives them by, for messages.

    Raises:
        InputError: a file is missing, nothing matches a pattern, what matches is no file that can be read, or a file is
            named twice; names each.
    """
    files: list[Path] = []
    refused: list[str] = []
    items = [paths] if isinstance(paths, (str, os.PathLike)) or not isinstance(paths, Iterable) else paths
    for item in items:
        if not isinstance(item, (str, os.PathLike)):  # YAML reads a bare 2024 as a number
            raise InputError(
                f"{option}={item} is no name of a file: give \"{option}='NAME'\", quotes included, or ./NAME"
            )
        path = Path(item).expanduser()
        if path.is_dir():
            raise InputError(f"{option}={item} is a folder: name its files, such as {os.path.join(item, '*.txt')}")
        named = matches(path)
        if not named:
            raise InputError(f"{option}={item}: there is no such file, seen from {Path.cwd()}")
        refused += [f"{match} {reason}" for match in named if (reason := _unreadable(match))]
        files += named
    if refused:
        shown = "; ".join(refused[:_SHOWN]) + (f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else "")
        are = agree(len(refused), "is no file", "are no files")
        raise InputError(f"{option}: {len(refused)} of {len(files)} {are} that can be read: {shown}")
    _check_once({option: files})
    if empty := [str(file) for file in files if not file.stat().st_size]:
        log.warning("%s: %d of %d files are empty: %s", option, len(empty), len(files), ", ".join(empty[:_SHOWN]))
    return files


def _unreadable(path: Path) -> str | None:
    """Why a path is no file that can be read, in words; None where it is one."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "is a link to what is not there" if path.is_symlink() else "is not there"
    if stat.S_ISDIR(mode):
        return "is a folder"
    if stat.S_ISFIFO(mode):
        return "is a pipe, which can be read but once: write it to a file"
    if not stat.S_ISREG(mode):
        return "is a device or a socket"
    return None if os.access(path, os.R_OK) else "must not be read: permission denied"


def _check_once(files: Mapping[str, Sequence[Path]]) -> None:
    """Refuses a file that stands twice among ``files`` by option, whatever its paths look like.

    Raises:
        InputError: a file does; names both places.
    """
    seen: dict[tuple[int, int], tuple[str, Path]] = {}
    repeats = []
    for option, paths in files.items():
        for path in paths:
            status = path.stat()
            other, first = seen.setdefault((status.st_dev, status.st_ino), (option, path))
            if first is not path:
                repeats.append((other, first, option, path))
    if not repeats:
        return
    shown = ", ".join(
        f"{path} of {option} is {'' if path == first else f'{first} '}of {other}"
        for other, first, option, path in repeats[:_SHOWN]
    ) + (f", and {len(repeats) - _SHOWN} more" if len(repeats) > _SHOWN else "")
    apart = any(other != option for other, _, option, _ in repeats)
    mend = "no file may be in two splits" if apart else "name each file once"
    raise InputError(f"the same file twice: {shown}; {mend}")


def check_distinct(files: Mapping[str, Sequence[Path]]) -> None:
    """Refuses a file that stands in two splits, by a link or another spelling of its path too.

    Args:
        files: the files of each split by its name.

    Raises:
        InputError: a file does; names it and the splits.
    """
    _check_once({f"data.{name}": paths for name, paths in files.items()})


Sides = Mapping[str, Paths | None]
"""The files of two sides of parallel text, by "source" and "target"."""


@dataclass(frozen=True)
class Files:
    """Which files rows are read from: those of ``path``, which are cut into three splits, or those of each split.

    Each is a file, a pattern or a list of these; of parallel text, a mapping of "source" and "target" to such.

    Args:
        path: files to cut.
        train: files of the training split; then ``validation`` and ``test`` are needed too.
        validation: files of the validation split.
        test: files of the test split.

    Example:
        >>> Files.of("a.csv") == Files(path="a.csv"), Files(train="a.csv", test="b.csv").named()
        (True, {'train': 'a.csv', 'test': 'b.csv'})
    """

    path: Paths | Sides | None = None
    train: Paths | Sides | None = None
    validation: Paths | Sides | None = None
    test: Paths | Sides | None = None

    @classmethod
    def of(cls, files: "Files | Paths | Sides") -> "Files":
        """The same, or files to cut."""
        return files if isinstance(files, Files) else cls(path=files)

    def named(self) -> dict[str, Any]:
        """Those that are given, by the names of the fields."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value}

    def expanded(self, what: str, elsewhere: str = ", or data.hub=NAME") -> dict[str, list[Path]]:
        """The files of "path", which are still to be cut, or of each of the three splits.

        Args:
            what: they hold, for messages.
            elsewhere: what a user can give in place of files, for messages.

        Raises:
            InputError: both or neither of ``path`` and the three splits are given, a file is missing or stands in two
                of them.
        """
        named = self.named()
        whole = named.keys() in ({"path"}, {"train", "validation", "test"})
        files = {}
        if whole or "path" in named:
            files = {name: expand_paths(value, f"data.{name}") for name, value in named.items()}
            check_distinct(files)  # most likely a pattern of ``path`` covers the file of another split: say so first
        if not whole:
            names = " and ".join(f"data.{name}" for name in named) or "no file"
            raise InputError(
                f"{what}: {names} given; "
                f"give data.path=FILE, or all of data.train=, data.validation= and data.test={elsewhere}"
            )
        return files


class FileSource:
    """A source of rows that reads files; a subclass sets ``_files``, the files by "path" or by split."""

    _files: Mapping[str, Sequence[Any]]

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files)
