"""Composes configurations and supervises runs: each run trains in a process of its own.

Nothing here imports torch, so a mistake in a configuration is told at once, and nothing a run does can end the sweep it
is in.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import IO, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from seqlab.config.checks import check_config
from seqlab.config.command_line import options_first, take_option, values, varied_keys
from seqlab.config.compose import judged_by, plain_config
from seqlab.config.hash import config_hash
from seqlab.config.hydra_settings import check_typed
from seqlab.config.names import VARIED_VARIABLE, job_name, overrides_of
from seqlab.config.overrides import override
from seqlab.config.own_files import check_own_files, search_path
from seqlab.config.trust import OWN_VARIABLE, allow, check_targets, modules_below
from seqlab.devices import is_first_process, own_gpu
from seqlab.errors import InputError
from seqlab.imports import FOLDERS_VARIABLE, add_user_folders, put_user_folders_last
from seqlab.report import tensorboard as board
from seqlab.run.provenance import git_state
from seqlab.run.record import RECORD_NAME, RunRecord, read_record
from seqlab.run.supervisor import (
    AtWorkError,
    claim,
    claim_again,
    follower_error,
    give_up,
    no_room,
    note_end,
    read_job,
    show_alive,
    status_of,
    write_job,
)
from seqlab.sweep import jobs, search
from seqlab.sweep.callback import Outcome, end_watch, finish, show_in_tensorboard, summarise

_LOOK_SECONDS = 1.0  # at whoever began the sweep
_HEARTBEAT_SECONDS = 60.0


def train(argv: list[str]) -> int:
    """``seqlab train [-m] [HYDRA OVERRIDES]``; returns the exit code."""
    argv, allowed = take_option(argv, "--allow")
    allow(name for value in allowed for name in value.split(","))
    os.environ.pop(jobs.VARIABLE, None)  # of a sweep whose job this command may be in
    added = values(argv, "--config-dir", "-cd")
    own = [str(Path(folder).resolve().parent) for folder in added]
    os.environ[OWN_VARIABLE] = os.pathsep.join(own)
    os.environ.pop(FOLDERS_VARIABLE, None)
    add_user_folders([os.getcwd(), *own])
    OmegaConf.register_new_resolver("seqlab.job", job_name, replace=True)
    OmegaConf.register_new_resolver("seqlab.direction", search.direction, replace=True)
    overrides = [text for text in argv if ("=" in text or text.startswith("~")) and not text.startswith("-")]
    check_typed(overrides)
    check_own_files([*added, *search_path(overrides)])
    os.environ[VARIED_VARIABLE] = ",".join(varied_keys(overrides))
    # Otherwise Hydra answers an error with several lines and an exit code of its own.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    Outcome.code, Outcome.stopped, Outcome.failed, Outcome.sweep = 0, False, False, None
    Outcome.watch = Outcome.search = Outcome.refused = Outcome.config = None
    sys.argv = ["seqlab train", *options_first(argv)]
    try:
        with jobs.planning() as planned:
            _compose_and_run()
            if any(planned.iterdir()):
                return subprocess.run([sys.executable, "-m", "seqlab.run.process", "dry_run", str(planned)]).returncode
    except KeyboardInterrupt:
        if Outcome.refused is not None:
            raise Outcome.refused from None
        if not Outcome.failed:
            end_watch()
            print("seqlab: the sweep was stopped; the same command goes on with it", file=sys.stderr, flush=True)
            return 1
        summarise()
    except OSError as error:
        if (full := no_room(error)) is None:
            raise
        print(f"seqlab: {_told(full)}; make room, and the same command goes on", file=sys.stderr, flush=True)
        return 1
    finally:
        end_watch()
        if Outcome.search is not None:
            Outcome.search.close()
    return Outcome.code


def _compose_and_run() -> None:
    try:
        hydra.main(version_base="1.3", config_path="pkg://seqlab.conf", config_name="train")(_job)()
    except ValueError as error:
        if Outcome.config is None or not search.without_result(error):
            raise
        finish(Outcome.config)


def resume(run_dir: Path, overrides: list[str], allowed: list[str]) -> int:
    """``seqlab resume RUN_DIR [OVERRIDES]``: continues an interrupted or failed run from its last checkpoint.

    Raises:
        InputError: an override would change what the run computes.
    """
    record = read_record(run_dir)
    if record["status"] == "completed":
        print(f"{run_dir} is complete already; its metrics are in {run_dir / RECORD_NAME}")
        return 0
    allow(allowed)
    os.environ.pop(jobs.VARIABLE, None)
    add_user_folders([os.getcwd()])
    config = record["config"]
    with contextlib.suppress(InputError):  # a folder may have been moved without it
        config = read_job(run_dir)["config"]
    check_targets(config)
    moved = override(config, overrides)
    if config_hash(moved) != config_hash(config):
        raise InputError(
            f"{' '.join(overrides)}: a resumed run computes what it began with; only where it runs and what it shows "
            "may change, such as trainer.devices, trainer.strategy and trainer.accelerator"
        )
    check_config(moved)
    of_sweep = (run_dir / board.FILE_NAME).exists()  # before the claim, which may begin the run's events anew
    if is_first_process():
        claim_again(run_dir)
        write_job(run_dir, moved, record["overrides"] or [])
    with own_gpu(_wants_gpu(moved)):
        code = _supervise(run_dir, "--resume")
    if of_sweep:
        show_in_tensorboard(run_dir.resolve().parent)
    print(run_dir, flush=True)
    return code


def _job(config: DictConfig) -> float | None:
    """What Hydra runs once per configuration; returns the judged metric, NaN where the run failed, for sweepers."""
    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    if config.dry_run:
        value = _plan(run_dir, config, overrides_of(hydra_config))
    elif hydra_config.mode != RunMode.MULTIRUN:
        Outcome.code = _attempt(run_dir, config, overrides_of(hydra_config)) or 0
        print(run_dir, flush=True)
        return _metric(run_dir, config.optimize.metric)
    else:
        (_job_apart if jobs.apart() else _job_here)(run_dir, config, hydra_config)
        value = _metric(run_dir, config.optimize.metric)
    # Optuna's sweeper fails over NaN, and takes what is no number for a failed trial.
    return None if math.isnan(value) and search.is_search(OmegaConf.create({"hydra": hydra_config})) else value


def _job_here(run_dir: Path, config: DictConfig, hydra_config: Any) -> None:
    """One job of a sweep, in the process that began it."""
    number, began = hydra_config.job.num, time.time()
    label = jobs.label(number)
    print(f"{label} {' '.join(overrides_of(hydra_config))}", flush=True)
    code = _attempt(run_dir, config, overrides_of(hydra_config), label)
    jobs.note_ending(run_dir, number, seconds=time.time() - began, code=code)
    if code is None:
        return
    print(f"{label} {jobs.progress(run_dir.parent, run_dir, *judged_by(config))}", flush=True)
    Outcome.failed = code != 0 and not Outcome.stopped and bool(config.fail_fast)
    if Outcome.stopped or Outcome.failed:
        raise KeyboardInterrupt  # which Hydra lets through


def _job_apart(run_dir: Path, config: DictConfig, hydra_config: Any) -> None:
    """One job of a sweep, in a process that a launcher started; the one that began the sweep tells how it ends."""
    number, began = hydra_config.job.num, time.time()
    if jobs.is_over(run_dir.parent, config.fail_fast):
        jobs.pass_over(run_dir, number)
    else:
        with redirect_stdout(StringIO()) as said, redirect_stderr(said):
            code = _attempt(run_dir, config, overrides_of(hydra_config), jobs.label(number))
        jobs.note_ending(run_dir, number, seconds=time.time() - began, code=code, said=said.getvalue())
    if jobs.abandoned():  # nobody has work for this process any more
        os._exit(1)


def _attempt(run_dir: Path, config: DictConfig, overrides: list[str], label: str | None = None) -> int | None:
    """The exit code of a run; None where ``label`` names a sweep's job that there is nothing to do for: it was complete
    before, or another command is at work in it."""
    try:
        plain = plain_config(config)
        if label and _completed(run_dir, plain) and not _outdated(run_dir, plain["rerun_changed"]):
            print(f"{label} completed before, skipped: {run_dir}", flush=True)
            return None
        return _run(run_dir, plain, overrides)
    except AtWorkError as error:
        print(f"seqlab: {error}", file=sys.stderr, flush=True)
        return None if label else 2
    except InputError as error:  # not raised: Hydra would end a sweep, and say more than one line
        return _refused(run_dir, config, overrides, error)
    except OSError as error:  # nor is what keeps this one job from its start, such as too many processes
        print(f"seqlab: {_told(error)}", file=sys.stderr, flush=True)
        give_up(run_dir, _told(error))
        return 1


def _refused(run_dir: Path, config: DictConfig, overrides: list[str], error: InputError) -> int:
    """Tells a mistake, and keeps it in the run's record; not in one that can still be resumed, or can't be read."""
    print(f"seqlab: {error}", file=sys.stderr, flush=True)
    with contextlib.suppress(InputError):
        if is_first_process() and status_of(run_dir) in (None, "failed"):
            plain: Any = OmegaConf.to_container(config)
            RunRecord.start(run_dir, plain, overrides, None).fail(str(error))
    return 2


def _told(error: OSError) -> str:
    """The operating system's error in one line."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


def _plan(run_dir: Path, config: DictConfig, overrides: list[str]) -> float:
    """Keeps a job for the dry run that follows, and takes away what Hydra has made for it."""
    job: dict[str, Any] = {"overrides": overrides, "config": None, "mistake": None, "completed": False}
    try:
        job["config"] = plain = plain_config(config)
        _trust_own_modules(plain)
        check_targets(plain)
        job["completed"] = _completed(run_dir, plain)
    except InputError as error:
        job["mistake"] = str(error)
    number = HydraConfig.get().job.num if HydraConfig.get().mode == RunMode.MULTIRUN else 0
    jobs.plan(number, job)
    if not (run_dir / RECORD_NAME).exists():
        jobs.remove_unused(run_dir)
    return math.nan


def _trust_own_modules(config: dict[str, Any]) -> None:
    """Naming a folder on the command line is what trusts the code beside it."""
    put_user_folders_last()  # in the process of a launcher, too
    for folder in filter(None, os.environ.get(OWN_VARIABLE, "").split(os.pathsep)):
        allow(modules_below(config, Path(folder)))


def _run(run_dir: Path, config: dict[str, Any], overrides: list[str]) -> int:
    _trust_own_modules(config)
    check_targets(config)
    with own_gpu(_wants_gpu(config), give_up=jobs.abandoned):
        if not is_first_process():
            return _supervise(run_dir)  # of a run on several machines, of which the first claims it
        anew = status_of(run_dir) == "interrupted" and _outdated(run_dir, bool(config.get("rerun_changed")))
        return _supervise(run_dir, *(["--resume"] if claim(run_dir, config, overrides, anew) else []))


def _wants_gpu(config: dict[str, Any]) -> bool:
    """Whether the run is to have a GPU to itself; one of an earlier version says nothing of it."""
    return bool(config.get("runtime", {}).get("gpu_per_job", False))


def _supervise(run_dir: Path, *options: str) -> int:
    """Trains in a process of its own; returns the command's exit code: 0 if the run is complete."""
    board.remove_row(run_dir)
    if is_first_process():
        follower_error(run_dir).unlink(missing_ok=True)
    supervisor = ["--supervisor", str(os.getpid())]
    command = [sys.executable, "-m", "seqlab.run.process", "train", str(run_dir), *supervisor, *options]
    with _output(run_dir) as stream:
        process = subprocess.Popen(command, env={**os.environ, **jobs.threads()}, stdout=stream, stderr=stream)
        code = _wait(process, run_dir)
    return note_end(run_dir, process.pid, code) if is_first_process() else int(code != 0)


@contextmanager
def _output(run_dir: Path) -> Iterator[IO[bytes] | None]:
    """Where a run prints: of several at once, each into a file in its folder."""
    if not jobs.apart():
        yield None
        return
    with (run_dir / "output.log").open("ab") as stream:
        yield stream


def _wait(process: "subprocess.Popen[bytes]", run_dir: Path) -> int:
    """The exit code of a run's process. Whoever tells this one to stop stops that one, and after it the sweep."""

    def terminate(*_: object) -> None:
        Outcome.stopped = True
        process.terminate()

    is_main = threading.current_thread() is threading.main_thread()  # no other may have a handler
    earlier = signal.signal(signal.SIGTERM, terminate) if is_main else None
    shown = time.monotonic()
    try:
        while True:
            try:
                return process.wait(_LOOK_SECONDS if jobs.apart() else _HEARTBEAT_SECONDS)
            except KeyboardInterrupt:
                Outcome.stopped = True  # the terminal has told the child as well: it keeps its record and ends
            except subprocess.TimeoutExpired:
                if jobs.abandoned():  # nobody would hear of this run: it is left to the next sweep
                    terminate()
                if time.monotonic() - shown >= _HEARTBEAT_SECONDS:
                    show_alive(run_dir)
                    shown = time.monotonic()
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, earlier)


def _completed(run_dir: Path, config: dict[str, Any]) -> bool:
    return status_of(run_dir) == "completed" and read_record(run_dir)["config_hash"] == config_hash(config)


def _outdated(run_dir: Path, rerun: bool) -> bool:
    """Whether a job begins anew, for the code that completed or left it was of another commit; said where it was."""
    record = read_record(run_dir)
    before, now = record["git"].get("commit"), git_state()["commit"]
    if None in (before, now) or before == now:
        return False
    mend = "so it is run again" if rerun else "rerun_changed=true runs it again"
    commits = f"commit {str(before)[:10]} where {str(now)[:10]} is now"
    print(f"{record['status']} by other code, {commits}: {mend}", flush=True)
    return rerun


def _metric(run_dir: Path, name: str) -> float:
    """The judged metric of a completed run; NaN for any other, which a sweeper takes for a failed trial."""
    try:
        record = read_record(run_dir)
    except InputError:
        return math.nan
    return float(record["metrics"].get(name, math.nan)) if record["status"] == "completed" else math.nan
