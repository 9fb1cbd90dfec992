"""What the processes of a run on several devices do that follow the first one. Torch is not needed."""

import time
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.run.record import RECORD_NAME, RunRecord, read_record
from seqlab.run.supervisor import follower_error, read_job

_PATIENCE = 300.0  # seconds


class LostProcessError(RuntimeError):
    """Another process of a run was ended from outside, so this one cannot go on, but the run can be resumed."""


class Follower(RunRecord):
    """The record as a process holds it that follows: to read, for the first process alone writes."""

    def _write(self) -> None:
        pass

    def fail(self, error: str | BaseException, **fields: Any) -> None:
        super().fail(error, **fields)
        follower_error(self.run_dir).write_text(self.fields["error"])

    @classmethod
    def join(cls, run_dir: Path) -> "Follower":
        """Waits until the first process has the run: on another machine it may come later.

        Raises:
            InputError: it does not come.
        """
        until = time.monotonic() + _PATIENCE
        while not ((run_dir / RECORD_NAME).exists() and read_record(run_dir)["status"] == "running"):
            if time.monotonic() > until:
                raise InputError(f"no first process has begun {run_dir}: start the command on all machines alike")
            time.sleep(0.5)
        return cls(run_dir, {**read_record(run_dir), "config": read_job(run_dir)["config"]})
