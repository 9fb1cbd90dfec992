"""The runs that the jobs of a sweep have already: which are complete, and which begin anew. Torch is not needed."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seqlab.commands.attempt import paused_at
from seqlab.config.compose import plain_values
from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.run.comparison import Present, compare
from seqlab.run.events import ABSENT, COMPLETED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.sweep.existing_runs import ExistingRun, describe_changes, describe_notices, find_existing_runs
from seqlab.sweep.memo import ComposedJob, ConfigSources, Memo, job_key
from seqlab.sweep.plan import PlannedJob, check_varied
from seqlab.sweep.progress import SKIPPED
from seqlab.sweep.sweep import Sweep


class EarlierRuns:
    """The runs that jobs have already. Most are found when the sweep begins; the others when their job does.

    A launcher sends a copy to the processes of its jobs.
    """

    def __init__(self) -> None:
        self._anew: set[str] = set()  # names of folders whose runs begin anew
        self._compared: set[str] = set()  # names of folders whose runs were compared when the sweep began
        self._keys: dict[int, str] = {}  # the memo's key of each job, by its number
        self._sources: ConfigSources | None = None  # the files that the jobs are composed from
        self._digest: str | None = None  # of the sources, when the sweep began
        self._told: set[str] = set()  # names of folders whose runs' differences were told

    def choose_jobs(
        self,
        sweep: Sweep,
        config: DictConfig,
        jobs: list[PlannedJob],
        compose: Callable[[PlannedJob], tuple[str, dict[str, Any]]],
    ) -> list[PlannedJob]:
        """The jobs whose runs have not come to where the sweep now pauses its jobs, or else to their end.

        A line says which are complete, and what differs by now.

        Args:
            sweep: the sweep of the jobs.
            config: what the jobs share, with Hydra's section.
            jobs: all jobs of the sweep.
            compose: gives the name of a job's folder, and its configuration.

        Raises:
            InputError: runs are of other code or data, and neither ``rerun_changed`` nor ``keep_changed`` is set.
        """
        check_varied(jobs, plain_values(config))
        if jobs and not any(job.varied for job in jobs):
            print("seqlab: nothing is varied: a sweep of one job; several values are given as seed=1,2", flush=True)
        self._sources = ConfigSources.of(config)
        self._digest = digest = self._sources.digest()
        self._keys = {} if digest is None else {job.number: job_key(digest, job.overrides) for job in jobs}
        earlier = find_existing_runs(sweep.folder, jobs, self._keys, Memo(sweep.folder), compose, Present())
        for line in describe_notices(each for each in earlier if each.folder not in self._told):
            print(f"seqlab: {line}", file=sys.stderr, flush=True)
        self._compared = {each.folder for each in earlier}
        changed = [each for each in earlier if each.has_changed]
        overwrite = bool(config.overwrite)
        self._begin_changed_anew(changed, rerun=overwrite or bool(config.rerun_changed), keep=bool(config.keep_changed))
        self._told |= {each.folder for each in earlier}
        anew = self._compared if overwrite else self._anew
        complete = {each.job.number: each for each in earlier if each.is_complete and each.folder not in anew}
        for number, each in complete.items():
            line = f"{sweep.label(number)} completed before, skipped: {sweep.folder / each.folder}"
            value = each.state.record["metrics"].get(sweep.progress.metric)
            end = {"status": SKIPPED, "value": value, "output": line, "is_quiet": True}
            sweep.note("end", number=number, folder=each.folder, **end)
        paused = self._note_paused(
            sweep, [each for each in earlier if not each.is_complete and each.folder not in anew]
        )
        return [job for job in jobs if job.number not in complete and job.number not in paused]

    def _note_paused(self, sweep: Sweep, earlier: Sequence[ExistingRun]) -> set[int]:
        """Notes the jobs whose runs an earlier command has paused at this rung, or pruned; returns their numbers."""
        numbers = set()
        for each in earlier:
            if (end := paused_at(RunFolder(sweep.folder / each.folder), sweep.pause_at)) is not None:
                sweep.note("end", number=each.job.number, folder=each.folder, **end, is_quiet=True)
                numbers.add(each.job.number)
        return numbers

    def _begin_changed_anew(self, changed: Sequence[ExistingRun], *, rerun: bool, keep: bool) -> None:
        """Marks the runs of other code or data that begin anew.

        Raises:
            InputError: there are such runs, and of ``rerun`` and ``keep`` not just one is set.
        """
        if not changed:
            return
        if rerun == keep:
            raise InputError(
                f"runs of this sweep are of other code or data ({describe_changes(changed)}): put that back, or "
                "rerun_changed=true runs them again, and each old result stays until the new one completes; "
                "keep_changed=true keeps what has completed as it is"
            )
        # A run is of one code: what has not completed can't go on, and begins anew either way.
        self._anew = {each.folder for each in changed if rerun or not each.is_complete}
        # At each rung of a sweep, the old run is there until the new one completes.
        if line := describe_changes(each for each in changed if each.folder not in self._told):
            action = "run again" if rerun else "kept as they are where they have completed"
            print(f"seqlab: runs of other code or data ({line}) are {action}", file=sys.stderr, flush=True)

    def remember(self, run_dir: Path, config: dict[str, Any], number: int) -> None:
        """Keeps what a job was composed to in the sweep's memo, unless one of the sources was edited meanwhile."""
        if number in self._keys and self._sources is not None and self._sources.digest() == self._digest:
            Memo(run_dir.parent).remember(ComposedJob.of(self._keys[number], run_dir.name, config))

    def begins_anew(self, run_dir: Path, config: dict[str, Any]) -> bool:
        """Whether a job's run is of other code or data, and begins anew.

        A run that was not there when the sweep began, or that a search has chosen since, is compared now.

        Raises:
            InputError: neither ``rerun_changed`` nor ``keep_changed`` is set.
        """
        if run_dir.name in self._compared:
            return run_dir.name in self._anew
        state = RunFolder(run_dir).state()
        has_result = state.status == COMPLETED or (state.status not in (ABSENT, RUNNING) and state.has_checkpoint)
        if not has_result or state.record["config_hash"] != config_hash(config):
            return False
        changed = compare(state.record, Present(), config=config, run_dir=run_dir).blocking
        if changed and not config["rerun_changed"] and not config["keep_changed"]:
            raise InputError(
                f"{run_dir} is of other code or data ({'; '.join(changed)}): rerun_changed=true runs it again, "
                "keep_changed=true keeps what has completed as it is"
            )
        return bool(changed) and (config["rerun_changed"] or state.status != COMPLETED)
