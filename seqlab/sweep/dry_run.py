"""What jobs would take, without running them: parameters, steps and time. :mod:`seqlab.run.process` is its own process.

Each job is built as its run would build it, so that whatever its configuration is refused for is told now; then a few
steps are timed.
"""

import json
import logging
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from seqlab.config import build
from seqlab.config.checks import check_config
from seqlab.errors import InputError
from seqlab.nn.size import count_parameters
from seqlab.run.progress import duration
from seqlab.run.training import ignore_foreign_warnings, prepare_process
from seqlab.tasks.base import SequenceTask

_WARM_STEPS, _TIMED_STEPS, _TIMED_BATCHES = 3, 10, 3


@dataclass(frozen=True)
class Estimate:
    """What one job would be; times in seconds, of this machine as it is now."""

    num_parameters: int
    steps: int
    step_seconds: float
    validations: int
    validation_seconds: float
    test_seconds: float

    @property
    def seconds(self) -> float:
        """Training, its validations, and the best checkpoint's validation and test at the end.

        >>> Estimate(10, steps=100, step_seconds=0.5, validations=2, validation_seconds=3, test_seconds=4).seconds
        63.0
        """
        return self.steps * self.step_seconds + (self.validations + 1) * self.validation_seconds + self.test_seconds


class _Clock(pl.Callback):
    """Times the steps of a training, and ends it after a few."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._mark: float | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self._mark is not None:
            self.seconds.append(now - self._mark)
        self._mark = now
        if len(self.seconds) >= _WARM_STEPS + _TIMED_STEPS:
            trainer.should_stop = True

    @property
    def step(self) -> float:
        """The median, the first steps left out where there are more."""
        return statistics.median(self.seconds[_WARM_STEPS:] or self.seconds or [math.nan])


def estimate(config: build.Config, folder: Path) -> Estimate:
    """Builds the job of ``config`` and times a few of its steps and validation batches; writes into ``folder`` alone.

    Raises:
        InputError: as the run would.
    """
    check_config(config)
    prepare_process(config)
    pl.seed_everything(config["seed"], verbose=False)
    build.check_parts(config)
    data = build.build_data(config)
    data.prepare_data()
    data.setup("fit")
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    # For what its options and callbacks are refused for.
    devices = build.build_trainer(config, folder).world_size
    build.check_devices(config, devices, task)
    data.batch_size //= devices  # what one of them would do meanwhile is timed here; what they tell each other is not
    alone = {"strategy": "auto", "devices": 1, "num_nodes": 1}
    few = {**config["trainer"], **alone, "enable_progress_bar": False, "limit_val_batches": 1}
    trainer = build.build_trainer({**config, "callbacks": {}, "logger": {}, "trainer": few}, folder)
    clock = _Clock()
    trainer.callbacks = [clock]  # type: ignore[attr-defined]
    trainer.fit(task, datamodule=data)
    assert isinstance(task, SequenceTask) and task.plan is not None
    plan = task.plan
    batches = plan.total_steps * trainer.accumulate_grad_batches
    between = float(trainer.val_check_batch or math.inf) * (trainer.check_val_every_n_epoch or 1)
    batch_seconds = _batch_seconds(config, task, data)
    validation, test = (
        _evaluated(loader, config["trainer"][limit])
        for loader, limit in (
            (data.val_dataloader(), "limit_val_batches"),
            (data.test_dataloader(), "limit_test_batches"),
        )
    )
    return Estimate(
        count_parameters(task.model),
        plan.total_steps,
        clock.step * trainer.accumulate_grad_batches,
        int(batches // between),
        validation * batch_seconds,
        test * batch_seconds,
    )


def _batch_seconds(config: build.Config, task: pl.LightningModule, data: pl.LightningDataModule) -> float:
    """Seconds that a validation batch takes."""
    few = {**config, "trainer": {**config["trainer"], "limit_val_batches": _TIMED_BATCHES}}
    clock = _ValidationClock()
    build.build_evaluator(few, [clock]).validate(task, datamodule=data, verbose=False)
    return statistics.median(clock.seconds)


class _ValidationClock(pl.Callback):
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._mark = 0.0

    def on_validation_batch_start(self, *_: Any) -> None:
        self._mark = time.perf_counter()

    def on_validation_batch_end(self, *_: Any) -> None:
        self.seconds.append(time.perf_counter() - self._mark)


def _evaluated(loader: Any, limit: int | float | None) -> int:
    """How many batches of a loader an evaluation takes."""
    whole = len(loader)
    if isinstance(limit, float):
        return int(whole * limit)
    return whole if limit is None else min(whole, limit)


def main(argv: Sequence[str] | None = None) -> int:
    """Estimates the jobs whose configurations lie in a file, a line each; the exit code is 2 if one is refused."""
    (file,) = sys.argv[1:] if argv is None else argv
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    total, refused, complete = 0.0, 0, 0
    jobs = json.loads(Path(file).read_text())
    for number, job in enumerate(jobs, start=1):
        name = f"[{number}/{len(jobs)}] {' '.join(job['overrides'])}"
        if job["completed"]:
            complete += 1
            print(f"{name}\n    completed before: it would be skipped", flush=True)
            continue
        try:
            if job["mistake"]:
                raise InputError(job["mistake"])
            with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
                ignore_foreign_warnings()
                found = estimate(job["config"], Path(scratch))
        except Exception as error:  # a cell's own mistake, too, must not hide those of the jobs after it
            refused += 1
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            print(f"{name}\n    would fail: {kind}{' '.join(str(error).split())}", flush=True)
            continue
        total += found.seconds
        print(
            f"{name}\n    {found.num_parameters:,} parameters, {found.steps:,} steps of "
            f"{1000 * found.step_seconds:.1f} ms, {found.validations} validations: about {duration(found.seconds)}",
            flush=True,
        )
    counts = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}, {complete} completed before, {refused} with a mistake"
    print(f"{counts}; about {duration(total)} one after another, if none stops early", flush=True)
    return 2 if refused else 0
