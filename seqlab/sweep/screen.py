"""The progress of a sweep, redrawn at the foot of a terminal while its jobs run in other processes."""

import sys
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from seqlab.sweep.progress import Job, Progress

_MAX_JOBS: Final = 8


class Screen:
    """The lowest lines of a terminal; what is printed meanwhile appears above them."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._lines: list[str] = []
        self._live.start()

    @classmethod
    def open(cls) -> "Screen | None":
        """The screen on this process's terminal; None if the output is not a terminal, or one that cannot redraw."""
        console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        return cls(console) if console.is_terminal and not console.is_dumb_terminal else None

    def show(self, progress: Progress, elapsed: float) -> None:
        """Redraws the lines if they have changed. The status line is wrapped, the lines of jobs are cut."""
        lines = status_lines(progress, elapsed)
        if lines != self._lines:
            self._lines = lines
            jobs = (Text(line, no_wrap=True, overflow="ellipsis") for line in lines[1:])
            self._live.update(Group(Text(lines[0], no_wrap=False, overflow="fold"), *jobs), refresh=True)

    def close(self) -> None:
        """Removes the lines, and shows the cursor again."""
        self._live.stop()


def status_lines(progress: Progress, elapsed: float) -> list[str]:
    """A line for the whole sweep, then a line for each running job.

    Example:
        >>> progress = Progress("val/loss", "min", num_jobs=2, at_once=2)
        >>> progress.add({"event": "start", "number": 0, "folder": "seed=1-abc"})
        >>> job = {"number": 0, "folder": "seed=1-abc"}
        >>> progress.add({"event": "progress", **job, "stage": "training", "step": 20, "steps": 80})
        >>> status_lines(progress, 7.0)
        ['1 running  2 to go', '  seed=1  training, step 20 of 80']
    """
    jobs = progress.running
    more = [f"  and {len(jobs) - _MAX_JOBS} more"] if len(jobs) > _MAX_JOBS else []
    return [progress.status_line(elapsed), *map(_job_line, jobs[:_MAX_JOBS]), *more]


def _job_line(job: Job) -> str:
    return f"  {job.name}  {job.place}" + ("  no progress" if job.is_silent else "")
