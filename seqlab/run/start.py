"""Starts a run's own process and waits for it. Torch is not needed."""

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

from seqlab.run.forks.run_process import Process, RunProcess
from seqlab.run.layout import OUTPUT_NAME
from seqlab.run.progress import Place, ProgressReceiver, duration
from seqlab.run.signals import SignalForwarding, forward_signals
from seqlab.run.supervisor import Attempt

SILENCE: Final = 600.0
"""Seconds without progress after which a run is reported."""

_HIGH_DESCRIPTOR: Final = 200
_POLL_SECONDS: Final = 1.0  # between two looks at the run's progress, and at whether anybody still waits for it
_PROGRESS_SECONDS: Final = 10.0  # between two reports of progress
_ABORT_SECONDS: Final = 5.0  # for a process that hangs to write its stack


@dataclass
class Start:
    """How the process of a run is started and supervised.

    Attributes:
        environment: variables for the process, in addition to this process's.
        to_python: whether its output goes through this process's ``sys.stdout``, which a notebook shows.
        to_file: whether its output goes into ``output.log`` in its folder, as for jobs that run at the same time.
        server: the address of a server that forks the process; None: a new process, which imports on its own.
        give_up: asked once a second; True: nobody waits for the run any more, and it is stopped.
        job_timeout: seconds without progress after which the run is ended as failed; None: no limit.
        pause_at: the share of its steps at which the run is paused; None: it is not.
        last_rung: the last share at which its sweep pauses it.
        on_progress: called every ten seconds if there was progress.
        on_silence: called with the place and the seconds without progress, once there was none for long.
        was_stopped: whether somebody has asked the run to stop since.
        trained_in: the folder that the run has trained in, its own or that of a replacement; None before it does.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    to_python: bool = False
    to_file: bool = False
    server: str | None = None
    give_up: Callable[[], bool] | None = None
    job_timeout: float | None = None
    pause_at: float | None = None
    last_rung: float | None = None
    on_progress: Callable[[Place], None] = lambda place: None
    on_silence: Callable[[Place, float], None] | None = None
    was_stopped: bool = False
    trained_in: Path | None = None
    _timeout: str | None = None  # why the process was ended
    _signals: SignalForwarding | None = None

    @property
    def has_started(self) -> bool:
        """Whether there has been a process."""
        return self._signals is not None

    def carry_out(self, attempt: Attempt) -> int:
        """Trains an attempt in a process of its own.

        Returns:
            The exit code of the command: 0 if the run is complete.

        Raises:
            OSError: the process could not be started.
        """
        self.trained_in = run_dir = attempt.claim.run_dir
        attempt.pause_at = self.pause_at
        if attempt.is_complete:
            return attempt.note_end(0)
        try:
            with _high_descriptor(attempt.claim.fileno()) as descriptor:
                code = self._run(self.server, run_dir, "--claim", str(descriptor), pass_fds=(descriptor,))
        except OSError as error:
            attempt.note_start_failure(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
            raise
        code = attempt.note_end(code, self._timeout)
        if self._signals is not None:
            self._signals.call_earlier_handler()
        return code

    def carry_out_workers(self, run_dir: Path) -> int:
        """Runs the workers of a multi-machine run on this machine, which is not the first; returns the exit code."""
        return int(self._run(None, run_dir) != 0)

    def _run(self, server: str | None, run_dir: Path, *options: str, pass_fds: tuple[int, ...] = ()) -> int:
        """Runs the run's own process; returns its exit code, negative for the signal that ended it."""
        arguments = ["train", str(run_dir), "--supervisor", str(os.getpid()), *options]
        if self.pause_at is not None:
            arguments += ["--pause-at", repr(self.pause_at), "--last-rung", repr(self.last_rung or self.pause_at)]
        environment = {**os.environ, **self.environment}
        with (
            self._output(run_dir) as stream,
            ProgressReceiver() as receiver,
            _high_descriptor(receiver.writing) as writing,
        ):
            arguments += ["--progress", str(writing)]
            descriptors = (*pass_fds, writing)
            streams: dict[str, Any] = {"env": environment, "stdout": stream, "stderr": stream, "pass_fds": descriptors}
            return self._wait(lambda: RunProcess(arguments, server, **streams), receiver, run_dir)

    @contextmanager
    def _output(self, run_dir: Path) -> Iterator[IO[bytes] | None]:
        """The file for the process's output; None: that of this process."""
        if self.to_python:
            with _printing_pipe() as stream:
                yield stream
            return
        if not self.to_file:
            yield None
            return
        with (run_dir / OUTPUT_NAME).open("ab") as stream:
            yield stream

    def _wait(self, start: Callable[[], Process], receiver: ProgressReceiver, run_dir: Path) -> int:
        """Starts the process and waits for it; returns its exit code.

        The first signal that asks this process to stop is passed on to that one, which saves first. A second one ends
        it at once.
        """
        process: Process | None = None

        def stop(signum: int = signal.SIGTERM) -> None:
            self.was_stopped = True
            if process is not None:
                process.send_signal(signum)

        def end() -> None:
            if process is not None:
                process.kill()

        watch = _Watch(self, receiver, run_dir)
        with forward_signals(stop, end) as self._signals:
            process = start()
            if self.was_stopped:
                process.send_signal(signal.SIGTERM)
            while True:
                try:
                    code = process.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if self.give_up is not None and self.give_up():  # the next command takes the run up
                        stop()
                    watch.look()
                    if self._timeout is None and self.job_timeout is not None and receiver.silence > self.job_timeout:
                        self._timeout = f"no progress for {duration(receiver.silence)} ({receiver.place})"
                        _abort(process)
        if not self.to_python and not self.to_file:  # otherwise this process has more to do, and must hear of signals
            self._signals.ignore_further_signals()
        return code


class _Watch:
    """Reports the progress of a run, and that there is none."""

    def __init__(self, start: Start, receiver: ProgressReceiver, run_dir: Path) -> None:
        self._start, self._receiver, self._run_dir = start, receiver, run_dir
        self._next_time = time.monotonic()
        self._has_reported_silence = False

    def look(self) -> None:
        """Reads the run's progress and reports it, or its silence."""
        if self._receiver.receive():
            self._has_reported_silence = False
            if time.monotonic() >= self._next_time:
                self._next_time = time.monotonic() + _PROGRESS_SECONDS
                self._start.on_progress(self._receiver.place)
        elif self._receiver.silence > SILENCE and not self._has_reported_silence:
            self._has_reported_silence = True
            (self._start.on_silence or self._print_silence)(self._receiver.place, self._receiver.silence)

    def _print_silence(self, place: Place, seconds: float) -> None:
        print(f"seqlab: {self._run_dir}: {silence_line(place, seconds)}", file=sys.stderr, flush=True)


def silence_line(place: Place, seconds: float) -> str:
    """The message about a run without progress."""
    return f"no progress for {duration(seconds)} ({place}); launcher.job_timeout=SECONDS ends a job that hangs"


def _abort(process: Process) -> None:
    """Ends a process that hangs. If it can, it leaves Python's stack; it leaves no core file."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
    process.send_signal(signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ABORT_SECONDS)
        return
    process.kill()


@contextmanager
def _high_descriptor(descriptor: int) -> Iterator[int]:
    """The same open file under a high number, which no library of a forked process has opened another file under."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    try:
        yield high
    finally:
        os.close(high)


@contextmanager
def _printing_pipe() -> Iterator[IO[bytes]]:
    """A pipe whose lines this process prints."""
    reading, writing = os.pipe()

    def print_lines() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                print(line, end="", flush=True)

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        with open(writing, "wb") as stream:
            yield stream
    finally:
        thread.join()
