"""A run's folder: what the run's state is, and the one claim by which its bookkeeping is written. Torch is not needed.

``events.jsonl`` is the truth: one JSON object a line, appended and synced. ``run.json`` is made from it after each
event, for readers, and never read back to decide. :mod:`seqlab.run.events` says what the events amount to,
:mod:`seqlab.run.ownership` who may write them. Everybody may read, at any time, without waiting.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.files import remove_leftovers, write_atomically
from seqlab.run import events as run_events
from seqlab.run import replacement
from seqlab.run.events import (
    ABSENT,
    COMPLETED,
    FAILED,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    History,
    read_lines,
)
from seqlab.run.fields import checked, error_text, shown
from seqlab.run.journal import Journal
from seqlab.run.ownership import PATIENCE, LostClaimError, Ownership, owner_lives, process_name
from seqlab.run.provenance import package_versions, this_process

EVENTS_NAME: Final = "events.jsonl"
RECORD_NAME: Final = "run.json"

_WORKER_ERROR: Final = ".worker-error-"

_ENDS: Final = (COMPLETED, FAILED, INTERRUPTED, PRUNED)


@dataclass(frozen=True)
class State:
    """What a run's events amount to, and whether its owner is there.

    ``record`` has the fields of ``run.json``. A run whose owner is gone without a word is ``interrupted``.
    """

    status: str
    record: dict[str, Any]
    has_checkpoint: bool

    @property
    def is_stopped(self) -> bool:
        """Whether the run began, and neither runs nor has completed."""
        return self.status not in (ABSENT, RUNNING, COMPLETED)

    @property
    def reason(self) -> str:
        """Why the last attempt did not complete, in lines: it could not start, or ended so."""
        last = self.record["attempts"][-1:] or [{}]
        return str(last[0].get("withdrawn") or self.record["error"] or "").strip()


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def events_path(self) -> Path:
        return self.path / EVENTS_NAME

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def replacement(self) -> "RunFolder":
        """Where a new run trains that is to take the place of this one."""
        return RunFolder(self.path / replacement.REPLACEMENT)

    def latest(self) -> "RunFolder":
        """Where the latest attempt in this folder trains: in the replacement, where there is one, or here."""
        return self.replacement if self.replacement.state().status != ABSENT else self

    def drop_replacement(self) -> None:
        """Removes the replacement's folder, where nobody is at work."""
        replacement.drop(self.path)
        replacement.remove_dropped(self.path)

    def settle(self) -> None:
        """Finishes what was cut short: a replacement, or the ``run.json`` of a run that has completed.

        Raises:
            AtWorkError: another process is at work in the run.
            OSError: a file cannot be moved.
        """
        if replacement.is_unfinished(self.path) or self._completed_unshown():
            self.claim().release()

    def _completed_unshown(self) -> bool:
        """Whether a run completed, and was killed before ``run.json`` said so; of others the next claim sees to it."""
        state = self.state()
        try:
            return state.status == COMPLETED and (self.path / RECORD_NAME).read_bytes() != shown(state.record)
        except OSError:
            return True

    def state(self) -> State:
        """The run's state as it is now; it never waits.

        Raises:
            InputError: the events cannot be read, or are no events.
        """
        history = History(self._present_events())
        history.take_lines(read_lines(history.path))
        record = history.record
        status = record["status"]
        if status == RUNNING and not self._owner_lives(record):
            status = INTERRUPTED
            record = {**record, "status": status, "error": gone(record["process"])}
        return State(status, record, self.has_checkpoint())

    def _present_events(self) -> Path:
        """The run's events; where a run was about to take its place, those of the new one."""
        new = self.replacement.events_path
        return new if replacement.is_unfinished(self.path) and new.exists() else self.events_path

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return any((self.checkpoints / name).exists() for name in replacement.CHECKPOINTS)

    def is_old(self) -> bool:
        """Whether an earlier version of seqlab wrote the run, which knew of no events; or they were removed, or cut."""
        return (self.path / RECORD_NAME).exists() and not read_lines(self.events_path)

    def _owner_lives(self, record: Mapping[str, Any]) -> bool:
        try:
            with open(self.events_path, "rb") as file:
                return owner_lives(file.fileno(), record["process"])
        except OSError:
            return True  # nobody can tell

    def claim(self, *, patience: float = PATIENCE, say: Callable[[str], None] = lambda text: None) -> "Claim":
        """Takes the run for this process.

        Args:
            patience: seconds to watch an owner of another machine for.
            say: told why this waits.

        Raises:
            AtWorkError: another process is at work in it.
            InputError: the folder holds a run of an earlier version, or its events are damaged.
            OSError: the folder cannot be written.
        """
        if self.is_old():
            raise InputError(
                f"{self.path} holds a {RECORD_NAME} without {EVENTS_NAME} or with an empty one, as runs of earlier "
                "versions of seqlab do: reports read it, but it can't go on or be replaced; train into another folder"
            )
        while True:
            claim = Claim(self, Ownership.take(self.events_path, patience=patience, say=say))
            try:
                if not replacement.is_unfinished(self.path):
                    claim._clean()
                    return claim
                replacement.finish(self.path)  # the events are those of another file then
            except BaseException:
                claim.release()
                raise
            claim.release()


class Claim:
    """A run that this process owns: the only way to write its events.

    Each method appends one event, synced, and makes ``run.json`` anew. Which events may follow which status is said by
    :data:`seqlab.run.events.TRANSITIONS`.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with RunFolder(folder.name).claim() as claim:
        ...     claim.begin({"model": {"num_layers": 2}, "seed": 1}, ["seed=1"])
        ...     claim.note(num_parameters=4096, device="cpu")
        ...     claim.complete({"val/loss": 1.25, "test/loss": float("inf")}, train_seconds=3.5)
        >>> state = RunFolder(folder.name).state()
        >>> state.status, state.record["metrics"]
        ('completed', {'val/loss': 1.25, 'test/loss': inf})
        >>> folder.cleanup()
    """

    def __init__(self, folder: RunFolder, ownership: Ownership) -> None:
        self.folder = folder
        self.ownership = ownership
        self._journal = Journal(ownership)
        self._was_told = False  # that there is no room for run.json

    @classmethod
    def inherit(cls, path: str | os.PathLike[str], descriptor: int) -> "Claim":
        """The claim of the process that started this one, which left the open events to it.

        Raises:
            InputError: the descriptor is not that of the run's events.
            LostClaimError: another process has taken the run since.
        """
        folder = RunFolder(path)
        claim = cls(folder, Ownership.inherit(folder.events_path, descriptor))
        if claim._journal.read()[-1:] != [claim.ownership.token]:
            claim.ownership.leave()
            raise LostClaimError(f"{path}: another process has taken this run before this one could begin")
        return claim

    def _clean(self) -> None:
        """Puts the folder right, where another process was killed in the middle of a write."""
        self._journal.read()  # before anything is changed: the events may be damaged
        self._journal.end_torn_line()
        for place in (self.folder.path, self.folder.checkpoints):
            remove_leftovers(place)
        for path in self.run_dir.glob(f"{_WORKER_ERROR}*"):
            path.unlink(missing_ok=True)
        replacement.remove_dropped(self.run_dir)
        if self.status == RUNNING:
            self._append("abandon", error=gone(self._record["process"]))
        elif self._is_stale():
            self._show()

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def run_dir(self) -> Path:
        return self.folder.path

    @property
    def _record(self) -> dict[str, Any]:
        return self._journal.history.record

    @property
    def status(self) -> str:
        return str(self._record["status"])

    def state(self) -> State:
        """The run's state, as its owner sees it."""
        return State(self.status, self.fields, self.folder.has_checkpoint())

    @property
    def fields(self) -> dict[str, Any]:
        """A copy of the record as it stands, with what others who hold this claim have written.

        Beside what ``run.json`` shows it has ``trains``, whether the attempt has come to training, and
        ``worker_error``, why a worker process failed.
        """
        self._journal.read_new()
        return {**self._record, "worker_error": self._worker_error()}

    def fileno(self) -> int:
        """The open events, to be left to a child: as long as it lives, it holds the claim."""
        return self.ownership.descriptor

    def check_owner(self) -> None:
        """Does nothing as long as the run is this process's own: to be asked before anything is put into its folder.

        Raises:
            LostClaimError: it has been taken by another, or its folder was removed or moved.
        """
        self._journal.check_owner()

    def release(self) -> None:
        """Gives the run back. A child that the claim was left to holds it on; a run without an end is interrupted."""
        self.ownership.release()

    # Events

    def begin(self, config: dict[str, Any], overrides: Sequence[str], **fields: Any) -> None:
        """Starts the run from nothing.

        Args:
            config: the resolved configuration as plain containers.
            overrides: the command line's, as given.
            **fields: more of the record, such as ``parent``.

        Raises:
            TransitionError: it runs, or has completed.
            TypeError: ``config`` is not a plain dict, or holds what JSON cannot.
        """
        if not isinstance(config, dict):
            kind = type(config).__name__
            raise TypeError(f"config: expected a plain dict (OmegaConf.to_container(config, resolve=True)), got {kind}")
        seed = config.get("seed")
        self._append(
            "begin",
            config=config,
            config_hash=config_hash(config),
            overrides=list(overrides),
            seed=seed if type(seed) is int else None,  # one that is no number is told by the run's own process
            places=_places(self.run_dir),
            **_origin(),
            **fields,
        )

    def resume(self, **fields: Any) -> None:
        """Goes on with the run; ``config`` may say otherwise where to compute."""
        self._append("resume", places=_places(self.run_dir), **_origin(), **fields)

    def note(self, **fields: Any) -> None:
        """Sets fields of the record, some of :data:`seqlab.run.events.NOTED`.

        Raises:
            TypeError: another field is named, or a value is of the wrong type.
            ValueError: ``checkpoint`` (absolute, or relative to the run's folder) does not exist or lies elsewhere.
        """
        self._append("note", **checked(fields, self.run_dir))

    def complete(
        self, metrics: Mapping[str, float], checkpoint: str | os.PathLike[str] | None = None, **fields: Any
    ) -> None:
        """Ends the run well, with its metrics, the checkpoint they belong to, and any field that `note` takes."""
        self._append("complete", **checked({**fields, "metrics": metrics, "checkpoint": checkpoint}, self.run_dir))

    def fail(self, error: str | BaseException, **fields: Any) -> None:
        """Ends the run with an error: the last lines of the message, or of the exception's traceback, are kept.

        Of a run that has ended, the first end stands.
        """
        self._end("fail", error=error_text(error), **checked(fields, self.run_dir))

    def interrupt(self, reason: str | None = None, **fields: Any) -> None:
        """Ends the run because it was told to stop, or something from outside ended it; it can go on.

        Of a run that has ended, the first end stands.
        """
        self._end("interrupt", error=reason, **checked(fields, self.run_dir))

    def prune(self, reason: str, **fields: Any) -> None:
        """Ends the run because a search stopped it."""
        self._append("prune", error=reason, **checked(fields, self.run_dir))

    def withdraw(self, reason: str) -> None:
        """Takes the present attempt back, which could not start: the run is what it was before."""
        self._append("withdraw", error=reason)

    def report_worker(self, error: str | BaseException) -> None:
        """Says why a worker process of the run failed; the first to say so is heard.

        In a file of its own: workers may be on other machines, where no two can append to one file.
        """
        with contextlib.suppress(FileExistsError), open(self._worker_file, "x", encoding="utf-8") as file:
            file.write(error_text(error).encode("utf-8", "backslashreplace").decode())

    def _worker_error(self) -> str | None:
        try:
            return self._worker_file.read_text(encoding="utf-8")
        except OSError:
            return None

    @property
    def _worker_file(self) -> Path:
        return self.run_dir / f"{_WORKER_ERROR}{self.ownership.token}.txt"

    # Writing

    def _end(self, event: str, **fields: Any) -> None:
        self._journal.read_new()
        if self._journal.is_lost or self.status not in _ENDS:
            self._append(event, **fields)

    def _append(self, event: str, **fields: Any) -> None:
        """Appends an event, synced, and makes ``run.json`` anew.

        Of those who hold the claim one writes at a time: the process that trains, and before and after it the one that
        started it.
        """
        self._journal.append(event, fields)
        self._show()

    def _show(self) -> None:
        """Makes ``run.json`` anew; where there is no room, readers go by the events, and the next claim does it."""
        try:
            if self.status == ABSENT:
                (self.run_dir / RECORD_NAME).unlink(missing_ok=True)
            else:
                write_atomically(self.run_dir / RECORD_NAME, shown(self._record))
        except OSError as error:
            if self._was_told:
                return
            self._was_told = True
            print(
                f"seqlab: {self.run_dir / RECORD_NAME} could not be written ({error.strerror}); {EVENTS_NAME} has all "
                "of it, and the next command in this folder makes it anew",
                file=sys.stderr,
                flush=True,
            )

    def _is_stale(self) -> bool:
        """Whether ``run.json`` is not what the events amount to: a writer was killed between the two."""
        try:
            return (self.run_dir / RECORD_NAME).read_bytes() != shown(self._record)
        except OSError:
            return self.status != ABSENT

    # The folder

    def forget_logs(self) -> None:
        """Removes TensorBoard's events of an attempt that left no checkpoint: its steps are logged again."""
        for path in self.run_dir.glob("events.out.tfevents.*"):
            path.unlink(missing_ok=True)

    def replace(self) -> None:
        """Puts the completed run of the replacement's folder into the place of this one, whose files it removes.

        Files that are not the run's own stay. Cut short at any moment, the next claim finishes it. The claim of the
        replacement must have been given back.

        Raises:
            TransitionError: the replacement has not completed.
        """
        status = self.folder.replacement.state().status
        if status != COMPLETED:
            raise run_events.TransitionError(f"a run that is {status} cannot replace another")
        replacement.replace(self.run_dir, self._record)


def start_run(
    run_dir: str | os.PathLike[str], config: dict[str, Any], overrides: Sequence[str] = (), **fields: Any
) -> Claim:
    """Claims a folder, which is made if need be, and begins a run in it, for one that trains in this process.

    Raises:
        AtWorkError: another process is at work in it.
        InputError: it holds a run that has completed, or can go on.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with start_run(folder.name, {"seed": 1}) as claim:
        ...     claim.fail("broken")
        >>> RunFolder(folder.name).state().record["error"]
        'broken'
        >>> folder.cleanup()
    """
    claim = RunFolder(run_dir).claim()
    try:
        if claim.status == COMPLETED or claim.folder.has_checkpoint():
            raise InputError(f"{run_dir} holds a run, {claim.status}; take another folder, or remove it")
        claim.begin(config, overrides, **fields)
    except BaseException:
        claim.release()
        raise
    return claim


class WorkerClaim(Claim):
    """The claim as a worker process (rank > 0) of the run shares it, on whichever machine: to read, and to say why it
    failed. The rest is the first process's to note."""

    @classmethod
    def share(cls, path: str | os.PathLike[str]) -> "WorkerClaim":
        """Shares the claim of whoever is at work in a run.

        Raises:
            InputError: nobody is.
        """
        folder = RunFolder(path)
        claim = cls(folder, Ownership.share(folder.events_path))
        claim._journal.read()
        return claim

    def note(self, **fields: Any) -> None:
        """Checks the fields alone."""
        checked(fields, self.run_dir)

    def _append(self, event: str, **fields: Any) -> None:
        raise run_events.TransitionError(f"a worker process cannot write {event!r}: the first process of the run does")


def gone(owner: Mapping[str, Any]) -> str:
    """What is said of a run whose owner is gone."""
    return f"{process_name(owner)} is gone and wrote no end"


def _places(run_dir: Path) -> dict[str, str]:
    """Where the run and the working folder lie, from which its data is found again should all move together."""
    if run_dir.name == replacement.REPLACEMENT:  # it will lie in the place of the run that it replaces
        run_dir = run_dir.parent
    return {"run_folder": os.path.abspath(run_dir), "working_folder": os.getcwd()}


def _origin() -> dict[str, Any]:
    return {"versions": package_versions(), "process": this_process()}
