"""Each group's difference from a baseline, paired by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.errors import InputError
from seqlab.report.groups import Group, Report
from seqlab.report.labels import find_label
from seqlab.report.means import Mean, is_finite, mean_of


def take_differences(report: Report, wished: Mapping[str, str] | None, mixed: Sequence[str]) -> None:
    """Mark the baseline, and give every other group its difference from it over pairs of runs.

    Pairing by seed takes out what the seeds do to both groups alike (initialisation, order of the data), so that the
    interval of the difference can be narrower than those of the two means. Several differences are several chances to
    look different: the intervals are each for itself, not adjusted for their number.

    Args:
        report: With its groups, the best of them marked.
        wished: Key to value, in words, of the baseline; None takes the best group, of several the first.
        mixed: The config keys that differ within groups.

    Raises:
        InputError: ``wished`` has a key that groups nothing, or fits no group or several.
    """
    baseline = next((group for group in report.groups if group.best), None)
    if wished:
        baseline = _named_group(report, wished)
    if baseline is None:
        return
    baseline.baseline = True
    for group in report.groups:
        if group is not baseline:
            group.difference = _paired_difference(group, baseline, mixed)


def _named_group(report: Report, wished: Mapping[str, str]) -> Group:
    found = list(report.groups)
    for key, value in wished.items():
        if key not in report.by:
            raise InputError(
                f"--baseline: {key!r} is no key of the groups ({', '.join(report.by) or 'there are none'})"
            )
        fitting = find_label(key, value, [group.key[key] for group in report.groups])
        found = [group for group in found if any(group is report.groups[number] for number in fitting)]
    if len(found) != 1:
        text = ", ".join(f"{key}={value}" for key, value in wished.items())
        raise InputError(f"--baseline: {text} fits {len(found)} of {len(report.groups)} groups; expected just one")
    return found[0]


def _paired_difference(group: Group, baseline: Group, mixed: Sequence[str]) -> Mean | None:
    """Over runs of equal seed; where a group has a seed more than once, over runs that agree in the mixed keys too."""
    sides = (_finite_by_seed(group, ()), _finite_by_seed(baseline, ()))
    if None in sides:
        sides = (_finite_by_seed(group, mixed), _finite_by_seed(baseline, mixed))
    here, there = sides
    if here is None or there is None:
        return None
    return mean_of([value - there[pair] for pair, value in here.items() if pair in there])


def _finite_by_seed(group: Group, mixed: Sequence[str]) -> dict[Any, float] | None:
    """None where that does not tell the runs apart."""
    pairs = {
        (run.seed, *(run.identity(key) for key in mixed)): value
        for run, value in zip(group.runs, group.values, strict=True)
        if run.seed is not None
    }
    if len(pairs) < sum(seed is not None for seed in group.seeds):
        return None
    return {pair: value for pair, value in pairs.items() if is_finite(value)}
