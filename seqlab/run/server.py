"""A warm parent of the processes that runs train in: it imports once, and forks a process for each request.

Importing PyTorch and Lightning takes seconds, a fork takes milliseconds. The server is a process of its own, started by
a sweep's command (:class:`seqlab.run.client.Server`). It listens on a Unix socket in a private folder. Each connection
is one process: a request goes in with the descriptors that the process is to have, then one byte for each signal to
send; what comes back is its number, and how it ended. A connection that closes ends its process, and the server ends
with the command that started it.

Invariants: before a fork there is one thread, no random number was drawn, CUDA was not touched, no module of the user's
was imported. The server never gives its own descriptors to a process that it forks.

``python -m seqlab.run.server SOCKET_FD MODULE`` serves ``MODULE``: ``MODULE.preload()`` imports, once, at the first
request; ``MODULE.main(argv)`` is what a process runs, as ``python -m MODULE ARGV`` would. Torch is not needed.
"""

import array
import atexit
import contextlib
import ctypes
import errno
import fcntl
import importlib
import io
import json
import os
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TextIO

LENGTH: Final = struct.Struct("!I")
"""What stands before a request: how many bytes of JSON it has."""

MOST_DESCRIPTORS: Final = 64
"""How many descriptors a request may bring."""

_REQUEST_SECONDS = 10.0  # for a request to arrive whole
_PARENT_SECONDS = 2.0  # between two looks at the parent
_LIFELINE = 0  # standard input: a pipe that the command holds the other end of

# The server outlives what the terminal or a cluster sends to the whole group of processes: each run handles it itself.
_IGNORED = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
]


@dataclass
class Request:
    """What a process is to be. Its descriptors stand under the numbers that they are to have in it."""

    argv: list[str]
    environment: dict[str, str]
    folder: str
    descriptors: dict[int, int] = field(default_factory=dict)

    @classmethod
    def receive(cls, connection: socket.socket) -> "Request":
        """Reads a request from its connection.

        Raises:
            OSError, ValueError: it does not arrive whole.
        """
        connection.settimeout(_REQUEST_SECONDS)
        sources = array.array("i")
        head, ancillary, *_ = connection.recvmsg(LENGTH.size, socket.CMSG_SPACE(MOST_DESCRIPTORS * sources.itemsize))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                sources.frombytes(data[: len(data) - len(data) % sources.itemsize])
        try:
            head += _receive(connection, LENGTH.size - len(head))
            fields = json.loads(_receive(connection, *LENGTH.unpack(head)))
            targets = fields.pop("descriptors")
            if len(targets) != len(sources):
                raise ValueError(f"{len(targets)} descriptors expected, {len(sources)} came")
            connection.settimeout(None)
            return cls(**fields, descriptors=dict(zip(targets, sources, strict=True)))
        except BaseException:
            for source in sources:
                os.close(source)
            raise

    def close(self) -> None:
        for source in self.descriptors.values():
            os.close(source)


@dataclass
class _Job:
    """A process that was forked, and the connection that asked for it."""

    pid: int
    connection: socket.socket
    ended_by_us: bool = False

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)  # not waited for yet, so it is still this process

    def end(self) -> None:
        """Tells it to stop, once: a second signal would not leave it the time to write a checkpoint."""
        if not self.ended_by_us:
            self.ended_by_us = True
            self.signal(signal.SIGTERM)

    def report(self, **message: Any) -> None:
        _tell(self.connection, **message)


class Forks:
    """The server's loop.

    Args:
        listener: the socket that listens for requests.
        preload: imports what the processes need; called once, at the first request.
    """

    def __init__(self, listener: socket.socket, preload: Callable[[], object]) -> None:
        self.listener = listener
        self.preload = preload
        self.refusal: str | None = None  # why it forks nothing
        self._loaded = False
        self._ending = False
        self._jobs: dict[int, _Job] = {}  # by process
        self._parent = os.getppid()
        self._dispositions = {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED}
        self._wakeup, self._alarm = socket.socketpair()
        for end in (self._wakeup, self._alarm):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # for the byte that it sends to the pair
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._reap)
        self._selector.register(_LIFELINE, selectors.EVENT_READ, self._end)

    def serve(self) -> Request | None:
        """Forks a process for each request; returns its request in that process, and None in the server at its end."""
        while self._jobs or not self._ending:
            for key, _ in self._selector.select(_PARENT_SECONDS)[:1]:  # what it does may close another
                request: Request | None = key.data()
                if request is not None:
                    return request
            if os.getppid() != self._parent:  # another process may hold the pipe's other end as well
                self._end()
        return None

    def _accept(self) -> Request | None:
        connection, _ = self.listener.accept()
        try:
            request = Request.receive(connection)
        except (OSError, ValueError, TypeError, KeyError) as error:
            print(f"seqlab: a request for a process did not arrive whole: {error}", file=sys.stderr, flush=True)
            connection.close()
            return None
        if not self._loaded:
            self._loaded = True
            self.refusal = self._load()
        reason = self.refusal or self._collision(request)
        if self._lifeline_cut():
            reason = "the command is gone"
            self._end()
        if reason:
            self._refuse(request, connection, reason)
            return None
        return self._fork(request, connection)

    def _refuse(self, request: Request, connection: socket.socket, reason: str) -> None:
        _tell(connection, refused=reason)
        request.close()
        connection.close()

    def _load(self) -> str | None:
        """Imports; why nothing may be forked afterwards, if there is a reason."""
        try:
            self.preload()
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        # OpenBLAS ends its threads before a fork, and starts them anew where they are needed.
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        names = threads()
        return f"there are {len(names)} threads after the imports: {', '.join(names)}" if len(names) > 1 else None

    def _collision(self, request: Request) -> str | None:
        """Why a descriptor can't have its number: a library has opened another one by it."""
        selector = getattr(self._selector, "fileno", lambda: -1)()
        own = {selector, *(each.fileno() for each in self._sockets())}
        free = {*range(3), *own, *request.descriptors.values()}
        taken = [number for number in request.descriptors if number not in free and _is_open(number)]
        return f"descriptor {taken[0]} is in use" if taken else None

    def _sockets(self) -> list[socket.socket]:
        """The server's own, which no process that it forks may keep."""
        return [self.listener, self._wakeup, self._alarm, *(job.connection for job in self._jobs.values())]

    def _fork(self, request: Request, connection: socket.socket) -> Request | None:
        # A signal to the group must not be lost between the fork and the moment when the new process can take it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._refuse(request, connection, str(error.strerror))
            return None
        if pid == 0:
            end_with_parent(server)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, disposition in self._dispositions.items():
                signal.signal(number, disposition)
            for own in (*self._sockets(), connection):
                own.close()
            self._selector.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return request
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        request.close()
        job = self._jobs[pid] = _Job(pid, connection)
        job.report(pid=pid)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(job))
        return None

    def _hear(self, job: _Job) -> None:
        """Passes signals on to a process; ends it where nobody is left who asked for it."""
        try:
            numbers = job.connection.recv(64)
        except OSError:
            numbers = b""
        if not numbers:
            self._selector.unregister(job.connection)
            job.end()
        for number in numbers:
            job.signal(number)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(4096):
                pass
        for pid, job in list(self._jobs.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._jobs[pid]
                with contextlib.suppress(KeyError):
                    self._selector.unregister(job.connection)
                job.report(returncode=os.waitstatus_to_exitcode(status))
                job.connection.close()

    def _end(self) -> None:
        """Whoever started the server is gone: it ends once its processes have, which are told to stop."""
        if not self._ending:
            self._ending = True
            with contextlib.suppress(KeyError):
                self._selector.unregister(_LIFELINE)
            self._selector.unregister(self.listener)
            self.listener.close()
            for job in self._jobs.values():
                job.end()

    def _lifeline_cut(self) -> bool:
        return any(key.fileobj == _LIFELINE for key, _ in self._selector.select(0)) or os.getppid() != self._parent


def become(request: Request, module: ModuleType) -> int:
    """Makes this process, just forked, what ``python -m MODULE ARGV`` would be, and runs it; returns its exit code."""
    place(request.descriptors)
    os.environ.clear()
    os.environ.update(request.environment)
    # Lightning starts further processes of a run by the module that stands here, and by the arguments.
    sys.modules["__main__"] = module
    sys.argv = [str(module.__file__), *request.argv]
    sys.stdout = _output(1, sys.stdout, line_buffering=os.isatty(1))
    sys.stderr = _output(2, sys.stderr, line_buffering=True)
    try:
        os.chdir(request.folder)
        return int(module.main(request.argv) or 0)
    except SystemExit as exit_:
        if exit_.code is None or isinstance(exit_.code, int):
            return exit_.code or 0
        print(exit_.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 1


def _output(number: int, before: TextIO | None, *, line_buffering: bool) -> io.TextIOWrapper:
    """A stream for what stands behind a descriptor now: the one before takes a pipe for the file that was there, and
    can't be reconfigured then."""
    write_through = bool(getattr(before, "write_through", False))  # by PYTHONUNBUFFERED
    return io.TextIOWrapper(
        open(number, "wb", buffering=0 if write_through else -1, closefd=False),
        encoding=getattr(before, "encoding", None),
        errors=getattr(before, "errors", "backslashreplace"),
        line_buffering=line_buffering,
        write_through=write_through,
    )


def leave(code: int) -> None:
    """Ends this process as the interpreter does, but for taking a million objects apart, which takes half a second."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads that are not daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code & 0xFF)


def place(descriptors: dict[int, int]) -> None:
    """Gives each descriptor its number: ``{number: descriptor}``. Standard streams alone go to further processes."""
    above = max([*descriptors, *descriptors.values(), 2]) + 1
    moved = {}
    for number, source in descriptors.items():
        moved[number] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above)
        os.close(source)
    for number, source in moved.items():
        os.dup2(source, number, inheritable=number < 3)
        os.close(source)


def end_with_parent(parent: int) -> None:
    """Has Linux tell this process to stop once its parent is gone, however that ended."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
        _libc.prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def threads() -> list[str]:
    """The names of this process's threads."""
    try:
        return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    except OSError:  # not Linux
        return [thread.name for thread in threading.enumerate()]


def _tell(connection: socket.socket, **message: Any) -> None:
    with contextlib.suppress(OSError):  # whoever asked is gone
        connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 16))
        if not part:
            raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


_libc = ctypes.CDLL(None)


def main(argv: list[str]) -> None:
    """Serves until the process that started this one is gone."""
    descriptor, name = argv
    module = importlib.import_module(name)
    request = Forks(socket.socket(fileno=int(descriptor)), module.preload).serve()
    leave(0 if request is None else become(request, module))


if __name__ == "__main__":
    main(sys.argv[1:])
