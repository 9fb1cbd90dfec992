"""Engines in the process around them: copies, forks, compiled models, devices, dtypes and modes."""

import copy
import gc
import io
import logging
import os
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

import seqlab
from seqlab.nn import GRUCell, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, Recurrent
from seqlab.nn.engine.watch import watch_of
from tests.nn.agreement import assert_layer_agrees, batch, small_cell

pytestmark = pytest.mark.usefixtures("compiled_quickly")


# Copies


def saved_and_loaded(layer):
    stream = io.BytesIO()
    torch.save(layer, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


@pytest.mark.parametrize("make", [PeepholeLSTMCell, GRUCell])
def test_a_layer_that_has_run_can_be_copied(make):
    torch.manual_seed(0)
    layer = Recurrent(make(3, 5).double(), reverse=True)
    assert_layer_agrees(layer)
    for copied in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), saved_and_loaded):
        other = copied(layer)
        with torch.no_grad():
            for each in other.parameters():
                each.mul_(2)
        assert_layer_agrees(other)
        assert_layer_agrees(layer)
        assert other.last_run.engine == "scan"


def test_a_state_dict_is_of_weights_alone():
    layer = Recurrent(PeepholeLSTMCell(3, 5).double())
    before = list(layer.state_dict())
    assert_layer_agrees(layer)
    assert list(layer.state_dict()) == before == [f"cell.{name}" for name, _ in layer.cell.named_parameters()]


def test_a_cell_is_freed_after_use():
    gone = []
    for make in (LSTMCell, LayerNormLSTMCell):
        cell = make(3, 5).double()
        layer = Recurrent(cell)
        assert_layer_agrees(layer, without_gradients=True)
        assert watch_of(cell, "pointwise").captures
        gone += [weakref.ref(cell), weakref.ref(cell.weight_hh)]
    del cell, layer
    gc.collect()
    assert [each() for each in gone] == [None] * 4


def test_a_cell_in_two_layers_serves_both():
    torch.manual_seed(0)
    cell = PeepholeLSTMCell(3, 5).double()
    for layer in (Recurrent(cell), Recurrent(cell, reverse=True), Recurrent(cell, "scan", recompute=True)):
        assert_layer_agrees(layer)


# Forks and fresh processes


WITHOUT_A_HOME = """
import pwd
import torch
torch.set_num_threads(1)
from seqlab.nn import GRUCell, PeepholeLSTMCell, Recurrent
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
layer = Recurrent(GRUCell(5, 16))
layer(torch.randn(6, 7, 5))[0].sum().backward()
print("without a home:", layer.last_run.engine, flush=True)
"""
FORK = """
import os
cells = [kind(3, 16) for kind in (GRUCell, PeepholeLSTMCell)]
x = torch.linspace(-1, 1, 6 * 7 * 3).view(6, 7, 3)
def values(cell):
    output, _ = Recurrent(cell)(x)
    return [output, *torch.autograd.grad(output.sin().sum(), list(cell.parameters()))]
known = values(cells[0])
child = os.fork()
if child == 0:  # one of a worker's: what has run before, and a first call
    try:
        again = values(cells[0])
        right = all(torch.allclose(a, b, atol=1e-5) for a, b in zip(known, again))
        layer = Recurrent(cells[1], "loop")
        right = right and torch.allclose(values(cells[1])[0], layer(x)[0], atol=1e-5)
        os._exit(0 if right else 1)
    except BaseException as error:
        print(error, file=sys.stderr)
        os._exit(2)
print("forked:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(scope="module")
def another_process(quick_compiler):
    """A process of a user without a home, which forks once it has run."""
    left_out = ("HOME", "XDG_CACHE_HOME", "SEQLAB_KERNEL_CACHE", "SEQLAB_COMPILE")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"PYTHONPATH": str(Path(seqlab.__file__).parents[1]), "CXX": quick_compiler}
    text = f"import sys\n{WITHOUT_A_HOME}{FORK}"
    return subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=60)


def test_a_user_without_a_home(another_process):
    assert "without a home: scan" in another_process.stdout, another_process.stderr
    lines = [line for line in another_process.stderr.splitlines() if "SEQLAB_KERNEL_CACHE" in line]
    assert len(lines) == 1, another_process.stderr


def test_a_fork_of_a_process_that_has_run(another_process):
    assert "forked: 0" in another_process.stdout and another_process.returncode == 0, another_process.stderr


# Compiled models


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.filterwarnings("ignore:.*")  # torch's compiler warns of its own
def test_a_compiled_model_of_a_cell_that_steps_aside(compiled_quickly):
    def counting(self, gi, gh, state):
        self.count += 1
        return ((gi + gh).tanh() * (1 + self.count % 2),)

    torch.manual_seed(0)
    for function in (counting, lambda self, gi, gh, state: ((gi + gh).tanh(),)):
        cell = small_cell(function, count=0)
        model = nn.Sequential(nn.Linear(3, 3).double(), Recurrent(cell))
        x, _ = batch(cell, 5, 6)
        expected = model(x)[0]
        gradients = torch.autograd.grad(expected.sin().sum(), list(model.parameters()))
        cell.count = 0
        torch._dynamo.reset()
        found = torch.compile(model, backend="eager")(x)[0]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        for one, other in zip(torch.autograd.grad(found.sin().sum(), list(model.parameters())), gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    torch._dynamo.reset()


@pytest.mark.usefixtures("traced_anew")
def test_a_reset_of_torchs_compiler_changes_nothing():
    torch.manual_seed(0)
    layer = Recurrent(PeepholeLSTMCell(3, 5).double())
    assert_layer_agrees(layer)
    torch._dynamo.reset()
    assert_layer_agrees(layer)
    layer.cell.peephole_i = nn.Parameter(torch.randn(5).double())
    assert_layer_agrees(layer)


@pytest.mark.usefixtures("traced_anew")
def test_torchs_compiler_may_be_switched_off_around_a_first_call():
    layer = Recurrent(PeepholeLSTMCell(3, 5).double())
    with torch._dynamo.config.patch(disable=True):
        assert_layer_agrees(layer)


# Modes


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_default_device(device):
    torch.manual_seed(0)
    cell = GRUCell(3, 5).double()
    x, _ = batch(cell, 5, 6)
    expected = Recurrent(cell, "loop")(x)[0]
    layer = Recurrent(cell)
    with torch.device(device):
        output, _ = layer(x)
        gradients = torch.autograd.grad(output.sin().sum(), list(cell.parameters()))
        ragged, _ = layer(x, lengths=torch.tensor([6, 3, 0, 1, 6], device="cpu"))
    assert output.device.type == "cpu" and all(each.device.type == "cpu" for each in gradients)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    assert ragged.shape == output.shape


@pytest.mark.usefixtures("traced_anew")
def test_a_default_dtype():
    torch.manual_seed(0)
    layer = Recurrent(PeepholeLSTMCell(3, 5).double())
    torch.set_default_dtype(torch.float64)
    try:
        assert_layer_agrees(layer)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_layer_agrees(layer)


@pytest.mark.usefixtures("traced_anew")
def test_deterministic_algorithms():
    torch.use_deterministic_algorithms(True)
    try:
        assert_layer_agrees(Recurrent(PeepholeLSTMCell(3, 5).double()))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("traced_anew")
def test_autocast_that_comes_and_goes():
    torch.manual_seed(0)
    layer = Recurrent(PeepholeLSTMCell(3, 5))
    x = torch.randn(5, 6, 3)
    expected = Recurrent(layer.cell, "loop")(x)[0]
    for low in (False, True, False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            output, _ = layer(x)
        bound = 3e-2 if low else 1e-5
        torch.testing.assert_close(output, expected, rtol=bound, atol=bound)
        output.sum().backward()


def test_nothing_is_written_for_tools_that_nobody_asked_for(monkeypatch):
    """PyTorch's tracers would describe each graph for a log, and throw it away: a tenth of a first call's time."""
    log, described = logging.getLogger("torch.__trace"), []
    handlers = [logging.NullHandler()]
    monkeypatch.setattr(log, "handlers", handlers)
    monkeypatch.setattr(GraphModule, "print_readable", lambda *_, **__: described.append(1) or "")
    layer = Recurrent(PeepholeLSTMCell(3, 5), "scan")
    layer(torch.zeros(2, 3, 3))
    assert layer.last_run.engine == "scan"
    assert not described
    assert log.handlers is handlers


def test_a_mode_that_sees_each_operation():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.seen.append(str(function))
            return function(*args, **(kwargs or {}))

    layer = Recurrent(PeepholeLSTMCell(3, 5).double())
    assert_layer_agrees(layer)
    mode = Seeing()
    mode.seen = []
    with mode:
        layer(torch.zeros(2, 3, 3).double())
    assert sum("tanh" in each for each in mode.seen) == 2 * 3  # every step's, as a counter of operations wants it


def test_a_subclass_of_tensor_as_input():
    class Named(torch.Tensor):
        pass

    layer = Recurrent(PeepholeLSTMCell(3, 5).double())
    x, _ = batch(layer.cell, 5, 6)
    expected = Recurrent(layer.cell, "loop")(x)[0]
    output, _ = layer(x.as_subclass(Named))
    torch.testing.assert_close(output.as_subclass(torch.Tensor), expected, rtol=1e-10, atol=1e-10)
