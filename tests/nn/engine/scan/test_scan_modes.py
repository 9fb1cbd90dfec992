"""What the scan engine keeps for a backward pass, first calls in any mode, and its precision."""

import copy

import pytest
import torch
from torch.nn.utils import parametrize

from seqlab.nn import GatedCell, GRUCell, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, Recurrent
from seqlab.nn.engine.scan.program import Program
from tests.nn.agreement import RAGGED, assert_agrees, batch, results
from tests.nn.memory import kept_bytes

pytestmark = pytest.mark.usefixtures("either")


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def checkpointed():
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)


def test_without_gradients_nothing_is_kept(monkeypatch, either):
    cell = LSTMCell(3, 17)
    x, state = batch(cell, 5, 6, torch.float32)
    layer = Recurrent(cell, "scan")

    def run():
        cell.requires_grad_(True)
        learned, _ = layer(x, state)
        with torch.no_grad():
            output, final = layer(x, state)
        with torch.inference_mode():
            inferred, _ = layer(x, state)
        cell.requires_grad_(False)
        frozen, _ = layer(x, state)
        assert output.grad_fn is None and final[0].grad_fn is None and frozen.grad_fn is None
        expected = learned.detach()
        assert all(torch.equal(each, expected) for each in (output, inferred, frozen))

    run()  # a step is compared with the cell before its first use in each mode
    forward, saves = Program.forward, []
    monkeypatch.setattr(Program, "forward", lambda self, *given: saves.append(given[6]) or forward(self, *given))
    run()
    assert saves == ([True, False, False, False] if either == "compiled" else [])


def test_it_keeps_seven_numbers_a_unit_and_step_for_an_lstm(either):
    layer, x = Recurrent(LSTMCell(8, 32), "scan"), torch.randn(4, 64, 8)
    kept = kept_bytes(layer, x) / (4 * 64 * 32 * 4)
    assert kept < (7.6 if either == "compiled" else 10.6), kept  # and the initial state


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, parametrize.cached, autocast, checkpointed])
def test_a_first_call_may_be_made_in_any_mode(mode):
    cell = PeepholeLSTMCell(3, 17).double()
    x, state = batch(cell, 5, 6)
    with mode():
        Recurrent(cell, "scan")(x, state)
    assert_agrees(cell)


@pytest.mark.parametrize("make", [LSTMCell, LayerNormLSTMCell])
def test_under_autocast_it_is_near_loop_in_float32(make):
    torch.manual_seed(0)
    cell = make(16, 17)
    x, state = batch(cell, 5, 6, torch.float32)
    for lengths in (None, RAGGED):
        expected = results(cell, "loop", x, state, lengths)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = results(cell, "scan", x, state, lengths)
            output, final = Recurrent(cell, "scan")(x.bfloat16())
        assert output.dtype == torch.float32 and {part.dtype for part in final} == {torch.float32}
        for name, each in expected.items():
            assert found[name].dtype == torch.float32
            error = float((found[name] - each).norm() / each.norm().clamp(min=1e-6))
            assert error < 2e-2, (name, error)


def test_float16_autocast_is_near_too():
    cell = GRUCell(16, 17)
    x, state = batch(cell, 5, 6, torch.float32)
    expected = results(cell, "loop", x, state)
    with torch.autocast("cpu", dtype=torch.float16):
        found = results(cell, "scan", x, state)
    for name, each in expected.items():
        assert float((found[name] - each).norm() / each.norm()) < 1e-2, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cell_of_16_bits_computes_in_float32_and_answers_in_16(dtype):
    cell = LSTMCell(16, 17).to(dtype)
    x, state = batch(cell, 5, 6, torch.float32)
    x, state = x.to(dtype), tuple(part.to(dtype) for part in state)
    found = results(cell, "scan", x, state)
    assert {each.dtype for each in found.values()} == {dtype}
    exact = copy.deepcopy(cell).double()
    expected = results(exact, "loop", x.double(), tuple(part.double() for part in state))
    for name, each in expected.items():
        assert float((found[name].double() - each).norm() / each.norm()) < 2e-2, name


def test_what_a_step_does_in_training_and_in_evaluation_may_differ():
    class Mode(GatedCell):
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() if self.training else (gi + gh).sigmoid(),)

    cell = Mode(3, 5)
    for mode in (True, False, True):
        assert_agrees(cell.train(mode))
