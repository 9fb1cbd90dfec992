"""The base class of all tasks: optimizer, schedule, gradient norm, evaluation and exact resume."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from seqlab.errors import InputError
from seqlab.tasks import resume
from seqlab.tasks.devices import gathered, rank
from seqlab.tasks.examples import Examples
from seqlab.tasks.schedules import Constant, Plan

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
Schedule = Callable[[Optimizer, Plan], LRScheduler | ReduceLROnPlateau]

_STATE_KEY = "seqlab"  # in a checkpoint


def full_precision(logits: Tensor) -> Tensor:
    """Converts ``logits`` to float32 or wider. The sums of an evaluation need it: bfloat16 has three digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_label_smoothing(share: float) -> float:
    """Checks that label smoothing is a share in [0, 1), and returns it.

    Raises:
        InputError: the share is out of range.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"task.label_smoothing is {share}; expected a share in [0, 1)")
    return share


def log_interval(trainer: pl.Trainer) -> int:
    """``trainer.log_every_n_steps``, in steps. Lightning sets the attribute without declaring it."""
    return int(trainer.log_every_n_steps)  # type: ignore[attr-defined]


class StepOutput(TypedDict):
    """What ``training_step`` returns: scalar tensors, of which ``loss`` alone has a gradient.

    Attributes:
        loss: the number that is differentiated; a mean over the terms of a batch goes through
            :func:`~seqlab.tasks.global_mean`. A task without gradient steps leaves it out.
        nll: the sum of the loss terms, detached; logged, divided by ``tokens``, as ``train/loss``.
        tokens: the number of those terms, an integer.
        steps: the number of tokens, or frames, that are read, an integer, where it is another; for the logged speed.
    """

    loss: NotRequired[Tensor]
    nll: Tensor
    tokens: Tensor
    steps: NotRequired[Tensor]


class SequenceTask(pl.LightningModule):
    """A model with its loss, metrics, optimizer and schedule, as a Lightning module that resumes exactly.

    A subclass defines ``training_step``, ``evaluate`` and ``eval_metrics``: a metric for each of "val" and "test", of
    which ``compute()`` gives a dictionary. Its entries are logged when the split ends. Where training carries a state
    between batches, the subclass also defines ``carried`` and ``carry_on``. :func:`seqlab.testing.check_task` checks
    all of it.

    Args:
        model: the model to train.
        optimizer: builds the optimizer from the parameters; None for a task that takes no gradient steps.
        schedule: builds the learning-rate schedule from the optimizer and the :class:`~seqlab.tasks.schedules.Plan`.
        metric: the logged metric that plateau schedules watch.
        mode: ``min`` where a lower ``metric`` is better, ``max`` where a higher one is.

    Attributes:
        reads: what ``steps`` of the training step counts, in the plural; the logged speed has it in its name.
        perplexity: whether the exponential of the loss is logged too; for a loss per token.
        gradient_norm: the L2 norm of the gradient over all parameters, before clipping. It is measured at every step
            with ``gradient_clip_val``, otherwise at the steps that are logged.
    """

    reads: ClassVar[str] = "tokens"
    perplexity: ClassVar[bool] = False
    eval_metrics: nn.ModuleDict

    def __init__(
        self,
        model: nn.Module,
        optimizer: OptimizerFactory | None,
        schedule: Schedule | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__()
        if mode not in ("min", "max"):
            raise InputError(f"optimize.mode is {mode!r}; expected min or max")
        self.model = model
        self.optimizer_factory = optimizer
        self.schedule = schedule or Constant()
        self.metric = metric
        self.mode = mode
        self.gradient_norm: Tensor | None = None
        self.plan: Plan | None = None
        self.plateau: ReduceLROnPlateau | None = None
        self._resumed: dict[str, Any] | None = None
        self._generators: dict[str, Any] | None = None

    def training_step(self, batch: Any, batch_idx: int) -> StepOutput:
        """Computes the loss of one batch; see :class:`StepOutput`."""
        raise NotImplementedError(f"{type(self).__name__} must define training_step")

    def carried(self) -> Any:
        """Returns the detached state that training carries from batch to batch, for the checkpoint; None without one.

        It is the state of all devices together, because a run may be resumed on another number of devices.
        """
        return None

    def carry_on(self, state: Any) -> None:
        """Restores this device's share of what :meth:`carried` returned.

        Args:
            state: the saved state, moved to the task's device.
        """

    def evaluate(self, batch: Any, split: str) -> None:
        """Adds a batch to the metrics of a split, "val" or "test"."""
        raise NotImplementedError(f"{type(self).__name__} must define evaluate")

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples | None:
        """Shows the model's answers to the first examples of a split.

        A task may add options with defaults; they are keys of ``callbacks.examples``. The task stays as it is: weights,
        training mode, carried state and PyTorch's random state.

        Args:
            data: the data module at work.
            split: "validation" or "test", as the data names it.
            count: how many examples, at most.
            generator: the source of random numbers, if any are drawn.

        Returns:
            The examples as text. None, the default, shows none.
        """
        return None

    def loss_terms(self, batch: Any) -> tuple[Tensor, Tensor | None] | None:
        """The loss of each step or of each row of a batch, for those who look at gradients over time.

        Each row is read from the initial state, and the task stays as it is: metrics and carried state.

        Args:
            batch: a batch.

        Returns:
            The losses ``(B, T)`` by step, or ``(B,)`` by row, 0 where nothing is predicted; and the lengths of the rows
            ``(B,)``, or None where all are of one length. None, the default: the task has no such losses.
        """
        return None

    def metrics_of(self, split: str) -> Any:
        """Returns the metrics of a split, "val" or "test"."""
        return self.eval_metrics[split]

    def finish(self, split: str) -> None:
        """Logs the metrics at the end of a split, "val" or "test", and resets them."""
        metrics = self.metrics_of(split)
        self.log_dict({f"{split}/{name}": value for name, value in metrics.compute().items()})
        metrics.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "test")

    def on_test_epoch_end(self) -> None:
        self.finish("test")

    def configure_optimizers(self) -> Any:
        # A resumed run keeps its plan. To ask Lightning again would also set up the training loader before the
        # checkpoint's cursor is read, and the cursor would be lost.
        self.plan = self._resumed_plan(Plan(**self._resumed["plan"])) if self._resumed else self._new_plan()
        if self.optimizer_factory is None:
            return []
        optimizer = self.optimizer_factory(self.model.parameters())
        scheduler = self.schedule(optimizer, self.plan)
        if isinstance(scheduler, ReduceLROnPlateau):
            # Lightning steps a plateau scheduler at an epoch's end, which a run resumed there never reaches.
            self.plateau = scheduler
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _resumed_plan(self, before: Plan) -> Plan:
        """The plan before the resume, with more steps where the run is now to train for longer."""
        epochs, steps = self.trainer.max_epochs, self.trainer.max_steps
        limits = [limit for limit in (before.steps_per_epoch * max(epochs or -1, -1), steps) if limit > 0]
        return replace(before, total_steps=min(limits, default=before.total_steps))

    def _new_plan(self) -> Plan:
        if not self.trainer.limit_train_batches:
            raise InputError("trainer.limit_train_batches is 0, which leaves nothing to train on; give 1 or more")
        try:
            self.trainer.fit_loop.setup_data()
        except (
            ValueError,
            MisconfigurationException,
        ) as error:
            # Lightning checks intervals and limits here, against the length of an epoch.
            raise InputError(f"trainer: {' '.join(str(error).split())}") from error
        total = self.trainer.estimated_stepping_batches
        if total == float("inf"):
            raise InputError(
                "training would never end: set trainer.max_epochs or trainer.max_steps to a positive number"
            )
        batches, accumulated = self.trainer.num_training_batches, self.trainer.accumulate_grad_batches
        return Plan(int(total), max(1, -(-int(batches) // accumulated)), self.mode)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val and gradient_clip_algorithm != "value":
            # Clipping needs the norm anyway, and measuring it separately would cost a second pass over all gradients.
            self.gradient_norm = nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val)
            return
        if (self.trainer.global_step + 1) % log_interval(self.trainer) == 0:
            gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
            self.gradient_norm = nn.utils.get_total_norm(gradients)
        if gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_validation_epoch_end(self) -> None:
        self.finish("val")
        if self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            return
        metrics = self.trainer.callback_metrics
        if self.metric not in metrics:  # checked before the schedule, early stopping or the checkpoint need it
            raise InputError(
                f"optimize.metric={self.metric} is not logged by validation; it logs {', '.join(sorted(metrics))}"
            )
        if self.plateau is not None:
            self.plateau.step(metrics[self.metric])

    def keep_generators(self) -> None:
        """Saves the states of the random generators before a validation.

        A checkpoint inside the validation takes these states, because the resumed run repeats the whole validation.
        """
        self._generators = resume.generator_states()

    def forget_generators(self) -> None:
        """Drops those states after the validation: checkpoints then take the generators as they are."""
        self._generators = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert self.plan is not None
        # Inside an accumulation the next batch adds to the gradients; otherwise it starts from zero.
        accumulates = self.automatic_optimization and self.trainer.fit_loop._should_accumulate()
        checkpoint[_STATE_KEY] = {
            "carried": self.carried(),
            "plan": asdict(self.plan),
            "plateau": self.plateau.state_dict() if self.plateau else None,
            "rng": gathered(self._generators or resume.generator_states()),
            "engines": resume.engines_of(self.model),
            "gradients": resume.gathered_gradients(self.model) if accumulates else None,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed = checkpoint.get(_STATE_KEY)
        resume.restore_engines(self.model, (self._resumed or {}).get("engines"))

    def on_train_start(self) -> None:
        if rank():  # each device draws its own dropout masks, the first one those of a run on one device
            torch.manual_seed(torch.initial_seed() + rank())
        if self._resumed is None:
            return
        self.carry_on(pl.utilities.move_data_to_device(self._resumed["carried"], self.device))
        if self.plateau is not None and self._resumed["plateau"] is not None:
            self.plateau.load_state_dict(self._resumed["plateau"])
        if self._resumed["gradients"] is not None:
            resume.restore_gradients(self.model, self._resumed["gradients"])
        before = Plan(**self._resumed["plan"])
        assert self.plan is not None
        if self.plan != before:
            resume.lengthen(self.lr_schedulers(), before, self.plan)
        # Last, because what was built since the start has drawn from the generators.
        resume.restore_generators(self._resumed["rng"])
        self._resumed = None
