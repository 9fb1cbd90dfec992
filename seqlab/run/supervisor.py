"""What a supervisor does about a run's own process: claims the run for it, and notes how it ended. Torch is not needed.

A run belongs to one process at a time. The supervisor claims it before that process starts, which takes seconds, so
that a second command meets a record that says so; the run's process takes the claim over and keeps the record from
then on. What it could not note at its end, for it was killed or crashed, the supervisor notes.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.provenance import this_process
from seqlab.run.record import RECORD_NAME, RunRecord, read_record

CRASHES: Final = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
)
"""Signals that a process brings upon itself: it failed. Any other comes from outside: it was interrupted."""

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a write that succeeds once somebody has made room."""


INTERRUPTED: Final = 75
"""Exit code of a run's process that was told to stop, or had no room: sysexits.h calls it a failure for now."""

_STACK_LINES = 20


class AtWorkError(InputError):
    """Another process is at work in a run."""


def status_of(run_dir: Path) -> str | None:
    """The status of the run in a folder; None where it has no record yet."""
    return str(read_record(run_dir)["status"]) if (run_dir / RECORD_NAME).exists() else None


def claim(run_dir: Path, config: dict[str, Any], overrides: list[str], anew: bool = False) -> bool:
    """Takes a run for this process and leaves its configuration for the run's own; returns whether it goes on with an
    interrupted one.

    A run of another configuration, a failed or a completed one begins anew, and so does an interrupted one if ``anew``:
    without the checkpoints and events of before, which a run that is killed once more would otherwise resume from.

    Raises:
        AtWorkError: a process is at work in it.
    """
    with _alone(run_dir):
        before = status_of(run_dir)
        if before == "running" and (owner := read_record(run_dir)["process"]) != this_process():
            place = f"process {owner.get('pid')} on {owner.get('host')}"
            raise AtWorkError(f"{run_dir} is at work already, as {place}: left alone")
        goes_on = before == "interrupted" and not anew and read_record(run_dir)["config_hash"] == config_hash(config)
        if before is not None and not goes_on:
            _forget(run_dir)
        write_job(run_dir, config, overrides)
        if goes_on:
            _resume(run_dir)
        else:
            seed = config.get("seed")  # which may be no number: the run's own process will say so
            RunRecord.start(run_dir, config, overrides, seed if type(seed) is int else None)
        return goes_on


def claim_again(run_dir: Path) -> None:
    """Takes a run that stopped for this process, to go on with it as its record says.

    Raises:
        InputError: there is no readable record, or a process of this machine is at work in it.
    """
    with _alone(run_dir):
        _resume(run_dir)
        if not (run_dir / ".hydra" / "job.json").exists():  # a folder may have been moved without it
            fields = RunRecord.load(run_dir).fields
            write_job(run_dir, fields["config"], fields["overrides"] or [])


def give_up(run_dir: Path, reason: str) -> None:
    """Notes that a run which this process has claimed could not start; without room for that, it reads as interrupted
    once this process is gone."""
    with contextlib.suppress(OSError, InputError), _alone(run_dir):
        record = RunRecord.load(run_dir)
        if record.fields["status"] == "running" and record.fields["process"] == this_process():
            record.fail(reason)


def note_end(run_dir: Path, pid: int, code: int) -> int:
    """Notes how the run's process ended where it could not do so itself; returns the command's exit code.

    A negative ``code`` is the signal that ended it. Exit code 0 alone proves nothing: the record must say completed.
    """
    with _alone(run_dir):
        record = RunRecord.load(run_dir)
        if record.fields["process"].get("pid") not in (pid, os.getpid()):
            return 1  # another command found the process gone before this one did, and goes on with the run
        cause = f"exit code {code}" if code >= 0 else _signal_name(-code)
        if record.fields["status"] == "completed":
            if code != 0:
                _say(f"{cause} ended the run's process after the run was complete")
            return 0
        if record.fields["status"] != "running":
            return 2 if code == 2 else 1
        if code == INTERRUPTED:
            record.interrupt("the run was interrupted, and had no room to say so")
        elif follower_error(
            run_dir
        ).exists():  # Lightning kills the first process for it, whatever it was about to note
            record.fail(follower_error(run_dir).read_text())
        elif code in (-signum for signum in CRASHES):
            stack = _crashed_at(run_dir)
            record.fail(f"{stack}{cause} ended the run")
            _say(f"{cause} ended the run", stack)
        elif code < 0:
            why = "; the kernel does that where memory runs out" if code == -signal.SIGKILL else ""
            record.interrupt(f"{cause} ended the run{why}")
            _say(f"{cause} ended the run; continue with: seqlab resume {run_dir}")
        else:
            record.fail(f"the run's process ended with {cause}, before the run was complete")
            _say(f"the run's process ended with {cause}, before the run was complete")
        return 1


def no_room(error: BaseException | None) -> OSError | None:
    """The error of a full disk (or quota) that lies behind another error, if one does."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def show_alive(run_dir: Path) -> None:
    """Touches the record: to other hosts, which cannot look for its process, one left alone for long is dead."""
    with contextlib.suppress(OSError):  # the run itself will say what is wrong with its folder
        os.utime(run_dir / RECORD_NAME)


def watch_crashes(run_dir: Path) -> None:
    """Has a crash of this process leave Python's stack for :func:`note_end`; an empty file costs nothing."""
    import faulthandler

    # Not closed: the file is the handler's as long as the process lives.
    faulthandler.enable(open(_crash_file(run_dir), "w"))  # noqa: SIM115


def write_job(run_dir: Path, config: dict[str, Any], overrides: list[str]) -> None:
    """Leaves a run's resolved configuration for its own process."""
    folder = run_dir / ".hydra"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "job.json", json.dumps({"config": config, "overrides": overrides}, indent=1).encode())


def read_job(run_dir: Path) -> dict[str, Any]:
    """What :func:`write_job` left.

    Raises:
        InputError: where the folder holds no run.
    """
    try:
        job: dict[str, Any] = json.loads((run_dir / ".hydra" / "job.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{run_dir} holds no run that was prepared by seqlab train") from error
    return job


@contextlib.contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """No two processes of a machine are in here for the same run; the lock goes with the process that held it."""
    folder = run_dir / ".hydra"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "claim.lock"):
        yield


def _resume(run_dir: Path) -> None:
    RunRecord.resume(run_dir)
    if not (run_dir / "checkpoints" / "last.ckpt").exists():
        _remove_events(run_dir)  # the run will log its first steps again


def _forget(run_dir: Path) -> None:
    """Removes what an earlier attempt trained. The record says first that it is gone, should this be cut short."""
    RunRecord.load(run_dir).fail("begun anew, and not complete yet")
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    _remove_events(run_dir)


def _remove_events(run_dir: Path) -> None:
    for events in run_dir.glob("events.out.tfevents.*"):
        events.unlink(missing_ok=True)


def _crashed_at(run_dir: Path) -> str:
    """The innermost calls of Python's stack at a crash; faulthandler puts them first, and a list of modules last."""
    try:
        text = _crash_file(run_dir).read_text()
    except OSError:
        return ""
    calls = text.partition("Extension modules:")[0].strip().splitlines()
    return "".join(f"{line}\n" for line in calls[:_STACK_LINES])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


def follower_error(run_dir: Path) -> Path:
    """Where a process of several that follows the first leaves its error: the first only learns that it is gone."""
    return run_dir / ".hydra" / "follower_error.txt"


def _crash_file(run_dir: Path) -> Path:
    return run_dir / ".hydra" / "crash.txt"


def _say(text: str, before: str = "") -> None:
    print(f"{before}seqlab: {text}", file=sys.stderr, flush=True)
