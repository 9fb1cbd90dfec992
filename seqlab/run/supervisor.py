"""What a supervisor does about a run's own process: claims the run for it, and notes how it ended. Torch is not needed.

The supervisor claims the run before that process starts, which takes seconds, so that a second command meets a run that
is at work. The process holds the same claim and writes what happens. What it could not note at its end, for it was
killed or crashed, the supervisor notes.
"""

import contextlib
import errno
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from seqlab.config.hash import config_hash, differing_values
from seqlab.errors import InputError
from seqlab.run.code import COPIES, code_differences
from seqlab.run.events import ABSENT, COMPLETED, FAILED, RUNNING
from seqlab.run.folder import Claim, RunFolder, State
from seqlab.run.ownership import LostClaimError
from seqlab.run.replacement import files_of_none
from seqlab.run.same import Now, differences, version_differences

CRASHES: Final = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
)
"""Signals that a process brings upon itself: it failed. Any other comes from outside: it was interrupted."""

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a write that succeeds once somebody has made room."""

INTERRUPTED_CODE: Final = 75
"""Exit code of a run's process that was told to stop, or had no room: sysexits.h calls it a failure for now."""

_STACK_LINES: Final = 20
_MAX_NAMED: Final = 4


@dataclass
class Attempt:
    """One attempt to carry out the run of a folder, claimed by this process.

    Attributes:
        run_dir: the run's folder, as the user knows it.
        claim: that of the folder which trains: the run's own, or that of its replacement.
        replaced: the claim of the run that is replaced once the attempt completes; None where it trains in place.
        goes_on: whether it goes on from an earlier attempt.
    """

    run_dir: Path
    claim: Claim
    replaced: Claim | None = None
    goes_on: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to train: the command before ended just when the replacement was complete."""
        return self.claim.status == COMPLETED

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Gives the run back."""
        for claim in (self.claim, self.replaced):
            if claim is not None:
                claim.release()

    def note_end(self, code: int, hung: str | None = None) -> int:
        """Notes how the run's process ended where it could not do so itself; returns the command's exit code.

        A negative ``code`` is the signal that ended it; ``hung`` says why the supervisor did. Exit code 0 alone proves
        nothing: the run must say completed.
        """
        try:
            code = _note_end(self.claim, code, self.run_dir, hung)
        except LostClaimError as error:
            _say(str(error))
            return 1
        _crash_file(self.claim.run_dir).unlink(missing_ok=True)
        if code == 0 and self.replaced is not None:
            return self._replace(self.replaced)
        return code

    def _replace(self, replaced: Claim) -> int:
        self.claim.release()
        try:
            replaced.replace()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _say(
                f"the new run has completed, but cannot take the place of the one in {self.run_dir} yet "
                f"({where}{error.strerror}): once that is mended, the same command finishes it"
            )
            return 1
        return 0

    def note_stop(self) -> None:
        """Notes that the command was asked to stop before the run's process was started."""
        with contextlib.suppress(OSError, LostClaimError):
            if self.claim.status == RUNNING:
                reason = "stopped before its process started"
                self.claim.withdraw(reason) if self.goes_on else self.claim.interrupt(reason)
                _say(f"{reason}; continue with: seqlab resume {self.run_dir}")

    def give_up(self, reason: str) -> None:
        """Notes that the run could not start; without room for that, it reads as interrupted."""
        with contextlib.suppress(OSError, LostClaimError):
            if self.claim.status == RUNNING:
                (self.claim.withdraw if self.goes_on else self.claim.fail)(reason)


def open_attempt(
    run_dir: Path, config: dict[str, Any], overrides: list[str], *, overwrite: bool = False, **fields: Any
) -> Attempt:
    """Claims the run of ``config`` in a folder, and begins it or goes on with it.

    What stopped and is the same run goes on from its last checkpoint. A run that has completed, and another one that
    has trained, is replaced where ``overwrite`` says so: the new one trains in a folder beside, and the old one stays
    until it completes. It does so as well with one of the same configuration that can't go on, for its data or the
    user's code is other now.

    Args:
        run_dir: the run's folder.
        config: its resolved configuration.
        overrides: the command line's.
        overwrite: replaces what is there.
        **fields: more of the record, such as ``parent``.

    Raises:
        AtWorkError: a process is at work in it.
        InputError: the folder holds another run, or one that has completed, and ``overwrite`` is false.
    """
    claim = RunFolder(run_dir).claim(say=_say)
    try:
        state = claim.state()
        refusal = why_not(run_dir, state, config)
        if refusal is None:
            return Attempt(run_dir, claim, goes_on=_start(claim, state, config, overrides, fields))
        if not overwrite:
            raise InputError(refusal)
        return _open_replacement(run_dir, claim, config, overrides, fields)
    except BaseException:
        claim.release()
        raise


def _open_replacement(
    run_dir: Path, replaced: Claim, config: dict[str, Any], overrides: list[str], fields: Mapping[str, Any]
) -> Attempt:
    if replaced.folder.replacement.is_old():  # what somebody has left of one
        replaced.folder.drop_replacement()
    inner = replaced.folder.replacement.claim(say=_say)
    try:
        state = inner.state()
        same = state.record["config_hash"] == config_hash(config)
        if state.status == COMPLETED and same:
            _say(f"the new run that is to replace the one in {run_dir} had completed before; it takes its place")
            return Attempt(run_dir, inner, replaced)
        differing = [] if same else differing_values(state.record["config"], config)
        if same and state.is_stopped and state.has_checkpoint:
            differing = _other_inputs(run_dir, state, config)
        if differing or (not state.is_stopped and (state.status != ABSENT or state.has_checkpoint)):
            if state.is_stopped and state.has_checkpoint:
                _say(
                    f"dropped: a new run that was to replace the one in {run_dir}, which differs in {_named(differing)}"
                )
            inner.release()
            replaced.folder.drop_replacement()
            inner = replaced.folder.replacement.claim(say=_say)
            state = inner.state()
        return Attempt(run_dir, inner, replaced, _start(inner, state, config, overrides, fields))
    except BaseException:
        inner.release()
        raise


def why_not(run_dir: Path, state: State, config: Mapping[str, Any]) -> str | None:
    """Why ``config`` must not train in a folder in this state; None where it may."""
    overwrite = "seqlab train with overwrite=true trains anew and replaces it once that completes"
    same = state.record["config_hash"] == config_hash(config)
    if state.status == COMPLETED:
        run = "this very run, completed" if same else "another run, completed"
        return f"{run_dir} holds {run}: its metrics are in run.json; {overwrite}"
    if state.status == ABSENT and (names := files_of_none(run_dir)):
        return (
            f"{run_dir} holds {_named(names)}, which a run would write over, and no events.jsonl that says of which "
            f"run; give another folder, or {overwrite}"
        )
    if state.is_stopped and state.has_checkpoint and not same:
        return (
            f"{run_dir} holds another run, {state.status}, which differs in "
            f"{_named(differing_values(state.record['config'], config))}; seqlab resume goes on with that one, "
            f"{overwrite}"
        )
    if state.is_stopped and state.has_checkpoint and (changed := _other_inputs(run_dir, state, config)):
        copies = f" (the code is kept in {run_dir / COPIES})" if _has_other_code(run_dir, state) else ""
        return (
            f"{run_dir}: not what the run, {state.status}, began with: {'; '.join(changed)}; put that back{copies} to "
            f"go on with it, or {overwrite}"
        )
    return None


def _other_inputs(run_dir: Path, state: State, config: Mapping[str, Any]) -> list[str]:
    """What of the data and the user's code is other than when a run began, so that it can't go on."""
    return differences(state.record, Now(), config=config, run_dir=run_dir).decides


def _has_other_code(run_dir: Path, state: State) -> bool:
    """Whether the user's code is other now, and the folder has what it was."""
    return (run_dir / COPIES).is_dir() and bool(code_differences(state.record["code"]))


def _named(values: list[str]) -> str:
    if not values:  # the hash of that run is an earlier version's
        return "how this version of seqlab tells configurations apart"
    more = f" and {len(values) - _MAX_NAMED} more" if values[_MAX_NAMED:] else ""
    return ", ".join(values[:_MAX_NAMED]) + more


def _start(claim: Claim, state: State, config: dict[str, Any], overrides: list[str], fields: Mapping[str, Any]) -> bool:
    """Begins a run or goes on with it; returns whether it goes on."""
    same = state.record["config_hash"] == config_hash(config)
    if state.is_stopped and same and state.has_checkpoint:
        _go_on(claim, config)
        return True
    if state.is_stopped and same and state.status != FAILED:
        changed = _other_inputs(claim.run_dir, state, config)
        if not changed:
            _go_on(claim, config)
            return True
        _say(f"not what the run began with: {_named(changed)}; it left no checkpoint, so it begins anew")
    claim.forget_logs()
    claim.begin(config, overrides, **fields)
    return False


def _go_on(claim: Claim, config: dict[str, Any]) -> None:
    if not claim.folder.has_checkpoint():
        claim.forget_logs()
    for text in version_differences(claim.fields, Now()):
        _say(f"the run began with {text}: it goes on, and may end otherwise than it would have")
    claim.resume(config=config)


def _note_end(claim: Claim, code: int, run_dir: Path, hung: str | None) -> int:
    record = claim.fields
    cause = f"exit code {code}" if code >= 0 else _signal_name(-code)
    if record["status"] == COMPLETED:
        if code != 0:
            _say(f"{cause} ended the run's process after the run was complete")
        return 0
    if record["status"] != RUNNING:
        return 2 if code == 2 else 1
    if hung is not None:
        stack = _crashed_at(claim.run_dir)
        text = f"{stack}{hung}: launcher.job_timeout ended the run"
        if record["resumes"] and not record["trains"]:  # which could not start, and is what it was before
            claim.withdraw(text)
        else:
            claim.fail(text)
        _say(f"{run_dir}: {hung}: launcher.job_timeout ended the run", stack)
    elif code == INTERRUPTED_CODE:
        claim.interrupt("the run was interrupted, and had no room to say so")
    elif record["worker_error"]:  # Lightning kills the first process for it, whatever it was about to note
        claim.fail(record["worker_error"])
    elif code in (-signum for signum in CRASHES):
        stack = _crashed_at(claim.run_dir)
        claim.fail(f"{stack}{cause} ended the run")
        _say(f"{cause} ended the run", stack)
    elif code < 0:
        why = "; the kernel does that where memory runs out" if code == -signal.SIGKILL else ""
        claim.interrupt(f"{cause} ended the run{why}")
        _say(f"{cause} ended the run; continue with: seqlab resume {run_dir}")
    else:
        claim.fail(f"the run's process ended with {cause}, before the run was complete")
        _say(f"the run's process ended with {cause}, before the run was complete")
    return 1


def no_room(error: BaseException | None) -> OSError | None:
    """The error of a full disk (or quota) that lies behind another error, if one does."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def watch_crashes(run_dir: Path) -> None:
    """Has a crash of this process leave Python's stack for :meth:`Attempt.note_end`."""
    import faulthandler

    # Not closed: the file is the handler's as long as the process lives.
    faulthandler.enable(open(_crash_file(run_dir), "w"))  # noqa: SIM115


def _crashed_at(run_dir: Path) -> str:
    """What crashed, and the innermost calls of Python's stack in the thread where it did.

    faulthandler puts other threads before that one, the innermost calls first, and a list of modules last.
    """
    try:
        text = _crash_file(run_dir).read_text()
    except OSError:
        return ""
    text = text.partition("Extension modules:")[0].strip()
    what = text.splitlines()[:1]
    _, current, calls = text.partition("Current thread")
    lines = [*what, *(current + calls).splitlines()] if current else text.splitlines()
    return "".join(f"{line}\n" for line in lines[:_STACK_LINES])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


def _crash_file(run_dir: Path) -> Path:
    return run_dir / ".crash.txt"


def _say(text: str, before: str = "") -> None:
    print(f"{before}seqlab: {text}", file=sys.stderr, flush=True)
