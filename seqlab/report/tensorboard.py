"""A comparison for TensorBoard: rows of its HParams tab, a layout of its Custom Scalars tab, curves of groups.

The files that are written, and replaced each time:

- ``RUN/events.out.tfevents.0.seqlab`` in each run's folder: the run's row. TensorBoard keeps the first record of a run,
  and reads the files of a folder in the order of their names, so this record counts and not the run's own. It takes the
  columns from an arbitrary run, so all rows name the same columns.
- ``DIR/groups/GROUP/events.out.tfevents.0.seqlab`` for groups of several runs: their mean curves and the layout.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.report.curves import Band, band_of, read_scalars
from seqlab.report.events import write_events
from seqlab.report.groups import Report
from seqlab.report.hparams import (
    STATUSES,
    columns_of,
    experiment_summary,
    metric_tags,
    row_summaries,
    short_names,
    start_time,
)
from seqlab.report.labels import runs_text
from seqlab.report.layout import LOWER, MEAN, UPPER, is_curve, layout_summary
from seqlab.run.record import RECORD_NAME

FILE_NAME: Final = "events.out.tfevents.0.seqlab"
GROUPS: Final = "groups"
MAX_POINTS: Final = 300
"""The most points of a group's curve: a chart is not much wider in pixels, and each point is written three times."""
MAX_GROUPS: Final = 100

_LONGEST_NAME: Final = 100


def save_for_tensorboard(report: Report, folder: Path) -> str:
    """Writes a comparison of runs for ``tensorboard --logdir FOLDER``.

    Args:
        report: The report. Each of its runs gets a row, whatever its status, and each group gets curves.
        folder: The folder that the report is of; ``groups`` is written into it.

    Returns:
        One line that says what was written.

    Raises:
        InputError: ``folder`` is a run itself, or a file cannot be written.
    """
    if (folder / RECORD_NAME).exists():
        raise InputError(f"--tensorboard: expected a folder with several runs, got a run: {folder}")
    try:
        return _save(report, folder)
    except OSError as error:
        raise InputError(f"--tensorboard: cannot write {error.filename or folder} ({error.strerror})") from None


def remove_row(run_dir: Path) -> None:
    """Removes a run's row, which is out of date once the run is carried out again."""
    (run_dir / FILE_NAME).unlink(missing_ok=True)


def _save(report: Report, folder: Path) -> str:
    curves, tags = _averaged(report)
    averaged = {tag for of_group in curves.values() for tag in of_group.bands}
    tags = tags or _tags(report)
    layout = [layout_summary(tags, averaged)] if tags else []
    for name, of_group in curves.items():
        write_events(folder / GROUPS / name / FILE_NAME, _group_events(of_group, layout))
    _remove_groups(folder / GROUPS, keep=curves)
    runs = [run for run in report.runs if run.status in STATUSES]
    columns = columns_of(report, runs)
    shared = [experiment_summary(columns, metric_tags(report)), *([] if curves else layout)]
    for number, run in enumerate(runs):
        values = {column.name: column.values[number] for column in columns if column.values[number] is not None}
        write_events(Path(run.path) / FILE_NAME, [_event(start_time(run), 0, [*shared, *row_summaries(run, values)])])
    text = f"{runs_text(len(runs))} in the HParams tab"
    if curves:
        text += f", curves of {len(curves)} group{'s' if len(curves) != 1 else ''} in Custom Scalars"
    if len(report.groups) > MAX_GROUPS:
        text += f", no curves of the {len(report.groups)} groups: too many, take fewer keys with --by"
    return text


@dataclass(frozen=True, slots=True)
class _Curves:
    """A group's average curves by their tags, the start of its first run, and the mean duration of its runs."""

    bands: dict[str, Band]
    start: float
    seconds: float


def _averaged(report: Report) -> tuple[dict[str, _Curves], set[str]]:
    """The curves of each group by its name, and the tags of all scalars.

    Both are empty where no group has two runs: its curves would be those of its one run.
    """
    curves: dict[str, _Curves] = {}
    all_tags: set[str] = set()
    if len(report.groups) > MAX_GROUPS or not any(len(group.runs) > 1 for group in report.groups):
        return curves, all_tags
    for name, group in zip(_names(report), report.groups, strict=True):
        scalars = [read_scalars(run.path) for run in group.runs]
        tags = {tag for of_run in scalars for tag in of_run}
        all_tags |= tags
        bands = {tag: band_of([of_run[tag] for of_run in scalars if tag in of_run]) for tag in filter(is_curve, tags)}
        thinned = {tag: _thinned(band) for tag, band in bands.items() if band is not None and len(band.steps) > 1}
        if thinned:
            curves[name] = _Curves(thinned, min(map(start_time, group.runs)), group.train_seconds or 0.0)
    return curves, all_tags


def _names(report: Report) -> list[str]:
    """The name of each group's folder; all differ."""
    columns = [report.texts(key, (group.key[key] for group in report.groups)) for key in report.by]
    keys = short_names(report.by)
    names: list[str] = []
    for number in range(len(report.groups)):
        text = ",".join(f"{key}={column[number]}" for key, column in zip(keys, columns, strict=True)) or "all"
        name = re.sub(r"[^\w.=,+-]+", "-", text)[:_LONGEST_NAME].strip(".,-")
        names.append(f"{name}-{number + 1}" if name in names else name)
    return names


def _thinned(band: Band) -> Band:
    """A band at `MAX_POINTS` of its steps."""
    import numpy as np

    places = np.unique(np.linspace(0, len(band.steps) - 1, MAX_POINTS).round().astype(int))
    return Band(band.steps[places], band.means[places], band.deviations[places])


def _tags(report: Report) -> set[str]:
    """The tags of the first run with scalars."""
    for run in report.runs:
        scalars = read_scalars(run.path)
        if scalars:
            return set(scalars)
    return set()


def _group_events(curves: _Curves, layout: list[Any]) -> Iterator[Any]:
    """The layout, then the curves. A step's time is its share of the duration: the runs' clocks have no mean."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    yield _event(curves.start, 0, layout)
    by_step: dict[int, list[Any]] = {}
    for tag, band in sorted(curves.bands.items()):
        for step, mean, sd in zip(band.steps.tolist(), band.means.tolist(), band.deviations.tolist(), strict=True):
            of_step = by_step.setdefault(step, [])
            for prefix, value in ((MEAN, mean), (LOWER, mean - sd), (UPPER, mean + sd)):
                of_step.append(Summary.Value(tag=prefix + tag, simple_value=value))
    last = max(by_step)
    for step in sorted(by_step):
        yield _event(curves.start + curves.seconds * step / last, step, by_step[step])


def _event(seconds: float, step: int, values: list[Any]) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event(wall_time=seconds, step=step, summary=Summary(value=values))


def _remove_groups(place: Path, keep: Container[str]) -> None:
    """Removes the groups of an earlier comparison, and nothing else."""
    for path in place.glob(f"*/{FILE_NAME}"):
        if path.parent.name not in keep:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
