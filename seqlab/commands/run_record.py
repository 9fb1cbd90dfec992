"""The record of the run that a folder holds now, for :class:`seqlab.commands.run.Run`. Torch is not needed."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.config.trust import PROJECT_ALLOW_VARIABLE, own_targets
from seqlab.imports import set_user_folders, user_folders
from seqlab.run.code import changed_modules
from seqlab.run.comparison import Present, changes_since_training
from seqlab.run.events import RUNNING
from seqlab.run.layout import RECORD_NAME
from seqlab.run.loaded import check_imported, loaded_files
from seqlab.run.record import read_record

_SCRIPTS: Final = ("__main__", "__mp_main__")  # of the process, and not what a run was trained by

log = logging.getLogger("seqlab")


class PresentRecord:
    """The record in a run's folder. It is read again where the file has changed.

    Args:
        run_dir: the run's folder.

    Raises:
        InputError: the folder holds no run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._stamp = file_stamp(run_dir / RECORD_NAME)  # first: what is replaced meanwhile is read again
        self._fields = read_record(run_dir)
        self._told: tuple[Any, ...] | None = None

    def read(self) -> dict[str, Any]:
        """The fields as they are now. If they are of another run than before, a warning is logged.

        Of a folder that is gone, the fields stay as they were.
        """
        stamp = file_stamp(self.run_dir / RECORD_NAME)
        if stamp is not None and (stamp != self._stamp or self._fields["status"] == RUNNING):
            before = run_identity(self._fields)
            self._stamp, self._fields = stamp, read_record(self.run_dir)
            if run_identity(self._fields) != before:
                log.warning("%s is another run by now: it is read again", self.run_dir)
        return self._fields

    def tell_changes(self) -> None:
        """Says on standard error, once for each run, what the commands say of a run that they use."""
        fields = self.read()
        if self._told == run_identity(fields):
            return
        self._told = run_identity(fields)
        lines = changes_since_training(fields, Present())
        files = [file for file in loaded_files() if file.sha256 is not None and file.module not in _SCRIPTS]
        imported = [
            text for text in changed_modules(fields.get("code"), files) if not any(text in line for line in lines)
        ]
        if imported:  # and the file is again what it was
            lines.append(f"this process has imported other code than that of this run: {'; '.join(imported)}")
        for line in lines:
            print(f"seqlab: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class UserModules:
    """Where the user's own modules are found, and which of them the project file allows.

    Attributes:
        folders: the folders, as of :func:`seqlab.imports.user_folders`.
        allowed: the value of ``SEQLAB_PROJECT_ALLOW``.
    """

    folders: tuple[str, ...]
    allowed: str

    @classmethod
    def now(cls) -> "UserModules":
        """Those of the last command in this process."""
        return cls(tuple(user_folders()), os.environ.get(PROJECT_ALLOW_VARIABLE, ""))

    def use(self, record: Mapping[str, Any]) -> None:
        """Puts them into effect again: the process may work in another project's folder by now.

        Raises:
            InputError: this process has imported another project's module of a name that the run needs.
        """
        os.environ[PROJECT_ALLOW_VARIABLE] = self.allowed
        set_user_folders(self.folders)
        modules = [entry["module"] for entry in (record.get("code") or {}).get("files", ())]
        check_imported([*modules, *own_targets(record["config"])])


def run_identity(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What differs between any two runs, also in one folder; a run that is resumed keeps it."""
    return record.get("started_at"), record.get("config_hash")


def file_stamp(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """A value that changes when another file takes the place of this one; None if there is none."""
    try:
        file = os.stat(path)
    except FileNotFoundError:
        return None
    return file.st_ino, file.st_size, file.st_mtime_ns
