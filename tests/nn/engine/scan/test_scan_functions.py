"""Elementary functions of compiled steps, on vectors of every width."""

import math

import pytest
import torch

from seqlab.nn import GatedCell, LayerNormLSTMCell, LSTMCell, Recurrent
from seqlab.nn.engine.scan import build
from seqlab.nn.engine.scan.schedule import dense
from tests.nn.agreement import assert_as_near_as_loop, assert_compiled_agrees, programs_of

pytestmark = pytest.mark.usefixtures("compiled_quickly")


SHIPPED_FLAGS = build._FLAGS


@pytest.mark.parametrize("flag", ["-mno-avx512f", "-mno-avx"])
def test_narrower_vectors_agree(monkeypatch, flag):
    monkeypatch.setattr(build, "_FLAGS", (*build._FLAGS, flag))
    for make in (LSTMCell, LayerNormLSTMCell):
        assert_compiled_agrees(make(3, 17), rows=8, steps=4)


@pytest.mark.parametrize("flag", ["-mno-avx512f", "-mno-avx"])
def test_narrower_vectors_agree_in_float32(monkeypatch, flag):
    monkeypatch.setattr(build, "_FLAGS", (*build._FLAGS, flag))
    assert_as_near_as_loop(LayerNormLSTMCell(3, 17), rows=8, steps=6)


FUNCTIONS = {  # the range to cover, and the bound on the relative error in units of float32's last place
    "exp": (torch.exp, -86, 88.7, 4),
    "expm1": (torch.expm1, -86, 88.7, 4),
    "tanh": (torch.tanh, -12, 12, 6),
    "sigmoid": (torch.sigmoid, -80, 80, 6),
    "log": (torch.log, 1e-30, 50, 4),
    "log1p": (torch.log1p, -0.999, 60, 6),
    "sqrt": (torch.sqrt, 0, 9, 1),
    "rsqrt": (torch.rsqrt, 1e-6, 9, 3),
}
SPECIAL = (
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    1e-30,
    -1e-30,
    1e-40,
    -1e-40,
    3e38,
    -3e38,
    89.5,
    -104.0,
    -200.0,
    1.0,
    -1.0,
)


class Elementary(GatedCell):
    """Each state one function of one gate."""

    num_gates = len(FUNCTIONS)
    state_names = tuple(FUNCTIONS)
    recurrent = False

    def pointwise(self, gi, gh, state):
        parts = gi.chunk(len(FUNCTIONS), -1)
        return tuple(function(part) for (function, *_), part in zip(FUNCTIONS.values(), parts, strict=True))


def elementary(values):
    """The compiled functions, each at its own row of ``values (functions, N)`` with N a multiple of 32."""
    cell = Elementary(1, 32)
    with torch.no_grad():
        Recurrent(cell, "scan")(torch.zeros(1, 1, 1))
        (program,) = programs_of(cell)
        count = values.size(1) // 32
        gi = values.view(len(FUNCTIONS), count, 32).transpose(0, 1).reshape(count, -1).contiguous()
        state = [torch.zeros(1, 32) for _ in FUNCTIONS]
        result = program.forward(dense(count, 1, 1, 1), gi, None, None, state, [], False)
    return torch.stack([part[1:].flatten() for part in result.states])


@pytest.mark.parametrize("flag", ["-march=native", "-mno-avx512f", "-mno-avx"])
def test_elementary_functions_are_as_exact_as_float32_allows(monkeypatch, flag):
    monkeypatch.setattr(build, "_FLAGS", (*SHIPPED_FLAGS, flag))  # which fuse products and sums
    count = 1 << 16
    near = [torch.linspace(low, high, count) for _, low, high, _ in FUNCTIONS.values()]
    small = torch.linspace(-0.01, 0.01, count)
    values = torch.stack([torch.cat((row, small if row[0] < 0 else small.abs() + 1e-9)) for row in near])
    found = elementary(values)
    for row, (name, (function, *_, bound)) in enumerate(FUNCTIONS.items()):
        exact = function(values[row].double())
        one = torch.where(exact.abs() > 1e-37, exact.abs(), 1e-37) * 2**-23
        worst = ((found[row].double() - exact).abs() / one).max()
        assert float(worst) <= bound, (name, float(worst))


@pytest.mark.parametrize("flag", ["-march=native", "-mno-avx512f", "-mno-avx"])
def test_elementary_functions_at_the_edges(monkeypatch, flag):
    monkeypatch.setattr(build, "_FLAGS", (*SHIPPED_FLAGS, flag))
    values = torch.tensor(SPECIAL * 2).expand(len(FUNCTIONS), -1).contiguous()
    found = elementary(values)
    for row, (name, (function, *_)) in enumerate(FUNCTIONS.items()):
        expected = function(values[row].double()).float()
        torch.testing.assert_close(
            found[row], expected, rtol=1e-6, atol=2e-38, equal_nan=True, msg=lambda text, name=name: f"{name}: {text}"
        )
