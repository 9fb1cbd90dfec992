"""Parts of a row that are no multiple of the hidden size: joined, replaced or told apart unit by unit, and compiled."""

import pytest
import torch

from seqlab.nn import GatedCell, LayerNormGRUCell, LayerNormLSTMCell, PeepholeLSTMCell, Recurrent
from tests.nn.agreement import RAGGED, assert_agrees, assert_layer_agrees, programs_of, small_cell

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def replaced(z, part, columns):
    z = z.clone()
    z[:, columns] = part
    return z


JOINS = {
    "a column set": lambda z, i, h: replaced(z, 0.0, 3),
    "the first units replaced": lambda z, i, h: replaced(z, h[:, :4], slice(4)),
    "units in the middle replaced by what was computed": lambda z, i, h: replaced(z, (h * i)[:, 2:4], slice(2, 4)),
    "the last units set to a number": lambda z, i, h: replaced(z, 1.5, slice(2, None)),
    "two parts": lambda z, i, h: torch.cat((z[:, :2], h[:, 2:]), 1),
    "three parts, of three tensors": lambda z, i, h: torch.cat((z[:, :1], i[:, 1:4], h[:, 4:]), 1),
    "two parts of truth": lambda z, i, h: torch.where(torch.cat((z[:, :3] > 0, h[:, 3:] > 0), 1), z, h),
    "numbers that differ by unit": lambda z, i, h: z * (torch.arange(z.size(1)) % 3),
    "a choice by unit": lambda z, i, h: torch.where(torch.arange(z.size(1)) < 4, h, z),
}


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_parts_of_any_width(join):
    cell = small_cell(lambda self, gi, gh, state: (join(gi + gh, gi, state[0]).tanh(),))
    for lengths in (None, RAGGED):
        assert_agrees(cell, lengths=lengths)
    assert programs_of(cell)


def heads(z, count):
    return z.view(-1, count, z.size(1) // count)


HEADS = {
    "centred": lambda z, h: (heads(h, 2) - heads(z, 2).mean(-1, keepdim=True)).flatten(1),
    "a softmax in each": lambda z, h: heads(h, 2).softmax(-1).flatten(1) * z,
    "a layer norm of each": lambda z, h: torch.nn.functional.layer_norm(heads(h, 2), (3,)).flatten(1) + z,
    "the largest of each": lambda z, h: z - heads(h, 3).amax(-1, keepdim=True).expand(-1, 3, 2).flatten(1),
    "of one unit": lambda z, h: (heads(h, 6) - heads(z, 6).amax(-1, keepdim=True)).flatten(1) + z,
    "a factor for each": lambda z, h: (heads(h, 3) * torch.tensor([[0.5], [1.0], [2.0]])).flatten(1) + z,
    "a sum of the first units": lambda z, h: z * h[:, :3].sum(1, keepdim=True),
    "a mean of all": lambda z, h: z * heads(h, 2).mean((1, 2), keepdim=True).flatten(1),
}


@pytest.mark.parametrize("step", HEADS.values(), ids=HEADS)
def test_a_row_as_heads(step):
    class Heads(GatedCell):
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return (step(gi + gh, state[0]).tanh(),)

    torch.manual_seed(0)
    cell = Heads(3, 6)
    for lengths in (None, RAGGED):
        assert_agrees(cell, lengths=lengths)
    assert programs_of(cell)


class Masked(GatedCell):
    """A mask of units, the same for all rows."""

    num_gates = 1

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.register_buffer("mask", torch.arange(hidden_size) % 2 == 0)

    def pointwise(self, gi, gh, state):
        return (torch.where(self.mask, (gi + gh).tanh(), state[0] * 0.5),)


def test_a_mask_that_all_rows_share_is_read_anew_at_each_call():
    layer = Recurrent(Masked(3, 5).double(), "scan")
    before = assert_layer_agrees(layer)
    layer.cell.mask.logical_not_()
    assert not torch.equal(assert_layer_agrees(layer), before)
    assert len(programs_of(layer.cell)) == 1


@pytest.mark.parametrize("kind", [LayerNormGRUCell, LayerNormLSTMCell, PeepholeLSTMCell])
def test_a_state_of_one_number(kind):
    cell = kind(3, 1)
    assert_agrees(cell)
    assert programs_of(cell)


LATER = {  # each of a unit alone, so that one step has them all, each for a part of the state
    "hypot": lambda a, b: torch.hypot(a, b + 1.5),
    "copysign": lambda a, b: torch.copysign(a, b),
    "remainder": lambda a, b: a.remainder(1.5) * b,
    "fmod": lambda a, b: a.fmod(0.7) + b,
    "atan2": lambda a, b: torch.atan2(a, b.square() + 1),
    "asin, acos": lambda a, b: (a.tanh() * 0.9).asin() + (b.tanh() * 0.9).acos(),
    "acosh, atanh": lambda a, b: (a.square() + 1.5).acosh() + (b.tanh() * 0.9).atanh(),
    "erfc": lambda a, b: torch.erfc(a) * b,
    # Its sixth is one of float32 in PyTorch's own gradient.
    "hardsigmoid": lambda a, b: torch.nn.functional.hardsigmoid(a) * b,
    "nan_to_num": lambda a, b: torch.nan_to_num(a * b, posinf=2.0),
}


def test_operations_that_came_later():
    def step(self, gi, gh, state):
        return tuple(function(gi + gh, part).tanh() for function, part in zip(LATER.values(), state, strict=True))

    cell = small_cell(step, names=tuple(LATER))
    assert_agrees(cell)
    assert programs_of(cell)


@pytest.mark.parametrize(("kind", "kept"), [(LayerNormLSTMCell, 10), (LayerNormGRUCell, 7), (PeepholeLSTMCell, 1)])
def test_what_the_adjoint_needs_is_kept_once(kind, kept):
    """Beside what takes gi's own place: in units of the hidden size for a row."""
    cell = kind(3, 5)
    Recurrent(cell, "scan")(torch.zeros(2, 3, 3, requires_grad=True))
    (program,) = programs_of(cell)
    assert program.layout.kept == kept
