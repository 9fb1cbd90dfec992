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

_STOP: Final = "stop"


class SweepLog:
    """The folder of a sweep's events, while the sweep runs.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> log = SweepLog(Path(folder.name) / "log")
        >>> log.write(event="start", number=0, folder="seed=1")
        >>> [event["number"] for event in log.read_new()], list(log.read_new())
        ([0], [])
        >>> folder.cleanup()
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._offsets: dict[str, int] = {}

    def write(self, **event: Any) -> None:
        """Appends one event; seen by others at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
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
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _STOP).touch()

    def is_stopped(self) -> bool:
        return (self.folder / _STOP).exists()

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)


def _event_of(line: bytes) -> dict[str, Any] | None:
    """The event in a line; None for a line that a machine left damaged which went down while it was written."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"event", "number", "folder"} <= event.keys() else None
