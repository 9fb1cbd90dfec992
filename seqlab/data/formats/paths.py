"""Which files are read: paths, patterns and lists of these, for one set or for three splits."""

import logging
import os
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from seqlab.data.core.summary import agree
from seqlab.errors import InputError
from seqlab.files import matches

log = logging.getLogger("seqlab")

_SHOWN = 5  # files that a message names

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def expand_paths(paths: Paths, option: str) -> list[Path]:
    """The files of a path, a pattern or a list of these; those of a pattern are sorted.

    A path that is the literal name of a file is that file, even if it has characters of a pattern; so is the folder in
    front of a pattern. A pattern that ends in ``**`` names files alone; any other names all that it matches.

    Args:
        paths: a path, a pattern or a list of these.
        option: the option that gives them, for messages.

    Raises:
        InputError: a file is missing or cannot be read, nothing matches a pattern, or a file is named twice; names each
            such file.
    """
    files: list[Path] = []
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
        files += named
    check_readable(files, option)
    _check_once({option: files})
    if empty := [str(file) for file in files if not file.stat().st_size]:
        log.warning("%s: %d of %d files are empty: %s", option, len(empty), len(files), ", ".join(empty[:_SHOWN]))
    return files


def check_readable(files: Sequence[Path], what: str) -> None:
    """Refuses files that cannot be read, such as links to what is not there.

    Args:
        files: the files.
        what: the option that gives them, or what they are, for messages.

    Raises:
        InputError: one of them cannot be read; names each.
    """
    refused = [f"{file} {reason}" for file in files if (reason := _unreadable(file))]
    if refused:
        shown = "; ".join(refused[:_SHOWN]) + (f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else "")
        are = agree(len(refused), "is no file", "are no files")
        raise InputError(f"{what}: {len(refused)} of {len(files)} {are} that can be read: {shown}")


def _unreadable(path: Path) -> str | None:
    """Why a path is no file that can be read, as a phrase; None where it is one."""
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
    """Refuses a file that is named twice, even by a link or another spelling of its path.

    Args:
        files: the files by option.

    Raises:
        InputError: a file is named twice; names both places.
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
    """Refuses a file that is in two splits, even by a link or another spelling of its path.

    Args:
        files: the files of each split.

    Raises:
        InputError: a file is in two splits; names it and the splits.
    """
    _check_once({f"data.{name}": paths for name, paths in files.items()})


Sides = Mapping[str, Paths | None]
"""The files of parallel text, by "source" and "target"."""


@dataclass(frozen=True)
class Files:
    """Which files are read: those of one set, which is cut into three splits, or those of each split.

    A test of its own may stand beside one set. It is the test then, and that of the set is left out: so a run can be
    evaluated on another file, whole, while its training and its validation stay what they were.

    Each field is a file, a pattern or a list of these; for parallel text, a mapping of "source" and "target" to such.

    Args:
        path: the files of one set.
        train: the files of the training split; then ``validation`` and ``test`` are needed too.
        validation: the files of the validation split.
        test: the files of the test split, also beside ``path``.

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
        """The argument itself, or files of one set."""
        return files if isinstance(files, Files) else cls(path=files)

    def named(self) -> dict[str, Any]:
        """The fields that are given, by their names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value}

    def expanded(self, what: str, elsewhere: str = "") -> dict[str, list[Path]]:
        """The files of "path" and, if given, of "test"; or those of each of the three splits.

        Args:
            what: what the files hold, for messages.
            elsewhere: what can be given in place of files, for messages, such as ", or data.hub=NAME".

        Raises:
            InputError: both or neither of ``path`` and the three splits are given, or a file is missing or in two
                splits.
        """
        named = self.named()
        whole = is_complete(named)
        files = {}
        if whole or "path" in named:
            files = {name: expand_paths(value, f"data.{name}") for name, value in named.items()}
            check_distinct(files)  # first, because most likely a pattern of ``path`` matches the file of a split
        if not whole:
            names = " and ".join(f"data.{name}" for name in named) or "no file"
            raise InputError(
                f"{what}: {names} given; "
                f"give data.path=FILE, alone or with data.test=FILE, or all of data.train=, data.validation= and "
                f"data.test={elsewhere}"
            )
        return files


def is_complete(names: Collection[str]) -> bool:
    """Whether files of these names make three splits.

    Example:
        >>> is_complete(["path"]), is_complete(["path", "test"]), is_complete(["train", "test"])
        (True, True, False)
    """
    return set(names) in ({"path"}, {"path", "test"}, {"train", "validation", "test"})
