"""Worker processes (rank > 0) of a run on several devices. Torch is not needed."""

import os
import time
from pathlib import Path
from typing import Final

from seqlab.errors import InputError
from seqlab.run.events import RUNNING
from seqlab.run.folder import RunFolder, WorkerClaim
from seqlab.run.ownership import claim_text, is_owned
from seqlab.run.provenance import seqlab_hash

_PATIENCE: Final = 300.0  # seconds
_CODE_VARIABLE: Final = "SEQLAB_CODE"


class LostProcessError(RuntimeError):
    """Another process of a run was ended from outside, so this one cannot go on, but the run can be resumed."""


def join_run(run_dir: Path, patience: float = _PATIENCE) -> WorkerClaim:
    """Waits until the first process is at work in the run, which on another machine may come later; shares its claim.

    That process may train in the run's replacement. Where the file system's locks do not tell that it lives, its
    counter does, or that its claim is a new one: what an earlier process left behind says as well that the run runs.

    Raises:
        InputError: it does not come.
    """
    until = time.monotonic() + patience
    folders = [RunFolder(run_dir), RunFolder(run_dir).replacement]
    seen = [claim_text(folder.path) for folder in folders]
    while True:
        for folder, first_seen in zip(reversed(folders), reversed(seen), strict=True):
            lives = is_owned(folder.events_path)
            if lives is None:
                lives = claim_text(folder.path) not in (first_seen, None)
            if lives and folder.state().status == RUNNING:
                return WorkerClaim.share(folder.path)
        if time.monotonic() > until:
            raise InputError(f"no first process has begun {run_dir}: start the command on all machines alike")
        time.sleep(0.5)


def prepare_workers() -> None:
    """Notes in the environment of a run's first process, for its workers, which code of seqlab it has imported."""
    os.environ[_CODE_VARIABLE] = seqlab_hash()


def check_same_seqlab() -> None:
    """Refuses to compute with other code than the run's first process.

    Raises:
        InputError: seqlab has changed since that process, or the one that it was forked from, imported it.
    """
    if os.environ.get(_CODE_VARIABLE, seqlab_hash()) != seqlab_hash():
        raise InputError(
            "seqlab's own code has changed since the sweep began, so the processes of this run would not have the "
            "same; start the command again"
        )


def wait_for_file(path: Path, patience: float = _PATIENCE) -> None:
    """Waits for what the first process puts into the run's folder.

    Raises:
        LostProcessError: it does not come.
    """
    until = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > until:
            raise LostProcessError(f"{path} did not come from the run's first process")
        time.sleep(0.5)
