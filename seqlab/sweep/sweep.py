"""A sweep: what its jobs need to know of it, in whichever process, and how it is told and ends in the command's.

The command makes one :class:`Sweep`. Launchers send a copy of it with the function that they run, so that a job knows
its sweep without an environment variable or a global.
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
from seqlab.run.events import ABSENT, COMPLETED, FAILED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.run.provenance import may_be_alive, this_process
from seqlab.run.start import silence_line
from seqlab.sweep.launchers import jobs_at_once, threads_of_a_job
from seqlab.sweep.log import SweepLog
from seqlab.sweep.plan import plan_jobs
from seqlab.sweep.progress import DONE, Job, Progress, name_of
from seqlab.sweep.screen import Screen
from seqlab.sweep.search import is_search

_LOOK_SECONDS: Final = 0.5
_PARTING_SECONDS: Final = 10.0  # for a job whose supervisor is gone, and which stops for that


class StopSweep(BaseException):  # like KeyboardInterrupt, it passes through Hydra's and launchers' handlers
    """Ends a sweep from within a job or a callback.

    Args:
        reason: ``stopped`` (somebody asked for the end), ``failed`` (a job did, and ``fail_fast`` is on) or ``refused``
            (it could not begin).
        error: why it was refused.
    """

    def __init__(self, reason: str, error: Exception | None = None) -> None:
        super().__init__(reason)
        self.reason, self.error = reason, error


class Sweep:
    """One sweep.

    Args:
        config: the configuration that its jobs share, with Hydra's section.
    """

    def __init__(self, config: DictConfig) -> None:
        num_jobs = count_jobs(config)
        self.folder = Path(config.hydra.sweep.dir)
        self.at_once = jobs_at_once(config, num_jobs)
        self.threads = threads_of_a_job(config, self.at_once)
        self.fail_fast = bool(config.fail_fast)
        self.logs_to_tensorboard = str(config.logger.get("_target_")).endswith(".TensorBoardLogger")
        self.progress = Progress(*judged_by(config), num_jobs, self.at_once)
        self.log = SweepLog(self.folder.absolute(), secrets.token_hex(4))
        self.server: str | None = None  # the address of the one that its jobs' processes are forked from
        self._modules: dict[str, str | None] = {}  # the user's own that jobs have loaded, with their hashes
        self._process = this_process()
        self._began = time.monotonic()
        self._watch: threading.Thread | None = None
        self._screen: Screen | None = None
        self._end = threading.Event()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What a job in another process needs."""
        here = ("_watch", "_screen", "_end", "_lock")
        return {name: value for name, value in self.__dict__.items() if name not in here}

    # In any process

    def is_apart(self) -> bool:
        """Whether a launcher runs this job in another process than the command's."""
        return this_process() != self._process

    def is_abandoned(self) -> bool:
        """Whether the command's process is gone; of one on another machine, nobody here can tell."""
        return self.is_apart() and not may_be_alive(self._process)

    def is_halted(self) -> bool:
        """Whether a job that runs must stop."""
        return self.is_apart() and (self.is_abandoned() or self.log.is_halted())

    def is_over(self) -> bool:
        """Whether a job must not begin any more."""
        return self.is_apart() and (self.is_abandoned() or self.log.is_stopped())

    def note(self, event: str, number: int, folder: str, **fields: Any) -> None:
        """Says what has become of a job, from whichever process."""
        if not self.is_apart():
            self._take({"event": event, "number": number, "folder": folder, **fields})
            return
        if event == "end" and self.fail_fast and fields["status"] not in DONE:
            self.log.stop()  # before this process is free: the command hears of it later
        try:
            self.log.write(event=event, number=number, folder=folder, **fields)
        except OSError as error:  # the job's own folder says how it ended
            reason = f"{error.filename}: {error.strerror}"
            print(f"seqlab: {self.label(number)} its {event} could not be told: {reason}", file=sys.stderr, flush=True)

    def label(self, number: int) -> str:
        """A job of this sweep, for a line: ``[2/6]``."""
        return f"[{number + 1}/{self.progress.num_jobs or '?'}]"

    def environment(self) -> dict[str, str]:
        """What a job's environment says of its threads, where jobs share a machine."""
        return self.thread_variables() if self.is_apart() else {}

    def thread_variables(self) -> dict[str, str]:
        """The same, of jobs at once."""
        if self.threads is None:
            return {}
        return {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}

    # In the command's process

    def watch(self) -> None:
        """Tells how jobs end that other processes carry out, from now on, and on a terminal how far they are.

        Raises:
            OSError: there is no room for their log.
        """
        self.log.create()
        self._screen = Screen.open()
        self._watch = threading.Thread(target=self._look, daemon=True, name="sweep-watch")
        self._watch.start()

    def _look(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            try:
                self.tell()
                if self._screen is not None:
                    self._screen.show(self.progress, time.monotonic() - self._began)
            except BrokenPipeError:  # nobody reads any more
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def tell(self) -> None:
        """Takes in what jobs in other processes have said, and prints a line for each that has ended."""
        for event in self.log.read_new():
            self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        with self._lock:
            self.progress.take(event)
            if event["event"] == "silence":
                self._tell_silence(event)
            if event["event"] == "end":
                if self._watch is not None and self.fail_fast and self.progress.has_failure:
                    self.log.stop()
                self._tell_end(event)
                self._tell_same(event)
                self._tell_edits(event)

    def _tell_same(self, event: dict[str, Any]) -> None:
        """Says where a job is one and the same run as another one: what is varied between them changes no result."""
        number, folder = int(event["number"]), str(event["folder"])
        same = [job.number for job in self.progress.jobs.values() if job.folder == folder and job.number != number]
        if same:
            print(
                f"seqlab: {self.label(number)} is the same run as {self.label(same[0])}: what is varied between "
                "the two changes no result",
                file=sys.stderr,
                flush=True,
            )

    def _tell_edits(self, event: dict[str, Any]) -> None:
        """Says where a module of the user's own was another for a job before: it was edited while the sweep runs."""
        modules: dict[str, str | None] = event.get("modules") or {}
        edited = [name for name, digest in modules.items() if self._modules.get(name, digest) != digest]
        self._modules.update(modules)
        if edited:
            job = f"{self.label(int(event['number']))} {name_of(event['folder'])}"
            print(
                f"seqlab: {job} has loaded another {', '.join(edited)} than a job before it: edited while the sweep "
                "runs, so the report keeps the two apart",
                file=sys.stderr,
                flush=True,
            )

    def _tell_silence(self, event: dict[str, Any]) -> None:
        number = int(event["number"])
        line = silence_line(self.progress.jobs[number].place, float(event["seconds"]))
        print(f"seqlab: {self.label(number)} {name_of(event['folder'])}: {line}", file=sys.stderr, flush=True)

    def _tell_end(self, event: dict[str, Any]) -> None:
        number, said = int(event["number"]), str(event.get("said") or "")
        if said:
            print(said.rstrip("\n"), flush=True)
        if event.get("is_quiet"):
            return
        trace = str(event.get("trace") or "").rstrip()
        if event["status"] == FAILED and self._watch is not None and trace and trace.splitlines()[0] not in said:
            print(trace, file=sys.stderr, flush=True)
        name = f" {name_of(event['folder'])} " if self._watch is not None else ""
        line = self.progress.line(number, time.monotonic() - self._began)
        print(f"{self.label(number)}{name} {line}", flush=True)

    def end_watch(self) -> None:
        """Tells what is left to tell."""
        if self._watch is not None:
            self._end.set()
            self._watch.join()
        if self._screen is not None:
            self._screen.close()
        self.tell()

    def lose(self) -> None:
        """Takes in how jobs ended that could not say so themselves, by what their folders say."""
        self.end_watch()
        until = time.monotonic() + _PARTING_SECONDS
        while any(self._is_at_work(job) for job in self.progress.running) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        for job in self.progress.running:
            try:
                state = RunFolder(self.folder / job.folder).state()
            except InputError as error:
                self.note("end", job.number, job.folder, status=FAILED, error=str(error))
                continue
            end: dict[str, Any] = {"status": FAILED if state.status == ABSENT else state.status}
            if end["status"] == COMPLETED:
                end["value"] = state.record["metrics"].get(self.progress.metric)
            else:
                reason = str(state.record["error"] or "").strip()
                end["error"] = reason.splitlines()[-1] if reason else "its process is gone"
            if end["status"] != RUNNING:
                self.note("end", job.number, job.folder, **end)

    def _is_at_work(self, job: Job) -> bool:
        try:
            return RunFolder(self.folder / job.folder).state().status == RUNNING
        except InputError:
            return False

    def finish(self, search_line: str | None = None) -> int:
        """Tells how the sweep ended; returns the command's exit code."""
        self.lose()
        self.log.remove()
        if self.fail_fast and self.progress.has_failure:
            print("seqlab: fail_fast=true ends the sweep with its first failure", file=sys.stderr, flush=True)
        print(self.progress.summary(str(self.folder)))
        if search_line is not None:
            print(search_line)
        print(f"compare them with: seqlab report {shlex.quote(str(self.folder))}")
        if self.logs_to_tensorboard:
            show_in_tensorboard(self.folder)
        print(self.folder, flush=True)
        return self.progress.exit_code


def count_jobs(config: DictConfig) -> int | None:
    """How many jobs Hydra's own sweeper or a search will run; None where another sweeper decides."""
    sweeper = config.hydra.sweeper
    if is_search(config):
        return int(sweeper.n_trials)
    if not str(sweeper.get("_target_")).endswith(".JobSweeper"):
        return None
    loader = GlobalHydra.instance().config_loader()  # it knows what a glob over a group's choices stands for
    return len(plan_jobs(OmegaConf.to_container(config.hydra.overrides.task), sweeper.get("params"), loader))  # type: ignore[arg-type]


def show_in_tensorboard(sweep_dir: Path) -> None:
    """The sweep as a whole for TensorBoard. It is no result: what is wrong with it is said, and changes nothing."""
    from seqlab.report import compare

    try:
        text = board.save_for_tensorboard(compare([sweep_dir]), sweep_dir)
    except Exception as error:  # whatever odd values there are in the runs of the user
        print(f"seqlab: the sweep as a whole could not be written for TensorBoard: {_one_line(error)}", file=sys.stderr)
    else:
        print(f"{text}; see them with: tensorboard --logdir {shlex.quote(str(sweep_dir))}")


def _one_line(error: Exception) -> str:
    return " ".join((str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}").split())
