"""Initialisation by configuration."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import (
    Encoder,
    GRUCell,
    IRNNCell,
    LanguageModel,
    LayerNormLSTMCell,
    LSTMCell,
    MinGRUCell,
    PictureInput,
    RecurrentCell,
    RNNCell,
    TransformerEncoder,
    initialize,
)
from tests.models import of_cell


class Stepper(RecurrentCell):
    def step(self, gi, state):
        return (gi + state[0],)


def test_nothing_asked_changes_nothing():
    encoder = Encoder(LSTMCell, 3, 4, 2)
    before = copy.deepcopy(encoder.state_dict())
    initialize(encoder)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_uniform_fills_every_parameter_up_to_its_bound():
    model = of_cell(LanguageModel, 50, cell=LSTMCell, hidden_size=40, num_layers=2, init={"uniform": 0.3})
    for name, parameter in model.named_parameters():
        assert 0.25 < parameter.abs().max() <= 0.3, name
        assert parameter.mean().abs() < 0.1, name
        assert parameter.requires_grad


@pytest.mark.parametrize(("cell", "gates"), [(RNNCell, 1), (GRUCell, 3), (LSTMCell, 4)])
def test_orthogonal_makes_each_gates_block_orthogonal_and_leaves_the_rest(cell, gates):
    encoder = Encoder(cell, 3, 6, 2, bidirectional=True).double()
    before = copy.deepcopy(encoder.state_dict())
    initialize(encoder, orthogonal=True)
    blocks = []
    for name, value in encoder.state_dict().items():
        if not name.endswith("weight_hh"):
            assert torch.equal(value, before[name]), name
            continue
        for block in value.view(gates, 6, 6):
            torch.testing.assert_close(block @ block.T, torch.eye(6).double())
            blocks.append(block)
    assert len({tuple(block.flatten().tolist()) for block in blocks}) == 4 * gates


@pytest.mark.parametrize("value", [1.0, 0.0, -2.5])
def test_forget_bias_is_the_sum_of_both_biases_and_of_that_gate_alone(value):
    encoder = Encoder(LSTMCell, 3, 4, 2, bidirectional=True)
    before = copy.deepcopy(encoder.state_dict())
    initialize(encoder, forget_bias=value)
    after = encoder.state_dict()
    for name in after:
        if name.endswith("bias_ih"):
            total = (after[name] + after[name.replace("bias_ih", "bias_hh")]).view(4, 4)
            assert torch.equal(total[1], torch.full((4,), value))
        if "bias" in name:
            assert torch.equal(after[name].view(4, 4)[[0, 2, 3]], before[name].view(4, 4)[[0, 2, 3]])
        else:
            assert torch.equal(after[name], before[name])


def test_all_three_together_leave_the_more_special_in_place():
    cell = LSTMCell(3, 4)
    initialize(cell, uniform=0.01, orthogonal=True, forget_bias=1.0)
    assert torch.equal((cell.bias_ih + cell.bias_hh).view(4, 4)[1], torch.ones(4))
    block = cell.weight_hh.detach()[:4]
    torch.testing.assert_close(block @ block.T, torch.eye(4))
    assert cell.weight_ih.abs().max() <= 0.01


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (LSTMCell(3, 4), {"uniform": 0.0}, "uniform: expected a positive bound, got 0.0"),
        (LSTMCell(3, 4), {"uniform": -1}, "uniform: expected a positive bound, got -1"),
        (
            nn.Linear(3, 4),
            {"orthogonal": True},
            "orthogonal: expected a module with cells that have a parameter weight_hh",
        ),
        (Stepper(3, 3), {"orthogonal": True}, "orthogonal: expected .* weight_hh, found none"),
        (GRUCell(3, 4), {"forget_bias": 1.0}, "forget_bias: expected cells with a forget gate, but GRUCell has none"),
        (LSTMCell(3, 4, bias=False), {"forget_bias": 1.0}, "forget_bias: .* LSTMCell has none; use bias=True"),
        (Encoder(partial(LSTMCell, bias=False), 3, 4), {"forget_bias": 1.0}, "forget_bias: expected cells with biases"),
        (nn.Linear(3, 4), {"forget_bias": 1.0}, "forget_bias: expected a module with gated cells, found none"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_changed(module, arguments, message):
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match=message):
        initialize(module, **({"uniform": 0.5} | arguments))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_uniform_leaves_what_begins_as_it_does_for_a_reason():
    normalised, remembers = LayerNormLSTMCell(3, 4), MinGRUCell(3, 400, memory=50)
    identity, reads = IRNNCell(3, 4, scale=0.5), TransformerEncoder(3, 8, num_heads=2, context=5)
    pictures = PictureInput((3, 8, 8), 8)
    scores, first = reads.distance_scores.detach().clone(), pictures.convolutions[0].weight.detach().clone()
    model = nn.ModuleList([normalised, remembers, identity, reads, pictures])
    initialize(model, uniform=0.01)
    assert torch.equal(normalised.norm_weight_c, torch.ones(4)) and normalised.norm_bias_hh.all()
    z, rest = remembers.bias_ih.detach().chunk(2)
    assert -math.log(49) <= z.min() < -3.5 and z.max() <= 0 and rest.abs().max() <= 0.01
    assert torch.equal(identity.weight_hh, 0.5 * torch.eye(4)) and not identity.bias_hh.any()
    assert torch.equal(reads.distance_scores, scores) and torch.equal(reads.norm.weight, torch.ones(8))
    norm = pictures.convolutions[1]
    assert torch.equal(norm.weight, torch.ones_like(norm.weight)) and not norm.bias.any()
    assert not torch.equal(pictures.convolutions[0].weight, first)
    for weight in (normalised.weight_hh, remembers.weight_ih, pictures.convolutions[0].weight):
        assert weight.abs().max() <= 0.01
