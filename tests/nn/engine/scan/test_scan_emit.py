"""Unusual ``pointwise`` code, compiled: the same as on ``loop``, or uncompiled with a warning."""

import logging
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqlab.nn import GatedCell, LayerNormLSTMCell, LSTMCell, Recurrent
from seqlab.nn.engine import scan
from seqlab.nn.engine.scan import build, execution, readiness
from seqlab.nn.engine.scan.function import Scan
from seqlab.nn.engine.scan.schedule import dense
from tests.nn.agreement import RAGGED, assert_agrees, assert_as_near_as_loop, programs_of

SHIPPED_FLAGS = build._FLAGS


@pytest.fixture(autouse=True)
def fresh(compiled_quickly, monkeypatch):
    monkeypatch.setattr(execution, "_warned", set())


def assert_compiled_agrees(cell, **how):
    assert_agrees(cell, **how)
    assert programs_of(cell), execution._warned


class Views(GatedCell):
    """Gates by view, reshape, unbind, stack, softmax, unflatten, flatten and split."""

    num_gates = 3
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b, c = (gi + gh).view(-1, 3, self.hidden_size).unbind(1)
        z = torch.softmax(torch.stack((a, b, c), 1), 1)
        x, y = z.reshape(-1, 3 * self.hidden_size).split([self.hidden_size, 2 * self.hidden_size], -1)
        first, second = (
            y.unflatten(-1, (2, -1))[:, 0],
            y.unflatten(1, (2, self.hidden_size)).flatten(1)[:, self.hidden_size :],
        )
        return (x * state[0] + first * a).tanh(), second * state[1] - z[:, 1] * c.unsqueeze(1).squeeze(1)


class Slices(GatedCell):
    """Gates by index ranges, joined again; log-softmax and in-place operations."""

    num_gates = 4

    def pointwise(self, gi, gh, state):
        h = self.hidden_size
        z = gi + gh
        z[:, :h] += state[0]
        gates = torch.cat((z[:, 2 * h :], z[:, :h]), -1).sigmoid()
        both = torch.stack((z[..., h : 2 * h], gates[:, h : 2 * h]), 1).log_softmax(1)
        return (gates[:, -h:] * both[:, 0].tanh() + gates[:, :h] * both[:, 1].tanh(),)


class Activations(GatedCell):
    num_gates = 2
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        m = torch.maximum(functional.logsigmoid(a), b)
        h = functional.silu(m) + functional.gelu(a) * state[0] + functional.gelu(b, approximate="tanh")
        h = h + functional.softplus(b) - functional.elu(a) * functional.leaky_relu(b) + functional.hardtanh(a)
        h = h + functional.softsign(b) + functional.mish(a) * functional.hardswish(b) + functional.selu(a) / 2
        c = a.abs().log1p() + b.expm1() / 9 + (b.abs() + 0.1).sqrt() + (a.square() + 1).rsqrt() + torch.erf(b)
        return h.tanh(), c + torch.lerp(a, b, 0.3) * state[1].sin() + b.pow(2) + (a.abs() + 1).pow(1.5) + 2.0**b


class Choices(GatedCell):
    num_gates = 2
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        mask = (a > 0) & ~(b >= 0.2) | (state[1] != state[1])
        h = torch.where(mask, a.clamp(-0.3, 0.7), b.clamp(min=0.1)) + torch.where(a < b, 0.0, state[0])
        h = h + torch.minimum(a, b) * mask + a.clamp(max=0.2).relu() + b.sign() * a + torch.max(a, state[1])
        return h.tanh(), (a * b).masked_fill(mask, 0.5) + torch.where(b == b, b, 1 / b).clamp(state[1], h.exp())


class Sums(GatedCell):
    """Sums over units in every order: one inside another, of costly values, used before and after."""

    num_gates = 2
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        t = a.tanh()
        spread = t.std(-1, keepdim=True)  # its mean lies within its sum, and both need tanh
        h = functional.normalize(state[1], dim=-1) + t * spread + b.amax(-1, keepdim=True) - a.amin(1, keepdim=True)
        c = functional.rms_norm(b.sigmoid() * state[1], (self.hidden_size,)) + t.mean(-1, keepdim=True) * t.var(
            -1, keepdim=True
        )
        return functional.softmax(h, -1) * h.norm(dim=-1, keepdim=True), c * b.logsumexp(-1, keepdim=True)


class Norms(GatedCell):
    """Norms over all gates and over each."""

    num_gates = 2
    state_names = ("h", "c")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.LayerNorm(2 * hidden_size)
        self.gain, self.shift = nn.Parameter(torch.rand(2, hidden_size)), nn.Parameter(torch.randn(2, hidden_size))

    def pointwise(self, gi, gh, state):
        h = self.hidden_size
        a, b = (self.norm(gi) + gh).view(-1, 2, h).unbind(1)
        each = functional.layer_norm((gi + gh).view(-1, 2, h), (h,)) * self.gain + self.shift
        root = functional.rms_norm(a.exp(), (h,), self.gain[0])
        return (each[:, 0] * root).tanh(), functional.layer_norm(b.sigmoid() * state[1], (h,), self.gain[1]) + each[
            :, 1
        ]


class Learned(GatedCell):
    """Parameters of every shape, functions of them, buffers, a learned initial state, an output of all states."""

    num_gates = 2
    state_names = ("h", "c", "n")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.one = nn.Parameter(torch.tensor([1.3]))
        self.row = nn.Parameter(torch.randn(1, hidden_size))
        self.both = nn.Parameter(torch.randn(2, hidden_size))
        self.plain = nn.Parameter(torch.randn(hidden_size))
        self.long = nn.Parameter(torch.randn(2 * hidden_size))
        self.start = nn.Parameter(torch.randn(3, hidden_size))
        self.unused = nn.Parameter(torch.randn(hidden_size))
        self.register_buffer("decay", torch.linspace(0, 1, hidden_size))
        self.register_buffer("steps", torch.tensor(3))

    def initial_state(self, batch_size, *, like):
        return tuple(part.expand(batch_size, -1).to(like) for part in self.start.sigmoid())

    @property
    def output_size(self):
        return 2 * self.hidden_size + 1

    def output(self, state):
        return torch.cat((state[0] * state[2], state[1].exp(), state[0].sum(-1, keepdim=True)), -1)

    def pointwise(self, gi, gh, state):
        z = (gi + gh * self.scale.exp() + self.long).view(-1, 2, self.hidden_size) * self.both
        a, b = z[:, 0], z[:, 1]
        c = state[1] * self.decay + a.sigmoid() * functional.softplus(self.plain) * self.row
        return (b * c).tanh() * self.one * self.scale, c.tanh() / self.both[1].exp(), state[2] * self.row.sigmoid()


class Passing(GatedCell):
    """A state passed through unchanged, one swapped, one that is another's, and gates used in part."""

    num_gates = 4
    state_names = ("h", "c", "kept", "copy")

    def pointwise(self, gi, gh, state):
        a, _, c, _ = gi.chunk(4, -1)
        _, b, d, _ = gh.chunk(4, -1)
        h = (a + b).tanh() + d * c + state[3]
        return h, state[0], state[2], h


class WithoutInput(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return ((gh + state[0]).tanh(),)


class WithoutProduct(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return ((gi + state[0]).tanh(),)


class Wide(GatedCell):
    """A second state of twice the hidden size."""

    num_gates = 2
    state_names = ("h", "c")

    @property
    def state_sizes(self):
        return self.hidden_size, 2 * self.hidden_size

    def pointwise(self, gi, gh, state):
        c = (gi + gh).sigmoid() * state[1] + gi.tanh()
        first, second = c.chunk(2, -1)
        return first.tanh() * second, c


@pytest.mark.parametrize(
    "make",
    [Views, Slices, Activations, Choices, Sums, Norms, Learned, Passing, WithoutInput, WithoutProduct, Wide],
)
def test_unusual_steps_agree_compiled_or_not(monkeypatch, make):
    torch.manual_seed(1)
    cell = make(3, 11)
    for lengths in (None, RAGGED):
        assert_compiled_agrees(cell, lengths=lengths)
    monkeypatch.setenv("SEQLAB_COMPILE", "0")
    assert_agrees(cell, rows=11, lengths=(*RAGGED, *RAGGED, 2))  # as many rows as units
    assert execution._warned


def test_units_shared_among_threads_agree_where_sums_and_parameters_meet(monkeypatch):
    monkeypatch.setattr(readiness, "grid", lambda *_: (2, 2))
    torch.manual_seed(1)
    for make in (Sums, Learned):
        assert_compiled_agrees(make(3, 11), lengths=RAGGED)


class Ties(GatedCell):
    num_gates = 2

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        return (
            torch.maximum(a, b)
            + torch.minimum(a, b) * 2
            + a.amax(-1, keepdim=True)
            + a.relu()
            + b.abs()
            + a.clamp(0, 1),
        )


def test_gradients_at_ties_and_kinks_are_pytorchs_own():
    cell = Ties(3, 11)
    (
        nn.init.zeros_(cell.weight_ih),
        nn.init.zeros_(cell.weight_hh),
        nn.init.zeros_(cell.bias_ih),
        nn.init.zeros_(cell.bias_hh),
    )
    assert_compiled_agrees(cell)


def pointwise_of(function, **attributes):
    """A cell whose step is ``function(cell, gi, gh, h)``."""

    def pointwise(self, gi, gh, state):
        return (function(self, gi, gh, state[0]),)

    return type("Odd", (GatedCell,), {"num_gates": 1, "pointwise": pointwise, **attributes})


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("cumsum", lambda cell, gi, gh, h: (gi + gh).tanh().cumsum(-1) / 9),
        ("mm", lambda cell, gi, gh, h: ((gi + gh).sigmoid() @ cell.mix).tanh()),
        ("flip", lambda cell, gi, gh, h: (gi + gh.flip(-1)).tanh()),
        ("rolled parts", lambda cell, gi, gh, h: (gi + torch.cat((h[:, 1:], h[:, :1]), -1)).tanh()),
        ("permute", lambda cell, gi, gh, h: (gi + gh).unflatten(-1, (4, 2)).transpose(1, 2).flatten(1).tanh()),
        ("rounded division", lambda cell, gi, gh, h: gi + torch.div(gh, 0.3, rounding_mode="floor") * h.tanh()),
        ("remainder", lambda cell, gi, gh, h: (gi + gh).tanh() + h % 0.4),
        ("rounding to decimals", lambda cell, gi, gh, h: (gi + gh).tanh() + torch.round(h, decimals=1)),
        ("integers", lambda cell, gi, gh, h: (gi + gh).tanh() * h.long()),
        ("short", lambda cell, gi, gh, h: (gi + gh).tanh() + h.bfloat16().to(h.dtype) * 0.5),
        ("float", lambda cell, gi, gh, h: (gi + gh).tanh() + h.float().to(h.dtype) * 0.5),
        (
            "scaled difference",
            lambda cell, gi, gh, h: torch.sub(gi, gh, alpha=0.7).tanh() + torch.add(h, gi, alpha=2) * 0.1,
        ),
        (
            "reversed difference",
            lambda cell, gi, gh, h: torch.rsub(gi.tanh(), gh.tanh(), alpha=2) * 0.3 + (1 - h) * 0.1,
        ),
        ("constants along units", lambda cell, gi, gh, h: (gi + gh).tanh() * torch.arange(8, dtype=gi.dtype)),
        ("evens", lambda cell, gi, gh, h: (gi + gh.repeat_interleave(2, -1)[:, ::2]).tanh()),
        ("groups of units", lambda cell, gi, gh, h: functional.group_norm(gi + gh, 2)),
        ("sum within groups", lambda cell, gi, gh, h: (gi + gh).view(-1, 4, 2).softmax(-1).flatten(1) * h.tanh()),
        ("interleaved", lambda cell, gi, gh, h: (gi + gh).view(-1, 4, 2)[..., 1].repeat(1, 2).tanh()),
        ("infinities", lambda cell, gi, gh, h: torch.nan_to_num((gi + gh).tanh()) + gi.isinf() * h),
        ("powers", lambda cell, gi, gh, h: gi.pow(3) * 0.1 + (gh.abs() + 1) ** -0.5 + (h * h + 1) ** gi.tanh() + gi**0),
        (
            "logit",
            lambda cell, gi, gh, h: torch.logit((gi + gh).sigmoid() * 0.9, 1e-3) + torch.addcmul(h, gi, gh, value=0.3),
        ),
        ("swish", lambda cell, gi, gh, h: torch.addcdiv(h, gi, gh.exp(), value=0.3).tanh() + torch.hypot(gi, gh) * 0.1),
        ("sums of squares", lambda cell, gi, gh, h: (gi + gh).tanh() / (1 + h.square().sum(-1, keepdim=True))),
        ("attention", lambda cell, gi, gh, h: (gi.exp() * gh.sigmoid()).sum(-1, keepdim=True).tanh() * h + gi.tanh()),
        ("max with index", lambda cell, gi, gh, h: (gi + gh).tanh() * h.max(-1, keepdim=True).values),
        ("product", lambda cell, gi, gh, h: (gi + gh).tanh() * h.tanh().prod(-1, keepdim=True)),
        ("argmax", lambda cell, gi, gh, h: (gi + gh).tanh() * functional.one_hot(h.argmax(-1), 8)),
        ("glu", lambda cell, gi, gh, h: functional.glu(torch.cat((gi, gh), -1), -1) + 0.1 * h),
    ],
)
def test_whatever_a_step_does_is_right_compiled_or_not(caplog, name, function):
    cell = pointwise_of(function)(3, 8)
    cell.mix = nn.Parameter(torch.randn(8, 8) / 3)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        assert_agrees(cell)
    compiled = bool(programs_of(cell))
    warnings = [record.message for record in caplog.records if record.name == "seqlab"]
    assert len(warnings) == (0 if compiled else 1), warnings
    assert all(each.startswith("Odd: scan runs its step uncompiled, slower than a loop: ") for each in warnings)


@pytest.mark.parametrize("sizes", [(8, 3), (8, 12)])
def test_states_of_odd_sizes_are_compiled(caplog, sizes):
    class Odd(GatedCell):
        num_gates, state_names = 1, ("h", "c")
        state_sizes = sizes

        def pointwise(self, gi, gh, state):
            h = (gi + gh + state[1].sum(-1, keepdim=True)).tanh()
            return h, state[1] * 0.5 + h.mean(-1, keepdim=True)

    cell = Odd(3, 8)
    assert_agrees(cell, lengths=RAGGED)
    assert programs_of(cell) and not [record for record in caplog.records if record.name == "seqlab"]


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


def test_the_scan_is_one_node_of_the_graph_whatever_the_length():
    cell = LSTMCell(3, 8)
    for steps in (2, 40):
        output, _ = scan.run(cell, torch.randn(2, steps, 3), tuple(torch.zeros(2, 8) for _ in "hc"), None)
        pending, nodes = [output.grad_fn], set()
        while pending:
            node = pending.pop()
            if node is not None and node not in nodes:
                nodes.add(node)
                pending.extend(parent for parent, _ in node.next_functions)
        assert sum(type(node).__name__ == f"{Scan.__name__}Backward" for node in nodes) == 1
        assert len(nodes) < 20
