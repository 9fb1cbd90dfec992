"""The claim on a run: the only way to write its events. Torch is not needed."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from seqlab.config.hash import config_hash
from seqlab.files import remove_leftovers
from seqlab.run import replacement
from seqlab.run.events import COMPLETED, FAILED, INTERRUPTED, PRUNED, RUNNING, TransitionError
from seqlab.run.fields import check_fields, last_lines, plain
from seqlab.run.journal import Journal
from seqlab.run.layout import EVENTS_NAME, REPLACEMENT, checkpoint_folder
from seqlab.run.ownership import LostClaimError, Ownership
from seqlab.run.provenance import package_versions, this_process
from seqlab.run.record import RecordFile
from seqlab.run.state import State, has_checkpoint, owner_gone, read_state

_WORKER_ERROR: Final = ".worker-error-"
_ENDED: Final = (COMPLETED, FAILED, INTERRUPTED, PRUNED)


class Claim:
    """A run that this process owns: the only way to write its events.

    Each method that writes appends one event, synced to disk, and writes ``run.json`` anew.
    :data:`seqlab.run.events.TRANSITIONS` says which event may follow which status.

    Only one holder of the claim writes at a time: the process that trains, and before and after it the process that
    started it.

    Example:
        >>> import tempfile
        >>> from seqlab.run.folder import RunFolder
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

    def __init__(self, run_dir: Path, ownership: Ownership) -> None:
        self.run_dir = run_dir
        self.ownership = ownership
        self._journal = Journal(ownership)
        self._record_file = RecordFile(run_dir)

    @classmethod
    def inherit(cls, path: str | os.PathLike[str], descriptor: int) -> "Claim":
        """The claim of the parent process, which left its open events file to this process.

        Args:
            path: the run's folder.
            descriptor: the open events file.

        Raises:
            InputError: the descriptor is not the run's events file.
            LostClaimError: another process has taken the run since.
        """
        run_dir = Path(path)
        claim = cls(run_dir, Ownership.inherit(run_dir / EVENTS_NAME, descriptor))
        if claim._journal.read()[-1:] != [claim.ownership.token]:
            claim.ownership.leave()
            raise LostClaimError(f"{path}: another process took this run before this one could begin")
        return claim

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    # State

    @property
    def _record(self) -> dict[str, Any]:
        return self._journal.history.record

    @property
    def status(self) -> str:
        return str(self._record["status"])

    def state(self) -> State:
        """The run's state, as its owner sees it."""
        return State(self.status, self.fields, has_checkpoint(self.run_dir))

    @property
    def fields(self) -> dict[str, Any]:
        """A copy of the record, including what other holders of this claim have written.

        Beyond the fields of ``run.json`` it has ``trains`` (whether the attempt has come as far as training) and
        ``worker_error`` (why a worker process failed).
        """
        self._journal.read_new()
        return {**self._record, "worker_error": self._worker_error()}

    # Ownership

    def fileno(self) -> int:
        """The open events file, to be left to a child: the child holds the claim as long as it lives."""
        return self.ownership.descriptor

    def check_owner(self) -> None:
        """Checks that this process still owns the run. Call it before anything is put into the run's folder.

        Raises:
            LostClaimError: another process has taken the run, or its folder was removed or moved.
        """
        self._journal.check_owner()

    def release(self) -> None:
        """Gives up the claim. A child that the claim was left to still holds it; a run without an end is
        interrupted."""
        self.ownership.release()

    # Events

    def begin(self, config: dict[str, Any], overrides: Sequence[str], **fields: Any) -> None:
        """Begins the run from scratch.

        Args:
            config: the resolved configuration as plain containers.
            overrides: the overrides of the command line, as typed.
            **fields: further fields of the record, such as ``parent``.

        Raises:
            TransitionError: the run is running, or has completed.
            TypeError: ``config`` is not a plain dict, or holds what JSON cannot express.
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
            seed=seed if type(seed) is int else None,  # the run's own process refuses a seed that is not a number
            places=_places(self.run_dir),
            **_origin(),
            **fields,
        )

    def resume(self, **fields: Any) -> None:
        """Continues the run; ``config`` may change where it computes."""
        self._append("resume", places=_places(self.run_dir), **_origin(), **fields)

    def note(self, **fields: Any) -> None:
        """Sets fields of the record, out of :data:`seqlab.run.events.SETTABLE`.

        Raises:
            TypeError: a field is not settable, or a value has the wrong type.
            ValueError: ``checkpoint`` (absolute, or relative to the run's folder) does not exist or is elsewhere.
        """
        self._append("note", **check_fields(fields, self.run_dir))

    def complete(
        self, metrics: Mapping[str, float], checkpoint: str | os.PathLike[str] | None = None, **fields: Any
    ) -> None:
        """Ends the run as completed.

        Args:
            metrics: the final metrics by name.
            checkpoint: the checkpoint that the metrics belong to.
            **fields: further fields, as for :meth:`note`.
        """
        self._append("complete", **check_fields({**fields, "metrics": metrics, "checkpoint": checkpoint}, self.run_dir))

    def fail(self, error: str | BaseException, **fields: Any) -> None:
        """Ends the run as failed, unless it has ended already.

        The last lines of the message, or of the exception's traceback, are kept.
        """
        self._end("fail", error=last_lines(error), **check_fields(fields, self.run_dir))

    def interrupt(self, reason: str | None = None, **fields: Any) -> None:
        """Ends the run as interrupted from outside, unless it has ended already; it can continue later."""
        self._end("interrupt", error=reason, **check_fields(fields, self.run_dir))

    def pause(self, rung: Mapping[str, Any]) -> None:
        """Ends the run's attempt at a rung, where its sweep compares it with others; it can continue from there.

        Args:
            rung: ``share`` of the training that the rung is at, ``step`` of ``steps`` that the run has trained, and
                ``value`` of the judged metric.
        """
        reason = f"paused at step {rung['step']} of {rung['steps']}, where its sweep compares it with others"
        self._append("pause", error=reason, rung=plain(rung))

    def prune(self, reason: str, **fields: Any) -> None:
        """Ends the run, or one that is paused, because a search stopped it."""
        self._append("prune", error=reason, **check_fields(fields, self.run_dir))

    def withdraw(self, reason: str) -> None:
        """Takes back an attempt that could not start: the run's status is again what it was before the attempt."""
        self._append("withdraw", error=reason)

    def _end(self, event: str, **fields: Any) -> None:
        self._journal.read_new()
        if self._journal.is_lost or self.status not in _ENDED:
            self._append(event, **fields)

    def _append(self, event: str, **fields: Any) -> None:
        self._journal.append(event, fields)
        self._record_file.write(self._record)

    # Errors of worker processes

    def report_worker(self, error: str | BaseException) -> None:
        """Notes why a worker process failed; only the first such report is kept.

        Each report is a file of its own: workers may be on several machines, which cannot append to one file.
        """
        with contextlib.suppress(FileExistsError), open(self._worker_file, "x", encoding="utf-8") as file:
            file.write(last_lines(error).encode("utf-8", "backslashreplace").decode())

    def _worker_error(self) -> str | None:
        try:
            return self._worker_file.read_text(encoding="utf-8")
        except OSError:
            return None

    @property
    def _worker_file(self) -> Path:
        return self.run_dir / f"{_WORKER_ERROR}{self.ownership.token}.txt"

    # The folder

    def clean_up(self) -> None:
        """Repairs the folder after a process that was killed in the middle of a write."""
        self._journal.read()  # first of all: if the events are damaged, nothing may be changed
        self._journal.end_torn_line()
        for folder in (self.run_dir, checkpoint_folder(self.run_dir)):
            remove_leftovers(folder)
        for path in self.run_dir.glob(f"{_WORKER_ERROR}*"):
            path.unlink(missing_ok=True)
        replacement.remove_dropped(self.run_dir)
        if self.status == RUNNING:
            self._append("abandon", error=owner_gone(self._record["process"]))
        elif self._record_file.is_stale(self._record):
            self._record_file.write(self._record)

    def remove_logs(self) -> None:
        """Removes the TensorBoard files of an attempt that left no checkpoint: its steps are logged again."""
        for path in self.run_dir.glob("events.out.tfevents.*"):
            path.unlink(missing_ok=True)

    def replace(self) -> None:
        """Replaces this run by the completed run in its replacement folder.

        The files of this run are removed, the user's own files stay. If this is cut short, the next claim finishes it.
        The claim on the replacement must have been released.

        Raises:
            TransitionError: the replacement has not completed.
        """
        status = read_state(self.run_dir / REPLACEMENT).status
        if status != COMPLETED:
            raise TransitionError(f"a run that is {status} cannot replace another")
        replacement.replace(self.run_dir, self._record)


def _places(run_dir: Path) -> dict[str, str]:
    """The run's folder and the working folder. If they move together with the data, the data is found again."""
    if run_dir.name == REPLACEMENT:  # the run will move to the folder of the run that it replaces
        run_dir = run_dir.parent
    return {"run_folder": os.path.abspath(run_dir), "working_folder": os.getcwd()}


def _origin() -> dict[str, Any]:
    return {"versions": package_versions(), "process": this_process()}
