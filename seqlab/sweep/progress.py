"""The progress of a sweep: a fold over its events, and the lines that show it. Nothing here uses a file or a clock.

=============  ==================================================================================
event          meaning, for the job ``number`` in ``folder``
=============  ==================================================================================
``start``      a process begins the job
``progress``   how far the job is: ``stage``, ``step`` of ``steps``
``silence``    the same, and that there was no progress for ``seconds``
``end``        how the job ended: ``status``, ``value`` of the judged metric, ``error`` (one line),
               ``step`` of ``steps`` where it was paused, ``is_replacement``: it is to replace another run,
               ``trace`` (the whole error), ``seconds``, ``modules`` (the user's own, with hashes);
               ``is_refused``: because of wrong input; ``output``: what its supervisor printed;
               ``is_quiet``: no line is printed for it
``leave``      the job was not begun, because the sweep was over
=============  ==================================================================================
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from seqlab.run.events import COMPLETED, FAILED, INTERRUPTED, PRUNED, RUNNING
from seqlab.run.progress import Place, duration

SKIPPED: Final = "skipped"
"""The status of a job whose run had completed before the sweep."""
PAUSED: Final = "paused"
"""The status of a job whose run has reached a rung, where the sweep compares it with others."""
DONE: Final = (COMPLETED, SKIPPED)
AS_MEANT: Final = (*DONE, PAUSED, PRUNED)
"""The statuses with which a job ends as the sweep has meant it to."""
_CUT_SHORT: Final = (SKIPPED, INTERRUPTED, PAUSED, PRUNED)  # the time of such a job says nothing about the others
_NOT_BEGUN: Final = "not begun"
_ORDER: Final = (COMPLETED, SKIPPED, FAILED, PAUSED, PRUNED, INTERRUPTED, RUNNING, _NOT_BEGUN)


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: its place in the sweep, from 0.
        folder: the name of its folder.
        status: a status of a run, ``skipped`` or ``paused``.
        value: the value of the judged metric.
        error: why it did not complete, in one line.
        seconds: how long it took this time.
        place: how far it is.
        is_silent: whether there was no progress for long.
        is_refused: whether its input was wrong.
        is_elsewhere: whether another command is at work in its folder, and this one has left it alone.
        is_replacement: whether its run is paused in the folder of a replacement, beside the run that it is to replace.
    """

    number: int
    folder: str
    status: str = RUNNING
    value: float | None = None
    error: str = ""
    seconds: float = 0.0
    place: Place = field(default_factory=Place)
    is_silent: bool = False
    is_refused: bool = False
    is_elsewhere: bool = False
    is_replacement: bool = False

    @property
    def name(self) -> str:
        """What the sweep varies, as in the folder's name."""
        return name_of(self.folder)

    @property
    def is_done(self) -> bool:
        """Whether the job has completed, now or before."""
        return self.status in DONE


class Progress:
    """The jobs of a sweep, updated by its events.

    Args:
        metric: the name of the judged metric.
        mode: ``min`` or ``max``: which values of it are best.
        num_jobs: the number of all jobs; None: a sweeper decides as it goes.
        at_once: how many jobs run at the same time; None: a cluster decides.

    Example:
        >>> progress = Progress("val/loss", "min", num_jobs=2, at_once=1)
        >>> progress.add({"event": "start", "number": 0, "folder": "seed=1-abc"})
        >>> end = {"event": "end", "number": 0, "folder": "seed=1-abc", "status": "completed"}
        >>> progress.add({**end, "value": 2.0, "seconds": 9})
        >>> progress.line(0, elapsed=9.0)
        'completed  val/loss 2  the best so far  1 to go, about 9 s'
    """

    def __init__(self, metric: str, mode: str, num_jobs: int | None, at_once: int | None) -> None:
        self.metric, self.mode = metric, mode
        self.num_jobs, self.at_once = num_jobs, at_once
        self.jobs: dict[int, Job] = {}

    def label(self, number: int) -> str:
        """A job, for messages: ``[2/6]``."""
        return f"[{number + 1}/{self.num_jobs or '?'}]"

    def add(self, event: Mapping[str, Any]) -> None:
        """Updates the jobs by one event."""
        number, folder = int(event["number"]), str(event["folder"])
        if event["event"] == "start":
            self.jobs[number] = Job(number, folder)
            return
        job = self.jobs.get(number, Job(number, folder))
        if event["event"] in ("progress", "silence") and job.status == RUNNING:
            place = Place(event["stage"], event.get("step"), event.get("steps"))
            self.jobs[number] = replace(job, place=place, is_silent=event["event"] == "silence")
        elif event["event"] == "end":
            names = ("status", "value", "error", "seconds", "is_refused")
            fields = {name: event[name] for name in names if event.get(name) is not None}
            if event.get("step") is not None:
                fields["place"] = replace(job.place, step=event["step"], steps=event.get("steps"))
            fields["is_elsewhere"] = fields.get("status") == RUNNING
            fields["is_replacement"] = bool(event.get("is_replacement"))
            self.jobs[number] = replace(job, **fields)

    @property
    def ended(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.status != RUNNING]

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.status == RUNNING]

    @property
    def has_failure(self) -> bool:
        """Whether a job has ended otherwise than the sweep meant it to."""
        return any(job.status not in AS_MEANT for job in self.ended)

    @property
    def all_done(self) -> bool:
        """Whether each job that has begun is done, or was pruned."""
        return all(job.is_done or job.status == PRUNED for job in self.jobs.values())

    @property
    def exit_code(self) -> int:
        """The command's exit code: 0 if all jobs are done, 2 if the input of each was refused, else 1."""
        if self.all_done:
            return 0
        all_begun = self.num_jobs is None or len(self.jobs) >= self.num_jobs
        return 2 if all_begun and all(job.is_refused for job in self.jobs.values()) else 1

    def best(self) -> Job | None:
        """The job with the best finite metric."""
        return best_of((job for job in self.jobs.values() if job.is_done), self.mode)

    def line(self, number: int, elapsed: float) -> str:
        """The line for a job that has ended: how it ended, the best job so far, and the time that is left."""
        job = self.jobs[number]
        if job.status == PAUSED and job.place.step is not None:
            value = "" if job.value is None else f"  {self.metric} {job.value:.4g}"
            return f"paused at step {job.place.step} of {job.place.steps}{value}"
        parts = [f"{job.status}: {job.error}" if job.error else job.status]
        if job.value is not None:
            parts.append(f"{self.metric} {job.value:.4g}")
        return "  ".join([*parts, *self._best(job), *self._rest(elapsed)])

    def status_line(self, elapsed: float) -> str:
        """The line for the sweep as a whole."""
        counts = Counter(job.status for job in self.jobs.values())
        parts = [", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status]) or "no job has begun"]
        return "  ".join([*parts, *self._best(None), *self._rest(elapsed)])

    def _best(self, job: Job | None) -> list[str]:
        best = self.best()
        if best is None:
            return []
        return ["the best so far" if best is job else f"best so far {best.value:.4g} ({best.name})"]

    def _rest(self, elapsed: float) -> list[str]:
        ended = [job for job in self.ended if job.status != PAUSED]
        if self.num_jobs is None or (to_go := self.num_jobs - len(ended)) <= 0:
            return []
        seconds = [job.seconds for job in self.ended if job.status not in _CUT_SHORT]
        left = f", about {duration(time_left(seconds, to_go, elapsed, self.at_once))}" if seconds else ""
        return [f"{to_go} to go{left}"]

    def summary(self, sweep_dir: str) -> str:
        """The lines at the end: how many jobs ended how, and a line for each job that did not complete."""
        counts = Counter(job.status for job in self.jobs.values())
        if self.jobs and self.num_jobs is not None:
            counts[_NOT_BEGUN] = self.num_jobs - len(self.jobs)
        parts = [f"{counts[status]} {status}" for status in _ORDER if counts[status] > 0]
        lines = [", ".join(parts) or "no job was begun"]
        for job in sorted(self.jobs.values(), key=lambda job: job.folder):
            if job.status not in AS_MEANT:
                lines.append(f"  {job.status}: {sweep_dir}/{job.folder}" + (f": {job.error}" if job.error else ""))
        return "\n".join(lines)


def best_of(jobs: Iterable[Job], mode: str) -> Job | None:
    """The job with the best finite metric; None if no job has one."""
    measured = [job for job in jobs if job.value is not None and math.isfinite(job.value)]
    sign = 1 if mode == "min" else -1
    return min(measured, key=lambda job: sign * (job.value or 0.0), default=None)


def name_of(folder: str) -> str:
    """What the sweep varies, by the name of a job's folder."""
    return folder.rpartition("-")[0] or folder


def time_left(seconds: list[float], to_go: int, elapsed: float, at_once: int | None) -> float:
    """Estimates the seconds until the last job ends, if the others take as long as those that have ended.

    Jobs that run at the same time come in rounds, and the running ones have done a part of their round. If the rounds
    take longer than expected, half of the remaining time is left. If ``at_once`` is unknown, jobs go on ending at the
    rate so far.

    Args:
        seconds: how long each job took that has ended.
        to_go: the number of jobs that have not ended.
        elapsed: the sweep's time so far.
        at_once: how many jobs run at the same time; None: unknown.

    Example:
        >>> time_left([10, 10], to_go=2, elapsed=20, at_once=1), time_left([10], to_go=3, elapsed=10, at_once=2)
        (20.0, 10.0)
        >>> time_left([10, 10, 10, 10], to_go=2, elapsed=10, at_once=None)
        5.0
        >>> time_left([10, 10], to_go=2, elapsed=25, at_once=2)
        5.0
    """
    if at_once is None:
        return elapsed / len(seconds) * to_go
    each = sum(seconds) / len(seconds)
    return max(each * to_go / at_once / 2, each * math.ceil((len(seconds) + to_go) / at_once) - elapsed)
