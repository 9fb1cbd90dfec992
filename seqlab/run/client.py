"""How a supervisor starts a run's own process: forked by a warm server where there is one, else as a new process.

:func:`start` returns either with the same interface, that of :class:`subprocess.Popen`. Torch is not needed.
"""

import array
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final, Protocol

from seqlab.run.provenance import process_started
from seqlab.run.server import LENGTH

MODULE: Final = "seqlab.run.process"
"""What a run's process runs."""

_LONGEST_ADDRESS = 100  # bytes of a Unix socket's path; Linux takes 107, macOS 103
_LOOK_SECONDS = 0.05  # at a process whose server is gone
_CLOSE_SECONDS = 2.0  # for a server to end


class Process(Protocol):
    """A run's own process, as its supervisor sees it: :class:`subprocess.Popen` has this interface."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Server:
    """A warm parent (:mod:`seqlab.run.server`) that ends with this process.

    It is there at once, and imports when the first process is asked for.

    Args:
        environment: of the server. Libraries read from it what they read when they are loaded.
        module: what each process runs; it has ``preload()`` and ``main(argv)``.

    Attributes:
        address: where processes of this machine reach it.

    Raises:
        OSError: it could not be started.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, module: str = MODULE) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="seqlab-"))  # only this user's: mode 0700
        if len(os.fsencode(self.folder)) > _LONGEST_ADDRESS - len("/server"):
            self.folder.rmdir()
            self.folder = Path(tempfile.mkdtemp(prefix="seqlab-", dir="/tmp"))
        self.address = str(self.folder / "server")
        # -P: a file of the user's in the working folder, such as random.py, must not stand in for a library's.
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(self.address)
                listener.listen(128)
                descriptor = listener.fileno()
                self.process = subprocess.Popen(
                    [sys.executable, "-Pm", "seqlab.run.server", str(descriptor), module],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[descriptor],
                )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def close(self) -> None:
        """Ends the server; processes that it forked are told to stop, and waited for."""
        shutil.rmtree(self.folder, ignore_errors=True)
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_CLOSE_SECONDS)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_server(variables: Mapping[str, str]) -> Server | None:
    """A server with these variables beside this process's; None where there can be none, which is said."""
    try:
        return Server({**os.environ, **variables})
    except OSError as error:
        _say_once(str(error))
        return None


def server_here(address: str | None, variables: Mapping[str, str]) -> str | None:
    """The address of a server on this machine, where ``address`` is that of a sweep's command.

    A worker of a sweep on another machine starts one of its own, at its first job.
    """
    global _own_server
    if address is None or os.path.exists(address):
        return address
    _own_server = _own_server or start_server(variables)
    return _own_server.address if _own_server else None


_own_server: Server | None = None  # of a worker; it ends with the worker


class NoServerError(OSError):
    """A server that can't be reached, or forks nothing."""


class ForkedProcess:
    """A process that a server forks; it ends when this object's connection does. As :class:`subprocess.Popen`.

    Nothing here waits for the server, which may be busy with its imports, but :attr:`pid`, :meth:`wait` and
    :meth:`poll`; signals are delivered once there is a process.

    Args:
        address: of the server.
        argv: the arguments of its module.
        env: the environment of the process; None for this one's.
        stdin, stdout, stderr: files, descriptors or ``subprocess.DEVNULL``; None for this process's.
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
        self._lost = False
        self._received = b""
        request = {
            "argv": self.args,
            "environment": dict(os.environ if env is None else env),
            "folder": os.getcwd(),
            "descriptors": [0, 1, 2, *pass_fds],
        }
        content = json.dumps(request).encode()
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as unless_sent:
            streams = [_stream(given, number, stack) for number, given in enumerate((stdin, stdout, stderr))]
            rights = array.array("i", [*streams, *pass_fds])
            self._connection = socket.socket(socket.AF_UNIX)  # after the streams, for it may take the number of one
            unless_sent.callback(self._connection.close)
            try:
                self._connection.connect(address)
                self._connection.sendmsg([LENGTH.pack(len(content))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                self._connection.sendall(content)
            except OSError as error:
                raise NoServerError(error.errno, error.strerror, address) from error
            unless_sent.pop_all()

    @property
    def pid(self) -> int:
        """Its number, once it has been forked.

        Raises:
            NoServerError: there is no process: the server refused, or is gone.
        """
        while self._pid is None:
            self._hear()
        return self._pid

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal; of one whose server was killed, -15, for that sends it SIGTERM.

        Raises:
            subprocess.TimeoutExpired: it has not ended within ``timeout`` seconds.
            NoServerError: there is no process: the server refused, or is gone.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            if self._lost:
                if process_started(self.pid) != self._started:
                    self.returncode = -signal.SIGTERM
                    break
                time.sleep(_LOOK_SECONDS if left is None else min(left, _LOOK_SECONDS))
            elif _readable(self._connection, left):
                self._hear()
                continue
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.returncode is not None:
            return
        if not self._lost:
            with contextlib.suppress(OSError):  # the server is gone: wait() sees to it
                self._connection.sendall(bytes([sig]))
        elif self._pid is not None and process_started(self._pid) == self._started:
            os.kill(self._pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _hear(self) -> None:
        """Takes in what the server says; waits for it."""
        try:
            received = self._connection.recv(4096)
        except ConnectionResetError:
            received = b""
        *lines, self._received = (self._received + received).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if received or self.returncode is not None:
            return
        self._connection.close()
        self._lost = True
        if self._pid is None:
            raise NoServerError("the process that runs are forked from is gone")
        print(
            f"seqlab: the process that runs are forked from is gone; it takes process {self._pid} with it",
            file=sys.stderr,
            flush=True,
        )

    def _take(self, message: dict[str, Any]) -> None:
        if "refused" in message:
            self._connection.close()
            self._lost = True
            raise NoServerError(message["refused"])
        if "pid" in message:
            self._pid = int(message["pid"])
            self._started = process_started(self._pid)
        if "returncode" in message:
            self.returncode = int(message["returncode"])
            self._connection.close()


class RunProcess:
    """A run's process: forked by the server at ``address``, or a new one where that fails, which is said once.

    Args:
        argv: the arguments of :mod:`seqlab.run.process`.
        address: of a server; None to start a new process.
        options: as of :class:`ForkedProcess`.
    """

    def __init__(self, argv: Iterable[str], address: str | None, **options: Any) -> None:
        self.args = list(argv)
        self._options = options
        self._signals: list[int] = []
        self._inner: Process | None = None
        self._forked = False
        if address is not None:
            try:
                self._inner = ForkedProcess(address, self.args, **options)
                self._forked = True
            except NoServerError as error:
                _say_once(str(error))
        if self._inner is None:
            self._start()

    def _start(self) -> None:
        command = [sys.executable, "-Pm", MODULE, *self.args]
        self._forked = False
        # A Ctrl-C of the terminal must not meet the interpreter while it starts: the process takes it when it can.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._inner = subprocess.Popen(command, **self._options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in self._signals:
            self._inner.send_signal(number)

    @property
    def pid(self) -> int:
        assert self._inner is not None
        try:
            return self._inner.pid
        except NoServerError as error:
            _say_once(str(error))
            self._start()
            return self._inner.pid

    @property
    def returncode(self) -> int | None:
        assert self._inner is not None
        return self._inner.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it has not ended within ``timeout`` seconds.
        """
        assert self._inner is not None
        try:
            return self._inner.wait(timeout)
        except NoServerError as error:
            _say_once(str(error))
            self._start()
            return self._inner.wait(timeout)

    def send_signal(self, sig: int) -> None:
        assert self._inner is not None
        self._signals.append(sig)
        self._inner.send_signal(sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@functools.cache
def _say_once(reason: str) -> None:
    print(f"seqlab: no warm start, so each run imports on its own: {reason}", file=sys.stderr, flush=True)


def _stream(given: IO[bytes] | int | None, number: int, stack: contextlib.ExitStack) -> int:
    """The descriptor to hand over for a standard stream; of one that is closed here, the null device's."""
    descriptor = number if given is None else given if isinstance(given, int) else given.fileno()
    if descriptor != subprocess.DEVNULL:
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            return descriptor
    null = os.open(os.devnull, os.O_RDWR)
    stack.callback(os.close, null)
    return null


def _readable(connection: socket.socket, timeout: float | None) -> bool:
    poll = select.poll()  # select.select() takes no descriptor above 1023
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
