"""A run's own process, started and waited for. Torch is not needed."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from seqlab.run.client import Process, RunProcess
from seqlab.run.progress import Listener, Place, duration
from seqlab.run.signals import Forwarding, forwarded
from seqlab.run.supervisor import Attempt

SILENCE: Final = 600.0
"""Seconds without progress after which a run is named."""

_HIGH_DESCRIPTOR: Final = 200
_LOOK_SECONDS: Final = 1.0  # at whether anybody still waits for the run, and how far it is
_TELL_SECONDS: Final = 10.0  # between two words of how far it is
_ABORT_SECONDS: Final = 5.0  # for a process that hangs to write its stack


@dataclass
class Start:
    """How runs' processes are started.

    Attributes:
        environment: variables for the process, beside this one's.
        to_python: whether what it prints goes through this process's ``sys.stdout``, which a notebook shows.
        to_file: whether it prints into ``output.log`` in its folder, as runs at once do.
        server: the address of a server that forks the process; None for one that imports on its own.
        give_up: asked once a second; true where nobody would hear of the run any more.
        job_timeout: seconds without progress after which the run is ended as failed; None waits for ever.
        on_progress: told how far the run is, every ten seconds where it has come further.
        on_silence: told where the run is, and for how many seconds it has not come further.
        was_stopped: whether somebody has asked for the end since.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    to_python: bool = False
    to_file: bool = False
    server: str | None = None
    give_up: Callable[[], bool] | None = None
    job_timeout: float | None = None
    on_progress: Callable[[Place], None] = lambda place: None
    on_silence: Callable[[Place, float], None] | None = None
    was_stopped: bool = False
    _hung: str | None = None  # why it was ended
    _signals: Forwarding | None = None

    @property
    def has_started(self) -> bool:
        """Whether there has been a process."""
        return self._signals is not None

    def carry_out(self, attempt: Attempt) -> int:
        """Trains an attempt in a process of its own; returns the command's exit code: 0 if the run is complete.

        Raises:
            OSError: the system could not start the process.
        """
        if attempt.is_complete:
            return attempt.note_end(0)
        run_dir = attempt.claim.run_dir
        try:
            with _out_of_the_way(attempt.claim.fileno()) as descriptor:
                code = self._run(self.server, run_dir, "--claim", str(descriptor), pass_fds=(descriptor,))
        except OSError as error:
            attempt.give_up(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
            raise
        code = attempt.note_end(code, self._hung)
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
        with (
            self._output(run_dir) as stream,
            Listener() as listener,
            _out_of_the_way(listener.writing) as writing,
        ):
            arguments += ["--progress", str(writing)]
            descriptors = (*pass_fds, writing)
            streams: dict[str, Any] = {"env": environment, "stdout": stream, "stderr": stream, "pass_fds": descriptors}
            return self._wait(lambda: RunProcess(arguments, server, **streams), listener, run_dir)

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

    def _wait(self, start: Callable[[], Process], listener: Listener, run_dir: Path) -> int:
        """The exit code of a run's process, which is started. The first signal that asks this one to stop stops that
        one, which saves first; a second one ends it at once."""
        process: Process | None = None

        def stop(signum: int = signal.SIGTERM) -> None:
            self.was_stopped = True
            if process is not None:
                process.send_signal(signum)

        def end() -> None:
            if process is not None:
                process.kill()

        watch = _Watch(self, listener, run_dir)
        with forwarded(stop, end) as self._signals:
            process = start()
            if self.was_stopped:
                process.send_signal(signal.SIGTERM)
            while True:
                try:
                    code = process.wait(_LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if self.give_up is not None and self.give_up():  # the run is left to the next command
                        stop()
                    watch.look()
                    if self._hung is None and self.job_timeout is not None and listener.silence > self.job_timeout:
                        self._hung = f"no progress for {duration(listener.silence)} ({listener.place})"
                        _abort(process)
        if not self.to_python and not self.to_file:  # those go on to other things
            self._signals.deafen()
        return code


class _Watch:
    """Tells how far a run is, and that it does not come further."""

    def __init__(self, start: Start, listener: Listener, run_dir: Path) -> None:
        self._start, self._listener, self._run_dir = start, listener, run_dir
        self._next = time.monotonic()
        self._is_named = False

    def look(self) -> None:
        if self._listener.listen():
            self._is_named = False
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + _TELL_SECONDS
                self._start.on_progress(self._listener.place)
        elif self._listener.silence > SILENCE and not self._is_named:
            self._is_named = True
            (self._start.on_silence or self._say)(self._listener.place, self._listener.silence)

    def _say(self, place: Place, seconds: float) -> None:
        print(f"seqlab: {self._run_dir}: {silence_line(place, seconds)}", file=sys.stderr, flush=True)


def silence_line(place: object, seconds: float) -> str:
    """What is said of a run that does not come further."""
    return f"no progress for {duration(seconds)} ({place}); launcher.job_timeout=SECONDS ends a job that hangs"


def _abort(process: Process) -> None:
    """Ends a process that hangs: it leaves Python's stack, if it can, and no file of its memory."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
    process.send_signal(signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ABORT_SECONDS)
        return
    process.kill()


@contextmanager
def _out_of_the_way(descriptor: int) -> Iterator[int]:
    """The same open file by a number that no library of a process which it is left to has taken for its own."""
    other = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    try:
        yield other
    finally:
        os.close(other)


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
