"""Tuning within a sweep: which jobs go on after a rung, which values are chosen, and which seeds judge them.

The jobs of a sweep fall into groups, which are compared in the end. Within a group, *settings* of the tuned keys
compete with the same seeds. At a rung, the better settings go on, and the runs of the others are pruned (successive
halving, Karnin et al. 2013; Jamieson & Talwalkar 2016). Of those that have completed, the best on validation is chosen,
and trained with fresh seeds: they judge it, as `seqlab report --tune` shows. Nothing here uses a file or a clock.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hydra.core.override_parser.overrides_parser import OverridesParser

from seqlab.errors import InputError
from seqlab.report.means import is_finite
from seqlab.report.tuning import in_order
from seqlab.run.events import FAILED
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.progress import AS_MEANT, DONE, Job
from seqlab.sweep.tuning_options import HERE, SEED, Options

_SAME_SHARE: Final = 0.02  # runs are compared whose shares at a rung differ by no more

Setting = tuple[str, ...]
"""The overrides of the tuned keys."""

Rung = Mapping[str, Any]
"""Where a run was at a rung, as in its record: ``step`` of ``steps``, and ``value`` of the judged metric."""


@dataclass
class Group:
    """Settings that compete with each other.

    Attributes:
        name: the overrides that the group's jobs share, of those that the sweep varies; empty for a single group.
        settings: the jobs of each setting, one a seed.
        alive: the settings that have been neither pruned nor lost to a failure.
        chosen: the setting that was chosen; None before.
        fresh: the chosen setting's jobs with fresh seeds.
    """

    name: tuple[str, ...]
    settings: dict[Setting, list[PlannedJob]]
    alive: list[Setting] = field(init=False)
    chosen: Setting | None = None
    fresh: list[PlannedJob] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alive = list(self.settings)

    def __str__(self) -> str:
        return " ".join(self.name) or "the sweep"

    def jobs(self, settings: Sequence[Setting] | None = None) -> list[PlannedJob]:
        """The jobs of some settings; None: of those that are alive."""
        return [job for setting in (self.alive if settings is None else settings) for job in self.settings[setting]]

    def mean(self, setting: Setting, values: Mapping[int, float | None]) -> float:
        """The mean over a setting's jobs; NaN where one has no value or has diverged, as in a report."""
        numbers = [values.get(job.number) for job in self.settings[setting]]
        finite = [value for value in numbers if value is not None and is_finite(value)]
        return statistics.fmean(finite) if len(finite) == len(numbers) else math.nan


class Tuning:
    """The tuning of one sweep.

    Args:
        jobs: all jobs of the sweep, but those of fresh seeds.
        options: what is tuned.
        higher_is_better: the direction of the judged metric.
        seed: the seed of jobs that are given none; None: unknown.

    Attributes:
        groups: the groups of jobs.

    Raises:
        InputError: a tuned key is not varied, or a fresh seed is one of the seeds that choose.

    Example:
        >>> from seqlab.sweep.plan import plan_jobs
        >>> from seqlab.sweep.tuning_options import Options
        >>> jobs = plan_jobs(["model.num_layers=1,2", "optimizer.lr=0.1,0.2", "seed=1,2"])
        >>> tuning = Tuning(jobs, Options(tune=["optimizer.lr"], fresh_seeds=[3, 4]))
        >>> [(str(group), list(group.settings)) for group in tuning.groups]  # doctest: +NORMALIZE_WHITESPACE
        [('model.num_layers=1', [('optimizer.lr=0.1',), ('optimizer.lr=0.2',)]),
         ('model.num_layers=2', [('optimizer.lr=0.1',), ('optimizer.lr=0.2',)])]
        >>> tuning.num_jobs
        12
    """

    def __init__(
        self, jobs: Sequence[PlannedJob], options: Options, higher_is_better: bool = False, seed: int | None = None
    ) -> None:
        self.options = options
        self.higher_is_better = higher_is_better
        self._num_choosing = len(jobs)
        _check_keys(jobs, options, seed)
        groups: dict[tuple[str, ...], dict[Setting, list[PlannedJob]]] = {}
        for job in jobs:
            tuned = {key_of(text): text for text in job.overrides if key_of(text) in options.tune}
            setting = tuple(tuned[key] for key in dict.fromkeys(options.tune))
            name = tuple(text for text in job.varied if key_of(text) not in (*options.tune, SEED))
            groups.setdefault(name, {}).setdefault(setting, []).append(job)
        self.groups = [
            Group(name, {setting: settings[setting] for setting in sorted(settings, key=_in_order)})
            for name, settings in groups.items()
        ]

    @property
    def num_jobs(self) -> int:
        """The number of all jobs, with those of fresh seeds."""
        return self._num_choosing + len(self.groups) * len(self.options.fresh_seeds)

    def alive_jobs(self) -> list[PlannedJob]:
        """The jobs that go on, in the order of the sweep."""
        return sorted((job for group in self.groups for job in group.jobs()), key=lambda job: job.number)

    def close_rung(self, jobs: Mapping[int, Job], rungs: Mapping[int, Rung]) -> list["Verdict"]:
        """Decides which settings go on after a rung.

        In a group that has a run which was cut short, or is at work elsewhere, all go on. Settings that have completed
        go on for nothing: with other rungs, another share or other settings beside them, they might be pruned now,
        while the report chooses among all that has completed. Settings with a failed run do not go on.

        Args:
            jobs: what has become of the sweep's jobs, by their numbers.
            rungs: where the runs of those that have come to the rung were there.
        """
        verdicts = []
        for group in self.groups:
            if problem := _waiting(group, jobs) or _unequal(group, rungs):
                verdicts.append(Verdict(group, problem=problem))
                continue
            failed = [setting for setting in group.alive if _has_failed(group, setting, jobs)]
            free = [setting for setting in group.alive if setting not in failed and _lacks_rung(group, setting, rungs)]
            able = [setting for setting in group.alive if setting not in (*failed, *free)]
            values = {number: rung["value"] for number, rung in rungs.items()}
            ranked = self._ranked(group, able, values)
            best = ranked[: max(1, math.ceil(len(ranked) * self.options.keep - 1e-9))]  # 0.55 of 20 are 11
            kept = best + [setting for setting in able if setting not in best and _is_complete(group, setting, jobs)]
            pruned = [setting for setting in able if setting not in kept]
            tied = self._equal(group, best[-1], pruned, values) if best else []
            group.alive = [setting for setting in group.alive if setting in (*free, *kept)]
            verdicts.append(Verdict(group, tuple(group.alive), tuple(pruned), tuple(failed), tied=tuple(tied)))
        return verdicts

    def choose(
        self, jobs: Mapping[int, Job], values_of: Callable[[int], Mapping[str, Any]] | None = None
    ) -> list["Verdict"]:
        """Chooses a setting in each group, and plans its jobs with fresh seeds.

        A setting with a run that has not completed, or has no finite value, can't be chosen. Nothing is chosen in a
        group with a run that was cut short or is at work elsewhere: the same command goes on with it.

        Args:
            jobs: what has become of the sweep's jobs, by their numbers.
            values_of: gives the values of the tuned keys in the configuration of a job, by its number. By these, the
                first of settings with the same mean is chosen, as by the report. None: by their overrides.
        """
        verdicts = []
        for group, numbers in zip(self.groups, self._fresh_numbers(), strict=True):
            if problem := _waiting(group, jobs):
                verdicts.append(Verdict(group, problem=problem))
                continue
            able = [setting for setting in group.alive if _is_complete(group, setting, jobs)]
            values = {number: job.value for number, job in jobs.items()}
            ranked = self._ranked(group, able, values)
            failed = tuple(setting for setting in group.alive if setting not in ranked)
            if ranked:
                equal = self._equal(group, ranked[0], ranked, values)
                if values_of is not None and len(equal) > 1:
                    equal.sort(key=lambda setting: in_order(values_of(group.settings[setting][0].number)))
                group.chosen = equal[0]
                group.fresh = self._with_fresh_seeds(group, group.chosen, numbers)
                verdicts.append(Verdict(group, (group.chosen,), (), failed, tied=tuple(equal[1:])))
            else:
                verdicts.append(Verdict(group, (), (), failed))
        return verdicts

    def plan_fresh(self) -> list[PlannedJob]:
        """The jobs with fresh seeds as they would be if the first setting of each group were chosen."""
        return [
            job
            for group, numbers in zip(self.groups, self._fresh_numbers(), strict=True)
            for job in self._with_fresh_seeds(group, next(iter(group.settings)), numbers)
        ]

    def _fresh_numbers(self) -> list[range]:
        """The numbers of each group's jobs with fresh seeds."""
        size = len(self.options.fresh_seeds)
        starts = (self._num_choosing + place * size for place in range(len(self.groups)))
        return [range(start, start + size) for start in starts]

    def _with_fresh_seeds(self, group: Group, setting: Setting, numbers: range) -> list[PlannedJob]:
        first = group.settings[setting][0]
        return [_with_seed(first, seed, number) for seed, number in zip(self.options.fresh_seeds, numbers, strict=True)]

    def fresh_jobs(self) -> list[PlannedJob]:
        """The jobs with fresh seeds of all settings that were chosen."""
        return [job for group in self.groups for job in group.fresh]

    def _equal(
        self, group: Group, one: Setting, settings: Sequence[Setting], values: Mapping[int, float | None]
    ) -> list[Setting]:
        """Those of some settings whose mean is that of one."""
        mean = group.mean(one, values)
        return [setting for setting in settings if group.mean(setting, values) == mean]

    def _ranked(self, group: Group, settings: Sequence[Setting], values: Mapping[int, float | None]) -> list[Setting]:
        """Settings with a finite mean, the best first; those that are equal keep their order."""
        sign = -1 if self.higher_is_better else 1
        means = {setting: group.mean(setting, values) for setting in settings}
        finite = [setting for setting in settings if is_finite(means[setting])]
        return sorted(finite, key=lambda setting: sign * means[setting])


@dataclass(frozen=True)
class Verdict:
    """What was decided in a group.

    Attributes:
        group: the group.
        kept: the settings that go on, or the one that was chosen.
        pruned: the settings that are pruned.
        failed: the settings that can't go on or be chosen, because a run failed or has no finite value.
        problem: why nothing was decided.
        tied: other settings whose mean is that of the last that goes on, or of the chosen one.
    """

    group: Group
    kept: tuple[Setting, ...] = ()
    pruned: tuple[Setting, ...] = ()
    failed: tuple[Setting, ...] = ()
    problem: str = ""
    tied: tuple[Setting, ...] = ()


def _check_keys(jobs: Sequence[PlannedJob], options: Options, seed: int | None) -> None:
    keys = {key_of(text) for job in jobs for text in job.overrides}
    for key in options.tune:
        if key not in keys:
            raise InputError(f"{HERE}.tune: the sweep gives {key} no values to choose from; add them, as {key}=A,B")
    given = [[text.partition("=")[2] for text in job.overrides if key_of(text) == SEED] for job in jobs]
    seeds = {text for texts in given for text in texts or [str(seed)]}
    if both := [seed for seed in options.fresh_seeds if str(seed) in seeds]:
        raise InputError(
            f"{HERE}.fresh_seeds: {', '.join(map(str, both))} is among the seeds that choose; chosen and judged with "
            "the same seeds, the best of several looks better than it is: give other seeds"
        )


def key_of(text: str) -> str:
    """The key of an override."""
    return text.partition("=")[0].lstrip("+~")


def _in_order(setting: Setting) -> list[Any]:
    """As the report sorts the values of tuned keys, as far as overrides tell."""
    return in_order({key_of(text): OverridesParser.create().parse_override(text).value() for text in setting})


def _with_seed(job: PlannedJob, seed: int, number: int) -> PlannedJob:
    text = f"{SEED}={seed}"
    if any(key_of(each) == SEED for each in job.overrides):
        overrides = tuple(text if key_of(each) == SEED else each for each in job.overrides)
    else:
        overrides = (*job.overrides, text)
    return PlannedJob(number, overrides, (*(each for each in job.varied if key_of(each) != SEED), text))


def _statuses(group: Group, setting: Setting, jobs: Mapping[int, Job]) -> list[str | None]:
    return [jobs[job.number].status if job.number in jobs else None for job in group.settings[setting]]


def _waiting(group: Group, jobs: Mapping[int, Job]) -> str:
    """Which job of the group may still come to where it should be: it was cut short, or is at work elsewhere."""
    for job in group.jobs():
        state = jobs.get(job.number)
        status = "not begun" if state is None else "at work elsewhere" if state.is_elsewhere else state.status
        if status not in (FAILED, *AS_MEANT):
            return f"since {' '.join(job.varied)} is {status}"
    return ""


def _unequal(group: Group, rungs: Mapping[int, Rung]) -> str:
    """Says that runs were not paused at the same share of their training, as one that had been further before."""
    places = [rungs[job.number] for job in group.jobs() if job.number in rungs]
    shares = [place["step"] / place["steps"] for place in places]
    if not shares or max(shares) - min(shares) <= _SAME_SHARE:
        return ""
    return f"since its runs were paused at {100 * min(shares):.0f} to {100 * max(shares):.0f} % of their steps"


def _has_failed(group: Group, setting: Setting, jobs: Mapping[int, Job]) -> bool:
    return FAILED in _statuses(group, setting, jobs)


def _lacks_rung(group: Group, setting: Setting, rungs: Mapping[int, Rung]) -> bool:
    """Whether a run of the setting had completed without a rung."""
    return any(job.number not in rungs for job in group.settings[setting])


def _is_complete(group: Group, setting: Setting, jobs: Mapping[int, Job]) -> bool:
    return all(status in DONE for status in _statuses(group, setting, jobs))
