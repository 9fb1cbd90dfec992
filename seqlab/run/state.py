"""The state of a run, read from its events. Reading never waits and changes nothing. Torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlab.run import replacement
from seqlab.run.events import ABSENT, COMPLETED, INTERRUPTED, RUNNING
from seqlab.run.history import History, read_lines
from seqlab.run.layout import CHECKPOINT_NAMES, EVENTS_NAME, REPLACEMENT, checkpoint_folder
from seqlab.run.ownership import owner_lives, process_name


@dataclass(frozen=True)
class State:
    """The state of a run.

    Attributes:
        status: one of :data:`seqlab.run.events.STATUSES`. A run whose owner is gone without noting an end is
            ``interrupted``.
        record: the fields of ``run.json``.
        has_checkpoint: whether the run can continue from a checkpoint.
    """

    status: str
    record: dict[str, Any]
    has_checkpoint: bool

    @property
    def is_stopped(self) -> bool:
        """Whether the run has begun, is not running and has not completed."""
        return self.status not in (ABSENT, RUNNING, COMPLETED)

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the run has completed, or has stopped and can continue from a checkpoint."""
        return self.status == COMPLETED or (self.is_stopped and self.has_checkpoint)

    @property
    def reason(self) -> str:
        """Why the last attempt did not complete, whether it could not start or ended early; may have several lines."""
        last_attempt = (self.record["attempts"] or [{}])[-1]
        return str(last_attempt.get("withdrawn") or self.record["error"] or "").strip()


def read_state(run_dir: Path) -> State:
    """The state of the run in a folder.

    Raises:
        InputError: the events cannot be read, or are not events of a run.
    """
    history = History(_present_events(run_dir))
    history.take_lines(read_lines(history.path))
    record = history.record
    status = record["status"]
    if status == RUNNING and not _owner_lives(run_dir, record):
        status = INTERRUPTED
        record = {**record, "status": status, "error": owner_gone(record["process"])}
    return State(status, record, has_checkpoint(run_dir))


def has_checkpoint(run_dir: Path) -> bool:
    """Whether the run in a folder has a checkpoint to continue from."""
    return any((checkpoint_folder(run_dir) / name).exists() for name in CHECKPOINT_NAMES)


def owner_gone(owner: Mapping[str, Any]) -> str:
    """The error of a run whose owner died without noting an end."""
    return f"{process_name(owner)} is gone and wrote no end"


def _present_events(run_dir: Path) -> Path:
    """The events of the run; once a replacement has begun to take its place, those of the replacement."""
    new = run_dir / REPLACEMENT / EVENTS_NAME
    return new if replacement.is_unfinished(run_dir) and new.exists() else run_dir / EVENTS_NAME


def _owner_lives(run_dir: Path, record: Mapping[str, Any]) -> bool:
    try:
        with open(run_dir / EVENTS_NAME, "rb") as file:
            return owner_lives(file.fileno(), record["process"])
    except OSError:
        return True  # unknown: the owner is taken at its word
