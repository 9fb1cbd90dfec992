"""The server that run processes are forked from: it imports once, and forks a process for each request.

The server is a process of its own, started by the command of a sweep (:mod:`seqlab.run.forks.warm_server`). It listens
on a Unix socket in a private folder. Each connection is one process. The client sends a request with the descriptors
that the process gets, then one byte for each signal to send to it. The server answers with the process's number, and
with its exit code once it has ended. When a connection closes, its process is told to stop. When the command that
started the server is gone, the server tells all processes to stop, and ends after them.

Invariants: before a fork there is one thread, no random number was drawn, CUDA was not touched, and no module of the
user's was imported. No forked process keeps a descriptor of the server.

``python -m seqlab.run.forks.server SOCKET_FD MODULE`` serves ``MODULE``. ``MODULE.preload()`` imports, once, at the
first request. ``MODULE.main(argv)`` runs in each process, as ``python -m MODULE ARGV`` would. Torch is not needed.
"""

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.run.forks.child import end_with_parent, exit_process, run_module
from seqlab.run.forks.request import Request

_PARENT_SECONDS: Final = 2.0  # between two looks at whether the parent lives
_LIFELINE: Final = 0  # standard input: a pipe whose other end the command holds

# The server ignores what the terminal or a cluster sends to the whole group of processes: each run handles it itself.
_IGNORED: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
]


@dataclass
class _Process:
    """A forked process, and the connection that asked for it."""

    pid: int
    connection: socket.socket
    was_stopped: bool = False

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)  # the number is still this process's: the server has not waited for it yet

    def stop(self) -> None:
        """Tells the process to stop, once: a second signal would leave it no time to write a checkpoint."""
        if not self.was_stopped:
            self.was_stopped = True
            self.send_signal(signal.SIGTERM)

    def reply(self, **message: Any) -> None:
        _reply(self.connection, **message)


class ForkServer:
    """The server's loop.

    Args:
        listener: the socket that listens for requests.
        preload: imports what the processes need; called once, at the first request.
    """

    def __init__(self, listener: socket.socket, preload: Callable[[], object]) -> None:
        self.listener = listener
        self.preload = preload
        self.refusal: str | None = None  # why it forks no process
        self._is_loaded = False
        self._is_ending = False
        self._processes: dict[int, _Process] = {}
        self._parent = os.getppid()
        self._handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED}
        # A SIGCHLD writes a byte to this pair, which wakes the selector.
        self._wakeup, self._alarm = socket.socketpair()
        for end in (self._wakeup, self._alarm):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._reap)
        self._selector.register(_LIFELINE, selectors.EVENT_READ, self._end)

    def serve(self) -> Request | None:
        """Forks a process for each request.

        Returns:
            In a forked process its request; in the server None, at its end.
        """
        while self._processes or not self._is_ending:
            for key, _ in self._selector.select(_PARENT_SECONDS)[:1]:  # one at a time: its handler may close others
                request: Request | None = key.data()
                if request is not None:
                    return request
            if os.getppid() != self._parent:  # another process may hold the other end of the lifeline, too
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
        if not self._is_loaded:
            self._is_loaded = True
            self.refusal = self._load()
        reason = self.refusal or self._collision(request)
        if self._is_lifeline_cut():
            reason = "the command is gone"
            self._end()
        if reason:
            self._refuse(request, connection, reason)
            return None
        return self._fork(request, connection)

    def _refuse(self, request: Request, connection: socket.socket, reason: str) -> None:
        _reply(connection, refused=reason)
        request.close()
        connection.close()

    def _load(self) -> str | None:
        """Imports; returns why no process may be forked afterwards, if there is a reason."""
        try:
            self.preload()
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        # OpenBLAS ends its threads before a fork, and starts them again where they are needed.
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        names = thread_names()
        return f"there are {len(names)} threads after the imports: {', '.join(names)}" if len(names) > 1 else None

    def _collision(self, request: Request) -> str | None:
        """Why a descriptor can't have its number, if a library has opened another file under it."""
        selector = getattr(self._selector, "fileno", lambda: -1)()
        own = {selector, *(each.fileno() for each in self._sockets())}
        free = {*range(3), *own, *request.descriptors.values()}
        in_use = [number for number in request.descriptors if number not in free and _is_open(number)]
        return f"descriptor {in_use[0]} is in use" if in_use else None

    def _sockets(self) -> list[socket.socket]:
        """The server's own sockets, which no forked process may keep."""
        connections = (process.connection for process in self._processes.values())
        return [self.listener, self._wakeup, self._alarm, *connections]

    def _fork(self, request: Request, connection: socket.socket) -> Request | None:
        # No signal to the group may be lost between the fork and the moment when the new process can handle it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._refuse(request, connection, str(error.strerror))
            return None
        if pid == 0:
            end_with_parent(server)
            self._detach(connection)
            signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, signal.SIGINT})  # run_module unblocks it
            return request
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        request.close()
        process = self._processes[pid] = _Process(pid, connection)
        process.reply(pid=pid)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._receive_signals(process))
        return None

    def _detach(self, connection: socket.socket) -> None:
        """In a forked process: undoes the server's signal handlers, and closes its descriptors."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for own in (*self._sockets(), connection):
            own.close()
        self._selector.close()

    def _receive_signals(self, process: _Process) -> None:
        """Passes signals on to a process; tells it to stop if its client is gone."""
        try:
            numbers = process.connection.recv(64)
        except OSError:
            numbers = b""
        if not numbers:
            self._selector.unregister(process.connection)
            process.stop()
        for number in numbers:
            process.send_signal(number)

    def _reap(self) -> None:
        """Reports the processes that have ended."""
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(4096):
                pass
        for pid, process in list(self._processes.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._processes[pid]
                with contextlib.suppress(KeyError):
                    self._selector.unregister(process.connection)
                process.reply(returncode=os.waitstatus_to_exitcode(status))
                process.connection.close()

    def _end(self) -> None:
        """Takes no more requests, and tells all processes to stop: the command that started the server is gone."""
        if not self._is_ending:
            self._is_ending = True
            with contextlib.suppress(KeyError):
                self._selector.unregister(_LIFELINE)
            self._selector.unregister(self.listener)
            self.listener.close()
            for process in self._processes.values():
                process.stop()

    def _is_lifeline_cut(self) -> bool:
        return any(key.fileobj == _LIFELINE for key, _ in self._selector.select(0)) or os.getppid() != self._parent


def thread_names() -> list[str]:
    """The names of this process's threads."""
    try:
        return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    except OSError:  # not Linux
        return [thread.name for thread in threading.enumerate()]


def _reply(connection: socket.socket, **message: Any) -> None:
    with contextlib.suppress(OSError):  # the client is gone
        connection.sendall(json.dumps(message).encode() + b"\n")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def main(argv: list[str]) -> None:
    """Serves until the process that started this one is gone."""
    descriptor, name = argv
    module = importlib.import_module(name)
    request = ForkServer(socket.socket(fileno=int(descriptor)), module.preload).serve()
    exit_process(0 if request is None else run_module(request, module))


if __name__ == "__main__":
    main(sys.argv[1:])
