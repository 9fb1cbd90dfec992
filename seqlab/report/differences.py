"""Each group's difference from a baseline, paired by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.errors import InputError
from seqlab.report.groups import Group, Report
from seqlab.report.labels import find_label
from seqlab.report.means import Mean, is_finite, mean_of


def take_differences(report: Report, choice: Mapping[str, str] | None, mixed: Sequence[str]) -> None:
    """Marks the baseline, and gives each other group its difference from it, over pairs of runs.

    A pair has the same seed. This removes the effects of a seed on both groups (initialisation, order of the data), so
    the interval of the difference can be narrower than the intervals of the two means. Each interval is for one
    difference: they are not adjusted for their number.

    Args:
        report: With its groups, the best of them marked.
        choice: Key to value, as the report shows it, of the baseline; None takes the best group, of several the first.
        mixed: The config keys that differ within groups.

    Raises:
        InputError: ``choice`` has a key that groups nothing, or fits no group or several.
    """
    baseline = next((group for group in report.groups if group.best), None)
    if choice:
        baseline = _chosen_group(report, choice)
    if baseline is None:
        return
    baseline.baseline = True
    for group in report.groups:
        if group is not baseline:
            group.difference = _paired_difference(group, baseline, mixed)


def _chosen_group(report: Report, choice: Mapping[str, str]) -> Group:
    """The one group with these values of its keys."""
    groups = list(report.groups)
    for key, value in choice.items():
        if key not in report.by:
            raise InputError(
                f"--baseline: {key!r} is no key of the groups ({', '.join(report.by) or 'there are none'})"
            )
        matches = find_label(key, value, [group.key[key] for group in report.groups])
        groups = [group for group in groups if any(group is report.groups[number] for number in matches)]
    if len(groups) != 1:
        text = ", ".join(f"{key}={value}" for key, value in choice.items())
        raise InputError(f"--baseline: {text} fits {len(groups)} of {len(report.groups)} groups; expected just one")
    return groups[0]


def _paired_difference(group: Group, baseline: Group, mixed: Sequence[str]) -> Mean | None:
    """The mean difference over runs of equal seed; over runs with equal mixed keys too, where a seed is repeated."""
    sides = (_finite_by_seed(group, ()), _finite_by_seed(baseline, ()))
    if None in sides:
        sides = (_finite_by_seed(group, mixed), _finite_by_seed(baseline, mixed))
    here, there = sides
    if here is None or there is None:
        return None
    return mean_of([value - there[pair] for pair, value in here.items() if pair in there])


def _finite_by_seed(group: Group, mixed: Sequence[str]) -> dict[Any, float] | None:
    """The finite values by seed and mixed keys; None where these do not tell the runs apart."""
    pairs = {
        (run.seed, *(run.identity(key) for key in mixed)): value
        for run, value in zip(group.runs, group.values, strict=True)
        if run.seed is not None
    }
    if len(pairs) < sum(seed is not None for seed in group.seeds):
        return None
    return {pair: value for pair, value in pairs.items() if is_finite(value)}
