"""A run's folder: the one place that other modules ask about a run's life. Torch is not needed.

What keeps track of a run's life has three parts, each with a module of its own:

- **the state**, read from ``events.jsonl`` (:mod:`seqlab.run.state`); anybody may read it at any time, without waiting;
- **the table of transitions**: which event may follow which status (:mod:`seqlab.run.events`);
- **the claim**: the only way to write events (:mod:`seqlab.run.claim`); :meth:`RunFolder.claim` takes it.

``run.json`` is written anew after each event, for readers. No decision is ever based on it.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.run import replacement
from seqlab.run.claim import Claim
from seqlab.run.events import ABSENT, COMPLETED
from seqlab.run.history import read_lines
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME, REPLACEMENT, checkpoint_folder
from seqlab.run.ownership import PATIENCE, Ownership
from seqlab.run.record import RecordFile
from seqlab.run.state import State, has_checkpoint, read_state


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def events_path(self) -> Path:
        return self.path / EVENTS_NAME

    @property
    def checkpoints(self) -> Path:
        return checkpoint_folder(self.path)

    @property
    def replacement(self) -> "RunFolder":
        """The subfolder in which a new run trains until it completes and replaces this one."""
        return RunFolder(self.path / REPLACEMENT)

    def latest(self) -> "RunFolder":
        """The folder of the latest attempt: the replacement if there is one, else this folder."""
        return self.replacement if self.replacement.state().status != ABSENT else self

    def state(self) -> State:
        """The run's state as it is now; see :func:`seqlab.run.state.read_state`."""
        return read_state(self.path)

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return has_checkpoint(self.path)

    def is_old(self) -> bool:
        """Whether there is a ``run.json`` without events: an earlier version of seqlab wrote it, or the events were
        removed."""
        return (self.path / RECORD_NAME).exists() and not read_lines(self.events_path)

    def claim(self, *, patience: float = PATIENCE, notify: Callable[[str], None] = lambda text: None) -> Claim:
        """Takes ownership of the run for this process, and finishes what a killed process left half done.

        Args:
            patience: seconds to watch an owner on another machine for signs of life.
            notify: called with the reason before this has to wait.

        Raises:
            AtWorkError: another process owns the run.
            InputError: the folder holds a run of an earlier version, or its events are damaged.
            OSError: the folder cannot be written.
        """
        if self.is_old():
            raise InputError(
                f"{self.path} holds a {RECORD_NAME} without {EVENTS_NAME} or with an empty one, as runs of earlier "
                "versions of seqlab do: reports read it, but it can't be resumed or replaced; train into another folder"
            )
        while True:
            claim = Claim(self.path, Ownership.take(self.events_path, patience=patience, notify=notify))
            try:
                if not replacement.is_unfinished(self.path):
                    claim.clean_up()
                    return claim
                replacement.finish(self.path)  # this replaces the events file, so it has to be claimed again
            except BaseException:
                claim.release()
                raise
            claim.release()

    def repair(self) -> None:
        """Finishes an unfinished replacement, or the missing ``run.json`` of a completed run.

        Raises:
            AtWorkError: another process owns the run.
            OSError: a file cannot be moved.
        """
        if replacement.is_unfinished(self.path) or self._has_stale_record():
            self.claim().release()

    def _has_stale_record(self) -> bool:
        """Whether the run completed, but its process was killed before it wrote ``run.json``.

        Any other run is repaired by its next claim. Of a completed one there may never be another.
        """
        state = self.state()
        return state.status == COMPLETED and RecordFile(self.path).is_stale(state.record)

    def drop_replacement(self) -> None:
        """Removes the replacement's folder. No process may be at work in it."""
        replacement.drop(self.path)
        replacement.remove_dropped(self.path)


def start_run(
    run_dir: str | os.PathLike[str], config: dict[str, Any], overrides: Sequence[str] = (), **fields: Any
) -> Claim:
    """Claims a folder, creating it if needed, and begins a run in it that trains in this process.

    Args:
        run_dir: the run's folder.
        config: the resolved configuration as plain containers.
        overrides: the overrides of the command line.
        **fields: further fields of the record, such as ``parent``.

    Returns:
        The claim, to be released when the run has ended.

    Raises:
        AtWorkError: another process owns the run.
        InputError: the folder holds a run that has completed or can continue.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with start_run(folder.name, {"seed": 1}) as claim:
        ...     claim.fail("broken")
        >>> RunFolder(folder.name).state().record["error"]
        'broken'
        >>> folder.cleanup()
    """
    run = RunFolder(run_dir)
    claim = run.claim()
    try:
        if claim.status == COMPLETED or run.has_checkpoint():
            raise InputError(f"{run_dir} holds a run, {claim.status}; take another folder, or remove it")
        claim.begin(config, overrides, **fields)
    except BaseException:
        claim.release()
        raise
    return claim
