"""Tells, in the process that began a sweep, how the jobs end that others carry out."""

import sys
import threading
from pathlib import Path

from seqlab.run.record import RECORD_NAME, read_record
from seqlab.sweep import jobs

_LOOK_SECONDS = 1.0


class Watch:
    """Looks for jobs that have ended, and prints a line for each, whichever launcher started them."""

    def __init__(self, sweep_dir: Path, metric: str, mode: str) -> None:
        self.sweep_dir, self.metric, self.mode = sweep_dir, metric, mode
        self._told: set[tuple[str, int]] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tells what is left to tell."""
        self._end.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for folder, ending in sorted(jobs.endings(self.sweep_dir), key=lambda found: found[1].at):
            if (folder, ending.number) in self._told:
                continue
            self._told.add((folder, ending.number))
            if ending.begun:
                self._tell(self.sweep_dir / folder, ending)

    def _tell(self, run_dir: Path, ending: jobs.Ending) -> None:
        for line in ending.said.splitlines():
            print(line, flush=True)
        if ending.code is None:
            return
        if ending.code == 1 and (run_dir / RECORD_NAME).exists() and (error := read_record(run_dir)["error"]):
            print(error.rstrip(), file=sys.stderr, flush=True)
        name = jobs.name_of(run_dir.name)
        told = jobs.progress(self.sweep_dir, run_dir, self.metric, self.mode, now=ending.at)
        print(f"{jobs.label(ending.number)} {name}  {told}", flush=True)
