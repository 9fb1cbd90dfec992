"""Hydra's callback of a sweep, which Hydra makes from the configuration and calls in the command's process."""

import signal
from collections.abc import Iterator
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


def stop_on_signals() -> None:
    """Has a signal that asks for the end stop the sweep, where no job of it runs in this process."""

    def stop(*_: object) -> None:
        raise StopSweep("stopped")

    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), stop)
