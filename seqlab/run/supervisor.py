"""What the supervisor of a run does: it claims the run for the run's own process, and notes how that process ended.

The supervisor is the command's process. It claims the run before it starts the run's own process, which takes seconds;
a second command then finds the run at work. The run's process inherits the claim and writes the events. If that process
is killed or crashes and cannot note its end, the supervisor does. Torch is not needed.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.config.hash import config_hash, differing_values
from seqlab.errors import InputError
from seqlab.run.claim import Claim
from seqlab.run.comparison import Present, version_differences
from seqlab.run.crash import remove_stack
from seqlab.run.events import ABSENT, COMPLETED, FAILED, INTERRUPTED, PRUNED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.run.ownership import LostClaimError
from seqlab.run.process_end import note_end, say
from seqlab.run.refusal import changed_inputs, refusal, shortened
from seqlab.run.rungs import rung_at
from seqlab.run.state import State

_STOPPED_WORDS: Final = {FAILED: "failed", INTERRUPTED: "was interrupted", PRUNED: "was pruned"}


@dataclass
class Attempt:
    """One attempt to carry out the run of a folder, claimed by this process.

    Attributes:
        run_dir: the run's folder, as the user knows it.
        claim: the claim on the folder that trains: the run's own folder, or that of its replacement.
        replaced: the claim on the run that is replaced when the attempt completes; None: it trains in place.
        is_resumed: whether it continues an earlier attempt.
        pause_at: the share of its steps at which it is paused, as a sweep does; None: it is not.
    """

    run_dir: Path
    claim: Claim
    replaced: Claim | None = None
    is_resumed: bool = False
    pause_at: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to train: an earlier command ended after the replacement had completed."""
        return self.claim.status == COMPLETED

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Gives up the claims, and prints where a new run is that has stopped before it could replace the old one."""
        if self.replaced is not None and self.claim.status in _STOPPED_WORDS and not self._is_paused():
            say(
                f"the run in {self.run_dir} is unchanged; the new run that was to replace it "
                f"{_STOPPED_WORDS[self.claim.status]} and stays in {self.claim.run_dir}: give the same command again, "
                "or remove that folder"
            )
        for claim in (self.claim, self.replaced):
            if claim is not None:
                claim.release()

    def _is_paused(self) -> bool:
        """Whether it has come to where it was to be paused: its sweep goes on with it, or prunes it."""
        return self.pause_at is not None and rung_at(self.claim.state().record, self.pause_at) is not None

    def note_end(self, code: int, timeout: str | None = None) -> int:
        """Notes how the run's process ended, if the process could not do that itself, and replaces the old run.

        Args:
            code: the exit code of the process; negative: the signal that ended it.
            timeout: why the supervisor ended the process; None: it did not.

        Returns:
            The exit code of the command.
        """
        try:
            code = note_end(self.claim, code, self.run_dir, timeout)
        except LostClaimError as error:
            say(str(error))
            return 1
        remove_stack(self.claim.run_dir)
        if code == 0 and self.replaced is not None:
            return self._replace(self.replaced)
        return code

    def _replace(self, replaced: Claim) -> int:
        self.claim.release()
        try:
            replaced.replace()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            say(
                f"the new run has completed, but cannot replace the one in {self.run_dir} yet "
                f"({where}{error.strerror}): once this is repaired, the same command finishes it"
            )
            return 1
        return 0

    def note_stop(self) -> None:
        """Notes that the command was asked to stop before the run's process had started."""
        reason = "stopped before its process started"
        with contextlib.suppress(OSError, LostClaimError):
            if self.claim.status == RUNNING:
                self.claim.withdraw(reason) if self.is_resumed else self.claim.interrupt(reason)
                say(f"{reason}; continue with: seqlab resume {self.run_dir}")

    def note_start_failure(self, reason: str) -> None:
        """Notes that the run's process could not start. If the disk is full, the run reads as interrupted."""
        with contextlib.suppress(OSError, LostClaimError):
            if self.claim.status == RUNNING:
                self.claim.withdraw(reason) if self.is_resumed else self.claim.fail(reason)


def open_attempt(
    run_dir: Path, config: dict[str, Any], overrides: list[str], *, overwrite: bool = False, **fields: Any
) -> Attempt:
    """Claims a folder for the run of ``config``, and begins or continues the run.

    A stopped run continues from its last checkpoint if it is the same run. With ``overwrite``, a run that must not
    continue is replaced: one that has completed, another one that has trained, or one whose data or code has changed.
    The new run trains in a subfolder, and the old one stays until the new one completes.

    Args:
        run_dir: the run's folder.
        config: the resolved configuration.
        overrides: the overrides of the command line.
        overwrite: whether to replace a run that must not continue.
        **fields: further fields of the record, such as ``parent``.

    Raises:
        AtWorkError: another process owns the run.
        InputError: the folder holds a run that must not continue, and ``overwrite`` is false.
    """
    claim = RunFolder(run_dir).claim(notify=say)
    try:
        state = claim.state()
        reason = refusal(run_dir, state, config)
        if reason is None:
            return Attempt(run_dir, claim, is_resumed=_begin_or_resume(claim, state, config, overrides, fields))
        if not overwrite:
            raise InputError(reason)
        return _open_replacement(run_dir, claim, config, overrides, fields)
    except BaseException:
        claim.release()
        raise


def _open_replacement(
    run_dir: Path, replaced: Claim, config: dict[str, Any], overrides: list[str], fields: Mapping[str, Any]
) -> Attempt:
    """Begins the new run in the replacement folder, or continues the one that is there."""
    run = RunFolder(run_dir)
    if run.replacement.is_old():
        run.drop_replacement()
    claim = run.replacement.claim(notify=say)
    try:
        state = claim.state()
        if state.status == COMPLETED and state.record["config_hash"] == config_hash(config):
            say(f"the new run that is to replace the one in {run_dir} has completed already; it replaces it now")
            return Attempt(run_dir, claim, replaced)
        differing = _differences(run_dir, state, config)
        is_empty = state.status == ABSENT and not state.has_checkpoint
        if differing or not (state.is_stopped or is_empty):
            if state.is_stopped and state.has_checkpoint:
                say(
                    f"dropped the unfinished run that was to replace the one in {run_dir}; what differs: "
                    f"{shortened(differing)}"
                )
            claim.release()
            run.drop_replacement()
            claim = run.replacement.claim(notify=say)
            state = claim.state()
        return Attempt(run_dir, claim, replaced, _begin_or_resume(claim, state, config, overrides, fields))
    except BaseException:
        claim.release()
        raise


def _differences(run_dir: Path, state: State, config: dict[str, Any]) -> list[str]:
    """What differs between an unfinished run and one of ``config``: values, or else the data and code it began with."""
    if state.record["config_hash"] != config_hash(config):
        return differing_values(state.record["config"], config)
    return changed_inputs(run_dir, state, config) if state.is_stopped and state.has_checkpoint else []


def _begin_or_resume(
    claim: Claim, state: State, config: dict[str, Any], overrides: list[str], fields: Mapping[str, Any]
) -> bool:
    """Begins or continues a run; returns whether it continues."""
    is_same = state.record["config_hash"] == config_hash(config)
    if state.is_stopped and is_same and state.has_checkpoint:
        _resume(claim, state, config)
        return True
    if state.is_stopped and is_same and state.status != FAILED:
        changed = changed_inputs(claim.run_dir, state, config)
        if not changed:
            _resume(claim, state, config)
            return True
        say(f"changed since the run began: {shortened(changed)}; the run left no checkpoint, so it begins again")
    claim.remove_logs()
    claim.begin(config, overrides, **fields)
    return False


def _resume(claim: Claim, state: State, config: dict[str, Any]) -> None:
    if not state.has_checkpoint:
        claim.remove_logs()
    for text in version_differences(claim.fields, Present()):
        say(f"the run began with {text}: it continues, and its result may differ")
    claim.resume(config=config)
