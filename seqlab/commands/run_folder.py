"""From the ``RUN_DIR`` of a command to the folder of a run. Torch is not needed."""

import os
from itertools import chain
from pathlib import Path
from typing import Final

from seqlab.errors import InputError
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME

_PARTS_ABOVE: Final = 2  # how far up the run of one of its parts is looked for


def run_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of a run, by its own path or by that of its ``run.json``.

    Raises:
        InputError: there is no run; the line says what is there, and which folder to give where one is near.
    """
    folder = Path(path)
    if folder.name == RECORD_NAME and folder.is_file():
        folder = folder.parent
    if _is_run(folder):
        return folder
    if not os.path.lexists(folder):
        raise InputError(f"{folder}: there is no such folder; give the folder of a run, which seqlab train prints last")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not the folder of a run; give the folder that seqlab train prints last")
    absolute = folder.absolute()
    if run := next(filter(_is_run, absolute.parents[:_PARTS_ABOVE]), None):
        raise InputError(f"{folder} is a part of a run; give {_as_typed(run, folder)}")
    if run := next(filter(_is_run, chain(_folders(folder, "*"), _folders(folder, "*/*"))), None):
        raise InputError(f"{folder} is a folder of runs, not a run; give one of them, such as {run}")
    raise InputError(
        f"{folder} is not the folder of a run: it has no {RECORD_NAME}; give the folder that seqlab train prints last"
    )


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (RECORD_NAME, EVENTS_NAME))


def _folders(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_dir())


def _as_typed(run: Path, part: Path) -> Path:
    """A folder above ``part`` as the user would write it: relative where ``part`` is."""
    return run if part.is_absolute() else Path(os.path.relpath(run))
