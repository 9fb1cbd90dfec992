"""A sweep as a whole: how far it is, and how its jobs ended. Torch is not needed."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from seqlab.errors import InputError
from seqlab.record import RECORD_NAME, read_record

_SWEEP = "SEQLAB_SWEEP"  # in the environment, for a launcher may run its jobs in other processes
_PLANNED = "SEQLAB_PLANNED_JOBS"  # likewise
_ORDER = ("completed", "skipped", "failed", "interrupted", "running")


@dataclass(frozen=True)
class Job:
    """One job of a sweep, as its record tells it; ``status`` is ``skipped`` where it was complete before."""

    folder: str
    status: str
    value: float | None
    error: str

    @property
    def name(self) -> str:
        """What the sweep varied."""
        return self.folder.rpartition("-")[0] or self.folder


def begin(config: DictConfig) -> None:
    """Notes when a sweep began and how many jobs it has, for this process and its children."""
    os.environ[_SWEEP] = json.dumps({"started": time.time(), "jobs": count_jobs(config)})


def began() -> dict[str, Any]:
    """What :func:`begin` noted."""
    found: dict[str, Any] = json.loads(os.environ.get(_SWEEP, '{"started": 0.0, "jobs": null}'))
    return found


def count_jobs(config: DictConfig) -> int | None:
    """How many jobs Hydra's own sweeper will run; None where another sweeper decides."""
    sweeper = config.hydra.sweeper
    if not str(sweeper.get("_target_")).endswith(".BasicSweeper"):
        return None
    given = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    texts = [*given, *OmegaConf.to_container(config.hydra.overrides.task)]  # type: ignore[misc]
    loader = GlobalHydra.instance().config_loader()  # it knows what a glob over a group's choices stands for
    values = {
        override.get_key_element(): len(list(override.sweep_iterator())) if override.is_sweep_override() else 1
        for override in OverridesParser.create(config_loader=loader).parse_overrides(texts)
    }
    jobs = 1
    for number in values.values():
        jobs *= number
    return jobs


def read_jobs(sweep_dir: Path, metric: str, since: float) -> list[Job]:
    """The jobs that a sweep has come to since the time ``since``; a folder that it left alone is another's."""
    found = []
    for given in sorted(sweep_dir.glob("*/.hydra/overrides.yaml")):  # Hydra writes it whenever it comes to a job
        if given.stat().st_mtime < since - 1:
            continue
        path = given.parents[1] / RECORD_NAME
        if not path.exists():
            found.append(Job(path.parent.name, "failed", None, "it left no record"))
            continue
        try:
            record = read_record(path)
        except InputError as error:
            found.append(Job(path.parent.name, "failed", None, str(error)))
            continue
        status = "skipped" if record["status"] == "completed" and path.stat().st_mtime < since else record["status"]
        lines = str(record["error"] or "").strip().splitlines()
        found.append(Job(path.parent.name, status, record["metrics"].get(metric), lines[-1] if lines else ""))
    return found


def best_of(jobs: list[Job], mode: str) -> Job | None:
    """The job with the best finite metric."""
    measured = [job for job in jobs if job.value is not None and abs(job.value) < float("inf")]
    sign = 1 if mode == "min" else -1
    return min(measured, key=lambda job: sign * job.value, default=None)  # type: ignore[operator]


def progress(sweep_dir: Path, run_dir: Path, metric: str, mode: str, now: float | None = None) -> str:
    """One line when a job has ended: how, the best so far, and the time that the rest will take.

    The time left supposes that a job takes as long as those of this sweep did, however many run at once.
    """
    sweep = began()
    jobs = read_jobs(sweep_dir, metric, sweep["started"])
    this = next((job for job in jobs if job.folder == run_dir.name), None)
    if this is None:
        return "failed: it left no record"
    parts = [this.status if not this.error else f"{this.status}: {this.error}"]
    if this.value is not None:
        parts.append(f"{metric} {this.value:.4g}")
    best = best_of(jobs, mode)
    if best is not None:
        parts.append("the best so far" if best is this else f"best so far {best.value:.4g} ({best.name})")
    ended = [job for job in jobs if job.status != "running"]
    if sweep["jobs"] is not None and len(ended) < sweep["jobs"]:
        trained = sum(job.status != "skipped" for job in ended)
        parts.append(f"{sweep['jobs'] - len(ended)} to go")
        if trained:
            each = ((time.time() if now is None else now) - sweep["started"]) / trained
            parts[-1] += f", about {duration(each * (sweep['jobs'] - len(ended)))}"
    return "  ".join(parts)


def summary(sweep_dir: Path, metric: str) -> tuple[str, bool]:
    """How the jobs of this sweep ended, a line for each that did not complete, and whether all did."""
    jobs = read_jobs(sweep_dir, metric, began()["started"])
    counts = Counter(job.status for job in jobs)
    lines = [", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status]) or "no job was begun"]
    missing = [job for job in jobs if job.status not in ("completed", "skipped")]
    lines += [f"  {job.status}: {sweep_dir / job.folder}" + (f": {job.error}" if job.error else "") for job in missing]
    return "\n".join(lines), not missing


def duration(seconds: float) -> str:
    """A time for a reader.

    >>> duration(7.2), duration(200), duration(9000)
    ('7 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def planning() -> Iterator[Path]:
    """A folder for the jobs of a dry run, known to this process and its children."""
    with TemporaryDirectory() as folder:
        os.environ[_PLANNED] = folder
        yield Path(folder)


def plan(number: int, job: dict[str, Any]) -> None:
    """Keeps one job of a dry run."""
    Path(os.environ[_PLANNED], f"{number:08d}.json").write_text(json.dumps(job))


def remove_unused(folder: Path) -> None:
    """Removes what Hydra writes into the folder of a job or a sweep, and the folders that are empty then."""
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        (folder / ".hydra" / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(path.is_dir() for path in folder.iterdir() if path.name != ".hydra"):
        (folder / "multirun.yaml").unlink(missing_ok=True)
    for empty in (folder / ".hydra", folder, *folder.parents[:2]):
        if empty.is_dir() and not any(empty.iterdir()) and empty.resolve() != Path.cwd():
            empty.rmdir()
