"""A run's progress, sent by its own process through a pipe to the supervisor. Torch is not needed.

Progress means that a batch is done, or that the run enters another stage. Printed lines do not count: a process may
print for ever while nothing happens. Modification times do not count: a file system may report any time. Checkpoints
would be too rare: they are ten minutes apart.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

START, DATA, MODEL = "starting", "reading its data", "building its model"
TRAINING, EVALUATION, END = "training", "evaluating", "ending"

_SECONDS_BETWEEN: Final = 1.0


@dataclass(frozen=True)
class Place:
    """How far a run is: its stage, the optimizer steps done, and their total number."""

    stage: str = START
    step: int | None = None
    steps: int | None = None

    def __str__(self) -> str:
        """For messages.

        Example:
            >>> str(Place("training", 1200, 4000)), str(Place())
            ('training, step 1,200 of 4,000', 'starting')
        """
        if self.step is None:
            return self.stage
        return f"{self.stage}, step {self.step:,}" + (f" of {self.steps:,}" if self.steps else "")


class ProgressSender:
    """The run's end of the pipe. It never blocks and never fails: a run does not depend on who listens.

    Args:
        descriptor: the pipe; None: nothing is sent.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._stage: str | None = None
        self._next_time = 0.0
        if descriptor is not None:
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)

    def send(self, stage: str, step: int | None = None, steps: int | None = None) -> None:
        """Sends how far the run is; within one stage at most once a second."""
        if self._descriptor is None or (stage == self._stage and time.monotonic() < self._next_time):
            return
        self._stage, self._next_time = stage, time.monotonic() + _SECONDS_BETWEEN
        with contextlib.suppress(OSError):  # the pipe is full, or the supervisor is gone
            os.write(self._descriptor, f"{json.dumps([stage, step, steps])}\n".encode())


class ProgressReceiver:
    """The supervisor's end of the pipe.

    Attributes:
        place: how far the run was at its last message.
        writing: the run's end of the pipe, to be left to the run's process.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._reading, self.writing = os.pipe()
        self._clock = clock
        self._last_time = clock()
        self._partial_line = b""
        os.set_blocking(self._reading, False)
        self.place = Place()

    def __enter__(self) -> "ProgressReceiver":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.writing)
        os.close(self._reading)

    @property
    def silence(self) -> float:
        """Seconds since the last progress."""
        return self._clock() - self._last_time

    def receive(self) -> bool:
        """Reads what the run has sent; returns whether there was progress."""
        content = b""
        with contextlib.suppress(BlockingIOError):
            content = os.read(self._reading, 1 << 16)
        *lines, self._partial_line = (self._partial_line + content).split(b"\n")
        if not lines:
            return False
        stage, step, steps = json.loads(lines[-1])
        self.place, self._last_time = Place(stage, step, steps), self._clock()
        return True


def duration(seconds: float) -> str:
    """A time span, for messages.

    Example:
        >>> duration(7.2), duration(200), duration(9000)
        ('7 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
