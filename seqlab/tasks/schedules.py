"""Learning-rate schedules, counted in optimizer steps.

The configuration makes a schedule, which is then called with the optimizer and the plan of the training. A schedule by
epochs divides the step by the steps of an epoch. So the rate depends on the step alone, also in a resumed run.
"""

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau


@dataclass
class Plan:
    """The length of a training.

    Args:
        total_steps: optimizer steps in all.
        steps_per_epoch: optimizer steps in an epoch.
        mode: ``min`` where a lower value of the judged metric is better, ``max`` where a higher one is.
    """

    total_steps: int
    steps_per_epoch: int
    mode: Literal["min", "max"] = "min"


@dataclass
class Constant:
    """The optimizer's own rate.

    Args:
        warmup_steps: optimizer steps over which the rate rises linearly to it.
    """

    warmup_steps: int = 0

    def __call__(self, optimizer: Optimizer, plan: Plan) -> LRScheduler:
        return _by_step(optimizer, self.warmup_steps, lambda step: 1.0)


@dataclass
class StepDecay:
    r"""Zaremba et al. 2014: :math:`\eta_e = \eta_1 \cdot \text{factor}^{\max(0, e - \text{epochs})}` in epoch :math:`e
    = 1, 2, \dots`

    Args:
        epochs: the epochs at the full rate.
        factor: what each further epoch multiplies the rate by.
        warmup_steps: optimizer steps over which the rate rises linearly at first.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = StepDecay(epochs=2, factor=0.5)(optimizer, Plan(total_steps=8, steps_per_epoch=2))
        >>> rates = []
        >>> for _ in range(8):
        ...     rates.append(schedule.get_last_lr()[0]); optimizer.step(); schedule.step()
        >>> rates
        [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    epochs: int = 4
    factor: float = 0.5
    warmup_steps: int = 0

    def __call__(self, optimizer: Optimizer, plan: Plan) -> LRScheduler:
        return _by_step(
            optimizer,
            self.warmup_steps,
            lambda step: self.factor ** max(0, step // plan.steps_per_epoch + 1 - self.epochs),
        )


@dataclass
class Cosine:
    r"""Loshchilov & Hutter 2017, without restarts: :math:`\eta_s = \eta_0 (r + (1 - r)(1 + \cos(\pi s / S)) / 2)` after
    the warm-up, with :math:`S` the steps in all and :math:`r` the ``final_ratio``.

    Args:
        final_ratio: the last rate, as a share of the first.
        warmup_steps: optimizer steps over which the rate rises linearly at first.
    """

    final_ratio: float = 0.0
    warmup_steps: int = 0

    def __call__(self, optimizer: Optimizer, plan: Plan) -> LRScheduler:
        def factor(step: int) -> float:
            done = min(1.0, (step - self.warmup_steps) / max(1, plan.total_steps - self.warmup_steps))
            return self.final_ratio + (1 - self.final_ratio) * (1 + math.cos(math.pi * done)) / 2

        return _by_step(optimizer, self.warmup_steps, factor)


@dataclass
class WarmupStableDecay:
    r"""Zhai et al. 2022; Hägele et al. 2024: constant after the warm-up, and a linear decay at the end.

    :math:`\eta_s = \eta_0` until step :math:`s = dS`, then :math:`\eta_s = \eta_0 (1 - (1 - r)(s - dS) / (S - dS))`,
    with :math:`S` the steps in all, :math:`d` the share ``decay_from`` and :math:`r` the ``final_ratio``. Until the
    decay, runs of one schedule and different rates can be compared.

    Args:
        decay_from: the share of the steps after which the rate falls, 0 to 1.
        final_ratio: the last rate, as a share of the first.
        warmup_steps: optimizer steps over which the rate rises linearly at first.

    Raises:
        ValueError: ``decay_from`` is not a share.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = WarmupStableDecay(decay_from=0.5)(optimizer, Plan(total_steps=8, steps_per_epoch=8))
        >>> rates = []
        >>> for _ in range(8):
        ...     rates.append(schedule.get_last_lr()[0]); optimizer.step(); schedule.step()
        >>> rates
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    decay_from: float = 0.8
    final_ratio: float = 0.0
    warmup_steps: int = 0

    def __call__(self, optimizer: Optimizer, plan: Plan) -> LRScheduler:
        if not 0 <= self.decay_from <= 1:
            raise ValueError(f"decay_from is {self.decay_from}; expected a share of the steps, 0 to 1")
        start = self.decay_from * plan.total_steps

        def factor(step: int) -> float:
            decayed = min(1.0, max(0.0, step - start) / max(1e-9, plan.total_steps - start))
            return 1 - (1 - self.final_ratio) * decayed

        return _by_step(optimizer, self.warmup_steps, factor)


@dataclass
class Plateau:
    """Multiplies the rate by ``factor`` when the judged metric has not improved for more than ``patience`` validations.

    Args:
        factor: what the rate is multiplied by.
        patience: the number of validations without an improvement that change nothing.
        threshold: the relative change that counts as an improvement.
        min_lr: the lowest rate.
    """

    factor: float = 0.5
    patience: int = 0
    threshold: float = 1e-4
    min_lr: float = 0.0

    def __call__(self, optimizer: Optimizer, plan: Plan) -> ReduceLROnPlateau:
        return ReduceLROnPlateau(
            optimizer,
            mode=plan.mode,
            factor=self.factor,
            patience=self.patience,
            threshold=self.threshold,
            min_lr=self.min_lr,
        )


def rate_factors(
    schedule: Callable[[Optimizer, Plan], LRScheduler | ReduceLROnPlateau], optimizer: Optimizer, plan: Plan, steps: int
) -> list[tuple[float, ...]]:
    """What a schedule multiplies the optimizer's rates by at the first steps, for each group of parameters.

    The optimizer and its own schedule stay as they are. A schedule that watches the training is taken for constant.

    Args:
        schedule: makes the schedule.
        optimizer: the optimizer.
        plan: the plan of the training.
        steps: the number of steps.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
        >>> cyclic = lambda optimizer, plan: torch.optim.lr_scheduler.CyclicLR(optimizer, 2.0, 4.0, step_size_up=2)
        >>> rate_factors(cyclic, optimizer, Plan(8, 8), steps=5)
        [(1.0,), (1.5,), (2.0,), (1.5,), (1.0,)]
    """
    own = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    stand_in = copy.copy(optimizer)
    stand_in.param_groups = [
        {name: value for name, value in group.items() if name != "initial_lr"} | {"params": [], "lr": rate}
        for group, rate in zip(optimizer.param_groups, own, strict=True)
    ]
    factors = []
    with warnings.catch_warnings():  # a schedule warns of steps that the optimizer has not made
        warnings.simplefilter("ignore")
        made = schedule(stand_in, plan)
        if isinstance(made, ReduceLROnPlateau):
            return [(1.0,) * len(own)] * steps
        if isinstance(made, LambdaLR):  # quicker than step by step
            return [tuple(float(each(step)) for each in made.lr_lambdas) for step in range(steps)]
        for _ in range(steps):
            rates = [float(group["lr"]) for group in stand_in.param_groups]
            factors.append(tuple(rate / first if first else 1.0 + rate for rate, first in zip(rates, own, strict=True)))
            made.step()
    return factors


def first_change(factors: Iterable[float]) -> int | None:
    """The first step, from 0, whose rate is neither the full one nor that of a warm-up before it; None: there is none.

    Args:
        factors: each step's rate, over the full one. A warm-up is a rise to 1 from the first step on.

    Example:
        >>> first_change([0.5, 1.0, 1.0]), first_change([1.0, 0.5, 1.0]), first_change([0.2, 0.1, 1.0])
        (None, 1, 1)
    """
    was_full, before = False, -math.inf
    for step, factor in enumerate(factors):
        is_full = is_full_rate(factor)
        if not is_full and (was_full or factor > 1 or factor < before):
            return step
        was_full, before = was_full or is_full, factor
    return None


def is_full_rate(factor: float) -> bool:
    """Whether a factor of the rate is 1, up to rounding."""
    return math.isclose(factor, 1.0, rel_tol=1e-6)


def _by_step(optimizer: Optimizer, warmup_steps: int, factor: Callable[[int], float]) -> LambdaLR:
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps is {warmup_steps}; expected 0 or more")
    return LambdaLR(optimizer, lambda step: (step + 1) / warmup_steps if step < warmup_steps else factor(step))
