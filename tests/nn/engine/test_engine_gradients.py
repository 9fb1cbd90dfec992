"""Gradients in every layout, of every result, in every mode of autograd: what ``loop`` gives."""

import copy
from functools import lru_cache

import pytest
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

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
from tests.nn.agreement import RAGGED, Same, assert_layer_agrees, batch, small_cell
from tests.nn.covering import covering


@pytest.fixture(autouse=True)
def fresh(compiled_quickly):
    """Each step is compiled, the same ones once a session."""


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


# Derivatives beyond the first, and other ways to a derivative


def both(function, make=LSTMCell, cell=None):
    """A function of a layer and of x, on "auto" and on "loop"."""
    torch.manual_seed(0)
    cell = (make(3, 5) if cell is None else cell).double()
    found = []
    for backend in ("auto", "loop"):
        x, _ = batch(cell, 5, 6)
        found.append([*function(Recurrent(copy.deepcopy(cell), backend), x)])
    assert len(found[0]) == len(found[1]) > 0
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    return found[0]


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


def test_gradients_that_gather_over_calls():
    def gather(layer, x):
        for _ in range(3):
            layer(x)[0].square().sum().backward()
        return [each.grad for each in layer.cell.parameters()]

    both(gather)


def test_a_backward_pass_of_some_leaves():
    def some(layer, x):
        output, final = layer(x.requires_grad_())
        output.sum().backward(retain_graph=True, inputs=[layer.cell.weight_hh])
        final[0].sum().backward(inputs=[x])
        assert layer.cell.weight_ih.grad is None
        return [x.grad, layer.cell.weight_hh.grad]

    both(some)


def test_hooks_on_weights_and_results():
    def double(parameter):
        parameter.grad.mul_(2)

    def hooked(layer, x):
        layer.cell.weight_hh.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
        layer.cell.bias_ih.register_post_accumulate_grad_hook(double)
        output, final = layer(x.requires_grad_())
        output.register_hook(lambda gradient: gradient * 0.5)
        final[1].register_hook(lambda gradient: gradient.t().contiguous().t())
        (output.sin().sum() + final[1].sum()).backward()
        return [x.grad, *(each.grad for each in layer.cell.parameters())]

    both(hooked)


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_around_a_first_call(reentrant):
    def checkpointed(layer, x):
        output, final = checkpoint(layer, x.requires_grad_(), use_reentrant=reentrant)
        (output.sin().sum() + final[1].sum()).backward()
        return [x.grad, *(each.grad for each in layer.cell.parameters())]

    both(checkpointed)


@pytest.mark.usefixtures("traced_anew")
def test_hooks_on_what_is_saved_around_a_first_call():
    """They see what this call saves, and nothing of what the engine looks at first."""
    cell = LSTMCell(3, 5).double()
    x, _ = batch(cell, 5, 6)
    counts = []
    for _ in range(2):
        packed = []
        layer = Recurrent(cell)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, packed=packed: packed.append(tensor.shape) or tensor.numpy(force=True), torch.from_numpy
        ):
            output, _ = layer(x)
        output.sin().sum().backward()
        counts.append(packed)
        assert layer.last_run.engine == "scan"
    assert counts[0] == counts[1]
    with torch.autograd.graph.save_on_cpu():
        assert_layer_agrees(Recurrent(LSTMCell(3, 5).double()))


@pytest.mark.usefixtures("traced_anew")
def test_saved_tensors_may_be_forbidden_where_nothing_is_saved():
    cell = LSTMCell(3, 5).double()
    x, _ = batch(cell, 5, 6)
    with torch.autograd.graph.disable_saved_tensors_hooks("none here"):
        assert_layer_agrees(Recurrent(cell))
    with torch.no_grad():
        assert Recurrent(cell)(x)[0].grad_fn is None


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("make", [LSTMCell, PeepholeLSTMCell])
def test_inference_mode_first_and_training_after(make):
    torch.manual_seed(0)
    layer = Recurrent(make(3, 5).double())
    x, state = batch(layer.cell, 5, 6)
    with torch.inference_mode():
        inferred, final = layer(x, state)
        assert inferred.is_inference()
        layer(x, final)  # a state of inference mode's own
    assert_layer_agrees(layer)
    torch.testing.assert_close(inferred.clone(), Recurrent(layer.cell, "loop")(x, state)[0])


@pytest.mark.usefixtures("traced_anew")
def test_anomaly_detection():
    with pytest.warns(UserWarning, match="Anomaly"), torch.autograd.detect_anomaly():
        layer = Recurrent(LSTMCell(3, 5).double())
        assert_layer_agrees(layer)
    assert layer.last_run.engine == "loop" and "anomaly" in layer.last_run.reason
    assert_layer_agrees(layer)
    assert layer.last_run.engine == "scan"


def test_weights_with_gradients_and_input_without_and_the_other_way_round():
    torch.manual_seed(0)
    cell = PeepholeLSTMCell(3, 5).double()
    for learned in ((), ("peephole_i",), ("bias_hh", "peephole_o"), ("weight_hh",)):
        for name, each in cell.named_parameters():
            each.requires_grad_(name in learned)
        assert_layer_agrees(Recurrent(cell))


def test_a_state_that_is_carried_and_cut_or_not():
    def windows(layer, x):
        state, losses = None, []
        for start in (0, 2, 4):
            output, state = layer(x[:, start : start + 2].requires_grad_(), state)
            losses.append(output.sin().sum())
            if start == 2:
                state = tuple(part.detach() for part in state)
        return torch.autograd.grad(sum(losses), list(layer.cell.parameters()))

    both(windows)


def test_recompute_repeats_draws_and_does_not_repeat_less():
    cell = small_cell(lambda self, gi, gh, state: (functional.dropout((gi + gh).tanh(), 0.5),))
    found = []
    for recompute in (False, True):
        torch.manual_seed(2)
        x, _ = batch(cell, 5, 6)
        output, _ = Recurrent(cell, recompute=recompute)(x.requires_grad_())
        found.append([output, *torch.autograd.grad(output.square().sum(), [x, *cell.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_recompute_of_a_step_with_a_number_that_has_changed_since_is_noticed_or_right():
    """A counter of calls outside the step: the second pass sees what the first did, or says that it does not."""
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,), alpha=0.5)
    found = []
    for recompute in (False, True):
        cell.alpha = 0.5
        x, _ = batch(cell, 5, 6)
        output, _ = Recurrent(cell, recompute=recompute)(x.requires_grad_())
        found.append([output, *torch.autograd.grad(output.square().sum(), [x, *cell.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


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
