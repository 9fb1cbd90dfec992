"""How far a run is, as its own process tells the one that waits for it, through a pipe. Torch is not needed.

What counts as progress is that a batch is done, or that the run enters another stage. Lines on the screen do not count,
nor do modification times: a process may print for ever while nothing happens, and a file system may tell any time. Nor
would checkpoints do alone, which are ten minutes apart.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

START, DATA, MODEL = "starting", "reading its data", "building its model"
TRAINING, EVALUATION, END = "training", "evaluating", "ending"

_SECONDS_BETWEEN: Final = 1.0


@dataclass(frozen=True)
class Place:
    """Where a run is: its stage, and the optimizer steps done and to do in all."""

    stage: str = START
    step: int | None = None
    steps: int | None = None

    def __str__(self) -> str:
        """For a line.

        >>> str(Place("training", 1200, 4000)), str(Place())
        ('training, step 1,200 of 4,000', 'starting')
        """
        if self.step is None:
            return self.stage
        return f"{self.stage}, step {self.step:,}" + (f" of {self.steps:,}" if self.steps else "")


class Teller:
    """The run's end of the pipe. It never blocks and never fails: a run does not depend on who listens.

    Args:
        descriptor: of the pipe; None: nobody listens.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._stage: str | None = None
        self._next = 0.0
        if descriptor is not None:
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)

    def tell(self, stage: str, step: int | None = None, steps: int | None = None) -> None:
        """Says that the run has come further; within one stage at most once a second."""
        if self._descriptor is None or (stage == self._stage and time.monotonic() < self._next):
            return
        self._stage, self._next = stage, time.monotonic() + _SECONDS_BETWEEN
        with contextlib.suppress(OSError):  # a full pipe, or a supervisor that is gone
            os.write(self._descriptor, f"{json.dumps([stage, step, steps])}\n".encode())


class Listener:
    """The supervisor's end of the pipe.

    Attributes:
        place: where the run was last.
        writing: the run's end, to be left to its process.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._reading, self.writing = os.pipe()
        self._clock = clock
        self._since = clock()
        self._rest = b""
        os.set_blocking(self._reading, False)
        self.place = Place()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.writing)
        os.close(self._reading)

    @property
    def silence(self) -> float:
        """Seconds without progress."""
        return self._clock() - self._since

    def listen(self) -> bool:
        """Takes in what the run has told; whether it has come further."""
        content = b""
        with contextlib.suppress(BlockingIOError):
            content = os.read(self._reading, 1 << 16)
        *lines, self._rest = (self._rest + content).split(b"\n")
        if not lines:
            return False
        self.place, self._since = Place(*_values(lines[-1])), self._clock()
        return True


def duration(seconds: float) -> str:
    """A time for a reader.

    >>> duration(7.2), duration(200), duration(9000)
    ('7 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _values(line: bytes) -> list[Any]:
    stage, step, steps = json.loads(line)
    return [stage, step, steps]
