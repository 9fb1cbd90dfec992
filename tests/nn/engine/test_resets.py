"""A state that is reset inside a sequence: every engine gives what ``loop`` gives."""

import logging
from functools import lru_cache, partial

import pytest
import torch
from torch import nn

from seqlab.nn import GRUCell, LayerNormLSTMCell, LinearCell, LSTMCell, MinGRUCell, Recurrent, RNNCell
from seqlab.nn import engine as engines
from seqlab.nn.engine.linear_scan import begin_anew, linear_scan
from seqlab.nn.engine.resets import Resets, find_segments
from seqlab.nn.engine.scan import readiness
from tests.nn.agreement import assert_agrees, assert_same, batch, programs_of, results
from tests.nn.covering import covering

RAGGED = (6, 0, 1, 4, 6)  # for five rows of six steps


class Decay(LinearCell):
    """One learned decay a unit: its factors are one row, spread over rows and steps."""

    num_gates = 1

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.decay = nn.Parameter(torch.linspace(-0.9, 1.01, hidden_size))

    def coefficients(self, gi):
        return self.decay, gi


def random_mask(rows, steps, density, seed=0):
    return torch.rand(rows, steps, generator=torch.Generator().manual_seed(seed)) < density


MASKS = {
    "nowhere": torch.zeros(5, 6, dtype=torch.bool),
    "at the first": torch.arange(5) % 2 == 0,
    "at some": random_mask(5, 6, 0.3),
    "at all": torch.ones(5, 6, dtype=torch.bool),
}
PAIRS = [
    *((LSTMCell, "native"), (LSTMCell, "scan"), (GRUCell, "native"), (RNNCell, "native"), (LayerNormLSTMCell, "scan")),
    *((MinGRUCell, "scan"), (MinGRUCell, "parallel"), (Decay, "parallel")),
]


@lru_cache
def cell_of(kind, learned=True, hidden_size=5):
    """A cell that begins from zeros, or with a state for each row that it learns."""
    torch.manual_seed(0)
    cell = kind(3, hidden_size).double()
    if learned:
        cell.start = nn.Parameter(torch.randn(len(cell.state_names), hidden_size).double())
        cell.initial_state = partial(learned_state, cell)  # of the instance: "native" serves no subclass
    return cell


def learned_state(cell, batch_size, *, like):
    rows = torch.arange(1, batch_size + 1, device=like.device).to(like).unsqueeze(1)
    return tuple(part.to(like) / rows for part in cell.start)


@pytest.mark.parametrize(
    ("pair", "mask", "lengths", "reverse", "learned", "recompute"),
    covering(PAIRS, [*MASKS], [None, RAGGED], [False, True], [False, True], [False, True]),
)
def test_every_engine_agrees_with_loop(compiled_quickly, pair, mask, lengths, reverse, learned, recompute):
    kind, engine = pair
    cell = cell_of(kind, learned)
    assert_agrees(cell, 5, 6, lengths, reverse, engine, MASKS[mask], recompute)
    assert engine != "scan" or programs_of(cell)


@pytest.mark.parametrize("grid", [(1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize(("kind", "hidden_size"), [(LSTMCell, 40), (LayerNormLSTMCell, 40), (MinGRUCell, 40)])
def test_threads_that_share_rows_or_units_agree(compiled_quickly, monkeypatch, kind, hidden_size, lengths, grid):
    monkeypatch.setattr(readiness, "grid", lambda *_: grid)
    assert_agrees(cell_of(kind, True, hidden_size), 5, 6, lengths, is_first=MASKS["at some"])


@pytest.mark.parametrize("kind", [LSTMCell, MinGRUCell])
def test_an_uncompiled_scan_agrees(kind):
    cell = cell_of(kind, True, 4)
    for lengths in (None, RAGGED):
        assert_agrees(cell, lengths=lengths, is_first=MASKS["at some"])
    assert not programs_of(cell)


@pytest.mark.parametrize(("kind", "engine"), [(LSTMCell, "scan"), (MinGRUCell, "parallel")])
def test_long_rows_agree_and_so_do_bytes_other_than_one_for_true(compiled_quickly, kind, engine):
    """The chunks of a parallel scan; and memory of another library, where any byte but 0 is true."""
    mask = random_mask(3, 150, 0.05)
    assert_agrees(cell_of(kind), 3, 150, backend=engine, is_first=mask)
    x, state = batch(cell_of(kind), 3, 150)
    other = (mask.to(torch.uint8) * 255).view(torch.bool)
    expected = results(cell_of(kind), engine, x, state, is_first=mask)
    assert_same(results(cell_of(kind), engine, x, state, is_first=other), expected, 0.0)


@pytest.mark.parametrize(("kind", "engine"), PAIRS)
def test_a_mask_without_a_reset_changes_no_bit(compiled_quickly, kind, engine):
    cell = cell_of(kind)
    x, state = batch(cell, 5, 6)
    expected = results(cell, engine, x, state)
    assert_same(results(cell, engine, x, state, is_first=MASKS["nowhere"]), expected, 0.0)


@pytest.mark.parametrize(("kind", "engine"), [(LSTMCell, "scan"), (MinGRUCell, "parallel"), (Decay, "parallel")])
@pytest.mark.parametrize("lengths", [None, torch.tensor(RAGGED)])
def test_second_derivatives_agree_with_loop(compiled_quickly, kind, engine, lengths):
    cell, found = cell_of(kind), []
    x, state = batch(cell, 5, 6)
    leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), *cell.parameters()]
    for each in (engine, "loop"):
        output, final = Recurrent(cell, each)(x, state, lengths, MASKS["at some"])
        loss = output.pow(3).sum() + sum(part.pow(2).sum() for part in final)
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        squares = sum(gradient.pow(2).sum() for gradient in first)
        found.append(torch.autograd.grad(squares, leaves))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "engine"), [(LSTMCell, "native"), (LSTMCell, "scan"), (MinGRUCell, "parallel")])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_the_same_to_its_digits(compiled_quickly, kind, engine, dtype):
    torch.manual_seed(0)
    cell, x = kind(3, 5), torch.randn(5, 6, 3)
    exact, _ = Recurrent(cell, "loop")(x, is_first=MASKS["at some"])
    with torch.autocast("cpu", dtype):
        output, final = Recurrent(cell, engine)(x, is_first=MASKS["at some"])
    assert all(part.dtype == torch.float32 for part in final)
    torch.testing.assert_close(output.float(), exact, rtol=0.05, atol=0.05)
    output.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


def test_auto_leaves_native_where_it_would_have_to_split_and_says_so(compiled_quickly, monkeypatch, caplog):
    monkeypatch.setattr(engines, "_suits_onednn", lambda *_: True)
    layer, x = Recurrent(LSTMCell(3, 5)), torch.randn(5, 6, 3)
    assert layer.engine == "native"
    with caplog.at_level(logging.INFO, logger="seqlab"):
        for mask in (None, MASKS["nowhere"], MASKS["at the first"]):
            layer(x, is_first=mask)
            assert layer.last_run.engine == "native"
        assert not caplog.records
        for _ in range(2):
            layer(x, is_first=MASKS["at some"])
            assert layer.last_run.engine == "scan"
    (record,) = caplog.records
    assert "sequences with resets on scan, others on native" in record.getMessage()
    layer(x)
    assert layer.last_run.engine == "native"


def test_an_engine_that_knows_no_resets_is_not_asked_where_there_are_none(monkeypatch):
    monkeypatch.setattr(engines.loop, "run", lambda cell, x, state, lengths: (x, state))
    layer, x = Recurrent(GRUCell(3, 3), "loop"), torch.randn(5, 6, 3)
    layer(x, is_first=MASKS["at the first"])
    with pytest.raises(TypeError, match="resets"):
        layer(x, is_first=MASKS["at some"])


def test_segments_are_packed_longest_first():
    mask = torch.tensor([[0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]).bool()
    segments = find_segments(Resets(mask, ()), torch.tensor([4, 3, 0]))
    # of row 0, steps 0-1 and 2-3; of row 1, steps 0, 1 and 2; row 2 has none
    assert segments.counts.tolist() == [5, 2] and segments.places.tolist() == [0, 2, 4, 5, 6, 1, 3]
    assert segments.source.tolist() == [0, 3, 1, 4, 4]  # three states, then three initial ones
    assert segments.rows.tolist() == [0, 1] and segments.last.tolist() == [1, 4]
    assert find_segments(Resets(torch.zeros_like(mask), ()), None) is None


@pytest.mark.parametrize("initial", [0.0, 2.0])
def test_coefficients_of_a_reset_have_the_gradients_of_the_dense_formula(initial):
    draw = torch.Generator().manual_seed(0)
    a, b, weights = (torch.randn(3, 70, 2, generator=draw).double() for _ in range(3))
    h, start, mask = torch.ones(3, 2).double(), torch.full((3, 2), initial).double(), random_mask(3, 70, 0.2)
    leaves, found = [each.requires_grad_() for each in (a, b, h, start)], []
    where = mask.unsqueeze(2)
    for x, y in (
        begin_anew(a, b, mask, start),
        (a.masked_fill(where, 0.0), torch.where(where, a * start.unsqueeze(1) + b, b)),
    ):
        states, last = linear_scan(x, y, h)
        found.append([states, *torch.autograd.grad((states * weights).sum() + last.sum(), leaves)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_an_infinite_factor_at_a_reset_is_no_number_as_on_loop():
    a, b = torch.full((1, 2, 1), torch.inf), torch.ones(1, 2, 1)
    _, summands = begin_anew(a, b, torch.tensor([[False, True]]), torch.zeros(1, 1))
    assert summands.flatten().isnan().tolist() == [False, True]


def test_a_compiled_and_an_exported_model_follow_masks_they_were_not_made_with():
    cell = cell_of(MinGRUCell)
    x, state = batch(cell, 5, 6)
    masks = [MASKS["at all"], MASKS["nowhere"], MASKS["at some"]]
    expected = [Recurrent(cell, "loop")(x, state, None, mask)[0] for mask in masks]
    compiled = torch.compile(Recurrent(cell, "parallel"), backend="eager", fullgraph=True)
    exported = torch.export.export(Recurrent(cell), (x, state, None, MASKS["nowhere"])).module()
    for mask, output in zip(masks, expected, strict=True):
        torch.testing.assert_close(compiled(x, state, None, mask)[0], output, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(exported(x, state, None, mask)[0], output, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("engine", ["native", "auto", "loop"])
def test_many_masks_at_once_are_as_each_by_itself(engine):
    layer, masks, x = Recurrent(cell_of(GRUCell), engine), torch.stack([MASKS["at some"], MASKS["at all"]]), None
    x = torch.randn(2, 5, 6, 3).double()

    def loss(x, mask):
        return layer(x, None, None, mask)[0].pow(2).sum()

    together = torch.func.vmap(torch.func.grad(loss))(x, masks)
    torch.testing.assert_close(together, torch.stack([*map(torch.func.grad(loss), x, masks)]), rtol=1e-10, atol=1e-10)


def test_many_gradients_at_once_are_as_each_by_itself():
    cell = cell_of(MinGRUCell)
    x, weights = batch(cell, 5, 6)[0].requires_grad_(), torch.randn(2, 5, 6, 5).double()
    output, _ = Recurrent(cell, "parallel")(x, is_first=MASKS["at some"])
    (together,) = torch.autograd.grad(output, x, weights, retain_graph=True, is_grads_batched=True)
    apart = [torch.autograd.grad(output, x, each, retain_graph=True)[0] for each in weights]
    torch.testing.assert_close(together, torch.stack(apart), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("engine", ["native", "loop"])
@pytest.mark.parametrize("mask", ["at some", "at the first"])
def test_a_mask_may_be_overwritten_before_the_backward_pass(engine, mask):
    cell, mask = cell_of(GRUCell), MASKS[mask].clone()
    x, state = batch(cell, 5, 6)

    def gradient(after):
        given = mask.clone()
        output, _ = Recurrent(cell, engine)(x, state, None, given)
        after(given)
        return torch.autograd.grad(output.pow(2).sum(), cell.start)[0]

    torch.testing.assert_close(gradient(torch.Tensor.logical_not_), gradient(torch.Tensor.clone), rtol=0, atol=0)
