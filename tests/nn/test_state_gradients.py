"""Gradients of the states between steps, what measures leave behind, and wrong arguments."""

import copy

import pytest
import torch
from torch import nn

from seqlab.nn import Bidirectional, Encoder, GRUCell, LanguageModel, LSTMCell, Recurrent, RecurrentCell
from seqlab.nn.gradients import norms_by_distance, state_gradients, step_gradients
from tests.models import of_cell
from tests.nn.bptt import EXACT, LENGTHS, LearnedStart, Projected, layer_loss, weighted


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_state_gradients_are_those_by_the_state_between_two_calls(lengths):
    torch.manual_seed(0)
    layer, x = Recurrent(Projected(3, 4).double()), torch.randn(3, 6, 3, dtype=torch.float64)

    def loss():
        output, state = layer(x, lengths=lengths)
        return weighted(output[:, 4:], state)

    gradients = state_gradients(layer, loss)
    assert {name: tuple(part.shape) for name, part in gradients.items()} == {"h": (6, 3, 4), "m": (6, 3, 2)}
    early, late = (None, None) if lengths is None else (lengths.clamp(max=3), (lengths - 3).clamp(min=0))
    _, between = layer(x[:, :3], lengths=early)
    between = tuple(part.detach().requires_grad_() for part in between)
    output, state = layer(x[:, 3:], between, late)
    expected = torch.autograd.grad(weighted(output[:, 1:], state), between)
    torch.testing.assert_close((gradients["h"][2], gradients["m"][2]), expected, **EXACT)


def test_state_gradients_of_a_linear_recurrence_are_powers_of_its_factor():
    class Decay(RecurrentCell):
        def step(self, gi, state):
            return (0.5 * state[0] + gi,)

    layer, x = Recurrent(Decay(2, 2)), torch.randn(4, 6, 2)
    gradients = state_gradients(layer, lambda: layer(x)[0][:, -1].sum())["h"]
    expected = 0.5 ** torch.arange(6.0)
    torch.testing.assert_close(norms_by_distance(gradients), expected * 2**0.5)
    lengths = torch.tensor([6, 2, 1, 0])
    ends = state_gradients(layer, lambda: (layer(x, lengths=lengths)[1][0] * torch.ones(4, 1)).sum())["h"]
    torch.testing.assert_close(norms_by_distance(ends, lengths), expected * 2**0.5)
    assert norms_by_distance(ends, lengths.clamp(max=3))[3:].isnan().all()


def test_a_part_that_is_handed_on_unchanged_has_a_gradient_at_every_step():
    class Constant(RecurrentCell):
        state_names = ("h", "m")

        def step(self, gi, state):
            return state[0] + state[1] * gi, state[1]

    layer, x = Recurrent(Constant(2, 2)), torch.randn(3, 5, 2)
    gradients = state_gradients(layer, lambda: layer(x)[0][:, -1].sum())
    assert (gradients["h"] == 1).all()
    later = x.flip(1).cumsum(1).flip(1)[:, 1:]  # the sum of what comes after
    torch.testing.assert_close(gradients["m"], torch.cat((later, torch.zeros(3, 1, 2)), 1).transpose(0, 1))


def test_every_layer_and_direction_has_its_states_gradients():
    encoder = Encoder(LSTMCell, 3, 4, num_layers=2, bidirectional=True)
    gradients = state_gradients(encoder, lambda: weighted(encoder(torch.randn(2, 5, 3))[0]))
    layers = [f"layers.{index}.{side}_layer" for index in (0, 1) for side in ("forward", "backward")]
    assert list(gradients) == [f"{layer}.{part}" for layer in layers for part in "hc"]
    assert all(part[:-1].any(2).all() for part in gradients.values())  # the last c is seen through h alone


def test_nothing_is_left_behind():
    torch.manual_seed(0)
    model = of_cell(LanguageModel, 7, cell=LSTMCell, hidden_size=5)
    inputs = torch.randint(7, (2, 4))
    before = model(inputs)[0]
    name = "encoder.layers.0.cell.weight_hh"
    step_gradients(model, lambda: model(inputs)[0].sum(), name)
    with pytest.raises(ZeroDivisionError):
        state_gradients(model, lambda: 1 / 0)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert "forward" not in vars(model.encoder.layers[0])
    assert torch.equal(model(inputs)[0], before)
    copy.deepcopy(model)


X = torch.randn(2, 4, 3)
LAYER = Recurrent(LearnedStart(3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: step_gradients(LAYER, lambda: layer_loss(LAYER, X), "weight_hh"),
            ValueError,
            "the model has cell.wei",
        ),
        (lambda: step_gradients(nn.Linear(2, 2), X.sum, "weight"), ValueError, "got 'weight'; the model has none"),
        (
            lambda: step_gradients(LAYER, lambda: layer_loss(LAYER, X), "cell.start"),
            ValueError,
            "cell.start took part in no step",
        ),
        (
            lambda: step_gradients(LAYER, lambda: torch.ones(1, requires_grad=True), "cell.weight_hh"),
            ValueError,
            "cell.weight_hh took part in no step",
        ),
        (lambda: state_gradients(LAYER, lambda: LAYER(X)[0]), ValueError, r"returns a scalar, .* a tensor \(2, 4, 4\)"),
        (lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X).item()), ValueError, "it gave float"),
        (lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X).detach()), ValueError, "without a gradient"),
        (lambda: state_gradients(LAYER, lambda: torch.ones(1, requires_grad=True)), ValueError, "it called none"),
        (
            lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X) + layer_loss(LAYER, X[:1])),
            ValueError,
            "calls of the layer with batches of one size",
        ),
        (
            lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X), tbptt_steps=0),
            ValueError,
            "tbptt_steps: expected at least 1, got 0",
        ),
        (lambda: norms_by_distance(X[0]), ValueError, r"gradients: expected \(T, B, size\), got \(4, 3\)"),
    ],
)
def test_wrong_arguments_give_one_clear_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_layer_that_runs_in_its_own_way_is_refused():
    class Doubled(Recurrent):
        def forward(self, x, state=None, lengths=None):
            output, state = super().forward(x, state, lengths)
            return 2 * output, state

    layer = Bidirectional(GRUCell(3, 4), GRUCell(3, 4))
    layer.forward_layer = Doubled(GRUCell(3, 4))
    with pytest.raises(TypeError, match="got Doubled with its own forward"):
        state_gradients(layer, lambda: layer_loss(layer, X))
