"""The process that trains one run: from its arguments to its exit code. :mod:`seqlab.run.process` starts it."""

import argparse
import contextlib
import ctypes
import logging
import signal
import sys
import traceback
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException

from seqlab.callbacks.metrics import DivergedError
from seqlab.callbacks.pause import PauseAtRung
from seqlab.devices import is_first_process
from seqlab.errors import InputError
from seqlab.run import checkpoints
from seqlab.run.claim import Claim
from seqlab.run.crash import write_stack_on_crash
from seqlab.run.fields import last_lines
from seqlab.run.output import ignore_broken_pipe
from seqlab.run.ownership import LostClaimError
from seqlab.run.process_end import INTERRUPTED_CODE, LOST_CODE, no_room
from seqlab.run.progress import ProgressSender
from seqlab.run.provenance import process_started
from seqlab.run.rungs import Paused, find_paused
from seqlab.run.signals import Stopped, StopRequest, stop_requests
from seqlab.run.torch_settings import settings_put_back
from seqlab.run.training import execute
from seqlab.run.workers import LostProcessError, check_same_seqlab, join_run


def main(argv: list[str] | None = None) -> int:
    """Trains the run in a folder that ``seqlab train`` has claimed; returns the exit code of this process."""
    parser = argparse.ArgumentParser(prog="python -m seqlab.run.process train", description=main.__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--claim", type=int, metavar="FD", help="the open events file, inherited from the supervisor")
    parser.add_argument("--supervisor", type=int, metavar="PID", help="the process that claimed the run")
    parser.add_argument("--pause-at", type=float, metavar="SHARE", help="pause after this share of the steps")
    parser.add_argument("--last-rung", type=float, metavar="SHARE", help="the last share at which its sweep pauses it")
    parser.add_argument("--progress", type=int, metavar="FD", help="a pipe on which to report progress")
    args = parser.parse_args(argv)
    is_first = is_first_process()
    with stop_requests() as stop, ignore_broken_pipe(stop.request_stop):
        if args.supervisor is not None:
            end_with_supervisor(args.supervisor)
            if is_first:
                write_stack_on_crash(args.run_dir)
        logging.basicConfig(level=logging.INFO if is_first else logging.ERROR, format="%(message)s", stream=sys.stdout)
        _quiet_lightning()
        pause = None if args.pause_at is None else PauseAtRung(args.pause_at, args.last_rung)
        try:
            if is_first:
                return _train(args.run_dir, args.claim, ProgressSender(args.progress), stop, pause)
            return _train_as_worker(args.run_dir, stop, pause)
        except LostClaimError as error:
            if not is_first:  # the supervisor of the first process says so
                _say(error)
            return LOST_CODE


def train_in_this_process(claim: Claim) -> None:
    """Trains a claimed run in this process, for a caller who wants its exceptions: they are noted and raised.

    The random states and PyTorch's settings are the caller's again afterwards.
    """
    _quiet_lightning()
    try:
        with settings_put_back():
            execute(claim)
    except LostClaimError:  # nothing may be noted any more
        raise
    except BaseException as error:
        try:
            if (reason := _outside_cause(error)) is not None:
                claim.interrupt(reason)
            else:
                _note_failure(claim, error)
        except LostClaimError as lost:
            _say(lost)
        raise


def _train(
    run_dir: Path, descriptor: int, progress: ProgressSender, stop: StopRequest, pause: PauseAtRung | None
) -> int:
    """Trains in the run's first process, which notes how the run ended; returns the exit code."""
    claim: Claim | None = None
    try:
        claim = Claim.inherit(run_dir, descriptor)
        execute(claim, stop, progress, pause)
    except LostClaimError:
        raise
    except BaseException as error:  # an exit, too, which the user's code may call for
        stop.ignore()
        if claim is not None and (paused := find_paused(error)) is not None:
            return _note_pause(claim, paused)
        if (mistake := _as_mistake(error)) is not None:
            _say(mistake)
            if claim is not None:
                _note_failure(claim, mistake if mistake.__cause__ else str(mistake))  # a cause has a traceback
            return _exit_code(mistake)
        if (reason := _outside_cause(error)) is not None:
            return INTERRUPTED_CODE if claim is None else _note_interruption(claim, reason)
        if claim is None:
            raise
        _print_traceback(error)
        _note_failure(claim, claim.fields["worker_error"] or error)
        return 1
    return 0


def _train_as_worker(run_dir: Path, stop: StopRequest, pause: PauseAtRung | None) -> int:
    """Trains in a worker process, which reports its error to the first process; returns the exit code."""
    claim: Claim | None = None
    try:
        claim = join_run(run_dir)
        check_same_seqlab()
        execute(claim, stop, pause=pause)
    except LostClaimError:
        raise
    except BaseException as error:
        stop.ignore()
        if find_paused(error) is not None:  # so are the other processes, and the first one notes it
            return 0
        if (mistake := _as_mistake(error)) is not None:
            if claim is None:  # there is no first process that could say so
                _say(mistake)
            else:
                claim.report_worker(mistake if mistake.__cause__ else str(mistake))
            return _exit_code(mistake)
        if _outside_cause(error) is not None:
            return 0 if stop.is_agreed else INTERRUPTED_CODE  # Lightning kills the first process for any code but 0
        if claim is None:
            raise
        _print_traceback(error)
        claim.report_worker(error)
        return 1
    return 0


def _quiet_lightning() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _as_mistake(error: BaseException) -> InputError | DivergedError | None:
    """The error as one that a single line explains; None for any other."""
    if isinstance(error, MisconfigurationException):  # Lightning's, for a number that the data is too small for
        return InputError(f"trainer: {' '.join(str(error).split())}")
    return error if isinstance(error, InputError | DivergedError) else None


def _exit_code(mistake: InputError | DivergedError) -> int:
    return 2 if isinstance(mistake, InputError) else 1


def _say(error: Exception) -> None:
    print(f"seqlab: {error}", file=sys.stderr)


def _print_traceback(error: BaseException) -> None:
    traceback.print_exc()
    traceback.clear_frames(error.__traceback__)  # frees their tensors: writing the record takes memory as well


def _note_failure(claim: Claim, error: str | BaseException) -> None:
    """Notes why the run failed. A resumed run that could not start stays as it was."""
    fields = claim.fields
    if fields["resumes"] and not fields["trains"]:
        claim.withdraw(last_lines(error))
    else:
        claim.fail(error)


def _outside_cause(error: BaseException | None) -> str | None:
    """What ended the run from outside, so that it can continue; None if the run failed by itself."""
    if (full_disk := no_room(error)) is not None:
        return f"interrupted: {full_disk.strerror}; the last complete checkpoint is kept"
    while error is not None:
        if isinstance(error, LostProcessError):
            return f"interrupted: {error}"
        if isinstance(error, Stopped):
            return f"interrupted: stopped by {error}"
        if isinstance(error, KeyboardInterrupt):
            return "interrupted"
        error = error.__context__  # torch.save raises an error of its own over its half-written file
    return None


def _note_pause(claim: Claim, paused: Paused) -> int:
    """Notes that the run was paused at a rung; returns the exit code."""
    try:
        claim.pause(paused.rung)
    except OSError as error:
        if no_room(error) is None:
            raise
    return INTERRUPTED_CODE


def _note_interruption(claim: Claim, reason: str) -> int:
    """Notes an interruption, and says from which step the run can continue; returns the exit code."""
    step = checkpoints.last_step(claim.run_dir)
    place = f"from step {step}" if step else "from the beginning, since there is no checkpoint yet"
    print(f"seqlab: {reason}; it continues {place}; continue with: seqlab resume {claim.run_dir}", file=sys.stderr)
    with contextlib.suppress(OSError):  # a full disk: the exit code tells the supervisor
        claim.interrupt(reason.partition(": ")[2] or None)
    return INTERRUPTED_CODE


def end_with_supervisor(supervisor: int) -> None:
    """Makes Linux stop this process when its supervisor is gone, since nobody would watch it any more.

    If the supervisor is gone already, as after a kill during the imports, this process ends now: another command may
    have taken up the run. A worker process is killed: it has nothing to save, and could wait for the first process for
    ever.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM if is_first_process() else signal.SIGKILL)
    if process_started(supervisor) is None:
        sys.exit("seqlab: the process that started this run is gone")
