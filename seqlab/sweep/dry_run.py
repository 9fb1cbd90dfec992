"""Estimates what the jobs of a sweep would take: parameters, steps and time. :mod:`seqlab.run.process` starts it.

Each job is built as its run would build it, so a mistake in its configuration is reported now. Then a few steps are
timed.
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
from seqlab.config.hash import canonical_json
from seqlab.config.trainer import build_evaluator, build_trainer, check_devices
from seqlab.data import Spec
from seqlab.errors import InputError
from seqlab.nn.size import SizedModel, common_budget, count_parameters, nearest_size
from seqlab.run.progress import duration
from seqlab.run.torch_settings import ignore_foreign_warnings, prepare_process
from seqlab.tasks.base import SequenceTask

_WARM_STEPS, _TIMED_STEPS, _TIMED_BATCHES = 3, 10, 3


@dataclass(frozen=True)
class Estimate:
    """What one job would take on this machine, as busy as it is now; times are in seconds.

    Attributes:
        num_parameters: the size of the model.
        steps: the number of optimizer steps.
        step_seconds: the time of one step.
        validations: the number of validations during training.
        validation_seconds: the time of one validation.
        test_seconds: the time of the test.
        matching: what the size was chosen by; None where it was given.
    """

    num_parameters: int
    steps: int
    step_seconds: float
    validations: int
    validation_seconds: float
    test_seconds: float
    matching: "Matching | None" = None

    def __str__(self) -> str:
        return (
            f"{self.num_parameters:,} parameters, {self.steps:,} steps of {1000 * self.step_seconds:.1f} ms, "
            f"{self.validations} validations: about {duration(self.seconds)}"
        )

    @property
    def seconds(self) -> float:
        """The time of training, its validations, and the final validation and test of the best checkpoint.

        Example:
            >>> Estimate(10, steps=100, step_seconds=0.5, validations=2, validation_seconds=3, test_seconds=4).seconds
            63.0
        """
        return self.steps * self.step_seconds + (self.validations + 1) * self.validation_seconds + self.test_seconds


@dataclass(frozen=True)
class Matching:
    """The budget of a job's parameters, and its model of any size.

    Attributes:
        budget: the budget.
        key: the same for jobs whose models have the same sizes.
        build: makes the model of a hidden size.
        is_met: whether a size meets the budget.
    """

    budget: build.Budget
    key: str
    build: SizedModel
    is_met: bool


class _StepTimer(pl.Callback):
    """Times the steps of training, and ends it after a few."""

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

    def median(self) -> float:
        """The median time of a step, without the first steps if there are more."""
        return statistics.median(self.seconds[_WARM_STEPS:] or self.seconds or [math.nan])


def estimate(config: build.Config, folder: Path) -> Estimate:
    """Builds a job, and times a few of its steps and validation batches.

    Args:
        config: the job's resolved configuration.
        folder: a folder to write to; nothing is written elsewhere.

    Raises:
        InputError: the run would raise it, too.
    """
    check_config(config)
    prepare_process(config)
    pl.seed_everything(config["seed"], verbose=False)
    build.check_parts(config)
    data = build.build_data(config)
    data.prepare_data()
    data.setup("fit")
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    devices = build_trainer(config, folder).world_size  # also refuses wrong options and callbacks
    check_devices(config, devices, task)
    data.batch_size //= devices  # one device's share is timed, without the communication between devices
    one_device = {"strategy": "auto", "devices": 1, "num_nodes": 1}
    options = {**config["trainer"], **one_device, "enable_progress_bar": False, "limit_val_batches": 1}
    trainer = build_trainer({**config, "callbacks": {}, "logger": {}, "trainer": options}, folder)
    timer = _StepTimer()
    trainer.callbacks = [timer]  # type: ignore[attr-defined]
    trainer.fit(task, datamodule=data)
    assert isinstance(task, SequenceTask) and task.plan is not None
    plan = task.plan
    batches = plan.total_steps * trainer.accumulate_grad_batches
    batches_per_validation = float(trainer.val_check_batch or math.inf) * (trainer.check_val_every_n_epoch or 1)
    batch_seconds = _batch_seconds(config, task, data)
    validation_batches = _num_batches(data.val_dataloader(), config["trainer"]["limit_val_batches"])
    test_batches = _num_batches(data.test_dataloader(), config["trainer"]["limit_test_batches"])
    return Estimate(
        num_parameters=count_parameters(task.model),
        steps=plan.total_steps,
        step_seconds=timer.median() * trainer.accumulate_grad_batches,
        validations=int(batches // batches_per_validation),
        validation_seconds=validation_batches * batch_seconds,
        test_seconds=test_batches * batch_seconds,
        matching=_matching(config, data.spec),
    )


def _matching(config: build.Config, spec: Spec) -> Matching | None:
    budget = build.budget_of(config)
    if budget is None:
        return None
    sized = build.model_of_size(config, spec)
    is_met = nearest_size(sized, budget.num_parameters).misses(*budget) is None
    return Matching(budget, canonical_json([config["model"], config["data"]]), sized, is_met)


def _budget_lines(matchings: Sequence[Matching]) -> list[str]:
    """A line for each budget that some jobs do not meet, with one that all its jobs do."""
    lines = []
    for budget in dict.fromkeys(each.budget for each in matchings):
        jobs = [each for each in matchings if each.budget == budget]
        missed = sum(not each.is_met for each in jobs)
        if missed:
            builds = {each.key: each.build for each in jobs}
            met = common_budget([*builds.values()], *budget)
            mend = f"all jobs meet model.match_parameters={met}" if met else "give a larger one"
            jobs_text = f"{missed} of {len(jobs)} jobs miss it by over {100 * budget.tolerance:g} %"
            lines.append(f"model.match_parameters={budget.num_parameters}: {jobs_text}; {mend}")
    return lines


def _batch_seconds(config: build.Config, task: pl.LightningModule, data: pl.LightningDataModule) -> float:
    """The time of one validation batch in seconds."""
    limited = {**config, "trainer": {**config["trainer"], "limit_val_batches": _TIMED_BATCHES}}
    timer = _ValidationTimer()
    build_evaluator(limited, [timer]).validate(task, datamodule=data, verbose=False)
    return statistics.median(timer.seconds)


class _ValidationTimer(pl.Callback):
    """Times the batches of a validation."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._mark = 0.0

    def on_validation_batch_start(self, *_: Any) -> None:
        self._mark = time.perf_counter()

    def on_validation_batch_end(self, *_: Any) -> None:
        self.seconds.append(time.perf_counter() - self._mark)


def _num_batches(loader: Any, limit: int | float | None) -> int:
    """The number of batches of an evaluation; ``limit`` is a number of batches, or a fraction of all."""
    total = len(loader)
    if isinstance(limit, float):
        return int(total * limit)
    return total if limit is None else min(total, limit)


def main(argv: Sequence[str] | None = None) -> int:
    """Estimates the jobs of a JSON file, and prints two lines for each; the exit code is 2 if one has a mistake."""
    (file,) = sys.argv[1:] if argv is None else argv
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    total, refused, complete = 0.0, 0, 0
    matchings: list[Matching] = []
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
                job_estimate = estimate(job["config"], Path(scratch))
        except Exception as error:  # anything, such as a mistake in a cell: the other jobs are still estimated
            refused += 1
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            print(f"{name}\n    would fail: {kind}{' '.join(str(error).split())}", flush=True)
            continue
        total += job_estimate.seconds
        matchings += [job_estimate.matching] if job_estimate.matching else []
        print(f"{name}\n    {job_estimate}", flush=True)
    for line in _budget_lines(matchings):
        print(line, flush=True)
    counts = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}, {complete} completed before, {refused} with a mistake"
    print(f"{counts}; about {duration(total)} one after another, if none stops early", flush=True)
    return 2 if refused else 0
