"""Starts and ends the server that run processes are forked from. Torch is not needed."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from seqlab.run.forks.client import warn_cold_start
from seqlab.run.forks.run_process import MODULE

_MAX_ADDRESS: Final = 100  # bytes of a Unix socket's path; Linux takes 107, macOS 103
_CLOSE_SECONDS: Final = 2.0  # for the server to end


class Server:
    """A server (:mod:`seqlab.run.forks.server`) that ends with this process.

    Starting it takes no time: it imports when the first process is requested.

    Args:
        environment: the server's environment; libraries read some variables when they are loaded.
        module: the module that each process runs; it has ``preload()`` and ``main(argv)``.

    Attributes:
        address: where processes on this machine reach it.

    Raises:
        OSError: it could not be started.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, module: str = MODULE) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="seqlab-"))  # mode 0700: this user's alone
        if len(os.fsencode(self.folder)) > _MAX_ADDRESS - len("/server"):
            self.folder.rmdir()
            self.folder = Path(tempfile.mkdtemp(prefix="seqlab-", dir="/tmp"))
        self.address = str(self.folder / "server")
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(self.address)
                listener.listen(128)
                descriptor = listener.fileno()
                # -P: a file such as random.py in the working folder must not be imported instead of Python's own.
                self.process = subprocess.Popen(
                    [sys.executable, "-Pm", "seqlab.run.forks.server", str(descriptor), module],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[descriptor],
                )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def close(self) -> None:
        """Ends the server. It tells its processes to stop, and waits for them; this process waits two seconds."""
        shutil.rmtree(self.folder, ignore_errors=True)
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:  # it still starts, or waits for a process that saves: no zombie is left of it
            threading.Thread(target=self.process.wait, daemon=True).start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_server(variables: Mapping[str, str]) -> Server | None:
    """Starts a server with these variables in addition to this process's; None, with a warning, if that fails."""
    try:
        return Server({**os.environ, **variables})
    except OSError as error:
        warn_cold_start(str(error))
        return None


def local_server(address: str | None, variables: Mapping[str, str]) -> str | None:
    """The address of a server on this machine.

    Args:
        address: that of the server of a sweep's command; None: jobs are not forked. A worker of the sweep on another
            machine starts a server of its own, at its first job.
        variables: for the environment of such a server.
    """
    global _own_server
    if address is None or os.path.exists(address):
        return address
    _own_server = _own_server or start_server(variables)
    return _own_server.address if _own_server else None


_own_server: Server | None = None  # of this worker of a sweep; it ends with the worker
