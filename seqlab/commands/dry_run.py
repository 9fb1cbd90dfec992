"""``dry_run=true``: the jobs are composed and checked here; a process of its own estimates what they would take."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from seqlab.run.forks.run_process import MODULE


def estimate(jobs: list[dict[str, Any]]) -> int:
    """Estimates the jobs by :mod:`seqlab.sweep.dry_run` in a process of its own; returns its exit code."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(jobs, file)
        file.flush()
        return subprocess.run([sys.executable, "-Pm", MODULE, "dry_run", file.name]).returncode


def remove_unused_sweep(sweep_dir: Path) -> None:
    """Removes the folder of a sweep that was not run, where it holds only what Hydra puts into it."""
    if sweep_dir.is_dir() and [path.name for path in sweep_dir.iterdir()] == ["multirun.yaml"]:
        (sweep_dir / "multirun.yaml").unlink()
    remove_if_empty(sweep_dir)


def remove_if_empty(folder: Path) -> None:
    """Removes an empty folder, and up to two folders above it that are empty then."""
    for path in (folder, *folder.parents[:2]):
        if path.is_dir() and not any(path.iterdir()) and path.resolve() != Path.cwd():
            path.rmdir()
