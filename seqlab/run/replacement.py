"""How a completed run replaces another: its files move up one by one. A move that is cut short is finished later.

Files are moved and removed by name, so the user's own files stay, wherever in the folder they are.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.files import copy_file, write_atomically
from seqlab.run.code import copy_name
from seqlab.run.layout import (
    CHECKPOINT_NAMES,
    CODE_COPIES,
    CRASH_NAME,
    EVENTS_NAME,
    OUTPUT_NAME,
    RECORD_NAME,
    REPLACEMENT,
)
from seqlab.run.ownership import lock

_JOURNAL: Final = ".replacing.json"  # the files that are still to be moved and removed
_DROPPED: Final = ".dropped-"
_FILES: Final = (
    RECORD_NAME,
    "data_spec.json",
    "tokenizer.json",
    "hparams.yaml",
    "metrics.csv",
    "logger.json",
    "answers.png",
    "classes.csv",
    "confusion.csv",
    "entities.csv",
    OUTPUT_NAME,
    CRASH_NAME,
)


def replace(run_dir: Path, record: Mapping[str, Any]) -> None:
    """Moves the files of the replacement up into the run's folder, and removes the other files of the old run.

    Files that belong to neither run stay. If this is cut short at any moment, :func:`finish` does the rest.

    Args:
        run_dir: the folder of the run that is replaced.
        record: the record of the run that is replaced.
    """
    source = run_dir / REPLACEMENT
    names = [name for name in _files_below(source) if not name.startswith(".")]  # hidden files are its claim's
    old = [name for name in _files_of(run_dir, record) if name not in names]
    write_atomically(run_dir / _JOURNAL, json.dumps({"new": names, "old": old}).encode())
    finish(run_dir)


def is_unfinished(run_dir: Path) -> bool:
    """Whether :func:`replace` was cut short."""
    return (run_dir / _JOURNAL).exists()


def finish(run_dir: Path) -> None:
    """Finishes a :func:`replace` that was cut short.

    Raises:
        InputError: the list of files that are still to be moved is damaged.
        OSError: a file cannot be moved.
    """
    try:
        journal = json.loads((run_dir / _JOURNAL).read_text())
        names, old = list(journal["new"]), list(journal["old"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{run_dir / _JOURNAL} was damaged or edited ({error}); the new run is in {REPLACEMENT}"
        ) from None
    source = run_dir / REPLACEMENT
    with _locked(source / EVENTS_NAME):  # it stays locked where it moves to; the old file's lock goes with that file
        for name in names:
            if name != EVENTS_NAME and (source / name).exists():
                (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
                _move(source / name, run_dir / name)
        for name in old:
            (run_dir / name).unlink(missing_ok=True)
            _remove_empty((run_dir / name).parent, run_dir)
        if (source / EVENTS_NAME).exists():
            _move(source / EVENTS_NAME, run_dir / EVENTS_NAME)
        drop(run_dir)
        (run_dir / _JOURNAL).unlink()
    remove_dropped(run_dir)


def drop(run_dir: Path) -> None:
    """Renames the replacement's folder, for :func:`remove_dropped` to remove. Nobody may be at work in it."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(run_dir / REPLACEMENT, run_dir / f"{_DROPPED}{secrets.token_hex(4)}")


def remove_dropped(run_dir: Path) -> None:
    """Removes the folders that :func:`drop` has renamed."""
    for path in run_dir.glob(f"{_DROPPED}*"):
        shutil.rmtree(path)


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _files_of(run_dir: Path, record: Mapping[str, Any]) -> list[str]:
    """The files of a run, except its events and the vocabularies after the first."""
    checkpoints = [f"checkpoints/{name}" for name in CHECKPOINT_NAMES]
    code = (record.get("code") or {}).get("files", ())
    copies = [f"{CODE_COPIES}/{copy_name(file['module'], file['path'])}" for file in code]
    logs = [path.name for path in run_dir.glob("events.out.tfevents.*")]
    return [name for name in (*_FILES, *checkpoints, *copies, *logs) if (run_dir / name).is_file()]


def unowned_files(run_dir: Path) -> list[str]:
    """Files in a folder without a run that have the names of a run's files: a run would overwrite them.

    Files to which a run only appends do not count.
    """
    appended = (OUTPUT_NAME, CRASH_NAME)
    vocabularies = (path.relative_to(run_dir).as_posix() for path in sorted(run_dir.glob("*/tokenizer.json")))
    copies = [CODE_COPIES] if (run_dir / CODE_COPIES).exists() else []
    return [*(name for name in _files_of(run_dir, {}) if name not in appended), *copies, *vocabularies]


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds the lock of a file, if the file exists."""
    descriptor = lock(file)[0] if file.exists() else None
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # a subfolder may be a link to another disk
            raise
        copy_file(source, target)
        source.unlink()


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # not empty, or a link
            return
        folder = folder.parent
