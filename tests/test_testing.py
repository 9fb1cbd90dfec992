"""check_cell accepts what keeps the contract and catches, part by part, what breaks it."""

from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import GatedCell, GRUCell, LSTMCell, RNNCell
from seqlab.nn.engine import loop, native
from seqlab.testing import check_cell


class MinimalGated(GatedCell):
    """The minimal gated unit (Zhou et al. 2016): a user's ten lines."""

    num_gates, state_names = 2, ("h",)

    def pointwise(self, gi, gh, state):
        (fi, ni), (fh, nh) = gi.chunk(2, -1), gh.chunk(2, -1)
        f = (fi + fh).sigmoid()
        return ((1 - f) * state[0] + f * (ni + f * nh).tanh(),)


class TinyCell(GatedCell):
    """A right cell that the broken ones below each spoil in one way."""

    num_gates, state_names = 1, ("h",)

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh(),)


class MixesRows(TinyCell):
    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() + 0.1 * state[0].roll(1, 0),)


class CentresOverTheBatch(TinyCell):
    def pointwise(self, gi, gh, state):
        h = (gi + gh).tanh()
        return (h - h.mean(0, keepdim=True),)


class CutsTheRecurrentGradient(TinyCell):
    def pointwise(self, gi, gh, state):
        return ((gi + gh.detach()).tanh(),)


class ReadsAWeightAsData(TinyCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.gain = nn.Parameter(torch.ones(hidden_size))

    def pointwise(self, gi, gh, state):
        return ((self.gain.data * (gi + gh)).tanh(),)


class WrongGradient(TinyCell):
    class Tanh(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            h = z.tanh()
            ctx.save_for_backward(h)
            return h

        @staticmethod
        def backward(ctx, gradient):
            (h,) = ctx.saved_tensors
            return gradient * (1 - h)

    def pointwise(self, gi, gh, state):
        return (self.Tanh.apply(gi + gh),)


class RemembersInAnAttribute(TinyCell):
    trace = 0.0

    def pointwise(self, gi, gh, state):
        self.trace = 0.5 * self.trace + gi.detach().mean()
        return ((gi + gh + self.trace).tanh(),)


class CountsSteps(TinyCell):
    """Forgets its counter when a sequence begins anew, so that a second call looks the same."""

    steps = 0

    def project(self, x):
        if x.dim() == 3:
            self.steps = 0
        return super().project(x)

    def pointwise(self, gi, gh, state):
        self.steps += 1
        return ((gi + gh).tanh() / self.steps,)


class DrawsNoise(TinyCell):
    def pointwise(self, gi, gh, state):
        return ((gi + gh + 0.1 * torch.randn_like(gi)).tanh(),)


class HidesAParameter(TinyCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.hidden = [torch.ones(hidden_size, dtype=torch.float64, requires_grad=True)]

    def pointwise(self, gi, gh, state):
        return ((self.hidden[0] * (gi + gh)).tanh(),)


class HidesARandomConstant(TinyCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.constant = torch.randn(hidden_size, dtype=torch.float64)

    def pointwise(self, gi, gh, state):
        return ((self.constant * (gi + gh)).tanh(),)


class KeepsABufferOutOfTheStateDict(TinyCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.register_buffer("scale", torch.randn(hidden_size), persistent=False)

    def pointwise(self, gi, gh, state):
        return ((self.scale * (gi + gh)).tanh(),)


class LooksAtTheWholeSequence(TinyCell):
    def project(self, x):
        return super().project(x - x.mean(-2, keepdim=True)) if x.dim() == 3 else super().project(x)


class LooksAhead(TinyCell):
    def project(self, x):
        return super().project(x + x[:, -1:]) if x.dim() == 3 else super().project(x)


class HasNoGradientAtZero(TinyCell):
    """A padded step is an input of zero, and there a norm has no gradient."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.gain = nn.Parameter(torch.ones(input_size))

    def project(self, x):
        return super().project(x + (self.gain * x).square().sum(-1, keepdim=True).sqrt())


class IgnoresShortWindows(TinyCell):
    def project(self, x):
        return super().project(x) * (0.0 if x.dim() == 3 and x.size(1) < 3 else 1.0)


class ReturnsATensor(TinyCell):
    def pointwise(self, gi, gh, state):
        return (gi + gh).tanh()


class MakesFloat32(TinyCell):
    def pointwise(self, gi, gh, state):
        return ((gi + gh).float().tanh(),)


class OtherGateOrder(LSTMCell):
    def pointwise(self, gi, gh, state):
        f, i, g, o = (gi + gh).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class DetachedStart(LSTMCell):
    """Means to learn its initial state and cuts its gradient."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.randn(hidden_size))

    def initial_state(self, batch_size, *, like):
        h = self.start.detach().to(like).expand(batch_size, -1)
        return h, torch.zeros_like(h)


BROKEN = [
    (MixesRows, r"batch: permuted rows, output \(the cell mixes rows\)"),
    (CentresOverTheBatch, "batch: rows without the others, output"),
    (CutsTheRecurrentGradient, "gradient: from a given state: Jacobian mismatch"),
    (ReadsAWeightAsData, "gradient: .*Jacobian mismatch.*= gain"),
    (WrongGradient, "gradient: from a given state: Jacobian mismatch"),
    (DetachedStart, "gradient: from its own initial state: Jacobian mismatch"),
    (RemembersInAnAttribute, "step: a second call .*the cell remembers or draws something"),
    (CountsSteps, "step: the cell stepped by itself, step 0"),
    (DrawsNoise, "step: a second call .*the cell remembers or draws something"),
    (HidesAParameter, r"gradient: a learned tensor \(4,\) is no registered parameter: use nn.Parameter"),
    (HidesARandomConstant, "state_dict: a cell that loaded the state_dict .*something it needs is not in it"),
    (KeepsABufferOutOfTheStateDict, "state_dict: a cell that loaded the state_dict"),
    (LooksAtTheWholeSequence, "step: the cell stepped by itself"),
    (LooksAhead, "step: the cell stepped by itself"),
    (HasNoGradientAtZero, "padding: beside padding, gradient of gain: off by up to nan"),
    (IgnoresShortWindows, "windows: two windows with the state carried, output: off by up to"),
    (ReturnsATensor, "step: the cell raised ValueError: ReturnsATensor: the new state: expected the tuple"),
    (MakesFloat32, "step: the cell raised RuntimeError: .*dtype"),
]


@pytest.mark.parametrize("factory", [MinimalGated, TinyCell, LSTMCell, GRUCell, RNNCell])
def test_right_cells_pass(factory):
    check_cell(factory)


@pytest.mark.parametrize(("factory", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_each_broken_cell_is_caught_with_its_reason(factory, message):
    with pytest.raises(AssertionError, match=message) as caught:
        check_cell(factory)
    assert "\n" not in str(caught.value)


def test_parity_catches_another_gate_order():
    check_cell(OtherGateOrder)
    with pytest.raises(AssertionError, match="parity: output against the torch twin: off by up to"):
        check_cell(OtherGateOrder, torch_twin=nn.LSTMCell)


def test_parity_with_a_twin_passes_for_a_users_equal_cell():
    check_cell(TinyCell, torch_twin=nn.RNNCell)
    check_cell(partial(LSTMCell, bias=False), torch_twin=partial(nn.LSTMCell, bias=False))


def test_parity_finds_the_twin_of_the_shipped_cells(monkeypatch):
    monkeypatch.setattr(GRUCell, "pointwise", lambda self, gi, gh, state: ((gi + gh).chunk(3, -1)[0].tanh(),))
    with pytest.raises(AssertionError, match="parity: output against the torch twin"):
        check_cell(GRUCell)


def test_an_engine_that_disagrees_is_caught(monkeypatch):
    def off(cell, x, state, lengths):
        output, final = right(cell, x, state, lengths)
        return output, (final[0] + 1e-6 * final[0].detach(), *final[1:])

    right = native.run
    monkeypatch.setattr(native, "run", off)
    with pytest.raises(AssertionError, match=r"engines: native against loop, lengths None, reverse=False, state \(h\)"):
        check_cell(LSTMCell)


def test_a_reference_that_ignores_lengths_is_caught(monkeypatch):
    right = loop.run
    monkeypatch.setattr(loop, "run", lambda cell, x, state, lengths: right(cell, x.nan_to_num(), state, None))
    with pytest.raises(AssertionError, match="padding: output at padded steps: off by up to"):
        check_cell(TinyCell)


def test_an_engine_that_ignores_lengths_is_caught(monkeypatch):
    right = native.run
    monkeypatch.setattr(native, "run", lambda cell, x, state, lengths: right(cell, x, state, None))
    with pytest.raises(AssertionError, match=r"engines: native against loop, lengths \[4, 0, 5\]"):
        check_cell(LSTMCell)


@pytest.mark.parametrize("reverse", [False, True])
def test_an_engine_that_ignores_resets_is_caught(monkeypatch, reverse):
    def off(cell, x, state, lengths, resets=None):
        return right(cell, x, state, lengths, resets if (lengths is None) == reverse else None)

    right = native.run
    monkeypatch.setattr(native, "run", off)
    with pytest.raises(AssertionError, match=f"resets: native against each segment .*reverse={reverse}: off by"):
        check_cell(LSTMCell)


def test_a_reference_that_ignores_resets_is_caught(monkeypatch):
    right = loop.run
    monkeypatch.setattr(loop, "run", lambda cell, x, state, lengths, resets=None: right(cell, x, state, lengths))
    with pytest.raises(AssertionError, match="resets: loop against each segment by itself, lengths None"):
        check_cell(TinyCell)


def test_an_engine_with_another_gradient_is_caught(monkeypatch):
    def off(cell, x, state, lengths):
        output, final = right(cell, x, state, lengths)
        return output + (output - output.detach()) * 1e-3, final

    right = native.run
    monkeypatch.setattr(native, "run", off)
    with pytest.raises(AssertionError, match=r"engines: native against loop, .*gradient of x"):
        check_cell(LSTMCell)


def test_what_makes_no_cell_is_named():
    with pytest.raises(
        AssertionError, match="construction: expected cell_factory to make a RecurrentCell, got LSTMCell"
    ):
        check_cell(nn.LSTMCell)
    with pytest.raises(AssertionError, match="construction: the cell raised TypeError"):
        check_cell(lambda input_size: LSTMCell(input_size, 4))


def test_too_small_a_case_is_refused():
    with pytest.raises(ValueError, match="batch_size, steps: expected 3 or more of each, got 2 and 5"):
        check_cell(LSTMCell, batch_size=2)


def test_other_sizes_are_checked_too():
    check_cell(MinimalGated, input_size=1, hidden_size=2, batch_size=5, steps=7)


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    check_cell(TinyCell)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_runs_where_gradients_are_switched_off():
    with torch.no_grad():
        check_cell(TinyCell)
