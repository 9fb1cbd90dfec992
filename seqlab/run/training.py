"""One run: trains, evaluates the best checkpoint and keeps the record. :mod:`seqlab.run.process` calls it."""

import argparse
import contextlib
import ctypes
import logging
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger

from seqlab.callbacks import AtomicCheckpointIO, AtTest, RunCheckpoint, TrainingMetrics
from seqlab.callbacks.checkpoint import rewind_events
from seqlab.callbacks.metrics import DivergedError
from seqlab.callbacks.tell import TellProgress
from seqlab.config import build
from seqlab.config.checks import check_config
from seqlab.devices import is_first_process
from seqlab.errors import ChangedError, InputError
from seqlab.nn.size import count_parameters
from seqlab.run import content, load
from seqlab.run.code import COPIES, changed_modules, keep_copies, record_of
from seqlab.run.fields import error_text
from seqlab.run.folder import Claim
from seqlab.run.inputs import FileHashes, Stamp, changed_meanwhile, describe_files, stamps
from seqlab.run.loaded import LoadedFile, late_imports, loaded_files, watch_imports
from seqlab.run.output import lasting_output
from seqlab.run.ownership import LostClaimError
from seqlab.run.parents import CONTINUES, INIT_FROM, MAY_CHANGE, copy_checkpoints, is_parents
from seqlab.run.progress import DATA, END, EVALUATION, MODEL, TRAINING, Teller
from seqlab.run.provenance import process_started, seqlab_git, this_process, users_git
from seqlab.run.signals import Stopped, StopRequest, stop_requests
from seqlab.run.supervisor import INTERRUPTED_CODE, no_room, watch_crashes
from seqlab.run.weights import load_initial_weights
from seqlab.run.workers import LostProcessError, check_same_seqlab, join_run, prepare_workers, wait_for_file
from seqlab.tasks.devices import leave_group

log = logging.getLogger("seqlab")

_PARTING_SECONDS = 3.0  # from a connection that is gone to the end of the process at its other side


def main(argv: list[str] | None = None) -> int:
    """Carries out the run in a folder that ``seqlab train`` prepared; returns the exit code of its process."""
    parser = argparse.ArgumentParser(prog="python -m seqlab.run.process train", description=main.__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--claim", type=int, metavar="FD", help="the run's events, open, from the one that claimed it")
    parser.add_argument("--supervisor", type=int, metavar="PID", help="the process that claimed the run")
    parser.add_argument("--progress", type=int, metavar="FD", help="a pipe to tell the supervisor of progress")
    args = parser.parse_args(argv)
    with stop_requests() as stop, lasting_output(stop.ask):
        return _carry_out(args.run_dir, args.claim, args.supervisor, args.progress, stop)


def _carry_out(run_dir: Path, descriptor: int, supervisor: int | None, progress: int | None, stop: StopRequest) -> int:
    first = is_first_process()
    if supervisor is not None:
        end_with(supervisor)
        if first:
            watch_crashes(run_dir)
    logging.basicConfig(level=logging.INFO if first else logging.ERROR, format="%(message)s", stream=sys.stdout)
    _quiet_lightning()
    claim: Claim | None = None
    try:
        claim = Claim.inherit(run_dir, descriptor) if first else join_run(run_dir)
        if not first:
            check_same_seqlab()
        execute(claim, stop, Teller(progress if first else None))
    except (InputError, DivergedError, MisconfigurationException) as error:
        if isinstance(error, MisconfigurationException):  # of a number that the data is too small for
            error = InputError(f"trainer: {' '.join(str(error).split())}")
        stop.ignored()
        if claim is not None:
            _note_failure(claim, error if error.__cause__ else str(error))  # with the traceback, where there is more
        if first:
            print(f"seqlab: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except LostClaimError as error:
        print(f"seqlab: {error}", file=sys.stderr)
        return 1
    except BaseException as error:  # an exit, too, which code of the user's may call for
        stop.ignored()
        reason = _outside(error)
        if reason is not None and (claim is None or not first):
            return 0 if stop.agreed else INTERRUPTED_CODE  # Lightning kills the first process where another one fails
        if claim is None:
            raise
        if reason is not None:
            return _interrupted(claim, reason)
        traceback.print_exc()
        traceback.clear_frames(error.__traceback__)  # their tensors: keeping the record takes memory as well
        _note_failure(claim, claim.fields["worker_error"] or error)
        return 1
    return 0


def _quiet_lightning() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def carry_out_here(claim: Claim) -> None:
    """Carries out a claimed run in this process, for a caller who wants its errors: they are noted, and raised."""
    _quiet_lightning()
    try:
        execute(claim)
    except BaseException as error:
        if (reason := _outside(error)) is not None:
            claim.interrupt(reason)
        else:
            _note_failure(claim, error)
        raise


def _note_failure(claim: Claim, error: str | BaseException) -> None:
    """Notes why the run failed. What could not start leaves a run that it was to go on with as it was."""
    try:
        if not is_first_process():
            claim.report_worker(error)
        elif claim.fields["resumes"] and not claim.fields["trains"]:
            claim.withdraw(error_text(error))
        else:
            claim.fail(error)
    except LostClaimError as lost:  # the run is another process's by now
        print(f"seqlab: {lost}", file=sys.stderr)


def _outside(error: BaseException | None) -> str | None:
    """What came from outside and ended a run, so that it can go on; None where the run failed by itself."""
    if (full := no_room(error)) is not None:
        return f"interrupted: {full.strerror}; the last whole checkpoint is kept"
    while error is not None:
        if isinstance(error, LostProcessError):
            return f"interrupted: {error}"
        if isinstance(error, Stopped):
            return f"interrupted: stopped by {error}"
        if isinstance(error, KeyboardInterrupt):
            return "interrupted"
        error = error.__context__  # torch.save answers with an error over its half-written file
    return None


def _interrupted(claim: Claim, told: str) -> int:
    """Notes and tells that the run can go on, from which step, and what kept it from that."""
    step = load.last_step(claim.run_dir)
    place = f"from step {step}" if step else "from the beginning, for there is no checkpoint yet"
    print(f"seqlab: {told}; it goes on {place}; continue with: seqlab resume {claim.run_dir}", file=sys.stderr)
    with contextlib.suppress(OSError):  # on a full disk, where the exit code tells the supervisor
        claim.interrupt(told.partition(": ")[2] or None)
    return INTERRUPTED_CODE


def execute(claim: Claim, stop: StopRequest | None = None, teller: Teller | None = None) -> None:
    """Trains a claimed run, evaluates its best checkpoint on validation and test, and completes it.

    Several devices train together; then the first evaluates alone, which is exact whatever their number.

    Args:
        claim: the run, begun or gone on with.
        stop: what asks the run to stop; None: nothing does.
        teller: is told how far the run is; None: nobody is.

    Raises:
        Stopped: the run was asked to, and has saved where it trained.
    """
    stop = stop or StopRequest()
    teller = teller or Teller()
    teller.tell(DATA)
    record = claim.fields
    config, run_dir = record["config"], claim.run_dir
    continues = bool(config.get(CONTINUES))
    resume = record["resumes"] > 0 or continues
    watch_imports()
    check_config(config)
    prepare_process(config)
    pl.seed_everything(config["seed"], verbose=False)

    build.check_parts(config)
    data = build.build_data(config)
    before = stamps(content.input_files(data, config)) if is_first_process() else {}
    data.prepare_data()
    data.setup("fit")
    if is_first_process():
        note_data(claim, data, before, resume)
    teller.tell(MODEL)
    model = build.build_model(config, data.spec)
    num_parameters = count_parameters(model)
    task = build.build_task(config, data.spec, model)

    if resume and is_first_process():
        check_same_code(claim)
    if continues:
        if is_first_process():
            copy_checkpoints(config, run_dir)
        else:
            wait_for_file(run_dir / "checkpoints" / "last.ckpt")
    resumption = load.find_resumption(run_dir) if resume else load.Resumption()
    if resumption.warning:
        log.warning("%s", resumption.warning)
    if config.get(INIT_FROM) and resumption.path is None:
        load_initial_weights(task, config[INIT_FROM], data.vocabularies, data.spec)
    if resume:
        log.info("resumed from step %s", resumption.step or "0: there is no checkpoint to go on from")
    trainer = build.build_trainer(config, run_dir, resumption.step if resumption.path else None)
    tell = TellProgress(teller, TRAINING, EVALUATION)
    trainer.callbacks.insert(0, tell)  # type: ignore[attr-defined]
    if isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO):
        trainer.strategy.checkpoint_io.check_owner = claim.check_owner
    run_checkpoint = next(found for found in trainer.checkpoint_callbacks if isinstance(found, RunCheckpoint))
    run_checkpoint.stop = stop
    run_checkpoint.goes_on = continues and is_parents(config, resumption.path)
    if run_checkpoint.goes_on:
        log_early_stopping(resumption.checkpoint)
    if is_first_process():
        note_code(claim, resume)
        if resume:
            resumption.repair()
            rewind_events(run_dir, resumption.checkpoint.get("events", {}))
    build.check_devices(config, trainer.world_size, task)
    if trainer.world_size > 1 and is_first_process():
        prepare_workers()
    # Lightning would load a checkpoint's weights before it does this, and round those of 64-true to 32 bits.
    trainer.precision_plugin.convert_module(task)
    device = torch.cuda.get_device_name() if trainer.accelerator.__class__.__name__.startswith("CUDA") else "cpu"
    device = device if trainer.world_size == 1 else f"{trainer.world_size} x {device}"
    sized = {**config, "model": {**config["model"], **build.sized_model(config, data.spec)}}
    claim.note(device=device, num_parameters=num_parameters, config=sized, trains=True)
    log.info("%s parameters on %s, run folder %s", f"{num_parameters:,}", device, run_dir)

    late = late_imports(lambda file: keep_code(claim, [file])) if is_first_process() else contextlib.nullcontext()
    with warnings.catch_warnings(), late:
        ignore_foreign_warnings()
        with stop.deferred():
            fit_together(trainer, task, data, resumption.path)
        if not trainer.is_global_zero:
            return
        if continues:
            check_went_on(config, resumption)
        claim.note(num_parameters=count_parameters(model))  # again, for a model that counts has grown
        best = load.best_checkpoint(run_dir)
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        at_test: list[pl.Callback] = [callback for callback in callbacks if isinstance(callback, AtTest)]
        teller.tell(EVALUATION)
        metrics = evaluate_splits(config, task, data, best, [*at_test, tell])

    stop.ignored()
    teller.tell(END)
    note_code(claim)  # again: other threads import, too
    training = next(callback for callback in callbacks if isinstance(callback, TrainingMetrics))
    log_hparams(trainer, sized, metrics)
    claim.complete(
        metrics,
        best.relative_to(run_dir),
        tokens_per_second=training.tokens_per_second,
        peak_memory_bytes=peak_memory(),
        train_seconds=training.train_seconds,
    )
    (run_dir / "checkpoints" / "previous.ckpt").unlink(missing_ok=True)  # there is nothing left to resume
    log.info("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def check_went_on(config: build.Config, resumption: load.Resumption) -> None:
    """Sees that a run which continues another has trained beyond the end of that one.

    Raises:
        InputError: it has not, for another bound than the one that was raised ended the run.
    """
    if is_parents(config, resumption.path):  # nothing was saved since
        bounds = " and ".join(f"{key}={load.select(config, key)}" for key in MAY_CHANGE)
        raise InputError(
            f"{bounds} leave nothing to train beyond step {resumption.step}, where {config[CONTINUES]['run']} ended: "
            "give more of both"
        )


def log_early_stopping(checkpoint: Mapping[str, Any]) -> None:
    """Says what becomes of early stopping in a run that continues another."""
    for name, state in checkpoint.get("callbacks", {}).items():
        if name.startswith("EarlyStopping"):
            log.info(
                "early stopping keeps its count: %d of %d validations in a row without improvement",
                state["wait_count"],
                state["patience"],
            )


def note_code(claim: Claim, resume: bool = False) -> None:
    """Keeps the user's own code that this process has loaded, in the record and as copies in the run's folder.

    Raises:
        ChangedError: the run goes on, and this is not the code that it began with; nothing is written.
    """
    if resume:
        check_same_code(claim)
    keep_code(claim, loaded_files())
    claim.note(git=users_git(), seqlab_git=seqlab_git())


def keep_code(claim: Claim, files: Sequence[LoadedFile]) -> None:
    """Notes files of the user's own code beside those that are known, and copies them into the run's folder."""
    for reason in keep_copies(claim.run_dir, files):
        log.warning("not copied into the run's folder: %s", reason)
    claim.note(code=record_of(files, claim.fields["code"]))


def check_same_code(claim: Claim) -> None:
    """Compares the user's own code that this process has loaded with that which a run began with; writes nothing.

    Raises:
        ChangedError: it is other code.
    """
    if changed := changed_modules(claim.fields["code"], loaded_files()):
        raise ChangedError(
            f"{claim.run_dir}: not the code that the run began with ({', '.join(changed)}): take the copies in "
            f"{claim.run_dir / COPIES} back, or begin a new run with seqlab train"
        )


def note_data(claim: Claim, data: build.Data, before: Mapping[str, Stamp | None], resume: bool) -> None:
    """Keeps what the run reads, in its record and beside its checkpoints, and says what each split holds.

    Args:
        claim: of the run.
        data: the data module, prepared.
        before: the stamps of its files before they were read.
        resume: the run goes on.

    Raises:
        ChangedError: the run goes on, and this is not the data that it began with; nothing is written.
        InputError: a file was written while it was read.
    """
    now = content.data_hash(data.vocabularies, data.spec, content.fingerprint_of(data))
    if resume:
        content.check_same_data(claim.run_dir, claim.fields["data_hash"], data, now)
    config = claim.fields["config"]
    files = describe_files(content.input_files(data, config), config, FileHashes())
    if written := changed_meanwhile(before):
        raise InputError(f"{', '.join(written[:3])}: written while it was read; start again once it is whole")
    summaries = data.summaries() if hasattr(data, "summaries") else ()  # a user's own module need not have them
    for summary in summaries:
        log.info(summary.line())
    load.save_data(claim.run_dir, data.vocabularies, data.spec)
    held = {summary.split: summary.facts() for summary in summaries}
    claim.note(process=this_process(), data_hash=now, data_files=files, data=held)


def fit_together(
    trainer: pl.Trainer, task: pl.LightningModule, data: pl.LightningDataModule, checkpoint: Path | None
) -> None:
    """Trains; where several processes do it together, they part afterwards.

    Raises:
        LostProcessError: a signal ended one of the others, of which this one only knows that it answers no more.
    """
    leave_signals(trainer)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except Exception as error:
        others: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
        until = time.monotonic() + _PARTING_SECONDS
        while others and all(other.poll() is None for other in others) and time.monotonic() < until:
            time.sleep(0.1)
        for number, other in enumerate(others, start=1):
            if (other.poll() or 0) < 0:
                raise LostProcessError(f"{signal.Signals(-other.returncode).name} ended process {number}") from error
        raise
    leave_group()


def leave_signals(trainer: pl.Trainer) -> None:
    """Keeps Lightning from handling signals.

    On SIGTERM it would talk to the other processes from within the handler, whatever they are about, and stop after a
    validation, without a checkpoint; on Slurm's SIGUSR1 it would save in the middle of a batch and put the job back
    into the queue.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def evaluate_splits(
    config: build.Config,
    task: pl.LightningModule,
    data: pl.LightningDataModule,
    checkpoint: Path,
    callbacks: Sequence[pl.Callback] = (),
) -> dict[str, float]:
    """The metrics of ``checkpoint`` over the whole validation and test splits, which ``callbacks`` see too."""
    task.load_state_dict(load.load_checkpoint(checkpoint)["state_dict"])
    evaluator = build.build_evaluator(config, callbacks)
    leave_signals(evaluator)
    values = [
        *evaluator.validate(task, datamodule=data, verbose=False),
        *evaluator.test(task, datamodule=data, verbose=False),
    ]
    return {name: float(value) for split in values for name, value in split.items()}


def prepare_process(config: build.Config) -> None:
    """Threads, TF32, determinism and the allocator, as ``runtime`` says."""
    runtime = config["runtime"]
    if runtime["num_threads"] is not None:
        torch.set_num_threads(int(runtime["num_threads"]))
    torch.set_float32_matmul_precision("high" if runtime["tf32"] else "highest")
    torch.backends.cudnn.allow_tf32 = bool(runtime["tf32"])
    torch.use_deterministic_algorithms(bool(runtime["deterministic"]))
    if runtime["keep_freed_memory"]:
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Has glibc keep freed buffers instead of handing them back to the kernel; False where there is no glibc.

    A training step frees and asks again for the same large buffers; each time the kernel maps fresh pages and zeroes
    them.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        log.info("runtime.keep_freed_memory has no effect: no glibc on this system")
        return False
    return bool(mallopt(mmap_threshold, 1 << 30) and mallopt(trim_threshold, 2**31 - 1))


def ignore_foreign_warnings() -> None:
    """Silences, by name, warnings of Lightning that do not concern the user of this project."""
    # Lightning 2.6 on torch 2.13 uses a deprecated pytree class itself.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    # Training metrics are logged by the step, whatever the length of an epoch.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    # Our metrics add up the devices' sums themselves before they are logged.
    warnings.filterwarnings("ignore", message="It is recommended to use `self.log.*sync_dist=True")


def log_hparams(trainer: pl.Trainer, config: build.Config, metrics: dict[str, float]) -> None:
    """The run's one record for TensorBoard's HParams tab, and the test metrics as scalars.

    The validation metrics of the best checkpoint go by a name of their own: under that of the curve they would end it
    with a point that is not of its last step.
    """
    logger = trainer.logger
    if not isinstance(logger, TensorBoardLogger):
        return
    values: dict[str, Any] = {}
    for key in config["logger"]["hparams"]:
        value = load.select(config, key)  # None where the model has no such thing, such as a cell
        name = key.removesuffix("._target_")
        values[name] = value.rpartition(".")[2] if value and name != key else value
    shown = {name if name.startswith("test/") else f"best/{name}": value for name, value in metrics.items()}
    logger.log_hyperparams(values, shown, step=trainer.global_step)
    logger.finalize("success")


def peak_memory() -> int:
    """The most memory that this process has held, in bytes: of the GPU where there is one, else of the machine.

    A process that was forked begins with what its parent held, but for pages of files that it has not touched itself.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def end_with(supervisor: int) -> None:
    """Has Linux stop this process once its parent is gone, however that ended: nobody would watch it any more.

    Ends it at once where the supervisor is gone already, as a kill during the imports leaves it: another command may
    have taken up the run by now. A process that follows is killed: it has nothing to keep, and could wait for the first
    one for ever.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM if is_first_process() else signal.SIGKILL)
    if process_started(supervisor) is None:
        sys.exit("seqlab: whoever started this run is gone")
