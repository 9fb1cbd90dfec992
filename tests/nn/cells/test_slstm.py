"""The stabiliser of the sLSTM: no size of a gate, no tie and no start spoils a value or a gradient."""

import pytest
import torch
from torch import nn

from seqlab.nn import SLSTMCell


def slstm_in_closed_form(gi, forget):
    """h_T is sigmoid(o_T) times the mean of tanh(g_t), weighted by exp(i_t + log F_{t+1} + ... + log F_T)."""
    i, f, g, o = gi.double().chunk(4, -1)  # (T, B, H) each
    log_f = nn.functional.logsigmoid(f) if forget == "sigmoid" else f
    after = log_f.sum(0) - log_f.cumsum(0)
    return o[-1].sigmoid() * ((i + after).softmax(0) * g.tanh()).sum(0)


@pytest.mark.parametrize("scale", [1.0, 80.0, 1e4])
@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_slstm_is_safe_in_float32_at_any_size_of_its_gates(forget, scale):
    torch.manual_seed(6)
    cell = SLSTMCell(1, 16, forget=forget)
    gi = scale * torch.randn(12, 5, 4 * 16).sign() + torch.randn(12, 5, 4 * 16)
    gi[:, 0, :32] = -scale  # a row with every gate shut
    gi[:, 1, :32] = scale  # and one with every gate open
    gi.requires_grad_()
    state = cell.initial_state(5, like=gi)
    for t in range(12):
        state = cell.pointwise(gi[t], torch.zeros(5, 64), state)
        assert (state[2] >= 1).all()  # so that nothing is divided by a number near zero
    tolerance = 1e-5 if scale == 1.0 else 1e-3 if scale == 80.0 else 2e-2  # m has the rounding of its size
    torch.testing.assert_close(state[0].double(), slstm_in_closed_form(gi, forget), rtol=tolerance, atol=tolerance)
    (gradient,) = torch.autograd.grad(state[0].sum(), gi)
    assert gradient.isfinite().all()


def test_the_first_step_of_an_slstm_takes_the_input_whatever_its_gate():
    cell = SLSTMCell(1, 2)
    for i in (-200.0, 0.0, 200.0):
        gi = torch.tensor([[i, i, 3.0, 3.0, 0.5, 0.5, 100.0, 100.0]])
        h, _, n, m = cell.pointwise(gi, torch.zeros(1, 8), cell.initial_state(1, like=gi))
        torch.testing.assert_close(h, torch.full((1, 2), 0.5).tanh())
        assert torch.equal(n, torch.ones(1, 2)) and torch.equal(m, torch.full((1, 2), i))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_start_of_an_slstm_is_finite_in_every_dtype(dtype):
    assert all(part.isfinite().all() for part in SLSTMCell(1, 2).initial_state(3, like=torch.zeros(1, dtype=dtype)))


@pytest.mark.parametrize("start", ["tie", "own"])
def test_gradients_of_an_slstm_are_exact_where_its_maximum_ties(start):
    """With f = 0 and m = i the arguments of the maximum are equal; a second step shows what the gradients carry on."""
    cell = SLSTMCell(1, 2, forget="exp").double()
    gi = torch.tensor([[0.3, -0.2, 0.0, 0.0, 0.5, 0.1, -0.4, 0.7]], dtype=torch.float64)
    own = cell.initial_state(1, like=gi)
    state = own if start == "own" else (own[0], own[1] + 0.4, own[2] + 1.0, gi[:, :2].clone())
    free = 3 if start == "own" else 4  # no finite difference is felt by an m of -1e308

    def two_steps(gi, *given):
        first = cell.pointwise(gi, torch.zeros_like(gi), (*given, *state[free:]))
        return cell.pointwise(gi.flip(-1), torch.zeros_like(gi), first)

    inputs = tuple(part.clone().requires_grad_() for part in (gi, *state[:free]))
    assert torch.autograd.gradcheck(two_steps, inputs)
