"""The events of a sweep: written by the processes that run its jobs, read by its command.

Each process appends to a file of its own. So no two processes write the same file, even on several machines that share
a folder. The command reads the new lines of each file, once.
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
        """Creates the folder, and removes those of sweeps that were killed."""
        for other in self.folder.parent.glob(f"{_PREFIX}*"):
            if not may_be_alive(_owner_of(other)):
                shutil.rmtree(other, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write_atomically(self.folder / _OWNER, json.dumps(this_process()).encode())

    def write(self, **event: Any) -> None:
        """Appends one event, which other processes see at once.

        Raises:
            OSError: it cannot be written, or the sweep is over and its log is gone.
        """
        line = (json.dumps(event) + "\n").encode()
        with open(self.folder / f"{socket.gethostname()}-{os.getpid()}.jsonl", "ab", buffering=0) as file:
            file.write(line)

    def read_new(self) -> Iterator[dict[str, Any]]:
        """The events that were not read before; those of one process are in order."""
        for path in sorted(self.folder.glob("*.jsonl")):
            begin = self._offsets.get(path.name, 0)
            with open(path, "rb") as file:
                file.seek(begin)
                content = file.read()
            lines = content[: content.rfind(b"\n") + 1]
            self._offsets[path.name] = begin + len(lines)
            for line in lines.split(b"\n")[:-1]:
                event = _parse(line)
                if event is not None:
                    yield event

    def stop(self) -> None:
        """Tells all processes to begin no further job."""
        with contextlib.suppress(OSError):  # the sweep has no log, or is over
            (self.folder / _STOP).touch()

    def halt(self) -> None:
        """Tells all processes to begin no further job, and running jobs to write a checkpoint and stop."""
        with contextlib.suppress(OSError):
            (self.folder / _HALT).touch()

    def is_stopped(self) -> bool:
        """Whether no further job may begin: the command says so, or has removed the log."""
        return not self.folder.exists() or (self.folder / _STOP).exists() or self.is_halted()

    def is_halted(self) -> bool:
        """Whether running jobs must stop."""
        return (self.folder / _HALT).exists()

    def remove(self) -> None:
        """Removes the folder."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)


def _owner_of(log: Path) -> dict[str, Any]:
    """The process of the command. A log that does not name it is just being created: then this process."""
    try:
        return dict(json.loads((log / _OWNER).read_bytes()))
    except (OSError, ValueError):
        return this_process()


def _parse(line: bytes) -> dict[str, Any] | None:
    """The event in a line; None if the line was damaged when a machine went down."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"event", "number", "folder"} <= event.keys() else None
