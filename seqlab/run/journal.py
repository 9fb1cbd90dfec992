"""The file of a run's events, as its owner has it open: whole lines are appended and synced, and read as they come.

What the lines amount to is said by :mod:`seqlab.run.events`, whose they are by :mod:`seqlab.run.ownership`.
"""

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from typing import Any

from seqlab.run import events as run_events
from seqlab.run.events import History, now, strict
from seqlab.run.ownership import LostClaimError, Ownership


class Journal:
    """A run's events, of which one process at a time appends: all those that share a claim write with one token.

    Attributes:
        history: what the lines amount to that were read so far.
    """

    def __init__(self, ownership: Ownership) -> None:
        self.ownership = ownership
        self.history = History(ownership.file)
        self._offset = 0  # of the lines that the history has
        self._is_lost = False

    @property
    def is_lost(self) -> bool:
        """Whether another process has written or cut the file."""
        return self._is_lost

    def append(self, event: str, fields: Mapping[str, Any]) -> None:
        """Appends an event as one whole line, synced; where there is no room for it, nothing is left of it.

        Raises:
            TransitionError: it cannot follow the events that are there.
            LostClaimError: another process has taken the run.
            OSError: the file cannot be written.
        """
        self.check_owner()
        line = {"event": event, "time": now(), "claim": self.ownership.token, **fields}
        run_events.step(self.history.record, self.history.previous, line)
        text = json.dumps(strict(line), ensure_ascii=False, allow_nan=False) + "\n"
        self._write(text.encode("utf-8", "backslashreplace"))
        self.read_new()

    def check_owner(self) -> None:
        """Does nothing as long as the run is this process's own.

        Raises:
            LostClaimError: another process has taken the run, or the file was removed or moved.
        """
        self.read_new()
        if self._is_lost:
            raise LostClaimError(
                f"{self.ownership.file} was written or cut by another process: this one writes no more there"
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
        """Takes away the part of a line that a killed writer left behind the whole ones."""
        if os.fstat(self.ownership.descriptor).st_size > self._offset:
            os.ftruncate(self.ownership.descriptor, self._offset)

    def read_new(self) -> None:
        """Takes in what others who share the claim have appended, and notices where anybody else has."""
        if any(claim != self.ownership.token for claim in self.read()):
            self._is_lost = True

    def read(self) -> list[str | None]:
        """Takes in new lines; returns the claim by which each was written.

        Raises:
            InputError: a line is no event, or cannot follow those before it.
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
        whole = content[: content.rfind(b"\n") + 1]
        claims = self.history.take_lines(whole)
        self._offset += len(whole)
        return claims
