"""A sweep's events, as its processes write them and the command reads them.

Each process that carries out jobs appends to a file of its own, so that no two of them write one file, be they on
machines that share a folder. The command reads what is new in each, once.
"""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from seqlab.files import write_atomically
from seqlab.run.provenance import may_be_alive, this_process

_PREFIX: Final = ".sweep-"
_STOP: Final = "stop"
_HALT: Final = "halt"
_OWNER: Final = "owner.json"


class SweepLog:
    """The folder of a sweep's events, while the sweep runs.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> log = SweepLog(Path(folder.name), "1")
        >>> log.create()
        >>> log.write(event="start", number=0, folder="seed=1")
        >>> [event["number"] for event in log.read_new()], list(log.read_new())
        ([0], [])
        >>> folder.cleanup()
    """

    def __init__(self, sweep_dir: Path, name: str) -> None:
        self.folder = sweep_dir / f"{_PREFIX}{name}"
        self._offsets: dict[str, int] = {}

    def create(self) -> None:
        """Makes the folder; those of sweeps that were killed are removed."""
        for other in self.folder.parent.glob(f"{_PREFIX}*"):
            if not may_be_alive(_owner_of(other)):
                shutil.rmtree(other, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write_atomically(self.folder / _OWNER, json.dumps(this_process()).encode())

    def write(self, **event: Any) -> None:
        """Appends one event; seen by others at once.

        Raises:
            OSError: it cannot be written, or the sweep is over and its log gone.
        """
        line = (json.dumps(event) + "\n").encode()
        with open(self.folder / f"{socket.gethostname()}-{os.getpid()}.jsonl", "ab", buffering=0) as file:
            file.write(line)

    def read_new(self) -> Iterator[dict[str, Any]]:
        """The events that were not read before, those of one process in their order."""
        for path in sorted(self.folder.glob("*.jsonl")):
            begin = self._offsets.get(path.name, 0)
            with open(path, "rb") as file:
                file.seek(begin)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._offsets[path.name] = begin + len(whole)
            for line in whole.split(b"\n")[:-1]:
                event = _event_of(line)
                if event is not None:
                    yield event

    def stop(self) -> None:
        """Has no process begin a further job."""
        with contextlib.suppress(OSError):  # of a sweep that has none, or is over
            (self.folder / _STOP).touch()

    def halt(self) -> None:
        """The same, and has the jobs under way stop, which write a checkpoint first."""
        with contextlib.suppress(OSError):
            (self.folder / _HALT).touch()

    def is_stopped(self) -> bool:
        """Whether no further job is to begin: the command says so, or has removed the log."""
        return not self.folder.exists() or (self.folder / _STOP).exists() or self.is_halted()

    def is_halted(self) -> bool:
        """Whether the jobs under way are to stop."""
        return (self.folder / _HALT).exists()

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)


def _owner_of(log: Path) -> dict[str, Any]:
    """The command's process; of a log that does not say, this one: it is being made."""
    try:
        return dict(json.loads((log / _OWNER).read_bytes()))
    except (OSError, ValueError):
        return this_process()


def _event_of(line: bytes) -> dict[str, Any] | None:
    """The event in a line; None for a line that a machine left damaged which went down while it was written."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"event", "number", "folder"} <= event.keys() else None
