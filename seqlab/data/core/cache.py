"""Folders that one process builds, once, and that appear whole or not at all."""

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
    if folder := os.environ.get("SEQLAB_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seqlab"


def build_once(parent: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``parent/key``, which ``build`` fills if it is not there.

    The operating system's lock ends with the process that holds it. What such a process left unfinished is removed by
    the next one that builds. A folder without ``.partial`` in its name is always whole.

    Args:
        parent: the folder of these folders; made if it is missing.
        key: the folder's name, which determines what ``build`` writes.
        build: writes into the empty folder that is its argument.

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
    for file in partial.iterdir():  # or, after a power cut, the folder's name might be there without the bytes
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
    os.replace(partial, folder)
