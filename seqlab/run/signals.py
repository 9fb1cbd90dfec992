"""Signals that ask a run to stop, in its own process and in the one that supervises it. Torch is not needed.

No handler here raises while a run trains, nor ever in a supervisor: an exception out of a handler can come between any
two instructions, and has left a lock of :mod:`subprocess` taken for ever and a record half written.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

STOPPING: Final = tuple(
    signal.Signals[name]
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)  # Windows lacks some
)
"""Ctrl-C, ``kill``, a terminal that hangs up, and what Slurm and Submitit send before a job's time is up."""

_SAME_REQUEST_SECONDS: Final = 0.1
"""A wrapper such as ``make`` or ``uv run`` passes on the Ctrl-C that the terminal sends to the whole group."""


class Stopped(BaseException):
    """The run was asked to stop. Not an :class:`Exception`, so that no ``except Exception`` takes it for an error."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class StopRequest:
    """Whether a run's own process was asked to stop: at once where nothing can be lost, else where the run looks.

    Attributes:
        signum: the first signal that asked; None: none did.
        agreed: whether all processes of the run stop together, at a checkpoint.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.agreed = False
        self._at_once = True

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        if self._at_once:
            self._at_once = False  # the next one finds a process that is ending
            raise Stopped(self.signum)

    def ask(self) -> None:
        """Asks by itself, where the one that reads what the run prints has left."""
        self.handle(signal.SIGPIPE, None)

    def exception(self) -> Stopped:
        """What a run raises where it has saved and stops, in all its processes, asked or not."""
        self.agreed, self._at_once = True, False
        return Stopped(signal.SIGTERM if self.signum is None else self.signum)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Within it a request is kept for the run to look at; it raises at the end of the block."""
        self._at_once = False
        yield
        if self.signum is not None:
            raise Stopped(self.signum)
        self._at_once = True

    def ignored(self) -> None:
        """From now on the run is so near its end that it comes to it."""
        self._at_once = False


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Hears the signals that ask this process to stop; in the main thread, for no other may."""
    request = StopRequest()
    with _handlers(request.handle):
        yield request


class Forwarding:
    """What a supervisor does with signals: the first asks its run to stop, a second one ends it.

    Attributes:
        signum: the first signal; None: none came.
    """

    def __init__(self, stop: Callable[[int], None], end: Callable[[], None]) -> None:
        self.signum: int | None = None
        self._stop = stop
        self._end = end
        self._since = 0.0
        self.earlier: dict[int, Any] = {}

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum, self._since = signum, time.monotonic()
            self._stop(signum)
        elif signum != getattr(signal, "SIGHUP", None) and time.monotonic() - self._since > _SAME_REQUEST_SECONDS:
            self._end()  # a shell and the kernel both report that a terminal has hung up

    def deafen(self) -> None:
        """Once a stop was asked for, has a command come to its end, however often it is asked again."""
        if self.signum is not None and self.earlier:
            for signum in STOPPING:
                signal.signal(signum, signal.SIG_IGN)

    def pass_on(self) -> None:
        """Calls the handler that the signal had before, once the run is over: Submitit's puts the job back in the
        queue."""
        earlier = self.earlier.get(self.signum) if self.signum is not None else None
        if callable(earlier) and self.signum in (getattr(signal, name, None) for name in ("SIGUSR1", "SIGUSR2")):
            earlier(self.signum, None)


@contextlib.contextmanager
def forwarded(stop: Callable[[int], None], end: Callable[[], None]) -> Iterator[Forwarding]:
    """Within it ``stop(signum)`` is called for the first signal that asks to stop, ``end()`` for a further one."""
    forwarding = Forwarding(stop, end)
    with _handlers(forwarding.handle) as forwarding.earlier:
        yield forwarding


@contextlib.contextmanager
def _handlers(handle: Callable[[int, FrameType | None], None]) -> Iterator[dict[int, Any]]:
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    earlier: dict[int, Any] = {signum: signal.getsignal(signum) for signum in STOPPING}
    # `nohup` has a command ignore that its terminal hangs up. A shell has its background jobs ignore SIGINT, too, but
    # whoever sends it to a run by name means it.
    heard = [signum for signum in STOPPING if signum == signal.SIGINT or earlier[signum] != signal.SIG_IGN]
    for signum in heard:
        signal.signal(signum, handle)
    try:
        yield earlier
    finally:
        for signum in heard:
            signal.signal(signum, earlier[signum] if earlier[signum] is not None else signal.SIG_DFL)
