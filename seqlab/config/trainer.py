"""From a configuration to Lightning's Trainer, with its callbacks, logger and devices."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, StochasticWeightAveraging

from seqlab.callbacks import AtomicCheckpointIO, EpochLines, RichProgress, RunCheckpoint, TrainingMetrics
from seqlab.config.build import Config, build
from seqlab.config.loggers import check_extra, logger_settings
from seqlab.errors import InputError

_RUN_CHECKPOINTS: Final = ("best", "last", "previous")


def build_trainer(config: Config, run_dir: Path, resumed_step: int | None = None) -> pl.Trainer:
    """The Trainer of a run, with its callbacks and logger.

    Args:
        config: the run's configuration.
        run_dir: the run's folder.
        resumed_step: the step of the checkpoint that training resumes from; None for a new run.

    Raises:
        InputError: the configuration asks for a GPU that is not there, or a callback would spoil the run.
    """
    settings = dict(config["trainer"])
    settings["accelerator"] = resolve_accelerator(settings["accelerator"])
    interactive = bool(settings["enable_progress_bar"]) and sys.stdout.isatty()
    settings["enable_progress_bar"] = interactive
    callbacks: list[pl.Callback] = [TrainingMetrics(), EpochLines(config["optimize"]["metric"])]
    if interactive:
        callbacks.append(RichProgress())
    configured = {
        f"callbacks.{name}": build({f"callbacks.{name}": node}, f"callbacks.{name}")
        for name, node in config["callbacks"].items()
        if node
    }
    if config["callbacks"]:  # an estimate of time and memory has none
        _check_callbacks(configured)
    # The checkpoint last: it saves the state of the others.
    callbacks += sorted(configured.values(), key=lambda callback: isinstance(callback, RunCheckpoint))
    trainer: pl.Trainer = build(
        {"trainer": settings},
        "trainer",
        callbacks=callbacks,
        logger=build_logger(config, run_dir, resumed_step),
        default_root_dir=str(run_dir),
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
    )
    return trainer


def _check_callbacks(callbacks: Mapping[str, Any]) -> None:
    """Refuses, before training, callbacks with which a run could not be evaluated or resumed."""
    if sum(isinstance(callback, RunCheckpoint) for callback in callbacks.values()) != 1:
        raise InputError(
            "callbacks.checkpoint: without one seqlab.callbacks.RunCheckpoint nothing of what is trained is kept, and "
            "nothing could be evaluated; leave it as it is"
        )
    for key, callback in callbacks.items():
        if isinstance(callback, StochasticWeightAveraging):
            raise InputError(
                f"{key}: Lightning's StochasticWeightAveraging leaves its average in no checkpoint, so that no metric "
                "is of it, and a resumed run would end otherwise; give lightning.pytorch.callbacks.EMAWeightAveraging"
            )
        if isinstance(callback, ModelCheckpoint) and (callback.save_last or callback.filename in _RUN_CHECKPOINTS):
            option = f"filename={callback.filename}" if callback.filename in _RUN_CHECKPOINTS else "save_last"
            raise InputError(
                f"{key}.{option} would write over a checkpoint that the run goes on from or is evaluated by: "
                "callbacks.checkpoint keeps the last and the best one; give another filename"
            )


def check_devices(config: Config, devices: int, task: pl.LightningModule) -> None:
    """Refuses, before the devices start, what they cannot share.

    Raises:
        InputError: a batch size does not divide over the devices, or the task takes no gradient steps.
    """
    if devices == 1:
        return
    if not task.automatic_optimization:
        raise InputError(f"a {type(task).__name__} takes no gradient steps to share: give trainer.devices=1")
    for name in ("batch_size", "eval_batch_size"):
        size = config["data"].get(name)
        if size is not None and size % devices:
            raise InputError(
                f"data.{name}={size} is over all devices, and does not divide over {devices}: "
                f"give a multiple of {devices}"
            )


def build_evaluator(config: Config, callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """A Trainer for evaluation alone: on one device, in the run's precision, with these callbacks and no logger."""
    settings = config["trainer"]
    return pl.Trainer(
        accelerator=resolve_accelerator(settings["accelerator"]),
        devices=1,
        precision=settings["precision"],
        limit_val_batches=settings["limit_val_batches"],
        limit_test_batches=settings["limit_test_batches"],
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def build_logger(config: Config, run_dir: Path, resumed_step: int | None = None) -> Any:
    """The logger, which writes into the run's folder; False for ``logger=none``."""
    settings = {name: value for name, value in config["logger"].items() if name != "hparams"}
    if settings.get("_target_") is None:
        return False
    check_extra(config)
    own = logger_settings(config, run_dir, resumed_step)
    settings = {name: value for name, value in settings.items() if name not in own}
    return build({"logger": settings}, "logger", **own)


def resolve_accelerator(accelerator: str) -> str:
    """The accelerator for Lightning: for ``auto`` a CUDA device if there is one, else the CPU.

    Raises:
        InputError: the configuration asks for a GPU, and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if accelerator == "auto":
        return "gpu" if has_cuda else "cpu"
    if accelerator in ("gpu", "cuda") and not has_cuda:
        raise InputError(
            "trainer=gpu, but PyTorch finds no CUDA device on this machine; use trainer=cpu or trainer=auto"
        )
    return accelerator
