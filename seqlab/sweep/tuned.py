"""A sweep that tunes: batch after batch of jobs, and what is decided between them. Torch is not needed."""

import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seqlab.config.compose import judged_by
from seqlab.report.configs import MISSING, Sections
from seqlab.run.events import PRUNED
from seqlab.run.ownership import AtWorkError
from seqlab.run.rungs import find_rung, unsteady
from seqlab.sweep.callback import owner
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.progress import PAUSED, Progress
from seqlab.sweep.sweep import Sweep
from seqlab.sweep.tuning import Setting, Tuning, Verdict, key_of
from seqlab.sweep.tuning_options import Options


class TunedSweep:
    """One sweep that tunes keys within each group of its jobs.

    Each rung is one batch of the launcher: all settings that are left train up to it, and the worse ones are pruned.
    The last batch of these trains to the end. Of what has completed, the best on validation is chosen in each group,
    and trained with fresh seeds, in one more batch.

    Args:
        jobs: all jobs of the sweep, but those of fresh seeds.
        options: what is tuned.
        config: the sweep's configuration.

    Raises:
        InputError: as :class:`seqlab.sweep.tuning.Tuning`.
    """

    def __init__(self, jobs: Sequence[PlannedJob], options: Options, config: DictConfig) -> None:
        self.metric, mode = judged_by(config)
        self.options = options
        self.config = config
        self.tuning = Tuning(jobs, options, mode == "max", config.get("seed"))
        if options.rungs and not any(key_of(text).partition(".")[0] == "scheduler" for text in jobs[0].varied):
            _check_schedule(config.scheduler, options.rungs, config.trainer.get("max_steps"))

    def batches(self) -> Iterator[tuple[list[PlannedJob], float | None]]:
        """The batches of jobs, each with the share of its steps at which a job is paused, None for its end."""
        if self.config.dry_run:
            yield self._plan(), None
            return
        for number, share in enumerate(self.options.rungs, start=1):
            jobs = self.tuning.alive_jobs()
            if not jobs:
                break
            _say(f"rung {number} of {len(self.options.rungs)}: {_runs(len(jobs))}, to {100 * share:g} % of the steps")
            yield self._open(jobs), share
            if (sweep := owner.get().running_sweep()) is None:
                return
            self._close_rung(sweep, share)
        yield self._open(self.tuning.alive_jobs()), None
        if (sweep := owner.get().running_sweep()) is None:
            return
        self._choose(sweep)
        if self.tuning.fresh_jobs():
            yield self.tuning.fresh_jobs(), None

    def _plan(self) -> list[PlannedJob]:
        """The jobs of a dry run: those of fresh seeds with the first values of the tuned keys, since none is chosen."""
        fresh = self.tuning.plan_fresh()
        lines = [f"{', '.join(self.options.tune)}: tuned"]
        if fresh:
            lines.append(f"the last {_runs(len(fresh))}: fresh seeds, and what is chosen, here the first values")
        if self.options.rungs:
            lines.append("each job is listed with its whole training, of which pruning saves a part")
        _say("; ".join(lines))
        return [*self.tuning.alive_jobs(), *fresh]

    def _open(self, jobs: list[PlannedJob]) -> list[PlannedJob]:
        """The jobs that have not completed in this command."""
        sweep = owner.get().running_sweep()
        done = {} if sweep is None else sweep.progress.jobs
        return [job for job in jobs if job.number not in done or not done[job.number].is_done]

    def _close_rung(self, sweep: Sweep, share: float) -> None:
        jobs = sweep.progress.jobs
        rungs = {number: found[1] for number in jobs if (found := find_rung(sweep.run_of(number), share)) is not None}
        for verdict in self.tuning.close_rung(jobs, rungs):
            group = verdict.group
            if verdict.problem:
                _say(f"{group}: nothing is pruned, {verdict.problem}")
                continue
            parts = [f"goes on with {_named(verdict.kept)}" if verdict.kept else "nothing goes on"]
            if verdict.pruned:
                equal = f" (as good as the last that goes on: {_named(verdict.tied)})" if verdict.tied else ""
                parts.append(f"pruned {_named(verdict.pruned)}{equal}")
            if verdict.failed:
                parts.append(f"failed {_named(verdict.failed)}")
            _say(f"{group}: {'; '.join(parts)}")
            self._prune(sweep, verdict)

    def _prune(self, sweep: Sweep, verdict: Verdict) -> None:
        """Prunes the runs of settings that do not go on, those beside a failed one, too."""
        replaced = 0
        for job in verdict.group.jobs((*verdict.pruned, *verdict.failed)):
            state = sweep.progress.jobs[job.number]
            if state.status == PAUSED:
                reason = f"pruned at step {state.place.step} of {state.place.steps}: other settings were better"
                try:
                    sweep.prune(job.number, reason)
                    replaced += state.is_replacement
                except AtWorkError as error:  # somebody resumes it: it is theirs now
                    print(f"seqlab: {error}", file=sys.stderr, flush=True)
        if replaced:
            print(
                f"seqlab: {_runs(replaced)} that {'is' if replaced == 1 else 'are'} pruned now began anew, to replace "
                "what was there: the old results stay, and a report still reads them",
                file=sys.stderr,
                flush=True,
            )

    def _choose(self, sweep: Sweep) -> None:
        progress = sweep.progress
        for verdict in self.tuning.choose(progress.jobs, lambda number: self._tuned_values(sweep, number)):
            group = verdict.group
            if verdict.problem:
                _say(f"{group}: nothing is chosen, {verdict.problem}")
            elif not verdict.kept:
                _say(f"{group}: nothing can be chosen, no setting has completed with every seed")
            else:
                value = group.mean(verdict.kept[0], {number: job.value for number, job in progress.jobs.items()})
                equal = f", as is that of {_named(verdict.tied)}: the first is taken" if verdict.tied else ""
                _say(f"{group}: chosen {_named(verdict.kept)}, mean {self.metric} {value:.4g}{equal}")
        if (saved := describe_saving(progress)) is not None:
            _say(saved)
        by = [key_of(text) for text in self.tuning.groups[0].name]
        if not all(_is_key(sweep, key) for key in by):
            by = []  # the report finds the keys by which the runs differ
        sweep.compare_by(
            "".join(
                f" {option} {shlex.quote(','.join(keys))}"
                for option, keys in (("--by", by), ("--tune", self.options.tune))
                if keys
            )
        )

    def _tuned_values(self, sweep: Sweep, number: int) -> dict[str, Any]:
        """The values of the tuned keys in the configuration of a job's run, as a report reads them."""
        sections = Sections().of(sweep.run_of(number).state().record["config"])
        keys = [key.replace("/", ".") for key in self.options.tune]
        parts = {key: sections.get(key.partition(".")[0]) for key in keys}
        return {key: MISSING if part is None else part.value(key) for key, part in parts.items()}


def _check_schedule(scheduler: Mapping[str, Any], rungs: Sequence[float], max_steps: Any) -> None:
    """Refuses a schedule that ships and whose rate is not constant at the rungs; a run refuses any other by itself.

    Raises:
        InputError: it is such a schedule.
    """
    name = str(scheduler.get("_target_")).removeprefix("seqlab.tasks.schedules.")
    decays_before = name == "WarmupStableDecay" and float(scheduler.get("decay_from") or 0) < rungs[-1]
    if name in ("Cosine", "Plateau") or decays_before:
        raise unsteady(f"at {100 * rungs[-1]:g} % of the steps", rungs[-1])
    first = math.ceil(rungs[0] * max_steps) if isinstance(max_steps, int) and max_steps > 0 else None
    if first is not None and first < int(scheduler.get("warmup_steps") or 0):
        raise unsteady(f"at step {first}", rungs[0], warms_up=True)


def describe_saving(progress: Progress) -> str | None:
    """How many runs were pruned, and how much of the steps of a whole grid was trained; None without a pruned run."""
    pruned = [job for job in progress.jobs.values() if job.status == PRUNED and job.place.step and job.place.steps]
    if not pruned:
        return None
    spared = sum(1 - (job.place.step or 0) / (job.place.steps or 1) for job in pruned)
    total = len(progress.jobs)
    return f"{len(pruned)} of {_runs(total)} were pruned, which saves {100 * spared / total:.0f} % of their steps"


def _is_key(sweep: Sweep, key: str) -> bool:
    """Whether the runs have the key in their configuration: a choice of experiments leaves none."""
    configs = [
        sweep.run_of(number).state().record["config"] for number, job in sweep.progress.jobs.items() if job.is_done
    ]
    return all(OmegaConf.select(OmegaConf.create(each), key.replace("/", ".")) is not None for each in configs[:1])


def _named(settings: Sequence[Setting]) -> str:
    return ", ".join(" ".join(setting) for setting in settings)


def _runs(number: int) -> str:
    return f"{number} run" + ("" if number == 1 else "s")


def _say(text: str) -> None:
    print(text, flush=True)
