"""How a run's process ended: its exit code is noted as an event if the process could not do that itself.

Torch is not needed.
"""

import errno
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.run.claim import Claim
from seqlab.run.crash import crash_stack
from seqlab.run.events import COMPLETED, RUNNING

INTERRUPTED_CODE: Final = 75
"""Exit code of a run's process that was asked to stop, or had no disk space: EX_TEMPFAIL of sysexits.h."""

LOST_CODE: Final = 76
"""Exit code of a run's process that lost its claim. Its supervisor says so; the process itself prints nothing."""

CRASHES: Final = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
)
"""Signals that a process causes itself: the run failed. Any other signal comes from outside: it was interrupted."""

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a write that succeeds once somebody has made room on the disk."""


def note_end(claim: Claim, code: int, run_dir: Path, timeout: str | None = None) -> int:
    """Notes how the run's process ended, if the process could not do that itself.

    Exit code 0 proves nothing by itself: the run's status must be ``completed``.

    Args:
        claim: the claim on the run.
        code: the exit code of the process; negative: the signal that ended it.
        run_dir: the run's folder, as the user knows it.
        timeout: why the supervisor ended the process; None: it did not.

    Returns:
        The exit code of the command.

    Raises:
        LostClaimError: another process has taken the run.
    """
    if code == LOST_CODE:
        claim.check_owner()
    record = claim.fields
    if record["status"] == COMPLETED:
        if code != 0:
            say(f"{_cause(code)} ended the run's process after the run was complete")
        return 0
    if record["status"] != RUNNING:
        return 2 if code == 2 else 1
    if timeout is not None:
        _note_timeout(claim, record, run_dir, timeout)
    elif code == INTERRUPTED_CODE:
        claim.interrupt("the run was interrupted, and the disk was too full to note why")
    elif record["worker_error"]:  # Lightning kills the first process when a worker fails, before it can note that
        claim.fail(record["worker_error"])
    elif code < 0:
        _note_signal(claim, -code, run_dir)
    else:
        reason = f"the run's process ended with {_cause(code)}, before the run was complete"
        claim.fail(reason)
        say(reason)
    return 1


def _note_timeout(claim: Claim, record: Mapping[str, Any], run_dir: Path, timeout: str) -> None:
    stack = crash_stack(claim.run_dir)
    reason = f"{timeout}: launcher.job_timeout ended the run"
    if record["resumes"] and not record["trains"]:  # the attempt could not start: the run stays as it was
        claim.withdraw(f"{stack}{reason}")
    else:
        claim.fail(f"{stack}{reason}")
    say(f"{run_dir}: {reason}", stack)


def _note_signal(claim: Claim, number: int, run_dir: Path) -> None:
    reason = f"{_cause(-number)} ended the run"
    if number in CRASHES:
        stack = crash_stack(claim.run_dir)
        claim.fail(f"{stack}{reason}")
        say(reason, stack)
    else:
        hint = "; the kernel does that when memory runs out" if number == signal.SIGKILL else ""
        claim.interrupt(f"{reason}{hint}")
        say(f"{reason}; continue with: seqlab resume {run_dir}")


def _cause(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # most real-time signals have no name
        return f"signal {-code}"


def no_room(error: BaseException | None) -> OSError | None:
    """The error of a full disk (or quota) among the causes of another error; None if there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def say(text: str, before: str = "") -> None:
    """Prints a message of the command to standard error, after the lines in ``before``."""
    print(f"{before}seqlab: {text}", file=sys.stderr, flush=True)
