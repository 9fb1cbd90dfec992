"""Which jobs of a sweep have a run already, and whether that run's code or data has changed. Torch is not needed.

This is decided before any job starts, mostly without composing a configuration: :class:`seqlab.sweep.memo.Memo`
remembers what jobs were composed to. A job is composed only if it is not remembered and a run in the folder could be
its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.run.comparison import Differences, Present, compare
from seqlab.run.events import COMPLETED
from seqlab.run.folder import RunFolder
from seqlab.run.parents import INIT_FROM
from seqlab.run.state import State
from seqlab.sweep.memo import ComposedJob, Memo, places_hash
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.progress import name_of

_MAX_NAMED: Final = 4

Compose = Callable[[PlannedJob], tuple[str, dict[str, Any]]]
"""Composes a job: to the name of its folder, and its resolved configuration."""


@dataclass(frozen=True)
class ExistingRun:
    """The run that a job has already.

    Attributes:
        job: the job.
        folder: the name of the run's folder.
        state: the run's state.
        differences: how the run differs from one that would begin now.
    """

    job: PlannedJob
    folder: str
    state: State
    differences: Differences

    @property
    def is_complete(self) -> bool:
        return self.state.status == COMPLETED

    @property
    def has_changed(self) -> bool:
        """Whether its code or data has changed, so that it is not this job's run any more."""
        return bool(self.differences.blocking)


def find_existing_runs(
    sweep_dir: Path, jobs: Sequence[PlannedJob], keys: Mapping[int, str], memo: Memo, compose: Compose, present: Present
) -> list[ExistingRun]:
    """Finds the runs of a sweep's jobs that have completed, or can continue from a checkpoint.

    Args:
        sweep_dir: the sweep's folder.
        jobs: all its jobs.
        keys: the key of each job in the memo, by the job's number; empty if nothing can be remembered.
        memo: what jobs were composed to.
        compose: composes a job.
        present: the code, data and versions of this process.
    """
    states = read_states(sweep_dir)
    remembered = {job.number: _recall(memo, keys, job, states) for job in jobs}
    unclaimed = states.keys() - {composed.folder for composed in remembered.values() if composed is not None}
    runs = []
    for job in jobs:
        composed, config = remembered[job.number], None
        if unclaimed and (composed is None or composed.folder not in states):  # the job's folder may have a new name
            try:
                folder, config = compose(job)
            except InputError:
                continue  # the job itself will report it
            composed = ComposedJob.of(keys.get(job.number, ""), folder, config)
            if composed.key:
                memo.remember(composed)
        if composed is None or composed.folder not in states:
            continue
        state = states[composed.folder]
        if state.record["config_hash"] == composed.config_hash:
            differences = compare(state.record, present, config=config, run_dir=sweep_dir / composed.folder)
            runs.append(ExistingRun(job, composed.folder, state, differences))
    return runs


def read_states(sweep_dir: Path) -> dict[str, State]:
    """The states of the runs in a folder that have completed or can continue, by the names of their folders."""
    states = {}
    for path in sorted(sweep_dir.glob("*/events.jsonl")):
        try:
            state = RunFolder(path.parent).state()
        except InputError:
            continue  # the job itself will report it
        if state.is_worth_keeping:
            states[path.parent.name] = state
    return states


def _recall(memo: Memo, keys: Mapping[int, str], job: PlannedJob, states: Mapping[str, State]) -> ComposedJob | None:
    """What the job was composed to; None if it has to be composed again."""
    composed = memo.recall(keys[job.number]) if job.number in keys else None
    if composed is None:
        return None
    state = states.get(composed.folder)
    if state is None:
        return composed
    # Only a composed configuration tells whether the initial weights have changed, and where the data would be read
    # from now if that is another place.
    config = state.record["config"]
    return None if config.get(INIT_FROM) or places_hash(config) != composed.places else composed


def describe_changes(runs: Iterable[ExistingRun]) -> str:
    """The blocking differences of runs in one line, each with the jobs that it concerns."""
    names_by_text: dict[str, list[str]] = {}
    for run in runs:
        names_by_text.setdefault("; ".join(run.differences.blocking), []).append(name_of(run.folder))
    return "; ".join(f"{_first_names(names)}: {text}" for text, names in names_by_text.items())


def describe_notices(runs: Iterable[ExistingRun]) -> list[str]:
    """The other differences of runs, a line for each, with the jobs that it concerns."""
    names_by_text: dict[str, list[str]] = {}
    for run in runs:
        for text in run.differences.notices:
            names_by_text.setdefault(text, []).append(name_of(run.folder))
    return [f"{_first_names(names)}: by {text}" for text, names in names_by_text.items()]


def _first_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if names[_MAX_NAMED:] else ""
    return ", ".join(names[:_MAX_NAMED]) + more
