"""What autograd offers inside a step, and outputs and projections of any kind, are as on ``loop``."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqlab.nn import LSTMCell, Recurrent
from tests.nn.agreement import RAGGED, assert_layer_agrees, batch, small_cell
from tests.nn.covering import covering
from tests.nn.engine.refusals import x_of

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step could be compiled


# What autograd offers inside a step is served


def straight_through(self, gi, gh, state):
    a = (gi + gh).tanh()
    return (a + (a.sign() - a).detach(),)


def without_gradients_inside(self, gi, gh, state):
    a = (gi + gh).tanh()
    with torch.no_grad():
        norm = a.abs() + 0.5
    return (a / norm,)


def set_grad_enabled_inside(self, gi, gh, state):
    a = (gi + gh).tanh()
    torch.set_grad_enabled(False)
    norm = a.abs() + 0.5
    torch.set_grad_enabled(True)
    return (a / norm,)


def a_detached_state(self, gi, gh, state):
    return ((gi + gh).tanh() + state[0].detach() * 0.5,)


def a_hook_that_clips(self, gi, gh, state):
    h = (gi + gh).tanh()
    if h.requires_grad:
        h.register_hook(lambda g: g.clamp(-0.1, 0.1))
    return (h,)


def a_hook_that_scales_the_state(self, gi, gh, state):
    h = state[0] * 1.0
    if h.requires_grad:
        h.register_hook(lambda g: g * 0.5)
    return ((gi + gh).tanh() + h,)


class Reversing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def a_function_with_a_gradient_of_its_own(self, gi, gh, state):
    return (Reversing.apply((gi + gh).tanh()),)


def a_gradient_inside(self, gi, gh, state):
    z = (gi + gh).detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(z.tanh().sum(), z)
    return ((gi + gh).tanh() * slope,)


def an_in_place_change_of_a_result(self, gi, gh, state):
    z = gi + gh
    z.mul_(0.5)
    z[:, 0] = 0.5
    return (z.tanh(),)


def an_assertion(self, gi, gh, state):
    assert gi.shape[1] == self.hidden_size, "the gates"
    return ((gi + gh).tanh(),)


@pytest.mark.parametrize(
    "function",
    [
        straight_through,
        without_gradients_inside,
        set_grad_enabled_inside,
        a_detached_state,
        a_hook_that_clips,
        a_hook_that_scales_the_state,
        a_function_with_a_gradient_of_its_own,
        a_gradient_inside,
        an_in_place_change_of_a_result,
        an_assertion,
    ],
    ids=lambda each: each.__name__,
)
def test_what_autograd_offers_inside_a_step_is_as_on_loop(function):
    layer = Recurrent(small_cell(function))
    for lengths in (None, RAGGED):
        assert_layer_agrees(layer, lengths, without_gradients=lengths is None)


def test_large_numbers_are_as_on_loop():
    cell = small_cell(lambda self, gi, gh, state: (functional.softplus(gi + gh) + torch.logaddexp(gi, gh),))
    found = []
    for backend in ("auto", "loop"):
        x = (500 * x_of()).requires_grad_()
        output, _ = Recurrent(cell, backend)(x)
        found.append([output, *torch.autograd.grad(output.sum(), [x, *cell.parameters()])])
    for one, other in zip(*found, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_list_is_as_good_as_a_tuple_on_every_engine():
    cell = small_cell(lambda self, gi, gh, state: [(gi + gh).tanh()])
    layer = Recurrent(cell)
    assert_layer_agrees(layer, without_gradients=True)
    with torch.no_grad():
        assert layer(x_of(1))[0].shape == (2, 1, 5)
    assert_layer_agrees(Recurrent(cell, recompute=True))


@pytest.mark.parametrize("result", [lambda z: z, lambda z: (z, z), lambda z: (z[:, :2],), lambda z: None])
def test_a_wrong_result_is_named_on_every_engine(result):
    cell = small_cell(lambda self, gi, gh, state: result((gi + gh).tanh()))
    for backend in ("auto", "loop"):
        with pytest.raises((TypeError, ValueError), match="Small"):
            Recurrent(cell, backend)(x_of())


# Batch statistics and sums over time where they may stand


class NormalizedOutput(LSTMCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size, track_running_stats=False)

    def output(self, state):
        return self.norm(state[0])


class CountingOutput(LSTMCell):
    """An output that draws and counts: it runs once a step."""

    calls = 0

    def output(self, state):
        self.calls += 1
        return state[0] * self.calls


class DropoutOutput(LSTMCell):
    def output(self, state):
        return functional.dropout(state[0], 0.5, self.training)


class NormalizedInput(LSTMCell):
    def project(self, x):
        gi = super().project(x)
        return (gi - gi.mean((0, 1))) / (gi.std((0, 1)) + 1)


class SummedInput(LSTMCell):
    def project(self, x):
        return super().project(x).cumsum(1) / 3


class RunningOutput(LSTMCell):
    """Running statistics: a buffer changes at each step."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size)

    def output(self, state):
        return self.norm(state[0])


@pytest.mark.parametrize(
    ("make", "lengths", "reverse"),
    covering(
        [NormalizedOutput, CountingOutput, DropoutOutput, NormalizedInput, SummedInput, RunningOutput],
        [None, RAGGED],
        [False, True],
    ),
)
def test_outputs_and_projections_of_any_kind_are_as_on_loop(make, lengths, reverse):
    torch.manual_seed(0)
    cell = make(3, 5).double()
    twin = copy.deepcopy(cell)
    counts, found = None if lengths is None else torch.tensor(lengths), []
    for each, backend in ((cell, "auto"), (twin, "loop")):
        layer = Recurrent(each, backend, reverse)
        for seed in range(2):
            torch.manual_seed(seed)
            x, _ = batch(each, 5, 6)
            output, final = layer(x.requires_grad_(), lengths=counts)
            loss = output.pow(3).sum() + final[1].sum()
            gradients = torch.autograd.grad(loss, [x, *each.parameters()])
        found.append([output, *final, *gradients, *each.buffers(), torch.rand(())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
