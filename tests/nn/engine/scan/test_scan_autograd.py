"""The scan engine as one differentiable operation: what it keeps, its precision, and the graphs it stands in."""

import copy
import gc
import weakref
from functools import lru_cache

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from seqlab.nn import (
    GatedCell,
    GRUCell,
    IndRNNCell,
    LanguageModel,
    LayerNormLSTMCell,
    LSTMCell,
    PeepholeLSTMCell,
    Recurrent,
)
from seqlab.nn.engine.scan import build
from seqlab.nn.engine.scan.program import Program
from tests.models import of_cell
from tests.nn.agreement import RAGGED, Same, assert_agrees, batch, results


@pytest.fixture(params=["compiled", "uncompiled"], autouse=True)
def either(request):
    """Each test with and without a compiled step."""
    request.getfixturevalue({"compiled": "compiled_quickly"}.get(request.param, request.param))
    return request.param


@lru_cache
def cell_of(make, *sizes):
    """One cell for all tests that only run it, so that its step is looked at once."""
    torch.manual_seed(0)
    return make(*sizes).double()


@pytest.mark.parametrize("lengths", [None, (2, 0, 3)])
@pytest.mark.parametrize("make", [LSTMCell, LayerNormLSTMCell])
def test_gradients_are_exact(make, lengths):
    cell = cell_of(make, 2, 3)
    layer, (x, state) = Recurrent(cell, "scan"), batch(cell, 3, 3)
    counts = None if lengths is None else torch.tensor(lengths)

    def run(x, *others):
        output, final = layer(x, others[: len(state)], counts)
        return output, *final

    leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state)]
    assert torch.autograd.gradcheck(run, (*leaves, *cell.parameters()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize("make", [LSTMCell, LayerNormLSTMCell, IndRNNCell])
def test_a_second_derivative_is_that_of_loop(make, lengths, reverse):
    """A gradient penalty, of every result, in everything that is learned."""
    cell = cell_of(make, 3, 9)
    counts, found = None if lengths is None else torch.tensor(lengths), []
    for backend in ("scan", "loop"):
        x, state = batch(cell, 5, 6)
        leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), *cell.parameters()]
        output, final = Recurrent(cell, backend, reverse)(x, state, counts)
        loss = (output**3).sum() + sum((part.sin() * (k + 1)).sum() for k, part in enumerate(final))
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        found.append([*first, *torch.autograd.grad(sum((each**2).sum() for each in first), leaves)])
    assert any(each.abs().sum() > 0 for each in found[0][len(leaves) :])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, (2, 0, 3)])
def test_second_derivatives_are_exact(lengths, reverse):
    cell = cell_of(PeepholeLSTMCell, 2, 3)
    layer, (x, state) = Recurrent(cell, "scan", reverse), batch(cell, 3, 3)
    counts = None if lengths is None else torch.tensor(lengths)

    def run(x, h, c, *_):
        output, final = layer(x, (h, c), counts)
        return output, *final

    leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), cell.weight_hh, cell.peephole_o]
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


def test_a_graph_that_is_kept_gives_the_same_gradients_again():
    cell = LayerNormLSTMCell(3, 17)
    x, state = batch(cell, 5, 6, torch.float32)
    x.requires_grad_()
    output, final = Recurrent(cell, "scan")(x, state)
    loss, leaves = output.square().sum() + final[1].sum(), [x, *cell.parameters()]
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    second = torch.autograd.grad(loss, leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_only_what_asks_for_it_gets_a_gradient_and_it_is_the_same():
    cell = PeepholeLSTMCell(3, 17).double()
    x, state = batch(cell, 5, 6)
    whole = results(cell, "loop", x, state)
    leaves = {"x": x, "h": state[0], "c": state[1], **dict(cell.named_parameters())}
    draw = torch.Generator().manual_seed(7)  # the weights of `results`
    for learned in (["x"], ["weight_hh"], ["bias_hh"], ["peephole_i"], ["weight_ih", "c"], ["h"]):
        for name, leaf in leaves.items():
            leaf.requires_grad_(name in learned).grad = None
        output, final = Recurrent(cell, "scan")(x, state)
        parts = (output, *final)
        draw.manual_seed(7)
        weights = [torch.randn(part.shape, generator=draw, dtype=torch.float64) for part in parts]
        sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True)).backward()
        for name, leaf in leaves.items():
            if name not in learned:
                assert leaf.grad is None
                continue
            expected = whole[f"gradient of initial {name}" if name in "hc" else f"gradient of {name}"]
            torch.testing.assert_close(leaf.grad, expected, rtol=1e-10, atol=1e-10)


def test_a_loss_of_some_results_alone_gives_its_gradients():
    cell = cell_of(LSTMCell, 3, 17)
    for pick in (lambda o, f: o[:, 2], lambda o, f: f[0], lambda o, f: f[1]):
        pairs = []
        for backend in ("scan", "loop"):
            x, state = batch(cell, 5, 6)
            x.requires_grad_()
            pairs.append(
                torch.autograd.grad(pick(*Recurrent(cell, backend)(x, state)).sin().sum(), [x, *cell.parameters()])
            )
        for one, other in zip(*pairs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def checkpointed():
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)


def kept_bytes(layer, x, state=None):
    """How much a forward pass saves for the backward pass, beside its inputs and parameters."""
    sizes, own = {}, {each.untyped_storage().data_ptr() for each in (x, *layer.parameters())}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = layer(x, state)
    assert kept[0].requires_grad
    return sum(sizes.values())


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


@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize("backend", ["scan", "native", "auto"])
def test_results_changed_in_place_are_served_as_on_loop(backend, lengths):
    cell = cell_of(LSTMCell, 3, 17)
    counts, found = None if lengths is None else torch.tensor(lengths), []
    for name, in_place in ((backend, True), ("loop", True), ("loop", False)):
        x, state = batch(cell, 5, 6)
        leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), *cell.parameters()]
        output, (h, c) = Recurrent(cell, name)(x, state, counts)
        if in_place:
            output.mul_(2)
            output[:, 1].relu_()
            c.add_(1)
        else:
            output = output * 2
            output = torch.cat((output[:, :1], output[:, 1:2].relu(), output[:, 2:]), 1)
            c = c + 1
        loss = output.square().sum() + (h * c).sum()
        found.append([output.detach(), c.detach(), *torch.autograd.grad(loss, leaves)])
    for one, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_weight_changed_in_between_is_noticed():
    cell = PeepholeLSTMCell(3, 17)
    for name in ("weight_hh", "peephole_i"):
        output, _ = Recurrent(cell, "scan")(torch.randn(2, 4, 3))
        with torch.no_grad():
            getattr(cell, name).mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()


def test_inputs_and_states_are_left_as_they_were():
    cell = Same(8, 8)
    for rows, steps in ((1, 6), (5, 1), (5, 6)):
        assert_agrees(cell, rows, steps)
        x, state = batch(cell, rows, steps)
        before = [x.clone(), *(part.clone() for part in state)]
        results(cell, "scan", x, state)
        Recurrent(cell, "scan")(x, state)[0].sum().backward()
        assert all(torch.equal(one, other) for one, other in zip([x, *state], before, strict=True))


def test_a_projection_that_its_own_gradient_needs_is_left_alone():
    class Squashed(LSTMCell):
        def project(self, x):
            return super().project(x).tanh()

    cell = Squashed(3, 17)
    for lengths in (RAGGED, None):
        assert_agrees(cell, lengths=lengths)


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


class Squashing(nn.Module):
    def forward(self, weight):
        return weight.tanh()


class Counting(Squashing):
    """A Python side effect, which a step that reads the weight may not have."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, weight):
        self.calls += 1
        return super().forward(weight)


@pytest.mark.parametrize("name", ["weight_hh", "weight_ih", "bias_hh"])
def test_parametrized_weights_have_right_gradients_and_are_computed_once_a_call(name):
    cell = PeepholeLSTMCell(3, 17)
    counting = Counting()
    parametrize.register_parametrization(cell, name, counting)
    assert_agrees(cell)
    x, state = batch(cell, 5, 6)
    layer = Recurrent(cell, "scan")
    counting.calls = 0
    layer(x, state)
    assert counting.calls == 1


def test_a_parametrized_peephole_is_served_and_one_that_counts_in_python_is_refused():
    cell = PeepholeLSTMCell(3, 17)
    parametrize.register_parametrization(cell, "peephole_i", Squashing())
    assert_agrees(cell)
    counting = Counting()
    other = PeepholeLSTMCell(3, 17)
    parametrize.register_parametrization(other, "peephole_i", counting)
    x, state = batch(other.double(), 5, 6)
    with pytest.raises(ValueError, match=r"scan can't run this .*it changes self.parametrizations.peephole_i"):
        Recurrent(other, "scan")(x, state)
    layer = Recurrent(other)
    layer(x, state)
    assert layer.last_run.engine == "loop"
    counting.calls = 0
    layer(x, state)
    assert counting.calls == 1


def test_weight_norm_agrees():
    cell = LSTMCell(3, 17)
    parametrizations.weight_norm(cell, "weight_hh")
    assert_agrees(cell, lengths=RAGGED)


def test_a_parametrization_made_or_removed_after_the_first_call_counts():
    cell = PeepholeLSTMCell(3, 17)
    assert_agrees(cell)
    parametrize.register_parametrization(cell, "peephole_i", Squashing())
    assert_agrees(cell)
    parametrize.remove_parametrizations(cell, "peephole_i")
    assert_agrees(cell)


def test_a_cell_frozen_in_part_trains_the_rest():
    cell = LayerNormLSTMCell(3, 17)
    for name in ("weight_hh", "norm_weight_c"):
        getattr(cell, name).requires_grad_(False)
    assert_agrees(cell)
    x, state = batch(cell, 5, 6)
    Recurrent(cell, "scan")(x, state)[0].sum().backward()
    assert {name for name, each in cell.named_parameters() if each.grad is None} == {"weight_hh", "norm_weight_c"}


def test_what_a_step_does_in_training_and_in_evaluation_may_differ():
    class Mode(GatedCell):
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() if self.training else (gi + gh).sigmoid(),)

    cell = Mode(3, 5)
    for mode in (True, False, True):
        assert_agrees(cell.train(mode))


def test_a_cell_that_is_dropped_is_freed():
    cell = LSTMCell(3, 17)
    assert_agrees(cell)
    gone = weakref.ref(cell)
    del cell
    gc.collect()
    assert gone() is None


def test_a_copied_cell_computes_with_its_own_weights():
    cell = PeepholeLSTMCell(3, 17)
    assert_agrees(cell)
    other = copy.deepcopy(cell)
    with torch.no_grad():
        other.peephole_f.mul_(3)
    assert_agrees(other)
    assert_agrees(cell)


class UserLSTM(GatedCell):
    num_gates = 4
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        i, f, g, o = (gi + gh).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # torch's compiler
def test_a_compiled_model_has_one_break_a_layer_and_an_exported_one_has_none(either):
    if either == "uncompiled":
        pytest.skip("once is enough")
    from torch._dynamo.utils import counters

    model = of_cell(LanguageModel, 50, cell=UserLSTM, hidden_size=17, num_layers=2)
    x = torch.randint(0, 50, (4, 9))
    expected = model(x)[0]
    expected.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    before = build.compilations
    counters.clear()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager")
    output = compiled(x)[0]
    output.square().sum().backward()
    torch.testing.assert_close(output, expected)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    for rows, steps in ((4, 5), (3, 9), (7, 20)):
        x = torch.randint(0, 50, (rows, steps))
        torch.testing.assert_close(compiled(x)[0], model(x)[0])
    assert build.compilations == before
    assert all("native call" in reason for reason in counters["graph_break"]), counters["graph_break"]
    model.eval()
    with torch.no_grad():
        state = model.initial_state(2)
        x = torch.randint(0, 50, (2, 1))
        program = torch.export.export(model, (x, state))
        torch.testing.assert_close(program.module()(x, state), model(x, state))
