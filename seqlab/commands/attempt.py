"""The result of an attempt to carry out a configuration, and what a sweep is told of it. Torch is not needed."""

import contextlib
import errno
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.config.compose import plain_values
from seqlab.config.hash import config_hash
from seqlab.devices import is_first_process
from seqlab.errors import InputError
from seqlab.run.events import ABSENT, COMPLETED, FAILED, INTERRUPTED, PRUNED, RUNNING
from seqlab.run.folder import RunFolder
from seqlab.run.process_end import NO_ROOM
from seqlab.run.replacement import unowned_files
from seqlab.run.rungs import find_rung
from seqlab.run.state import State
from seqlab.sweep.progress import PAUSED


@dataclass(frozen=True)
class Result:
    """The result of an attempt to carry out a configuration.

    Attributes:
        code: the exit code, were the attempt a command of its own.
        status: of a job that was not attempted: it had completed, or another command is at work in its folder.
        error: why the attempt could not begin.
    """

    code: int
    status: str | None = None
    error: str | None = None


def end_of(
    run_dir: Path, result: Result, metric: str, pause_at: float | None = None, trained_in: Path | None = None
) -> dict[str, Any]:
    """The fields of a job's event ``end``, from the run that was attempted.

    Args:
        run_dir: the run's folder.
        result: the result of the attempt.
        metric: the metric that the sweep judges by.
        pause_at: the share of its steps at which the run was to be paused.
        trained_in: the folder that it has trained in: ``run_dir``, or that of its replacement; None: nothing trained.
    """
    end: dict[str, Any] = {"status": result.status, "is_refused": result.code == 2 and result.status is None}
    if result.status is not None:  # a line has said so already
        end["is_quiet"] = True
    try:
        run = _run_after(run_dir, trained_in)
        if result.status is None and (paused := paused_at(run, pause_at)) is not None:
            return {**end, **paused, "is_replacement": run.path != run_dir}
        state = run.state()
    except InputError as error:
        return {**end, "status": FAILED, "error": str(error)}
    if result.status is None:
        end["status"] = state.status if result.code == 0 or state.is_stopped else FAILED
    reason = _reason(state, result)
    if end["status"] == FAILED:
        end.update(error=reason.splitlines()[-1] if reason else "it left no record", trace=reason)
    elif end["status"] != RUNNING and reason:
        end["error"] = reason.splitlines()[-1]
    if result.status is None:  # the modules of this attempt, not of an earlier one
        files = (state.record["code"] or {}).get("files") or []
        end["modules"] = {file["module"]: file["sha256"] for file in files}
    return {**end, "value": state.record["metrics"].get(metric)}


def paused_at(run: RunFolder, share: float | None) -> dict[str, Any] | None:
    """The fields of the event ``end`` of a job whose run is paused at a rung, or was pruned after it.

    Args:
        run: the run.
        share: the share of the training that the rung is at; None: there is no rung.
    """
    found = None if share is None else find_rung(run, share)
    if found is None:
        return None
    state, rung = found
    if state.status not in (INTERRUPTED, PRUNED) or not state.has_checkpoint:
        return None
    status = PAUSED if state.status == INTERRUPTED else PRUNED
    return {"status": status, **{name: rung[name] for name in ("value", "step", "steps")}}


def _run_after(run_dir: Path, trained_in: Path | None) -> RunFolder:
    """The run that was attempted: the replacement, unless it has taken the place of the other by now."""
    run = RunFolder(trained_in or run_dir)
    return run if run.state().status != ABSENT else RunFolder(run_dir)


def _reason(state: State, result: Result) -> str:
    """Why an attempt did not complete, in lines."""
    reason = state.reason if result.code != 0 else state.record["error"]
    return str(result.error or reason or "").strip()


def has_completed(run_dir: Path, config: dict[str, Any]) -> bool:
    """Whether a folder holds the completed run of a configuration."""
    state = RunFolder(run_dir).state()
    return state.status == COMPLETED and state.record["config_hash"] == config_hash(config)


def refuse(run_dir: Path, config: DictConfig, overrides: list[str], error: InputError) -> int:
    """Prints a mistake, and notes it in the run's folder where nothing would be lost; returns the exit code."""
    print(f"seqlab: {error}", file=sys.stderr, flush=True)
    with contextlib.suppress(InputError, OSError):
        if is_first_process() and RunFolder(run_dir).state().status in (ABSENT, FAILED):
            with RunFolder(run_dir).claim() as claim:
                foreign_files = unowned_files(run_dir) if claim.status == ABSENT else []
                if not claim.state().has_checkpoint and not foreign_files:
                    plain: Any = OmegaConf.to_container(config)
                    with contextlib.suppress(OmegaConfBaseException):
                        plain = plain_values(config)  # resolved, as for the hash in the folder's name
                    claim.begin(plain, overrides)
                    claim.fail(str(error))
    return 2


def system_error(error: OSError) -> str:
    """The operating system's error in one line, with the mend where one is known."""
    text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if error.errno in NO_ROOM:
        return f"{text}; make room, and the same command goes on"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{text}; make it writable, or give another folder"
    return text
