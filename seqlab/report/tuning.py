"""Tuning within a group: some seeds choose the best values on validation, the other seeds judge them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqlab.config.hash import canonical_json
from seqlab.report.collect import Run
from seqlab.report.labels import sort_key
from seqlab.report.means import Mean, is_finite, mean_of

Setting = tuple[Any, ...]
"""The values of the tuned keys, in a form that can be compared."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The values of the tuned keys that a group's choosing seeds have chosen.

    The seeds with which every value was started choose; the other seeds of the chosen values judge. Chosen and judged
    on the same seeds, the best of many values would look better than it is.

    Attributes:
        values: The chosen values by key; None where nothing could be chosen, as ``problem`` says.
        tried: All settings that were started.
        seeds: The seeds that chose.
        validation: The mean of the deciding metric over these seeds.
        tied: The number of other values with the same mean; of equal ones, the first by :func:`in_order` is chosen.
        at_edge: The keys whose chosen number is the least or the greatest of several that were tried.
        judged: Whether other seeds judge the chosen values; if only one was tried, all seeds do.
        problem: Why nothing could be chosen.
    """

    values: Mapping[str, Any] | None
    tried: frozenset[Setting]
    seeds: tuple[int, ...]
    validation: Mean | None
    at_edge: frozenset[str]
    judged: bool
    problem: str = ""
    tied: int = 0


def in_order(values: Mapping[str, Any]) -> list[tuple[int, float, str]]:
    """A key for sorting the values of tuned keys: numbers by size, then texts.

    Of equal values, a report and a sweep take the first.

    Args:
        values: the values in a run's configuration, by their keys.

    Example:
        >>> rates = [{"optimizer.lr": rate, "model.norm": "pre"} for rate in (10, 9.5, 1)]
        >>> [values["optimizer.lr"] for values in sorted(rates, key=in_order)]
        [1, 9.5, 10]
    """
    texts = (canonical_json(value) if isinstance(value, (dict, list)) else value for _, value in sorted(values.items()))
    return [sort_key(value) for value in texts]


def choose(
    started: Sequence[Run], keys: Sequence[str], metric: str, higher_is_better: bool, shown: str | None = None
) -> tuple[Choice, list[Run]]:
    """Chooses the values of the tuned keys with the best mean on validation.

    Values with a run among the choosing seeds that did not complete, or that diverged, can't be chosen.

    Args:
        started: The runs of a group, whatever their status, one of each configuration.
        keys: The tuned keys.
        metric: The metric that chooses.
        higher_is_better: Its direction.
        shown: The metric that judges: runs without it choose all the same. None: the one that chooses.

    Returns:
        The choice, and the completed runs that judge it: of other seeds, or where there are none, of those that chose.
    """
    settings: dict[Setting, list[Run]] = {}
    for run in sorted(started, key=lambda run: in_order({key: run.value(key) for key in keys})):
        settings.setdefault(tuple(run.identity(key) for key in keys), []).append(run)
    tried = frozenset(settings)
    seeds_of = [{run.seed for run in runs if run.seed is not None} for runs in settings.values()]
    seeds = tuple(sorted(set.intersection(*seeds_of)))
    if not seeds:
        return Choice(None, tried, (), None, frozenset(), False, "no seed has every value"), []
    means: dict[Setting, Mean] = {}
    for setting, runs in settings.items():
        values = [run.metrics.get(metric, float("nan")) for run in runs if run.seed in seeds]
        complete = all(run.status == "completed" for run in runs if run.seed in seeds)
        mean = mean_of(values) if complete and all(map(is_finite, values)) else None
        if mean is not None:
            means[setting] = mean
    if not means:
        return Choice(None, tried, seeds, None, frozenset(), False, "no value completed with every seed"), []
    best = (max if higher_is_better else min)(means, key=lambda setting: means[setting].mean)
    completed = [run for run in settings[best] if run.status == "completed" and (shown or metric) in run.metrics]
    fresh = [run for run in completed if run.seed not in seeds]
    choice = Choice(
        values={key: settings[best][0].value(key) for key in keys},
        tried=tried,
        seeds=seeds,
        validation=means[best],
        at_edge=frozenset(key for key in keys if _is_at_edge(key, settings[best][0], started)),
        judged=bool(fresh) or len(settings) == 1,
        tied=sum(mean.mean == means[best].mean for mean in means.values()) - 1,
    )
    return choice, fresh if fresh and len(settings) > 1 else completed


def _is_at_edge(key: str, chosen: Run, started: Sequence[Run]) -> bool:
    values = [run.value(key) for run in started]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return False
    return min(values) < max(values) and chosen.value(key) in (min(values), max(values))
