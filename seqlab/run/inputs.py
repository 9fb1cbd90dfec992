"""The files that a run reads its data from: what they were, and whether they are the same now. Torch is not needed.

This is the check that a sweep can make before any job starts. It tells a file that has changed, is gone, or has joined
those that a pattern names; where a file lies and what it is called does not matter. What a data set of the Hub holds,
and what a user's own data module reads without saying so, it can't tell: the run's own process compares the content
that training reads (:mod:`seqlab.run.load`).
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.config.paths import PathKind, PathValue, moved_paths, path_values
from seqlab.files import files_below, matches
from seqlab.run.code import shown

_BLOCK = 1 << 20
_NAMED = 3  # files that a sentence names


class Stamp(NamedTuple):
    """What tells cheaply whether a file is still the same on this machine."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "Stamp":
        """The stamp of a file, or of what a link points to."""
        status = os.stat(path)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class FileHashes:
    """The hashes of files, each made once as long as the file stays the same: one object serves a whole sweep."""

    def __init__(self) -> None:
        self._known: dict[Stamp, str] = {}

    def sha256(self, path: str | os.PathLike[str]) -> str:
        """A file's hash.

        Raises:
            OSError: it cannot be read.
        """
        stamp = Stamp.of(path)
        if stamp not in self._known:
            found = hashlib.sha256()
            with open(path, "rb") as stream:
                while block := stream.read(_BLOCK):
                    found.update(block)
            self._known[stamp] = found.hexdigest()
        return self._known[stamp]


def stamps(files: Iterable[str] | None) -> dict[str, Stamp | None]:
    """The stamps of files, taken before they are read, for :func:`changed_meanwhile`."""
    return {file: _stamp(file) for file in files or () if not _is_address(file)}


def changed_meanwhile(before: Mapping[str, Stamp | None]) -> list[str]:
    """Which files were written since their stamps were taken: what was read of them is unknown."""
    return [file for file, stamp in before.items() if _stamp(file) != stamp]


def describe_files(
    files: Iterable[str] | None, config: Mapping[str, Any], hashes: FileHashes
) -> list[dict[str, Any]] | None:
    """What ``run.json`` keeps of the files that were read: of each ``path``, ``size``, ``sha256``, and the ``key`` of
    the configuration that named it. What lies on the Hub has no size and hash, but an address with its revision.

    Args:
        files: their paths; None: they are not known, and neither is the result.
        config: with absolute paths.
        hashes: where hashes are kept.
    """
    if files is None:
        return None
    read = dict.fromkeys(file if _is_address(file) else os.path.abspath(file) for file in files)
    keys = _keys(read, path_values(config))
    found: list[dict[str, Any]] = []
    for file in [*keys, *(file for file in read if file not in keys)]:
        local = not _is_address(file)
        size, sha256 = (os.stat(file).st_size, hashes.sha256(file)) if local else (None, None)
        found.append({"path": file, "size": size, "sha256": sha256, "key": keys.get(file)})
    return found


def data_differences(
    record: Mapping[str, Any],
    hashes: FileHashes,
    config: Mapping[str, Any] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
) -> list[str]:
    """What differs between the files that a run read and those that would be read now, in words.

    Args:
        record: the fields of the run's ``run.json``.
        hashes: of this command, for all runs that it compares.
        config: with absolute paths, that of the run that would be made now; None: the record's, with what has moved
            together with the run found again.
        run_dir: the run's folder now, for that.
    """
    entries = [entry for entry in record.get("data_files") or () if not _is_address(entry["path"])]
    before = record["config"]
    if config is None:
        config = moved_paths(before, record.get("places"), run_dir)[0] if run_dir is not None else before
    then, now = _by_key(path_values(before)), _by_key(path_values(config))
    found: list[str] = []
    for key in dict.fromkeys(entry["key"] for entry in entries):
        of_key = [entry for entry in entries if entry["key"] == key]
        files = _files_now(of_key, then.get(key, ()), now.get(key, ()))
        found += _compared(key, of_key, files, hashes)
    return found


def _files_now(entries: Sequence[Mapping[str, Any]], then: Sequence[PathValue], now: Sequence[PathValue]) -> list[str]:
    """The files that a key names now, in the place of those that it named then."""
    if not now:  # no key named them
        return [entry["path"] for entry in entries]
    found: list[str] = []
    for number, value in enumerate(now):
        below = [
            os.path.join(value.path, os.path.relpath(entry["path"], then[number].path))
            for entry in (entries if number < len(then) else ())
            if Path(then[number].path) in Path(entry["path"]).parents
        ]
        for match in matches(value.path) or ([] if below or has_magic(value.text) else [value.path]):
            if not match.is_dir():
                found.append(os.path.abspath(match))
            elif value.kind is PathKind.HUB:  # whatever lies in it is read
                below = list(map(str, files_below(match)))
        found += below
    return found


def _compared(
    key: str | None, entries: Sequence[Mapping[str, Any]], files: Sequence[str], hashes: FileHashes
) -> list[str]:
    """What differs between the files of a key as they were and as they are."""
    contents = [_sha256(file, hashes) for file in files]
    recorded = [entry["sha256"] for entry in entries]
    if contents == recorded:
        return []
    if None not in contents and sorted(map(str, contents)) == sorted(recorded):
        return [f"{key} names the same files in another order"]
    if len(files) == len(entries):
        found = []
        for entry, file, content in zip(entries, files, contents, strict=True):
            if content is None:
                found.append(f"{shown(file)} is gone, or cannot be read")
            elif content != entry["sha256"] and os.path.realpath(file) == os.path.realpath(entry["path"]):
                found.append(f"{shown(file)} has changed")
            elif content != entry["sha256"]:
                found.append(f"{shown(file)} differs from {shown(entry['path'])} as it was")
        return found
    kept = set(recorded)
    added = [shown(file) for file, content in zip(files, contents, strict=True) if content not in kept]
    gone = [shown(entry["path"]) for entry in entries if entry["sha256"] not in set(contents)]
    words = [f"{len(files)} files where there were {len(entries)}"]
    words += [f"new: {_some(added)}"] if added else []
    words += [f"gone: {_some(gone)}"] if gone else []
    return [f"{key}: {'; '.join(words)}"]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _by_key(values: Iterable[PathValue]) -> dict[str | None, list[PathValue]]:
    found: dict[str | None, list[PathValue]] = {}
    for value in values:
        found.setdefault(value.key, []).append(value)
    return found


def _keys(read: Iterable[str], values: Iterable[PathValue]) -> dict[str, str]:
    """The key that names each file, by itself, a pattern or a folder above it, in the order in which keys name them."""
    read, found = set(read), {}
    for value in values:
        if value.kind is not PathKind.PLACE:
            for match in matches(value.path):
                below = map(str, files_below(match)) if match.is_dir() else [os.path.abspath(match)]
                found.update({path: value.key for path in below if path in read and path not in found})
    return found


def _sha256(path: str, hashes: FileHashes) -> str | None:
    try:
        return hashes.sha256(path)
    except OSError:
        return None


def _stamp(path: str) -> Stamp | None:
    try:
        return Stamp.of(path)
    except OSError:
        return None


def _is_address(path: str) -> bool:
    return "://" in path
