"""Hydra's callback of a sweep, which Hydra makes from the configuration and calls in the command's process."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.sweep import StopSweep


class SweepOwner(Protocol):
    """The command, as the callback sees it."""

    def check_run(self, config: DictConfig) -> None:
        """Called before a single run begins."""

    def begin_sweep(self, config: DictConfig) -> None:
        """Called before the sweeper is made, which sees what this changes in ``config``."""

    def choose_jobs(self, config: DictConfig, jobs: list[PlannedJob]) -> list[PlannedJob]:
        """Those of a sweep's jobs that are to be run, asked before any is composed."""

    def end_sweep(self, config: DictConfig) -> None:
        """Called when no job is left."""


owner: ContextVar[SweepOwner] = ContextVar("owner")
"""The command that Hydra is run by; Hydra has no other way to hand it to a callback."""


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
    """Ends the command over an error, of which Hydra would make a warning, and go on."""
    try:
        yield
    except Exception as error:
        raise StopSweep("refused", error) from error


class Signals:
    """What the command does with signals that ask for the end, where no job of its sweep runs in its process."""

    def __init__(self, numbers: Sequence[signal.Signals], on_stop: Callable[[], bool]) -> None:
        self._numbers, self._on_stop = numbers, on_stop

    def hear(self) -> None:
        """Handles them from now on, whoever did so before."""
        for number in self._numbers:
            signal.signal(number, self._stop)

    def end_at_once(self) -> None:
        """Has each of them end the process."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL)

    def _stop(self, *_: object) -> None:
        self.end_at_once()
        if not self._on_stop():
            raise StopSweep("stopped")


@contextmanager
def stopped_by_signals(on_stop: Callable[[], bool]) -> Iterator["Signals"]:
    """Within it a signal that asks for the end stops the sweep, where no job runs in this process; a further one, or
    the first once `end_at_once` was called, ends the process at once. ``on_stop`` is called before; where it is
    true, the sweep comes to its end without an exception, which a launcher might lose."""
    if threading.current_thread() is not threading.main_thread():
        yield Signals([], on_stop)
        return
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # `nohup` has a command ignore that its terminal hangs up. A shell has its background jobs ignore SIGINT, too, but
    # whoever sends it to a command by name means it.
    heard = [number for number in earlier if number == signal.SIGINT or earlier[number] != signal.SIG_IGN]

    signals = Signals(heard, on_stop)
    signals.hear()
    try:
        yield signals
    finally:
        for number in heard:
            if signal.getsignal(number) != signal.SIG_IGN:  # as a run that was stopped leaves it
                signal.signal(number, earlier[number])
