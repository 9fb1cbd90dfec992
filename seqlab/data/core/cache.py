"""Folders that are built once, by one process, and appear whole or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from seqlab.errors import InputError


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """``cache_dir``, or ``$SEQLAB_CACHE``, ``$XDG_CACHE_HOME/seqlab`` or ``~/.cache/seqlab``: the first that is set."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if named := os.environ.get("SEQLAB_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seqlab"


def build_once(parent: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``parent/key``, built by ``build`` if it is not there.

    The lock is the system's, and goes with the process that held it. What that process left unfinished is removed by
    the next one to build; a folder without ``.partial`` in its name is always whole.

    Args:
        parent: where the folders lie; made if missing.
        key: a name that determines what ``build`` writes.
        build: writes into the empty folder that it is given.

    Raises:
        InputError: ``parent`` cannot be written to.
    """
    folder = parent / key
    if folder.is_dir():
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / f"{key}.lock"):
            if not folder.is_dir():
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
    for file in partial.iterdir():  # a rename that outlives a power cut must not outlive the bytes
        with open(file, "rb") as written:
            os.fsync(written.fileno())
    os.replace(partial, folder)
