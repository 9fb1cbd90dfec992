"""What callbacks that show a model share: TensorBoard's writer, the data and the task, checks."""

from typing import Any, TypeVar

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from seqlab.errors import InputError
from seqlab.nn.models.language_model import NextTokenModel

Data = TypeVar("Data", bound=pl.LightningDataModule)
Task = TypeVar("Task", bound=pl.LightningModule)


def tensorboard_writer(trainer: pl.Trainer) -> Any | None:
    """TensorBoard's writer during a validation of a training; None at other times.

    Also None without TensorBoard, and on all devices but the first.
    """
    fitting = trainer.state.fn == "fit" and not trainer.sanity_checking and trainer.is_global_zero
    return trainer.logger.experiment if fitting and isinstance(trainer.logger, TensorBoardLogger) else None


def check_num_examples(callback: str, count: int) -> int:
    """Checks how many examples a callback shows, and returns the count.

    Args:
        callback: the callback's key in the configuration, for the message.
        count: the number of examples.

    Raises:
        InputError: the count is less than 1.
    """
    if count < 1:
        raise InputError(f"callbacks.{callback}.num_examples is {count}; expected 1 or more")
    return count


def data_and_task(
    trainer: pl.Trainer, pl_module: pl.LightningModule, data: type[Data], task: type[Task]
) -> tuple[Data, Task]:
    """Returns the data module and the task, checked to be of these classes.

    Raises:
        TypeError: they are of other classes.
    """
    module = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(pl_module, task) or not isinstance(module, data):
        received = f"{type(pl_module).__name__} and {type(module).__name__}"
        raise TypeError(f"expected {task.__name__} and {data.__name__}, got {received}")
    return module, pl_module


def language_model(pl_module: pl.LightningModule, callback: str) -> NextTokenModel:
    """Returns the task's language model.

    Args:
        pl_module: the task.
        callback: the class of the callback that needs it, for the message.

    Raises:
        InputError: the task has a model of another kind.
    """
    model = pl_module.model
    if not isinstance(model, NextTokenModel):
        raise InputError(
            f"callbacks: {callback} is for a task with a language model, not with a {type(model).__name__}; give the "
            "callbacks of its preset, or null for this one"
        )
    return model
