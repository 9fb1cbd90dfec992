"""The files that a run reads its data from: recorded, and compared with what they are now. Torch is not needed.

A sweep makes this comparison before any job starts. It finds a file that has changed, that is gone, or that a pattern
now matches in addition; the file's path and name do not matter. It cannot see into a dataset of the Hub, or know what a
user's own data module reads without declaring it: the run's own process compares the content that training reads
(:mod:`seqlab.run.content`).
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from seqlab.config.paths import PathKind, PathValue, moved_paths, path_values
from seqlab.files import files_below, matches
from seqlab.run.code import short_path

_BLOCK: Final = 1 << 20
_MAX_NAMED: Final = 3  # files named in one message


class Stamp(NamedTuple):
    """Identifies the content of a file on this machine, without reading it."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "Stamp":
        """The stamp of a file, or of the file that a link points to."""
        status = os.stat(path)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class FileHashes:
    """Hashes of files; each file is read once, as long as its stamp stays the same. One object serves a whole sweep."""

    def __init__(self) -> None:
        self._hashes: dict[Stamp, str] = {}

    def sha256(self, path: str | os.PathLike[str]) -> str:
        """The hash of a file.

        Raises:
            OSError: the file cannot be read.
        """
        stamp = Stamp.of(path)
        if stamp not in self._hashes:
            digest = hashlib.sha256()
            with self._open(path) as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
            self._hashes[stamp] = digest.hexdigest()
        return self._hashes[stamp]

    def _open(self, path: str | os.PathLike[str]) -> IO[bytes]:
        return open(path, "rb")


class ContentHashes(FileHashes):
    """Hashes of what files hold: packed by gzip, the same rows are the same. A broken file of gzip is what it is."""

    def sha256(self, path: str | os.PathLike[str]) -> str:
        try:
            return super().sha256(path)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            return FileHashes().sha256(path)

    def _open(self, path: str | os.PathLike[str]) -> IO[bytes]:
        return cast(IO[bytes], gzip.open(path)) if is_packed(path) else super()._open(path)


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as one of gzip does."""
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def take_stamps(files: Iterable[str] | None) -> dict[str, Stamp | None]:
    """The stamps of files, to be taken before the files are read; see :func:`files_changed_since`."""
    return {file: _stamp(file) for file in files or () if not _is_address(file)}


def files_changed_since(stamps: Mapping[str, Stamp | None]) -> list[str]:
    """The files that were written since their stamps were taken: the content that was read is unknown."""
    return [file for file, stamp in stamps.items() if _stamp(file) != stamp]


def describe_files(
    files: Iterable[str] | None, config: Mapping[str, Any], hashes: FileHashes
) -> list[dict[str, Any]] | None:
    """The data files in ``run.json``: of each ``path``, ``size``, ``sha256``, and the configuration ``key`` naming it.

    A file of gzip has ``unpacked`` beside these, the hash of what it holds.

    A dataset of the Hub has no size and no hash, but an address with its revision.

    Args:
        files: the files that were read; None: they are unknown, and so is the result.
        config: the configuration, with absolute paths.
        hashes: the hashes of files.
    """
    if files is None:
        return None
    read = dict.fromkeys(file if _is_address(file) else os.path.abspath(file) for file in files)
    keys = _keys(read, path_values(config))
    entries: list[dict[str, Any]] = []
    for file in [*keys, *(file for file in read if file not in keys)]:
        size, sha256 = (None, None) if _is_address(file) else (os.stat(file).st_size, hashes.sha256(file))
        entries.append({"path": file, "size": size, "sha256": sha256, "key": keys.get(file)})
        if sha256 is not None and is_packed(file):
            entries[-1]["unpacked"] = ContentHashes().sha256(file)
    return entries


def data_differences(
    record: Mapping[str, Any],
    hashes: FileHashes,
    config: Mapping[str, Any] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
) -> list[str]:
    """The differences between the files that a run read and those that would be read now, in words.

    Args:
        record: the fields of the run's ``run.json``.
        hashes: the hashes of files; one object for all runs that a command compares.
        config: the configuration of the new run, with absolute paths; None: the record's, in which files that moved
            together with the run are found again.
        run_dir: the run's present folder, needed to find moved files.
    """
    entries = [entry for entry in record.get("data_files") or () if not _is_address(entry["path"])]
    before = record["config"]
    if config is None:
        config = moved_paths(before, record.get("places"), run_dir)[0] if run_dir is not None else before
    then, now = _by_key(path_values(before)), _by_key(path_values(config))
    texts: list[str] = []
    for key in dict.fromkeys(entry["key"] for entry in entries):
        entries_of_key = [entry for entry in entries if entry["key"] == key]
        files = _files_now(entries_of_key, then.get(key, ()), now.get(key, ()))
        texts += _compare_files(key, entries_of_key, files, hashes)
    return texts


def _files_now(entries: Sequence[Mapping[str, Any]], then: Sequence[PathValue], now: Sequence[PathValue]) -> list[str]:
    """The files that a configuration key names now, in place of those that it named then."""
    if not now:  # no key names them
        return [entry["path"] for entry in entries]
    files: list[str] = []
    for number, value in enumerate(now):
        below = [
            os.path.join(value.path, os.path.relpath(entry["path"], then[number].path))
            for entry in (entries if number < len(then) else ())
            if Path(then[number].path) in Path(entry["path"]).parents
        ]
        for match in matches(value.path) or ([] if below or has_magic(value.text) else [value.path]):
            if not match.is_dir():
                files.append(os.path.abspath(match))
            elif value.kind is PathKind.HUB:  # all files in the folder are read
                below = list(map(str, files_below(match)))
        files += below
    return files


def _compare_files(
    key: str | None, entries: Sequence[Mapping[str, Any]], files: Sequence[str], hashes: FileHashes
) -> list[str]:
    """The differences between the recorded files of a key and its present ones, in words."""
    contents = [_sha256(file, hashes) for file in files]
    recorded = [entry["sha256"] for entry in entries]
    if contents == recorded:
        return []
    if None not in contents and sorted(map(str, contents)) == sorted(recorded):
        return [f"{key} names the same files in another order"]
    if len(files) == len(entries):
        triples = zip(entries, files, contents, strict=True)
        return [_change(entry, file, content) for entry, file, content in triples if content != entry["sha256"]]
    added = [short_path(file) for file, content in zip(files, contents, strict=True) if content not in set(recorded)]
    gone = [short_path(entry["path"]) for entry in entries if entry["sha256"] not in set(contents)]
    words = [f"{len(files)} files instead of {len(entries)}"]
    words += [f"new: {_first_names(added)}"] if added else []
    words += [f"gone: {_first_names(gone)}"] if gone else []
    return [f"{key}: {'; '.join(words)}"]


def _change(entry: Mapping[str, Any], file: str, content: str | None) -> str:
    """How a present file differs from its recorded entry, in words; ``content`` is its present hash."""
    if content is None:
        mend = f" (if it has moved, give its new path by {entry['key']})" if entry["key"] else ""
        return f"{short_path(file)} is gone, or cannot be read{mend}"
    if os.path.realpath(file) == os.path.realpath(entry["path"]):
        return f"{short_path(file)} has changed"
    return f"{short_path(file)} differs from the recorded {short_path(entry['path'])}"


def _first_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _by_key(values: Iterable[PathValue]) -> dict[str | None, list[PathValue]]:
    by_key: dict[str | None, list[PathValue]] = {}
    for value in values:
        by_key.setdefault(value.key, []).append(value)
    return by_key


def _keys(read: Iterable[str], values: Iterable[PathValue]) -> dict[str, str]:
    """The key that names each file, directly or by a pattern or a folder, in the order in which the keys name them."""
    read = set(read)
    keys: dict[str, str] = {}
    for value in values:
        if value.kind is not PathKind.PLACE:
            for match in matches(value.path):
                below = map(str, files_below(match)) if match.is_dir() else [os.path.abspath(match)]
                keys.update({path: value.key for path in below if path in read and path not in keys})
    return keys


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
