"""What is replaced where torch's kernels or scans over all of time stand for a cell is followed; and its dtype."""

import types

import pytest
import torch
from torch.nn.utils import parametrizations

from seqlab.nn import GatedCell, GRUCell, LSTMCell, MinGRUCell, PeepholeLSTMCell, Recurrent, RNNCell
from tests.nn.agreement import assert_layer_agrees, batch

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step is compiled, the same ones once a session


SHIPPED = {
    "native": (RNNCell, "pointwise", lambda self, gi, gh, state: ((gi + gh).sigmoid(),)),
    "native, project": (GRUCell, "project", lambda self, x: GatedCell.project(self, x) * 2),
    "native, output": (LSTMCell, "output", lambda self, state: state[1]),
    "native, step": (RNNCell, "step", lambda self, gi, state: (gi * 0.5 + state[0],)),
    "native, product": (RNNCell, "product", lambda self, h: h * 0.5),
    "parallel": (MinGRUCell, "coefficients", lambda self, gi: (gi.chunk(2, -1)[0].sigmoid(), gi.chunk(2, -1)[1])),
    "parallel, pointwise": (MinGRUCell, "pointwise", lambda self, gi, gh, state: (gi.chunk(2, -1)[0] + state[0],)),
    "parallel, project": (MinGRUCell, "project", lambda self, x: GatedCell.project(self, x) * 2),
    "parallel, output": (MinGRUCell, "output", lambda self, state: state[0] * 2),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_native_and_parallel_follow_a_method_that_is_replaced(monkeypatch, name):
    """Or step aside: by name they refuse in one line what they would compute otherwise. And back again."""
    make, method, function = SHIPPED[name]
    torch.manual_seed(0)
    cell = make(3, 5).double()
    backend = name.split(",")[0]
    layer, automatic = Recurrent(cell, backend), Recurrent(cell)
    ways = {
        "class": lambda patch: patch.setattr(make, method, function),
        "instance": lambda patch: patch.setitem(vars(cell), method, types.MethodType(function, cell)),
        "code": lambda patch: patch.setattr(getattr(make, method), "__code__", function.__code__),
    }
    if method not in vars(make):
        del ways["code"]  # its code is a base class's
    for way in ways.values():
        before = assert_layer_agrees(layer)
        assert_layer_agrees(automatic)
        with monkeypatch.context() as patch:
            way(patch)
            after = assert_layer_agrees(automatic)
            assert not torch.allclose(before, after, rtol=1e-3, atol=1e-3)
            try:
                assert_layer_agrees(layer)
            except ValueError as error:
                assert str(error).startswith(f"backend: {backend} can't run this") and "\n" not in str(error)


def test_native_follows_the_nonlinearity():
    cell = RNNCell(3, 5).double()
    layer = Recurrent(cell, "native")
    assert_layer_agrees(layer)
    cell.nonlinearity = "relu"
    assert_layer_agrees(layer)
    cell.nonlinearity = "sigmoid"
    with pytest.raises(ValueError, match=r"native can't run this RNNCell: .*not sigmoid"):
        layer(torch.randn(2, 3, 3).double())


@pytest.mark.parametrize(
    ("backend", "dtype"),  # "auto" runs on scan here, which so begins in either precision
    [("auto", torch.float64), ("scan", torch.float32), ("native", torch.float64), ("native", torch.float32)],
)
def test_a_layer_follows_its_dtype(backend, dtype):
    layer = Recurrent(LSTMCell(3, 5), backend)
    for each in (dtype, torch.float32, torch.float64):
        layer.to(each)
        assert_layer_agrees(layer, tolerance=1e-10 if each == torch.float64 else 1e-5)
    assert layer.last_run.engine == ("native" if backend == "native" else "scan")


def test_a_layer_follows_what_is_to_be_learned():
    cell = PeepholeLSTMCell(3, 5).double()
    layer = Recurrent(cell)
    assert_layer_agrees(layer)
    for name in ("weight_ih", "weight_hh", "bias_hh", "peephole_f"):
        for learned in (False, True):
            getattr(cell, name).requires_grad_(learned)
            assert_layer_agrees(layer)
    cell.requires_grad_(False)
    assert_layer_agrees(layer)


def test_a_cell_that_is_replaced_in_its_layer_is_the_one_that_runs():
    layer, x = Recurrent(LSTMCell(3, 256)), torch.randn(2, 4, 3)
    layer(x)
    assert layer.last_run.engine == "native"
    layer.cell = PeepholeLSTMCell(3, 256)
    assert layer.engine == "scan"
    torch.testing.assert_close(layer(x), Recurrent(layer.cell, "loop")(x), rtol=1e-4, atol=1e-5)
    assert layer.last_run.engine == "scan"


@pytest.mark.parametrize(("backend", "kind"), [("scan", GRUCell), ("native", GRUCell), ("parallel", MinGRUCell)])
def test_a_method_replaced_on_the_class_that_a_parametrization_makes(monkeypatch, backend, kind):
    cell = parametrizations.weight_norm(kind(3, 5).double(), "weight_ih")
    layer = Recurrent(cell, "auto" if backend == "native" else backend)
    for name in ("project", "output"):
        assert_layer_agrees(layer)
        own = getattr(type(cell), name)
        with monkeypatch.context() as patch:
            patch.setattr(type(cell), name, lambda self, given, own=own: own(self, given) * 0.5)
            if backend == "scan" or (backend, name) == ("parallel", "project"):
                assert_layer_agrees(layer)
            else:
                with pytest.raises(ValueError, match="use backend"):
                    Recurrent(cell, backend)(batch(cell, 2, 3)[0])
                assert_layer_agrees(Recurrent(cell))
