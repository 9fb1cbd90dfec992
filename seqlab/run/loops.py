"""Lightning's two loops, as a run uses them: training on all devices, and the evaluation of a checkpoint."""

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import lightning.pytorch as pl

from seqlab.config import build
from seqlab.config.trainer import build_evaluator
from seqlab.run import checkpoints
from seqlab.run.workers import LostProcessError
from seqlab.tasks.devices import leave_group

_GRACE_SECONDS: Final = 3.0  # for a peer to exit after its connection drops


def fit_together(
    trainer: pl.Trainer, task: pl.LightningModule, data: pl.LightningDataModule, checkpoint: Path | None
) -> None:
    """Trains; several processes leave their process group afterwards.

    Raises:
        LostProcessError: a signal ended another process of the run; all that this one sees is a dropped connection.
    """
    disable_lightning_signals(trainer)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except Exception as error:
        workers: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
        deadline = time.monotonic() + _GRACE_SECONDS
        while workers and all(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.1)
        for number, worker in enumerate(workers, start=1):
            if (worker.poll() or 0) < 0:
                raise LostProcessError(f"{signal.Signals(-worker.returncode).name} ended process {number}") from error
        raise
    leave_group()


def disable_lightning_signals(trainer: pl.Trainer) -> None:
    """Keeps Lightning from handling signals.

    On SIGTERM it would talk to the other processes from within the handler, whatever they are doing, and stop after a
    validation without a checkpoint. On Slurm's SIGUSR1 it would save in the middle of a batch and requeue the job.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def evaluate_splits(
    config: build.Config,
    task: pl.LightningModule,
    data: pl.LightningDataModule,
    checkpoint: Path,
    callbacks: Sequence[pl.Callback] = (),
) -> dict[str, float]:
    """The metrics of a checkpoint over the whole validation and test splits.

    Args:
        config: the run's configuration.
        task: the task; it gets the checkpoint's weights.
        data: the data module, prepared.
        checkpoint: the checkpoint.
        callbacks: called during both evaluations.
    """
    task.load_state_dict(checkpoints.load_checkpoint(checkpoint)["state_dict"])
    evaluator = build_evaluator(config, callbacks)
    disable_lightning_signals(evaluator)
    values = [
        *evaluator.validate(task, datamodule=data, verbose=False),
        *evaluator.test(task, datamodule=data, verbose=False),
    ]
    return {name: float(value) for split in values for name, value in split.items()}
