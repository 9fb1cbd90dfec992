"""Derivatives beyond the first, by any of autograd's ways: what ``loop`` gives."""

import pytest
import torch

from seqlab.nn import GRUCell, LayerNormLSTMCell, LSTMCell, MinGRUCell, PeepholeLSTMCell, Recurrent
from tests.nn.agreement import RAGGED, batch, both

pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.mark.parametrize("make", [LSTMCell, GRUCell, LayerNormLSTMCell, PeepholeLSTMCell, MinGRUCell])
def test_a_gradient_penalty_trains_every_weight(make):
    def penalty(layer, x):
        found = []
        for counts in (None, torch.tensor(RAGGED)):
            layer.zero_grad()
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(layer(x, lengths=counts)[0].sin().sum(), x, create_graph=True)
            slope.square().sum().backward()
            leaves = (x, *layer.cell.parameters())
            found += [torch.zeros_like(each) if each.grad is None else each.grad for each in leaves]
            assert any(each.abs().sum() > 0 for each in found[1 - len(leaves) :])
        return found

    both(penalty, make)


def test_a_penalty_where_the_projection_is_the_users_own():
    class Squashed(LSTMCell):
        def project(self, x):
            return super().project(x).tanh()

    def penalty(layer, x):
        (slope,) = torch.autograd.grad(layer(x.requires_grad_())[0].sin().sum(), x, create_graph=True)
        return torch.autograd.grad(
            slope.square().sum(), [x, *layer.cell.parameters()], allow_unused=True, materialize_grads=True
        )

    both(penalty, Squashed)


def test_third_derivatives():
    def third(layer, x):
        value = layer(x.requires_grad_())[0].sin().sum()
        for _ in range(3):
            (slope,) = torch.autograd.grad(value, x, create_graph=True)
            value = slope.pow(2).sum()
        return torch.autograd.grad(value, layer.cell.weight_hh)

    both(third)


def test_a_hessian():
    def hessian(layer, x):
        return [torch.autograd.functional.hessian(lambda part: layer(part)[0].square().sum(), x[:1, :3])]

    both(hessian)


def test_a_product_of_the_hessian_and_a_vector_trains():
    def product(layer, x):
        gradients = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.cell.parameters()), create_graph=True)
        return torch.autograd.grad(sum(each.sin().sum() for each in gradients), list(layer.cell.parameters()))

    both(product)


def test_a_step_of_meta_learning():
    def learn(layer, x):
        cell = layer.cell
        output, _ = layer(x)
        (inner,) = torch.autograd.grad(output.square().sum(), cell.weight_hh, create_graph=True)
        weights = dict(layer.named_parameters()) | {"cell.weight_hh": cell.weight_hh - 0.1 * inner}
        outer = torch.func.functional_call(layer, weights, (x,))[0].sin().sum()
        return torch.autograd.grad(outer, list(cell.parameters()))

    both(learn)


def test_batches_of_gradients():
    def batched(layer, x):
        output, _ = layer(x.requires_grad_())
        pushes = torch.eye(5, dtype=x.dtype).view(5, 1, 1, 5).expand(5, 5, 6, 5)
        return torch.autograd.grad(output, [x, *layer.cell.parameters()], pushes, is_grads_batched=True)

    both(batched)


@pytest.mark.parametrize("vectorize", [False, True])
def test_a_jacobian(vectorize):
    def jacobian(layer, x):
        return [torch.autograd.functional.jacobian(lambda part: layer(part)[0][:, -1], x[:2, :3], vectorize=vectorize)]

    both(jacobian)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own use of it
@pytest.mark.parametrize("backend", ["auto", "scan", "native"])
def test_transforms_of_functions(backend):
    torch.manual_seed(0)
    cell = LSTMCell(3, 5).double()
    x, _ = batch(cell, 5, 6)
    tangent, found = torch.ones_like(x), []
    for name in (backend, "loop"):
        layer = Recurrent(cell, name)
        layer(x)  # which it also does after an ordinary call

        def loss(weights, part, layer=layer):
            return torch.func.functional_call(layer, weights, (part,))[0].sin().sum()

        def last(part, layer=layer):
            return layer(part)[0][:, -1]

        weights = dict(layer.named_parameters())
        rows = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x.unsqueeze(1))
        found.append(
            [
                *torch.func.grad(loss)(weights, x).values(),
                *rows.values(),
                *torch.func.jvp(last, (x,), (tangent,)),
                torch.func.vmap(last)(x.unsqueeze(1)),
                torch.func.jacrev(last)(x[:1]),
                torch.func.jacfwd(last)(x[:1]),
                torch.func.hessian(lambda part, last=last: last(part).sin().sum())(x[:1, :2]),
            ]
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own use of it
def test_forward_mode_by_hand():
    def forward(layer, x):
        with torch.autograd.forward_ad.dual_level():
            output, _ = layer(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))
            return list(torch.autograd.forward_ad.unpack_dual(output))

    both(forward)
