"""Worker processes (rank > 0) of a multi-device run. Torch is not needed."""

import os
import time
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.run.claim import Claim
from seqlab.run.events import RUNNING, TransitionError
from seqlab.run.fields import check_fields
from seqlab.run.folder import RunFolder
from seqlab.run.layout import EVENTS_NAME
from seqlab.run.ownership import Ownership, claim_text, is_owned
from seqlab.run.provenance import seqlab_hash

_PATIENCE: Final = 300.0  # seconds to wait for the first process
_POLL_SECONDS: Final = 0.5
_CODE_VARIABLE: Final = "SEQLAB_CODE"


class LostProcessError(RuntimeError):
    """Another process of the run was ended from outside. This one cannot continue, but the run can be resumed."""


class WorkerClaim(Claim):
    """A worker's share of the run's claim, on whichever machine: it reads the record and reports its own error.

    Only the first process of the run writes events.
    """

    @classmethod
    def share(cls, run_dir: Path) -> "WorkerClaim":
        """Shares the claim of the run's owner.

        Raises:
            InputError: nobody owns the run.
        """
        claim = cls(run_dir, Ownership.share(run_dir / EVENTS_NAME))
        claim._journal.read()
        return claim

    def note(self, **fields: Any) -> None:
        """Checks the fields, and writes nothing."""
        check_fields(fields, self.run_dir)

    def _append(self, event: str, **fields: Any) -> None:
        raise TransitionError(f"a worker process cannot write {event!r}: the first process of the run does")


def join_run(run_dir: Path, patience: float = _PATIENCE) -> WorkerClaim:
    """Waits until the first process of the run is at work, possibly on another machine, and shares its claim.

    The first process may train in the run's replacement folder. If file locks cannot tell whether it lives, its claim
    must change while this waits: a claim that an earlier process left behind looks like that of a running process.

    Args:
        run_dir: the run's folder.
        patience: seconds to wait.

    Raises:
        InputError: no first process has appeared in time.
    """
    deadline = time.monotonic() + patience
    run = RunFolder(run_dir)
    folders = (run.replacement, run)
    claims_at_start = {folder.path: claim_text(folder.path) for folder in folders}
    while True:
        for folder in folders:
            lives = is_owned(folder.events_path)
            if lives is None:
                lives = claim_text(folder.path) not in (claims_at_start[folder.path], None)
            if lives and folder.state().status == RUNNING:
                return WorkerClaim.share(folder.path)
        if time.monotonic() > deadline:
            raise InputError(f"no first process has begun {run_dir}: start the same command on all machines")
        time.sleep(_POLL_SECONDS)


def publish_code_hash() -> None:
    """Tells the workers of this process, through the environment, which version of seqlab's code it has imported."""
    os.environ[_CODE_VARIABLE] = seqlab_hash()


def check_same_seqlab() -> None:
    """Checks that this worker has imported the same code of seqlab as the run's first process.

    Raises:
        InputError: seqlab's files have changed since the first process imported them.
    """
    if os.environ.get(_CODE_VARIABLE, seqlab_hash()) != seqlab_hash():
        raise InputError(
            "seqlab's own code has changed since the sweep began, so the processes of this run would have different "
            "code; start the command again"
        )


def wait_for_file(path: Path, patience: float = _PATIENCE) -> None:
    """Waits for a file that the first process puts into the run's folder.

    Raises:
        LostProcessError: the file has not appeared in time.
    """
    deadline = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > deadline:
            raise LostProcessError(f"the run's first process did not write {path}")
        time.sleep(_POLL_SECONDS)
