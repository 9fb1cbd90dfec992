"""What each logger of Lightning's is made with: its place, its run's id, its extra. Torch is not needed."""

import importlib.util
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.devices import is_first_process
from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.layout import REPLACEMENT

TENSORBOARD: Final = "TensorBoardLogger"
CSV: Final = "CSVLogger"
WANDB: Final = "WandbLogger"
MLFLOW: Final = "MLFlowLogger"

EXTRAS: Final = {WANDB: ("wandb", "wandb"), MLFLOW: ("mlflow", "mlflow")}
"""The module that a logger needs, and the extra of this package that installs it."""

ID_NAME: Final = "logger.json"
"""The file in a run's folder with the id of the run in its logger, so that a resumed run goes on there."""


def kind_of(config: Mapping[str, Any]) -> str:
    """The name of the logger's class; empty without a logger."""
    return str(config["logger"].get("_target_") or "").rpartition(".")[2]


def check_extra(config: Mapping[str, Any]) -> None:
    """Refuses a logger whose package is not installed.

    Raises:
        InputError: names the command that installs it.
    """
    module, extra = EXTRAS.get(kind_of(config), (None, ""))
    spec = None if module is None else importlib.util.find_spec(module)
    if module is not None and (spec is None or spec.origin is None):  # a folder of that name, as wandb makes, is none
        raise InputError(f"logger={extra}: {module} is not installed; install it with: pip install 'seqlab[{extra}]'")


def logger_settings(config: Mapping[str, Any], run_dir: Path, resumed_step: int | None) -> dict[str, Any]:
    """The arguments of the logger, beside those of the configuration.

    Args:
        config: the run's configuration.
        run_dir: the run's folder.
        resumed_step: the step of the checkpoint that training resumes from; None for a new run.
    """
    kind, here = kind_of(config), str(run_dir)
    folder = run_dir.parent if run_dir.name == REPLACEMENT else run_dir
    name = f"{config['name']}/{folder.name}"
    if kind == WANDB:
        run_id = read_id(run_dir, kind)
        if run_id is None and is_first_process():  # the others of several devices log nothing
            run_id = secrets.token_hex(4)
            save_id(run_dir, kind, run_id)
        quiet = {"console": "off"}  # what is printed is not recorded there: it may name files and values of the user's
        return {"save_dir": here, "id": run_id, **_unless_set(config, name=name, settings=quiet)}
    if kind == MLFLOW:
        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{os.path.abspath('mlflow.db')}"
        return {"run_id": read_id(run_dir, kind), **_unless_set(config, run_name=name, tracking_uri=place)}
    settings: dict[str, Any] = {"save_dir": here, "name": "", "version": ""}
    if kind == TENSORBOARD and resumed_step is not None:
        # Later steps are logged again: the process that was stopped had gone on after its last checkpoint.
        settings["purge_step"] = resumed_step + 1
    if kind == CSV:
        settings["flush_logs_every_n_steps"] = 1  # what a checkpoint covers must be in the file
    return settings


def _unless_set(config: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    return {name: value for name, value in defaults.items() if config["logger"].get(name) is None}


def read_id(run_dir: Path, kind: str) -> str | None:
    """The id of the run in its logger; None if it has none yet, or had another logger."""
    try:
        saved = json.loads((run_dir / ID_NAME).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{run_dir / ID_NAME} can't be read: {error}; remove it to begin anew in the logger"
        ) from error
    return str(saved["id"]) if isinstance(saved, dict) and saved.get("logger") == kind and "id" in saved else None


def save_id(run_dir: Path, kind: str, run_id: str) -> None:
    """Keeps the id of the run in its logger."""
    write_atomically(run_dir / ID_NAME, (json.dumps({"logger": kind, "id": run_id}) + "\n").encode())
