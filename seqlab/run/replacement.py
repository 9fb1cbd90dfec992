"""A completed run takes the place of another: its files move up one by one; what is cut short is finished later."""

import json
import os
import shutil
from pathlib import Path
from typing import Final

from seqlab.files import write_atomically

REPLACEMENT: Final = ".replacement"
"""The folder in a run's where a new run of it trains, until it completes and takes its place."""

_JOURNAL: Final = ".replacing.json"
_LAST: Final = "events.jsonl"  # which tells the one run from the other
_OURS: Final = ("checkpoints", "code", "run.json", "data_spec.json", "tokenizer.json", "output.log", _LAST)
"""What a run writes into its folder, beside its vocabularies' folders and TensorBoard's events."""


def replace(run_dir: Path) -> None:
    """Moves the run in the replacement's folder up, and removes what is left of the one before it.

    Files that are no run's stay. Cut short at any moment, :func:`finish` does the rest.
    """
    names = sorted(path.name for path in (run_dir / REPLACEMENT).iterdir() if not path.name.startswith(".claim-"))
    write_atomically(run_dir / _JOURNAL, json.dumps(names).encode())
    finish(run_dir)


def is_unfinished(run_dir: Path) -> bool:
    """Whether :func:`replace` was cut short."""
    return (run_dir / _JOURNAL).exists()


def finish(run_dir: Path) -> None:
    """Does what :func:`replace` has not done yet."""
    names: list[str] = json.loads((run_dir / _JOURNAL).read_text())
    source = run_dir / REPLACEMENT
    for name in sorted(names, key=lambda name: name == _LAST):
        if (source / name).exists():
            _remove(run_dir / name)
            os.replace(source / name, run_dir / name)
    logs = (path.name for path in run_dir.glob("events.out.tfevents.*"))
    for name in [*_OURS, *logs]:
        if name not in names:
            _remove(run_dir / name)
    _remove(source)
    (run_dir / _JOURNAL).unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
