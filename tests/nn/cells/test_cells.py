"""The shipped cells and the contract that a user's cell writes against."""

from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import GatedCell, GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell
from seqlab.testing import check_cell

CELLS = {
    "rnn tanh": (RNNCell, nn.RNNCell),
    "rnn relu": (partial(RNNCell, nonlinearity="relu"), partial(nn.RNNCell, nonlinearity="relu")),
    "gru": (GRUCell, nn.GRUCell),
    "lstm": (LSTMCell, nn.LSTMCell),
}


class Peephole(GatedCell):
    """Gers & Schmidhuber (2000): extra parameters, used in pointwise."""

    num_gates, state_names, forget_gate = 4, ("h", "c"), 1

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(input_size, hidden_size, bias)
        self.peephole = nn.Parameter(torch.randn(3, hidden_size))

    def pointwise(self, gi, gh, state):
        i, f, g, o = (gi + gh).chunk(4, -1)
        pi, pf, po = self.peephole
        c = (f + pf * state[1]).sigmoid() * state[1] + (i + pi * state[1]).sigmoid() * g.tanh()
        return (o + po * c).sigmoid() * c.tanh(), c


class LearnedStart(LSTMCell):
    """An LSTM that learns its initial state."""

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(input_size, hidden_size, bias)
        self.start = nn.Parameter(torch.randn(2, hidden_size))

    def initial_state(self, batch_size, *, like):
        return tuple(part.to(like).expand(batch_size, -1) for part in self.start)


class Doubled(RecurrentCell):
    """A step-only cell whose states and output have widths of their own."""

    state_names = ("h", "count")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)

    @property
    def state_sizes(self):
        return self.hidden_size, 1

    @property
    def output_size(self):
        return self.hidden_size + 1

    def step(self, gi, state):
        h, count = state
        return self.mix(torch.cat((gi, h), -1)).tanh(), 0.9 * count + gi.sum(-1, keepdim=True)

    def output(self, state):
        return torch.cat(state, -1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_shipped_cells_keep_the_contract(name, bias):
    check_cell(partial(CELLS[name][0], bias=bias))


@pytest.mark.parametrize(
    "factory",
    [partial(RNNCell, nonlinearity="sigmoid"), Peephole, LearnedStart, Doubled, partial(Peephole, bias=False)],
)
def test_cells_without_a_twin_keep_the_contract(factory):
    check_cell(factory)


def test_contract_holds_for_one_unit_and_one_input():
    check_cell(LSTMCell, input_size=1, hidden_size=1)


def test_sigmoid_cell_computes_the_lectures_equation():
    cell = RNNCell(2, 3, nonlinearity="sigmoid").double()
    x, h = torch.randn(4, 2).double(), torch.randn(4, 3).double()
    expected = 1 / (1 + torch.exp(-(x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh)))
    torch.testing.assert_close(cell(x, (h,))[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_same_seed_gives_the_weights_of_torchs_cell(name, bias):
    ours, theirs = CELLS[name]
    torch.manual_seed(3)
    expected = theirs(5, 7, bias=bias).state_dict()
    torch.manual_seed(3)
    actual = ours(5, 7, bias=bias).state_dict()
    assert list(actual) == list(expected)
    for key in expected:
        assert torch.equal(actual[key], expected[key]), key


def test_one_step_from_nothing_starts_at_zero():
    cell, x = GRUCell(3, 4), torch.randn(2, 3)
    assert torch.equal(cell(x)[0], cell(x, (torch.zeros(2, 4),))[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4), "input_size: expected at least 1, got 0"),
        ((3, -1), "hidden_size: expected at least 1, got -1"),
        ((3, 4.0), "hidden_size: expected an integer, got 4.0"),
        ((True, 4), "input_size: expected an integer, got True"),
    ],
)
def test_sizes_are_checked(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        LSTMCell(*arguments)


def test_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match="nonlinearity: expected one of tanh, relu, sigmoid, got 'swish'"):
        RNNCell(3, 4, nonlinearity="swish")


def test_missing_num_gates_is_caught_where_the_class_is_written():
    with pytest.raises(TypeError, match=r"Forgetful.num_gates: expected the number of gates, 1 or more, got None"):

        class Forgetful(GatedCell):
            def pointwise(self, gi, gh, state):
                return (gi + gh,)


@pytest.mark.parametrize("gates", [0, "3", 2.0, True])
def test_wrong_num_gates_is_caught(gates):
    with pytest.raises(TypeError, match="num_gates"):
        type("Odd", (GatedCell,), {"num_gates": gates, "pointwise": lambda self, gi, gh, state: state})


def test_forget_gate_must_be_one_of_the_gates():
    with pytest.raises(TypeError, match=r"Odd.forget_gate: expected an index below 2, got 2"):
        type("Odd", (GatedCell,), {"num_gates": 2, "forget_gate": 2, "pointwise": lambda self, gi, gh, state: state})


@pytest.mark.parametrize("names", ["h", (), ["h"], (1,)])
def test_wrong_state_names_are_caught(names):
    with pytest.raises(TypeError, match="state_names: expected a tuple of names"):
        type("Odd", (RecurrentCell,), {"state_names": names})


def test_missing_pointwise_is_caught_at_construction():
    with pytest.raises(TypeError, match=r"abstract.*pointwise"):
        type("Empty", (GatedCell,), {"num_gates": 1})(3, 4)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda h: h, r"Odd: the new state: expected the tuple \(h \(2, 4\)\), got Tensor\(2, 4\); .*\(h,\)"),
        (lambda h: (h, h), r"Odd: the new state: expected .*, got \(Tensor\(2, 4\), Tensor\(2, 4\)\)"),
        (lambda h: (h[:, :3],), r"Odd: the new state: expected .*, got \(Tensor\(2, 3\),\)"),
        (lambda h: (h[:1],), r"Odd: the new state: expected .*, got \(Tensor\(1, 4\),\)"),
        (lambda h: None, r"Odd: the new state: expected .*, got NoneType"),
    ],
)
def test_a_step_of_wrong_structure_gives_one_clear_line(result, message):
    class Odd(GatedCell):
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return result((gi + gh).tanh())

    for call in (lambda: Odd(3, 4)(torch.randn(2, 3)), lambda: Recurrent(Odd(3, 4))(torch.randn(2, 5, 3))):
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_output_of_a_wrong_width_is_caught():
    class Odd(Doubled):
        def output(self, state):
            return state[0]

    with pytest.raises(ValueError, match=r"Odd.output: expected a tensor \(2, 5\), got Tensor\(2, 4\)"):
        Recurrent(Odd(3, 4))(torch.randn(2, 5, 3))


def test_projection_that_loses_the_time_axis_is_caught():
    class Odd(Doubled):
        def project(self, x):
            return x.flatten(0, -2)

    with pytest.raises(ValueError, match=r"Odd.project: expected \(2, 5\) \+ \(P,\) from x, got \(10, 3\)"):
        Recurrent(Odd(3, 4))(torch.randn(2, 5, 3))


@pytest.mark.parametrize(
    ("x", "state", "message"),
    [
        (torch.randn(2, 1, 3), None, r"x: expected shape \(B, 3\).*got \(2, 1, 3\)"),
        (torch.randn(2, 3), (torch.zeros(2, 4),), r"state: expected the tuple \(h \(2, 4\), c \(2, 4\)\)"),
    ],
)
def test_a_single_step_checks_its_arguments(x, state, message):
    with pytest.raises(ValueError, match=message):
        LSTMCell(3, 4)(x, state)
