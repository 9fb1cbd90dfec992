"""How far a sweep is: a fold over its events, and the lines that tell it. Nothing here touches a file or a clock.

=============  ==================================================================================
event          what it says of the job ``number``
=============  ==================================================================================
``start``      a process has come to it; ``folder`` and ``overrides``
``progress``   how far it is: ``stage``, ``step`` of ``steps``
``silence``    the same, and that it has not come further for so many ``seconds``
``end``        how it ended: ``status``, ``value`` of the judged metric, ``error``, ``seconds``;
               ``is_refused``: for wrong input; ``said`` is what its supervisor printed
``leave``      it was not begun, for the sweep was over
=============  ==================================================================================
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from seqlab.run.events import RUNNING
from seqlab.run.progress import Place, duration

SKIPPED: Final = "skipped"
"""The status of a job that had completed before."""
DONE: Final = ("completed", SKIPPED)
_CUT_SHORT: Final = (SKIPPED, "interrupted", "pruned")  # what such a job took says nothing of the others
_LEFT: Final = "not begun"
_ORDER: Final = ("completed", SKIPPED, "failed", "pruned", "interrupted", RUNNING, _LEFT)


@dataclass(frozen=True)
class Job:
    """One job of a sweep; ``value`` is that of the judged metric, ``seconds`` what it took this time."""

    number: int
    folder: str
    status: str = RUNNING
    value: float | None = None
    error: str = ""
    seconds: float = 0.0
    place: Place = field(default_factory=Place)
    is_silent: bool = False
    is_refused: bool = False

    @property
    def name(self) -> str:
        """What the sweep varied."""
        return name_of(self.folder)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do for it."""
        return self.status in DONE


class Progress:
    """The jobs of a sweep as its events tell them.

    Args:
        metric: the name of the judged metric.
        mode: ``min`` or ``max``.
        num_jobs: how many there are in all; None where a sweeper decides as it goes.
        at_once: how many run at once; None where a cluster decides.

    Example:
        >>> progress = Progress("val/loss", "min", num_jobs=2, at_once=1)
        >>> progress.take({"event": "start", "number": 0, "folder": "seed=1-abc"})
        >>> end = {"event": "end", "number": 0, "folder": "seed=1-abc", "status": "completed"}
        >>> progress.take({**end, "value": 2.0, "seconds": 9})
        >>> progress.line(0, elapsed=9.0)
        'completed  val/loss 2  the best so far  1 to go, about 9 s'
    """

    def __init__(self, metric: str, mode: str, num_jobs: int | None, at_once: int | None) -> None:
        self.metric, self.mode = metric, mode
        self.num_jobs, self.at_once = num_jobs, at_once
        self.jobs: dict[int, Job] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Takes one event in."""
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
            self.jobs[number] = replace(job, **{name: event[name] for name in names if event.get(name) is not None})

    @property
    def ended(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.status != RUNNING]

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.status == RUNNING]

    @property
    def has_failure(self) -> bool:
        """Whether a job has ended otherwise than well."""
        return any(not job.is_done for job in self.ended)

    @property
    def all_done(self) -> bool:
        """Whether each job that was begun has completed, now or before."""
        return all(job.is_done for job in self.jobs.values())

    @property
    def exit_code(self) -> int:
        """That of the command: 0 where all jobs are done, 2 where each was refused for its input, else 1."""
        if self.all_done:
            return 0
        is_begun = self.num_jobs is None or len(self.jobs) >= self.num_jobs
        return 2 if is_begun and all(job.is_refused for job in self.jobs.values()) else 1

    def best(self) -> Job | None:
        """The job with the best finite metric."""
        return best_of(self.jobs.values(), self.mode)

    def line(self, number: int, elapsed: float) -> str:
        """One line when a job has ended: how, the best so far, and the time that the rest will take."""
        job = self.jobs[number]
        parts = [f"{job.status}: {job.error}" if job.error else job.status]
        if job.value is not None:
            parts.append(f"{self.metric} {job.value:.4g}")
        return "  ".join([*parts, *self._best(job), *self._rest(elapsed)])

    def status_line(self, elapsed: float) -> str:
        """How far the sweep is as a whole."""
        counts = Counter(job.status for job in self.jobs.values())
        parts = [", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status]) or "no job has begun"]
        return "  ".join([*parts, *self._best(None), *self._rest(elapsed)])

    def _best(self, job: Job | None) -> list[str]:
        best = self.best()
        if best is None:
            return []
        return ["the best so far" if best is job else f"best so far {best.value:.4g} ({best.name})"]

    def _rest(self, elapsed: float) -> list[str]:
        if self.num_jobs is None or (to_go := self.num_jobs - len(self.ended)) <= 0:
            return []
        seconds = [job.seconds for job in self.ended if job.status not in _CUT_SHORT]
        left = f", about {duration(time_left(seconds, to_go, elapsed, self.at_once))}" if seconds else ""
        return [f"{to_go} to go{left}"]

    def summary(self, sweep_dir: str) -> str:
        """How the jobs ended, and a line for each that did not complete."""
        counts = Counter(job.status for job in self.jobs.values())
        if self.jobs and self.num_jobs is not None:
            counts[_LEFT] = self.num_jobs - len(self.jobs)
        told = [f"{counts[status]} {status}" for status in _ORDER if counts[status] > 0]
        lines = [", ".join(told) or "no job was begun"]
        for job in sorted(self.jobs.values(), key=lambda job: job.folder):
            if not job.is_done:
                lines.append(f"  {job.status}: {sweep_dir}/{job.folder}" + (f": {job.error}" if job.error else ""))
        return "\n".join(lines)


def best_of(jobs: Iterable[Job], mode: str) -> Job | None:
    """The job with the best finite metric; None where none has one."""
    measured = [job for job in jobs if job.value is not None and math.isfinite(job.value)]
    sign = 1 if mode == "min" else -1
    return min(measured, key=lambda job: sign * (job.value or 0.0), default=None)


def name_of(folder: str) -> str:
    """What the sweep varied, by the name of a job's folder."""
    return folder.rpartition("-")[0] or folder


def time_left(seconds: list[float], to_go: int, elapsed: float, at_once: int | None) -> float:
    """Seconds until the last job ends, of which some took ``seconds``, if the others take as long.

    Jobs at once come in rounds, and those under way have done a part already; where the rounds take longer than they
    should have, half of what is left is theirs. Where nobody knows how many run at once, as many end in a time as did
    so far.

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
