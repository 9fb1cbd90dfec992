"""A completed run takes the place of another: its files move up one by one; what is cut short is finished later.

Files are moved and removed by name, so that those of the user's stay, wherever in the folder they lie.
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
from seqlab.run.code import COPIES, name_of_copy
from seqlab.run.ownership import lock

REPLACEMENT: Final = ".replacement"
"""The folder in a run's where a new run of it trains, until it completes and takes its place."""

CHECKPOINTS: Final = ("last.ckpt", "previous.ckpt", "best.ckpt")
"""What a run keeps in its folder ``checkpoints``."""

_JOURNAL: Final = ".replacing.json"
_DROPPED: Final = ".dropped-"
_EVENTS: Final = "events.jsonl"  # which tells the one run from the other
_FILES: Final = (
    "run.json",
    "data_spec.json",
    "tokenizer.json",
    "hparams.yaml",
    "classes.csv",
    "confusion.csv",
    "entities.csv",
    "output.log",
    ".crash.txt",
)


def replace(run_dir: Path, record: Mapping[str, Any]) -> None:
    """Moves the run in the replacement's folder up, and removes what is left of the one before it.

    Files that are no run's stay. Cut short at any moment, :func:`finish` does the rest.

    Args:
        run_dir: the folder of the run that is replaced.
        record: that run's record.
    """
    source = run_dir / REPLACEMENT
    names = [name for name in _files_below(source) if not name.startswith(".")]  # which are its claim's
    old = [name for name in _files_of(run_dir, record) if name not in names]
    write_atomically(run_dir / _JOURNAL, json.dumps({"new": names, "old": old}).encode())
    finish(run_dir)


def is_unfinished(run_dir: Path) -> bool:
    """Whether :func:`replace` was cut short."""
    return (run_dir / _JOURNAL).exists()


def finish(run_dir: Path) -> None:
    """Does what :func:`replace` has not done yet.

    Raises:
        InputError: the list of what is left to do was damaged.
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
    with _locked(source / _EVENTS):  # in its new place as well: the lock of the old events goes with them
        for name in names:
            if name != _EVENTS and (source / name).exists():
                (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
                _move(source / name, run_dir / name)
        for name in old:
            (run_dir / name).unlink(missing_ok=True)
            _remove_empty((run_dir / name).parent, run_dir)
        if (source / _EVENTS).exists():
            _move(source / _EVENTS, run_dir / _EVENTS)
        drop(run_dir)
        (run_dir / _JOURNAL).unlink()
    remove_dropped(run_dir)


def drop(run_dir: Path) -> None:
    """Puts the replacement's folder away, where nobody is at work; :func:`remove_dropped` removes it."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(run_dir / REPLACEMENT, run_dir / f"{_DROPPED}{secrets.token_hex(4)}")


def remove_dropped(run_dir: Path) -> None:
    """Removes what was put away."""
    for path in run_dir.glob(f"{_DROPPED}*"):
        shutil.rmtree(path)


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _files_of(run_dir: Path, record: Mapping[str, Any]) -> list[str]:
    """The files of a run, but for its events and for vocabularies beside the main one."""
    checkpoints = [f"checkpoints/{name}" for name in CHECKPOINTS]
    code = (record.get("code") or {}).get("files", ())
    copies = [f"{COPIES}/{name_of_copy(file['module'], file['path'])}" for file in code]
    logs = [path.name for path in run_dir.glob("events.out.tfevents.*")]
    return [name for name in (*_FILES, *checkpoints, *copies, *logs) if (run_dir / name).is_file()]


def files_of_none(run_dir: Path) -> list[str]:
    """Files and folders in a folder without a run that have the names of a run's own: whose they are nobody can tell.

    But for what is only written behind, as a shell may have done before.
    """
    appended = ("output.log", ".crash.txt")
    vocabularies = (path.relative_to(run_dir).as_posix() for path in sorted(run_dir.glob("*/tokenizer.json")))
    copies = [COPIES] if (run_dir / COPIES).exists() else []
    return [*(name for name in _files_of(run_dir, {}) if name not in appended), *copies, *vocabularies]


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Locks a file meanwhile, if it is there."""
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
        if error.errno != errno.EXDEV:  # a folder of the run's may be a link to another disk
            raise
        copy_file(source, target)
        source.unlink()


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # it is not empty, or is a link
            return
        folder = folder.parent
