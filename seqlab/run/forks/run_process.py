"""A run's own process: forked by the server if there is one, else a new process. Torch is not needed."""

import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, Final, Protocol

from seqlab.run.forks.client import ForkedProcess, NoServerError, warn_cold_start

MODULE: Final = "seqlab.run.process"
"""The module that a run's process runs."""


class Process(Protocol):
    """What a supervisor needs of a run's own process; :class:`subprocess.Popen` has it, too."""

    @property
    def pid(self) -> int: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


class RunProcess:
    """A run's process: forked by the server at ``address``, or a new process if that fails, with one warning.

    Args:
        argv: the arguments of :mod:`seqlab.run.process`.
        address: the server's address; None: a new process is started.
        options: the options of :class:`ForkedProcess`.
    """

    def __init__(self, argv: Iterable[str], address: str | None, **options: Any) -> None:
        self.args = list(argv)
        self._options = options
        self._sent_signals: list[int] = []
        self._process = self._fork(address) or self._start()

    def _fork(self, address: str | None) -> Process | None:
        """A process forked by the server; None if there is no server."""
        if address is None:
            return None
        try:
            return ForkedProcess(address, self.args, **self._options)
        except NoServerError as error:
            warn_cold_start(str(error))
            return None

    def _start(self) -> Process:
        """A new process; it gets the signals that were meant for a forked one."""
        command = [sys.executable, "-Pm", MODULE, *self.args]
        # A Ctrl-C at the terminal must not interrupt the interpreter while it starts: the process unblocks it later.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(command, **self._options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in self._sent_signals:
            process.send_signal(number)
        return process

    @property
    def pid(self) -> int:
        """The process's number; waits until there is a process."""
        try:
            return self._process.pid
        except NoServerError as error:
            warn_cold_start(str(error))
            self._process = self._start()
            return self._process.pid

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the process's exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: the process has not ended within ``timeout`` seconds.
        """
        try:
            return self._process.wait(timeout)
        except NoServerError as error:
            warn_cold_start(str(error))
            self._process = self._start()
            return self._process.wait(timeout)

    def send_signal(self, sig: int) -> None:
        """Sends a signal to the process."""
        self._sent_signals.append(sig)
        self._process.send_signal(sig)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)
