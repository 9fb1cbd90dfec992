"""Owners of a run: in a process of its own, and on another machine, as far as this one can see."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import environment

CONFIG = {"seed": 1, "model": {"num_layers": 2}}

_OWNER = """
import sys, time
from seqlab.run.folder import RunFolder
claim = RunFolder(sys.argv[1]).claim()
if claim.status in ("absent", "failed"):
    claim.begin({"seed": 1, "model": {"num_layers": 2}}, [])
elif claim.status == "interrupted":
    claim.resume()
print("claimed", flush=True)
time.sleep(60)
"""


@contextmanager
def owner_process(run_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that is at work in a run."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(run_dir)], env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "claimed\n"
            yield process
        finally:
            process.kill()


def claim_from_elsewhere(run_dir: Path, number: int = 1, counter: int = 3) -> None:
    """What the claim of a process on another machine looks like; each call another counter: it lives."""
    run_dir.mkdir(parents=True, exist_ok=True)
    owner = {"token": "elsewhere", "pid": 1, "host": "elsewhere", "boot": "another", "started": "another:1"}
    (run_dir / f".claim-{number}").write_text(json.dumps({**owner, "counter": counter}))


def taken_by_another(run_dir: Path) -> None:
    """What another machine does to a run whose owner it takes for gone."""
    numbers = [int(path.name.rpartition("-")[2]) for path in run_dir.glob(".claim-*")]
    claim_from_elsewhere(run_dir, max(numbers, default=0) + 1)
    for number in numbers:
        (run_dir / f".claim-{number}").unlink()


def claims(file: Path) -> list[str]:
    """The names of the claims beside a run's events."""
    return sorted(path.name for path in file.parent.glob(".claim-*"))


def counter(file: Path) -> int:
    """The counter of the one claim, which its owner raises."""
    (name,) = claims(file)
    return json.loads((file.parent / name).read_text())["counter"]
