"""The scan under the parallel engine: safe in float32 over long sequences, exact derivatives, few operations."""

import pytest
import torch
from torch.library import opcheck
from torch.utils._python_dispatch import TorchDispatchMode

from seqlab.nn.engine import linear_scan


def sequential(a, b, h, grad, grad_last):
    """States and gradients by the definition, step by step."""
    states, grads = [], [grad[:, -1] + grad_last]
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        states.append(torch.addcmul(b_t, a_t, states[-1] if states else h))
    for a_t, grad_t in zip(a[:, 1:].unbind(1)[::-1], grad[:, :-1].unbind(1)[::-1], strict=True):
        grads.append(torch.addcmul(grad_t, a_t, grads[-1]))
    grad_b = torch.stack(grads[::-1], 1)
    before = torch.stack([h, *states[:-1]], 1)
    return torch.stack(states, 1), states[-1], grad_b * before, grad_b, a[:, 0] * grad_b[:, 0]


def decays(kind, shape):
    uniform = torch.rand(shape)
    return {
        "near 1": 1 - 1e-4 * uniform,
        "1": torch.ones(shape),
        "above 1": 1 + 5e-4 * uniform,
        "near 0": 1e-3 * uniform,
        "0": torch.zeros(shape),
        "negative": -1 + 1e-3 * uniform,
        "mixed": torch.where(uniform < 0.99, uniform**0.01, -uniform) * (torch.rand(shape) > 1e-3),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "bound"),
    [
        ("near 1", 5e-5),  # the products round 1 - x - y + xy to 1 - x - y; rounding a itself may cost 20 times as much
        ("above 1", 1e-4),  # the values grow 50-fold, and every error with them
        ("1", 3e-6),
        ("near 0", 3e-7),
        ("0", 2e-7),
        ("negative", 5e-6),
        ("mixed", 2e-6),
    ],
)
def test_float32_holds_over_sixteen_thousand_steps(kind, bound):
    """Against float64 by the definition, relative to each unit's largest state or gradient."""
    torch.manual_seed(2)
    shape = (1, 16384, 16)
    a, b, grad = decays(kind, shape), torch.randn(shape), torch.randn(shape)
    h, grad_last = torch.randn(1, 16), torch.randn(1, 16)
    leaves = [tensor.requires_grad_() for tensor in (a, b, h)]
    found = linear_scan.linear_scan(*leaves)
    actual = [*found, *torch.autograd.grad(found, leaves, (grad, grad_last))]
    with torch.no_grad():
        expected = sequential(*(tensor.double() for tensor in (a, b, h, grad, grad_last)))
    states, _, grad_a, grad_b, _ = (each.abs().amax(1, keepdim=True) for each in expected)
    for one, other, scale in zip(actual, expected, (states, states[0], grad_a, grad_b, grad_b[0]), strict=True):
        assert ((one.detach().double() - other).abs() / scale).max() < bound


def test_a_spike_that_is_forgotten_leaves_no_error_behind():
    a, b = torch.full((1, 256, 1), 0.5), torch.ones(1, 256, 1)
    b[0, 10] = 1e7
    states, _ = linear_scan.linear_scan(a, b, torch.zeros(1, 1))
    torch.testing.assert_close(states[0, 60:], torch.full((196, 1), 2.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("chunk", [2, 32])
def test_first_and_second_derivatives_are_exact(monkeypatch, chunk):
    monkeypatch.setattr(linear_scan, "_CHUNK", chunk)
    torch.manual_seed(3)
    a, b, h = (torch.randn(shape, dtype=torch.float64) for shape in ((2, 9, 2), (2, 9, 2), (2, 2)))
    a[0, 3], a[1, 0] = 0.0, 0.0
    inputs = tuple(tensor.requires_grad_() for tensor in (a, b, h))
    assert torch.autograd.gradcheck(linear_scan.linear_scan, inputs)
    assert torch.autograd.gradgradcheck(linear_scan.linear_scan, inputs)


def test_both_operators_keep_the_rules_of_the_registry():
    torch.manual_seed(4)
    a, b, grad = (torch.randn(2, 70, 3, requires_grad=True) for _ in range(3))
    h, grad_last = (torch.randn(2, 3, requires_grad=True) for _ in range(2))
    opcheck(linear_scan._forward, (a, b, h))
    opcheck(linear_scan._adjoint, (a, h, b.detach(), grad, grad_last))


def test_a_long_scan_takes_few_operations():
    class Count(TorchDispatchMode):
        computed = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            Count.computed += any(name in str(func) for name in ("mul", "cat", "copy"))
            return func(*args, **(kwargs or {}))

    x = torch.zeros(1, 16384, 8)
    with Count():
        linear_scan._scan(x, x, x[:, 0], torch.empty_like(x), reverse=False)
    assert Count.computed < 250
