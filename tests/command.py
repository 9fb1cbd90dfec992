"""The ``seqlab`` command in a process of its own, for tests of what a user types."""

import os
import subprocess
import sys
from pathlib import Path

ONE_THREAD = ("trainer=cpu", "runtime.num_threads=1")


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "seqlab.cli", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with one thread, and without what a test or the user may have set for seqlab."""
    kept = {name: value for name, value in os.environ.items() if name not in ("SEQLAB_ALLOW", "PYTHONPATH")}
    return {**kept, "OMP_NUM_THREADS": "1", **variables}


def seqlab(*arguments: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """``seqlab ARGUMENTS``, run in ``folder``."""
    return subprocess.run(
        command_line(*arguments),
        cwd=folder,
        env=environment(SEQLAB_CACHE=str(folder / "cache"), **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
