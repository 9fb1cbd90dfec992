"""What differs from the cell's own code is not used: a wrong step, a wrong graph, coefficients of another rule."""

import dataclasses
import itertools
import logging
import random

import pytest
import torch
from torch.nn import functional

from seqlab.nn import GRUCell, LinearCell, Recurrent
from seqlab.nn.engine.scan import execution, readiness, schedule, spellings
from tests.nn.agreement import assert_layer_agrees, small_cell
from tests.nn.engine.refusals import seeded, x_of

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step could be compiled


# The parallel engine


class Linear(LinearCell):
    def coefficients(self, gi):
        return self.rule(gi)


@pytest.mark.parametrize(
    "rule",
    [
        lambda gi: (functional.dropout(gi.chunk(2, -1)[0].sigmoid(), 0.5), gi.chunk(2, -1)[1]),
        lambda gi: (gi.chunk(2, -1)[0].sigmoid() * random.random(), gi.chunk(2, -1)[1]),
        lambda gi: (gi.chunk(2, -1)[0].sigmoid(), gi.chunk(2, -1)[1] - gi.chunk(2, -1)[1].mean(0)),
        lambda gi: (gi.chunk(2, -1)[0].sigmoid(), gi.chunk(2, -1)[1] / gi.size(0)),
        lambda gi: (gi.chunk(2, 1)[0].sigmoid() if gi.dim() == 2 else gi.chunk(2, -1)[0] * 0, gi.chunk(2, -1)[1]),
    ],
    ids=["dropout", "chance", "batch statistics", "batch size", "another rule for many steps"],
)
def test_coefficients_that_are_not_each_rows_and_steps_run_on_loop(rule):
    cell = Linear(3, 5).double()
    cell.rule = rule
    layer, loop = Recurrent(cell), Recurrent(cell, "loop")
    for steps in (4, 6):
        (found, _), (expected, _) = seeded(layer, x_of(steps)), seeded(loop, x_of(steps))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match=r"^backend: parallel can't run this Linear"):
        Recurrent(cell, "parallel")(x_of())


# Checked before it is used


class GRU(GRUCell):
    """A user's own, for which there is no kernel."""


@pytest.fixture
def broken(monkeypatch):
    """Breaks the printer; a layer made within has a wrong step."""

    def apply(what):
        if what == "sigmoid":
            monkeypatch.setitem(spellings.SPELLINGS, "sigmoid", "(sigmoid({0}) * real(1.0001))")
        elif what == "tanh":
            monkeypatch.setitem(spellings.SPELLINGS, "tanh", "(hyperbolic_tangent({0}) + real(1e-5))")
        elif what == "where it is large":
            monkeypatch.setitem(spellings.SPELLINGS, "sigmoid", "choose({0} > real(40), splat(0.9), sigmoid({0}))")
        elif what == "difference":
            monkeypatch.setitem(spellings.SPELLINGS, "sub", "({1} - {0})")

    return apply


@pytest.mark.parametrize(
    ("what", "make", "engine", "dtype"),
    [
        *itertools.product(
            ["sigmoid", "tanh", "where it is large", "difference"], [GRU], ["loop"], [torch.float32, torch.float64]
        ),
        ("sigmoid", GRUCell, "native", torch.float32),
        ("difference", GRUCell, "native", torch.float64),
    ],
)
def test_a_wrong_step_is_not_used(caplog, broken, what, make, engine, dtype):
    broken(what)
    cell = make(3, 7).to(dtype)
    layer = Recurrent(cell)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for _ in range(2):
            assert_layer_agrees(layer, tolerance=1e-5 if dtype == torch.float32 else 1e-10)
    assert layer.last_run.engine == engine
    (message,) = [record.message for record in caplog.records if record.name == "seqlab"]
    assert "differs from its own code, in the " in message and " instead of " in message
    with pytest.raises(ValueError, match=rf"^backend: scan can't run this {make.__name__}: its compiled step differs"):
        Recurrent(cell, "scan")(torch.zeros(2, 3, 3, dtype=dtype))


def test_a_wrong_stride_is_noticed(monkeypatch, caplog):
    dense = schedule.dense
    for module in (execution, readiness):
        monkeypatch.setattr(module, "dense", lambda *sizes: dataclasses.replace(dense(*sizes), stride=1))
    layer = Recurrent(GRU(3, 7).double())
    assert_layer_agrees(layer)
    assert layer.last_run.engine == "loop" and "differs from its own code" in layer.last_run.reason


def test_a_captured_graph_that_differs_from_the_cell_is_not_used():
    """What no guard saw: a subclass of tuple that counts what is taken from it."""

    class Reading(tuple):
        taken = 0

        def __getitem__(self, place):
            Reading.taken += 1
            return super().__getitem__(place) * Reading.taken

    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=Reading((0.5,)))
    twin = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=cell.scales)
    twin.load_state_dict(cell.state_dict())
    layer = Recurrent(cell)
    layer(x_of())
    Reading.taken = 0
    found = layer(x_of())[0]
    Reading.taken = 0
    torch.testing.assert_close(found, Recurrent(twin, "loop")(x_of())[0], rtol=1e-10, atol=1e-10)
