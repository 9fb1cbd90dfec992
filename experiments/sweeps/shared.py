"""What the demonstrations of sweeps share: the command as a user types it, its records, and what must be equal."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seqlab.run.record import RECORD_NAME, read_record

MEASURED = ("test/perplexity", "test/loss", "test/accuracy", "val/perplexity", "val/loss")


def environment() -> dict[str, str]:
    """One thread a process, whatever the machine has: results depend on the number."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def start(folder: Path, arguments: Iterable[str]) -> "subprocess.Popen[str]":
    """``seqlab ARGUMENTS`` in ``folder``, in a session of its own; its output goes to ``output.txt`` there."""
    command = [sys.executable, "-m", "seqlab.cli", *arguments]
    with open(folder / "output.txt", "a") as output:
        output.write(f"\n$ seqlab {' '.join(arguments)}\n")
        output.flush()
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def run(folder: Path, arguments: Iterable[str]) -> tuple[int, str, float]:
    """The same, waited for: its exit code, what it printed and the seconds it took."""
    path = folder / "output.txt"
    before = path.stat().st_size if path.exists() else 0
    began = time.perf_counter()
    code = start(folder, list(arguments)).wait()
    seconds = time.perf_counter() - began
    with open(path) as output:
        output.seek(before)
        return code, output.read(), seconds


def records(sweep_dir: Path) -> dict[Path, dict[str, Any]]:
    """The record of each run of a sweep, by its folder."""
    return {path.parent: read_record(path) for path in sorted(sweep_dir.glob(f"*/{RECORD_NAME}"))}


def completed(sweep_dir: Path) -> dict[str, dict[str, Any]]:
    """The record of each completed run with its folder as ``run_dir``, by the hash of its configuration, which tells
    what a run computes and not where."""
    return {
        record["config_hash"]: {**record, "run_dir": run_dir}
        for run_dir, record in records(sweep_dir).items()
        if record["status"] == "completed"
    }


def table(sweep_dir: Path, by: str) -> list[dict[str, Any]]:
    """The groups of ``seqlab report``, without what differs from run to run: speed, time and memory."""
    command = [sys.executable, "-m", "seqlab.cli", "report", str(sweep_dir), "--by", by, "--format", "json"]
    done = subprocess.run([*command, "--metric", "test/perplexity"], capture_output=True, text=True, check=True)
    groups: list[dict[str, Any]] = json.loads(done.stdout)["groups"]
    kept = ("key", "n", "mean", "sd", "interval", "best", "num_parameters")
    return [{name: group[name] for name in kept if name in group} for group in groups]


def differences(one: Path, other: Path) -> list[str]:
    """What differs between the metrics of two sweeps, a line each; numbers are equal or they are not."""
    first, second = completed(one), completed(other)
    runs = {**first, **second}
    lines = [f"only one of the sweeps completed {runs[key]['run_dir'].name}" for key in first.keys() ^ second.keys()]
    for key in first.keys() & second.keys():
        before, after = first[key]["metrics"], second[key]["metrics"]
        lines += [
            f"{runs[key]['run_dir'].name}: {name} {before.get(name)!r} and {after.get(name)!r}"
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        ]
    return sorted(lines)


class Checks:
    """Claims that hold or not, told one a line and counted."""

    def __init__(self) -> None:
        self.failed = 0

    def check(self, holds: bool, claim: str) -> bool:
        self.failed += not holds
        print(f"{'  holds' if holds else '  FAILS'}: {claim}", flush=True)
        return holds

    def end(self) -> int:
        print("all of it holds" if not self.failed else f"{self.failed} claims fail", flush=True)
        return 1 if self.failed else 0
