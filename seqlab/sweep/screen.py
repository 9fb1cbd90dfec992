"""How far a sweep is, redrawn at the foot of a terminal while its jobs run in other processes."""

import sys
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from seqlab.sweep.progress import Job, Progress

_MOST_JOBS: Final = 8


class Screen:
    """The lowest lines of a terminal; what is printed meanwhile stands above them."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._shown: str | None = None
        self._live.start()

    @classmethod
    def open(cls) -> "Screen | None":
        """One on this process's terminal; None where the output is no terminal, or one that cannot redraw."""
        console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        return cls(console) if console.is_terminal and not console.is_dumb_terminal else None

    def show(self, progress: Progress, elapsed: float) -> None:
        """Draws what is new."""
        text = "\n".join(lines_of(progress, elapsed))
        if text != self._shown:
            self._shown = text
            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        """Takes the lines away, and gives the terminal its cursor back."""
        self._live.stop()


def lines_of(progress: Progress, elapsed: float) -> list[str]:
    """How far the sweep is as a whole, then its jobs under way.

    Example:
        >>> progress = Progress("val/loss", "min", num_jobs=2, at_once=2)
        >>> progress.take({"event": "start", "number": 0, "folder": "seed=1-abc"})
        >>> where = {"number": 0, "folder": "seed=1-abc"}
        >>> progress.take({"event": "progress", **where, "stage": "training", "step": 20, "steps": 80})
        >>> lines_of(progress, 7.0)
        ['1 running  2 to go', '  seed=1  training, step 20 of 80']
    """
    jobs = progress.running
    more = [f"  and {len(jobs) - _MOST_JOBS} more"] if len(jobs) > _MOST_JOBS else []
    return [progress.status_line(elapsed), *map(_line, jobs[:_MOST_JOBS]), *more]


def _line(job: Job) -> str:
    return f"  {job.name}  {job.place}" + ("  no progress" if job.is_silent else "")
