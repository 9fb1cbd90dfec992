"""From runs to a report: groups of runs, with a metric's mean, spread and interval over their seeds."""

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqlab.config.metrics import direction_of
from seqlab.errors import InputError
from seqlab.report.choices import typed_choices
from seqlab.report.collect import UNREADABLE, Run
from seqlab.report.columns import group_name
from seqlab.report.configs import MISSING, check_keys, differing_keys, is_below, near_hint
from seqlab.report.conflicts import CODE, DATA, conflicting_keys
from seqlab.report.differences import take_differences
from seqlab.report.groups import Group, Report
from seqlab.report.labels import runs_text, shortened, sort_key
from seqlab.report.means import is_finite, mean_of
from seqlab.report.reproduce import Command, command_for, swept_keys
from seqlab.report.tuning import Choice, choose
from seqlab.report.warnings import mixed_keys, provenance, warnings

# Words in the names of metrics that show which direction is better, for metrics that seqlab does not know.
HIGHER_IS_BETTER = frozenset({"accuracy", "f1", "bleu", "chrf", "rouge", "precision", "recall", "auc", "auroc"})
LOWER_IS_BETTER = frozenset({"loss", "nll", "perplexity", "bits", "bpc", "error", "wer", "cer", "mse", "rmse", "mae"})
MAX_DEFAULT_KEYS = 3
_ROUNDING = 1e-12


def summarise(
    runs: Sequence[Run],
    by: Sequence[str] | None = None,
    metric: str | None = None,
    *,
    columns: Sequence[str] = (),
    baseline: Mapping[str, str] | None = None,
    tune: Sequence[str] = (),
) -> Report:
    """Groups the completed runs by config keys, and summarises one metric in each group.

    The best group is the best on validation, by the runs' ``optimize.metric``: a test that chooses is a test no more.

    Args:
        runs: All runs, whatever their status.
        by: Dotted config keys of the rows; None takes those that tell the runs apart.
        metric: A metric's name; None takes ``test/perplexity`` if every completed run has it, else the next in line.
        columns: Dotted config keys of the columns.
        baseline: Key to value, as the report shows it, of the group to take differences from; None takes the best.
        tune: Dotted config keys whose values are chosen within each group, as :mod:`seqlab.report.tuning` says.

    Raises:
        InputError: No run has such a key, no completed run has such a metric, a key both groups and is tuned, the runs
            have no common metric to tune by, or the baseline is not one group.
    """
    notes: list[str] = []
    check_keys("--columns", columns, runs)
    check_keys("--tune", tune, runs)
    if "seed" in tune:
        raise InputError("--tune: seed: seeds repeat a run, and choose or judge other keys; leave it out")
    if by is None:
        by = _default_keys(runs, [*columns, *tune], notes)
    check_keys("--by", by, runs)
    completed = [run for run in runs if run.status == "completed"]
    metric = _choose_metric(completed, runs, metric)
    measured = [run for run in completed if metric in run.metrics]
    if tune:
        by, columns = _without_tuned(by, tune, runs), _without_tuned(columns, tune, runs)
        if both := next((key for key in tune if is_below(key, [*by, *columns])), None):
            raise InputError(
                f"--tune: {both} groups the runs by --by or --columns; a key is tuned or compared, not both"
            )
    by = [*by, *_conflicting_keys(measured, [*by, *columns])]
    keys = [*(key for key in by if key not in columns), *columns]
    if CODE in keys:
        notes.append("Runs of one configuration executed different code of the user's own: kept apart by code.")
    if DATA in keys:
        notes.append("Runs of one configuration read different data: kept apart by data_hash.")
    if len(measured) < len(completed):
        notes.append(f"{runs_text(len(completed) - len(measured))} completed without {metric}: not counted.")
    deciding = _deciding_metric(measured, metric, tunes=bool(tune))
    higher_is_better = _higher_is_better(metric, runs, notes)
    decided_by_highest = _higher_is_better(deciding, runs, []) if deciding else higher_is_better
    if tune:
        if deciding is None:
            raise InputError(f"--tune: {_undecided(measured)}")
        samples = _tuned_samples(runs, keys, tune, metric, deciding, decided_by_highest)
    else:
        samples = [_Sample(members, [members]) for members in _samples(measured, keys, notes)]
    incomplete = _incomplete(runs, keys)
    groups = [_group(keys, sample, metric, deciding, incomplete) for sample in samples]
    groups.sort(key=lambda group: [sort_key(value) for value in group.key.values()])
    runs_of_groups = [group.runs for group in groups]
    report = Report(
        by=keys,
        columns=list(columns),
        tune=list(tune),
        metric=metric,
        deciding=deciding,
        higher_is_better=higher_is_better,
        groups=groups,
        not_counted=[run for run in runs if run.status != "completed"],
        provenance=provenance([run for members in runs_of_groups for run in members]),
        notes=notes,
        runs=list(runs),
        typed={key: typed_choices(key, runs) for key in [*keys, *tune]},
    )
    _mark_best(report, decided_by_highest)
    mixed = mixed_keys([members for sample in samples for members in sample.settings])
    take_differences(report, baseline)
    notes += warnings(runs_of_groups, [*keys, *tune], mixed, report.provenance)
    notes += _without_spread(report)
    report.command = _best_command(report, decided_by_highest)
    if len(measured) == 1:
        notes.append(f"Metrics: {', '.join(f'{name} {value:.5g}' for name, value in measured[0].metrics.items())}.")
    return report


def _default_keys(runs: Sequence[Run], columns: Sequence[str], notes: list[str]) -> list[str]:
    """The fewest differing keys that tell all configs apart; keys set on the command line are preferred."""
    readable = [run for run in runs if run.status != UNREADABLE]
    differing = [key for key in differing_keys(readable) if not is_below(key, columns)]
    chosen = _telling_apart(readable, differing, columns)
    if len(chosen) > MAX_DEFAULT_KEYS:
        notes.append(f"{len(chosen)} config keys differ independently; choose with --by KEY[,KEY].")
    return chosen


def _telling_apart(runs: Sequence[Run], keys: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The fewest of some keys that, with the columns, tell the runs apart as all of them do."""
    chosen: list[str] = []
    cells: list[tuple[Any, ...]] = [tuple(run.identity(key) for key in columns) for run in runs]
    swept = swept_keys(runs)
    for key in sorted(keys, key=lambda key: _preference(key, swept)):
        refined = [(*cell, run.identity(key)) for cell, run in zip(cells, runs, strict=True)]
        if len(set(refined)) > len(set(cells)):
            chosen.append(key)
            cells = refined
    return chosen


def _without_tuned(keys: Sequence[str], tune: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The keys, with those below it in place of one above a tuned key, as ``optimizer`` is above ``optimizer.lr``.

    Of the keys below it, the fewest that tell the runs apart; the key itself where none but the tuned ones differ.
    """
    found: list[str] = []
    for key in keys:
        if key in tune or not any(is_below(tuned, [key]) for tuned in tune):
            found.append(key)
            continue
        readable = [run for run in runs if run.status != UNREADABLE]
        below = [each for each in differing_keys(readable) if is_below(each, [key]) and not is_below(each, tune)]
        found += _telling_apart(readable, below, ()) or [key]
    return found


def _preference(key: str, swept: Collection[str]) -> tuple[bool, bool, bool, int, bool, str]:
    """The order in which keys are tried, as a key for sorting."""
    above, _, last = key.rpartition(".")
    is_choice = last == "_target_" and above in swept  # as model.cell._target_ is of model/cell=gru,lstm
    return key in (CODE, DATA), not is_below(key, swept), not is_choice, key.count("."), last.startswith("_"), key


def _choose_metric(completed: Sequence[Run], runs: Sequence[Run], metric: str | None) -> str:
    """The metric to compare: the one that is asked for, else the first in a list of defaults that all runs have."""
    names = {name for run in completed for name in run.metrics}
    if metric is not None:
        if completed and metric not in names:
            hint = near_hint(metric, names) or f"; there are: {shortened(sorted(names))}"
            raise InputError(f"--metric: no completed run has {metric!r}{hint}")
        return metric
    everywhere = names.intersection(*(run.metrics for run in completed)) if completed else names
    defaults = ["test/perplexity", "val/perplexity"]
    for goal in dict.fromkeys(str(run.value("optimize.metric")) for run in runs):
        if goal != MISSING:
            defaults += [f"test/{goal.rpartition('/')[2]}", goal]
    defaults += ["test/loss", "val/loss"]
    if not completed:
        return defaults[0]
    if not names:
        raise InputError(f"--metric: none of the completed runs has a metric ({runs_text(len(completed))})")
    choice = next((name for name in defaults if name in everywhere), None) or min(everywhere, default=None)
    if choice is None:
        choices = shortened(sorted(names))
        raise InputError(f"--metric: the completed runs have no metric in common; choose one of: {choices}")
    return choice


def _deciding_metric(completed: Sequence[Run], metric: str, *, tunes: bool = False) -> str | None:
    """The metric that the best is chosen by: the runs' ``optimize.metric``, or a metric on validation that is shown.

    Tuned values are chosen by the runs' common ``optimize.metric`` whatever is shown, as their sweep has chosen them.
    None where the runs have different ones, or one of them lacks it.
    """
    goals = {str(run.value("optimize.metric")) for run in completed}
    if metric.startswith("val/") and not (
        tunes and len(goals) == 1 and all(goals <= {*run.metrics} for run in completed)
    ):
        goals = {metric}
    goal = goals.pop() if len(goals) == 1 else MISSING
    return goal if goal != MISSING and all(goal in run.metrics for run in completed) else None


def _undecided(completed: Sequence[Run]) -> str:
    """Why there is no metric to tune by."""
    goals = {str(run.value("optimize.metric")) for run in completed} - {MISSING}
    if len(goals) > 1:
        return f"the runs have several optimize.metric ({', '.join(sorted(goals))}); give folders with one, or --metric"
    goal = goals.pop() if goals else "optimize.metric"
    missing = next((run.path for run in completed if goal not in run.metrics), None)
    return f"values are chosen by {goal}, which " + (f"{missing} does not have" if missing else "no run has completed")


@dataclass(frozen=True, slots=True)
class _Sample:
    """The runs of a group that count, and all its runs by the setting of the tuned keys."""

    runs: list[Run]
    settings: list[list[Run]]
    choice: Choice | None = None


def _tuned_samples(
    runs: Sequence[Run], keys: Sequence[str], tune: Sequence[str], metric: str, deciding: str, higher_is_better: bool
) -> list[_Sample]:
    """The groups of all runs that were started, each with the runs that judge its choice."""
    started = [run for run in runs if run.status != UNREADABLE]
    samples = []
    for members in map(_latest_of_each_config, _runs_by_values(started, keys)):
        choice, judging = choose(members, tune, deciding, higher_is_better, shown=metric)
        samples.append(_Sample(judging, _runs_by_values(members, tune), choice))
    return samples


def _incomplete(runs: Sequence[Run], keys: Sequence[str]) -> dict[tuple[Any, ...], Counter[str]]:
    """How many runs of each group did not complete, by status."""
    counts: dict[tuple[Any, ...], Counter[str]] = {}
    for run in runs:
        if run.status not in ("completed", UNREADABLE):
            counts.setdefault(tuple(run.identity(key) for key in keys), Counter())[run.status] += 1
    return counts


def _runs_by_values(runs: Sequence[Run], by: Sequence[str]) -> list[list[Run]]:
    """The runs with the same values of some keys, together."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run.identity(key) for key in by), []).append(run)
    return list(groups.values())


def _samples(runs: Sequence[Run], by: Sequence[str], notes: list[str]) -> list[list[Run]]:
    """The runs of each group, of repeated runs only the latest."""
    samples = [_latest_of_each_config(group) for group in _runs_by_values(runs, by)]
    repeats = len(runs) - sum(map(len, samples))
    if repeats:
        notes.append(
            f"{runs_text(repeats)} repeated later with the same config and seed: only the latest of each counts."
        )
    return samples


def _conflicting_keys(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    """`CODE` or `DATA` where it differs within a group: such runs are no sample of one thing."""
    return conflicting_keys(_runs_by_values(runs, by))


def _latest_of_each_config(runs: Sequence[Run]) -> list[Run]:
    """The latest run of each configuration: a seed that ran twice is one sample, and must not shrink the interval.

    A completed run comes before any other.
    """
    latest: dict[Any, Run] = {}
    for run in sorted(runs, key=lambda run: (run.status == "completed", run.started_at)):
        # The hash has no paths of data. Where the content is unknown too, the paths stand for it.
        latest[run.config_hash, run.data or run.identity("data"), run.identity(CODE), run.identity(DATA)] = run
    return sorted(latest.values(), key=lambda run: (run.seed is None, run.seed or 0, run.path))


def _group(
    by: Sequence[str],
    sample: _Sample,
    metric: str,
    deciding: str | None,
    incomplete: Mapping[tuple[Any, ...], Counter[str]],
) -> Group:
    """A group with the statistics of its runs."""
    runs, choice = sample.runs, sample.choice
    member = sample.settings[0][0]
    values = [run.metrics[metric] for run in runs]
    finite = [value for value in values if is_finite(value)]
    mixed = tuple(mixed_keys(sample.settings))
    statistic = None if mixed else mean_of(finite)
    decided = [run.metrics[deciding] for run in runs] if deciding else []
    validation = choice.validation if choice else mean_of(decided) if all(map(is_finite, decided)) else None
    return Group(
        key={key: member.value(key) for key in by},
        runs=runs,
        values=values,
        diverged=len(values) - len(finite),
        mean=statistic.mean if statistic else None,
        sd=statistic.sd if statistic else None,
        interval=statistic.interval if statistic and (choice is None or choice.judged) else None,
        validation=None if mixed else validation,
        choice=choice,
        mixed=mixed,
        incomplete=dict(incomplete.get(tuple(member.identity(key) for key in by), {})),
        num_parameters=_average(statistics.median_low, (run.num_parameters for run in runs)),
        tokens_per_second=_average(statistics.median, (run.tokens_per_second for run in runs)),
        train_seconds=_average(statistics.fmean, (run.train_seconds for run in runs)),
        peak_memory_bytes=_average(max, (run.peak_memory_bytes for run in runs)),
    )


def _average(function: Any, numbers: Iterable[float | None]) -> float | None:
    """``function`` of the finite numbers; None without any."""
    finite = [number for number in numbers if number is not None and is_finite(number)]
    return function(finite) if finite else None


def _mark_best(report: Report, higher_is_better: bool) -> None:
    """Marks the groups with the best mean of the deciding metric, if there are several.

    A group with a seed that diverged, on either metric, has no fair mean.
    """
    if len(report.groups) < 2:
        return
    means = {}
    for number, group in enumerate(report.groups):
        decided = group.mean
        if report.deciding:
            decided = group.validation.mean if group.validation else None
        if decided is not None and group.mean is not None and not group.diverged:
            means[number] = decided
    if means:
        best = (max if higher_is_better else min)(means.values())
        for number, mean in means.items():
            report.groups[number].best = mean == best


def _without_spread(report: Report) -> list[str]:
    """A note on groups whose values are all equal, in tests of differences: two such groups have a p-value of 0."""
    if not any(group.difference and group.difference.p_value is not None for group in report.groups):
        return []
    equal = [group for group in report.groups if group.sd is not None and group.sd <= _ROUNDING * abs(group.mean or 0)]
    if not equal:
        return []
    names = shortened(group_name(report, group) for group in equal)
    return [
        f"Runs of one group have exactly the same {report.metric} ({names}): where no seed changes a result, they are "
        "one sample, and intervals and p-values say nothing."
    ]


def _best_command(report: Report, decided_by_highest: bool) -> Command | None:
    """The command that trains the best group again; None where no group is best."""
    chosen = [group for group in report.groups if group.best] or report.groups
    if not report.groups or (len(report.groups) > 1 and not chosen[0].best):
        return None
    group = chosen[0]
    if not group.runs:
        return None
    deciding = report.deciding or report.metric
    sign = -1 if decided_by_highest else 1
    values = [run.metrics[deciding] for run in group.runs]
    ranked = sorted(zip(values, group.runs, strict=True), key=lambda pair: (not is_finite(pair[0]), sign * pair[0]))
    return command_for([run for _, run in ranked])


def _higher_is_better(metric: str, runs: Sequence[Run], notes: list[str]) -> bool:
    """Whether higher is better, by the metric's own direction, else the runs' ``optimize.mode``, else its name."""
    direction = direction_of(metric)
    name = metric.rpartition("/")[2]
    goals = ((str(run.value("optimize.metric")), str(run.value("optimize.mode"))) for run in runs)
    judged = {mode for goal, mode in goals if goal.rpartition("/")[2] == name}
    if direction is not None or judged in ({"min"}, {"max"}):
        return (direction or judged.pop()) == "max"
    words = set(metric.rpartition("/")[2].lower().replace("-", "_").split("_"))
    if not words & (HIGHER_IS_BETTER | LOWER_IS_BETTER):
        notes.append(f"{metric} is not a metric seqlab knows: lower is taken to be better.")
    return bool(words & HIGHER_IS_BETTER) and not words & LOWER_IS_BETTER
