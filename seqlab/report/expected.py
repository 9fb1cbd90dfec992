"""The expected best validation value after n random trials: how a result depends on how long was searched.

Two models that were searched for unequal times can't be compared by their best trials. The curve of the expected best
over the number of trials can (Dodge et al. 2019, "Show Your Work: Improved Reporting of Experimental Results").
"""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.report.collect import collect
from seqlab.report.conflicts import CODE, DATA
from seqlab.report.labels import decimals_of, number_text
from seqlab.report.means import is_finite
from seqlab.report.searches import RANDOM, SearchRecord, Trial, read_search
from seqlab.report.style import COLORS, SIZE, add_legend, add_titles, line_style, new_figure, unit_of
from seqlab.run.layout import RECORD_NAME

FORMATS: Final = ("table", "markdown", "csv", "json")
_ROUND: Final = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
"""The numbers of trials that a table shows, besides the last."""


def expected_best(values: Sequence[float], n: int, higher_is_better: bool) -> tuple[float, float]:
    """Expectation and standard deviation of the best of n values, drawn independently from the empirical distribution.

    For B values and the highest as the best (Dodge et al. 2019, equations 5 to 8)::

        E[V*] = sum over v of v (P(V <= v)^n - P(V < v)^n)
        Var[V*] = sum over v of (v - E[V*])^2 (P(V <= v)^n - P(V < v)^n)

    where P(V <= v) is the share of the values that are at most v. If the lowest is the best, the signs are turned.

    Args:
        values: The B values, all finite.
        n: The number of draws, 1 or more.
        higher_is_better: The direction.

    Example:
        >>> expected_best([1.0, 3.0], 2, higher_is_better=True)  # 1 with probability 1/4, else 3
        (2.5, 0.8660254037844386)
    """
    ordered = sorted(values, reverse=not higher_is_better)
    count = len(ordered)
    # Of equal values, the shares add up to that of their common place.
    weights = [((place + 1) / count) ** n - (place / count) ** n for place in range(count)]
    mean = math.fsum(weight * value for weight, value in zip(weights, ordered, strict=True))
    variance = math.fsum(weight * (value - mean) ** 2 for weight, value in zip(weights, ordered, strict=True))
    return mean, math.sqrt(variance)


@dataclass(frozen=True)
class ExpectedBest:
    """The expected best of a search.

    Attributes:
        name: The search, as it is shown.
        metric: The judged metric.
        higher_is_better: Its direction.
        values: The values of its trials.
        curve: Expectation and standard deviation after 1, 2, ... trials, to as many as there are values.
        notes: What is left out, in sentences.
    """

    name: str
    metric: str
    higher_is_better: bool
    values: tuple[float, ...]
    curve: tuple[tuple[float, float], ...]
    notes: tuple[str, ...] = ()


def read_expected(folder: Path) -> ExpectedBest:
    """The expected best of the search in the folder of a sweep.

    Trials that failed, or have not ended, are left out; a note says how many. One that completed with a value that is
    not finite has diverged, and counts as the worst of the others.

    Raises:
        InputError: There is no search, or its trials are not independent draws from one distribution, each with the
            value of a whole training.
    """
    record = read_search(folder)
    counted = [trial for trial in record.trials if trial.state in ("complete", "pruned")]
    _check(folder, record, counted)
    values = [float(trial.value) for trial in counted if trial.value is not None and is_finite(trial.value)]
    if len(values) < 2:
        raise InputError(f"{folder}: {len(values)} of its trials have a finite {record.metric}; expected 2 or more")
    higher = record.mode == "max"
    notes = []
    if diverged := len(counted) - len(values):
        values += [min(values) if higher else max(values)] * diverged
        notes.append(f"{folder}: diverged trials: {diverged}; each counts as the worst of the others.")
    states = [trial.state for trial in record.trials]
    if failed := states.count("fail"):
        notes.append(f"{folder}: failed trials: {failed}; they are left out, as if they had not been drawn.")
    if rest := len(states) - len(counted) - failed:
        notes.append(f"{folder}: trials that have not ended: {rest}; they are left out.")
    curve = tuple(expected_best(values, n, higher) for n in range(1, len(values) + 1))
    return ExpectedBest(str(folder), record.metric, higher, tuple(values), curve, tuple(notes))


def _check(folder: Path, record: SearchRecord, counted: Sequence[Trial]) -> None:
    mend = "search anew by hydra/sweeper/sampler=random, without rungs, and name=ANOTHER"
    if others := [trial for trial in counted if trial.sampler != RANDOM]:
        names = ", ".join(sorted({trial.sampler or "unknown" for trial in others}))
        raise InputError(
            f"{folder}: {len(others)} of {len(counted)} trials were not drawn at random ({names}), and --expected "
            f"holds for independent draws alone: {mend}"
        )
    if pruned := sum(trial.state == "pruned" for trial in counted):
        raise InputError(
            f"{folder}: {pruned} of {len(counted)} trials were pruned and have no final {record.metric}, which "
            f"--expected needs of each: {mend}"
        )
    if len({json.dumps(trial.space, sort_keys=True) for trial in counted}) > 1:
        raise InputError(
            f"{folder}: its trials were drawn from different intervals or choices, and --expected needs one "
            f"distribution: {mend}"
        )
    _check_one_content(folder, {trial.run for trial in counted}, mend)


def _check_one_content(folder: Path, names: Collection[str], mend: str) -> None:
    """Refuses trials whose runs, of these names, executed different code of the user's own or read different data."""
    if not any((folder / name / RECORD_NAME).is_file() for name in names if name):
        return
    runs = [run for run in collect([folder])[0] if Path(run.path).name in names]
    for key, what in ((CODE, "executed different code"), (DATA, "read different data")):
        if len({run.identity(key) for run in runs}) > 1:
            contents = ", ".join(sorted({str(run.value(key)) for run in runs}))
            raise InputError(f"{folder}: its trials {what} ({contents}), and --expected needs one distribution: {mend}")


def compare_expected(folders: Iterable[str | Path]) -> list[ExpectedBest]:
    """The expected best of several searches.

    Raises:
        InputError: As `read_expected`, or the searches are judged by different metrics.
    """
    searches = [read_expected(Path(folder)) for folder in dict.fromkeys(map(str, folders))]
    ways = {(each.metric, each.higher_is_better) for each in searches}
    if len(ways) > 1:
        names = ", ".join(f"{each.name} by {each.metric}" for each in searches)
        raise InputError(f"--expected: the searches are judged by different metrics ({names}); give those of one")
    return searches


def render_expected(searches: Sequence[ExpectedBest], format: str = "table") -> str:
    """The expected best as text, in one of `FORMATS`: tables show some numbers of trials, the others all."""
    if format == "json":
        return json.dumps([dataclasses.asdict(each) for each in searches], indent=1) + "\n"
    if format == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["search", "metric", "trials", "expected_best", "sd"])
        for each in searches:
            writer.writerows([each.name, each.metric, n, mean, sd] for n, (mean, sd) in enumerate(each.curve, start=1))
        return out.getvalue()
    titles = ["trials", *(each.name for each in searches)]
    rows = _rows(searches)
    lines = _caption(searches)
    if format == "markdown":
        table = [titles, ["---:"] * len(titles), *rows]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table)
        return text + "\n\n" + "  \n".join(lines) + "\n"
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    table = [titles, ["─" * width for width in widths], *rows]
    text = "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join([text, "", *lines]) + "\n"


def _rows(searches: Sequence[ExpectedBest]) -> list[list[str]]:
    lengths = {len(each.curve) for each in searches}
    decimals = decimals_of([mean for each in searches for mean, _ in each.curve])
    rows = []
    for n in sorted({number for number in _ROUND if number <= max(lengths)} | lengths):
        cells = [each.curve[n - 1] if n <= len(each.curve) else None for each in searches]
        texts = [
            "" if cell is None else f"{number_text(cell[0], decimals)} ± {number_text(cell[1], decimals)}"
            for cell in cells
        ]
        rows.append([str(n), *texts])
    return rows


def _caption(searches: Sequence[ExpectedBest]) -> list[str]:
    best = "highest" if searches[0].higher_is_better else "lowest"
    return [
        f"{searches[0].metric}: the expected {best} of so many random trials ± its standard deviation, from the "
        "empirical distribution of a search's trials (Dodge et al. 2019).",
        "Draws are with replacement: near the number of trials that there are, it understates what a search finds.",
        *(note for each in searches for note in each.notes),
    ]


def draw_expected(searches: Sequence[ExpectedBest], size: tuple[float, float] = SIZE) -> Any:
    """The curves as a matplotlib figure of ``size`` in inches; bands reach one standard deviation, but no value that
    was not observed.
    """
    figure, axes = new_figure(size)
    for number, each in enumerate(searches):
        trials = list(range(1, len(each.curve) + 1))
        style = {**line_style(number, joined=True), "marker": "o" if len(trials) <= 30 else ""}
        axes.plot(trials, [mean for mean, _ in each.curve], label=each.name, linewidth=1.8, markersize=4, **style)
        low, high = min(each.values), max(each.values)
        axes.fill_between(
            trials,
            [max(low, mean - sd) for mean, sd in each.curve],
            [min(high, mean + sd) for mean, sd in each.curve],
            color=COLORS[number % len(COLORS)],
            alpha=0.15,
            linewidth=0,
        )
    first = searches[0]
    unit = unit_of(first.metric)
    remarks = [*([unit] if unit else []), "higher is better" if first.higher_is_better else "lower is better"]
    axes.set_xlabel("random trials")
    axes.set_ylabel(f"expected best {first.metric} ({', '.join(remarks)})")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(searches) > 1:
        add_legend(figure, axes, "search")
    add_titles(
        axes, f"Expected best {first.metric} by random trials", "Bands: ± standard deviation (Dodge et al. 2019)."
    )
    return figure
