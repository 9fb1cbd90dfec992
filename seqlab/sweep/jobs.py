"""A sweep as a whole: how far it is, and how its jobs ended. Torch is not needed."""

import json
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.provenance import may_be_alive, this_process
from seqlab.run.record import RECORD_NAME, read_record
from seqlab.sweep.launchers import jobs_at_once, threads_of_a_job
from seqlab.sweep.search import is_search

VARIABLE: Final = "SEQLAB_SWEEP"  # in the environment, for a launcher may run its jobs in other processes
_PLANNED = "SEQLAB_PLANNED_JOBS"  # likewise
_ENDING = "ended.json"
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
        return name_of(self.folder)


@dataclass(frozen=True)
class Ending:
    """What the process that supervised a job leaves for the one that began the sweep, whichever launcher is between."""

    sweep: float  # when the sweep began
    number: int
    at: float
    seconds: float = 0.0
    begun: bool = True  # False where the sweep was over before
    code: int | None = None  # as the command's; None where the job was complete before
    said: str = ""

    @property
    def failed(self) -> bool:
        return self.code not in (0, None)


def name_of(folder: str) -> str:
    """What the sweep varied, by the name of a job's folder."""
    return folder.rpartition("-")[0] or folder


def begin(config: DictConfig) -> dict[str, Any]:
    """Notes when a sweep began, how many jobs it has, how many at once, and in which process, for all of its jobs."""
    jobs = count_jobs(config)
    at_once = jobs_at_once(config, jobs)
    found = {"started": time.time(), "jobs": jobs, "at_once": at_once, "process": this_process()}
    found["threads"] = threads_of_a_job(config, at_once)
    os.environ[VARIABLE] = json.dumps(found)
    return found


def began() -> dict[str, Any]:
    """What :func:`begin` noted."""
    nothing: dict[str, Any] = {"started": 0.0, "jobs": None, "at_once": 1, "process": None, "threads": None}
    return {**nothing, **json.loads(os.environ.get(VARIABLE, "{}"))}


def label(number: int) -> str:
    """A job of this sweep, for a line: ``[2/6]``."""
    return f"[{number + 1}/{began()['jobs'] or '?'}]"


def threads() -> dict[str, str]:
    """What the environment of a job says of its threads, where jobs share a machine."""
    found = began()["threads"] if apart() else None
    return {} if found is None else {"OMP_NUM_THREADS": str(found), "MKL_NUM_THREADS": str(found)}


def apart() -> bool:
    """Whether a launcher runs this job in another process than the one that began the sweep."""
    process = began()["process"]
    return process is not None and (process["pid"], process["host"]) != (os.getpid(), socket.gethostname())


def abandoned() -> bool:
    """Whether the process that began the sweep is gone; of one on another host, nobody here can tell."""
    return apart() and not may_be_alive(began()["process"])


def is_over(sweep_dir: Path, fail_fast: bool) -> bool:
    """Whether a job must not begin any more."""
    return abandoned() or (fail_fast and any(ending.failed for _, ending in endings(sweep_dir)))


def note_ending(run_dir: Path, number: int, **how: Any) -> None:
    """Leaves an :class:`Ending` in a job's folder."""
    ending = Ending(began()["started"], number, time.time(), **how)
    write_atomically(run_dir / ".hydra" / _ENDING, json.dumps(asdict(ending)).encode())


def pass_over(run_dir: Path, number: int) -> None:
    """Leaves a job unbegun, and its folder as it was."""
    if (run_dir / RECORD_NAME).exists():
        note_ending(run_dir, number, begun=False)
    else:
        remove_unused(run_dir)


def endings(sweep_dir: Path) -> Iterator[tuple[str, Ending]]:
    """The jobs of this sweep that have ended so far, by their folders' names."""
    for folder, ending in _noted(sweep_dir):
        if ending.sweep == began()["started"]:
            yield folder, ending


def _noted(sweep_dir: Path) -> Iterator[tuple[str, Ending]]:
    """How the jobs in a folder ended last, in whichever sweep."""
    for path in sweep_dir.glob(f"*/.hydra/{_ENDING}"):
        yield path.parents[1].name, Ending(**json.loads(path.read_bytes()))


def count_jobs(config: DictConfig) -> int | None:
    """How many jobs Hydra's own sweeper or a search will run; None where another sweeper decides."""
    sweeper = config.hydra.sweeper
    if is_search(config):
        return int(sweeper.n_trials)
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


def read_jobs(sweep_dir: Path, metric: str, since: float, ended_by: float | None = None) -> list[Job]:
    """The jobs that a sweep has come to since the time ``since``; a folder that it left alone is another's.

    One whose record is still of an earlier sweep counts as running, and so does one that had not been noted to have
    ended by the time ``ended_by``.
    """
    found = []
    noted_endings = dict(_noted(sweep_dir))
    for given in sorted(sweep_dir.glob("*/.hydra/overrides.yaml")):  # Hydra writes it whenever it comes to a job
        path, come = given.parents[1] / RECORD_NAME, given.stat().st_mtime
        ending = noted_endings.get(path.parent.name)
        of_another = ending is not None and ending.sweep != began()["started"]
        if come < since - 1 or (ending and (ending.at >= come if of_another else not ending.begun)):
            continue
        ending = None if of_another else ending
        if not path.exists():
            over = ending is not None or ended_by is None
            found.append(
                Job(path.parent.name, *(("failed", None, "it left no record") if over else ("running", None, "")))
            )
            continue
        try:
            record = read_record(path)
        except InputError as error:
            found.append(Job(path.parent.name, "failed", None, str(error)))
            continue
        earlier = path.stat().st_mtime < since
        noted = ending is not None and (ended_by is None or ending.at <= ended_by)
        if not noted and (earlier or ended_by is not None):
            found.append(Job(path.parent.name, "running", None, ""))
            continue
        status = "skipped" if record["status"] == "completed" and earlier else record["status"]
        lines = str(record["error"] or "").strip().splitlines()
        found.append(Job(path.parent.name, status, record["metrics"].get(metric), lines[-1] if lines else ""))
    return found


def best_of(jobs: list[Job], mode: str) -> Job | None:
    """The job with the best finite metric."""
    measured = [job for job in jobs if job.value is not None and abs(job.value) < float("inf")]
    sign = 1 if mode == "min" else -1
    return min(measured, key=lambda job: sign * job.value, default=None)  # type: ignore[operator]


def progress(sweep_dir: Path, run_dir: Path, metric: str, mode: str, now: float | None = None) -> str:
    """One line when a job has ended: how, the best so far, and the time that the rest will take, as of ``now``."""
    sweep = began()
    now = time.time() if now is None else now
    jobs = read_jobs(sweep_dir, metric, sweep["started"], now)
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
        to_go = sweep["jobs"] - len(ended)
        parts.append(f"{to_go} to go")
        taken = dict(endings(sweep_dir))
        seconds = [taken[job.folder].seconds for job in ended if job.status != "skipped" and job.folder in taken]
        if seconds:
            left = time_left(seconds, to_go, now - sweep["started"], sweep["at_once"])
            parts[-1] += f", about {duration(left)}"
    return "  ".join(parts)


def time_left(seconds: list[float], to_go: int, elapsed: float, at_once: int | None) -> float:
    """Seconds until the last job ends, of which some took ``seconds``, if the others take as long.

    Jobs at once come in rounds, and those under way have done a part already. Where nobody knows how many run at once,
    as many end in a time as did so far.

    >>> time_left([10, 10], to_go=2, elapsed=20, at_once=1), time_left([10], to_go=3, elapsed=10, at_once=2)
    (20.0, 10.0)
    >>> time_left([10, 10, 10, 10], to_go=2, elapsed=10, at_once=None)
    5.0
    """
    if at_once is None:
        return elapsed / len(seconds) * to_go
    each = sum(seconds) / len(seconds)
    return max(0.0, each * math.ceil((len(seconds) + to_go) / at_once) - elapsed)


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
