"""A run's events file, open for its owner: complete lines are appended and synced, and new lines are read.

:mod:`seqlab.run.events` says what the lines mean, :mod:`seqlab.run.ownership` who may write them.
"""

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from typing import Any

from seqlab.run import events as run_events
from seqlab.run.events import now, to_json_values
from seqlab.run.history import History
from seqlab.run.ownership import LostClaimError, Ownership


class Journal:
    """A run's events file. One process at a time appends; all holders of a claim write with the claim's token.

    Attributes:
        history: the record made from the lines read so far.
    """

    def __init__(self, ownership: Ownership) -> None:
        self.ownership = ownership
        self.history = History(ownership.file)
        self._offset = 0  # the end of the lines that the history has
        self._is_lost = False

    @property
    def is_lost(self) -> bool:
        """Whether a process without this claim has written to the file or cut it."""
        return self._is_lost

    def append(self, event: str, fields: Mapping[str, Any]) -> None:
        """Appends an event as one complete line, synced. If the disk is full, no part of the line remains.

        Raises:
            TransitionError: the event cannot follow the present ones.
            LostClaimError: another process has taken the run.
            OSError: the file cannot be written.
        """
        self.check_owner()
        line = {"event": event, "time": now(), "claim": self.ownership.token, **fields}
        run_events.apply(self.history.record, self.history.previous, line)
        text = json.dumps(to_json_values(line), ensure_ascii=False, allow_nan=False) + "\n"
        self._write(text.encode("utf-8", "backslashreplace"))
        self.read_new()

    def check_owner(self) -> None:
        """Checks that this process still owns the run.

        Raises:
            LostClaimError: another process has taken the run, or the file was removed or moved.
        """
        self.read_new()
        if self._is_lost:
            raise LostClaimError(
                f"{self.ownership.file} was written or cut by another process: this process writes nothing more there"
            )
        self.ownership.check()

    def _write(self, line: bytes) -> None:
        descriptor = self.ownership.descriptor
        try:
            self.end_torn_line()
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, self._offset)
                raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.ownership.file)) from error

    def end_torn_line(self) -> None:
        """Removes the part of a line that a killed writer left after the complete ones."""
        if os.fstat(self.ownership.descriptor).st_size > self._offset:
            os.ftruncate(self.ownership.descriptor, self._offset)

    def read_new(self) -> None:
        """Reads what other holders of the claim have appended, and notices if anybody else has."""
        if any(claim != self.ownership.token for claim in self.read()):
            self._is_lost = True

    def read(self) -> list[str | None]:
        """Reads the new lines.

        Returns:
            For each new line the token of the claim that wrote it.

        Raises:
            InputError: a line is not an event, or cannot follow the ones before it.
        """
        descriptor = self.ownership.descriptor
        if descriptor < 0 or self._is_lost:
            return []
        size = os.fstat(descriptor).st_size
        if size < self._offset:
            self._is_lost = True
        if size <= self._offset:
            return []
        content = os.pread(descriptor, size - self._offset, self._offset)
        lines = content[: content.rfind(b"\n") + 1]
        claims = self.history.take_lines(lines)
        self._offset += len(lines)
        return claims
