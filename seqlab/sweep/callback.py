"""Hydra's callback of a sweep, which Hydra creates from the configuration and calls in the command's process."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, Protocol

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqlab.run.signals import SAME_REQUEST_SECONDS
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.search import Search
from seqlab.sweep.sweep import StopSweep, Sweep


class SweepOwner(Protocol):
    """The command, as the callback and the sweeper see it."""

    def check_run(self, config: DictConfig) -> None:
        """Called before a single run begins."""

    def begin_sweep(self, config: DictConfig) -> None:
        """Called before the sweeper is created; the sweeper sees changes that this makes in ``config``."""

    def choose_jobs(
        self, config: DictConfig, jobs: list[PlannedJob], pause_at: float | None = None
    ) -> list[PlannedJob]:
        """The jobs to run, out of those that come next. Called before any of them is composed.

        Args:
            config: the sweep's configuration.
            jobs: the jobs that come next.
            pause_at: the share of its steps at which each is paused; None: they run to their end.
        """

    def running_sweep(self) -> Sweep | None:
        """The sweep, with all that its jobs have told; None if no further job may begin, or in a dry run."""

    def open_search(self) -> Search:
        """The search of the sweep, which was opened when the sweep began."""

    def end_sweep(self, config: DictConfig) -> None:
        """Called when no job is left."""


owner: ContextVar[SweepOwner] = ContextVar("owner")
"""The command that runs Hydra. Hydra has no other way to pass it to a callback."""


class SweepCallback(Callback):
    """Tells the command when its sweep begins and ends."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            owner.get().check_run(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            owner.get().begin_sweep(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        owner.get().end_sweep(config)


@contextmanager
def _refusing() -> Iterator[None]:
    """Ends the command at an error; Hydra would only warn, and go on."""
    try:
        yield
    except Exception as error:
        raise StopSweep("refused", error) from error


class StopSignals:
    """How the command handles signals that ask it to stop, while no job of its sweep runs in its process.

    Args:
        numbers: the signals.
        on_stop: called at the first signal; see :func:`stop_signals`.
    """

    def __init__(self, numbers: Sequence[signal.Signals], on_stop: Callable[[], bool]) -> None:
        self._numbers, self._on_stop = numbers, on_stop
        self._first_time = -math.inf

    def install(self) -> None:
        """Handles the signals from now on, instead of any other handler."""
        for number in self._numbers:
            signal.signal(number, self._stop)

    def end_at_once(self) -> None:
        """From now on, each of the signals ends the process."""
        for number in self._numbers:
            signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Ends the process by the signal, unless it is the first request once more: a wrapper passes it on."""
        if time.monotonic() - self._first_time > SAME_REQUEST_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _stop(self, *_: object) -> None:
        self._first_time = time.monotonic()
        self.end_at_once()
        if not self._on_stop():
            raise StopSweep("stopped")


@contextmanager
def stop_signals(on_stop: Callable[[], bool]) -> Iterator[StopSignals]:
    """Within the block, a signal that asks to stop stops the sweep, and a further one ends the process at once.

    Args:
        on_stop: called at the first signal. If it returns True, the sweep comes to its end without an exception, which
            a launcher might lose; else :class:`StopSweep` is raised.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopSignals([], on_stop)
        return
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # `nohup` makes a command ignore SIGHUP, which is respected. A shell makes its background jobs ignore SIGINT, too,
    # but whoever sends it to a command by name means it.
    handled = [number for number in earlier if number == signal.SIGINT or earlier[number] != signal.SIG_IGN]

    signals = StopSignals(handled, on_stop)
    signals.install()
    try:
        yield signals
    finally:
        for number in handled:
            if signal.getsignal(number) != signal.SIG_IGN:  # a run that was stopped leaves it ignored
                signal.signal(number, earlier[number])
