"""A user's own ``torch.autograd.Function`` in a step, as spiking cells have: every derivative is that of the steps."""

import pytest
import torch

from seqlab.nn import Recurrent
from tests.nn.agreement import small_cell

pytestmark = pytest.mark.usefixtures("compiled_quickly")


class Spike(torch.autograd.Function):
    """A jump, with the gradient of a smooth step in its place."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return (a > 0).to(a.dtype)

    @staticmethod
    def backward(ctx, g):
        (a,) = ctx.saved_tensors
        return g / (1 + a.abs()).square()


class SavesItsResult(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        result = a.tanh()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, g):
        (result,) = ctx.saved_tensors
        return g * (1 - result * result)


class TwoOfTwo(torch.autograd.Function):
    """It saves what is neither given nor returned, and a number."""

    @staticmethod
    def forward(ctx, a, b):
        gate = (a * b).sigmoid()
        ctx.save_for_backward(gate, a)
        ctx.share = 0.5
        return gate * a, gate + b

    @staticmethod
    def backward(ctx, g, k):
        gate, a = ctx.saved_tensors
        return g * gate * ctx.share, k * a.cos()


class WithContext(torch.autograd.Function):
    @staticmethod
    def forward(a):
        return a.tanh()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, g):
        (result,) = ctx.saved_tensors
        return g * (1 - result * result)


class KeptOnTheContext(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.a = a
        return a.sign()

    @staticmethod
    def backward(ctx, g):
        return g * torch.exp(-(ctx.a**2))


class ConstantWithin(torch.autograd.Function):
    """A part of its gradient is not to be differentiated."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return a.sign()

    @staticmethod
    def backward(ctx, g):
        (a,) = ctx.saved_tensors
        with torch.no_grad():
            weight = torch.exp(-(a**2))
        return g * weight * a.cos()


def second_derivatives(layer, lengths):
    x = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    output, (h,) = layer(x, lengths=lengths)
    (first,) = torch.autograd.grad(output.square().sum() + h.sin().sum(), x, create_graph=True)
    return [output, first, *torch.autograd.grad(first.square().sum(), [x, *layer.cell.parameters()])]


@pytest.mark.parametrize(
    ("function", "engine"),
    [
        (Spike.apply, "scan"),
        (SavesItsResult.apply, "scan"),
        (lambda z: sum(TwoOfTwo.apply(z, z.cos())), "scan"),
        (WithContext.apply, "scan"),
        (KeptOnTheContext.apply, "scan"),
        (ConstantWithin.apply, "loop"),
    ],
)
def test_a_gradient_penalty_through_a_function_of_ones_own(function, engine):
    cell = small_cell(lambda self, gi, gh, state: ((function(gi + gh) + (gi + gh).tanh() * state[0]).tanh(),))
    layer = Recurrent(cell)
    for counts in (None, torch.tensor([5, 0, 2, 5])):
        found = second_derivatives(layer, counts)
        assert layer.last_run.engine == engine, layer.last_run
        for one, other in zip(found, second_derivatives(Recurrent(cell, "loop"), counts), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
