"""A run's own process, started and waited for. Torch is not needed."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from seqlab.run.client import Process, RunProcess
from seqlab.run.signals import Forwarding, forwarded
from seqlab.run.supervisor import Attempt

_LOOK_SECONDS: Final = 1.0  # at whether anybody still waits for the run


@dataclass
class Start:
    """How runs' processes are started.

    Attributes:
        environment: variables for the process, beside this one's.
        to_python: whether what it prints goes through this process's ``sys.stdout``, which a notebook shows.
        to_file: whether it prints into ``output.log`` in its folder, as runs at once do.
        server: the address of a server that forks the process; None for one that imports on its own.
        give_up: asked once a second; true where nobody would hear of the run any more.
        was_stopped: whether somebody has asked for the end since.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    to_python: bool = False
    to_file: bool = False
    server: str | None = None
    give_up: Callable[[], bool] | None = None
    was_stopped: bool = False
    _signals: Forwarding | None = None

    def carry_out(self, attempt: Attempt) -> int:
        """Trains an attempt in a process of its own; returns the command's exit code: 0 if the run is complete.

        Raises:
            OSError: the system could not start the process.
        """
        if attempt.is_complete:
            return attempt.note_end(0)
        descriptor = attempt.claim.fileno()
        run_dir = attempt.claim.run_dir
        try:
            code = self._run(self.server, run_dir, "--claim", str(descriptor), pass_fds=(descriptor,))
        except OSError as error:
            attempt.give_up(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
            raise
        code = attempt.note_end(code)
        if self._signals is not None:
            self._signals.pass_on()
        return code

    def carry_out_workers(self, run_dir: Path) -> int:
        """The part of a run on several machines that this one, which is not the first, has in it."""
        return int(self._run(None, run_dir) != 0)

    def _run(self, server: str | None, run_dir: Path, *options: str, pass_fds: tuple[int, ...] = ()) -> int:
        """The exit code of a run's own process; negative: the signal that ended it."""
        arguments = ["train", str(run_dir), "--supervisor", str(os.getpid()), *options]
        environment = {**os.environ, **self.environment}
        with self._output(run_dir) as stream:
            process = RunProcess(arguments, server, env=environment, stdout=stream, stderr=stream, pass_fds=pass_fds)
            return self._wait(process)

    @contextmanager
    def _output(self, run_dir: Path) -> Iterator[IO[bytes] | None]:
        if self.to_python:
            with _pumped() as stream:
                yield stream
            return
        if not self.to_file:
            yield None
            return
        with (run_dir / "output.log").open("ab") as stream:
            yield stream

    def _wait(self, process: Process) -> int:
        """The exit code of a run's process. The first signal that asks this one to stop stops that one, which saves
        first; a second one ends it at once."""

        def stop(signum: int = signal.SIGTERM) -> None:
            self.was_stopped = True
            process.send_signal(signum)

        with forwarded(stop, process.kill) as self._signals:
            while True:
                try:
                    code = process.wait(None if self.give_up is None else _LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if self.give_up is not None and self.give_up():  # the run is left to the next command
                        stop()
        if not self.to_python and not self.to_file:  # those go on to other things
            self._signals.deafen()
        return code


@contextmanager
def _pumped() -> Iterator[IO[bytes]]:
    """A pipe whose lines are printed by this process."""
    reading, writing = os.pipe()

    def pump() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                print(line, end="", flush=True)

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        with open(writing, "wb") as stream:
            yield stream
    finally:
        thread.join()
