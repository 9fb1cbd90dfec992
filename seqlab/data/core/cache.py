"""Folders that one process builds, once, and that appear whole or not at all."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from filelock import FileLock

from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_CHECKSUMS: Final = "checksums.json"


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """``cache_dir``, or ``$SEQLAB_CACHE``, ``$XDG_CACHE_HOME/seqlab`` or ``~/.cache/seqlab``: the first that is set."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if folder := os.environ.get("SEQLAB_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seqlab"


def build_once(parent: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``parent/key``, which ``build`` fills if it is not there or no longer as it was written.

    The operating system's lock ends with the process that holds it. What such a process left unfinished is removed by
    the next one that builds. A folder without ``.partial`` in its name was whole once. The checksums of its files are
    compared each time, and where they differ it is built anew, with a log line.

    Args:
        parent: the folder of these folders; made if it is missing.
        key: the folder's name, which determines what ``build`` writes.
        build: writes into the empty folder that is its argument.

    Raises:
        InputError: ``parent`` cannot be written to.
    """
    folder = parent / key
    if _is_whole(folder):
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / f"{key}.lock"):
            if _is_whole(folder):  # another process has built it
                return folder
            if folder.is_dir():
                log.warning("the cached files in %s are not as they were written: they are made anew", folder)
                _remove(folder)
            _build(folder, build)
    except OSError as error:
        raise InputError(f"the token cache {parent} cannot be written ({error}): give data.cache_dir=FOLDER") from error
    return folder


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sums = {file.name: _checksum(file) for file in partial.iterdir()}
    (partial / _CHECKSUMS).write_text(json.dumps(sums), encoding="utf-8")
    for file in partial.iterdir():  # or, after a power cut, the folder's name might be there without the bytes
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
    os.replace(partial, folder)


def _remove(folder: Path) -> None:
    """Removes a folder that others may have open: its name is free at once."""
    damaged = folder.with_name(f"{folder.name}.damaged.partial")
    shutil.rmtree(damaged, ignore_errors=True)
    os.replace(folder, damaged)
    shutil.rmtree(damaged, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    """Whether a folder has the files that were written into it, as they were written."""
    try:
        sums: dict[str, str] = json.loads((folder / _CHECKSUMS).read_text(encoding="utf-8"))
        return all(_checksum(folder / name) == checksum for name, checksum in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _checksum(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
