"""Cells whose weights are parametrized or frozen, that are copied or dropped, or stand in a compiled model."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from seqlab.nn import GatedCell, LanguageModel, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, Recurrent
from seqlab.nn.engine.scan import build
from tests.models import of_cell
from tests.nn.agreement import RAGGED, assert_agrees, assert_layer_agrees, batch, small_cell

pytestmark = pytest.mark.usefixtures("either")


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


@pytest.mark.parametrize("name", ["expanded", "column", "step"])
def test_what_a_step_reads_may_have_any_layout(name):
    """The check of a compiled step read past the memory of such tensors, and blamed the step."""
    values = torch.linspace(0.1, 1.0, 33, dtype=torch.float64)
    layouts = {"expanded": values[:1].expand(5), "column": values.view(11, 3)[:5, 1], "step": values[:10:2]}
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.factor,))
    cell.register_buffer("factor", layouts[name])
    assert not cell.factor.is_contiguous()
    layer = Recurrent(cell, "scan")
    assert_layer_agrees(layer)


def test_a_column_of_a_parameter_is_compiled():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.factors[:, 1],))
    cell.factors = nn.Parameter(torch.rand(5, 2, dtype=torch.float64))
    assert_layer_agrees(Recurrent(cell, "scan"))
