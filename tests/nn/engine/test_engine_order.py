"""What ``project`` and ``output`` change beside what they give is seen by the steps, as in a hand-written loop; so is
what is replaced in PyTorch itself, and tensors of classes of their own."""

import copy
import sys
import threading
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn import GatedCell, GRUCell, LinearCell, LSTMCell, MinGRUCell, Recurrent
from seqlab.nn.engine.weights import cached_weights

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def by_hand(cell, x):
    state = cell.initial_state(x.size(0), like=x)
    outputs = []
    with cached_weights(cell):
        for gi in cell.project(x).unbind(1):
            state = cell.step(gi, state)
            outputs.append(cell.output(state))
    return torch.stack(outputs, 1), state


def assert_calls_agree(make, engine, backend="auto", calls=3, change=None, gradients=True):
    """Several calls on end, each with its gradients, against the loop by hand over an equal cell."""
    fast, slow = make().double(), make().double()
    slow.load_state_dict(fast.state_dict())
    layer = Recurrent(fast, backend)
    for seed in range(calls):
        if change is not None and seed:
            change(fast)
            change(slow)
        found = []
        for cell, run in ((fast, layer), (slow, lambda x: by_hand(slow, x))):
            torch.manual_seed(seed)
            x = torch.randn(4, 5, 3, dtype=torch.float64).requires_grad_(gradients)
            with torch.set_grad_enabled(gradients):
                output, final = run(x)
            leaves = [x, *cell.parameters()]
            loss = output.sin().sum() + final[0].pow(3).sum()
            rest = torch.autograd.grad(loss, leaves, allow_unused=True) if gradients else ()
            found.append([output, *final, *(each for each in rest if each is not None), *cell.buffers()])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert layer.last_run.engine == engine


class Cell(GatedCell):
    num_gates = 1
    scale: Tensor | float = 1.0

    def __init__(self):
        super().__init__(3, 5)
        self.register_buffer("mean", torch.ones(5))

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() * self.scale + gi,)


# project


class DrawsAMask(Cell):
    """A dropout mask that is the same at all steps."""

    def project(self, x):
        self.scale = (torch.rand(5) > 0.5).to(x.dtype)
        return GatedCell.project(self, x)


class SetsANumber(Cell):
    def project(self, x):
        self.scale = float(x.detach().abs().mean())
        return GatedCell.project(self, x)


class SetsASwitch(Cell):
    calls = 0

    def project(self, x):
        self.calls += 1
        return GatedCell.project(self, x)

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() if self.calls % 2 else (gi + gh).sigmoid(),)


class MakesAStepThatKeeps(SetsASwitch):
    def pointwise(self, gi, gh, state):
        if self.calls == 2:
            self.last = state[0].detach()
        return ((gi + gh).tanh(),)


class LinearMask(LinearCell):
    num_gates = 2
    scale: Tensor | float = 1.0
    project = DrawsAMask.project

    def coefficients(self, gi):
        a, b = gi.chunk(2, -1)
        return a.sigmoid(), b * self.scale


class LinearStatistics(LinearCell):
    """Coefficients that are of each row alone at every other call."""

    num_gates = 2
    calls = 0
    project = SetsASwitch.project

    def coefficients(self, gi):
        a, b = gi.chunk(2, -1)
        return a.sigmoid(), b if self.calls % 2 else b - b.mean(0)


@pytest.mark.parametrize("make", [DrawsAMask, SetsANumber, SetsASwitch])
def test_a_step_sees_what_project_has_set_in_this_call(make):
    assert_calls_agree(make, "scan")


def test_a_linear_cell_too():
    def make():
        return LinearMask(3, 5)

    assert_calls_agree(make, "parallel", "parallel")
    assert_calls_agree(lambda: LinearStatistics(3, 5), "scan", calls=2)


def test_a_step_that_project_has_made_impossible_to_compile_runs_once_on_loop(caplog):
    assert_calls_agree(MakesAStepThatKeeps, "scan", calls=2)
    assert "since its project has changed what they read" in caplog.text
    with pytest.raises(ValueError, match=r"^backend: scan can't run this MakesAStepThatKeeps: it changes self"):
        assert_calls_agree(MakesAStepThatKeeps, "scan", "scan", calls=2)


# output


class CountsInPython(Cell):
    def output(self, state):
        self.scale = self.scale * 0.5 + 0.3
        return state[0]


class KeepsItsState(Cell):
    def output(self, state):
        self.scale = state[0].detach().mean(0)
        return state[0]


class Averages(Cell):
    def output(self, state):
        self.mean.mul_(0.5).add_(state[0].detach().mean(0))
        return state[0] * 1

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() * self.mean.clone(),)


class DecaysAWeight(Cell):
    def output(self, state):
        self.weight_hh.detach().mul_(0.9)
        return state[0] * 1


class InPlace(Cell):
    def output(self, state):
        return functional.relu(state[0], inplace=True)


class AveragesForItself(Cell):
    """No step reads what this changes."""

    def output(self, state):
        self.mean.mul_(0.5).add_(state[0].detach().mean(0))
        return state[0] - self.mean.clone()


@pytest.mark.parametrize(
    ("make", "gradients", "engine"),
    [
        (CountsInPython, True, "loop"),
        (KeepsItsState, True, "loop"),
        (Averages, True, "loop"),
        (DecaysAWeight, False, "loop"),
        (InPlace, False, "loop"),
        (AveragesForItself, True, "scan"),
    ],
)
def test_a_step_sees_what_the_output_of_the_step_before_has_changed(make, gradients, engine):
    assert_calls_agree(make, engine, gradients=gradients)
    if engine == "loop":
        with pytest.raises(ValueError, match=rf"^backend: scan can't run this {make.__name__}: it"):
            assert_calls_agree(make, engine, "scan", gradients=gradients)


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


# One computation a call of what is made from others


class CountsItsUses(nn.Module):
    uses = 0

    def forward(self, weight):
        self.uses += 1
        return weight / (1 + self.uses)


def test_a_weight_that_project_reads_too_is_computed_once_a_call():
    class Scaled(Cell):
        def project(self, x):
            return GatedCell.project(self, x) * self.weight_hh.norm()

    def make():
        cell = Scaled()
        nn.utils.parametrize.register_parametrization(cell, "weight_hh", CountsItsUses(), unsafe=True)
        cell.parametrizations.weight_hh[0].uses = 0
        return cell

    assert_calls_agree(make, "scan")


def test_a_step_reads_what_is_made_from_others_beside_a_project_of_its_own(caplog):
    """Within the call, a weight that is made from others is kept: the step is not to be captured from what is kept."""

    class Levelled(Cell):
        project = DrawsAMask.project

        def __init__(self):
            super().__init__()
            self.level = nn.Parameter(torch.linspace(0.1, 1, 5))

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() * self.scale * self.level,)

    def make():
        cell = Levelled()
        nn.utils.parametrize.register_parametrization(cell, "level", nn.Softplus())
        return cell

    def change(cell):
        with torch.no_grad():
            cell.parametrizations.level.original.mul_(2)

    for backend in ("auto", "scan"):
        assert_calls_agree(make, "scan", backend, change=change)
    assert "its steps run on loop" not in caplog.text


# A part of the state that all rows share, and a backward pass that looks at all of them


class SharedState(GatedCell):
    num_gates, state_names = 1, ("h", "level")

    def __init__(self):
        super().__init__(3, 5)
        self.level = nn.Parameter(torch.linspace(0, 1, 5))

    def pointwise(self, gi, gh, state):
        return (gi + gh + state[1]).tanh(), self.level.expand_as(gi) * 2


class SharedStateAlone(Cell):
    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.linspace(0, 1, 5))

    def pointwise(self, gi, gh, state):
        return (self.level.expand_as(gi),)


@pytest.mark.parametrize("make", [SharedState, SharedStateAlone])
def test_a_part_of_the_state_may_be_that_of_a_parameter_alone(make):
    fast = make().double()
    slow = copy.deepcopy(fast)
    layer = Recurrent(fast)
    x = torch.randn(40, 5, 3, dtype=torch.float64)
    found = []
    for cell, run in ((fast, layer), (slow, lambda x: by_hand(slow, x))):
        output, final = run(x)
        (output.sin().sum() + final[-1].pow(3).sum()).backward()
        found.append([output, *final, cell.level.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert layer.last_run.engine == "scan"


def test_an_output_whose_backward_pass_looks_at_all_rows():
    class Normed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient / gradient.norm()

    class Own(Cell):
        def output(self, state):
            return Normed.apply(state[0])

    assert_calls_agree(Own, "scan")


@pytest.mark.usefixtures("traced_anew")
def test_first_calls_from_many_threads_leave_no_mode_on(compiled_quickly):
    """PyTorch's tracers turn anomaly detection on meanwhile, for the whole process."""
    interval, filters = sys.getswitchinterval(), list(warnings.filters)
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(3):
            layers = [Recurrent(MinGRUCell(3, 4), "parallel") for _ in range(4)]
            threads = [threading.Thread(target=layer, args=(torch.ones(2, 5, 3),)) for layer in layers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not torch.is_anomaly_enabled()
            assert all(layer.last_run.engine == "parallel" for layer in layers)
    finally:
        sys.setswitchinterval(interval)
    assert warnings.filters == filters
