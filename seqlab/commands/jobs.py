"""What Hydra calls for each configuration that it has composed: a run, a job of a sweep, or the plan of a dry run.

Torch is not needed.
"""

import functools
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from seqlab.commands.attempt import Result, end_of, has_completed, refuse, system_error
from seqlab.commands.carry_out import carry_out
from seqlab.commands.dry_run import remove_if_empty
from seqlab.commands.earlier_runs import EarlierRuns
from seqlab.config.compose import plain_config
from seqlab.config.names import overrides_of
from seqlab.config.trust import allow, check_targets, modules_below
from seqlab.errors import InputError
from seqlab.imports import put_user_folders_last
from seqlab.run.events import COMPLETED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.run.forks.warm_server import local_server
from seqlab.run.output import drop_output
from seqlab.run.ownership import AtWorkError
from seqlab.run.parents import INIT_FROM, resolve_init_from
from seqlab.run.start import Start
from seqlab.sweep.progress import SKIPPED
from seqlab.sweep.sweep import StopSweep, Sweep


@dataclass(frozen=True)
class Job:
    """A configuration to carry out.

    Attributes:
        run_dir: the folder of its run.
        config: the composed configuration, not resolved.
        overrides: as they were typed.
        number: the job's number in its sweep, from 0; None for a single run.
    """

    run_dir: Path
    config: DictConfig
    overrides: list[str]
    number: int | None = None


class Jobs:
    """The configurations of one ``seqlab train``. A launcher sends a copy to the processes that its jobs run in.

    Args:
        own_folders: the folders beside ``--config-dir``, whose modules the configuration may name.

    Attributes:
        sweep: the sweep that the jobs are of; None for a single run.
        earlier: the runs that the jobs have already.
        numbers: of the jobs to run, in the order of the launcher, which counts them from 0; None: it runs all.
        code: the exit code of a single run.
        planned: the jobs of a dry run.
    """

    def __init__(self, own_folders: list[Path]) -> None:
        self.own_folders = own_folders
        self.sweep: Sweep | None = None
        self.earlier = EarlierRuns()
        self.numbers: list[int] | None = None
        self.code = 0
        self.planned: list[dict[str, Any]] = []

    def run(self, config: DictConfig) -> float:
        """Carries out one configuration; returns the metric that sweepers judge by, NaN where there is none."""
        hydra_config = HydraConfig.get()
        number = None
        if hydra_config.mode == RunMode.MULTIRUN:
            number = hydra_config.job.num if self.numbers is None else self.numbers[hydra_config.job.num]
        job = Job(Path(hydra_config.runtime.output_dir), config, overrides_of(hydra_config), number)
        try:
            if config.dry_run:
                self._plan(job)
                value = math.nan
            elif job.number is None:
                self.code = self._attempt(job, Start()).code
                if self.code != 2:  # a refused run has no result
                    print(job.run_dir, flush=True)
                value = metric_of(job.run_dir, config.optimize.metric) if self.code == 0 else math.nan
            else:
                value = self._run_of_sweep(job, job.number)
        except BrokenPipeError:  # Hydra would print a traceback
            drop_output()
            raise StopSweep("stopped") from None
        return value

    def _plan(self, job: Job) -> None:
        """Notes a job for the dry run, and removes the folder that Hydra has made for it."""
        plan: dict[str, Any] = {"overrides": job.overrides, "config": None, "mistake": None, "completed": False}
        try:
            plan["config"] = config = resolve_init_from(plain_config(job.config))
            self.trust_own_modules(config)
            check_targets(config)
            if not config["overwrite"] and not self.earlier.begins_anew(job.run_dir, config):
                plan["completed"] = has_completed(job.run_dir, config)
        except InputError as error:
            plan["mistake"] = str(error)
        self.planned.append(plan)
        remove_if_empty(job.run_dir)

    def _run_of_sweep(self, job: Job, number: int) -> float:
        """Carries out a job of a sweep; returns the judged metric, NaN where the job is not done."""
        assert self.sweep is not None
        note = functools.partial(self.sweep.note, number=number, folder=job.run_dir.name)
        if self.sweep.is_over():
            note("leave")
            remove_if_empty(job.run_dir)
            return math.nan
        run = self._run_apart if self.sweep.is_worker() else self._run_here
        end = run(job, self.sweep, note)
        is_done = end.get("status") in (COMPLETED, SKIPPED) and end.get("value") is not None
        return float(end["value"]) if is_done else math.nan

    def _run_here(self, job: Job, sweep: Sweep, note: Callable[..., None]) -> dict[str, Any]:
        """Carries out a job in the command's process, and prints its output; returns the fields of its event ``end``.

        Raises:
            StopSweep: the command was asked to stop, or the job failed and ``fail_fast`` is on.
        """
        assert job.number is not None
        print(f"{sweep.label(job.number)} {' '.join(job.overrides)}", flush=True)
        note("start")
        start = Start(server=sweep.server, pause_at=sweep.pause_at, last_rung=sweep.last_rung)
        end = self._timed_attempt(job, start)
        note("end", **end)
        if start.was_stopped:
            raise StopSweep("stopped")
        if sweep.fail_fast and sweep.progress.has_failure:
            raise StopSweep("failed")
        return end

    def _run_apart(self, job: Job, sweep: Sweep, note: Callable[..., None]) -> dict[str, Any]:
        """Carries out a job in a launcher's process, and sends its output to the command; returns as `_run_here`."""
        note("start")
        put_user_folders_last()
        start = Start(
            sweep.environment(),
            to_file=True,
            server=local_server(sweep.server, sweep.environment()),
            pause_at=sweep.pause_at,
            last_rung=sweep.last_rung,
            give_up=sweep.is_halted,
            on_progress=lambda place: note("progress", **asdict(place)),
            on_silence=lambda place, seconds: note("silence", **asdict(place), seconds=seconds),
        )
        with redirect_stdout(StringIO()) as output, redirect_stderr(output):
            end = self._timed_attempt(job, start)
        note("end", **end, output=output.getvalue())
        if sweep.is_abandoned():  # the command is gone, and this process gets no further job
            os._exit(1)
        return end

    def _timed_attempt(self, job: Job, start: Start) -> dict[str, Any]:
        """Attempts a job of a sweep; returns the fields of its event ``end``."""
        began = time.monotonic()
        result = self._attempt(job, start)
        seconds = time.monotonic() - began
        metric = job.config.optimize.metric
        return {"seconds": seconds, **end_of(job.run_dir, result, metric, start.pause_at, start.trained_in)}

    def _attempt(self, job: Job, start: Start) -> Result:
        """Carries out a configuration, and prints what went wrong. A job of a sweep that has completed is skipped.

        Errors become results: raised, they would end the sweep, and Hydra would print more than one line.
        """
        try:
            config = resolve_init_from(plain_config(job.config))
            overwrite = bool(config.get("overwrite"))
            RunFolder(job.run_dir).repair()
            if job.number is not None:
                assert self.sweep is not None
                self.earlier.remember(job.run_dir, config, job.number)
                overwrite |= self.earlier.begins_anew(job.run_dir, config)
                if has_completed(job.run_dir, config) and not overwrite:
                    print(f"{self.sweep.label(job.number)} completed before, skipped: {job.run_dir}", flush=True)
                    return Result(0, SKIPPED)
            self.trust_own_modules(config)
            parent = config.get(INIT_FROM)
            return Result(carry_out(job.run_dir, config, job.overrides, start, overwrite=overwrite, parent=parent))
        except AtWorkError as error:
            print(f"seqlab: {error}", file=sys.stderr, flush=True)
            return Result(2, RUNNING)
        except InputError as error:
            return Result(refuse(job.run_dir, job.config, job.overrides, error), error=str(error))
        except OSError as error:  # the operating system could not start this job
            print(f"seqlab: {system_error(error)}", file=sys.stderr, flush=True)
            return Result(1, error=system_error(error))

    def trust_own_modules(self, config: dict[str, Any]) -> None:
        """Allows the modules beside ``--config-dir``: whoever names that folder trusts the code beside it."""
        put_user_folders_last()  # in a launcher's process, too
        for folder in self.own_folders:
            allow(modules_below(config, folder))


def metric_of(run_dir: Path, name: str) -> float:
    """A metric of a completed run; NaN for any other run, which a sweeper takes for a failed trial."""
    try:
        state = RunFolder(run_dir).state()
    except InputError:
        return math.nan
    return float(state.record["metrics"].get(name, math.nan)) if state.status == COMPLETED else math.nan
