"""One run: trains, evaluates the best checkpoint and keeps the record. ``python -m seqlab.train RUN_DIR`` is a run's
own process."""

import argparse
import ctypes
import logging
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seqlab import build, saved
from seqlab.callbacks import AtTest, TrainingMetrics
from seqlab.callbacks.metrics import DivergedError
from seqlab.errors import InputError
from seqlab.nn.size import count_parameters
from seqlab.provenance import process_started
from seqlab.record import RunRecord
from seqlab.supervise import no_room, read_job, watch_crashes

log = logging.getLogger("seqlab")


def main(argv: list[str] | None = None) -> int:
    """Carries out the run in a folder that ``seqlab train`` prepared; returns the exit code of the command."""
    parser = argparse.ArgumentParser(prog="python -m seqlab.train", description=main.__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--supervisor", type=int, metavar="PID", help="the process that claimed the run")
    args = parser.parse_args(argv)
    if args.supervisor is not None:
        end_with(args.supervisor)
        watch_crashes(args.run_dir)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    record = None
    try:
        record = RunRecord.take_over(args.run_dir, args.supervisor, read_job(args.run_dir)["config"])
        execute(record, resume=args.resume)
    except (InputError, DivergedError) as error:
        if record is not None:
            record.fail(error if error.__cause__ else str(error))  # with the traceback, where there is more to know
        print(f"seqlab: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except BaseException as error:  # an exit, too, which code of the user's may call for
        if record is None:
            raise
        full = no_room(error)
        if full is not None or _was_interrupted(error):
            return _interrupted(record, full)
        traceback.print_exc()
        traceback.clear_frames(error.__traceback__)  # their tensors: keeping the record takes memory as well
        record.fail(error)
        return 1
    return 0


def _interrupted(record: RunRecord, full: OSError | None) -> int:
    """Notes and tells that the run can go on, and what keeps it from that."""
    reason = "interrupted" if full is None else f"interrupted: {full.strerror}: the last whole checkpoint is kept"
    print(f"seqlab: {reason}; continue with: seqlab resume {record.run_dir}", file=sys.stderr)
    try:
        record.interrupt(None if full is None else reason)
    except OSError:  # on a full disk; a record that says running, of a process that is gone, reads as interrupted
        if full is None:
            raise
    return 1


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt lies behind an error: Lightning answers one with an exit, torch.save with an error over its
    half-written file."""
    while error is not None:
        if isinstance(error, (KeyboardInterrupt, SIGTERMException)):
            return True
        error = error.__context__
    return False


def execute(record: RunRecord, resume: bool = False) -> dict[str, float]:
    """Trains the run of ``record``, evaluates its best checkpoint on validation and test, and completes the record."""
    config, run_dir = record.fields["config"], record.run_dir
    build.check_settings(config)
    prepare_process(config)
    pl.seed_everything(config["seed"], verbose=False)

    data = build.build_data(config)
    data.prepare_data()
    data.setup("fit")
    record.update(data_hash=saved.save_data(run_dir, data.vocabularies, data.spec))
    model = build.build_model(config, data.spec)
    num_parameters = count_parameters(model)
    task = build.build_task(config, data.spec, model)

    last = run_dir / "checkpoints" / "last.ckpt"
    resumed_from = last if resume and last.exists() else None
    resumed_step = saved.load_checkpoint(last)["global_step"] if resumed_from else None
    if resume:
        log.info("resumed from step %s", resumed_step or "0: there was no checkpoint yet")
    trainer = build.build_trainer(config, run_dir, resumed_step)
    device = torch.cuda.get_device_name() if trainer.accelerator.__class__.__name__.startswith("CUDA") else "cpu"
    sized = {**config, "model": {**config["model"], **build.sized_model(config, data.spec)}}
    record.update(device=device, num_parameters=num_parameters, config=sized)
    log.info("%s parameters on %s, run folder %s", f"{num_parameters:,}", device, run_dir)

    with warnings.catch_warnings():
        ignore_foreign_warnings()
        trainer.fit(task, datamodule=data, ckpt_path=resumed_from, weights_only=True)
        record.update(num_parameters=count_parameters(model))  # again, for a model that counts has grown
        best = saved.best_checkpoint(run_dir)
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        at_test = [callback for callback in callbacks if isinstance(callback, AtTest)]
        metrics = evaluate_splits(config, task, data, best, at_test)

    training = next(callback for callback in callbacks if isinstance(callback, TrainingMetrics))
    log_hparams(trainer, sized, metrics)
    record.complete(
        metrics,
        best.relative_to(run_dir),
        tokens_per_second=training.tokens_per_second,
        peak_memory_bytes=peak_memory(),
        train_seconds=training.train_seconds,
    )
    log.info("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
    return metrics


def evaluate_splits(
    config: build.Config,
    task: pl.LightningModule,
    data: pl.LightningDataModule,
    checkpoint: Path,
    callbacks: Sequence[pl.Callback] = (),
) -> dict[str, float]:
    """The metrics of ``checkpoint`` over the whole validation and test splits, which ``callbacks`` see too."""
    task.load_state_dict(saved.load_checkpoint(checkpoint)["state_dict"])
    evaluator = build.build_evaluator(config, callbacks)
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
        value = saved.select(config, key)  # None where the model has no such thing, such as a cell
        name = key.removesuffix("._target_")
        values[name] = value.rpartition(".")[2] if value and name != key else value
    shown = {name if name.startswith("test/") else f"best/{name}": value for name, value in metrics.items()}
    logger.log_hyperparams(values, shown, step=trainer.global_step)
    logger.finalize("success")


def peak_memory() -> int:
    """The most memory that this process has held, in bytes: of the GPU where there is one, else of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def end_with(supervisor: int) -> None:
    """Has Linux stop this process once its parent is gone, however that ended: nobody would watch it any more.

    Ends it at once where the supervisor is gone already, as a kill during the imports leaves it: another command may
    have taken up the run by now.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if process_started(supervisor) is None:
        sys.exit("seqlab: whoever started this run is gone")


if __name__ == "__main__":
    sys.exit(main())
