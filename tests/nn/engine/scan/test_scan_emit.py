"""Unusual ``pointwise`` code, compiled: the same as on ``loop``, or uncompiled with a warning."""

import logging

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqlab.nn import GatedCell, LSTMCell
from seqlab.nn.engine import scan
from seqlab.nn.engine.scan import execution, readiness
from seqlab.nn.engine.scan.function import Scan
from tests.nn.agreement import RAGGED, assert_agrees, assert_compiled_agrees, programs_of
from tests.nn.engine.scan.odd_cells import (
    Activations,
    Choices,
    Learned,
    Norms,
    Passing,
    Slices,
    Sums,
    Views,
    Wide,
    WithoutInput,
    WithoutProduct,
)


@pytest.fixture(autouse=True)
def fresh(compiled_quickly, monkeypatch):
    monkeypatch.setattr(execution, "_warned", set())


@pytest.mark.parametrize(
    "make",
    [Views, Slices, Activations, Choices, Sums, Norms, Learned, Passing, WithoutInput, WithoutProduct, Wide],
)
def test_unusual_steps_agree_compiled_or_not(monkeypatch, make):
    torch.manual_seed(1)
    cell = make(3, 11)
    for lengths in (None, RAGGED):
        assert_compiled_agrees(cell, lengths=lengths)
    monkeypatch.setenv("SEQLAB_COMPILE", "0")
    assert_agrees(cell, rows=11, lengths=(*RAGGED, *RAGGED, 2))  # as many rows as units
    assert execution._warned


def test_units_shared_among_threads_agree_where_sums_and_parameters_meet(monkeypatch):
    monkeypatch.setattr(readiness, "grid", lambda *_: (2, 2))
    torch.manual_seed(1)
    for make in (Sums, Learned):
        assert_compiled_agrees(make(3, 11), lengths=RAGGED)


class Ties(GatedCell):
    num_gates = 2

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        return (
            torch.maximum(a, b)
            + torch.minimum(a, b) * 2
            + a.amax(-1, keepdim=True)
            + a.relu()
            + b.abs()
            + a.clamp(0, 1),
        )


def test_gradients_at_ties_and_kinks_are_pytorchs_own():
    cell = Ties(3, 11)
    (
        nn.init.zeros_(cell.weight_ih),
        nn.init.zeros_(cell.weight_hh),
        nn.init.zeros_(cell.bias_ih),
        nn.init.zeros_(cell.bias_hh),
    )
    assert_compiled_agrees(cell)


def pointwise_of(function, **attributes):
    """A cell whose step is ``function(cell, gi, gh, h)``."""

    def pointwise(self, gi, gh, state):
        return (function(self, gi, gh, state[0]),)

    return type("Odd", (GatedCell,), {"num_gates": 1, "pointwise": pointwise, **attributes})


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("cumsum", lambda cell, gi, gh, h: (gi + gh).tanh().cumsum(-1) / 9),
        ("mm", lambda cell, gi, gh, h: ((gi + gh).sigmoid() @ cell.mix).tanh()),
        ("flip", lambda cell, gi, gh, h: (gi + gh.flip(-1)).tanh()),
        ("rolled parts", lambda cell, gi, gh, h: (gi + torch.cat((h[:, 1:], h[:, :1]), -1)).tanh()),
        ("permute", lambda cell, gi, gh, h: (gi + gh).unflatten(-1, (4, 2)).transpose(1, 2).flatten(1).tanh()),
        ("rounded division", lambda cell, gi, gh, h: gi + torch.div(gh, 0.3, rounding_mode="floor") * h.tanh()),
        ("remainder", lambda cell, gi, gh, h: (gi + gh).tanh() + h % 0.4),
        ("rounding to decimals", lambda cell, gi, gh, h: (gi + gh).tanh() + torch.round(h, decimals=1)),
        ("integers", lambda cell, gi, gh, h: (gi + gh).tanh() * h.long()),
        ("short", lambda cell, gi, gh, h: (gi + gh).tanh() + h.bfloat16().to(h.dtype) * 0.5),
        ("float", lambda cell, gi, gh, h: (gi + gh).tanh() + h.float().to(h.dtype) * 0.5),
        (
            "scaled difference",
            lambda cell, gi, gh, h: torch.sub(gi, gh, alpha=0.7).tanh() + torch.add(h, gi, alpha=2) * 0.1,
        ),
        (
            "reversed difference",
            lambda cell, gi, gh, h: torch.rsub(gi.tanh(), gh.tanh(), alpha=2) * 0.3 + (1 - h) * 0.1,
        ),
        ("constants along units", lambda cell, gi, gh, h: (gi + gh).tanh() * torch.arange(8, dtype=gi.dtype)),
        ("evens", lambda cell, gi, gh, h: (gi + gh.repeat_interleave(2, -1)[:, ::2]).tanh()),
        ("groups of units", lambda cell, gi, gh, h: functional.group_norm(gi + gh, 2)),
        ("sum within groups", lambda cell, gi, gh, h: (gi + gh).view(-1, 4, 2).softmax(-1).flatten(1) * h.tanh()),
        ("interleaved", lambda cell, gi, gh, h: (gi + gh).view(-1, 4, 2)[..., 1].repeat(1, 2).tanh()),
        ("infinities", lambda cell, gi, gh, h: torch.nan_to_num((gi + gh).tanh()) + gi.isinf() * h),
        ("powers", lambda cell, gi, gh, h: gi.pow(3) * 0.1 + (gh.abs() + 1) ** -0.5 + (h * h + 1) ** gi.tanh() + gi**0),
        (
            "logit",
            lambda cell, gi, gh, h: torch.logit((gi + gh).sigmoid() * 0.9, 1e-3) + torch.addcmul(h, gi, gh, value=0.3),
        ),
        ("swish", lambda cell, gi, gh, h: torch.addcdiv(h, gi, gh.exp(), value=0.3).tanh() + torch.hypot(gi, gh) * 0.1),
        ("sums of squares", lambda cell, gi, gh, h: (gi + gh).tanh() / (1 + h.square().sum(-1, keepdim=True))),
        ("attention", lambda cell, gi, gh, h: (gi.exp() * gh.sigmoid()).sum(-1, keepdim=True).tanh() * h + gi.tanh()),
        ("max with index", lambda cell, gi, gh, h: (gi + gh).tanh() * h.max(-1, keepdim=True).values),
        ("product", lambda cell, gi, gh, h: (gi + gh).tanh() * h.tanh().prod(-1, keepdim=True)),
        ("argmax", lambda cell, gi, gh, h: (gi + gh).tanh() * functional.one_hot(h.argmax(-1), 8)),
        ("glu", lambda cell, gi, gh, h: functional.glu(torch.cat((gi, gh), -1), -1) + 0.1 * h),
    ],
)
def test_whatever_a_step_does_is_right_compiled_or_not(caplog, name, function):
    cell = pointwise_of(function)(3, 8)
    cell.mix = nn.Parameter(torch.randn(8, 8) / 3)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        assert_agrees(cell)
    compiled = bool(programs_of(cell))
    warnings = [record.message for record in caplog.records if record.name == "seqlab"]
    assert len(warnings) == (0 if compiled else 1), warnings
    assert all(each.startswith("Odd: scan runs its step uncompiled, slower than a loop: ") for each in warnings)


@pytest.mark.parametrize("sizes", [(8, 3), (8, 12)])
def test_states_of_odd_sizes_are_compiled(caplog, sizes):
    class Odd(GatedCell):
        num_gates, state_names = 1, ("h", "c")
        state_sizes = sizes

        def pointwise(self, gi, gh, state):
            h = (gi + gh + state[1].sum(-1, keepdim=True)).tanh()
            return h, state[1] * 0.5 + h.mean(-1, keepdim=True)

    cell = Odd(3, 8)
    assert_agrees(cell, lengths=RAGGED)
    assert programs_of(cell) and not [record for record in caplog.records if record.name == "seqlab"]


def test_the_scan_is_one_node_of_the_graph_whatever_the_length():
    cell = LSTMCell(3, 8)
    for steps in (2, 40):
        output, _ = scan.run(cell, torch.randn(2, steps, 3), tuple(torch.zeros(2, 8) for _ in "hc"), None)
        pending, nodes = [output.grad_fn], set()
        while pending:
            node = pending.pop()
            if node is not None and node not in nodes:
                nodes.add(node)
                pending.extend(parent for parent, _ in node.next_functions)
        assert sum(type(node).__name__ == f"{Scan.__name__}Backward" for node in nodes) == 1
        assert len(nodes) < 20
