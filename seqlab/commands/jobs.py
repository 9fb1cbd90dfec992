"""What Hydra calls for each configuration that it has composed: a run, a job of a sweep, or the plan of a dry run.

Torch is not needed.
"""

import functools
import math
import os
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from seqlab.commands.attempt import Result, end_of, has_completed, refuse, system_error
from seqlab.commands.carry_out import carry_out
from seqlab.commands.dry_run import remove_if_empty
from seqlab.commands.earlier_runs import EarlierRuns
from seqlab.config.compose import plain_config
from seqlab.config.names import overrides_of
from seqlab.config.trust import allow, check_targets, modules_below
from seqlab.errors import InputError
from seqlab.imports import put_user_folders_last
from seqlab.run.client import server_here
from seqlab.run.events import COMPLETED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.run.output import drop_output
from seqlab.run.ownership import AtWorkError
from seqlab.run.parents import INIT_FROM, resolve_init_from
from seqlab.run.start import Start
from seqlab.sweep import search
from seqlab.sweep.progress import SKIPPED
from seqlab.sweep.sweep import StopSweep, Sweep


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

    def run(self, config: DictConfig) -> float | None:
        """Carries out one configuration; returns the metric that sweepers judge by, NaN where there is none.

        Optuna's sweeper stops at NaN, and takes None for a failed trial: for a search, NaN is None.
        """
        hydra_config = HydraConfig.get()
        run_dir = Path(hydra_config.runtime.output_dir)
        overrides = overrides_of(hydra_config)
        try:
            if config.dry_run:
                self._plan(run_dir, config, overrides)
                value = math.nan
            elif hydra_config.mode == RunMode.MULTIRUN:
                number = hydra_config.job.num if self.numbers is None else self.numbers[hydra_config.job.num]
                value = self._run_job(run_dir, config, overrides, number)
            else:
                self.code = self._attempt(run_dir, config, overrides, Start()).code
                if self.code != 2:  # a refused run has no result
                    print(run_dir, flush=True)
                value = metric_of(run_dir, config.optimize.metric) if self.code == 0 else math.nan
        except BrokenPipeError:  # Hydra would print a traceback
            drop_output()
            raise StopSweep("stopped") from None
        return None if math.isnan(value) and search.is_search(OmegaConf.create({"hydra": hydra_config})) else value

    def _plan(self, run_dir: Path, config: DictConfig, overrides: list[str]) -> None:
        """Notes a job for the dry run, and removes the folder that Hydra has made for it."""
        job: dict[str, Any] = {"overrides": overrides, "config": None, "mistake": None, "completed": False}
        try:
            job["config"] = plain = resolve_init_from(plain_config(config))
            self._trust_own_modules(plain)
            check_targets(plain)
            if not plain["overwrite"] and not self.earlier.begins_anew(run_dir, plain):
                job["completed"] = has_completed(run_dir, plain)
        except InputError as error:
            job["mistake"] = str(error)
        self.planned.append(job)
        remove_if_empty(run_dir)

    def _run_job(self, run_dir: Path, config: DictConfig, overrides: list[str], number: int) -> float:
        """Carries out one job of a sweep; returns the judged metric, NaN where the job is not done."""
        sweep = self.sweep
        assert sweep is not None
        note = functools.partial(sweep.note, number=number, folder=run_dir.name)
        end: dict[str, Any] = {}
        if sweep.is_over():
            note("leave")
            remove_if_empty(run_dir)
        elif sweep.is_apart():
            note("start")
            put_user_folders_last()
            server = server_here(sweep.server, sweep.environment())
            start = Start(
                sweep.environment(),
                to_file=True,
                server=server,
                give_up=sweep.is_halted,
                on_progress=lambda place: note("progress", **asdict(place)),
                on_silence=lambda place, seconds: note("silence", **asdict(place), seconds=seconds),
            )
            with redirect_stdout(StringIO()) as output, redirect_stderr(output):
                end = self._attempt_job(run_dir, config, overrides, start, number)
            note("end", **end, said=output.getvalue())
            if sweep.is_abandoned():  # the command is gone, and this process gets no further job
                os._exit(1)
        else:
            print(f"{sweep.label(number)} {' '.join(overrides)}", flush=True)
            note("start")
            start = Start(server=sweep.server)
            end = self._attempt_job(run_dir, config, overrides, start, number)
            note("end", **end)
            if start.was_stopped:
                raise StopSweep("stopped")
            if sweep.fail_fast and sweep.progress.has_failure:
                raise StopSweep("failed")
        is_done = end.get("status") in (COMPLETED, SKIPPED) and end.get("value") is not None
        return float(end["value"]) if is_done else math.nan

    def _attempt_job(
        self, run_dir: Path, config: DictConfig, overrides: list[str], start: Start, number: int
    ) -> dict[str, Any]:
        """Attempts a job; returns the fields of its event ``end``."""
        began = time.monotonic()
        result = self._attempt(run_dir, config, overrides, start, number)
        seconds = time.monotonic() - began
        return {"seconds": seconds, **end_of(run_dir, result, config.optimize.metric)}

    def _attempt(
        self, run_dir: Path, config: DictConfig, overrides: list[str], start: Start, number: int | None = None
    ) -> Result:
        """Carries out a configuration, and says what went wrong. A job of a sweep, which has a ``number``, is skipped
        where it has completed.

        Errors become results: raised, they would end the sweep, and Hydra would print more than one line.
        """
        try:
            plain = resolve_init_from(plain_config(config))
            overwrite = bool(plain.get("overwrite"))
            RunFolder(run_dir).settle()
            if number is not None:
                assert self.sweep is not None
                self.earlier.remember(run_dir, plain, number)
                overwrite |= self.earlier.begins_anew(run_dir, plain)
                if has_completed(run_dir, plain) and not overwrite:
                    print(f"{self.sweep.label(number)} completed before, skipped: {run_dir}", flush=True)
                    return Result(0, SKIPPED)
            self._trust_own_modules(plain)
            return Result(carry_out(run_dir, plain, overrides, start, overwrite=overwrite, parent=plain.get(INIT_FROM)))
        except AtWorkError as error:
            print(f"seqlab: {error}", file=sys.stderr, flush=True)
            return Result(2, RUNNING)
        except InputError as error:
            return Result(refuse(run_dir, config, overrides, error), error=str(error))
        except OSError as error:  # the operating system could not start this job
            print(f"seqlab: {system_error(error)}", file=sys.stderr, flush=True)
            return Result(1, error=system_error(error))

    def _trust_own_modules(self, config: dict[str, Any]) -> None:
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
