"""The sweeper of a search: batch after batch of trials, and what is decided between them. Torch is not needed."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.utils import JobReturn

from seqlab.run.events import FAILED
from seqlab.run.ownership import AtWorkError
from seqlab.run.rungs import find_rung
from seqlab.sweep.callback import owner
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.progress import PAUSED
from seqlab.sweep.samplers import step_of
from seqlab.sweep.search import Search
from seqlab.sweep.sweep import Sweep
from seqlab.sweep.sweeper import JobSweeper
from seqlab.sweep.tuned import describe_saving

_RUNGS = "hydra.sweeper.rungs"


class OptunaSweeper(JobSweeper):
    """Runs the trials of a search.

    The command that owns the sweep has opened the search before. Each batch of trials is a batch of the launcher. With
    rungs, a batch trains up to each of them, and the runs of pruned trials end there.

    Args:
        **options: as in ``conf/hydra/sweeper/optuna.yaml``; :class:`~seqlab.sweep.search_options.SearchOptions` reads
            them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.rungs: list[float] = list(options.get("rungs") or [])

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        assert self.config is not None
        search = owner.get().open_search()
        returns: list[Sequence[JobReturn]] = []
        for batch, pause_at in self._batches(search):
            returns += self._launch(batch, pause_at)
        return returns

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes nothing: the launcher composes the few jobs of a batch next."""

    def _batches(self, search: Search) -> Iterator[tuple[list[PlannedJob], float | None]]:
        """The batches of jobs, each with the share of its steps at which a job is paused, None for its end."""
        if self.config is not None and self.config.dry_run:
            yield search.draw(), None
            return
        while search.num_left and (sweep := owner.get().running_sweep()) is not None:
            drawn = search.draw()
            sweep.progress.num_jobs = search.num_jobs  # fewer than were asked for, where every combination is drawn
            if not drawn:
                break
            search.settle(sweep.progress)  # trials of values whose run has ended in this command
            for share in self.rungs:
                if not search.jobs():
                    break
                yield search.jobs(), share
                if (sweep := owner.get().running_sweep()) is None:
                    return
                self._close_rung(search, sweep, share)
                if self._is_unfit(search, sweep):
                    return
            if search.jobs():
                yield search.jobs(), None
                if (sweep := owner.get().running_sweep()) is None:
                    return
                search.settle(sweep.progress)
            if search.has_failed_too_often:
                rate = search.options.max_failure_rate
                _warn(f"the search ends: {search.failures()}, more than hydra.sweeper.max_failure_rate={rate} allows")
                return
        if (sweep := owner.get().running_sweep()) is not None and (saved := describe_saving(sweep.progress)):
            print(saved, flush=True)

    def _close_rung(self, search: Search, sweep: Sweep, share: float) -> None:
        """Asks the pruner about the runs that were paused, and ends those that it prunes."""
        for planned in search.jobs():
            job = sweep.progress.jobs.get(planned.number)
            if job is None or job.status != PAUSED or (found := find_rung(sweep.run_of(job.number), share)) is None:
                continue
            rung = found[1]
            if not search.report_rung(job.number, step_of(share), rung):
                continue
            try:
                sweep.prune(job.number, f"pruned at step {rung['step']} of {rung['steps']} by {search.pruner_name}")
            except AtWorkError as error:  # somebody resumes it: it is theirs now
                _warn(str(error))
            else:
                print(f"{sweep.label(job.number)} pruned at step {rung['step']} of {rung['steps']}", flush=True)
        search.settle(sweep.progress)

    def _is_unfit(self, search: Search, sweep: Sweep) -> bool:
        """Whether the schedule of the rate does not suit the rungs, so that every trial would fail."""
        if search.varies_schedule:
            return False
        errors = [job.error for job in sweep.progress.jobs.values() if job.status == FAILED]
        if not any(error.startswith(f"{_RUNGS}:") for error in errors):
            return False
        _warn("the search ends: every trial would fail like that")
        return True


def _warn(text: str) -> None:
    print(f"seqlab: {text}", file=sys.stderr, flush=True)
