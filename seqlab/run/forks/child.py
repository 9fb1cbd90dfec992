"""A process right after its fork: it becomes what ``python -m MODULE ARGV`` would be."""

import atexit
import contextlib
import ctypes
import fcntl
import io
import os
import signal
import sys
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import TextIO

from seqlab.run.forks.request import Request

_libc = ctypes.CDLL(None)  # loaded before any fork


def run_module(request: Request, module: ModuleType) -> int:
    """Runs ``module.main(argv)`` as ``python -m MODULE ARGV`` would; returns the exit code.

    SIGINT is blocked until then: a Ctrl-C that comes earlier ends the process by this signal, without a traceback.

    Args:
        request: the process's arguments, environment, working folder and open files.
        module: the module, imported already.
    """
    place_descriptors(request.descriptors)
    os.environ.clear()
    os.environ.update(request.environment)
    # Lightning starts the other processes of a run with this module and these arguments.
    sys.modules["__main__"] = module
    sys.argv = [str(module.__file__), *request.argv]
    sys.stdout = _reopened(1, sys.stdout, line_buffering=os.isatty(1))
    sys.stderr = _reopened(2, sys.stderr, line_buffering=True)
    try:
        os.chdir(request.folder)
        _unblock_interrupts()
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


def exit_process(code: int) -> None:
    """Ends this process as the interpreter does, but without freeing a million objects, which takes half a second."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads that are not daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code & 0xFF)


def place_descriptors(descriptors: Mapping[int, int]) -> None:
    """Moves each open file to the number that it must have; only standard streams are inherited by further processes.

    Args:
        descriptors: from the number that a file must have to its present number.
    """
    lowest_free = max([*descriptors, *descriptors.values(), 2]) + 1
    moved = {}
    for number, descriptor in descriptors.items():
        moved[number] = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest_free)
        os.close(descriptor)
    for number, descriptor in moved.items():
        os.dup2(descriptor, number, inheritable=number < 3)
        os.close(descriptor)


def end_with_parent(parent: int) -> None:
    """Makes Linux send SIGTERM to this process when its parent is gone, however the parent ended."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
        _libc.prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _unblock_interrupts() -> None:
    handler = signal.getsignal(signal.SIGINT)
    if handler != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, handler)


def _reopened(number: int, before: TextIO | None, *, line_buffering: bool) -> io.TextIOWrapper:
    """A new stream on a descriptor that has another file now.

    The stream from before cannot be reconfigured if it was on a file and is on a pipe now.
    """
    write_through = bool(getattr(before, "write_through", False))  # PYTHONUNBUFFERED
    return io.TextIOWrapper(
        open(number, "wb", buffering=0 if write_through else -1, closefd=False),
        encoding=getattr(before, "encoding", None),
        errors=getattr(before, "errors", "backslashreplace"),
        line_buffering=line_buffering,
        write_through=write_through,
    )
