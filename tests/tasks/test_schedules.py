"""Learning-rate schedules: their rates step by step."""

from itertools import pairwise

import pytest
import torch

from seqlab.tasks.schedules import Constant, Cosine, Plan, Plateau, StepDecay


def rates(schedule, steps: int, plan: Plan | None = None) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer, plan or Plan(total_steps=steps, steps_per_epoch=3))
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_constant_after_a_linear_warm_up():
    assert rates(Constant(warmup_steps=4), 6) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_step_decay_halves_each_epoch_after_those_it_keeps():
    assert rates(StepDecay(epochs=1, factor=0.5), 10) == [2.0] * 3 + [1.0] * 3 + [0.5] * 3 + [0.25]


def test_cosine_falls_from_the_rate_to_its_final_share():
    seen = rates(Cosine(final_ratio=0.1), 101, Plan(total_steps=100, steps_per_epoch=10))
    assert seen[0] == 2.0 and seen[50] == pytest.approx(1.1) and seen[100] == pytest.approx(0.2)
    assert all(later < earlier for earlier, later in pairwise(seen))


@pytest.mark.parametrize(("mode", "values"), [("min", [3.0, 2.0, 2.5, 2.5]), ("max", [2.0, 3.0, 2.5, 2.5])])
def test_plateau_lowers_the_rate_when_the_metric_stops_improving(mode, values):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Plateau(factor=0.5, patience=0)(optimizer, Plan(10, 5, mode))
    seen = []
    for value in values:
        schedule.step(value)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [1.0, 1.0, 0.5, 0.25]
