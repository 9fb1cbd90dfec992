"""Each group's difference from a baseline, paired by seed: its interval, and its test if the baseline was named."""

from collections.abc import Mapping
from typing import cast as typed

from seqlab.errors import InputError
from seqlab.report.groups import Difference, Group, Report
from seqlab.report.labels import find_label, shortened
from seqlab.report.means import Mean, is_finite, mean_of
from seqlab.report.significance import detectable, holm, p_value


def take_differences(report: Report, choice: Mapping[str, str] | None) -> None:
    """Marks the baseline, and gives each other group its difference from it, over pairs of runs.

    A pair has the same seed. This removes the effects of a seed on both groups (initialisation, order of the data), so
    the interval of the difference can be narrower than the intervals of the two means. The intervals of m differences
    have 1 - 0.05 / m each (Bonferroni), so that they hold together. P-values, adjusted by Holm (1979), are only for a
    baseline that was named: one that is the best of the same runs was chosen by what is tested.

    Args:
        report: With its groups, the best of them marked.
        choice: Key to value, as the report shows it, of the baseline; None takes the best group, of several the first.

    Raises:
        InputError: ``choice`` has a key that groups nothing, or fits no group or several.
    """
    baseline = next((group for group in report.groups if group.best), None)
    if choice:
        baseline = _chosen_group(report, choice)
    if baseline is None:
        return
    baseline.baseline = True
    others = [group for group in report.groups if group is not baseline]
    pairs = [_paired_values(group, baseline) for group in others]
    compared = [(group, values) for group, values in zip(others, pairs, strict=True) if values]
    num_intervals = sum(len(values) > 1 for _, values in compared)
    means = [typed(Mean, mean_of(values, comparisons=num_intervals)) for _, values in compared]
    adjusted = iter(holm([p for p in map(p_value, means) if p is not None]))
    for (group, _), mean in zip(compared, means, strict=True):
        is_tested = bool(choice) and mean.sd is not None
        group.difference = Difference(
            n=mean.n,
            mean=mean.mean,
            interval=mean.interval,
            p_value=next(adjusted) if is_tested else None,
            detectable=detectable(mean, num_intervals) if is_tested else None,
        )


def _chosen_group(report: Report, choice: Mapping[str, str]) -> Group:
    """The one group with these values of its keys."""
    groups = list(report.groups)
    for key, value in choice.items():
        if key not in report.by:
            raise InputError(
                f"--baseline: {key!r} is no key of the groups ({', '.join(report.by) or 'there are none'})"
            )
        matches = find_label(key, value, [group.key[key] for group in report.groups], report.typed.get(key))
        groups = [group for group in groups if any(group is report.groups[number] for number in matches)]
    if len(groups) != 1:
        text = ", ".join(f"{key}={value}" for key, value in choice.items())
        values = {key: report.texts(key, [each.key[key] for each in report.groups]) for key in choice}
        there = "; ".join(f"{key}: {shortened(dict.fromkeys(texts))}" for key, texts in values.items())
        raise InputError(
            f"--baseline: {text} fits {len(groups)} of {len(report.groups)} groups; expected just one; "
            f"the groups have {there}"
        )
    return groups[0]


def _paired_values(group: Group, baseline: Group) -> list[float]:
    """The difference of each pair of runs with a common seed; empty where a group is no sample of one setting."""
    if not (group.is_judged and baseline.is_judged):
        return []
    here, there = _finite_by_seed(group), _finite_by_seed(baseline)
    return [value - there[seed] for seed, value in here.items() if seed in there]


def _finite_by_seed(group: Group) -> dict[int, float]:
    """The finite values by seed; none where a seed is that of several runs."""
    seeds = [seed for seed in group.seeds if seed is not None]
    if len(set(seeds)) < len(seeds):
        return {}
    runs = zip(group.seeds, group.values, strict=True)
    return {seed: value for seed, value in runs if seed is not None and is_finite(value)}
