"""Composes configurations and supervises runs: each run trains in a process of its own.

Nothing here imports torch, so a mistake in a configuration is told at once, and nothing a run does can end the sweep it
is in.
"""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab import sweep
from seqlab.command_line import extend_python_path, take_option, values, varied_keys
from seqlab.errors import InputError
from seqlab.explain import explain
from seqlab.fingerprint import config_hash
from seqlab.override import override
from seqlab.provenance import git_state
from seqlab.rank import is_first_process
from seqlab.record import RECORD_NAME, RunRecord, read_record
from seqlab.report import tensorboard as board
from seqlab.supervise import (
    AtWorkError,
    claim,
    claim_again,
    give_up,
    no_room,
    note_end,
    read_job,
    show_alive,
    status_of,
    write_job,
)
from seqlab.trust import allow, check_targets, modules_below

_LONGEST_NAME = 100
_HEARTBEAT = 60.0  # seconds
_VARIED = "SEQLAB_VARIED_KEYS"  # in the environment, for a launcher may name its jobs in other processes


def train(argv: list[str]) -> int:
    """``seqlab train [-m] [HYDRA OVERRIDES]``; returns the exit code."""
    argv, allowed = take_option(argv, "--allow")
    allow(name for value in allowed for name in value.split(","))
    folders = [os.getcwd(), *(str(Path(folder).resolve().parent) for folder in values(argv, "--config-dir", "-cd"))]
    extend_python_path(folders)
    OmegaConf.register_new_resolver("seqlab.job", _job_name, replace=True)
    os.environ[_VARIED] = ",".join(varied_keys([text for text in argv if "=" in text and not text.startswith("-")]))
    # Otherwise Hydra answers an error with several lines and an exit code of its own.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    _Outcome.code, _Outcome.stopped, _Outcome.failed, _Outcome.sweep = 0, False, False, None
    sys.argv = ["seqlab train", *argv]
    try:
        with sweep.planning() as planned:
            hydra.main(version_base="1.3", config_path="pkg://seqlab.conf", config_name="train")(_job)()
            if any(planned.iterdir()):
                return subprocess.run([sys.executable, "-m", "seqlab.dry_run", str(planned)]).returncode
    except KeyboardInterrupt:
        if _Outcome.failed:
            print("seqlab: fail_fast=true ends the sweep with its first failure", file=sys.stderr, flush=True)
            _summarise()
            return 1
        print("seqlab: the sweep was stopped; the same command goes on with it", file=sys.stderr, flush=True)
        return 1
    except OSError as error:
        if (full := no_room(error)) is None:
            raise
        print(f"seqlab: {_told(full)}; make room, and the same command goes on", file=sys.stderr, flush=True)
        return 1
    return _Outcome.code


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
    extend_python_path([os.getcwd()])
    config: dict[str, Any] = read_job(run_dir)["config"]
    check_targets(config)
    moved = override(config, overrides)
    if config_hash(moved) != config_hash(config):
        raise InputError(
            f"{' '.join(overrides)}: a resumed run computes what it began with; only where it runs and what it shows "
            "may change, such as trainer.devices, trainer.strategy and trainer.accelerator"
        )
    if is_first_process():
        claim_again(run_dir)
        write_job(run_dir, moved, record["overrides"])
    of_sweep = (run_dir / board.FILE_NAME).exists()
    code = _supervise(run_dir, "--resume")
    if of_sweep:
        _show_in_tensorboard(run_dir.resolve().parent)
    print(run_dir, flush=True)
    return code


class _Outcome:
    """How the command goes: Hydra returns nothing from a job, nor from a sweep."""

    code = 0
    stopped = False  # somebody asked for the end
    failed = False  # a job failed, and fail_fast is on
    sweep: tuple[Path, str] | None = None  # its folder, and the judged metric
    tensorboard = False  # its runs log there


def _job(config: DictConfig) -> float | None:
    """What Hydra runs once per configuration; returns the judged metric, NaN where the run failed, for sweepers."""
    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    multirun = hydra_config.mode == RunMode.MULTIRUN
    overrides = _overrides(hydra_config)
    if config.dry_run:
        return _plan(run_dir, config, overrides)
    number = f"[{hydra_config.job.num + 1}/{sweep.began()['jobs'] or '?'}]" if multirun else ""
    if multirun:
        print(f"{number} {' '.join(overrides)}", flush=True)
    try:
        plain = _plain(config)
        if multirun and _completed(run_dir, plain) and not _outdated(run_dir, plain["rerun_changed"]):
            print(f"{number} completed before, skipped: {run_dir}", flush=True)
            return _metric(run_dir, plain["optimize"]["metric"])
        code = _run(run_dir, plain, overrides)
    except AtWorkError as error:
        print(f"seqlab: {error}", file=sys.stderr, flush=True)
        if not multirun:
            _Outcome.code = 2
        return math.nan
    except InputError as error:  # not raised: Hydra would end a sweep, and say more than one line
        code = _refused(run_dir, config, overrides, error)
    except OSError as error:  # nor is what keeps this one job from its start, such as too many processes
        print(f"seqlab: {_told(error)}", file=sys.stderr, flush=True)
        give_up(run_dir, _told(error))
        code = 1
    if multirun:
        optimize = config.optimize
        print(f"{number} {sweep.progress(run_dir.parent, run_dir, optimize.metric, optimize.mode)}", flush=True)
        _Outcome.failed = code != 0 and not _Outcome.stopped and bool(config.fail_fast)
    if multirun and (_Outcome.stopped or _Outcome.failed):
        raise KeyboardInterrupt  # which Hydra lets through
    if not multirun:
        _Outcome.code = code
        print(run_dir, flush=True)
    return _metric(run_dir, config.optimize.metric)


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
        job["config"] = plain = _plain(config)
        _trust_own_modules(plain)
        check_targets(plain)
        job["completed"] = _completed(run_dir, plain)
    except InputError as error:
        job["mistake"] = str(error)
    number = HydraConfig.get().job.num if HydraConfig.get().mode == RunMode.MULTIRUN else 0
    sweep.plan(number, job)
    if not (run_dir / RECORD_NAME).exists():
        sweep.remove_unused(run_dir)
    return math.nan


def _trust_own_modules(config: dict[str, Any]) -> None:
    """Naming a folder on the command line is what trusts the code beside it."""
    for name in values(sys.argv, "--config-dir", "-cd"):
        allow(modules_below(config, Path(name).resolve().parent))


def _run(run_dir: Path, config: dict[str, Any], overrides: list[str]) -> int:
    _trust_own_modules(config)
    check_targets(config)
    if not is_first_process():
        return _supervise(run_dir)  # of a run on several machines, of which the first claims it
    anew = status_of(run_dir) == "interrupted" and _outdated(run_dir, bool(config.get("rerun_changed")))
    return _supervise(run_dir, *(["--resume"] if claim(run_dir, config, overrides, anew) else []))


def _plain(config: DictConfig) -> dict[str, Any]:
    try:
        missing = OmegaConf.missing_keys(config)
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(explain(error)) from error
    if missing:
        raise InputError(f"{', '.join(sorted(missing))}: a value is needed; give it on the command line")
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _supervise(run_dir: Path, *options: str) -> int:
    """Trains in a process of its own; returns the command's exit code: 0 if the run is complete."""
    board.remove_row(run_dir)
    command = [sys.executable, "-m", "seqlab.train", str(run_dir), "--supervisor", str(os.getpid()), *options]
    process = subprocess.Popen(command)
    code = _wait(process, run_dir)
    return note_end(run_dir, process.pid, code) if is_first_process() else int(code != 0)


def _wait(process: "subprocess.Popen[bytes]", run_dir: Path) -> int:
    """The exit code of a run's process. Whoever tells this one to stop stops that one, and after it the sweep."""

    def terminate(*_: object) -> None:
        _Outcome.stopped = True
        process.terminate()

    is_main = threading.current_thread() is threading.main_thread()  # no other may have a handler
    earlier = signal.signal(signal.SIGTERM, terminate) if is_main else None
    try:
        while True:
            try:
                return process.wait(timeout=_HEARTBEAT)
            except subprocess.TimeoutExpired:
                show_alive(run_dir)
            except KeyboardInterrupt:
                _Outcome.stopped = True  # the terminal has told the child as well: it keeps its record and ends
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


def _job_name(*, _root_: DictConfig) -> str:
    """A sweep's folder for a job: what the sweep varies, to be read, and the hash of the job's configuration.

    A folder that ends in the hash already is the job's own, whatever the sweep varied when it was made.
    """
    config = OmegaConf.create({key: value for key, value in _root_.items_ex(resolve=False) if key != "hydra"})
    digest = config_hash(OmegaConf.to_container(config, resolve=True))[:8]  # type: ignore[arg-type]
    for earlier in sorted(Path(_root_.hydra.sweep.dir).glob(f"*{digest}")):
        return earlier.name
    varied = {*os.environ.get(_VARIED, "").split(","), *(_root_.hydra.sweeper.get("params") or {})}
    overrides = [text for text in _overrides(_root_.hydra) if text.partition("=")[0].lstrip("+~") in varied]
    readable = re.sub(r"[^\w.=,+-]+", "-", ",".join(overrides))[:_LONGEST_NAME].strip(",-")
    return f"{readable}-{digest}" if readable else digest


def _overrides(hydra_config: Any) -> list[str]:
    """The job's overrides as they were typed: one may hold an interpolation, which reading it would resolve."""
    return OmegaConf.to_container(hydra_config.overrides.task)  # type: ignore[return-value]


class SweepSummary(Callback):
    """Hydra's callback of a sweep: at its end, how its runs ended, and the exit code."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        sweep.begin(config)
        _Outcome.sweep = Path(config.hydra.sweep.dir), config.optimize.metric
        _Outcome.tensorboard = str(config.logger.get("_target_")).endswith(".TensorBoardLogger")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if config.dry_run:
            sweep.remove_unused(Path(config.hydra.sweep.dir))
        else:
            _summarise()


def _summarise() -> None:
    """The end of a sweep, which ``fail_fast`` may have brought about."""
    assert _Outcome.sweep is not None
    sweep_dir, metric = _Outcome.sweep
    text, all_done = sweep.summary(sweep_dir, metric)
    print(text)
    print(f"compare them with: seqlab report {sweep_dir}")
    if _Outcome.tensorboard:
        _show_in_tensorboard(sweep_dir)
    print(sweep_dir, flush=True)
    _Outcome.code = 0 if all_done else 1


def _show_in_tensorboard(sweep_dir: Path) -> None:
    """The sweep as a whole for TensorBoard. It is no result: what is wrong with it is said, and changes nothing."""
    from seqlab.report import compare

    try:
        text = board.save_for_tensorboard(compare([sweep_dir]), sweep_dir)
    except Exception as error:  # whatever odd values there are in the runs of the user
        print(f"seqlab: the sweep as a whole could not be written for TensorBoard: {_one_line(error)}", file=sys.stderr)
    else:
        print(f"{text}; see them with: tensorboard --logdir {sweep_dir}")


def _one_line(error: Exception) -> str:
    return " ".join((str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}").split())
