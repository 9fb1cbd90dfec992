"""The messages about the jobs of a sweep, printed by its command."""

import sys
from typing import Any

from seqlab.run.events import FAILED
from seqlab.run.start import silence_line
from seqlab.sweep.progress import Progress, name_of


class JobMessages:
    """Prints what happens to the jobs of a sweep.

    Args:
        progress: the progress of the sweep, which has the events already.

    Attributes:
        is_watching: whether the jobs run in other processes, whose output is not on this terminal.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.is_watching = False
        self._modules: dict[str, str | None] = {}  # the hashes of the user's own modules that jobs have loaded

    def print_event(self, event: dict[str, Any], elapsed: float) -> None:
        """Prints the messages about an event; ``elapsed`` is the sweep's time so far in seconds."""
        if event["event"] == "silence":
            self._print_silence(event)
        elif event["event"] == "end":
            self._print_end(event, elapsed)
            self._print_same_run(event)
            self._print_edits(event)

    def _print_silence(self, event: dict[str, Any]) -> None:
        number = int(event["number"])
        line = silence_line(self.progress.jobs[number].place, float(event["seconds"]))
        _warn(f"{self.progress.label(number)} {name_of(event['folder'])}: {line}")

    def _print_end(self, event: dict[str, Any], elapsed: float) -> None:
        number, output = int(event["number"]), str(event.get("output") or "")
        if output:
            print(output.rstrip("\n"), flush=True)
        if event.get("is_quiet"):
            return
        trace = str(event.get("trace") or "").rstrip()
        if event["status"] == FAILED and self.is_watching and trace and trace.splitlines()[0] not in output:
            print(trace, file=sys.stderr, flush=True)
        name = f" {name_of(event['folder'])} " if self.is_watching else ""
        print(f"{self.progress.label(number)}{name} {self.progress.line(number, elapsed)}", flush=True)

    def _print_same_run(self, event: dict[str, Any]) -> None:
        """Warns if two jobs are the same run: what is varied between them changes no result."""
        number, folder = int(event["number"]), str(event["folder"])
        others = [job.number for job in self.progress.jobs.values() if job.folder == folder and job.number != number]
        if others:
            _warn(
                f"{self.progress.label(number)} is the same run as {self.progress.label(others[0])}: what is varied "
                "between the two changes no result"
            )

    def _print_edits(self, event: dict[str, Any]) -> None:
        """Warns if a module of the user's own was edited while the sweep runs: two jobs have loaded different code."""
        modules: dict[str, str | None] = event.get("modules") or {}
        edited = [name for name, digest in modules.items() if self._modules.get(name, digest) != digest]
        self._modules.update(modules)
        if edited:
            _warn(
                f"{self.progress.label(int(event['number']))} {name_of(event['folder'])} has loaded another "
                f"{', '.join(edited)} than an earlier job: it was edited while the sweep runs, so the report keeps the "
                "two apart"
            )


def _warn(text: str) -> None:
    print(f"seqlab: {text}", file=sys.stderr, flush=True)
