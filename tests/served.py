"""What a warm server of the tests forks: the ``seqlab`` command, the runs that it starts, and the processes of a run.

A command imports for a second and each run for three; here all find what they need imported. The server is the one
that sweeps use (``seqlab.run.forks.server``). What depends on how a process starts is tested with ``alone=True``.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

from seqlab import cli
from seqlab.run import process
from seqlab.run.forks.client import ForkedProcess

COMMAND = "command"
DEVICE = "device"
GROUP = "TESTS_PROCESS_GROUP"
"""The variable that gives a command a process group of its own, and its runs the same."""
_SERVER = "TESTS_SERVER"


def preload() -> None:
    process.preload()
    from seqlab.commands import resume, train  # noqa: F401
    from seqlab.config.compose import compose_config
    from tests.quick import be_quick

    be_quick()
    compose_config(["experiment=hello"])


def main(argv: list[str]) -> int:
    _join_group()
    if argv[0] == DEVICE:
        from tests import data_parallel

        _number_process()
        return data_parallel.main(*argv[1:])
    if argv[0] != COMMAND:
        sys.modules["__main__"], sys.argv[0] = process, str(process.__file__)  # by which Lightning starts others
        _fork_workers()
        return process.main(argv)
    _, os.environ[_SERVER], *arguments = argv
    from seqlab.commands import train
    from seqlab.run.start import Start

    address, start = os.environ[_SERVER], Start._run
    Start._run = lambda self, server, *given, **named: start(self, server or address, *given, **named)
    train.start_server = lambda _: SimpleNamespace(address=address, close=lambda: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main(arguments)


def _join_group() -> None:
    """Puts a command into a group of its own and its runs into the same, as a shell does: one signal reaches all."""
    if GROUP in os.environ:
        group = int(os.environ[GROUP])
        with contextlib.suppress(OSError):  # the command is gone, and the run finds that out
            os.setpgid(0, group)
        os.environ[GROUP] = str(group or os.getpid())


def _fork_workers() -> None:
    """Has Lightning fork the other processes of a run, too. It looks after them each 0.2 seconds, not each 5."""
    from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
    from lightning.pytorch.strategies.launchers import subprocess_script

    _number_process()
    subprocess_script.subprocess = SimpleNamespace(Popen=Worker)
    _ChildProcessObserver.__init__.__defaults__ = (0.2,)


def _number_process() -> None:
    """Tells Lightning, which reads that when it is imported, which process of its run this is."""
    from lightning.pytorch.utilities import rank_zero_only

    if (rank := os.environ.get("LOCAL_RANK")) is not None:
        rank_zero_only.rank = int(rank)


class Worker(ForkedProcess):
    """A process of a run beside the first one, as Lightning starts it."""

    def __init__(self, command: list[str], env: dict[str, str], cwd: str | None) -> None:
        super().__init__(os.environ[_SERVER], sys.argv[1:], env=env)
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock, contextlib.suppress(subprocess.TimeoutExpired):  # Lightning's thread polls as well
            self.wait(0.0)
        return self.returncode
