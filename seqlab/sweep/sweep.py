"""A sweep, as its command and its jobs see it, in whichever process they run.

The command creates one :class:`Sweep`. Launchers send a copy of it with the function that they run. So a job knows its
sweep without an environment variable or a global.
"""

import os
import secrets
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from seqlab.config.compose import judged_by
from seqlab.errors import InputError
from seqlab.report import tensorboard as board
from seqlab.run.events import ABSENT, COMPLETED, FAILED, INTERRUPTED, PRUNED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.run.layout import RECORD_NAME
from seqlab.run.provenance import may_be_alive, this_process
from seqlab.sweep.launchers import jobs_at_once, threads_of_a_job
from seqlab.sweep.log import SweepLog
from seqlab.sweep.messages import JobMessages
from seqlab.sweep.plan import plan_jobs
from seqlab.sweep.progress import AS_MEANT, Job, Progress
from seqlab.sweep.screen import Screen
from seqlab.sweep.sweeper_values import check_rungs, listed
from seqlab.sweep.tuning import Tuning
from seqlab.sweep.tuning_options import read_options

_POLL_SECONDS: Final = 0.5
_GRACE_SECONDS: Final = 10.0  # for a job to stop whose supervisor is gone


class StopSweep(BaseException):  # like KeyboardInterrupt, it passes through Hydra's and launchers' handlers
    """Ends a sweep from within a job or a callback.

    Args:
        reason: ``stopped`` (somebody asked for it), ``failed`` (a job failed, and ``fail_fast`` is on) or ``refused``
            (the sweep could not begin).
        error: why the sweep could not begin.
    """

    def __init__(self, reason: str, error: Exception | None = None) -> None:
        super().__init__(reason)
        self.reason, self.error = reason, error


class Sweep:
    """One sweep.

    Args:
        config: the configuration that its jobs share, with Hydra's section.
        num_jobs: the number of its jobs; None: that of its overrides.

    Attributes:
        folder: the sweep's folder.
        at_once: how many jobs run at the same time; None: unknown.
        threads: the number of threads of a job; None: not set here.
        fail_fast: whether the first failure ends the sweep.
        progress: its jobs, as far as this process knows.
        log: the events of jobs in other processes.
        pause_at: the share of its steps at which each job is paused now; None: jobs run to their end.
        last_rung: the last of such shares; None: jobs are not paused.
        server: the address of the server that the processes of its jobs are forked from; None: there is none.
    """

    def __init__(self, config: DictConfig, num_jobs: int | None = None) -> None:
        num_jobs = count_jobs(config) if num_jobs is None else num_jobs
        self.folder = Path(config.hydra.sweep.dir)
        self.at_once = jobs_at_once(config, num_jobs)
        self.threads = threads_of_a_job(config, self.at_once)
        self.fail_fast = bool(config.fail_fast)
        self.logs_to_tensorboard = str(config.logger.get("_target_")).endswith(".TensorBoardLogger")
        self.progress = Progress(*judged_by(config), num_jobs, self.at_once)
        self.log = SweepLog(self.folder.absolute(), secrets.token_hex(4))
        self.pause_at: float | None = None
        self.last_rung = max(check_rungs(listed("rungs", config.hydra.sweeper.get("rungs"))), default=None)
        self.server: str | None = None
        self._messages = JobMessages(self.progress)
        self._command = this_process()
        self._start_time = time.monotonic()
        self._watcher: threading.Thread | None = None
        self._screen: Screen | None = None
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._report_options = ""

    def __getstate__(self) -> dict[str, Any]:
        """The attributes that a job in another process needs."""
        only_here = ("_watcher", "_screen", "_end", "_lock", "_reading")
        return {name: value for name, value in self.__dict__.items() if name not in only_here}

    # In any process

    def is_worker(self) -> bool:
        """Whether this is another process than the command's: a launcher runs jobs here."""
        return this_process() != self._command

    def is_abandoned(self) -> bool:
        """Whether the command's process is gone. One on another machine is taken to be alive."""
        return self.is_worker() and not may_be_alive(self._command)

    def is_halted(self) -> bool:
        """Whether a running job must stop."""
        return self.is_worker() and (self.is_abandoned() or self.log.is_halted())

    def is_over(self) -> bool:
        """Whether no further job may begin."""
        return self.is_worker() and (self.is_abandoned() or self.log.is_stopped())

    def note(self, event: str, number: int, folder: str, **fields: Any) -> None:
        """Notes an event of a job; :mod:`seqlab.sweep.progress` lists the events."""
        if not self.is_worker():
            self._handle({"event": event, "number": number, "folder": folder, **fields})
            return
        if event == "end" and self.fail_fast and fields["status"] not in AS_MEANT:
            self.log.stop()  # now, before this process takes its next job: the command reads the event later
        try:
            self.log.write(event=event, number=number, folder=folder, **fields)
        except OSError as error:  # not fatal: the job's own folder says how it ended
            text = f"{self.label(number)}: its {event} could not be noted: {error.filename}: {error.strerror}"
            print(f"seqlab: {text}", file=sys.stderr, flush=True)

    def label(self, number: int) -> str:
        """A job of this sweep, for messages: ``[2/6]``."""
        return self.progress.label(number)

    def environment(self) -> dict[str, str]:
        """The environment variables of a job in this process."""
        return self.thread_variables() if self.is_worker() else {}

    def thread_variables(self) -> dict[str, str]:
        """The environment variables for the threads of jobs that share a machine."""
        if self.threads is None:
            return {}
        return {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}

    # In the command's process

    def start_watching(self) -> None:
        """From now on, prints how jobs in other processes end, and on a terminal how far they are.

        Raises:
            OSError: the log cannot be created.
        """
        self.log.create()
        self._messages.is_watching = True
        self._screen = Screen.open()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="sweep-watch")
        self._watcher.start()

    def _watch(self) -> None:
        while not self._end.wait(_POLL_SECONDS):
            try:
                self.read_log()
                if self._screen is not None:
                    self._screen.show(self.progress, self._elapsed())
            except BrokenPipeError:  # nobody reads the output any more
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def read_log(self) -> None:
        """Handles the new events of jobs in other processes, and prints a line for each job that has ended."""
        with self._reading:
            for event in self.log.read_new():
                self._handle(event)

    def stop_watching(self) -> None:
        """Handles the last events, and closes the screen."""
        if self._watcher is not None:
            self._end.set()
            self._watcher.join()
        if self._screen is not None:
            self._screen.close()
        self.read_log()

    def _handle(self, event: dict[str, Any]) -> None:
        with self._lock:
            self.progress.add(event)
            if event["event"] == "end" and self._watcher is not None and self.fail_fast and self.progress.has_failure:
                self.log.stop()
            self._messages.print_event(event, self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._start_time

    def prune(self, number: int, reason: str) -> None:
        """Ends the run of a paused job for good: others are better.

        Raises:
            AtWorkError: another process owns the run.
        """
        job, run = self.progress.jobs[number], self.run_of(number)
        if run.state().status == INTERRUPTED:
            with run.claim() as claim:
                if claim.status == INTERRUPTED:  # still: nobody has taken it up meanwhile
                    claim.prune(reason)
        replacement = job.is_replacement
        self.note("end", number, job.folder, status=PRUNED, error=reason, is_quiet=True, is_replacement=replacement)

    def run_of(self, number: int) -> RunFolder:
        """The run of a job that has ended: that in its folder, or the one that is to replace it."""
        job = self.progress.jobs[number]
        run = RunFolder(self.folder / job.folder)
        return run.replacement if job.is_replacement else run

    def compare_by(self, options: str) -> None:
        """The options of ``seqlab report`` that show what the sweep was for; printed at its end."""
        self._report_options = options

    def settle_lost_jobs(self) -> None:
        """Notes the end of jobs whose processes are gone and could not note it, from what their folders say."""
        self.stop_watching()
        deadline = time.monotonic() + _GRACE_SECONDS
        lost = [job for job in self.progress.running if not job.is_elsewhere]
        while any(map(self._is_at_work, lost)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        for job in self.progress.running:
            end = self._end_of_lost(job)
            if end["status"] != RUNNING:
                self.note("end", job.number, job.folder, **end)

    def _is_at_work(self, job: Job) -> bool:
        try:
            return RunFolder(self.folder / job.folder).latest().state().status == RUNNING
        except InputError:
            return False

    def _end_of_lost(self, job: Job) -> dict[str, Any]:
        """The fields of the ``end`` of a job whose process is gone."""
        try:
            state = RunFolder(self.folder / job.folder).latest().state()
        except InputError as error:
            return {"status": FAILED, "error": str(error)}
        if state.status == COMPLETED:
            return {"status": COMPLETED, "value": state.record["metrics"].get(self.progress.metric)}
        reason = str(state.record["error"] or "").strip()
        error_line = reason.splitlines()[-1] if reason else "its process is gone"
        return {"status": FAILED if state.status == ABSENT else state.status, "error": error_line}

    def finish(self, search_line: str | None = None) -> int:
        """Prints how the sweep ended.

        Args:
            search_line: a line about the search; None: there is no search.

        Returns:
            The exit code of the command.
        """
        self.settle_lost_jobs()
        self.log.remove()
        if self.fail_fast and self.progress.has_failure:
            print("seqlab: fail_fast=true ends the sweep with its first failure", file=sys.stderr, flush=True)
        print(self.progress.summary(str(self.folder)))
        if search_line is not None:
            print(search_line)
        if any(self.folder.glob(f"*/{RECORD_NAME}")):  # else there is nothing to compare or show
            print(f"compare them with: seqlab report {shlex.quote(str(self.folder))}{self._report_options}")
            if self.logs_to_tensorboard:
                show_in_tensorboard(self.folder)
        print(self.folder, flush=True)
        return self.progress.exit_code


def count_jobs(config: DictConfig) -> int | None:
    """The number of jobs of a sweep; None if another sweeper decides."""
    sweeper = config.hydra.sweeper
    if not str(sweeper.get("_target_")).endswith(".JobSweeper"):
        return None
    loader = GlobalHydra.instance().config_loader()  # it resolves a glob over a group's choices
    jobs = plan_jobs(OmegaConf.to_container(config.hydra.overrides.task), sweeper.get("params"), loader)  # type: ignore[arg-type]
    options = read_options(OmegaConf.to_container(sweeper))  # type: ignore[arg-type]
    return len(jobs) if options is None else Tuning(jobs, options, seed=config.get("seed")).num_jobs


def show_in_tensorboard(sweep_dir: Path) -> None:
    """Writes the sweep as a whole for TensorBoard. It is not a result: an error here is printed and changes nothing."""
    from seqlab.report import compare

    try:
        text = board.save_for_tensorboard(compare([sweep_dir]), sweep_dir)
    except Exception as error:  # anything: the user's runs may have any values
        print(f"seqlab: the sweep as a whole could not be written for TensorBoard: {_one_line(error)}", file=sys.stderr)
    else:
        print(f"{text}; see them with: tensorboard --logdir {shlex.quote(str(sweep_dir))}")


def _one_line(error: Exception) -> str:
    return " ".join((str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}").split())
