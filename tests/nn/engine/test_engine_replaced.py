"""Tensors of a class and functions of PyTorch that are replaced between calls, and tensors of classes of their own."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn import GRUCell, LSTMCell, Recurrent
from tests.nn.engine.by_hand import Cell, assert_calls_agree, by_hand

pytestmark = pytest.mark.usefixtures("compiled_quickly")


# Classes with arrays among their attributes


def with_class_attribute(name):
    return lambda: type("Own", (Cell,), {name: torch.full((5,), 0.7, dtype=torch.float64)})()


@pytest.mark.parametrize("name", ["scale", "unused"])
def test_a_tensor_of_the_class_may_be_replaced(name):
    def change(cell):
        setattr(type(cell), name, torch.linspace(0, 1, 5, dtype=torch.float64))

    assert_calls_agree(with_class_attribute(name), "scan", calls=2, change=change)


def test_a_tensor_that_is_a_default_may_be_replaced():
    first = torch.full((5,), 0.7, dtype=torch.float64)

    def make():
        def pointwise(self, gi, gh, state, scale=first):
            return ((gi + gh).tanh() * scale,)

        return type("Own", (Cell,), {"pointwise": pointwise})()

    def change(cell):
        type(cell).pointwise.__defaults__ = (torch.linspace(0, 1, 5, dtype=torch.float64),)

    assert_calls_agree(make, "scan", calls=2, change=change)


# PyTorch itself


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("kind", [GRUCell, LSTMCell, Cell])
def test_a_method_of_all_tensors_that_is_replaced_counts(kind, monkeypatch):
    def change(cell):
        monkeypatch.setattr(Tensor, "tanh", torch.Tensor.relu)

    assert_calls_agree(lambda: kind() if kind is Cell else kind(3, 5), "scan", calls=2, change=change)
    monkeypatch.undo()
    if kind is not Cell:
        with pytest.raises(ValueError, match=r"can't run this .*: its kernels compute .* was replaced"):
            assert_calls_agree(lambda: kind(3, 5), "native", "native", calls=2, change=change)


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("kind", [GRUCell, LSTMCell])
def test_a_product_that_is_replaced_counts(kind, monkeypatch):
    linear = functional.linear

    def change(cell):
        monkeypatch.setattr(functional, "linear", lambda x, weight, bias=None: linear(x, weight * 0.5, bias))

    assert_calls_agree(lambda: kind(3, 5), "loop", calls=2, change=change)


@pytest.mark.usefixtures("traced_anew")
def test_a_hook_on_all_modules_counts():
    class Modular(Cell):
        def __init__(self):
            super().__init__()
            self.last = nn.Tanh()

        def pointwise(self, gi, gh, state):
            return (self.last(gi + gh),)

    def halve(module, given, result):
        return result * 0.5 if isinstance(module, nn.Tanh) else None

    handles = []

    def change(cell):
        if not handles:
            handles.append(nn.modules.module.register_module_forward_hook(halve))

    try:
        assert_calls_agree(Modular, "loop", calls=2, change=change)
    finally:
        handles[0].remove()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_the_meta_device_there_are_shapes_alone(dtype):
    for kind in (LSTMCell, GRUCell):
        layer = Recurrent(kind(3, 5)).to("meta", dtype)
        output, (h, *_) = layer(torch.empty(4, 6, 3, device="meta", dtype=dtype), lengths=None)
        assert output.shape == (4, 6, 5) and h.shape == (4, 5) and output.is_meta and h.dtype == dtype


# Tensors with rules of their own


class Halving(Tensor):
    """Products with it are half as large."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        result = super().__torch_function__(function, types, args, kwargs or {})
        return result.as_subclass(Tensor) * 0.5 if function is functional.linear else result


class Quantized(Tensor):
    """Whole numbers and their size, with no numbers in memory where a kernel would look for them."""

    def __new__(cls, whole, size):
        return Tensor._make_wrapper_subclass(cls, whole.shape, dtype=torch.float64)

    def __init__(self, whole, size):
        self.whole, self.size_of_one = whole, size

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.detach.default:
            return args[0]
        plain = [each.whole.double() * each.size_of_one if isinstance(each, cls) else each for each in args]
        return function(*plain, **(kwargs or {}))


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "scale"])
@pytest.mark.parametrize("kind", ["a function of its own", "no memory of its own"])
@pytest.mark.parametrize("cell", [Cell(), LSTMCell(3, 5)], ids=["own", "lstm"])
def test_a_weight_of_another_class_of_tensors(cell, name, kind):
    cell = copy.deepcopy(cell).double()
    value = getattr(cell, name).detach() if name != "scale" else torch.linspace(0, 1, 5, dtype=torch.float64)
    value = value.as_subclass(Halving) if kind[0] == "a" else Quantized((value * 100).round().to(torch.int8), 0.01)
    setattr(cell, name, value if name == "scale" else nn.Parameter(value, requires_grad=False))
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    with torch.no_grad():
        (output, _), (expected, _) = Recurrent(cell)(x), by_hand(cell, x)
    torch.testing.assert_close(output.as_subclass(Tensor), expected.as_subclass(Tensor), rtol=1e-10, atol=1e-10)
