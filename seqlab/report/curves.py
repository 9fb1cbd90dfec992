"""Learning curves of the runs that a report counts, from their TensorBoard event files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.report.configs import near
from seqlab.report.events import read_events
from seqlab.report.groups import Group, Report
from seqlab.report.means import is_finite
from seqlab.report.warn import some, told

Points = dict[int, float]
"""Step to value."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One metric's curve of each run that has one, by groups in the report's order; ``note``: which runs have none."""

    metric: str
    groups: list[tuple[Group, list[Points]]]
    note: str | None


@dataclass(frozen=True, slots=True)
class Band:
    """Mean and sample deviation of several curves at each step that any of them has, where all of them run."""

    steps: Any
    means: Any
    deviations: Any


def read_curves(report: Report, metric: str | None = None) -> Curves:
    """Read one metric of every run in the report.

    Args:
        report: Whose runs; the folders that it found them in are read.
        metric: As in TensorBoard; None takes the report's metric on validation, else ``val/loss``.

    Raises:
        InputError: No run has such a curve, or an event file cannot be read.
    """
    if not report.groups:
        raise InputError("--curves: nothing to draw, since no run is counted")
    wishes = [metric] if metric is not None else [f"val/{report.metric.rpartition('/')[2]}", "val/loss"]
    known: set[str] = set()
    scalars: dict[str, dict[str, Points]] = {}
    for run in (run for group in report.groups for run in group.runs):
        found = read_scalars(run.path)
        known |= set(found)
        # The others would take a hundred times the memory.
        scalars[run.path] = {wish: found[wish] for wish in wishes if wish in found}
    metric = next((wish for wish in wishes if wish in known), wishes[0])
    if metric not in known:
        hint = near(metric, known) if known else "; they have no events at all: was logger=none set?"
        raise InputError(f"--curves: no counted run has TensorBoard events of {metric!r}{hint}")
    groups, without = [], []
    for group in report.groups:
        curves = [scalars[run.path].get(metric, {}) for run in group.runs]
        without += [run.path for run, curve in zip(group.runs, curves, strict=True) if not curve]
        groups.append((group, [curve for curve in curves if curve]))
    note = None
    if without:
        note = f"No TensorBoard events of {metric} in {told(len(without))} of {len(scalars)}: {some(without, limit=2)}."
    return Curves(metric, groups, note)


def read_scalars(folder: str) -> dict[str, Points]:
    """The finite scalars in a run's event files: tag to points, in the order of steps.

    A resumed run has several files. What an earlier one tells of steps that a later one went through again is left
    out, as TensorBoard does it. A file whose writer was killed is read up to its last whole event.
    """
    scalars: dict[str, Points] = {}
    for path in sorted(Path(folder).glob("events.out.tfevents.*"), key=_begun):
        begun: set[str] = set()
        for tag, step, value in _scalars(path):
            points = scalars.setdefault(tag, {})
            if tag not in begun:
                begun.add(tag)
                for later in [known for known in points if known >= step]:
                    del points[later]
            if is_finite(value):
                points[step] = value
    return {tag: dict(sorted(points.items())) for tag, points in scalars.items() if points}


def band_of(curves: Sequence[Points]) -> Band | None:
    """Average curves, interpolated between their points; None where there is no step that all of them have reached.

    Beyond the end of the shortest there is no mean: the mean of those that go on would jump.
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


def _begun(path: Path) -> tuple[int, str]:
    """When a file was begun, which its name tells, and its name."""
    found = re.search(r"tfevents\.(\d+)", path.name)
    return int(found[1]) if found else 0, path.name


def _scalars(path: Path) -> Iterator[tuple[str, int, float]]:
    for event in read_events(path):
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            if kind == "simple_value":
                yield value.tag, event.step, value.simple_value
            elif kind == "tensor" and value.metadata.plugin_data.plugin_name == "scalars":
                from tensorboard.util.tensor_util import make_ndarray

                yield value.tag, event.step, float(make_ndarray(value.tensor).item())
