"""Learning curves of the runs that a report counts, from their TensorBoard event files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.report.configs import near_hint
from seqlab.report.events import read_events
from seqlab.report.groups import Group, Report
from seqlab.report.labels import runs_text, shortened
from seqlab.report.means import is_finite

Points = dict[int, float]
"""Step to value."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One metric's curves of the runs of each group, in the report's order; ``note`` names the runs without a curve."""

    metric: str
    groups: list[tuple[Group, list[Points]]]
    note: str | None


@dataclass(frozen=True, slots=True)
class Band:
    """Mean and sample deviation of several curves, at each step of any of them within the range that all cover."""

    steps: Any
    means: Any
    deviations: Any


def read_curves(report: Report, metric: str | None = None) -> Curves:
    """Reads one metric of every run in the report.

    Args:
        report: Names the runs and their folders.
        metric: As in TensorBoard; None takes the report's metric on validation, else ``val/loss``.

    Raises:
        InputError: No run has such a curve, or an event file cannot be read.
    """
    if not report.groups:
        raise InputError("--curves: nothing to draw, since no run is counted")
    choices = [metric] if metric is not None else [f"val/{report.metric.rpartition('/')[2]}", "val/loss"]
    tags: set[str] = set()
    scalars: dict[str, dict[str, Points]] = {}
    for run in (run for group in report.groups for run in group.runs):
        all_of_run = read_scalars(run.path)
        tags |= set(all_of_run)
        # Only these: all scalars of all runs would take a hundred times the memory.
        scalars[run.path] = {name: all_of_run[name] for name in choices if name in all_of_run}
    metric = next((name for name in choices if name in tags), choices[0])
    if metric not in tags:
        hint = near_hint(metric, tags) if tags else "; they have no events at all: was logger=none set?"
        raise InputError(f"--curves: no counted run has TensorBoard events of {metric!r}{hint}")
    groups, without = [], []
    for group in report.groups:
        curves = [scalars[run.path].get(metric, {}) for run in group.runs]
        without += [run.path for run, curve in zip(group.runs, curves, strict=True) if not curve]
        groups.append((group, [curve for curve in curves if curve]))
    note = None
    if without:
        count = f"{runs_text(len(without))} of {len(scalars)}"
        note = f"No TensorBoard events of {metric} in {count}: {shortened(without, limit=2)}."
    return Curves(metric, groups, note)


def read_scalars(folder: str) -> dict[str, Points]:
    """The finite scalars in a run's event files: tag to points, in the order of steps.

    A resumed run has several files. Where a later file repeats steps of an earlier one, only the later counts, as in
    TensorBoard. A file whose writer was killed is read up to its last whole event.
    """
    scalars: dict[str, Points] = {}
    for path in sorted(Path(folder).glob("events.out.tfevents.*"), key=_start_time):
        tags_of_file: set[str] = set()
        for tag, step, value in _scalars(path):
            points = scalars.setdefault(tag, {})
            if tag not in tags_of_file:
                tags_of_file.add(tag)
                for later in [each for each in points if each >= step]:
                    del points[later]
            if is_finite(value):
                points[step] = value
    return {tag: dict(sorted(points.items())) for tag, points in scalars.items() if points}


def band_of(curves: Sequence[Points]) -> Band | None:
    """The average of curves, interpolated between their points; None where no step is within the range of all.

    There is no average beyond the end of the shortest curve: the mean of the others would jump there.
    """
    import numpy as np

    if not curves:
        return None
    first, last = max(min(curve) for curve in curves), min(max(curve) for curve in curves)
    steps = sorted({step for curve in curves for step in curve if first <= step <= last})
    if not steps:
        return None
    values = np.array([np.interp(steps, list(curve), list(curve.values())) for curve in curves])
    spread = values.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(len(steps))
    return Band(np.array(steps), values.mean(axis=0), spread)


def _start_time(path: Path) -> tuple[int, str]:
    """The time when a file was begun, which is part of its name, and the name."""
    match = re.search(r"tfevents\.(\d+)", path.name)
    return int(match[1]) if match else 0, path.name


def _scalars(path: Path) -> Iterator[tuple[str, int, float]]:
    """The tag, step and value of each scalar in an event file."""
    for event in read_events(path):
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            if kind == "simple_value":
                yield value.tag, event.step, value.simple_value
            elif kind == "tensor" and value.metadata.plugin_data.plugin_name == "scalars":
                from tensorboard.util.tensor_util import make_ndarray

                yield value.tag, event.step, float(make_ndarray(value.tensor).item())
