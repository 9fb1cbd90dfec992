"""What a step is lowered to, read as text and run by a second printer, without a compiler."""

import ctypes
import logging

import pytest
import torch

from seqlab.nn import GatedCell, GRUCell, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, RNNCell, SLSTMCell
from seqlab.nn.engine import scan
from seqlab.nn.engine.scan import build, execution, readiness
from seqlab.nn.engine.scan.arguments import FIELDS, structure_text, structure_type
from tests.nn.agreement import RAGGED, assert_agrees, programs_of
from tests.nn.engine.scan import odd_cells as odd
from tests.nn.engine.scan.second_printer import SecondProgram

SHIPPED = (RNNCell, GRUCell, LSTMCell, LayerNormLSTMCell, PeepholeLSTMCell, SLSTMCell)
ODD = (
    *(odd.Views, odd.Slices, odd.Activations, odd.Choices, odd.Sums, odd.Norms, odd.Learned, odd.Passing),
    *(odd.WithoutInput, odd.WithoutProduct, odd.Wide),
)
SOME_FIRST = torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) < 0.3


@pytest.fixture
def second(monkeypatch):
    """Layers run on the second printer; whatever would start a compiler fails."""
    monkeypatch.delenv("SEQLAB_COMPILE", raising=False)
    monkeypatch.setattr(execution, "_warned", set())
    monkeypatch.setattr(readiness, "Program", SecondProgram)
    for module in (readiness, scan):
        monkeypatch.setattr(module, "compiles", lambda: True)
    monkeypatch.setattr(build, "load", lambda text: pytest.fail("a compiler was started"))


@pytest.mark.parametrize("make", [*SHIPPED, *ODD])
def test_a_second_printer_agrees_with_autograd(second, make):
    torch.manual_seed(1)
    cell = make(3, 11)
    for lengths, is_first in ((None, None), (RAGGED, None), (RAGGED, SOME_FIRST)):
        assert_agrees(cell, lengths=lengths, is_first=is_first)
    assert programs_of(cell), execution._warned


def lowered(cell):
    """What a layer of ``cell`` ran on, while ``second`` is in place."""
    scan.run(cell, torch.randn(2, 3, cell.input_size), cell.initial_state(2, like=torch.zeros(1)), None)
    (program,) = programs_of(cell)
    return program.lowered


def test_an_elman_step_reads_as_one_writes_it(second):
    torch.manual_seed(1)
    assert (
        str(lowered(RNNCell(3, 5)).step)
        == """step
  each lane j < 5:
    prefetch gi[j]
    v1 = gi[j]
    v2 = gh.0[j]
    v3 = add(v1, v2)
    v4 = tanh(v3)
    next.0[j] = v4"""
    )


def test_an_elman_adjoint_reads_its_tanh_alone_in_the_place_of_its_sum(second):
    torch.manual_seed(1)
    program = lowered(RNNCell(3, 5))
    assert [str(span.buffer) for span in program.spans] == ["gi"] and program.layout.kept == 0 and not program.reads_gi
    assert program.layout.shared_gradient and program.layout.sums == (5,)
    text = str(program.adjoint)
    assert "= kept.0[j]" in text and "dgi[j] = " in text and "sums[j] += " in text and "= gi[j]" not in text


def test_an_lstm_keeps_its_gates_in_the_place_of_their_sums(second):
    torch.manual_seed(1)
    program = lowered(LSTMCell(3, 5))
    assert [span.buffer for span in program.spans] == ["gi"] * 4 + ["kept"] * (len(program.spans) - 4)
    assert len(program.spans) == 5  # the gates, and tanh(c)
    assert not program.step.whole_rows and not program.adjoint.whole_rows


def test_a_norm_reduces_a_row_before_its_loop(second):
    torch.manual_seed(1)
    program = lowered(LayerNormLSTMCell(3, 5))
    assert "sum over each lane j < 5:" in str(program.step) and program.step.whole_rows
    row, _, loop = str(program.step).partition("  each lane j < 5:\n    prefetch")
    assert "reduce" in row and "reduce" not in loop


def test_equal_operations_are_done_once(second):
    class Twice(GatedCell):
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() * (gi + gh).tanh() + state[0],)

    torch.manual_seed(1)
    assert str(lowered(Twice(3, 5)).step).count("tanh(") == 1


class Sorted(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        z = gi + gh
        return (z.sort(-1).values.tanh() + state[0],)


class Crossing(GatedCell):
    num_gates = 4

    def pointwise(self, gi, gh, state):
        parts = (gi + gh).view(-1, 2, 2 * self.hidden_size)
        return ((parts + 0)[:, :, 3:8].sum(1).tanh() + state[0],)


@pytest.mark.parametrize(
    ("make", "fault", "operation", "line"),
    [
        (Sorted, "uses sort,", "sort of (B, 5)", "return (z.sort(-1).values.tanh() + state[0],)"),
        (
            Crossing,
            "replaces [3:8] in rows of shape (2, 10): 5 units cross its end",
            "slice_scatter of (B, 2, 10), (B, 2, 5)",
            "return ((parts + 0)[:, :, 3:8].sum(1).tanh() + state[0],)",
        ),
    ],
)
def test_what_cannot_be_lowered_is_named_with_its_shapes_and_the_users_line(
    second, caplog, make, fault, operation, line
):
    torch.manual_seed(1)
    cell = make(3, 5)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        assert_agrees(cell)
    (record,) = [each for each in caplog.records if each.name == "seqlab"]
    assert fault in record.message and operation in record.message
    assert "test_scan_lower.py:" in record.message and line in record.message


def test_both_sides_have_their_structure_from_one_table():
    structure = structure_type(num_states=2, num_extras=3)
    assert [name for name, _ in structure._fields_] == [field.name for field in FIELDS]
    assert structure.state.size == 2 * ctypes.sizeof(ctypes.c_void_p)
    assert structure.extra.size == 4 * ctypes.sizeof(ctypes.c_void_p)
    text = structure_text()
    places = [text.index(f"{field.name};" if field.count is None else f"{field.name}[") for field in FIELDS]
    assert places == sorted(places) and len(text.splitlines()) == len(FIELDS) + 2
