"""The scan engine agrees with ``loop``, compiled and uncompiled, however rows, steps and threads are laid out."""

import logging
from functools import lru_cache, partial

import pytest
import torch

from seqlab.nn import (
    GatedCell,
    GRUCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    PeepholeLSTMCell,
    Recurrent,
    RecurrentCell,
    RNNCell,
)
from seqlab.nn.engine import scan
from seqlab.nn.engine.scan import build, execution, readiness, schedule
from seqlab.nn.engine.watch import watch_of
from tests.nn.agreement import RAGGED, assert_agrees, assert_as_near_as_loop, assert_same, batch, programs_of, results
from tests.shipped import hook_of, shipped_cells

REPRESENTATIVE = [LSTMCell, GRUCell, PeepholeLSTMCell, LayerNormLSTMCell, IndRNNCell]
SHIPPED = [
    *sorted((kind for kind in shipped_cells() if hook_of(kind) != "step"), key=lambda kind: kind.__name__),
    partial(RNNCell, nonlinearity="relu"),
    partial(RNNCell, nonlinearity="sigmoid"),
    partial(IndRNNCell, nonlinearity="tanh"),
    partial(MinGRUCell, candidate="positive"),
]
LENGTHS = {"none": None, "ragged": RAGGED, "equal": (4,) * 5, "full": (6,) * 5, "zero": (0,) * 5}


@lru_cache
def cell_of(make, hidden_size, uncompiled=False):
    """One cell for many tests, which change nothing in it: tracing takes longer than most of them."""
    torch.manual_seed(0)
    return make(3, hidden_size).double()


@pytest.mark.parametrize(  # all pairs
    ("make", "lengths", "reverse"),
    [(make, name, (i + k) % 2 == 1) for i, make in enumerate(REPRESENTATIVE) for k, name in enumerate(LENGTHS)],
)
def test_compiled_agrees_with_loop(compiled, make, lengths, reverse):
    cell = cell_of(make, 17)
    assert_agrees(cell, lengths=LENGTHS[lengths], reverse=reverse)
    assert programs_of(cell)


@pytest.mark.parametrize("hidden_size", [5, 16, 17, 40, 72])  # the last panel of weights narrow, wide, full and alone
def test_every_width_agrees(request, hidden_size):
    # Those two are compiled with the optimizer for other tests too.
    request.getfixturevalue("compiled" if hidden_size in (17, 72) else "compiled_quickly")
    cell = cell_of(LSTMCell, hidden_size)
    assert_agrees(cell)
    assert programs_of(cell)


@pytest.mark.parametrize("hidden_size", [1, 8, 40])
def test_every_width_of_sums_over_units_agrees(compiled_quickly, hidden_size):
    assert_agrees(LayerNormLSTMCell(3, hidden_size), lengths=RAGGED)


@pytest.mark.parametrize(
    ("rows", "steps"), [(1, 1), (1, 6), (4, 1), (2, 3), (11, 3), (13, 2), (27, 3), (38, 2), (3, 70)]
)
@pytest.mark.parametrize("make", [LSTMCell, LayerNormLSTMCell, PeepholeLSTMCell, IndRNNCell])
def test_every_number_of_rows_and_steps_agrees(compiled, make, rows, steps):
    assert_agrees(cell_of(make, 17), rows, steps)


def test_without_biases_it_agrees(compiled_quickly):
    assert_agrees(LSTMCell(3, 17, bias=False), lengths=RAGGED)


@pytest.mark.parametrize("lengths", [None, (3, 0, 6, 6, 1, 2, 5)])
@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (1, 2), (2, 2), (9, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize(
    ("make", "hidden_size"),
    [(LSTMCell, 72), (GRUCell, 17), (PeepholeLSTMCell, 17), (LayerNormLSTMCell, 40), (IndRNNCell, 17)],
)
def test_threads_that_share_rows_or_units_agree(compiled, monkeypatch, make, hidden_size, grid, lengths):
    """(groups of rows, threads a group): also more groups than rows, and threads that are left without units."""
    monkeypatch.setattr(readiness, "grid", lambda *_: grid)
    assert_agrees(cell_of(make, hidden_size), 7, 6, lengths)


@pytest.mark.parametrize("rows", [1, 5])
def test_torchs_threads_are_used_and_agree(compiled, monkeypatch, rows):
    grids = []
    choose = readiness.grid
    monkeypatch.setattr(readiness, "grid", lambda *given: grids.append(choose(*given)) or grids[-1])
    monkeypatch.setattr(schedule, "_CACHE_BYTES", 0)
    torch.set_num_threads(2)
    try:
        assert_agrees(cell_of(LSTMCell, 72), rows)
    finally:
        torch.set_num_threads(1)
    assert set(grids) == {(1, 2)}


@pytest.mark.parametrize("make", REPRESENTATIVE)
def test_two_windows_with_the_state_carried_equal_one(compiled, make):
    cell = cell_of(make, 17)
    x, state = batch(cell, 5, 7)
    expected = results(cell, "loop", x, state)
    x.requires_grad_()
    layer = Recurrent(cell, "scan")
    first, carried = layer(x[:, :4], state)
    second, final = layer(x[:, 4:], carried)
    output = torch.cat((first, second), 1)
    assert_same(
        {"output": output} | {f"final {n}": p for n, p in zip(cell.state_names, final, strict=True)},
        {name: each for name, each in expected.items() if "gradient" not in name},
    )
    whole, end = Recurrent(cell, "loop")(x, state)
    leaves = [x, *cell.parameters()]
    both = [
        torch.autograd.grad((o.sin().sum() + sum(p.sum() for p in f)), leaves)
        for o, f in ((output, final), (whole, end))
    ]
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_non_contiguous_inputs_states_and_gradients_are_served(compiled):
    cell = cell_of(LSTMCell, 17)
    x, state = batch(cell, 5, 6)
    expected = results(cell, "loop", x, state)
    mirrored = x.transpose(0, 1).contiguous().transpose(0, 1)
    spread = tuple(torch.stack((part, part), 2)[:, :, 0] for part in state)
    assert not mirrored.is_contiguous() and not spread[0].is_contiguous()
    assert_same(results(cell, "scan", mirrored, spread), expected)
    layer, leaves = Recurrent(cell, "scan"), list(cell.parameters())
    total = torch.autograd.grad(layer(x, state)[0].sum(), leaves)  # a gradient that is one number, expanded
    for one, other in zip(total, torch.autograd.grad(Recurrent(cell, "loop")(x, state)[0].sum(), leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize("make", SHIPPED)
def test_uncompiled_agrees_with_loop(make, lengths):
    cell = cell_of(make, 5, uncompiled=True)  # as many rows as units: no size may be taken for another
    assert_agrees(cell, lengths=lengths)
    assert watch_of(cell, "pointwise").captures and not programs_of(cell)


@pytest.mark.parametrize("make", [PeepholeLSTMCell, LayerNormGRUCell, IndRNNCell])
def test_uncompiled_takes_batches_of_any_size(make):
    for rows in (1, 4, 8, 11):
        assert_agrees(cell_of(make, 4, uncompiled=True), rows, 2)


def test_what_stands_in_the_padding_changes_nothing(compiled):
    cell = cell_of(LSTMCell, 17)
    x, state = batch(cell, 5, 6)
    clean = results(cell, "scan", x, state, RAGGED)
    padding = torch.arange(6) >= torch.tensor(RAGGED).unsqueeze(1)
    garbage = results(cell, "scan", x.masked_fill(padding.unsqueeze(2), torch.nan), state, RAGGED)
    assert_same(garbage, clean, 0.0)
    assert not clean["gradient of x"][padding].any() and not clean["output"][padding].any()


@pytest.mark.parametrize("mode", ["compiled", "uncompiled"])
def test_a_batch_of_nothing_but_padding_still_gives_every_weight_its_zero_gradient(request, mode):
    request.getfixturevalue(mode)
    layer = Recurrent(LSTMCell(3, 17), "scan")
    output, final = layer(torch.full((2, 4, 3), torch.nan), lengths=torch.tensor([0, 0]))
    (output.sum() + final[0].sum()).backward()
    assert all(torch.equal(parameter.grad, torch.zeros_like(parameter)) for parameter in layer.parameters())


def test_the_same_input_twice_gives_the_same_bits_and_threads_change_only_rounding(compiled, monkeypatch):
    cell = LayerNormLSTMCell(3, 17)
    x, state = batch(cell, 7, 6, torch.float32)
    runs = {}
    for grid in ((1, 1), (2, 1), (2, 2)):
        monkeypatch.setattr(readiness, "grid", lambda *_, grid=grid: grid)
        runs[grid] = results(cell, "scan", x, state)
        assert_same(results(cell, "scan", x, state), runs[grid], 0.0)
    for each in runs.values():
        assert_same(each, runs[1, 1], 1e-5)


@pytest.mark.parametrize("make", [LSTMCell, LayerNormLSTMCell])
def test_float32_is_as_near_to_the_truth_as_loop(compiled, make):
    assert_as_near_as_loop(make(3, 17), rows=5, steps=20)


def test_without_a_compiler_there_is_one_warning_and_the_same_result(caplog, monkeypatch):
    monkeypatch.setattr(execution, "_warned", set())
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for cell in (LSTMCell(3, 4), LSTMCell(3, 4)):
            for rows in (2, 3):
                assert_agrees(cell, rows)
    assert [record.message for record in caplog.records] == [
        "LSTMCell: scan runs its step uncompiled, slower than a loop: SEQLAB_COMPILE=0"
    ]
    assert build.compiler() is None and not scan.compiles()


class OwnStep(LSTMCell):
    def step(self, gi, state):
        return super().step(gi, state)


class OwnProduct(LSTMCell):
    def product(self, h):
        return super().product(h.tanh())


class Drawing(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return (torch.nn.functional.dropout((gi + gh).tanh(), 0.5),)


class Branching(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() if gi.sum() > 0 else gh,)


class Hidden(GatedCell):
    num_gates = 1

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scales = [torch.arange(1.0, hidden_size + 1)]

    def pointwise(self, gi, gh, state):
        return ((gi + gh * self.scales[0]).tanh(),)


class Spreading(GatedCell):
    num_gates = 1

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = torch.nn.Parameter(torch.rand(hidden_size))

    def pointwise(self, gi, gh, state):
        return ((gi + gh * self.scale.expand(gi.size(0), -1).exp()).tanh(),)


class Asking(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return ((gi + gh[0, 0].item()).tanh(),)


class Plain(RecurrentCell):
    def step(self, gi, state):
        return (gi + state[0],)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (Plain(4, 4), "it runs GatedCells, whose step is one recurrent product and a pointwise part"),
        (MGUCell(3, 4), "it runs GatedCells"),
        (OwnStep(3, 4), "OwnStep has a step of its own"),
        (OwnProduct(3, 4), "OwnProduct has a step of its own"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, RecurrentCell) else "",
)
def test_what_it_can_not_run_by_its_class_is_refused_where_the_layer_is_made(cell, reason):
    with pytest.raises(ValueError, match=rf"^backend: scan can't run this {type(cell).__name__}: {reason}") as caught:
        Recurrent(cell, "scan")
    assert "\n" not in str(caught.value) and str(caught.value).endswith('use backend="auto"')
    layer = Recurrent(cell)
    assert layer.engine == "loop"
    layer(torch.zeros(2, 3, cell.input_size))


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Drawing, "it draws random numbers"), (Branching, "it can't be followed"), (Asking, "it ")],
)
def test_what_a_step_does_is_refused_at_the_first_call_and_auto_takes_loop(compiled_quickly, caplog, make, reason):
    cell, x = make(3, 4), torch.randn(2, 3, 3)
    named = Recurrent(cell, "scan")
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^backend: scan can't run this {make.__name__}: {reason}") as caught:
            named(x)
    assert "\n" not in str(caught.value) and str(caught.value).endswith('use backend="auto"')
    layer = Recurrent(cell)
    assert layer.engine == "scan"
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for steps in (3, 4):
            layer(x[:, :steps])
    assert layer.engine == "loop" == layer.last_run.engine
    assert layer.last_run.reason.startswith(reason)
    assert [record.message for record in caplog.records if record.name == "seqlab"] == [
        f"{make.__name__} can't run on scan, and another engine does it: {layer.last_run.reason}"
    ]


@pytest.mark.parametrize("make", [Hidden, Spreading])
@pytest.mark.parametrize("mode", ["compiled_quickly", "uncompiled"])
def test_tensors_in_plain_attributes_and_of_the_batchs_size_are_right(request, mode, make):
    request.getfixturevalue(mode)
    cell = make(3, 11)
    for rows in (5, 2):
        assert_agrees(cell, rows, backend="auto")
        assert_agrees(cell, rows, lengths=RAGGED[:rows], backend="auto")
    if make is Hidden:
        assert_agrees(cell)  # on scan by name
        cell.scales[0] = torch.linspace(-1, 1, 11, dtype=torch.float64)
        assert_agrees(cell)
        cell.scales[0].mul_(3)
        assert_agrees(cell)
