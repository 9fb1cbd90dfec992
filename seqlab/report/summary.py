"""From runs to groups: one metric's mean, spread and interval over seeds, and everything a reader must be warned of."""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqlab.errors import InputError
from seqlab.report.collect import MISSING, Run, check_keys, differing_keys, identity, near

# A metric's direction goes by the words of its name: `test/accuracy`, `val/f1_macro`, `test/bits_per_character`.
HIGHER_IS_BETTER = frozenset({"accuracy", "f1", "bleu", "chrf", "rouge", "precision", "recall", "auc", "auroc"})
LOWER_IS_BETTER = frozenset({"loss", "nll", "perplexity", "bits", "bpc", "error", "wer", "cer", "mse", "rmse", "mae"})
MAX_DEFAULT_KEYS = 3
DIVERGED = 1e100
"""What is not finite has diverged, and so has what is so large that its spread is not finite (a perplexity can be)."""

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T_QUANTILES = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


@dataclass(slots=True)
class Group:
    """The completed runs that share the values of the report's keys. ``sd`` and ``interval`` need two seeds or more."""

    key: dict[str, Any]
    seeds: list[int | None]
    values: list[float]
    diverged: int
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    num_parameters: float | None
    tokens_per_second: float | None
    train_seconds: float | None
    best: bool = False


@dataclass(slots=True)
class Report:
    """A comparison: what `render` and `plot` show."""

    by: list[str]
    metric: str
    higher_is_better: bool
    groups: list[Group]
    not_counted: list[Run]
    notes: list[str] = field(default_factory=list)


def summarise(runs: Sequence[Run], by: Sequence[str] | None = None, metric: str | None = None) -> Report:
    """Group the completed runs by config keys and sum up one metric in each group.

    Args:
        runs: All runs, whatever their status.
        by: Dotted config keys; None takes those that tell the runs apart.
        metric: A metric's name; None takes ``test/perplexity`` if every completed run has it, else the next in line.

    Raises:
        InputError: No run has such a key, or no completed run such a metric.
    """
    notes: list[str] = []
    if by is None:
        by = _default_keys(runs, notes)
    check_keys(by, runs)
    completed = [run for run in runs if run.status == "completed"]
    metric = _choose_metric(completed, runs, metric)
    measured = [run for run in completed if metric in run.metrics]
    if len(measured) < len(completed):
        notes.append(f"{_runs(len(completed) - len(measured))} completed without {metric}: not counted.")
    members = _members(measured, by, notes)
    groups = [_group({key: runs_of[0].value(key) for key in by}, runs_of, metric) for runs_of in members]
    groups.sort(key=lambda group: [_order(value) for value in group.key.values()])
    not_counted = [run for run in runs if run.status != "completed"]
    report = Report(list(by), metric, _higher_is_better(metric, notes), groups, not_counted, notes)
    _mark_best(report)
    notes += _warnings(members)
    if len(measured) == 1:
        notes.append(f"Metrics: {', '.join(f'{name} {value:.5g}' for name, value in measured[0].metrics.items())}.")
    return report


def t_quantile(degrees_of_freedom: int) -> float:
    """97.5 % quantile of Student's t, to 4 decimals (beyond 30 degrees by the Cornish-Fisher expansion).

    Example:
        >>> t_quantile(1), round(t_quantile(60), 3)
        (12.7062, 2.0)
    """
    if degrees_of_freedom <= len(_T_QUANTILES):
        return _T_QUANTILES[degrees_of_freedom - 1]
    z, n = 1.959964, degrees_of_freedom
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def _default_keys(runs: Sequence[Run], notes: list[str]) -> list[str]:
    """The fewest differing keys that tell all configs apart; keys that people set on the command line come first."""
    readable = [run for run in runs if run.status != "unreadable"]
    differing = differing_keys(readable)
    chosen: list[str] = []
    cells: list[tuple[Any, ...]] = [() for _ in readable]
    swept = {key for run in readable for key in run.overridden}
    for key in sorted(differing, key=lambda key: _preference(key, swept)):
        refined = [(*cell, identity(run.value(key))) for cell, run in zip(cells, readable, strict=True)]
        if len(set(refined)) > len(set(cells)):
            chosen.append(key)
            cells = refined
    others = [key for key in differing if key not in chosen]
    if others:
        notes.append(f"Differing in step with {', '.join(chosen)}: {_some(others)}.")
    if len(chosen) > MAX_DEFAULT_KEYS:
        notes.append(f"{len(chosen)} config keys differ independently; choose with --by KEY[,KEY].")
    return chosen


def _preference(key: str, swept: Collection[str]) -> tuple[bool, int, bool, str]:
    by_hand = any(key == chosen or key.startswith(chosen + ".") for chosen in swept)
    return not by_hand, key.count("."), key.rpartition(".")[2].startswith("_"), key


def _choose_metric(completed: Sequence[Run], runs: Sequence[Run], metric: str | None) -> str:
    known = {name for run in completed for name in run.metrics}
    if metric is not None:
        if completed and metric not in known:
            hint = near(metric, known) or f"; there are: {_some(sorted(known))}"
            raise InputError(f"--metric: no completed run has {metric!r}{hint}")
        return metric
    everywhere = known.intersection(*(run.metrics for run in completed)) if completed else known
    wishes = ["test/perplexity", "val/perplexity"]
    for goal in dict.fromkeys(str(run.config.get("optimize.metric", "")) for run in runs):
        wishes += [f"test/{goal.rpartition('/')[2]}", goal]
    wishes += ["test/loss", "val/loss"]
    if not completed:
        return wishes[0]
    found = next((wish for wish in wishes if wish in everywhere), None) or min(everywhere, default=None)
    if found is None:
        names = _some(sorted(known))
        raise InputError(f"--metric: the completed runs have no metric in common; choose one of: {names}")
    return found


def _members(runs: Sequence[Run], by: Sequence[str], notes: list[str]) -> list[list[Run]]:
    cells: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        cells.setdefault(tuple(identity(run.value(key)) for key in by), []).append(run)
    members = [_latest_of_each_config(cell) for cell in cells.values()]
    repeated = len(runs) - sum(map(len, members))
    if repeated:
        notes.append(f"{_runs(repeated)} repeated later with the same config and seed: only the latest of each counts.")
    return members


def _group(key: dict[str, Any], runs: Sequence[Run], metric: str) -> Group:
    values = [run.metrics[metric] for run in runs]
    finite = [value for value in values if abs(value) <= DIVERGED]  # False for NaN, too
    mean = statistics.fmean(finite) if finite else None
    sd = interval = None
    if mean is not None and len(finite) > 1:
        sd = statistics.stdev(finite)
        half = t_quantile(len(finite) - 1) * sd / math.sqrt(len(finite))
        interval = (mean - half, mean + half)
    return Group(
        key=key,
        seeds=[run.seed for run in runs],
        values=values,
        diverged=len(values) - len(finite),
        mean=mean,
        sd=sd,
        interval=interval,
        num_parameters=_known(statistics.median_low, (run.num_parameters for run in runs)),
        tokens_per_second=_known(statistics.median, (run.tokens_per_second for run in runs)),
        train_seconds=_known(statistics.fmean, (run.train_seconds for run in runs)),
    )


def _known(average: Any, numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None and math.isfinite(number)]
    return average(known) if known else None


def _mark_best(report: Report) -> None:
    """A group with a diverged seed has no fair mean: it takes no part. A group alone is not the best of anything."""
    candidates = [group for group in report.groups if group.mean is not None and not group.diverged]
    if len(report.groups) < 2 or not candidates:
        return
    best = (max if report.higher_is_better else min)(group.mean for group in candidates if group.mean is not None)
    for group in candidates:
        group.best = group.mean == best


def _higher_is_better(metric: str, notes: list[str]) -> bool:
    words = set(metric.rpartition("/")[2].lower().replace("-", "_").split("_"))
    if not words & (HIGHER_IS_BETTER | LOWER_IS_BETTER):
        notes.append(f"{metric} is not a metric seqlab knows: lower is taken to be better.")
    return bool(words & HIGHER_IS_BETTER) and not words & LOWER_IS_BETTER


def _latest_of_each_config(runs: Sequence[Run]) -> list[Run]:
    """A seed that ran twice is one sample: counting it twice would shrink the interval for nothing."""
    latest: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.started_at):
        latest[run.config_hash] = run
    return sorted(latest.values(), key=lambda run: (run.seed is None, run.seed or 0, run.path))


def _warnings(groups: Sequence[Sequence[Run]]) -> list[str]:
    runs = [run for group in groups for run in group]
    warnings = []
    mixed: dict[str, dict[Any, Any]] = {}
    for group in groups:
        for key in differing_keys(group):
            mixed.setdefault(key, {}).update((identity(run.value(key)), run.value(key)) for run in group)
    if mixed:
        named = _some(f"{key} ({_some(map(str, sorted(of.values(), key=_order)))})" for key, of in mixed.items())
        warnings.append(f"Mixed within a group: {named}. Add the key to --by to keep such runs apart.")
    commits = Counter(run.code for run in runs)
    if len(commits) > 1:
        told = ", ".join(f"{code} ({_runs(count)})" for code, count in commits.most_common(5))
        warnings.append(f"The runs come from {len(commits)} states of the code: {told}.")
    devices = Counter(run.device for run in runs)
    if len(devices) > 1:
        named = _some(sorted(devices))
        warnings.append(f"The runs used {len(devices)} devices ({named}): tokens/s and time do not compare.")
    return warnings


def _order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, float(value), ""
    return (2 if value is None or value == MISSING else 1), 0.0, str(value)


def _some(names: Iterable[str], limit: int = 6) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "") or "none"


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"
