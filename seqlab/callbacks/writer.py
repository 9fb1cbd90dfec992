"""What callbacks that show a model share: a writer of texts and figures, the data and the task, checks."""

import io
import logging
from typing import Any, TypeVar

import lightning.pytorch as pl
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

from seqlab.errors import InputError
from seqlab.nn.models.language_model import NextTokenModel

Data = TypeVar("Data", bound=pl.LightningDataModule)
Task = TypeVar("Task", bound=pl.LightningModule)

log = logging.getLogger("seqlab")
_TAKE_TEXTS = (TensorBoardLogger, WandbLogger, MLFlowLogger)


class Writer:
    """Writes texts and figures to the loggers of a training that can take them.

    TensorBoard shows them in its tabs Text and Images, Weights & Biases as tables and media, MLflow as artifacts.

    Args:
        loggers: the loggers, each a :class:`TensorBoardLogger`, a :class:`WandbLogger` or an :class:`MLFlowLogger`.
    """

    def __init__(self, loggers: list[Any]) -> None:
        self.loggers = loggers

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Writes a number."""
        for logger in self.loggers:
            logger.log_metrics({name: value}, step=step)

    def add_text(self, name: str, text: str, step: int) -> None:
        """Writes a text in Markdown."""
        for logger in self.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_text(name, columns=["step", "text"], data=[[str(step), text]], step=step)
            elif isinstance(logger, MLFlowLogger):
                logger.experiment.log_text(logger.run_id, text, f"{name}/{step}.md")
            else:
                logger.experiment.add_text(name, text, step)

    def add_figure(self, name: str, figure: Any, step: int) -> None:
        """Writes a Matplotlib figure."""
        for logger in self.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image(name, [_picture(figure)], step=step)
            elif isinstance(logger, MLFlowLogger):
                logger.experiment.log_figure(logger.run_id, figure, f"{name}/{step}.png")
            else:
                logger.experiment.add_figure(name, figure, step)


def _picture(figure: Any) -> Any:
    """A figure as Pillow's picture."""
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file)


def writer_of(trainer: pl.Trainer) -> Writer | None:
    """The writer of a training; None if it has no logger that takes texts and figures.

    One line names a logger that does not. On all devices but the first there is no writer.
    """
    if not trainer.is_global_zero:
        return None
    loggers = [logger for logger in trainer.loggers if isinstance(logger, _TAKE_TEXTS)]
    for logger in trainer.loggers:
        if logger not in loggers and not getattr(logger, "_seqlab_told", False):
            log.info("%s takes no texts and figures: they are left out", type(logger).__name__)
            logger._seqlab_told = True  # type: ignore[attr-defined]
    return Writer(loggers) if loggers else None


def validation_writer(trainer: pl.Trainer) -> Writer | None:
    """:func:`writer_of` during a validation of a training; None at other times."""
    return writer_of(trainer) if trainer.state.fn == "fit" and not trainer.sanity_checking else None


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
