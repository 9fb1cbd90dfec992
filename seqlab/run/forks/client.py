"""A process forked by the server, as its supervisor sees it. Torch is not needed."""

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from typing import IO, Any, Final

from seqlab.run.forks.request import send_request
from seqlab.run.provenance import process_started

_POLL_SECONDS: Final = 0.05  # between two looks at a process whose server is gone


class NoServerError(OSError):
    """A server cannot be reached, or refuses to fork."""


@functools.cache
def warn_cold_start(reason: str) -> None:
    """Says, once for each reason, that runs cannot be forked from a server."""
    print(f"seqlab: no warm start, so each run imports on its own: {reason}", file=sys.stderr, flush=True)


class ForkedProcess:
    """A process forked by a server, used like a :class:`subprocess.Popen`.

    The process is told to stop when this object's connection closes. Only :attr:`pid` and :meth:`wait` wait for the
    server, which may be busy importing; signals are delivered once there is a process.

    Args:
        address: the server's address.
        argv: the arguments of its module.
        env: the environment of the process; None: this process's.
        stdin, stdout, stderr: files, descriptors or ``subprocess.DEVNULL``; None: this process's.
        pass_fds: further descriptors, which keep their numbers and what they hold, such as a lock.

    Raises:
        NoServerError: nobody listens at ``address``.
    """

    def __init__(
        self,
        address: str,
        argv: Iterable[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: IO[bytes] | int | None = None,
        stdout: IO[bytes] | int | None = None,
        stderr: IO[bytes] | int | None = None,
        pass_fds: Iterable[int] = (),
    ) -> None:
        self.args = list(argv)
        self.returncode: int | None = None
        self._pid: int | None = None
        self._started: str | None = None
        self._is_server_gone = False
        self._partial_line = b""
        with contextlib.ExitStack() as open_files, contextlib.ExitStack() as unless_sent:
            streams = {n: _descriptor_of(each, n, open_files) for n, each in enumerate((stdin, stdout, stderr))}
            # After the streams: a socket may take the number of a standard stream that is closed here.
            self._connection = socket.socket(socket.AF_UNIX)
            unless_sent.callback(self._connection.close)
            try:
                self._connection.connect(address)
                descriptors = {**streams, **{number: number for number in pass_fds}}
                send_request(self._connection, self.args, os.environ if env is None else env, descriptors)
            except OSError as error:
                raise NoServerError(error.errno, error.strerror, address) from error
            unless_sent.pop_all()

    @property
    def pid(self) -> int:
        """The process's number; waits until it has been forked.

        Raises:
            NoServerError: there is no process: the server refused, or is gone.
        """
        while self._pid is None:
            self._receive()
        return self._pid

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the process's exit code, negative for a signal.

        If the server was killed, the exit code is -15: Linux sends SIGTERM to the processes of a server that is gone.

        Raises:
            subprocess.TimeoutExpired: the process has not ended within ``timeout`` seconds.
            NoServerError: there is no process: the server refused, or is gone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._is_server_gone:
                if process_started(self.pid) != self._started:
                    self.returncode = -signal.SIGTERM
                    break
                time.sleep(_POLL_SECONDS if seconds is None else min(seconds, _POLL_SECONDS))
            elif _is_readable(self._connection, seconds):
                self._receive()
                continue
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Sends a signal to the process, unless it has ended."""
        if self.returncode is not None:
            return
        if not self._is_server_gone:
            with contextlib.suppress(OSError):  # the server is gone: wait() finds out
                self._connection.sendall(bytes([sig]))
        elif self._pid is not None and process_started(self._pid) == self._started:
            os.kill(self._pid, sig)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _receive(self) -> None:
        """Waits for a message of the server, and handles it."""
        try:
            received = self._connection.recv(4096)
        except ConnectionResetError:
            received = b""
        *lines, self._partial_line = (self._partial_line + received).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))
        if received or self.returncode is not None:
            return
        self._connection.close()
        self._is_server_gone = True
        if self._pid is None:
            raise NoServerError("the server that runs are forked from is gone")
        print(
            f"seqlab: the server that runs are forked from is gone, and process {self._pid} ends with it",
            file=sys.stderr,
            flush=True,
        )

    def _handle(self, message: dict[str, Any]) -> None:
        if "refused" in message:
            self._connection.close()
            self._is_server_gone = True
            raise NoServerError(message["refused"])
        if "pid" in message:
            self._pid = int(message["pid"])
            self._started = process_started(self._pid)
        if "returncode" in message:
            self.returncode = int(message["returncode"])
            self._connection.close()


def _descriptor_of(stream: IO[bytes] | int | None, number: int, open_files: contextlib.ExitStack) -> int:
    """The descriptor of a standard stream; the null device's if the stream is closed here."""
    descriptor = number if stream is None else stream if isinstance(stream, int) else stream.fileno()
    if descriptor != subprocess.DEVNULL:
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            return descriptor
    null = os.open(os.devnull, os.O_RDWR)
    open_files.callback(os.close, null)
    return null


def _is_readable(connection: socket.socket, timeout: float | None) -> bool:
    poll = select.poll()  # select.select() takes no descriptor above 1023
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
