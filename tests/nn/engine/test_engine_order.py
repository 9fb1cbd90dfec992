"""What ``project`` and ``output`` change beside what they give is seen by the steps, as in a hand-written loop."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn import GatedCell, LinearCell, Recurrent
from tests.nn.engine.by_hand import Cell, assert_calls_agree, by_hand

pytestmark = pytest.mark.usefixtures("compiled_quickly")


# project


class DrawsAMask(Cell):
    """A dropout mask that is the same at all steps."""

    def project(self, x):
        self.scale = (torch.rand(5) > 0.5).to(x.dtype)
        return GatedCell.project(self, x)


class SetsANumber(Cell):
    def project(self, x):
        self.scale = float(x.detach().abs().mean())
        return GatedCell.project(self, x)


class SetsASwitch(Cell):
    calls = 0

    def project(self, x):
        self.calls += 1
        return GatedCell.project(self, x)

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() if self.calls % 2 else (gi + gh).sigmoid(),)


class MakesAStepThatKeeps(SetsASwitch):
    def pointwise(self, gi, gh, state):
        if self.calls == 2:
            self.last = state[0].detach()
        return ((gi + gh).tanh(),)


class LinearMask(LinearCell):
    num_gates = 2
    scale: Tensor | float = 1.0
    project = DrawsAMask.project

    def coefficients(self, gi):
        a, b = gi.chunk(2, -1)
        return a.sigmoid(), b * self.scale


class LinearStatistics(LinearCell):
    """Coefficients that are of each row alone at every other call."""

    num_gates = 2
    calls = 0
    project = SetsASwitch.project

    def coefficients(self, gi):
        a, b = gi.chunk(2, -1)
        return a.sigmoid(), b if self.calls % 2 else b - b.mean(0)


@pytest.mark.parametrize("make", [DrawsAMask, SetsANumber, SetsASwitch])
def test_a_step_sees_what_project_has_set_in_this_call(make):
    assert_calls_agree(make, "scan")


def test_a_linear_cell_too():
    def make():
        return LinearMask(3, 5)

    assert_calls_agree(make, "parallel", "parallel")
    assert_calls_agree(lambda: LinearStatistics(3, 5), "scan", calls=2)


def test_a_step_that_project_has_made_impossible_to_compile_runs_once_on_loop(caplog):
    assert_calls_agree(MakesAStepThatKeeps, "scan", calls=2)
    assert "since its project has changed what they read" in caplog.text
    with pytest.raises(ValueError, match=r"^backend: scan can't run this MakesAStepThatKeeps: it changes self"):
        assert_calls_agree(MakesAStepThatKeeps, "scan", "scan", calls=2)


# output


class CountsInPython(Cell):
    def output(self, state):
        self.scale = self.scale * 0.5 + 0.3
        return state[0]


class KeepsItsState(Cell):
    def output(self, state):
        self.scale = state[0].detach().mean(0)
        return state[0]


class Averages(Cell):
    def output(self, state):
        self.mean.mul_(0.5).add_(state[0].detach().mean(0))
        return state[0] * 1

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() * self.mean.clone(),)


class DecaysAWeight(Cell):
    def output(self, state):
        self.weight_hh.detach().mul_(0.9)
        return state[0] * 1


class InPlace(Cell):
    def output(self, state):
        return functional.relu(state[0], inplace=True)


class AveragesForItself(Cell):
    """No step reads what this changes."""

    def output(self, state):
        self.mean.mul_(0.5).add_(state[0].detach().mean(0))
        return state[0] - self.mean.clone()


@pytest.mark.parametrize(
    ("make", "gradients", "engine"),
    [
        (CountsInPython, True, "loop"),
        (KeepsItsState, True, "loop"),
        (Averages, True, "loop"),
        (DecaysAWeight, False, "loop"),
        (InPlace, False, "loop"),
        (AveragesForItself, True, "scan"),
    ],
)
def test_a_step_sees_what_the_output_of_the_step_before_has_changed(make, gradients, engine):
    assert_calls_agree(make, engine, gradients=gradients)
    if engine == "loop":
        with pytest.raises(ValueError, match=rf"^backend: scan can't run this {make.__name__}: it"):
            assert_calls_agree(make, engine, "scan", gradients=gradients)


# One computation a call of what is made from others


class CountsItsUses(nn.Module):
    uses = 0

    def forward(self, weight):
        self.uses += 1
        return weight / (1 + self.uses)


def test_a_weight_that_project_reads_too_is_computed_once_a_call():
    class Scaled(Cell):
        def project(self, x):
            return GatedCell.project(self, x) * self.weight_hh.norm()

    def make():
        cell = Scaled()
        nn.utils.parametrize.register_parametrization(cell, "weight_hh", CountsItsUses(), unsafe=True)
        cell.parametrizations.weight_hh[0].uses = 0
        return cell

    assert_calls_agree(make, "scan")


def test_a_step_reads_what_is_made_from_others_beside_a_project_of_its_own(caplog):
    """Within the call, a weight that is made from others is kept: the step is not to be captured from what is kept."""

    class Levelled(Cell):
        project = DrawsAMask.project

        def __init__(self):
            super().__init__()
            self.level = nn.Parameter(torch.linspace(0.1, 1, 5))

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() * self.scale * self.level,)

    def make():
        cell = Levelled()
        nn.utils.parametrize.register_parametrization(cell, "level", nn.Softplus())
        return cell

    def change(cell):
        with torch.no_grad():
            cell.parametrizations.level.original.mul_(2)

    for backend in ("auto", "scan"):
        assert_calls_agree(make, "scan", backend, change=change)
    assert "its steps run on loop" not in caplog.text


# A part of the state that all rows share, and a backward pass that looks at all of them


class SharedState(GatedCell):
    num_gates, state_names = 1, ("h", "level")

    def __init__(self):
        super().__init__(3, 5)
        self.level = nn.Parameter(torch.linspace(0, 1, 5))

    def pointwise(self, gi, gh, state):
        return (gi + gh + state[1]).tanh(), self.level.expand_as(gi) * 2


class SharedStateAlone(Cell):
    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.linspace(0, 1, 5))

    def pointwise(self, gi, gh, state):
        return (self.level.expand_as(gi),)


@pytest.mark.parametrize("make", [SharedState, SharedStateAlone])
def test_a_part_of_the_state_may_be_that_of_a_parameter_alone(make):
    fast = make().double()
    slow = copy.deepcopy(fast)
    layer = Recurrent(fast)
    x = torch.randn(40, 5, 3, dtype=torch.float64)
    found = []
    for cell, run in ((fast, layer), (slow, lambda x: by_hand(slow, x))):
        output, final = run(x)
        (output.sin().sum() + final[-1].pow(3).sum()).backward()
        found.append([output, *final, cell.level.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert layer.last_run.engine == "scan"


def test_an_output_whose_backward_pass_looks_at_all_rows():
    class Normed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient / gradient.norm()

    class Own(Cell):
        def output(self, state):
            return Normed.apply(state[0])

    assert_calls_agree(Own, "scan")
