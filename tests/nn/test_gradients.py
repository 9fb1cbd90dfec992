"""Backpropagation through time taken apart: a parameter's gradient step by step."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from seqlab.nn import (
    Encoder,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    ModuleCell,
    PeepholeLSTMCell,
    Recurrent,
    RNNCell,
    norms_by_lag,
    record_states,
)
from seqlab.nn.gradients import state_gradients, step_gradient_norms, step_gradients
from tests.nn.bptt import EXACT, LENGTHS, LearnedStart, Projected, by_autograd, layer_loss, weighted

CELLS = [RNNCell, GRUCell, LSTMCell, PeepholeLSTMCell, LayerNormLSTMCell, MGUCell, MinGRUCell, Projected]
CELLS.append(partial(ModuleCell, module=nn.GRUCell))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_steps_parts_of_every_parameter_sum_to_its_gradient(cell, lengths, reverse):
    layer = Recurrent(cell(3, 4).double(), reverse=reverse)
    x = torch.randn(3, 6, 3, dtype=torch.float64)

    def loss():
        output, state = layer(x, lengths=lengths)
        return weighted(output, state)

    names = [name for name, _ in layer.named_parameters()]
    assert names
    for name in names:
        parts = step_gradients(layer, loss, name)
        assert len(parts) == 6
        torch.testing.assert_close(parts.sum(0), by_autograd(layer, loss, name), **EXACT)
        norms = step_gradient_norms(layer, loss, name)
        torch.testing.assert_close(norms, parts.flatten(1).norm(dim=1), **EXACT)


@pytest.mark.parametrize("name", ["layers.0.forward_layer", "layers.0.backward_layer", "layers.1.backward_layer"])
@pytest.mark.parametrize("connect", ["none", "dense"])
def test_one_layer_and_direction_of_an_encoder(name, connect):
    encoder = Encoder(LSTMCell, 3, 4, num_layers=2, bidirectional=True, connect=connect).double()
    x = torch.randn(3, 6, 3, dtype=torch.float64)

    def loss():
        return weighted(encoder(x, lengths=LENGTHS)[0])

    parts = step_gradients(encoder, loss, f"{name}.cell.weight_hh")
    torch.testing.assert_close(parts.sum(0), by_autograd(encoder, loss, f"{name}.cell.weight_hh"), **EXACT)
    assert parts[1:].flatten(1).any(1).all()  # at the first step h is zero, and so is its part


def test_a_part_is_the_derivative_by_that_steps_weight_alone():
    torch.manual_seed(0)
    cell, x = RNNCell(2, 3).double(), torch.randn(2, 4, 2, dtype=torch.float64)
    layer = Recurrent(cell)
    parts = step_gradients(layer, lambda: weighted(layer(x)[0]), "cell.weight_hh")

    def loss_with(weights):
        h, outputs = torch.zeros(2, 3, dtype=torch.float64), []
        for t, weight in enumerate(weights):
            h = (cell.project(x[:, t]) + h @ weight.T + cell.bias_hh).tanh()
            outputs.append(h)
        return weighted(torch.stack(outputs, 1))

    weights = [cell.weight_hh.detach().clone() for _ in range(4)]
    for t in range(4):
        moved = [[weight + (s == t) * sign * 1e-6 for s, weight in enumerate(weights)] for sign in (1, -1)]
        slope = (loss_with(moved[0]) - loss_with(moved[1])) / 2e-6
        torch.testing.assert_close(slope, parts[t].sum(), rtol=1e-6, atol=1e-7)


def test_steps_after_the_loss_and_padded_steps_add_nothing():
    layer, x = Recurrent(GRUCell(3, 4)), torch.randn(2, 6, 3)
    lengths = torch.tensor([4, 2])
    at_second = step_gradients(layer, lambda: layer(x)[0][:, 1].sum(), "cell.bias_ih")
    assert at_second.flatten(1).any(1).tolist() == [True, True, False, False, False, False]
    at_end = step_gradients(layer, lambda: layer(x, lengths=lengths)[1][0].sum(), "cell.bias_ih")
    assert at_end.flatten(1).any(1).tolist() == [True] * 4 + [False] * 2


def test_the_steps_of_several_calls_follow_one_another():
    layer, x = Recurrent(LSTMCell(3, 4).double()), torch.randn(2, 5, 3, dtype=torch.float64)

    def in_two_calls():
        first, state = layer(x[:, :2])
        second, state = layer(x[:, 2:], state)
        return weighted(torch.cat((first, second), 1))

    expected = step_gradients(layer, lambda: weighted(layer(x)[0]), "cell.weight_hh")
    torch.testing.assert_close(step_gradients(layer, in_two_calls, "cell.weight_hh"), expected, **EXACT)


def test_frozen_parameters_and_calls_without_gradients_elsewhere_serve_too():
    layer, x = Recurrent(GRUCell(3, 4).double()), torch.randn(2, 5, 3, dtype=torch.float64)
    loss = lambda: layer(x)[0].square().sum()  # noqa: E731
    expected = step_gradients(layer, loss, "cell.weight_hh"), state_gradients(layer, loss)["h"]
    layer.requires_grad_(False)
    with torch.no_grad():
        actual = step_gradients(layer, loss, "cell.weight_hh"), state_gradients(layer, loss)["h"]
    torch.testing.assert_close(actual, expected, **EXACT)
    assert not layer.cell.weight_hh.requires_grad


def test_a_learned_initial_state_is_begun_from():
    layer, x = Recurrent(LearnedStart(3, 4).double()), torch.randn(2, 5, 3, dtype=torch.float64)
    parts = step_gradients(layer, lambda: layer_loss(layer, x), "cell.weight_hh")
    expected = by_autograd(layer, lambda: layer_loss(layer, x), "cell.weight_hh")
    torch.testing.assert_close(parts.sum(0), expected, **EXACT)
    assert parts[0].any()


def test_a_parametrized_parameter_is_refused_and_its_mend_works():
    layer, x = (
        Recurrent(parametrizations.weight_norm(RNNCell(3, 4).double(), "weight_hh")),
        torch.randn(2, 5, 3).double(),
    )
    loss = lambda model: layer_loss(model, x)  # noqa: E731
    for name in ("cell.weight_hh", "cell.parametrizations.weight_hh.original1"):
        with pytest.raises(ValueError, match=r"parameter: expected .*cell.bias_hh; .* remove_param"):
            step_gradients(layer, lambda: loss(layer), name)
    parts = step_gradients(layer, lambda: loss(layer), "cell.weight_ih")
    torch.testing.assert_close(parts.sum(0), by_autograd(layer, lambda: loss(layer), "cell.weight_ih"), **EXACT)
    plain = copy.deepcopy(layer)
    parametrize.remove_parametrizations(plain.cell, "weight_hh")
    assert step_gradients(plain, lambda: loss(plain), "cell.weight_hh")[1:].flatten(1).any(1).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_pre_hooks_of_a_cell_run_as_in_the_forward_pass(reverse):
    layer, x = Recurrent(LSTMCell(3, 4).double(), reverse=reverse), torch.randn(2, 5, 3, dtype=torch.float64)
    prune.random_unstructured(layer.cell, "weight_hh", amount=0.5)
    plain = Recurrent(LSTMCell(3, 4).double(), reverse=reverse)
    with torch.no_grad():
        layer.cell.weight_hh_orig.mul_(3)  # the hook computes weight_hh from it at the next call
        plain.load_state_dict(
            {name.replace("_orig", ""): value for name, value in layer.state_dict().items() if "mask" not in name}
        )
        plain.cell.weight_hh.mul_(layer.cell.weight_hh_mask)
    seen = []
    layer.cell.register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    measures = [
        lambda each: state_gradients(each, lambda: layer_loss(each, x), 2)["c"],
        lambda each: step_gradients(each, lambda: layer_loss(each, x), "cell.weight_ih"),
        lambda each: norms_by_lag(each, lambda: each(x)[0].sum(2))["h"],
        lambda each: record_states(each, lambda: each(x))[""][0].output,
        lambda each: layer_loss(each, x),
    ]
    for measure in measures:
        torch.testing.assert_close(measure(layer), measure(plain), equal_nan=True, **EXACT)
    for arguments in seen:  # once a call, with what the forward pass gives
        torch.testing.assert_close(arguments, seen[-1], rtol=0, atol=0)
    assert len(seen) == len(measures)
    with pytest.raises(ValueError, match=r"weight_hh_orig took part in no step.*prune.remove"):
        step_gradients(layer, lambda: layer_loss(layer, x), "cell.weight_hh_orig")
