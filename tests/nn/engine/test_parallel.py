"""The parallel engine and the cells it serves: equal to the loop in every value and gradient."""

import copy
from functools import lru_cache, partial

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.utils import parametrize

from seqlab.nn import GRUCell, LinearCell, MinGRUCell, MinLSTMCell, Recurrent, RNNCell
from seqlab.nn.engine import ENGINES, linear_scan, loop, parallel
from seqlab.testing import check_cell
from tests.nn.covering import covering


class Decay(LinearCell):
    """One learned decay a unit, the same at all steps; negative and above 1 too."""

    num_gates = 1

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(input_size, hidden_size, bias)
        self.decay = nn.Parameter(torch.linspace(-0.9, 1.01, hidden_size))

    def coefficients(self, gi):
        return self.decay, gi


class Signed(LinearCell):
    """Coefficients on either side of zero, some of them exactly zero."""

    def coefficients(self, gi):
        a, b = gi.chunk(2, -1)
        return (3 * a).clamp(-0.8, 1.01).relu() - 0.3 * (a < -0.2), b.tanh()


CELLS = [MinGRUCell, partial(MinGRUCell, candidate="positive"), MinLSTMCell, Decay, Signed]


@pytest.fixture
def served(monkeypatch):
    """The engine under its name, whether or not it is registered."""
    monkeypatch.setitem(ENGINES, "parallel", parallel)


def make(factory, rows=3, steps=5, dtype=torch.float64, **arguments):
    torch.manual_seed(1)
    cell = factory(3, 4, **arguments).to(dtype)
    return cell, torch.randn(rows, steps, 3, dtype=dtype), (torch.randn(rows, 4, dtype=dtype),)


@lru_cache
def cell_of(factory, first_of_one_step):
    """One cell for tests that only run it: its coefficients are looked at once, at one step or at several."""
    return make(factory)[0]


def results(engine, cell, x, state, lengths=None):
    """Output, final state and the gradients of x, the initial state and all parameters."""
    x, state = x.clone().requires_grad_(), tuple(part.clone().requires_grad_() for part in state)
    output, final = engine.run(cell, x, state, lengths)
    total = (output * output.detach().cos()).sum() + (final[0] ** 2).sum()
    return [output, *final, *torch.autograd.grad(total, [x, *state, *cell.parameters()])]


def assert_equal(actual, expected, tolerance=1e-10):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("factory", "steps", "chunk", "ragged"),
    covering(CELLS, [1, 2, 6, 31, 64, 65, 150], [3, 32], [False, True], strength=3),
)
def test_agrees_with_loop(monkeypatch, factory, steps, chunk, ragged):
    monkeypatch.setattr(linear_scan, "_CHUNK", chunk)
    case = (cell_of(factory, steps == 1), *make(factory, steps=steps)[1:])
    lengths = torch.tensor([steps, 0, (steps + 1) // 2]) if ragged else None
    assert_equal(results(parallel, *case, lengths), results(loop, *case, lengths))


def test_wide_input_is_stepped_and_agrees_with_the_chunked_scan(monkeypatch):
    case = make(MinGRUCell, rows=5, steps=100)
    chunked = results(parallel, *case)
    monkeypatch.setattr(linear_scan, "_WIDE", {"cpu": 1})
    assert_equal(results(parallel, *case), chunked)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("factory", CELLS)
def test_cells_keep_the_contract(served, factory, bias):
    check_cell(partial(factory, bias=bias))


def test_two_windows_with_the_state_carried_equal_one():
    cell, x, state = make(MinLSTMCell, steps=150)
    whole, final = parallel.run(cell, x, state, None)
    first, carried = parallel.run(cell, x[:, :67], state, None)
    second, end = parallel.run(cell, x[:, 67:], carried, None)
    assert_equal([torch.cat((first, second), 1), *end], [whole, *final])


def test_what_stands_in_the_padding_reaches_nothing():
    cell, x, state = make(MinGRUCell, steps=70)
    lengths = torch.tensor([70, 0, 33])
    padding = torch.arange(70) >= lengths.unsqueeze(1)
    expected = results(parallel, cell, x, state, lengths)
    garbage = torch.where(padding.unsqueeze(2), torch.tensor([torch.nan, torch.inf, 1e300], dtype=x.dtype), x)
    actual = results(parallel, cell, garbage, state, lengths)
    assert_equal(actual, expected, 0)
    assert not actual[0][padding].any() and not actual[2][padding].any()
    assert torch.equal(actual[1][1], state[0][1])


def test_second_derivatives_through_a_cell_agree_with_loop():
    def penalty(engine):
        cell, x, state = make(MinLSTMCell, steps=70)
        output, _ = engine.run(cell, x.requires_grad_(), state, torch.tensor([70, 3, 40]))
        (slope,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [x, *cell.parameters()])

    assert_equal(penalty(parallel), penalty(loop))


def test_a_compiled_layer_is_one_graph_that_serves_every_length_of_time():
    torch._dynamo.reset()
    cell, _, state = make(MinGRUCell)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda x, h: parallel.run(cell, x, (h,), None), backend=counter, fullgraph=True)
    counts = []
    for steps in (70, 130, 65, 200, 9):
        x, h = torch.randn(3, steps, 3, dtype=torch.float64), state[0].clone().requires_grad_()
        output, (final,) = compiled(x, h)
        found = torch.autograd.grad(output.sin().sum() + final.sum(), [h, *cell.parameters()])
        output_eager, (final_eager,) = parallel.run(cell, x, (h,), None)
        expected = torch.autograd.grad(output_eager.sin().sum() + final_eager.sum(), [h, *cell.parameters()])
        assert_equal([output, final, *found], [output_eager, final_eager, *expected])
        counts.append(counter.frame_count)
    torch._dynamo.reset()
    assert counts == [1, 2, 2, 2, 2]  # the second length makes T a symbol


@pytest.mark.parametrize("ragged", [False, True])
def test_autocast_scans_and_carries_in_float32_as_loop_does(ragged):
    cell, x, state = make(MinGRUCell, steps=600, dtype=torch.float32)
    lengths = torch.tensor([600, 2, 300]) if ragged else None
    with torch.no_grad():
        cell.weight_ih[:4] = 0.0
        cell.bias_ih[:4] = -7.0  # a decay of 0.9991, which bfloat16 rounds to 1
    _, (final_exact,) = parallel.run(cell, x, state, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual, (final,) = parallel.run(cell, x, state, lengths)
        expected, (final_loop,) = loop.run(cell, x, state, lengths)
    assert {actual.dtype, final.dtype, expected.dtype} == {torch.float32}
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(final, final_loop, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(final, final_exact, rtol=0.02, atol=0.01)
    actual.sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in cell.parameters())


def test_a_bfloat16_cell_is_summed_in_float32():
    cell, x, state = make(Decay, steps=2000, dtype=torch.bfloat16)
    with torch.no_grad():
        cell.decay.fill_(0.99609375)  # the last bfloat16 below 1
    output, (final,) = parallel.run(cell, x.abs(), state, None)
    assert output.dtype == final.dtype == torch.bfloat16
    wide = copy.deepcopy(cell).float()
    wide.project = lambda x: cell.project(x.bfloat16()).float()
    (expected,) = loop.run(wide, x.abs().float(), (state[0].float(),), None)[1]
    torch.testing.assert_close(final.float(), expected, rtol=0.004, atol=0.004)  # one rounding, at the end


def test_each_parametrization_is_computed_once_a_call():
    class Counting(nn.Module):
        calls = 0

        def forward(self, weight):
            Counting.calls += 1
            return weight

    class Twice(Decay):
        def coefficients(self, gi):
            return self.decay, (1 - self.decay) * gi

    cell, x, state = make(Twice, steps=70)
    expected = parallel.run(cell, x, state, None)[0]
    # What coefficients read must count nothing, or they could not be followed.
    parametrize.register_parametrization(cell, "weight_ih", Counting())
    parametrize.register_parametrization(cell, "decay", nn.Identity())
    Counting.calls = 0
    torch.testing.assert_close(parallel.run(cell, x, state, None)[0], expected)
    assert Counting.calls == 1 and parallel.refusal(cell) is None


def test_a_layer_runs_on_it_in_reverse(served):
    cell, x, state = make(MinLSTMCell, steps=70)
    lengths = torch.tensor([70, 0, 41])
    layers = [Recurrent(cell, backend, reverse=True) for backend in ("parallel", "loop")]
    ours, expected = (layer(x, state, lengths) for layer in layers)
    assert layers[0].engine == "parallel"
    assert_equal([ours[0], *ours[1]], [expected[0], *expected[1]])


@pytest.mark.parametrize("name", ["step", "pointwise", "output"])
def test_a_cell_that_goes_its_own_way_is_refused(served, name):
    own = type("Own", (MinGRUCell,), {name: lambda self, *args: getattr(MinGRUCell, name)(self, *args)})
    with pytest.raises(ValueError, match=f"parallel can't run this Own: it goes by coefficients.* has a {name} of its"):
        Recurrent(own(3, 4), "parallel")


@pytest.mark.parametrize("cell", [GRUCell, RNNCell])
def test_a_cell_without_coefficients_is_refused(served, cell):
    with pytest.raises(ValueError, match=rf"needs a LinearCell, .*coefficients\(gi\) -> \(a, b\), and {cell.__name__}"):
        Recurrent(cell(3, 4), "parallel")


@pytest.mark.parametrize(
    ("wrong", "came"),
    [
        (lambda gi: (gi, gi), r"\(Tensor\(3, 5, 8\), Tensor\(3, 5, 8\)\)"),
        (lambda gi: (gi[..., :4], gi[..., :3]), r"\(Tensor\(3, 5, 4\), Tensor\(3, 5, 3\)\)"),
        (lambda gi: (0.5, gi[..., :4]), r"\(float, Tensor\(3, 5, 4\)\)"),
        (lambda gi: gi, r"Tensor\(3, 5, 8\)"),
    ],
)
def test_coefficients_of_a_wrong_shape_are_named(wrong, came):
    own = type("Own", (LinearCell,), {"coefficients": lambda self, gi: wrong(gi)})
    with pytest.raises(
        ValueError, match=r"Own.coefficients: expected \(a, b\), tensors of shape \(3, 5, 4\), got " + came
    ):
        parallel.run(*make(own), None)


def test_min_gru_computes_the_papers_equation():
    cell, x, (h,) = make(MinGRUCell, steps=1)
    z, candidate = (x[:, 0] @ cell.weight_ih.T + cell.bias_ih).chunk(2, -1)
    z = 1 / (1 + torch.exp(-z))
    torch.testing.assert_close(cell(x[:, 0], (h,))[0], (1 - z) * h + z * candidate, rtol=1e-12, atol=1e-12)
    assert [name for name, _ in cell.named_parameters()] == ["weight_ih", "bias_ih"]


def test_min_lstm_computes_the_papers_equation():
    cell, x, (h,) = make(MinLSTMCell, steps=1, candidate="positive")
    f, i, candidate = (x[:, 0] @ cell.weight_ih.T + cell.bias_ih).chunk(3, -1)
    f, i = 1 / (1 + torch.exp(-f)), 1 / (1 + torch.exp(-i))
    candidate = torch.where(candidate < 0, 1 / (1 + torch.exp(-candidate)), candidate + 0.5)
    expected = f / (f + i) * h + i / (f + i) * candidate
    torch.testing.assert_close(cell(x[:, 0], (h,))[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(-300.0, -300.0), (300.0, -300.0), (-300.0, 300.0), (300.0, 300.0)])
def test_min_lstm_is_finite_where_its_gates_saturate(sizes):
    f, i = sizes
    gi = torch.tensor([[f, i, 1.0]], requires_grad=True)
    a, b = MinLSTMCell(1, 1).coefficients(gi)
    expected = 0.5 if f == i else float(f > i)
    assert (a.item(), b.item()) == (expected, 1 - expected)
    (a + b).sum().backward()
    assert gi.grad.isfinite().all()


@pytest.mark.parametrize("cell", [MinGRUCell, MinLSTMCell])
def test_an_unknown_candidate_is_refused(cell):
    with pytest.raises(ValueError, match="candidate: expected one of linear, positive, got 'tanh'"):
        cell(3, 4, candidate="tanh")


def test_a_min_gru_begins_with_memories_up_to_those_that_are_asked_for():
    torch.manual_seed(0)
    cell = MinGRUCell(3, 1000, memory=50)
    z, candidate = (bias.detach() for bias in cell.bias_ih.chunk(2))
    steps = 1 / z.sigmoid()  # after so many steps a constant gate has left 1/e of the state, or a little less
    assert 2 <= steps.min() < 2.5 and 49.5 < steps.max() <= 50 and steps.mean() == pytest.approx(26, abs=2)
    assert candidate.abs().max() <= 1000**-0.5 and "memory=50" in repr(cell)
    for wrong in ({"memory": 1}, {"memory": 9, "bias": False}):
        with pytest.raises(ValueError, match="memory: expected 2 steps or more, and bias=True"):
            MinGRUCell(3, 4, **wrong)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("factory", CELLS)
def test_agrees_with_loop_on_a_gpu(factory):
    cell, x, state = make(factory, steps=150)
    case = cell.cuda(), x.cuda(), (state[0].cuda(),)
    lengths = torch.tensor([150, 0, 75], device="cuda")
    assert_equal(results(parallel, *case, lengths), results(loop, *case, lengths))
