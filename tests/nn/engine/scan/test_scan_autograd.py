"""The scan engine as one differentiable operation: its gradients, of what and how often they are asked for."""

from functools import lru_cache

import pytest
import torch

from seqlab.nn import IndRNNCell, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, Recurrent
from tests.nn.agreement import RAGGED, Same, assert_agrees, batch, results

pytestmark = pytest.mark.usefixtures("either")


@lru_cache
def cell_of(make, *sizes):
    """One cell for all tests that only run it, so that its step is looked at once."""
    torch.manual_seed(0)
    return make(*sizes).double()


@pytest.mark.parametrize("lengths", [None, (2, 0, 3)])
@pytest.mark.parametrize("make", [LSTMCell, LayerNormLSTMCell])
def test_gradients_are_exact(make, lengths):
    cell = cell_of(make, 2, 3)
    layer, (x, state) = Recurrent(cell, "scan"), batch(cell, 3, 3)
    counts = None if lengths is None else torch.tensor(lengths)

    def run(x, *others):
        output, final = layer(x, others[: len(state)], counts)
        return output, *final

    leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state)]
    assert torch.autograd.gradcheck(run, (*leaves, *cell.parameters()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize("make", [LSTMCell, LayerNormLSTMCell, IndRNNCell])
def test_a_second_derivative_is_that_of_loop(make, lengths, reverse):
    """A gradient penalty, of every result, in everything that is learned."""
    cell = cell_of(make, 3, 9)
    counts, found = None if lengths is None else torch.tensor(lengths), []
    for backend in ("scan", "loop"):
        x, state = batch(cell, 5, 6)
        leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), *cell.parameters()]
        output, final = Recurrent(cell, backend, reverse)(x, state, counts)
        loss = (output**3).sum() + sum((part.sin() * (k + 1)).sum() for k, part in enumerate(final))
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        found.append([*first, *torch.autograd.grad(sum((each**2).sum() for each in first), leaves)])
    assert any(each.abs().sum() > 0 for each in found[0][len(leaves) :])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, (2, 0, 3)])
def test_second_derivatives_are_exact(lengths, reverse):
    cell = cell_of(PeepholeLSTMCell, 2, 3)
    layer, (x, state) = Recurrent(cell, "scan", reverse), batch(cell, 3, 3)
    counts = None if lengths is None else torch.tensor(lengths)

    def run(x, h, c, *_):
        output, final = layer(x, (h, c), counts)
        return output, *final

    leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), cell.weight_hh, cell.peephole_o]
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


def test_a_graph_that_is_kept_gives_the_same_gradients_again():
    cell = LayerNormLSTMCell(3, 17)
    x, state = batch(cell, 5, 6, torch.float32)
    x.requires_grad_()
    output, final = Recurrent(cell, "scan")(x, state)
    loss, leaves = output.square().sum() + final[1].sum(), [x, *cell.parameters()]
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    second = torch.autograd.grad(loss, leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_only_what_asks_for_it_gets_a_gradient_and_it_is_the_same():
    cell = PeepholeLSTMCell(3, 17).double()
    x, state = batch(cell, 5, 6)
    whole = results(cell, "loop", x, state)
    leaves = {"x": x, "h": state[0], "c": state[1], **dict(cell.named_parameters())}
    draw = torch.Generator().manual_seed(7)  # the weights of `results`
    for learned in (["x"], ["weight_hh"], ["bias_hh"], ["peephole_i"], ["weight_ih", "c"], ["h"]):
        for name, leaf in leaves.items():
            leaf.requires_grad_(name in learned).grad = None
        output, final = Recurrent(cell, "scan")(x, state)
        parts = (output, *final)
        draw.manual_seed(7)
        weights = [torch.randn(part.shape, generator=draw, dtype=torch.float64) for part in parts]
        sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True)).backward()
        for name, leaf in leaves.items():
            if name not in learned:
                assert leaf.grad is None
                continue
            expected = whole[f"gradient of initial {name}" if name in "hc" else f"gradient of {name}"]
            torch.testing.assert_close(leaf.grad, expected, rtol=1e-10, atol=1e-10)


def test_a_loss_of_some_results_alone_gives_its_gradients():
    cell = cell_of(LSTMCell, 3, 17)
    for pick in (lambda o, f: o[:, 2], lambda o, f: f[0], lambda o, f: f[1]):
        pairs = []
        for backend in ("scan", "loop"):
            x, state = batch(cell, 5, 6)
            x.requires_grad_()
            pairs.append(
                torch.autograd.grad(pick(*Recurrent(cell, backend)(x, state)).sin().sum(), [x, *cell.parameters()])
            )
        for one, other in zip(*pairs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lengths", [None, RAGGED])
@pytest.mark.parametrize("backend", ["scan", "native", "auto"])
def test_results_changed_in_place_are_served_as_on_loop(backend, lengths):
    cell = cell_of(LSTMCell, 3, 17)
    counts, found = None if lengths is None else torch.tensor(lengths), []
    for name, in_place in ((backend, True), ("loop", True), ("loop", False)):
        x, state = batch(cell, 5, 6)
        leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state), *cell.parameters()]
        output, (h, c) = Recurrent(cell, name)(x, state, counts)
        if in_place:
            output.mul_(2)
            output[:, 1].relu_()
            c.add_(1)
        else:
            output = output * 2
            output = torch.cat((output[:, :1], output[:, 1:2].relu(), output[:, 2:]), 1)
            c = c + 1
        loss = output.square().sum() + (h * c).sum()
        found.append([output.detach(), c.detach(), *torch.autograd.grad(loss, leaves)])
    for one, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_weight_changed_in_between_is_noticed():
    cell = PeepholeLSTMCell(3, 17)
    for name in ("weight_hh", "peephole_i"):
        output, _ = Recurrent(cell, "scan")(torch.randn(2, 4, 3))
        with torch.no_grad():
            getattr(cell, name).mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()


def test_inputs_and_states_are_left_as_they_were():
    cell = Same(8, 8)
    for rows, steps in ((1, 6), (5, 1), (5, 6)):
        assert_agrees(cell, rows, steps)
        x, state = batch(cell, rows, steps)
        before = [x.clone(), *(part.clone() for part in state)]
        results(cell, "scan", x, state)
        Recurrent(cell, "scan")(x, state)[0].sum().backward()
        assert all(torch.equal(one, other) for one, other in zip([x, *state], before, strict=True))


def test_a_projection_that_its_own_gradient_needs_is_left_alone():
    class Squashed(LSTMCell):
        def project(self, x):
            return super().project(x).tanh()

    cell = Squashed(3, 17)
    for lengths in (RAGGED, None):
        assert_agrees(cell, lengths=lengths)
