"""The gates that cells name: the new state follows from them by the cell's own equation."""

from functools import partial

import pytest
import torch

from seqlab import nn as cells
from seqlab.nn import GatedCell, RecurrentCell
from seqlab.testing import check_cell


def lstm(cell, gates, state):
    i, f, g, o = gates
    c = f * state[1] + i * g
    return o * c.tanh(), c


def lstm_normalized(cell, gates, state):
    i, f, g, o = gates
    c = f * state[1] + i * g
    centred = (c - c.mean(1, keepdim=True)) / (c.var(1, keepdim=True, unbiased=False) + cell.eps).sqrt()
    return o * (cell.norm_weight_c * centred + cell.norm_bias_c).tanh(), c


def coupled(cell, gates, state):
    f, g, o = gates
    c = f * state[1] + (1 - f) * g
    return o * c.tanh(), c


def gru(cell, gates, state):
    _, z, n = gates
    return ((1 - z) * n + z * state[0],)


def xlstm(cell, gates, state):
    i, f, g, o = gates
    c, n = f * state[1] + i * g, f * state[2] + i
    return o * c / n, c, n


EQUATIONS = {
    cells.LSTMCell: lstm,
    cells.PeepholeLSTMCell: lstm,
    cells.LayerNormLSTMCell: lstm_normalized,
    cells.CoupledLSTMCell: coupled,
    cells.GRUCell: gru,
    cells.LayerNormGRUCell: gru,
    cells.UGRNNCell: lambda cell, gates, state: (gates[1] * state[0] + (1 - gates[1]) * gates[0],),
    cells.MGUCell: lambda cell, gates, state: ((1 - gates[0]) * state[0] + gates[0] * gates[1],),
    cells.SLSTMCell: xlstm,
    partial(cells.SLSTMCell, forget="exp"): xlstm,
    cells.MinGRUCell: lambda cell, gates, state: ((1 - gates[0]) * state[0] + gates[0] * gates[1],),
    cells.MinLSTMCell: lambda cell, gates, state: (gates[0] * state[0] + gates[1] * gates[2],),
    partial(cells.MinLSTMCell, candidate="positive"): lambda cell, gates, state: (
        gates[0] * state[0] + gates[1] * gates[2],
    ),
}


def class_of(factory):
    return factory.func if isinstance(factory, partial) else factory


@pytest.mark.parametrize("factory", EQUATIONS, ids=lambda factory: class_of(factory).__name__)
def test_the_new_state_follows_from_the_gates(factory):
    torch.manual_seed(0)
    cell = factory(3, 4).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(torch.randn_like(parameter) / 2)  # norms away from 1 and 0
    state = tuple(torch.randn(5, size, dtype=torch.float64) for size in cell.state_sizes)
    gi = cell.project(torch.randn(5, 3, dtype=torch.float64))
    gates = cell.gates(gi, state)
    assert len(gates) == len(cell.gate_names) and all(gate.shape == (5, 4) for gate in gates)
    expected = EQUATIONS[factory](cell, gates, state)
    for one, other in zip(cell.step(gi, state), expected, strict=False):
        torch.testing.assert_close(one, other)


def test_the_reset_gate_stands_before_the_candidates_product():
    cell = cells.GRUCell(3, 4).double()
    state = (torch.randn(2, 4, dtype=torch.float64),)
    gi = cell.project(torch.randn(2, 3, dtype=torch.float64))
    r, _, n = cell.gates(gi, state)
    gh = cell.product(state[0])
    torch.testing.assert_close(n, (gi[:, 8:] + r * gh[:, 8:]).tanh())


def test_every_shipped_cell_with_gates_is_tried():
    shipped = {each for each in vars(cells).values() if isinstance(each, type) and issubclass(each, RecurrentCell)}
    missing = {each.__name__ for each in shipped if each.gate_names} - {class_of(each).__name__ for each in EQUATIONS}
    assert not missing, f"add to EQUATIONS, the new state from the gates: {sorted(missing)}"


def test_the_contract_of_a_cell_notices_gates_of_another_step():
    class Mine(GatedCell):
        num_gates, gate_names = 2, ("f", "g")

        def pointwise(self, gi, gh, state):
            f, g = (gi + gh).chunk(2, -1)
            return (f.sigmoid() * state[0] + g.tanh(),)

        def gate_values(self, gi, gh, state):
            f, g = (gi + gh).chunk(2, -1)
            return f.sigmoid(), g.sigmoid()

    with pytest.raises(AssertionError, match="gate g: no value that the step computes"):
        check_cell(Mine)
