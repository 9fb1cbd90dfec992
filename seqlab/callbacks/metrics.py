"""Logs the training between validations, without waiting for the device at each step."""

import math
import time
from collections.abc import Mapping
from typing import Any, Final

import lightning.pytorch as pl
import torch

from seqlab.errors import InputError
from seqlab.tasks.base import SequenceTask, log_interval
from seqlab.tasks.devices import gathered, rank, summed, world_size

HIGHEST_LOSS: Final = 700.0
"""In nats a token. Not far above it, the perplexity is not a finite number."""


class DivergedError(RuntimeError):
    """The loss is not finite, or above :data:`HIGHEST_LOSS`."""


class TrainingMetrics(pl.Callback):
    """Logs the training every ``trainer.log_every_n_steps`` steps.

    It logs loss, perplexity (of tasks that have one), learning rate, gradient norm and speed. Loss and
    perplexity cover what all devices predicted since the last record; they are summed in float64 on the device, so that
    nothing waits for it between records. The speed counts the tokens, or frames, that are read, and the time from the
    end of one step to the end of the next, without validations and samples.

    Attributes:
        tokens_per_second: the speed of the run so far, in what the task ``reads``; None before the first record.

    Raises:
        DivergedError: the loss of a record, or of a validation, is not finite or above ``HIGHEST_LOSS``.
    """

    def __init__(self) -> None:
        self.tokens_per_second: float | None = None
        self.loss: float | None = None
        self._nll = torch.zeros((), dtype=torch.float64)
        self._tokens = torch.zeros((), dtype=torch.int64)
        self._timed_tokens = torch.zeros((), dtype=torch.int64)
        self._timed_seconds = 0.0
        self._run_tokens = 0
        self._run_seconds = 0.0
        self._mark: float | None = None
        self._started: float | None = None
        self._earlier_seconds = 0.0
        self._recorded_step = 0
        self._rate = math.nan
        self._since_record: list[tuple[float, int]] = []

    @property
    def train_seconds(self) -> float:
        """Seconds of training, with validations, in this process and in those before it that were resumed."""
        return self._earlier_seconds + (time.perf_counter() - self._started if self._started is not None else 0.0)

    @property
    def rate(self) -> float:
        """The learning rate of the last optimizer step; NaN before the first."""
        return self._rate

    def speed(self, task: pl.LightningModule) -> dict[str, str]:
        """The speed of the run so far by its unit, ``{"tokens/s": "1,200"}``; empty before the first record."""
        if self.tokens_per_second is None:
            return {}
        return {f"{_reads(task)}/s": f"{self.tokens_per_second:,.0f}"}

    def running_loss(self) -> float | None:
        """The loss of this device since the last record; right after a record, that one. None before the first step."""
        tokens = int(self._tokens)
        return float(self._nll) / tokens if tokens else self.loss

    def state_dict(self) -> dict[str, Any]:
        return {
            "tokens": self._run_tokens,
            "seconds": self._run_seconds,
            "train_seconds": self.train_seconds,
            "since_record": gathered((float(self._nll), int(self._tokens))),  # of each device
            "recorded_step": self._recorded_step,
            "rate": self._rate,
            "loss": self.loss,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._run_tokens, self._run_seconds = state_dict["tokens"], state_dict["seconds"]
        if self._run_seconds:
            self.tokens_per_second = self._run_tokens / self._run_seconds
        self._earlier_seconds = state_dict["train_seconds"]
        self._since_record = state_dict["since_record"]
        self._recorded_step, self._rate = state_dict["recorded_step"], state_dict["rate"]
        self.loss = state_dict["loss"]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self._rate = float(optimizer.param_groups[0]["lr"])  # read here: afterwards it is the next step's

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()
        self._reset(pl_module.device)
        if len(self._since_record) == world_size():
            own = [self._since_record[rank()]]
        else:  # the run was on another number of devices: the first device takes the sums of all
            own = self._since_record if rank() == 0 else []
        for nll, tokens in own:
            self._nll += nll
            self._tokens += tokens

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._earlier_seconds, self._started = self.train_seconds, None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not isinstance(outputs, Mapping) or not {"nll", "tokens"} <= outputs.keys():
            given = ", ".join(outputs) if isinstance(outputs, Mapping) and outputs else "nothing"
            raise InputError(
                f"{type(pl_module).__name__}.training_step gave {given}; the log needs nll and tokens too, as "
                "seqlab.tasks.StepOutput has them"
            )
        self._nll += outputs["nll"]
        self._tokens += outputs["tokens"]
        now = time.perf_counter()
        if self._mark is not None:  # the first step after a pause has no start to measure from
            self._timed_seconds += now - self._mark
            self._timed_tokens += outputs.get("steps", outputs["tokens"])
        self._mark = now
        step = trainer.global_step
        if step != self._recorded_step and step % log_interval(trainer) == 0:
            self._recorded_step = step
            self._record(trainer, pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Also here, because training may have diverged since the last record, and samples and checkpoints come next.
        if trainer.state.fn == "fit" and "val/loss" in trainer.callback_metrics:
            _check_loss("val/loss", float(trainer.callback_metrics["val/loss"]), trainer.global_step)

    def _record(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        tokens = int(summed(self._tokens))
        if not tokens:
            return
        loss = float(summed(self._nll)) / tokens
        _check_loss("train/loss", loss, trainer.global_step)
        self.loss = loss
        metrics = {
            "train/loss": loss,
            "train/learning_rate": self._rate,
        }
        assert isinstance(pl_module, SequenceTask)
        if pl_module.perplexity:
            metrics["train/perplexity"] = math.exp(loss)
        if pl_module.gradient_norm is not None:
            metrics["train/gradient_norm"] = float(pl_module.gradient_norm)
        if self._timed_seconds > 0:
            timed_tokens = int(summed(self._timed_tokens))
            self._run_tokens += timed_tokens
            self._run_seconds += self._timed_seconds
            self.tokens_per_second = self._run_tokens / self._run_seconds
            metrics[f"train/{_reads(pl_module)}_per_second"] = timed_tokens / self._timed_seconds
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
        self._reset(pl_module.device)

    def _reset(self, device: torch.device) -> None:
        self._nll = torch.zeros((), dtype=torch.float64, device=device)
        self._tokens = torch.zeros((), dtype=torch.int64, device=device)
        self._timed_tokens = torch.zeros((), dtype=torch.int64, device=device)
        self._timed_seconds = 0.0


def _reads(task: pl.LightningModule) -> str:
    assert isinstance(task, SequenceTask)
    return task.reads


def _check_loss(name: str, loss: float, step: int) -> None:
    if not loss < HIGHEST_LOSS:  # true for NaN too
        raise DivergedError(
            f"training diverged: {name} is {loss:.4g} at step {step}; lower optimizer.lr or set "
            "trainer.gradient_clip_val"
        )
