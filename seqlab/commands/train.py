"""``seqlab train``: Hydra composes configurations, and each is carried out in a process of its own.

Nothing here imports torch, so a mistake in a configuration is reported at once. Nothing that a run does can end the
sweep that it is in.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.commands import shared_parts
from seqlab.commands.attempt import system_error
from seqlab.commands.dry_run import estimate, remove_unused_sweep
from seqlab.commands.jobs import Jobs
from seqlab.config.checks import check_sweep
from seqlab.config.command_line import option_values, options_first, take_option, varied_keys
from seqlab.config.compose import plain_config, plain_values
from seqlab.config.hints import explain, is_of_composition
from seqlab.config.hydra_settings import check_hydra, check_typed, pin_sweep_folder
from seqlab.config.layers import list_overrides
from seqlab.config.names import job_name, varied_by
from seqlab.config.own_files import check_own_files, search_path
from seqlab.config.project import VARIABLES, use_project
from seqlab.config.trust import allow, check_targets
from seqlab.errors import InputError
from seqlab.imports import FOLDERS_VARIABLE, add_user_folders
from seqlab.run.forks.warm_server import Server, start_server
from seqlab.run.output import drop_output
from seqlab.run.parents import resolve_init_from
from seqlab.run.process_end import no_room
from seqlab.sweep import launchers
from seqlab.sweep.callback import StopSignals, owner, stop_signals
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.search import Search
from seqlab.sweep.search_options import direction, is_search
from seqlab.sweep.sweep import StopSweep, Sweep
from seqlab.sweep.sweeper import register_sweepers

CARRIED: Final = (FOLDERS_VARIABLE, *VARIABLES, "PYTHONSAFEPATH", "PYTHONPATH", "HYDRA_FULL_ERROR", "OMP_NUM_THREADS")
"""Environment variables that a launcher's processes need as well."""


def train(argv: list[str]) -> int:
    """``seqlab train [-m] [HYDRA OVERRIDES]``; returns the exit code.

    Raises:
        InputError: an option, an override or a file of the configuration is wrong.
    """
    argv, allowed = take_option(argv, "--allow")
    allow(name for value in allowed for name in value.split(","))
    config_dirs = option_values(argv, "--config-dir", "-cd")
    config_dir = use_project(config_dirs[-1] if config_dirs else None, trusts_beside=True)
    if config_dir is not None and not config_dirs:
        config_dirs = [config_dir]
        argv = ["--config-dir", config_dir, *argv]
    own_folders = [Path(folder).resolve().parent for folder in config_dirs]
    os.environ.pop(FOLDERS_VARIABLE, None)
    add_user_folders([os.getcwd(), *map(str, own_folders)])
    overrides = [text for text in argv if ("=" in text or text.startswith("~")) and not text.startswith("-")]
    check_typed(overrides)
    check_own_files([*config_dirs, *search_path(overrides)])
    varied = frozenset(varied_keys(overrides))
    OmegaConf.register_new_resolver("seqlab.job", functools.partial(job_name, varied), replace=True)
    OmegaConf.register_new_resolver("seqlab.direction", direction, replace=True)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # without it Hydra prints an error in several lines, and exits
    sys.argv = ["seqlab train", *options_first(list_overrides(argv))]
    register_sweepers()
    try:
        return TrainCommand(Jobs(own_folders), varied).run()
    except InputError:
        raise
    except Exception as error:
        if not isinstance(error, (HydraException, OmegaConfBaseException)) and not is_of_composition(error):
            raise
        raise InputError(explain(error)) from error


class TrainCommand:
    """One ``seqlab train``, in the command's process: Hydra calls its methods when a run or a sweep begins and ends.

    Args:
        jobs: carries out each configuration, here or in a launcher's process.
        varied: the keys that the command line varies.
    """

    def __init__(self, jobs: Jobs, varied: frozenset[str]) -> None:
        self.jobs = jobs
        self.varied = varied
        self._has_begun = False
        self._config: DictConfig | None = None  # of the sweep
        self._search: Search | None = None
        self._server: Server | None = None  # forks the processes of the jobs
        self._signals: StopSignals | None = None
        self._uses_launcher = False  # a launcher carries out the jobs in processes of its own
        self._halted = False  # those jobs were told to stop

    def run(self) -> int:
        """Runs Hydra, which composes the configurations and calls `Jobs.run` with each; returns the exit code."""
        with stop_signals(self._halt) as self._signals, self._closing():
            try:
                try:
                    main = hydra.main(version_base="1.3", config_path="pkg://seqlab.conf", config_name="train")
                    main(self.jobs.run)()
                except Exception as error:
                    self._end_after(error)
                if self._halted:
                    return self._report_stop()
                return estimate(self.jobs.planned) if self.jobs.planned else self.jobs.code
            except StopSweep as stop:
                self._signals.end_at_once()
                if stop.error is not None:
                    raise stop.error from None
                if stop.reason != "failed":
                    return self._report_stop()
                assert self._config is not None
                self.end_sweep(self._config)
                return self.jobs.code
            except KeyboardInterrupt:
                return self._report_stop()
            except BrokenPipeError:
                if not self._has_begun:
                    raise
                drop_output()
                return self._report_stop()
            except OSError as error:
                if (full := no_room(error)) is None:
                    raise
                print(f"seqlab: {system_error(full)}", file=sys.stderr)
                return 1

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        """Makes this the command that Hydra's callback tells, and closes at the end what the sweep has opened."""
        token = owner.set(self)
        try:
            yield
        finally:
            owner.reset(token)
            if (sweep := self.jobs.sweep) is not None:
                with contextlib.suppress(BrokenPipeError):
                    sweep.stop_watching()
                sweep.log.remove()
            try:
                if self._search is not None:
                    self._close_search(self._search)
            finally:
                if self._server is not None:
                    self._server.close()

    def _close_search(self, study: Search) -> None:
        """Tells the study of the runs that have ended, and unlocks it."""
        try:
            if self.jobs.sweep is not None:
                study.settle(self.jobs.sweep.progress)
        except InputError as error:  # its storage fails: the next command finds the runs
            print(f"seqlab: {error}", file=sys.stderr)
        finally:
            study.close()

    def _end_after(self, error: Exception) -> None:
        """Ends the sweep after an error of its launcher; raises any other error."""
        if self._config is None or not self._is_of_launcher(error):
            raise error
        by_launcher = not self._halted
        if by_launcher:
            kind = launchers.kind_of(self._config)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"seqlab: {kind} ended the sweep: {text}; the same command goes on with it", file=sys.stderr)
        self.end_sweep(self._config)
        if by_launcher:
            self.jobs.code = 1

    def _is_of_launcher(self, error: Exception) -> bool:
        """Whether a launcher raised the error: it lost a process of its own, or could not start one."""
        return (
            self._uses_launcher
            and not isinstance(error, (InputError, HydraException, OmegaConfBaseException, BrokenPipeError))
            and not is_of_composition(error)
            and no_room(error) is None
        )

    def _halt(self) -> bool:
        """Tells the jobs in other processes to stop; returns whether the sweep ends by itself once they have."""
        if self.jobs.sweep is None or self._config is None or not self._uses_launcher:
            return False
        if launchers.kind_of(self._config) == "submitit_slurm":  # its jobs may wait long
            self.jobs.sweep.log.stop()
            return False
        self.jobs.sweep.log.halt()
        self._halted = True
        return True

    def _report_stop(self) -> int:
        """Prints that the command was stopped, and how far it was; returns the exit code."""
        sweep = self.jobs.sweep
        with contextlib.suppress(BrokenPipeError):
            if sweep is None or (self._config is not None and self._config.dry_run):
                print("seqlab: stopped", file=sys.stderr, flush=True)
            else:
                sweep.settle_lost_jobs()
                if sweep.progress.jobs and not self._halted:  # a sweep that was halted has printed its summary
                    print(sweep.progress.summary(str(sweep.folder)), flush=True)
                print("seqlab: the sweep was stopped; the same command goes on with it", file=sys.stderr, flush=True)
        return self.jobs.code or 1

    # Called by Hydra's callback

    def check_run(self, config: DictConfig) -> None:
        """Refuses the settings of Hydra that a single run must not have."""
        self._has_begun = True
        check_hydra(config)

    def begin_sweep(self, config: DictConfig) -> None:
        """Checks a sweep's configuration and opens what its jobs need; changes Hydra's section of ``config``."""
        self._has_begun = True
        self._config = config
        varied = varied_by(config, self.varied)
        check_hydra(config, varied)
        if not config.dry_run:  # a dry run reports the mistakes of each job
            check_sweep(plain_values(config), varied)
        pin_sweep_folder(config)
        if config.dry_run:
            config.hydra.launcher = launchers.BASIC  # its jobs are composed, not run
        if is_search(config):
            self._search = Search(config, varied)
        self.jobs.sweep = sweep = Sweep(config, self._search.num_trials if self._search else None)
        if launchers.forks(config) and not config.dry_run:
            self._server = start_server(sweep.thread_variables())
            sweep.server = self._server.address if self._server else None
        if not config.dry_run and shared_parts.may_be_wrong(config.hydra.overrides.task, varied):
            self._check_shared_parts(plain_values(config), sweep.server)
        if launchers.kind_of(config) != "basic":
            self._prepare_launcher(config, sweep)

    def _check_shared_parts(self, config: dict[str, Any], server: str | None) -> None:
        """Refuses keys that no part of the model or the task takes, once for all jobs."""
        config.pop("hydra", None)
        self.jobs.trust_own_modules(config)
        check_targets(config)
        shared_parts.check_shared_parts(config, server)

    def _prepare_launcher(self, config: DictConfig, sweep: Sweep) -> None:
        """Readies a launcher that runs jobs in processes of its own, and watches what they say."""
        for line in launchers.announce(config, sweep.at_once, sweep.threads):
            print(line, flush=True)
        launchers.carry_environment(config, CARRIED)
        sweep.start_watching()
        self._uses_launcher = True
        if launchers.kind_of(config) == "ray":
            launchers.start_ray(config)
            if self._signals is not None:
                self._signals.install()  # Ray's own handlers abort the process

    def choose_jobs(
        self, config: DictConfig, jobs: list[PlannedJob], pause_at: float | None = None
    ) -> list[PlannedJob]:
        """The jobs to run: all but those that have completed, or have come to where jobs are paused now.

        Raises:
            StopSweep: runs are of other code or data, and no option says what becomes of them.
        """
        assert self.jobs.sweep is not None
        self.jobs.sweep.pause_at = pause_at
        if not config.dry_run:
            compose = functools.partial(self._compose, config)
            try:
                jobs = self.jobs.earlier.choose_jobs(self.jobs.sweep, config, jobs, compose)
            except InputError as error:
                raise StopSweep("refused", error) from error
        self.jobs.numbers = [job.number for job in jobs]
        return jobs

    def running_sweep(self) -> Sweep | None:
        """The sweep, with all that its jobs have told; None if no further job may begin, or in a dry run."""
        sweep = self.jobs.sweep
        assert sweep is not None and self._config is not None
        sweep.read_log()
        is_over = self._halted or self._config.dry_run or (sweep.fail_fast and sweep.progress.has_failure)
        return None if is_over else sweep

    def open_search(self) -> Search:
        """The search of the sweep, which was opened when the sweep began."""
        assert self._search is not None
        return self._search

    def _compose(self, config: DictConfig, job: PlannedJob) -> tuple[str, dict[str, Any]]:
        """The name of a job's folder, and its configuration."""
        try:
            composed = GlobalHydra.instance().config_loader().load_sweep_config(config, list(job.overrides))
            folder = job_name(self.varied, _root_=composed)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(explain(error)) from error
        return folder, resolve_init_from(plain_config(composed))

    def end_sweep(self, config: DictConfig) -> None:
        """Prints how the sweep went."""
        assert self.jobs.sweep is not None
        if config.dry_run:
            remove_unused_sweep(self.jobs.sweep.folder)
        else:
            if self._search is not None:
                self.jobs.sweep.read_log()
                self._search.settle(self.jobs.sweep.progress)
            self.jobs.code = self.jobs.sweep.finish(None if self._search is None else self._search.best())
