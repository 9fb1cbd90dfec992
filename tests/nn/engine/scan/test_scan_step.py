"""How a captured step is cut: what all rows share, the step of the rows, and what stays as the user wrote it."""

import pytest
import torch
from torch import nn

from seqlab.nn import GatedCell, Recurrent
from tests.nn.agreement import assert_layer_agrees

pytestmark = pytest.mark.usefixtures("compiled_quickly")


class Cell(GatedCell):
    num_gates = 1

    def __init__(self):
        super().__init__(3, 5)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 5))
        self.double()


class WithoutGradient(Cell):
    """A part of the step has no gradient, and neither has a part that all rows share."""

    def pointwise(self, gi, gh, state):
        with torch.no_grad():
            gate = (gi + gh).sigmoid()
            scale = self.scale.exp()
        return ((gi * gate + gh).tanh() * scale,)


class GradientWithin(Cell):
    def pointwise(self, gi, gh, state):
        with torch.no_grad():
            gate = (gi + gh).sigmoid()
            with torch.enable_grad():
                scale = self.scale.exp()
        return ((gi * gate + gh).tanh() * scale,)


@pytest.mark.parametrize("kind", [WithoutGradient, GradientWithin])
def test_what_has_no_gradient_in_a_step_has_none_compiled(kind):
    layer = Recurrent(kind(), "scan")
    assert_layer_agrees(layer, without_gradients=True)
    x = torch.randn(2, 3, 3, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(layer(x)[0].sum(), layer.cell.scale, allow_unused=True, materialize_grads=True)
    assert bool(gradient.any()) == (kind is GradientWithin)


class WrittenLate(Cell):
    """The rows use a shared tensor before it is written to; the shared part runs first, and would write first."""

    def pointwise(self, gi, gh, state):
        scale = self.scale * 1
        early = gi + scale
        scale.mul_(2)
        return ((early + gh).tanh() + scale,)


class WrittenEarly(Cell):
    def pointwise(self, gi, gh, state):
        scale = self.scale * 1
        scale.mul_(2)
        return ((gi * scale + gh * scale).tanh(),)


class FilledWithRows(Cell):
    """The batch size is a shape and a value in one call."""

    def pointwise(self, gi, gh, state):
        rows = gi.shape[0]
        return ((gi + gh + torch.full((rows, 1), 1 / rows, dtype=gi.dtype)).tanh(),)


class ShapedByRows(Cell):
    def pointwise(self, gi, gh, state):
        return ((gi + gh + torch.ones((gi.shape[0], 1), dtype=gi.dtype)).tanh(),)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(WrittenLate, "it changes a tensor in place between two uses"), (FilledWithRows, "batch size")],
)
def test_what_one_cut_would_get_wrong_runs_on_the_loop(kind, reason):
    layer = Recurrent(kind())
    assert_layer_agrees(layer, without_gradients=True)
    assert layer.last_run.engine == "loop" and reason in layer.last_run.reason


@pytest.mark.parametrize("kind", [WrittenEarly, ShapedByRows])
def test_their_harmless_likes_are_compiled(kind):
    layer = Recurrent(kind(), "scan")
    assert_layer_agrees(layer)
    for rows in (1, 11, 14):
        x = torch.randn(rows, 3, 3, dtype=torch.float64)
        torch.testing.assert_close(layer(x)[0], Recurrent(layer.cell, "loop")(x)[0])
    assert layer.last_run.engine == "scan"
