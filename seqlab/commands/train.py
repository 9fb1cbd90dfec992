"""``seqlab train``: composes configurations and supervises runs, each in a process of its own.

Nothing here imports torch, so a mistake in a configuration is told at once, and nothing a run does can end the sweep it
is in.
"""

import contextlib
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any, Final

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.commands.attempt import Result, end_of, has_completed, refuse, system_error
from seqlab.commands.carry_out import carry_out
from seqlab.config.checks import check_sweep
from seqlab.config.command_line import options_first, take_option, values, varied_keys
from seqlab.config.compose import plain_config, plain_values
from seqlab.config.hash import config_hash
from seqlab.config.hints import explain, is_of_composition
from seqlab.config.hydra_settings import check_hydra, check_typed, pin_sweep_folder
from seqlab.config.names import job_name, overrides_of, varied_by
from seqlab.config.own_files import check_own_files, search_path
from seqlab.config.trust import allow, check_targets, modules_below
from seqlab.errors import InputError
from seqlab.imports import FOLDERS_VARIABLE, add_user_folders, put_user_folders_last
from seqlab.run.comparison import Present, compare
from seqlab.run.events import ABSENT, COMPLETED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.run.forks.run_process import MODULE
from seqlab.run.forks.warm_server import Server, local_server, start_server
from seqlab.run.output import drop_output
from seqlab.run.ownership import AtWorkError
from seqlab.run.parents import INIT_FROM, resolve_init_from
from seqlab.run.process_end import no_room
from seqlab.run.start import Start
from seqlab.sweep import launchers, search
from seqlab.sweep.callback import StopSignals, owner, stop_signals
from seqlab.sweep.existing_runs import ExistingRun, describe_changes, describe_notices, find_existing_runs
from seqlab.sweep.memo import ComposedJob, ConfigSources, Memo, job_key
from seqlab.sweep.plan import PlannedJob, check_varied
from seqlab.sweep.progress import SKIPPED
from seqlab.sweep.sweep import StopSweep, Sweep
from seqlab.sweep.sweeper import register_sweeper

_CARRIED: Final = ("PYTHONSAFEPATH", "PYTHONPATH", "HYDRA_FULL_ERROR", "OMP_NUM_THREADS")


def train(argv: list[str]) -> int:
    """``seqlab train [-m] [HYDRA OVERRIDES]``; returns the exit code."""
    argv, allowed = take_option(argv, "--allow")
    allow(name for value in allowed for name in value.split(","))
    added = values(argv, "--config-dir", "-cd")
    own = [Path(folder).resolve().parent for folder in added]
    os.environ.pop(FOLDERS_VARIABLE, None)
    add_user_folders([os.getcwd(), *map(str, own)])
    overrides = [text for text in argv if ("=" in text or text.startswith("~")) and not text.startswith("-")]
    check_typed(overrides)
    check_own_files([*added, *search_path(overrides)])
    varied = frozenset(varied_keys(overrides))
    OmegaConf.register_new_resolver("seqlab.job", functools.partial(job_name, varied), replace=True)
    OmegaConf.register_new_resolver("seqlab.direction", search.direction, replace=True)
    # Otherwise Hydra answers an error with several lines and an exit code of its own.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    sys.argv = ["seqlab train", *options_first(argv)]
    register_sweeper()
    return TrainCommand(own, varied).run()


class TrainCommand:
    """One ``seqlab train``: Hydra calls :meth:`job` for each configuration; a launcher does so with a copy of this.

    Args:
        own_folders: the folders beside ``--config-dir``, whose modules the configuration may name.
        varied: the keys that the command line varies.
    """

    def __init__(self, own_folders: list[Path], varied: frozenset[str]) -> None:
        self.own_folders = own_folders
        self.varied = varied
        self.sweep: Sweep | None = None
        self.code = 0
        self.planned: list[dict[str, Any]] = []  # the jobs of a dry run
        self.anew: set[str] = set()  # the folders of jobs that begin anew beside what is there
        self.judged: set[str] = set()  # those of jobs whose runs were compared before any job started
        self._numbers: list[int] | None = None  # of the jobs that the launcher counts from 0; None: it counts all
        self._keys: dict[int, str] = {}  # by which jobs are remembered, by their numbers
        self._sources: ConfigSources | None = None  # that the jobs are composed from
        self._digest: str | None = None  # of them, when the sweep began
        self._began = False
        self._launches = False  # whether a launcher carries out the jobs in processes of its own
        self._halted = False  # whether its jobs were told to stop
        self._signals: StopSignals | None = None
        self._search: search.Study | None = None
        self._server: Server | None = None  # that the jobs' processes are forked from
        self._config: DictConfig | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a job in another process needs."""
        return {**self.__dict__, "_search": None, "_server": None, "_config": None, "_signals": None}

    def run(self) -> int:
        """Has Hydra compose the configurations and call back for each; returns the exit code."""
        with stop_signals(self._halt) as self._signals:
            return self._run(self._signals)

    def _run(self, signals: StopSignals) -> int:
        token = owner.set(self)
        try:
            self._run_hydra()
            if self._halted:
                return self._stopped()
            return _estimate(self.planned) if self.planned else self.code
        except StopSweep as stop:
            signals.end_at_once()
            if stop.error is not None:
                raise stop.error from None
            if stop.reason != "failed":
                return self._stopped()
            assert self.sweep is not None and self._config is not None
            self.end_sweep(self._config)
        except KeyboardInterrupt:
            return self._stopped()
        except BrokenPipeError:
            if not self._began:
                raise
            drop_output()
            return self._stopped()
        except OSError as error:
            if (full := no_room(error)) is None:
                raise
            print(f"seqlab: {system_error(full)}", file=sys.stderr)
            return 1
        finally:
            owner.reset(token)
            if self.sweep is not None:
                with contextlib.suppress(BrokenPipeError):
                    self.sweep.stop_watching()
                self.sweep.log.remove()
            if self._search is not None:
                self._search.close()
            if self._server is not None:
                self._server.close()
        return self.code

    def _run_hydra(self) -> None:
        try:
            hydra.main(version_base="1.3", config_path="pkg://seqlab.conf", config_name="train")(self.job)()
        except Exception as error:
            if self._search is not None and (refusal := search.explain_changed_space(error)) is not None:
                raise StopSweep("refused", refusal) from error
            if self._config is None or (not search.is_no_result(error) and not self._is_of_launcher(error)):
                raise
            launcher_failed = self._is_of_launcher(error) and not self._halted
            if launcher_failed:
                kind = launchers.kind_of(self._config)
                text = " ".join(f"{type(error).__name__}: {error}".split())
                print(f"seqlab: {kind} ended the sweep: {text}; the same command goes on with it", file=sys.stderr)
            self.end_sweep(self._config)
            if launcher_failed:
                self.code = 1

    def _is_of_launcher(self, error: Exception) -> bool:
        """Whether a launcher raised it, for it lost a process of its own or could not start one."""
        return (
            self._launches
            and not isinstance(error, (InputError, HydraException, OmegaConfBaseException, BrokenPipeError))
            and not is_of_composition(error)
            and not search.is_no_result(error)
            and no_room(error) is None
        )

    def _halt(self) -> bool:
        """Has the jobs in other processes stop; whether the sweep ends once they have."""
        if self.sweep is None or self._config is None or not self._launches:
            return False
        if self._search is not None or launchers.kind_of(self._config) == "submitit_slurm":  # whose jobs may wait long
            self.sweep.log.stop()
            return False
        self.sweep.log.halt()
        self._halted = True
        return True

    def _stopped(self) -> int:
        with contextlib.suppress(BrokenPipeError):
            if self.sweep is None or (self._config is not None and self._config.dry_run):
                print("seqlab: stopped", file=sys.stderr, flush=True)
            else:
                self.sweep.settle_lost_jobs()  # a job whose end nobody came to tell
                if self.sweep.progress.jobs and not self._halted:  # else its end has told how the jobs ended
                    print(self.sweep.progress.summary(str(self.sweep.folder)), flush=True)
                print("seqlab: the sweep was stopped; the same command goes on with it", file=sys.stderr, flush=True)
        return self.code or 1

    # Called by Hydra's callback

    def check_run(self, config: DictConfig) -> None:
        """Refuses what a run must not be given."""
        self._began = True
        check_hydra(config)

    def begin_sweep(self, config: DictConfig) -> None:
        """Takes up the sweep of ``config``, which this may change."""
        self._began = True
        self._config = config
        varied = varied_by(config, self.varied)
        check_hydra(config, varied)
        if not config.dry_run:  # which tells the mistakes of each job
            check_sweep(plain_values(config), varied)
        pin_sweep_folder(config)
        if config.dry_run:
            config.hydra.launcher = launchers.BASIC  # its jobs are composed, not run
        if search.is_search(config):
            self._search = search.open_study(config, varied)
        self.sweep = sweep = Sweep(config)
        if launchers.forks(config) and not config.dry_run:
            self._server = start_server(sweep.thread_variables())
            sweep.server = self._server.address if self._server else None
        if launchers.kind_of(config) == "basic":
            return
        for line in launchers.announce(config, sweep.at_once, sweep.threads):
            print(line, flush=True)
        launchers.carry_environment(config, (FOLDERS_VARIABLE, *_CARRIED))
        sweep.start_watching()
        self._launches = True
        if launchers.kind_of(config) == "ray":
            launchers.start_ray(config)
            if self._signals is not None:
                self._signals.install()  # Ray has its own handlers, which abort the process

    def choose_jobs(self, config: DictConfig, jobs: list[PlannedJob]) -> list[PlannedJob]:
        """The jobs that are left to run: without those that have completed, told what is other by now.

        Raises:
            StopSweep: runs are of other code or data, and nothing says what is to become of them.
        """
        assert self.sweep is not None
        self._numbers = [job.number for job in jobs]
        if config.dry_run:
            return jobs
        try:
            left = self._without_known(config, jobs)
        except InputError as error:
            raise StopSweep("refused", error) from error
        self._numbers = [job.number for job in left]
        return left

    def _without_known(self, config: DictConfig, jobs: list[PlannedJob]) -> list[PlannedJob]:
        sweep = self.sweep
        assert sweep is not None
        check_varied(jobs, plain_values(config))
        if not any(job.varied for job in jobs):
            print("seqlab: nothing is varied: a sweep of one job; several values are given as seed=1,2", flush=True)
        self._sources = ConfigSources.of(config)
        self._digest = digest = self._sources.digest()
        self._keys = {} if digest is None else {job.number: job_key(digest, job.overrides) for job in jobs}
        compose = functools.partial(self._compose, config)
        known = find_existing_runs(sweep.folder, jobs, self._keys, Memo(sweep.folder), compose, Present())
        for line in describe_notices(known):
            print(f"seqlab: {line}", file=sys.stderr, flush=True)
        self.judged = {each.folder for each in known}
        changed = [each for each in known if each.has_changed]
        overwrite = bool(config.overwrite)
        self._decide(changed, rerun=overwrite or bool(config.rerun_changed), keep=bool(config.keep_changed))
        anew = {each.folder for each in known} if overwrite else self.anew
        complete = {each.job.number: each for each in known if each.is_complete and each.folder not in anew}
        for number, each in complete.items():
            line = f"{sweep.label(number)} completed before, skipped: {sweep.folder / each.folder}"
            value = each.state.record["metrics"].get(sweep.progress.metric)
            end = {"status": SKIPPED, "value": value, "output": line, "is_quiet": True}
            sweep.note("end", number=number, folder=each.folder, **end)
        return [job for job in jobs if job.number not in complete]

    def _decide(self, changed: list[ExistingRun], *, rerun: bool, keep: bool) -> None:
        """Has jobs whose runs are of other code or data begin anew, as the user says.

        Raises:
            InputError: nothing says so.
        """
        if not changed:
            return
        line = describe_changes(changed)
        if rerun == keep:
            raise InputError(
                f"runs of this sweep are of other code or data ({line}): put that back, or rerun_changed=true runs "
                "them again, and each old result stays until the new one completes; keep_changed=true keeps what has "
                "completed as it is"
            )
        # What can't go on begins anew either way: a run is of one code.
        self.anew = {each.folder for each in changed if rerun or not each.is_complete}
        what = "run again" if rerun else "kept as they are where they have completed"
        print(f"seqlab: runs of other code or data ({line}) are {what}", file=sys.stderr, flush=True)

    def _compose(self, config: DictConfig, job: PlannedJob) -> tuple[str, dict[str, Any]]:
        """The name of a job's folder, and its configuration."""
        try:
            composed = GlobalHydra.instance().config_loader().load_sweep_config(config, list(job.overrides))
            folder = job_name(self.varied, _root_=composed)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(explain(error)) from error
        return folder, resolve_init_from(plain_config(composed))

    def end_sweep(self, config: DictConfig) -> None:
        """Tells how the sweep went."""
        assert self.sweep is not None
        if config.dry_run:
            _remove_unused(self.sweep.folder)
            return
        self.code = self.sweep.finish(None if self._search is None else self._search.best())

    # Called by Hydra for each configuration

    def job(self, config: DictConfig) -> float | None:
        """Carries out one configuration; returns the judged metric, NaN where the run failed, for sweepers."""
        try:
            return self._job(config)
        except BrokenPipeError:  # of which Hydra would say more
            drop_output()
            raise StopSweep("stopped") from None

    def _job(self, config: DictConfig) -> float | None:
        hydra_config = HydraConfig.get()
        run_dir = Path(hydra_config.runtime.output_dir)
        overrides = overrides_of(hydra_config)
        if config.dry_run:
            self._plan(run_dir, config, overrides)
            value = math.nan
        elif hydra_config.mode != RunMode.MULTIRUN:
            start = Start()
            self.code = self._attempt(run_dir, config, overrides, start).code
            print(run_dir, flush=True)
            value = _metric(run_dir, config.optimize.metric) if self.code == 0 else math.nan
        else:
            number = hydra_config.job.num if self._numbers is None else self._numbers[hydra_config.job.num]
            value = self._job_of_sweep(run_dir, config, number, overrides)
        # Optuna's sweeper fails over NaN, and takes what is no number for a failed trial.
        return None if math.isnan(value) and search.is_search(OmegaConf.create({"hydra": hydra_config})) else value

    def _job_of_sweep(self, run_dir: Path, config: DictConfig, number: int, overrides: list[str]) -> float:
        """Carries out one job; returns the judged metric, NaN where it is not done."""
        sweep = self.sweep
        assert sweep is not None
        end: dict[str, Any] = {}
        note = functools.partial(sweep.note, number=number, folder=run_dir.name)
        if sweep.is_over():
            note("leave")
            _remove_if_empty(run_dir)
        elif sweep.is_worker():
            note("start")
            put_user_folders_last()
            server = local_server(sweep.server, sweep.environment())
            start = Start(
                sweep.environment(),
                to_file=True,
                server=server,
                give_up=sweep.is_halted,
                on_progress=lambda place: note("progress", **asdict(place)),
                on_silence=lambda place, seconds: note("silence", **asdict(place), seconds=seconds),
            )
            with redirect_stdout(StringIO()) as output, redirect_stderr(output):
                end = self._carry_out_job(run_dir, config, overrides, start, number)
            note("end", **end, output=output.getvalue())
            if sweep.is_abandoned():  # nobody has work for this process any more
                os._exit(1)
        else:
            print(f"{sweep.label(number)} {' '.join(overrides)}", flush=True)
            note("start")
            start = Start(server=sweep.server)
            end = self._carry_out_job(run_dir, config, overrides, start, number)
            note("end", **end)
            if start.was_stopped:
                raise StopSweep("stopped")
            if sweep.fail_fast and sweep.progress.has_failure:
                raise StopSweep("failed")
        is_done = end.get("status") in (COMPLETED, SKIPPED) and end.get("value") is not None
        return float(end["value"]) if is_done else math.nan

    def _carry_out_job(
        self, run_dir: Path, config: DictConfig, overrides: list[str], start: Start, number: int
    ) -> dict[str, Any]:
        """Attempts a job; returns what its ``end`` says."""
        began = time.monotonic()
        result = self._attempt(run_dir, config, overrides, start, number)
        seconds = time.monotonic() - began
        return {"seconds": seconds, **end_of(run_dir, result, config.optimize.metric)}

    def _attempt(
        self, run_dir: Path, config: DictConfig, overrides: list[str], start: Start, number: int | None = None
    ) -> Result:
        """Carries out a configuration; as a job of a sweep, which has a number, nothing where it has completed."""
        try:
            plain = resolve_init_from(plain_config(config))
            overwrite = bool(plain.get("overwrite"))
            RunFolder(run_dir).repair()
            if number is not None:
                assert self.sweep is not None
                self._remember(run_dir, plain, number)
                overwrite |= run_dir.name in self.anew or self._begins_anew(run_dir, plain)
                if has_completed(run_dir, plain) and not overwrite:
                    print(f"{self.sweep.label(number)} completed before, skipped: {run_dir}", flush=True)
                    return Result(0, SKIPPED)
            self._trust_own_modules(plain)
            return Result(carry_out(run_dir, plain, overrides, start, overwrite=overwrite, parent=plain.get(INIT_FROM)))
        except AtWorkError as error:
            print(f"seqlab: {error}", file=sys.stderr, flush=True)
            return Result(2, RUNNING)
        except InputError as error:  # not raised: Hydra would end a sweep, and say more than one line
            return Result(refuse(run_dir, config, overrides, error), error=str(error))
        except OSError as error:  # also not re-raised: the system could not start this job
            print(f"seqlab: {system_error(error)}", file=sys.stderr, flush=True)
            return Result(1, error=system_error(error))

    def _remember(self, run_dir: Path, config: dict[str, Any], number: int) -> None:
        """Keeps what a job has been composed to, where nothing that it was composed from was edited meanwhile."""
        if number in self._keys and self._sources is not None and self._sources.digest() == self._digest:
            Memo(run_dir.parent).remember(ComposedJob.of(self._keys[number], run_dir.name, config))

    def _begins_anew(self, run_dir: Path, config: dict[str, Any]) -> bool:
        """Whether a job has come to a run of other code or data, which begins anew. Of most runs a sweep knows before;
        not of a search's, nor of those that have come to its folder since.

        Raises:
            InputError: nothing says what is to become of it.
        """
        if run_dir.name in self.judged:
            return False
        state = RunFolder(run_dir).state()
        kept = state.status == COMPLETED or (state.status not in (ABSENT, RUNNING) and state.has_checkpoint)
        if not kept or state.record["config_hash"] != config_hash(config):
            return False
        changed = compare(state.record, Present(), config=config, run_dir=run_dir).blocking
        if changed and not config["rerun_changed"] and not config["keep_changed"]:
            raise InputError(
                f"{run_dir} is of other code or data ({'; '.join(changed)}): rerun_changed=true runs it again, "
                "keep_changed=true keeps what has completed as it is"
            )
        return bool(changed) and (config["rerun_changed"] or state.status != COMPLETED)

    def _plan(self, run_dir: Path, config: DictConfig, overrides: list[str]) -> None:
        """Keeps a job for the dry run that follows, and takes away the folder that Hydra has made for it."""
        job: dict[str, Any] = {"overrides": overrides, "config": None, "mistake": None, "completed": False}
        try:
            job["config"] = plain = resolve_init_from(plain_config(config))
            self._trust_own_modules(plain)
            check_targets(plain)
            if not plain["overwrite"] and not self._begins_anew(run_dir, plain):
                job["completed"] = has_completed(run_dir, plain)
        except InputError as error:
            job["mistake"] = str(error)
        self.planned.append(job)
        _remove_if_empty(run_dir)

    def _trust_own_modules(self, config: dict[str, Any]) -> None:
        """Naming a folder on the command line is what trusts the code beside it."""
        put_user_folders_last()  # in the process of a launcher, too
        for folder in self.own_folders:
            allow(modules_below(config, folder))


def _estimate(jobs: list[dict[str, Any]]) -> int:
    """Has a process of its own estimate what the jobs of a dry run would take."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(jobs, file)
        file.flush()
        return subprocess.run([sys.executable, "-Pm", MODULE, "dry_run", file.name]).returncode


def _metric(run_dir: Path, name: str) -> float:
    """The judged metric of a completed run; NaN for any other, which a sweeper takes for a failed trial."""
    try:
        state = RunFolder(run_dir).state()
    except InputError:
        return math.nan
    return float(state.record["metrics"].get(name, math.nan)) if state.status == COMPLETED else math.nan


def _remove_unused(sweep_dir: Path) -> None:
    """Removes the folder of a sweep that was not run, where it holds no more than what Hydra puts into it."""
    if sweep_dir.is_dir() and [path.name for path in sweep_dir.iterdir()] == ["multirun.yaml"]:
        (sweep_dir / "multirun.yaml").unlink()
    _remove_if_empty(sweep_dir)


def _remove_if_empty(folder: Path) -> None:
    """Removes a folder that was made for nothing, and those above it that are empty then."""
    for empty in (folder, *folder.parents[:2]):
        if empty.is_dir() and not any(empty.iterdir()) and empty.resolve() != Path.cwd():
            empty.rmdir()
