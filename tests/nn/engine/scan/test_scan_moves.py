"""Units that look at other units of their row, and states of any size, compiled."""

import pytest
import torch

from seqlab.nn import GatedCell
from seqlab.nn.engine.scan import readiness
from tests.nn.agreement import RAGGED, assert_agrees, programs_of

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def swapped(z, at):
    return torch.cat((z[:, at:], z[:, :at]), 1)


def chunk(z, first, size):
    return z.narrow(1, first, size)


MOVES = {
    "units of the state in another order": lambda gi, gh, h: gi + gh + swapped(h, 2),
    "of the product": lambda gi, gh, h: gi + swapped(gh, 3).tanh() * h,
    "of the projection": lambda gi, gh, h: swapped(gi, 1).sigmoid() * gh + h,
    "of what was computed from all": lambda gi, gh, h: swapped((gi * gh).tanh() * swapped(h, 1), 4),
    "twice, by different ways": lambda gi, gh, h: swapped(swapped(h, 2) * gi, 5) * gh + swapped(gh, 1),
    "the first units and what follows them": lambda gi, gh, h: torch.cat((h[:, 1:], gi[:, :1] * gh[:, -1:]), 1),
    "the first unit for all": lambda gi, gh, h: gi * h[:, :1] + gh[:, 2:3] * h,
    "the last unit of each for all": lambda gi, gh, h: gi[:, -1:] * h[:, -1:] + gh[:, -1:] * gi,
    "a sum of some, in one place": lambda gi, gh, h: torch.cat((h[:, 1:] * gi[:, 1:], gh[:, :3].sum(1, True)), 1),
    "a maximum of parts": lambda gi, gh, h: torch.maximum(swapped(gi, 3), swapped(gh, 3)) - swapped(h, 3),
    "neighbours": lambda gi, gh, h: gi + gh + torch.cat(((h[:, 1:] - h[:, :-1]).tanh(), h[:, :1]), 1),
    "half of a row against the other": lambda gi, gh, h: torch.cat((gi[:, :3] * gh[:, 3:6], h[:, 3:6], gi[:, 6:]), 1),
    "a pattern of numbers, moved": lambda gi, gh, h: gi + swapped(torch.arange(7).to(h) * h, 2) * 0.1 + gh,
    "a pattern of numbers, in part": lambda gi, gh, h: gi + torch.cat((torch.arange(3).to(h) * gh[:, :3], h[:, 3:]), 1),
}


def cell_of(move, hidden_size=7):
    class Moving(GatedCell):
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return (move(gi, gh, state[0]).tanh(),)

    torch.manual_seed(0)
    return Moving(3, hidden_size)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_units_may_look_at_each_other(move):
    cell = cell_of(move)
    for lengths in (None, RAGGED):
        assert_agrees(cell, lengths=lengths)
    assert programs_of(cell)


class Wide(GatedCell):
    """Gates that a step cuts in other places than they were made in."""

    num_gates = 3

    def pointwise(self, gi, gh, state):
        size = self.hidden_size
        z = gi + gh
        a, b = chunk(z, size // 2, size), chunk(z, size + size // 3, size)
        c = chunk(gh, 1, size) * chunk(gi, 2 * size - 1, size)
        return (a.sigmoid() * b.tanh() + c.tanh() * state[0],)


GRIDS = ((1, 2), (2, 3))


@pytest.mark.parametrize("hidden_size", [5, 70])
def test_parts_that_lie_across_gates_and_threads_that_share_a_row(monkeypatch, hidden_size):
    torch.manual_seed(1)
    cell = Wide(3, hidden_size)
    for grid in GRIDS:
        monkeypatch.setattr(readiness, "grid", lambda *_, grid=grid: grid)
        for lengths in (None, (3, 0, 6, 6, 1, 2, 5)):
            assert_agrees(cell, 7, 6, lengths)
    assert programs_of(cell)


def test_threads_that_share_a_row_wait_for_each_other(monkeypatch):
    for move in ("units of the state in another order", "of what was computed from all", "the first unit for all"):
        cell = cell_of(MOVES[move], 70)
        for grid in GRIDS:
            monkeypatch.setattr(readiness, "grid", lambda *_, grid=grid: grid)
            assert_agrees(cell, 7, 6)
        (program,) = programs_of(cell)
        assert "WHOLE_ROWS_FORWARD = true, WHOLE_ROWS_BACKWARD = true" in program._text


class Odd(GatedCell):
    """States of sizes that are no multiples of the hidden size: a clock, a few numbers, and more than all units."""

    num_gates = 2
    state_names = ("h", "clock", "few", "many")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.rate = torch.nn.Parameter(torch.randn(3))

    @property
    def state_sizes(self):
        return (self.hidden_size, 1, 3, self.hidden_size + 2)

    def pointwise(self, gi, gh, state):
        h, clock, few, many = state
        a, b = (gi + gh).chunk(2, 1)
        new = (a.tanh() + many[:, 1 : 1 + self.hidden_size] * 0.3 + clock.sin() * h).tanh()
        short = (few * self.rate + b[:, :3]).tanh()
        longer = torch.cat((short[:, :2], new * b.sigmoid()), 1)
        return new, clock * 0.5 + few.mean(1, keepdim=True) + h[:, :1] * clock, short, longer + many * 0.1


@pytest.mark.parametrize("hidden_size", [4, 40])
def test_states_of_any_size(monkeypatch, hidden_size):
    torch.manual_seed(2)
    cell = Odd(3, hidden_size)
    for grid in GRIDS:
        monkeypatch.setattr(readiness, "grid", lambda *_, grid=grid: grid)
        for lengths in (None, (3, 0, 6, 6, 1, 2, 5)):
            assert_agrees(cell, 7, 6, lengths)
    assert programs_of(cell)
