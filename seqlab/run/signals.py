"""Signals that ask a run to stop, in the run's own process and in its supervisor. Torch is not needed.

No handler here raises while a run trains, nor ever in a supervisor. An exception from a handler can occur between any
two instructions; it has left a lock of :mod:`subprocess` taken for ever, and a record half written.
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

SAME_REQUEST_SECONDS: Final = 0.1
"""Two signals this close are one request: ``make`` and ``uv run`` pass on the Ctrl-C that the whole group receives."""


class Stopped(BaseException):
    """The run was asked to stop. Not an :class:`Exception`, so no ``except Exception`` takes it for an error."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class StopRequest:
    """Whether a run's own process was asked to stop.

    Where nothing can be lost, a request raises :class:`Stopped` at once. Elsewhere the run looks at ``signum``.

    Attributes:
        signum: the first signal that asked; None: there was none.
        is_agreed: whether all processes of the run stop together, at a checkpoint.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.is_agreed = False
        self._raises = True

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.signum is None:
            self.signum = signum
        if self._raises:
            self._raises = False  # the process is ending: a further signal must not raise again
            raise Stopped(self.signum)

    def request_stop(self) -> None:
        """Asks this process to stop because nobody reads its output any more."""
        self.handle(signal.SIGPIPE, None)

    def exception(self) -> Stopped:
        """The exception to raise after a checkpoint, in all processes of the run, whichever was asked."""
        self.is_agreed, self._raises = True, False
        return Stopped(signal.SIGTERM if self.signum is None else self.signum)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Within the block requests do not raise; one that the run has not acted on raises at the end of the block."""
        self._raises = False
        yield
        if self.signum is not None:
            raise Stopped(self.signum)
        self._raises = True

    def ignore(self) -> None:
        """From now on requests do not raise: the run is about to end."""
        self._raises = False


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block this process handles the signals of :data:`STOPPING`; only the main thread can."""
    request = StopRequest()
    with _handlers(request.handle):
        yield request


class SignalForwarding:
    """How a supervisor handles signals: the first asks its run to stop, a second one ends the run.

    Attributes:
        signum: the first signal; None: there was none.
        earlier: the handlers from before, by signal.
    """

    def __init__(self, stop: Callable[[int], None], end: Callable[[], None]) -> None:
        self.signum: int | None = None
        self.earlier: dict[int, Any] = {}
        self._stop = stop
        self._end = end
        self._first_time = 0.0

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.signum is None:
            self.signum, self._first_time = signum, time.monotonic()
            self._stop(signum)
        elif signum != getattr(signal, "SIGHUP", None) and time.monotonic() - self._first_time > SAME_REQUEST_SECONDS:
            self._end()  # not for SIGHUP: the shell and the kernel both send it when a terminal hangs up

    def ignore_further_signals(self) -> None:
        """After a request to stop, lets the command finish, however often it is asked again."""
        if self.signum is not None and self.earlier:
            for signum in STOPPING:
                signal.signal(signum, signal.SIG_IGN)

    def call_earlier_handler(self) -> None:
        """Calls the handler that SIGUSR1 or SIGUSR2 had before: Submitit's requeues the job. The run must be over."""
        handler = self.earlier.get(self.signum) if self.signum is not None else None
        if callable(handler) and self.signum in (getattr(signal, name, None) for name in ("SIGUSR1", "SIGUSR2")):
            handler(self.signum, None)


@contextlib.contextmanager
def forward_signals(stop: Callable[[int], None], end: Callable[[], None]) -> Iterator[SignalForwarding]:
    """Within the block the first signal that asks to stop calls ``stop(signum)``, and further ones call ``end()``."""
    forwarding = SignalForwarding(stop, end)
    with _handlers(forwarding.handle) as forwarding.earlier:
        yield forwarding


@contextlib.contextmanager
def ignoring_signals() -> Iterator[None]:
    """Within the block no signal stops this process: for a note of some milliseconds that it was asked to stop."""
    with _handlers(lambda signum, frame: None):
        yield


@contextlib.contextmanager
def _handlers(handle: Callable[[int, FrameType | None], None]) -> Iterator[dict[int, Any]]:
    """Installs a handler for the signals of :data:`STOPPING`; gives the earlier ones."""
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    earlier: dict[int, Any] = {signum: signal.getsignal(signum) for signum in STOPPING}
    # `nohup` makes a command ignore SIGHUP, which is respected. A shell makes its background jobs ignore SIGINT, too,
    # but whoever sends it to a run by name means it.
    handled = [signum for signum in STOPPING if signum == signal.SIGINT or earlier[signum] != signal.SIG_IGN]
    for signum in handled:
        signal.signal(signum, handle)
    try:
        yield earlier
    finally:
        for signum in handled:
            signal.signal(signum, earlier[signum] if earlier[signum] is not None else signal.SIG_DFL)
