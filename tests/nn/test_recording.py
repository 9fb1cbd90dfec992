"""States and gates of every step, against cells stepped by hand."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from seqlab.nn import (
    Bidirectional,
    Encoder,
    GatedCell,
    GRUCell,
    LSTMCell,
    MGUCell,
    ModuleCell,
    Recurrent,
    RNNCell,
    SLSTMCell,
    record_states,
)

LENGTHS = torch.tensor([6, 0, 3])


def by_hand(layer, x, length, initial=None):
    """The state after each of a row's tokens, in their order, the gates there, and the outputs."""
    cell, state = layer.cell, initial or layer.cell.initial_state(1, like=x)
    states, gates = {}, {}
    for t in reversed(range(length)) if layer.reverse else range(length):
        gi = cell.project(x[t].unsqueeze(0))
        gates[t] = cell.gates(gi, state)
        states[t] = state = cell.step(gi, state)
    return states, gates, {t: cell.output(states[t]) for t in states}


def layers_of(module):
    return [part for part in module.modules() if isinstance(part, Recurrent)]


@pytest.mark.parametrize("connect", ["none", "residual", "dense"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, MGUCell, SLSTMCell])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_each_layer_and_direction_holds_what_its_cell_holds_when_it_is_stepped(cell, bidirectional, connect, lengths):
    torch.manual_seed(0)
    encoder = Encoder(cell, 4, 4, num_layers=3, bidirectional=bidirectional, connect=connect).double().eval()
    if connect == "residual" and bidirectional:
        encoder = Encoder(cell, 8, 4, num_layers=3, bidirectional=True, connect=connect).double().eval()
    x = torch.randn(3, 6, encoder.input_size, dtype=torch.float64)
    with torch.no_grad():
        whole, _ = encoder(x, lengths=lengths)
        calls = record_states(encoder, lambda: encoder(x, lengths=lengths))
        outputs = []  # of each layer, both directions
        for index, layer in enumerate(encoder.layers):
            seen = x if not outputs else torch.cat((x, *outputs), 2) if connect == "dense" else outputs[-1]
            output = torch.zeros(3, 6, layer.output_size, dtype=torch.float64)
            for place, part in enumerate(layers_of(layer)):
                name = f"layers.{index}" + ((".forward_layer", ".backward_layer")[place] if bidirectional else "")
                (call,) = calls[name]
                torch.testing.assert_close(call.input.masked_fill(call.input.isnan(), 0), seen)
                assert call.reverse == part.reverse and list(call.states) == list(part.cell.state_names)
                assert list(call.gates) == list(part.cell.gate_names) and len(call.gates) >= 2
                for row in range(3):
                    length = 6 if lengths is None else int(lengths[row])
                    states, gates, ys = by_hand(part, seen[row], length)
                    for t in range(6):
                        for number, values in enumerate(call.states.values()):
                            expected = states[t][number][0] if t < length else torch.zeros(4, dtype=torch.float64)
                            torch.testing.assert_close(values[row, t], expected)
                        for number, values in enumerate(call.gates.values()):
                            expected = gates[t][number][0] if t < length else torch.zeros(4, dtype=torch.float64)
                            torch.testing.assert_close(values[row, t], expected)
                        if t < length:
                            output[row, t, 4 * place : 4 * place + 4] = ys[t][0]
                torch.testing.assert_close(call.output, output[:, :, 4 * place : 4 * place + 4])
            outputs.append(output + outputs[-1] if connect == "residual" and outputs else output)
        expected = torch.cat(outputs, 2) if connect == "dense" else outputs[-1]
    torch.testing.assert_close(whole, expected)


@pytest.mark.parametrize("backend", ["native", "loop", "auto"])
def test_the_recorded_output_is_the_models_own_whatever_its_engine(backend):
    encoder, x = Encoder(LSTMCell, 3, 5, num_layers=2, backend=backend).eval(), torch.randn(2, 40, 3)
    with torch.no_grad():
        output, state = encoder(x)
        calls = record_states(encoder, lambda: encoder(x))
    torch.testing.assert_close(calls["layers.1"][0].output, output)
    torch.testing.assert_close(calls["layers.0"][0].states["c"][:, -1], state[0][1])
    assert calls["layers.1"][0].lengths.tolist() == [40, 40]


def test_calls_follow_one_another_and_an_uncalled_layer_has_none():
    layer, other = Recurrent(GRUCell(3, 4)), Recurrent(RNNCell(3, 4))
    model, x = nn.ModuleDict({"used": layer, "unused": other}), torch.randn(2, 5, 3)

    def in_two_calls():
        _, state = layer(x[:, :2])
        layer(x[:, 2:], state)

    with torch.no_grad():
        calls = record_states(model, in_two_calls)
        whole = record_states(layer, lambda: layer(x))[""][0]
    assert list(calls) == ["used"]
    for part in ("h",):
        torch.testing.assert_close(torch.cat([call.states[part] for call in calls["used"]], 1), whole.states[part])
    assert record_states(layer, lambda: layer(x), gates=False)[""][0].gates == {}


def test_the_model_is_left_as_it_was_also_by_an_error():
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 5, 3)
    before, random = set(vars(layer)), torch.get_rng_state()
    with pytest.raises(ValueError, match="x: expected"):
        record_states(layer, lambda: layer(x[:, :, :2]))
    record_states(layer, lambda: layer(x))
    assert set(vars(layer)) == before and torch.equal(torch.get_rng_state(), random)
    assert layer(x)[0].requires_grad


def test_gradients_flow_while_states_are_recorded():
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 5, 3)
    call = record_states(layer, lambda: layer(x))[""][0]
    (gradient,) = torch.autograd.grad(call.states["c"][:, -1].sum(), layer.cell.weight_hh)
    assert gradient.abs().sum() > 0


def test_pruned_and_parametrized_weights_are_those_of_the_forward_pass():
    torch.manual_seed(0)
    layer, x = Recurrent(LSTMCell(3, 4)).eval(), torch.randn(1, 5, 3)
    prune.random_unstructured(layer.cell, "weight_hh", amount=0.5)
    with torch.no_grad():
        layer.cell.weight_hh_orig.mul_(3)  # the hook computes weight_hh from it at the next call
        call = record_states(layer, lambda: layer(x))[""][0]
        torch.testing.assert_close(call.output, layer(x)[0])
    other = Recurrent(GRUCell(3, 4)).eval()
    parametrizations.spectral_norm(other.cell, "weight_hh")
    with torch.no_grad():
        call = record_states(other, lambda: other(x))[""][0]
        torch.testing.assert_close(call.output, other(x)[0])
    assert list(call.gates) == ["r", "z", "n"]


def test_a_cell_that_names_no_gates_has_none():
    for cell in (RNNCell(3, 4), ModuleCell(3, 4, nn.LSTMCell)):
        layer = Recurrent(cell)
        call = record_states(layer, lambda layer=layer: layer(torch.randn(1, 2, 3)))[""][0]
        assert call.gates == {} and call.states["h"].shape == (1, 2, 4)


def test_a_step_replaced_on_the_cell_has_no_gates():
    layer = Recurrent(LSTMCell(3, 4), "loop")
    layer.cell.pointwise = lambda gi, gh, state: (state[0] + 1, state[1])
    call = record_states(layer, lambda: layer(torch.randn(1, 3, 3)))[""][0]
    assert call.gates == {} and call.states["h"][0, :, 0].tolist() == [1, 2, 3]


def test_a_subclass_with_a_step_of_its_own_does_not_inherit_gates():
    class Halved(LSTMCell):
        def pointwise(self, gi, gh, state):
            return super().pointwise(gi / 2, gh / 2, state)

    class Renamed(LSTMCell):
        def reset_parameters(self):
            super().reset_parameters()

    assert Halved.gate_names == () and Renamed.gate_names == LSTMCell.gate_names == ("i", "f", "g", "o")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"gate_names": ("f",)}, "gate_values"),
        ({"gate_names": ("h",), "gate_values": lambda *_: ()}, "those of the state"),
        ({"gate_names": ("f", "f"), "gate_values": lambda *_: ()}, "repeated"),
        ({"gate_names": "f", "gate_values": lambda *_: ()}, "a tuple of names"),
    ],
)
def test_wrong_names_of_gates_are_noticed_where_the_class_is_defined(attributes, words):
    with pytest.raises(TypeError, match=words):
        type("Mine", (GatedCell,), {"num_gates": 1, "pointwise": lambda self, gi, gh, state: state, **attributes})


def test_fewer_gates_than_names_are_refused():
    class Mine(GatedCell):
        num_gates, gate_names = 1, ("f", "i")

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh(),)

        def gate_values(self, gi, gh, state):
            return ((gi + gh).tanh(),)

    layer = Recurrent(Mine(3, 4))
    with pytest.raises(ValueError, match=r"Mine.gates: expected a value for each of \('f', 'i'\), got 1"):
        record_states(layer, lambda: layer(torch.randn(1, 2, 3)))


def test_a_layer_with_a_forward_of_its_own_is_refused():
    class Own(Recurrent):
        def forward(self, x):
            return x

    with pytest.raises(TypeError, match="its own forward"):
        record_states(Own(RNNCell(3, 4)), lambda: None)


def test_a_bidirectional_layer_by_itself():
    layer, x = Bidirectional(GRUCell(3, 4), GRUCell(3, 4)), torch.randn(1, 5, 3)
    with torch.no_grad():
        calls = record_states(layer, lambda: layer(x))
        output, (forward, backward) = layer(x)
    assert torch.equal(calls["backward_layer"][0].states["h"][:, 0], backward[0])
    assert torch.equal(calls["forward_layer"][0].states["h"][:, -1], forward[0])
    assert torch.equal(torch.cat([call[0].output for call in calls.values()], 2), output)
