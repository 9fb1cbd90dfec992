"""Which engine auto takes for a layer, and what it says."""

import logging
from functools import partial

import pytest
import torch

from seqlab.nn import (
    Bidirectional,
    GRUCell,
    IndRNNCell,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    Recurrent,
    RNNCell,
)
from seqlab.nn.engine import ENGINES, available, choose, preference
from tests.nn.agreement import assert_agrees


def test_auto_logs_its_choice_once_a_layer(caplog, compiled_quickly):
    with caplog.at_level(logging.INFO, logger="seqlab"):
        layer = Recurrent(LSTMCell(3, 4))
        other = Recurrent(StepOnly(3, 4))
        Recurrent(LSTMCell(3, 4), "loop")
        for each in (layer, other):
            each(torch.randn(2, 5, 3))
            each(torch.randn(2, 5, 3), lengths=torch.tensor([5, 2]))
    assert [record.message for record in caplog.records if record.name == "seqlab"] == [
        'LSTMCell(3, 4, bias=True): backend "auto" chose scan',
        'StepOnly(3, 4, bias=True): backend "auto" chose loop',
    ]
    assert (layer.engine, other.engine) == ("scan", "loop")


class Subclass(LSTMCell):
    pass


class User(LSTMCell):
    def pointwise(self, gi, gh, state):
        return super().pointwise(gi + gh, 0 * gh, state)


class StepOnly(LSTMCell):
    def step(self, gi, state):
        return super().step(gi, state)


TABLE = {  # in float32, in 16 bits, in 16 bits with lengths, without a compiler, on other devices
    "LSTM": (LSTMCell, "scan", "native", "scan", "native", "native"),
    "GRU": (GRUCell, "scan", "scan", "scan", "native", "native"),
    "RNN": (RNNCell, "scan", "scan", "scan", "native", "native"),
    "RNN of another kind": (partial(RNNCell, nonlinearity="sigmoid"), "scan", "scan", "scan", "loop", "loop"),
    "user's": (User, "scan", "scan", "scan", "loop", "loop"),
    "layer norm": (LayerNormLSTMCell, "scan", "scan", "scan", "loop", "loop"),
    "no product": (IndRNNCell, "scan", "scan", "scan", "loop", "loop"),
    "linear": (MinGRUCell, "scan", "scan", "scan", "parallel", "parallel"),
    "step of its own": (StepOnly, "loop", "loop", "loop", "loop", "loop"),
    "two products": (MGUCell, "loop", "loop", "loop", "loop", "loop"),
}


@pytest.mark.parametrize("kind", TABLE)
def test_auto_goes_by_the_table(compiled_quickly, monkeypatch, kind):
    make, full, low, low_packed, uncompiled, elsewhere = TABLE[kind]
    cell = make(3, 4)
    cases = [(False, False), (False, True), (True, False), (True, True)]  # (16 bits, lengths)
    assert [choose(cell, "auto", "cpu", *case) for case in cases] == [full, full, low, low_packed]
    assert {choose(cell, "auto", "cuda", *case) for case in cases} == {elsewhere}
    monkeypatch.setenv("SEQLAB_COMPILE", "0")
    assert {choose(cell, "auto", "cpu", *case) for case in cases} == {uncompiled}


def test_a_linear_cell_has_every_engine_but_native(compiled_quickly, monkeypatch):
    cell = MinGRUCell(3, 9)
    assert set(available(cell)) == {"parallel", "scan", "loop"}
    assert choose(cell, "auto") == available(cell)[0] != "loop"
    for backend in available(cell):
        assert_agrees(cell, backend=backend)
    monkeypatch.setenv("SEQLAB_COMPILE", "0")
    assert available(cell) == ("parallel", "loop", "scan")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_some_engine_serves_every_cell_everywhere(device, low, packed):
    for make, *_ in TABLE.values():
        names = preference(make(3, 4), device, low, packed)
        assert "loop" in names and set(names) <= set(ENGINES)


@pytest.mark.parametrize(
    ("make", "input_size", "hidden_size", "packed", "first"),
    [
        (LSTMCell, 64, 256, False, "native"),
        (LSTMCell, 65, 256, False, "scan"),
        (LSTMCell, 63, 255, False, "scan"),
        (LSTMCell, 64, 256, True, "scan"),
        (GRUCell, 64, 256, False, "scan"),
    ],
)
def test_a_large_lstm_over_a_small_input_runs_native(compiled_quickly, make, input_size, hidden_size, packed, first):
    assert choose(make(input_size, hidden_size), "auto", packed=packed) == first


def test_auto_runs_what_the_table_says_and_a_single_step_on_loop(compiled_quickly, monkeypatch):
    ran = []
    for name, engine in ENGINES.items():
        run = engine.run
        monkeypatch.setattr(engine, "run", lambda *given, run=run, name=name: ran.append(name) or run(*given))
    layer, x, lengths = Recurrent(LSTMCell(3, 4)), torch.randn(2, 5, 3), torch.tensor([5, 2])
    layer(x)
    layer(x, lengths=lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(x)
        layer(x, lengths=lengths)
    with torch.no_grad():
        layer(x[:, :1])
        layer(x)
    layer(x[:, :1])
    assert ran == ["scan", "scan", "native", "scan", "loop", "scan", "scan"]
    ran.clear()
    for backend in ("scan", "loop", "native"):  # a named engine is the one that runs, single steps too
        with torch.no_grad():
            Recurrent(LSTMCell(3, 4), backend)(x[:, :1])
    assert ran == ["scan", "loop", "native"]


def test_the_engine_of_a_layer_is_that_of_the_device_it_is_on(compiled_quickly):
    layer = Recurrent(GRUCell(3, 4))
    assert layer.engine == "scan"
    assert layer.to("meta").engine == "scan"  # counted, never run
    fixed = Recurrent(GRUCell(3, 4), "loop")
    assert fixed.to("meta").engine == "loop"
    both = Bidirectional(LSTMCell(3, 4), StepOnly(3, 4))
    assert both.engine == "scan+loop"
    assert "engine='loop'" in repr(both)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Subclass(3, 4), "native can't run this Subclass: it has kernels for RNNCell, GRUCell and LSTMCell themselves"),
        (RNNCell(3, 4, nonlinearity="sigmoid"), "native can't run this RNNCell: .*tanh and relu, not sigmoid"),
    ],
)
def test_native_says_why_it_refuses(cell, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(cell, "native")


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend: expected one of auto, native, parallel, scan, loop, got 'cudnn'"):
        Recurrent(LSTMCell(3, 4), "cudnn")


def test_native_names_a_dtype_that_is_not_its_weights():
    with pytest.raises(
        ValueError, match=r"x: expected torch.float32, the dtype of the cell's weights, got torch.float64"
    ):
        Recurrent(LSTMCell(3, 4), "native")(torch.zeros(2, 5, 3).double())
