"""The cells beyond torch.nn's, against formulas written anew from their papers, gate by gate."""

from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import (
    CoupledLSTMCell,
    Encoder,
    GRUCell,
    IndRNNCell,
    IRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    MinLSTMCell,
    PeepholeLSTMCell,
    Recurrent,
    RNNCell,
    SLSTMCell,
    UGRNNCell,
    initialize,
    match_parameters,
)
from seqlab.nn.engine import available
from seqlab.nn.size import count_parameters
from seqlab.testing import check_cell
from tests.shipped import shipped_cells


def sigmoid(v):
    return 1 / (1 + torch.exp(-v))


class Weights:
    """A cell's weights by gate: what ``W x + b`` and ``U h + d`` give for gate k."""

    def __init__(self, cell):
        self.p, self.H = dict(cell.named_parameters()), cell.hidden_size

    def rows(self, name, k, v=None):
        found = self.p.get(name)
        if found is None:
            return 0.0
        block = found[k * self.H : (k + 1) * self.H]
        return block if v is None else v @ block.T

    def x(self, k, x):
        return self.rows("weight_ih", k, x) + self.rows("bias_ih", k)

    def h(self, k, h):
        return self.rows("weight_hh", k, h) + self.rows("bias_hh", k)

    def sum(self, k, x, h):
        return self.x(k, x) + self.h(k, h)

    def norm(self, name, v, start=0):
        """Ba et al. 2016, equation 4, over the whole of v."""
        mean = v.sum(1, keepdim=True) / v.size(1)
        variance = ((v - mean) ** 2).sum(1, keepdim=True) / v.size(1)
        bias = self.p.get(f"norm_bias_{name}", torch.zeros(100, dtype=v.dtype))
        gain = self.p[f"norm_weight_{name}"]
        span = slice(start, start + v.size(1))
        return gain[span] * (v - mean) / torch.sqrt(variance + 1e-5) + bias[span]


def peephole(w, x, h, c):
    i = sigmoid(w.sum(0, x, h) + w.p["peephole_i"] * c)
    f = sigmoid(w.sum(1, x, h) + w.p["peephole_f"] * c)
    new = f * c + i * torch.tanh(w.sum(2, x, h))
    return sigmoid(w.sum(3, x, h) + w.p["peephole_o"] * new) * torch.tanh(new), new


def coupled(w, x, h, c):
    f = sigmoid(w.sum(0, x, h))
    c = f * c + (1 - f) * torch.tanh(w.sum(1, x, h))
    return sigmoid(w.sum(2, x, h)) * torch.tanh(c), c


def ugrnn(w, x, h):
    g = sigmoid(w.sum(1, x, h))
    return (g * h + (1 - g) * torch.tanh(w.sum(0, x, h)),)


def mgu(w, x, h):
    f = sigmoid(w.sum(0, x, h))
    return ((1 - f) * h + f * torch.tanh(w.sum(1, x, f * h)),)


def ind_rnn(w, x, h):
    return (torch.clamp(w.x(0, x) + w.p["recurrent_weight"] * h, min=0),)


def ind_rnn_tanh(w, x, h):
    return (torch.tanh(w.x(0, x) + w.p["recurrent_weight"] * h),)


def irnn(w, x, h):
    return (torch.clamp(w.sum(0, x, h), min=0),)


def layer_norm_lstm(w, x, h, c):
    gates = w.norm("ih", x @ w.p["weight_ih"].T) + w.norm("hh", h @ w.p["weight_hh"].T)
    i, f, g, o = (gates[:, k * w.H : (k + 1) * w.H] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * torch.tanh(g)
    return sigmoid(o) * torch.tanh(w.norm("c", c)), c


def layer_norm_gru(w, x, h):
    two = 2 * w.H
    xs, hs = x @ w.p["weight_ih"].T, h @ w.p["weight_hh"].T
    gates = sigmoid(w.norm("ih", xs[:, :two]) + w.norm("hh", hs[:, :two]))
    r, z = gates[:, : w.H], gates[:, w.H :]
    n = torch.tanh(w.norm("ih", xs[:, two:], two) + r * w.norm("hh", hs[:, two:], two))
    return ((1 - z) * n + z * h,)


def unstabilised_slstm(w, x, h, c, n, m, forget=sigmoid):
    """Equations 8 to 12 of the paper; the stabiliser is taken out of the old state and put back into the new one."""
    i, f = torch.exp(w.sum(0, x, h)), forget(w.sum(1, x, h))
    c, n = f * c * torch.exp(m) + i * torch.tanh(w.sum(2, x, h)), f * n * torch.exp(m) + i
    new_m = torch.log(torch.maximum(f * torch.exp(m), i))
    return sigmoid(w.sum(3, x, h)) * c / n, c * torch.exp(-new_m), n * torch.exp(-new_m), new_m


CELLS = {
    "peephole_lstm": (PeepholeLSTMCell, peephole),
    "coupled_lstm": (CoupledLSTMCell, coupled),
    "ugrnn": (UGRNNCell, ugrnn),
    "mgu": (MGUCell, mgu),
    "ind_rnn": (IndRNNCell, ind_rnn),
    "ind_rnn tanh": (partial(IndRNNCell, nonlinearity="tanh"), ind_rnn_tanh),
    "irnn": (partial(IRNNCell, scale=0.9, input_std=0.5), irnn),
    "layer_norm_lstm": (LayerNormLSTMCell, layer_norm_lstm),
    "layer_norm_gru": (LayerNormGRUCell, layer_norm_gru),
    "slstm": (SLSTMCell, unstabilised_slstm),
    "slstm exp": (partial(SLSTMCell, forget="exp"), partial(unstabilised_slstm, forget=torch.exp)),
}
ELSEWHERE = {
    "tests/nn/cells/test_cells.py": (RNNCell, GRUCell, LSTMCell),
    "tests/nn/engine/test_parallel.py": (MinGRUCell, MinLSTMCell),
}
every_cell = pytest.mark.parametrize("name", CELLS)
with_and_without_bias = pytest.mark.parametrize("bias", [True, False])


def test_the_equation_of_every_cell_that_ships_is_tested():
    tested = {getattr(factory, "func", factory) for factory, _ in CELLS.values()}.union(*ELSEWHERE.values())
    missing = sorted(kind.__name__ for kind in shipped_cells() - tested)
    assert not missing, f"without an equation in CELLS of test_variants.py: {missing}"


def moved(cell):
    """The cell in float64 with every parameter away from where it started, so that a gain of 1 left out shows."""
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.add_(torch.randn_like(parameter) / 3)
    return cell


@with_and_without_bias
@every_cell
def test_each_cell_keeps_the_contract(name, bias):
    check_cell(partial(CELLS[name][0], bias=bias))


@with_and_without_bias
@every_cell
def test_each_cell_computes_its_papers_equations(name, bias):
    torch.manual_seed(1)
    factory, equations = CELLS[name]
    cell = moved(factory(3, 5, bias=bias))
    assert any("bias" in key for key in cell.state_dict()) == bias
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    given = tuple(torch.randn(4, 5, dtype=torch.float64) for _ in cell.state_names)
    if "slstm" in name:  # the sum of exponentials that n stands for is positive
        given = (*given[:2], given[2].abs() + 0.5, given[3])
    for start in (given, cell.initial_state(4, like=x)):
        output, final = Recurrent(cell, "loop")(x, start)
        state, outputs = start, []
        for t in range(6):
            state = equations(Weights(cell), x[:, t], *state)
            outputs.append(state[0])
        torch.testing.assert_close(output, torch.stack(outputs, 1), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(final, state, rtol=1e-11, atol=1e-11)


@every_cell
def test_each_cell_trains_in_a_deep_encoder_under_bfloat16(name):
    torch.manual_seed(2)
    encoder = Encoder(CELLS[name][0], 8, 16, num_layers=2, bidirectional=True, backend="loop")
    x = torch.randn(3, 7, 8)
    expected, _ = encoder(x)
    with torch.autocast("cpu", torch.bfloat16):
        output, state = encoder(x)
        output.float().square().sum().backward()
    assert {part.dtype for layer in state for direction in layer for part in direction} == {torch.float32}
    torch.testing.assert_close(output.float(), expected, rtol=0.1, atol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


@every_cell
def test_sizes_match_a_budget(name):
    size = match_parameters(lambda hidden_size: Encoder(CELLS[name][0], 20, hidden_size, num_layers=2), 100_000)
    assert count_parameters(Encoder(CELLS[name][0], 20, size, num_layers=2)) == pytest.approx(100_000, rel=0.01)


@pytest.mark.parametrize("name", ["peephole_lstm", "ind_rnn", "irnn", "layer_norm_lstm", "layer_norm_gru"])
def test_a_reset_starts_every_parameter_anew_as_it_was_made(name):
    torch.manual_seed(3)
    cell = CELLS[name][0](40, 300)
    made = {key: value.clone() for key, value in cell.state_dict().items()}
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(7)
    cell.reset_parameters()
    for key, value in cell.state_dict().items():
        assert value.mean().item() == pytest.approx(made[key].mean().item(), abs=0.15), key
        assert value.std().item() == pytest.approx(made[key].std().item(), abs=0.06), key


def forgets(factory):
    return getattr(getattr(factory, "func", factory), "forget_gate", None) is not None


FORGETTING = [name for name, (factory, _) in CELLS.items() if forgets(factory)]


@pytest.mark.parametrize("name", FORGETTING)
def test_the_forget_bias_reaches_the_forget_gate(name):
    """From a memory of 10: an open gate keeps most of it, and a closed one leaves what is new, 1 at the most."""
    torch.manual_seed(4)
    for forget_bias, kept in ((60.0, True), (-60.0, False)):
        cell = CELLS[name][0](3, 4)
        initialize(cell, forget_bias=forget_bias)
        state = dict.fromkeys(cell.state_names, torch.ones(2, 4))
        memory = "c" if "c" in state else "h"
        new = cell(torch.randn(2, 3), tuple((state | {memory: torch.full((2, 4), 10.0)}).values()))
        new = dict(zip(cell.state_names, new, strict=True))
        value = new[memory] / new.get("n", 1.0)
        assert (value > 3).all() if kept else (value.abs() <= 1).all()


def test_the_forget_bias_of_a_layer_normalised_cell_is_the_sum_of_its_norms_biases():
    cell = LayerNormLSTMCell(3, 4)
    initialize(cell, uniform=0.5, forget_bias=2.0)
    _, f, *_ = (cell.norm_bias_ih + cell.norm_bias_hh).chunk(4)
    assert f.tolist() == [2.0] * 4
    assert (cell.norm_bias_ih.abs() <= 0.5).sum() == (cell.norm_bias_hh != 0).sum() == 12  # the other gates' are drawn


@pytest.mark.parametrize("cell", [LayerNormLSTMCell(3, 4, bias=False), PeepholeLSTMCell(3, 4, bias=False)])
def test_a_forget_bias_wants_biases(cell):
    with pytest.raises(
        ValueError, match=f"forget_bias: expected cells with biases, but {type(cell).__name__} has none"
    ):
        initialize(cell, forget_bias=1.0)


@pytest.mark.parametrize("factory", [LayerNormLSTMCell, LayerNormGRUCell])
def test_layer_norm_takes_each_product_apart_and_forgets_its_scale(factory):
    torch.manual_seed(5)
    cell = factory(6, 8, eps=1e-12).double()
    x, state = torch.randn(3, 6).double(), tuple(torch.randn(3, 8).double() for _ in factory.state_names)
    expected = cell(x, state)
    with torch.no_grad():
        cell.weight_ih.mul_(1000)
        cell.weight_hh.mul_(0.01)
    torch.testing.assert_close(cell(x, state), expected, rtol=1e-6, atol=1e-6)


def test_units_of_an_ind_rnn_see_themselves_alone():
    cell = IndRNNCell(3, 50)
    assert set(cell.state_dict()) == {"weight_ih", "bias_ih", "recurrent_weight"}
    assert 0 <= cell.recurrent_weight.min() < 0.2 and 0.8 < cell.recurrent_weight.max() <= 1
    nn.init.constant_(cell.bias_ih, 10.0)  # every ReLU open
    jacobian = torch.autograd.functional.jacobian(lambda h: cell(torch.ones(1, 3), (h,))[0][0], torch.ones(1, 50))
    assert torch.equal(jacobian[:, 0], torch.diag(cell.recurrent_weight.detach()))


def test_an_irnn_starts_as_an_identity_of_its_scale():
    cell = IRNNCell(30, 40, scale=0.5)
    assert torch.equal(cell.weight_hh, 0.5 * torch.eye(40))
    assert not cell.bias_ih.any() and not cell.bias_hh.any()
    assert cell.weight_ih.std().item() == pytest.approx(0.001, rel=0.2) and cell.weight_ih.mean().abs() < 2e-4
    h = torch.rand(2, 40)
    assert torch.equal(cell(torch.zeros(2, 30), (h,))[0], 0.5 * h)


def test_a_minimal_gated_unit_runs_on_loop_alone():
    assert available(MGUCell(3, 4)) == ("loop",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(IndRNNCell, nonlinearity="sigmoid"), "nonlinearity: expected one of relu, tanh, got 'sigmoid'"),
        (partial(SLSTMCell, forget="tanh"), "forget: expected one of sigmoid, exp, got 'tanh'"),
        (partial(IRNNCell, scale=0.0), "scale: expected a positive number, got 0.0"),
        (partial(IRNNCell, input_std=-1), "input_std: expected a positive number, got -1"),
        (partial(LayerNormLSTMCell, eps=0.0), "eps: expected a positive number, got 0.0"),
        (partial(LayerNormGRUCell, eps=-1e-5), "eps: expected a positive number, got -1e-05"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make(3, 4)
