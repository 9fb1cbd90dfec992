"""One run: trains, evaluates the best checkpoint on validation and test, and completes the record.

Read :func:`execute` from top to bottom. :mod:`seqlab.run.training_process` calls it in the run's own process.
"""

import contextlib
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from seqlab.callbacks import AtomicCheckpointIO, AtTest, RunCheckpoint, TrainingMetrics
from seqlab.callbacks.checkpoint import TABLE_NAME, rewind_events
from seqlab.callbacks.pause import PauseAtRung
from seqlab.callbacks.report_progress import ReportProgress
from seqlab.config import build
from seqlab.config.checks import check_config
from seqlab.config.trainer import build_trainer, check_devices
from seqlab.devices import is_first_process
from seqlab.errors import InputError
from seqlab.nn.size import count_parameters
from seqlab.run import checkpoints, content, load
from seqlab.run.claim import Claim
from seqlab.run.inputs import take_stamps
from seqlab.run.layout import checkpoint_folder
from seqlab.run.loaded import late_imports, record_imports
from seqlab.run.loggers import begin_logger, close_logger, failing_logger, log_results
from seqlab.run.loops import evaluate_splits, fit_together
from seqlab.run.parents import CONTINUES, INIT_FROM, MAY_CHANGE, copy_checkpoints, is_parent_checkpoint
from seqlab.run.progress import DATA, END, EVALUATION, MODEL, TRAINING, ProgressSender
from seqlab.run.resumed_callbacks import warn_of_forgetful
from seqlab.run.rungs import Paused, rung_at
from seqlab.run.signals import StopRequest
from seqlab.run.torch_settings import ignore_foreign_warnings, peak_memory, prepare_process
from seqlab.run.training_inputs import check_same_code, note_code, note_data, note_files
from seqlab.run.weights import load_initial_weights
from seqlab.run.workers import publish_code_hash, wait_for_file
from seqlab.tasks.base import SequenceTask

log = logging.getLogger("seqlab")


@dataclass
class _Session:
    """What a run trains with.

    Attributes:
        config: the run's configuration.
        sized_config: the same, with the sizes that were solved for a number of parameters.
        data: the data module, prepared.
        model: the model.
        task: the task, which trains the model.
        trainer: Lightning's trainer.
        resumption: the checkpoint to continue from.
        reporter: the callback that reports progress.
    """

    config: build.Config
    sized_config: build.Config
    data: build.Data
    model: torch.nn.Module
    task: pl.LightningModule
    trainer: pl.Trainer
    resumption: checkpoints.Resumption
    reporter: ReportProgress


def execute(
    claim: Claim,
    stop: StopRequest | None = None,
    progress: ProgressSender | None = None,
    pause: PauseAtRung | None = None,
) -> None:
    """Trains a claimed run, evaluates its best checkpoint on validation and test, and completes it.

    Several devices train together. Then the first evaluates alone, which is exact whatever their number.

    Args:
        claim: the claim on the run, which has begun or is resumed.
        stop: asks the run to stop; None: nothing does.
        progress: receives the run's progress; None: nobody does.
        pause: where the run is paused, before anything is tested; None: it is not.

    Raises:
        Stopped: the run was asked to stop, and has saved its training.
        Paused: the run has come to ``pause``, and has saved its training.
    """
    stop = stop or StopRequest()
    progress = progress or ProgressSender()
    if pause is not None and (rung := rung_at(claim.fields, pause.share)) is not None:
        raise Paused(rung)  # again: the sweep was stopped before it could decide
    session = _prepare(claim, stop, progress)
    if pause is not None:  # after the checkpoint's callback, which saves first
        session.trainer.callbacks.append(pause)  # type: ignore[attr-defined]

    with failing_logger(session.trainer):
        _train_and_test(claim, session, stop, progress, pause)


def _train_and_test(
    claim: Claim, session: _Session, stop: StopRequest, progress: ProgressSender, pause: PauseAtRung | None
) -> None:
    """Trains on all devices; the first evaluates the best checkpoint, and completes the record."""
    config, data, task, trainer = session.config, session.data, session.task, session.trainer
    late = late_imports(lambda file: note_files(claim, [file])) if is_first_process() else contextlib.nullcontext()
    with warnings.catch_warnings(), late:
        ignore_foreign_warnings()
        with stop.deferred():
            fit_together(trainer, task, data, session.resumption.path)
        if pause is not None:  # the training has ended before the rung, now or in an earlier attempt
            pause.pause(trainer, task)
        if not trainer.is_global_zero:
            return
        if config.get(CONTINUES):
            _check_steps_beyond_parent(config, session.resumption)
        claim.note(num_parameters=count_parameters(session.model))  # again: an n-gram model has grown
        best = checkpoints.best_checkpoint(claim.run_dir)
        progress.send(EVALUATION)
        metrics = evaluate_splits(config, task, data, best, [*_test_callbacks(trainer), session.reporter])

    stop.ignore()
    progress.send(END)
    note_code(claim)  # again: threads other than this one import, too
    log_results(trainer, session.sized_config, metrics)
    close_logger(trainer)
    _complete(claim, trainer, task, metrics, best)


def _prepare(claim: Claim, stop: StopRequest, progress: ProgressSender) -> _Session:
    """Builds data, model, task and trainer, finds the checkpoint to continue from, and notes all of it in the record.

    A run that continues is compared with what it began with, and what it logged after its checkpoint is removed.
    """
    progress.send(DATA)
    record = claim.fields
    config, run_dir = record["config"], claim.run_dir
    has_parent = bool(config.get(CONTINUES))
    is_resumed = record["resumes"] > 0 or has_parent  # its own checkpoint, or its parent's
    record_imports()
    check_config(config)
    prepare_process(config)
    pl.seed_everything(config["seed"], verbose=False)
    build.check_parts(config)
    data = _read_data(claim, config, is_resumed)

    progress.send(MODEL)
    model = build.build_model(config, data.spec)
    num_parameters = count_parameters(model)
    task = build.build_task(config, data.spec, model)
    resumption = _find_resumption(claim, config, is_resumed)
    if config.get(INIT_FROM) and resumption.path is None:
        load_initial_weights(task, config, data.vocabularies, data.spec)
    if is_resumed:
        log.info("resumed from step %s", resumption.step or "0: there is no checkpoint")

    trainer = build_trainer(config, run_dir, resumption.step if resumption.path else None)
    reporter = ReportProgress(progress, TRAINING, EVALUATION)
    begins_at_parent = has_parent and is_parent_checkpoint(config, resumption.path)
    _connect(trainer, claim, stop, reporter, begins_at_parent=begins_at_parent)
    if begins_at_parent:
        _log_early_stopping(resumption.checkpoint)
    if is_first_process():
        note_code(claim, is_resumed)
        if is_resumed:
            if resumption.path is not None:
                warn_of_forgetful(trainer.callbacks)  # type: ignore[attr-defined]
            resumption.repair()
            rewind_events(run_dir, resumption.checkpoint.get("events", {}))
    check_devices(config, trainer.world_size, task)
    if trainer.world_size > 1 and is_first_process():
        publish_code_hash()
    # Lightning would load a checkpoint's weights before it does this, and round those of 64-true to 32 bits.
    trainer.precision_plugin.convert_module(task)

    device = _device_name(trainer)
    sized = {**config, "model": {**config["model"], **build.sized_model(config, data.spec)}}
    begin_logger(trainer, sized, run_dir, resumption.checkpoint.get("events", {}).get(TABLE_NAME, 0))
    claim.note(device=device, num_parameters=num_parameters, config=sized, trains=True)
    log.info("%s parameters on %s, run folder %s", f"{num_parameters:,}", device, run_dir)
    return _Session(config, sized, data, model, task, trainer, resumption, reporter)


def _read_data(claim: Claim, config: build.Config, is_resumed: bool) -> build.Data:
    """The data module, prepared; the first process notes it in the record."""
    data = build.build_data(config)
    is_first = is_first_process()
    stamps = take_stamps(content.input_files(data, config)) if is_first else {}
    data.prepare_data()
    data.setup("fit")
    if is_first:
        note_data(claim, data, stamps, is_resumed)
    return data


def _find_resumption(claim: Claim, config: build.Config, is_resumed: bool) -> checkpoints.Resumption:
    """The checkpoint that the run continues from.

    The first process checks first that the user's code is the same, and copies the checkpoints of a parent run; the
    other processes wait for the copy.
    """
    if not is_resumed:
        return checkpoints.Resumption()
    if is_first_process():
        check_same_code(claim)
    if config.get(CONTINUES):
        if is_first_process():
            copy_checkpoints(config, claim.run_dir)
        else:
            wait_for_file(checkpoint_folder(claim.run_dir) / "last.ckpt")
    resumption = checkpoints.find_resumption(claim.run_dir)
    if resumption.warning:
        log.warning("%s", resumption.warning)
    return resumption


def _connect(
    trainer: pl.Trainer, claim: Claim, stop: StopRequest, reporter: ReportProgress, *, begins_at_parent: bool
) -> None:
    """Connects the trainer to the claim, to requests to stop, and to whoever follows the progress."""
    trainer.callbacks.insert(0, reporter)  # type: ignore[attr-defined]
    if isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO):
        trainer.strategy.checkpoint_io.check_owner = claim.check_owner
    checkpoint = _checkpoint_callback(trainer)
    checkpoint.stop = stop
    checkpoint.begins_at_parent = begins_at_parent


def _checkpoint_callback(trainer: pl.Trainer) -> RunCheckpoint:
    return next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, RunCheckpoint))


def _test_callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, AtTest)]


def _device_name(trainer: pl.Trainer) -> str:
    is_cuda = trainer.accelerator.__class__.__name__.startswith("CUDA")
    name = torch.cuda.get_device_name() if is_cuda else "cpu"
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


def _complete(
    claim: Claim, trainer: pl.Trainer, task: pl.LightningModule, metrics: dict[str, float], best: Path
) -> None:
    """Completes the record, and removes the checkpoint that only a resume would need."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    assert isinstance(task, SequenceTask)
    training = next(callback for callback in callbacks if isinstance(callback, TrainingMetrics))
    claim.complete(
        metrics,
        best.relative_to(claim.run_dir),
        tokens_per_second=training.tokens_per_second,
        reads=task.reads,
        peak_memory_bytes=peak_memory(),
        train_seconds=training.train_seconds,
    )
    (checkpoint_folder(claim.run_dir) / "previous.ckpt").unlink(missing_ok=True)
    log.info("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def _check_steps_beyond_parent(config: build.Config, resumption: checkpoints.Resumption) -> None:
    """Checks that a run which continues another one has trained beyond the end of that one.

    Raises:
        InputError: it has not: another bound than the one that was raised ended the run.
    """
    if is_parent_checkpoint(config, resumption.path):  # nothing was saved since
        bounds = " and ".join(f"{key}={load.select(config, key)}" for key in MAY_CHANGE)
        raise InputError(
            f"{bounds} leave nothing to train beyond step {resumption.step}, where {config[CONTINUES]['run']} ended: "
            "raise both"
        )


def _log_early_stopping(checkpoint: Mapping[str, Any]) -> None:
    """Logs the count of early stopping in a run that continues another one."""
    for name, state in checkpoint.get("callbacks", {}).items():
        if name.startswith("EarlyStopping"):
            log.info(
                "early stopping keeps its count: %d of %d validations in a row without improvement",
                state["wait_count"],
                state["patience"],
            )
