"""One training after another on any number of devices, step by step.

The process of each device is forked by the warm server (:mod:`tests.served`), with ``LOCAL_RANK`` and the meeting place
in its environment.
"""

import json
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from seqlab.callbacks import TrainingMetrics
from seqlab.config import build
from seqlab.config.trainer import build_trainer, check_devices
from seqlab.run.torch_settings import ignore_foreign_warnings
from tests.conftest import config_of

EXACT = ("trainer.precision=64-true", "runtime.num_threads=1", "logger=none", "trainer.log_every_n_steps=5")


class Recorder(pl.Callback):
    """The gradient of each optimizer step, what is logged by each validation, and the tokens of each step."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, torch.Tensor]] = []
        self.validations: list[dict[str, float]] = []
        self.confusions: list[torch.Tensor] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        found = pl_module.model.named_parameters()
        self.gradients.append({name: part.grad.clone() for name, part in found if part.grad is not None})

    def on_validation_end(self, trainer, pl_module) -> None:
        self.validations.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        self.confusions += [part.clone() for part in getattr(pl_module, "confusion", {}).values()]


def trained(overrides: list[str], devices: int) -> dict[str, Any]:
    """What a training is made of, as plain values."""
    config = config_of(*overrides, *EXACT, "trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={devices}")
    if devices == 1:
        config["trainer"]["strategy"] = "auto"
    pl.seed_everything(config["seed"], verbose=False)
    data = build.build_data(config)
    data.setup("fit")
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        ignore_foreign_warnings()
        trainer = build_trainer(config, Path(folder))
        check_devices(config, trainer.world_size, task)
        trainer.callbacks.append(recorder)
        trainer.fit(task, datamodule=data)
    training = next(part for part in trainer.callbacks if isinstance(part, TrainingMetrics))
    return {
        "gradients": recorder.gradients,
        "validations": recorder.validations,
        "confusions": recorder.confusions,
        "carried": task.carried(),
        "weights": {name: value.cpu() for name, value in task.model.state_dict().items()},
        "tokens": training.state_dict()["tokens"],
        "loss": training.loss,
    }


def main(cases: str, out: str) -> int:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    found = {name: trained(overrides, 2) for name, overrides in json.loads(Path(cases).read_text()).items()}
    torch.save(found, Path(out) / f"rank{os.environ['LOCAL_RANK']}.pt")
    return 0
