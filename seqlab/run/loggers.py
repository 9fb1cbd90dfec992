"""A run's logger, from its begin to its end: hyperparameters, final metrics, and that it ends with the run."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

from seqlab.callbacks.checkpoint import TABLE_NAME, read_table
from seqlab.config import loggers
from seqlab.config.build import Config
from seqlab.errors import InputError
from seqlab.run.load import select

log = logging.getLogger("seqlab")


_KEPT_NAME: Final = ".metrics.csv"


def begin_logger(trainer: pl.Trainer, config: Config, run_dir: Path, rows: int) -> None:
    """Begins the run in its logger, or goes on with it, before training.

    A service that can't be reached is told now, not after the first epoch. TensorBoard needs nothing.

    Args:
        trainer: the trainer of the run.
        config: the run's configuration, with the sizes that were solved for.
        run_dir: the run's folder.
        rows: how many rows a CSVLogger's table had at the checkpoint that training resumes from; the others are logged
            again.

    Raises:
        InputError: the logger's service refuses the run.
    """
    logger = trainer.logger
    if not trainer.is_global_zero or not isinstance(logger, CSVLogger | WandbLogger | MLFlowLogger):
        return
    if isinstance(logger, CSVLogger):
        _begin_table(logger, config, run_dir, rows)
        return
    is_new = isinstance(logger, WandbLogger) or loggers.read_id(run_dir, loggers.MLFLOW) is None
    try:
        if isinstance(logger, MLFlowLogger):
            assert logger.run_id is not None
            loggers.save_id(run_dir, loggers.MLFLOW, logger.run_id)
            if not is_new:
                logger.experiment.set_terminated(logger.run_id, "RUNNING")
        if is_new:  # MLflow lets no hyperparameter change
            logger.log_hyperparams(hparams_of(config))
    except Exception as error:  # anything: it is another program's
        text = " ".join(str(error).split())
        offline = "; logger.offline=true needs no account" if isinstance(logger, WandbLogger) else ""
        raise InputError(
            f"logger: {type(logger).__name__} could not begin: {type(error).__name__}: {text}{offline}; or give "
            "logger=tensorboard"
        ) from error


def _begin_table(logger: CSVLogger, config: Config, run_dir: Path, rows: int) -> None:
    """Begins a table with the first rows of an earlier one, which Lightning deletes.

    The earlier one has another name until its rows are written again.
    """
    path, kept = run_dir / TABLE_NAME, run_dir / _KEPT_NAME
    if path.exists() and not kept.exists():
        path.replace(kept)
    with warnings.catch_warnings():  # that the folder is not empty
        warnings.simplefilter("ignore")
        experiment = logger.experiment
    experiment.metrics += read_table(kept)[:rows]
    experiment.log_hparams(hparams_of(config))
    logger.save()
    kept.unlink(missing_ok=True)


@contextlib.contextmanager
def failing_logger(trainer: pl.Trainer) -> Iterator[None]:
    """Ends the run in its logger as failed if the block raises: no other process would."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the block's own error counts
            _close(trainer.logger, failed=True)
        raise


def close_logger(trainer: pl.Trainer) -> None:
    """Ends the run in its logger as complete, before the files of its folder move to another place."""
    try:
        _close(trainer.logger, failed=False)
    except Exception as error:  # anything: it is another program's, and the run itself has ended well
        log.warning("the logger could not be closed: %s: %s", type(error).__name__, error)


def _close(logger: Any, *, failed: bool) -> None:
    if isinstance(logger, MLFlowLogger):
        logger.finalize("failed" if failed else "success")
    elif isinstance(logger, WandbLogger) and logger._experiment is not None:
        logger.experiment.finish(exit_code=int(failed))


def hparams_of(config: Config) -> dict[str, Any]:
    """The values of the keys in ``logger.hparams``; of a class its name.

    Only these are logged. The rest of a configuration may hold what the environment keeps secret.
    """
    hparams: dict[str, Any] = {}
    for key in config["logger"]["hparams"]:
        value = select(config, key)  # None if the model has no such key, such as a cell
        name = key.removesuffix("._target_")
        hparams[name] = value.rpartition(".")[2] if value and name != key else value
    return hparams


def log_results(trainer: pl.Trainer, config: Config, metrics: dict[str, float]) -> None:
    """Logs the metrics of the best checkpoint; for TensorBoard with the run's row of its tab HParams.

    The validation metrics get the prefix ``best/``. Under the name of the validation curve they would add a point to
    its end that does not belong to the last step.
    """
    logger = trainer.logger
    scalars: dict[str, Any] = {
        name if name.startswith("test/") else f"best/{name}": value for name, value in metrics.items()
    }
    if isinstance(logger, TensorBoardLogger):
        logger.log_hyperparams(hparams_of(config), scalars, step=trainer.global_step)
        logger.finalize("success")
    elif isinstance(logger, CSVLogger | WandbLogger | MLFlowLogger):
        logger.log_metrics(scalars, step=trainer.global_step)
        logger.save()
