"""The ``seqlab`` command in a process of its own, and a run's process in this one."""

import atexit
import contextlib
import functools
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import pytest

from seqlab.commands import train as train_command
from seqlab.run import supervisor, training_process
from seqlab.run.claim import Claim
from seqlab.run.forks.client import ForkedProcess
from seqlab.run.forks.warm_server import Server
from seqlab.run.start import Start
from tests.conftest import config_of
from tests.served import COMMAND, GROUP

_carry_out = Start.carry_out

ONE_THREAD = ("trainer=cpu", "runtime.num_threads=1")


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "seqlab.cli", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with one thread, and without what a test or the user may have set for seqlab."""
    left_out = ("SEQLAB_ALLOW", "SEQLAB_PROJECT_ALLOW", "SEQLAB_RUNS", "PYTHONPATH", "SEQLAB_MODULE_FOLDERS")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "OMP_NUM_THREADS": "1", **variables}


def shadow_all_modules(folder: Path) -> None:
    """Leaves a file of the name of each of Python's own modules and of some that are installed: none may be run."""
    installed = ("torch", "lightning", "numpy", "hydra", "omegaconf", "filelock", "tensorboard")
    for name in filter(importlib.util.find_spec, (*sys.stdlib_module_names - {"__main__"}, *installed)):
        (folder / f"{name}.py").write_text(f"raise RuntimeError('the {name}.py of the working folder')\n")


def seqlab(
    *arguments: str, folder: Path, limit: float = 120, alone: bool = False, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """``seqlab ARGUMENTS``, run in ``folder``: forked by a warm server, or ``alone`` in an interpreter of its own."""
    variables = environment(SEQLAB_CACHE=str(folder / "cache"), **variables)
    if alone:
        return subprocess.run(
            command_line(*arguments),
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    with ForkedCommand((COMMAND, _server(), *arguments), folder, variables) as process:
        out, err = process.communicate(limit)
    return subprocess.CompletedProcess(arguments, process.returncode or 0, out, err)


class ForkedCommand:
    """A command that a warm server has forked, used like a :class:`subprocess.Popen`; at the end it is killed."""

    def __init__(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """``arguments`` are those of :func:`tests.served.main`."""
        with contextlib.ExitStack() as files:
            out, err = self._streams = [files.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
            self._files = files.pop_all()
        with contextlib.chdir(folder):
            self._process = ForkedProcess(
                _server(), arguments, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        return self._process.wait(timeout)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for the command; returns what it and its runs have printed to standard output and error so far."""
        self.wait(timeout)
        out, err = (os.pread(each.fileno(), os.fstat(each.fileno()).st_size, 0).decode() for each in self._streams)
        self._files.close()
        return out, err

    def __enter__(self) -> "ForkedCommand":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(60)
        self._files.close()


def forked(*arguments: str, folder: Path, **variables: str) -> ForkedCommand:
    """What :func:`tests.served.main` does with these arguments, forked by a warm server."""
    return ForkedCommand(arguments, folder, environment(**variables))


@functools.cache
def _server() -> str:
    server = Server({**environment(), "PYTHONPATH": str(Path(__file__).parents[1])}, "tests.served")
    atexit.register(server.close)
    return server.address


@overload
def seqlab_started(*arguments: str, folder: Path, **variables: str) -> ForkedCommand: ...
@overload
def seqlab_started(
    *arguments: str, folder: Path, alone: Literal[True], **variables: str
) -> "subprocess.Popen[str]": ...


def seqlab_started(*arguments: str, folder: Path, alone: bool = False, **variables: str) -> Any:
    """``seqlab ARGUMENTS`` in a process group of its own, which its runs are in, too; not waited for.

    It is forked by a warm server, or ``alone`` in an interpreter of its own, as are its runs. Where a test is about the
    command's start, or about what the operating system tells its runs, it must be ``alone``.
    """
    variables = environment(SEQLAB_CACHE=str(folder / "cache"), **variables)
    if not alone:
        return ForkedCommand((COMMAND, _server(), *arguments), folder, {**variables, GROUP: "0"})
    return subprocess.Popen(
        command_line(*arguments),
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell has its background jobs ignore SIGINT, and what they start as well: a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: Callable[[], Any], limit: float = 60, pause: float = 0.02) -> Any:
    """What ``condition()`` gives once it is true, within ``limit`` seconds; asked again after each ``pause``."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return found


def train_in_this_process(run_dir: Path, *overrides: str) -> int:
    """What ``seqlab train OVERRIDES`` starts as a run's own process, here; returns its exit code."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    config = config_of(*ONE_THREAD, "runtime.keep_freed_memory=false", *overrides)
    try:
        with supervisor.open_attempt(run_dir, config, list(overrides)) as attempt:
            inherited = os.dup(attempt.claim.fileno())
            return attempt.note_end(training_process.main([str(run_dir), "--claim", str(inherited)]))
    finally:
        lightning.setLevel(level)


def prepare_here(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Lets the command run in this process, in ``folder``: what it changes of the process is undone."""
    patch.chdir(folder)
    patch.setattr(sys, "argv", sys.argv)
    patch.setattr(sys, "path", list(sys.path))
    for name in ("PYTHONPATH", "PYTHONSAFEPATH", "SEQLAB_ALLOW", "SEQLAB_PROJECT_ALLOW"):
        patch.setenv(name, os.environ.get(name, ""))
    patch.setenv("HYDRA_FULL_ERROR", "1")


class NoServer:
    """In the place of a sweep's warm server where no run needs a process: it starts nothing, but must be closed."""

    address, _is_closed = "/no/server", False

    def close(self) -> None:
        self._is_closed = True

    def __del__(self) -> None:
        if not self._is_closed:
            warnings.warn("a sweep has not closed its server", ResourceWarning, stacklevel=2)


def replace_training(patch: pytest.MonkeyPatch, train: Callable[[Claim], int | None]) -> list[tuple[int, str]]:
    """Has each run do what ``train(claim)`` says instead of training in a process of its own.

    Args:
        patch: undoes it.
        train: notes the run's end; the exit code that it returns is that of the run's process, None stands for 0.

    Returns:
        The runs as they come: the seed, and whether the run was ``begun`` or ``resumed``.
    """
    attempts: list[tuple[int, str]] = []
    patch.setattr(train_command, "start_server", lambda _: NoServer())

    def carry_out(start: Start, attempt: supervisor.Attempt) -> int:
        attempts.append((attempt.claim.fields["config"]["seed"], "resumed" if attempt.is_resumed else "begun"))
        patch.setattr(Start, "_run", lambda *_, **__: train(attempt.claim) or 0)
        return _carry_out(start, attempt)

    patch.setattr(Start, "carry_out", carry_out)
    return attempts
