"""Gradients in every layout and of every loss: what ``loop`` gives."""

from functools import lru_cache

import pytest
import torch
from torch.nn import functional

from seqlab.nn import (
    Bidirectional,
    Encoder,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MinGRUCell,
    PeepholeLSTMCell,
    Recurrent,
)
from tests.nn.agreement import RAGGED, Same, assert_layer_agrees, batch
from tests.nn.covering import covering

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def spread(values):
    """The same numbers with a gap after each."""
    return torch.stack((values, values.new_full((), torch.nan).expand_as(values)), -1)[..., 0]


def shifted(values):
    """The same numbers as a part of a larger block, not at its beginning."""
    whole = functional.pad(values, (2, 3), value=torch.nan)
    return whole[..., 2:-3]


@lru_cache
def cell_of(make):
    """One cell for all tests that only run it: its step is looked at and compiled once."""
    torch.manual_seed(0)
    return make(3, 5).double()


LAYOUTS = {
    "as it is": lambda v: v,
    "transposed": lambda v: v.transpose(0, -1).contiguous().transpose(0, -1),
    "steps or rows first": lambda v: v.transpose(0, 1).contiguous().transpose(0, 1),
    "with gaps": spread,
    "part of a block": shifted,
    "one number": lambda v: v.flatten()[:1].view((1,) * v.dim()).expand(v.shape),
    "one row": lambda v: v[:1].expand(v.shape),
    "one column": lambda v: v[..., :1].expand(v.shape),
    "negated lazily": lambda v: torch._neg_view(v),
    "zero": lambda v: torch._efficientzerotensor(v.shape, dtype=v.dtype),
}


class Push(torch.autograd.Function):
    """One number of a tensor, whose gradient arrives in a layout of choice."""

    @staticmethod
    def forward(ctx, tensor, layout, seed):
        ctx.layout, ctx.seed, ctx.like = layout, seed, tensor.detach()
        return tensor.sum()

    @staticmethod
    def backward(ctx, gradient):
        draw = torch.Generator().manual_seed(ctx.seed)
        values = torch.randn(ctx.like.shape, dtype=ctx.like.dtype, generator=draw)
        return LAYOUTS[ctx.layout](values), None, None


RUN = [
    (LSTMCell, "scan"),
    (LSTMCell, "native"),
    (GRUCell, "scan"),
    (LayerNormLSTMCell, "scan"),
    (MinGRUCell, "parallel"),
]


@pytest.mark.parametrize(
    ("run", "layout", "lengths", "reverse"), covering(RUN, [*LAYOUTS], [None, RAGGED], [False, True], strength=3)
)
def test_gradients_may_come_in_any_layout(run, lengths, layout, reverse):
    """Of the output and of each final state: each alone, and all of them."""
    make, backend = run
    cell = cell_of(make)
    counts, found = None if lengths is None else torch.tensor(lengths), []
    for name in (backend, "loop"):
        x, state = batch(cell, 5, 6)
        leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), *cell.parameters()]
        output, final = Recurrent(cell, name, reverse)(x, state, counts)
        pushed = [Push.apply(part, layout, k) for k, part in enumerate((output, *final))]
        found.append(
            [
                gradient
                for loss in (*pushed, sum(pushed))
                for gradient in torch.autograd.grad(
                    loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
                )
            ]
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


LOSSES = {
    "a product with the transposed state": lambda o, s: (s[-1].t() @ torch.arange(5.0).double().view(5, 1)).sum(),
    "log-softmax over the batch": lambda o, s: functional.log_softmax(s[0].t(), 1)[:, 0].sum(),
    "a convolution over time": lambda o, s: (
        functional.conv1d(o.transpose(1, 2), torch.ones(2, 5, 3).double()).sin().sum()
    ),
    "a convolution over the batch": lambda o, s: (
        functional.conv1d(s[0].t()[None], torch.ones(3, 5, 2).double()).sin().sum()
    ),
    "every other step": lambda o, s: o[:, ::2].sin().sum(),
    "the last step": lambda o, s: o[:, -1].sin().sum(),
    "steps that are picked": lambda o, s: o[torch.arange(5), torch.tensor([0, 2, 4, 5, 5])].sin().sum(),
    "backwards": lambda o, s: (o.flip(1).cumsum(1) * o).sum(),
    "steps first": lambda o, s: torch.einsum("bth,bsh->ts", o, o).sin().sum(),
    "a maximum over time": lambda o, s: o.amax(1).sin().sum(),
    "attention": lambda o, s: (torch.softmax(o @ s[0].unsqueeze(2), 1) * o).sum(),
    "a mean": lambda o, s: o.mean(),
    "a diagonal": lambda o, s: s[0].diagonal().sin().sum(),
    "a product of all": lambda o, s: (o[:, -1] * s[0] * s[-1]).sum(),
    "complex numbers": lambda o, s: torch.fft.rfft(o, dim=1).abs().square().sum(),
}


@lru_cache
def layers_of(make):
    """The same layer in both directions on "auto" and on "loop"."""
    torch.manual_seed(0)
    layers = [Bidirectional(make(3, 5), make(3, 5), backend).double() for backend in ("auto", "loop")]
    layers[1].load_state_dict(layers[0].state_dict())
    return layers


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("make", [LSTMCell, GRUCell, LayerNormLSTMCell])
def test_losses_of_any_kind_give_the_gradients_of_loop(make, loss):
    layers = layers_of(make)
    for lengths in (None, torch.tensor(RAGGED)):
        found = []
        for layer in layers:
            x, _ = batch(layer.forward_layer.cell, 5, 6)
            output, (forward, backward) = layer(x.requires_grad_(), lengths=lengths)
            total = LOSSES[loss](output[..., :5], forward) + 2 * LOSSES[loss](output[..., 5:], backward)
            found.append(
                torch.autograd.grad(total, [x, *layer.parameters()], allow_unused=True, materialize_grads=True)
            )
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert layers[0].forward_layer.last_run.engine == "scan"


def test_weights_with_gradients_and_input_without_and_the_other_way_round():
    torch.manual_seed(0)
    cell = PeepholeLSTMCell(3, 5).double()
    for learned in ((), ("peephole_i",), ("bias_hh", "peephole_o"), ("weight_hh",)):
        for name, each in cell.named_parameters():
            each.requires_grad_(name in learned)
        assert_layer_agrees(Recurrent(cell))


def test_a_stack_in_both_directions_with_dropout_is_the_same_from_the_same_seed():
    torch.manual_seed(0)
    encoders = [
        Encoder(LayerNormLSTMCell, 3, 5, num_layers=2, bidirectional=True, dropout=0.5, backend=backend).double()
        for backend in ("auto", "loop")
    ]
    encoders[1].load_state_dict(encoders[0].state_dict())
    found = []
    for encoder in encoders:
        torch.manual_seed(1)
        x = torch.linspace(-1, 1, 5 * 6 * 3, dtype=torch.float64).view(5, 6, 3).requires_grad_()
        output, _ = encoder(x, lengths=torch.tensor([6, 3, 0, 6, 1]))
        found.append([output, *torch.autograd.grad(output.sin().sum(), [x, *encoder.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_an_input_that_is_expanded_or_shared_with_the_state():
    torch.manual_seed(0)
    cell = GRUCell(5, 5).double()
    found = []
    for backend in ("auto", "loop"):
        draw = torch.Generator().manual_seed(0)
        h = torch.randn(4, 5, dtype=torch.float64, generator=draw).requires_grad_()
        output, _ = Recurrent(cell, backend)(h.unsqueeze(1).expand(-1, 6, -1), (h,))
        found.append([output, *torch.autograd.grad(output.sin().sum(), [h, *cell.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_changing_results_in_place_leaves_the_input_alone():
    torch.manual_seed(0)
    layer = Recurrent(Same(5, 5).double())
    x = torch.randn(4, 6, 5, dtype=torch.float64)
    before = x.clone()
    output, (h,) = layer(x)
    output.zero_()
    h.zero_()
    assert torch.equal(x, before)
    assert_layer_agrees(layer)
