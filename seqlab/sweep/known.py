"""Which jobs of a sweep have a run already, and of which the code or the data is other now. Torch is not needed.

All this is found out before any job starts, and mostly without composing a configuration: by what
:class:`seqlab.sweep.plan.Memo` remembers. A job is composed only where it is not remembered and there are runs in the
folder that could be its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.run.events import ABSENT, COMPLETED, RUNNING
from seqlab.run.folder import RunFolder, State
from seqlab.run.parents import INIT_FROM
from seqlab.run.same import Differences, Now, differences
from seqlab.sweep.plan import Composed, Memo, PlannedJob, places_hash
from seqlab.sweep.progress import name_of

_MAX_NAMED: Final = 4

Compose = Callable[[PlannedJob], tuple[str, dict[str, Any]]]
"""Composes a job: the name of its folder, and its resolved configuration."""


@dataclass(frozen=True)
class KnownJob:
    """A job that has a run already."""

    job: PlannedJob
    folder: str
    state: State
    differences: Differences

    @property
    def is_complete(self) -> bool:
        return self.state.status == COMPLETED

    @property
    def has_changed(self) -> bool:
        """Whether the run is of other code or data, so that it is not this job's."""
        return bool(self.differences.decides)


def known_jobs(
    sweep_dir: Path, jobs: Sequence[PlannedJob], keys: Mapping[int, str], memo: Memo, compose: Compose, now: Now
) -> list[KnownJob]:
    """The jobs that have a run with something to keep: it has completed, or can go on from a checkpoint.

    Args:
        sweep_dir: the folder of the sweep.
        jobs: all of its jobs.
        keys: what the memo knows each job by, by its number; empty where nothing can be remembered.
        memo: what is remembered.
        compose: composes a job.
        now: what a run would be the result of.
    """
    states = states_below(sweep_dir)
    remembered = {job.number: _recall(memo, keys, job, states) for job in jobs}
    unclaimed = states.keys() - {composed.folder for composed in remembered.values() if composed is not None}
    known = []
    for job in jobs:
        composed, config = remembered[job.number], None
        if (composed is None or composed.folder not in states) and unclaimed:  # whose folder may have another name now
            try:
                folder, config = compose(job)
            except InputError:
                continue  # the job itself will say so
            composed = Composed.of(keys.get(job.number, ""), folder, config)
            if composed.key:
                memo.remember(composed)
        if composed is None or composed.folder not in states:
            continue
        state = states[composed.folder]
        if state.record["config_hash"] == composed.config_hash:
            run_dir = sweep_dir / composed.folder
            found = differences(state.record, now, config=config, run_dir=run_dir)
            known.append(KnownJob(job, composed.folder, state, found))
    return known


def states_below(sweep_dir: Path) -> dict[str, State]:
    """The runs in a folder that have something to keep, by their folders' names."""
    states = {}
    for path in sorted(sweep_dir.glob("*/events.jsonl")):
        try:
            state = RunFolder(path.parent).state()
        except InputError:
            continue  # the job itself will say so
        if state.status == COMPLETED or (state.status not in (ABSENT, RUNNING) and state.has_checkpoint):
            states[path.parent.name] = state
    return states


def _recall(memo: Memo, keys: Mapping[int, str], job: PlannedJob, states: Mapping[str, State]) -> Composed | None:
    composed = memo.recall(keys[job.number]) if job.number in keys else None
    if composed is None:
        return None
    state = states.get(composed.folder)
    if state is None:
        return composed
    # Whether the weights that a run began with are the same is seen where its configuration is composed, and so is
    # where the data lies that it would read now, should that be another place.
    before = state.record["config"]
    return None if before.get(INIT_FROM) or places_hash(before) != composed.places else composed


def changes_line(changed: Iterable[KnownJob]) -> str:
    """What differs and of which jobs, in one line."""
    by_text: dict[str, list[str]] = {}
    for known in changed:
        by_text.setdefault("; ".join(known.differences.decides), []).append(name_of(known.folder))
    return "; ".join(f"{_named(names)}: {text}" for text, names in by_text.items())


def said_lines(known: Iterable[KnownJob]) -> list[str]:
    """What else is other now, and only said: a line for each difference."""
    by_text: dict[str, list[str]] = {}
    for job in known:
        for text in job.differences.said:
            by_text.setdefault(text, []).append(name_of(job.folder))
    return [f"{_named(names)}: by {text}" for text, names in by_text.items()]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if names[_MAX_NAMED:] else ""
    return ", ".join(names[:_MAX_NAMED]) + more
