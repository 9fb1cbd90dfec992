"""The engines agree; which one serves whom; dtypes, autocast and parametrized weights."""

import copy
from functools import lru_cache, partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from seqlab.nn import (
    GRUCell,
    IndRNNCell,
    LayerNormLSTMCell,
    LSTMCell,
    Recurrent,
    RNNCell,
)
from seqlab.nn.engine import choose, native
from tests.nn.covering import covering

STOCK = [RNNCell, partial(RNNCell, nonlinearity="relu"), GRUCell, LSTMCell]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def run_with_gradients(layer, x, state, lengths):
    """Output, final state, and the gradients of x, the initial state and the parameters, as one list."""
    x = x.clone().requires_grad_()
    state = tuple(part.clone().requires_grad_() for part in state)
    output, final = layer(x, state, lengths)
    total = (output * output.detach().cos()).sum() + sum((part**2).sum() for part in final)
    return [output, *final, *torch.autograd.grad(total, [x, *state, *layer.parameters()])]


@pytest.mark.parametrize(
    ("factory", "shape", "lengths", "dtype", "bias", "reverse"),
    covering(
        *(STOCK, [(1, 1), (1, 6), (4, 1), (4, 6)], [None, "full", "ragged", "with zero", "all zero"]),
        *([*TOLERANCE], [True, False], [False, True]),
        strength=3,
    ),
)
def test_native_agrees_with_loop(factory, dtype, bias, shape, lengths, reverse):
    rows, steps = shape
    cell = factory(3, 5, bias=bias).to(dtype)
    x, state = (
        torch.randn(rows, steps, 3, dtype=dtype),
        tuple(torch.randn(rows, 5, dtype=dtype) for _ in cell.state_names),
    )
    choices = {"full": [steps] * 4, "ragged": [1, steps, max(steps - 2, 1), steps], "with zero": [0, steps, 1, 0]}
    counts = None if lengths is None else torch.tensor(choices.get(lengths, [0] * 4)[:rows])
    native_results = run_with_gradients(Recurrent(cell, "native", reverse), x, state, counts)
    loop_results = run_with_gradients(Recurrent(cell, "loop", reverse), x, state, counts)
    for one, other in zip(native_results, loop_results, strict=True):
        torch.testing.assert_close(one, other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("backend", ["loop", "native", "scan"])
def test_a_batch_of_nothing_but_padding_still_gives_every_weight_its_zero_gradient(backend):
    layer = Recurrent(LSTMCell(3, 5), backend)
    output, final = layer(torch.full((2, 4, 3), torch.nan), lengths=torch.tensor([0, 0]))
    assert all(part.requires_grad for part in final)
    (output.sum() + final[0].sum()).backward()
    assert all(torch.equal(parameter.grad, torch.zeros_like(parameter)) for parameter in layer.parameters())


@lru_cache
def two_layers(factory, backend):
    """For tests that change no weight: each step is looked at once a precision."""
    torch.manual_seed(0)
    return Recurrent(factory(8, 8), backend), Recurrent(factory(8, 8), backend)


@pytest.mark.parametrize(
    ("factory", "backend", "cast_to", "lengths"),
    covering(STOCK, ["loop", "native", "scan"], [torch.bfloat16, torch.float16], [None, [4, 2]]),
)
def test_autocast_trains_and_carries_a_float32_state(factory, cast_to, backend, lengths):
    lower, upper = two_layers(factory, backend)
    lengths = None if lengths is None else torch.tensor(lengths)
    lower.zero_grad()
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8)
    expected, _ = upper(lower(x, lengths=lengths)[0], lengths=lengths)
    states = (None, None)
    for _ in range(2):
        with torch.autocast("cpu", dtype=cast_to):
            middle, first = lower(x, states[0], lengths)
            output, second = upper(middle, states[1], lengths)
        if states[0] is None:
            torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.05)
        assert {part.dtype for part in (*first, *second)} == {torch.float32}
        output.float().sum().backward()
        states = tuple(tuple(part.detach() for part in state) for state in (first, second))
    assert all(parameter.grad.isfinite().all() for parameter in lower.parameters())
    # The carried state also serves outside autocast, as in an evaluation at full precision.
    assert lower(x, states[0])[0].dtype == torch.float32


def test_a_16_bit_state_serves_a_full_precision_layer():
    layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 3, 3)
    state = tuple(torch.randn(2, 4) for _ in "hc")
    short = tuple(part.bfloat16() for part in state)
    expected = layer(x, tuple(part.float() for part in short))
    torch.testing.assert_close(layer(x, short), expected)


@pytest.mark.parametrize("backend", ["loop", "native", "scan"])
def test_parametrized_weights_are_read_on_each_call(backend):
    plain = LSTMCell(3, 4)
    cell = copy.deepcopy(plain)
    parametrizations.weight_norm(cell, "weight_hh")
    layer, x = Recurrent(cell, backend), torch.randn(2, 5, 3)
    torch.testing.assert_close(layer(x), Recurrent(plain, "loop")(x))
    with torch.no_grad():
        cell.parametrizations.weight_hh.original0.mul_(2)  # the norms
        plain.weight_hh.mul_(2)
    torch.testing.assert_close(layer(x), Recurrent(plain, "loop")(x))
    layer(x)[0].sum().backward()
    assert cell.parametrizations.weight_hh.original0.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
@pytest.mark.parametrize("backend", ["loop", "native", "scan"])
def test_a_parametrization_is_computed_once_a_call(backend, name):
    class Counting(nn.Module):
        calls = 0

        def forward(self, weight):
            Counting.calls += 1
            return weight

    cell = GRUCell(3, 4)
    parametrize.register_parametrization(cell, name, Counting())
    layer, x = Recurrent(cell, backend), torch.randn(2, 6, 3)
    layer(x)  # the first time, an engine may also look at the cell
    Counting.calls = 0
    layer(x)
    assert Counting.calls == 1


def test_non_contiguous_inputs_and_states_are_served():
    layer = Recurrent(LSTMCell(3, 4))
    x, state = torch.randn(5, 2, 3).transpose(0, 1), tuple(torch.randn(4, 2).T for _ in "hc")
    expected = layer(x.contiguous(), tuple(part.contiguous() for part in state))
    torch.testing.assert_close(layer(x, state), expected)


def test_one_chunk_views_keep_values_and_gradients():
    weights = [torch.randn(8, 3, requires_grad=True), torch.randn(8, 2, requires_grad=True)]
    chunk = native._one_chunk(weights)
    assert len(chunk) == 4
    assert {view.untyped_storage().data_ptr() for view in chunk} == {chunk[0].untyped_storage().data_ptr()}
    assert [view.storage_offset() for view in chunk] == [0, 24, 40, 48]
    assert all(torch.equal(view, weight) for view, weight in zip(chunk, weights, strict=False))
    assert torch.equal(torch.cat(chunk[2:]), torch.zeros(16))
    gradients = torch.autograd.grad(sum((view**2).sum() for view in chunk), weights)
    assert all(torch.equal(gradient, 2 * weight) for gradient, weight in zip(gradients, weights, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 0, 6])])
@pytest.mark.parametrize("factory", STOCK)
def test_native_agrees_with_loop_on_a_gpu_without_cudnns_warning(factory, lengths, bias):
    cell = factory(3, 5, bias=bias).double().cuda()
    x = torch.randn(3, 6, 3, dtype=torch.float64, device="cuda")
    state = tuple(torch.randn(3, 5, dtype=torch.float64, device="cuda") for _ in cell.state_names)
    results = [run_with_gradients(Recurrent(cell, backend), x, state, lengths) for backend in ("native", "loop")]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("lengths", [None, (3, 0, 6), (0, 0, 0)])
@pytest.mark.parametrize("make", [LSTMCell, GRUCell, LayerNormLSTMCell, IndRNNCell])
def test_scan_agrees_with_loop_on_a_gpu(make, lengths):
    cell = make(3, 5).double().cuda()
    x = torch.randn(3, 6, 3, dtype=torch.float64, device="cuda")
    state = tuple(torch.randn(3, 5, dtype=torch.float64, device="cuda") for _ in cell.state_names)
    counts = None if lengths is None else torch.tensor(lengths, device="cuda")
    scanned, looped = (run_with_gradients(Recurrent(cell, backend), x, state, counts) for backend in ("scan", "loop"))
    for one, other in zip(scanned, looped, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    moved = Recurrent(make(3, 5))
    assert moved.cuda().engine == choose(moved.cell, "auto", "cuda")


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, RNNCell])
def test_single_steps_without_gradients_agree_with_one_long_pass(cell):
    layer, x = Recurrent(cell(3, 4)).double(), torch.randn(2, 6, 3, dtype=torch.float64)
    whole, final = layer(x)
    with torch.no_grad():
        state, outputs = None, []
        for t in range(6):
            output, state = layer(x[:, t : t + 1], state)
            outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=0, atol=1e-12)
