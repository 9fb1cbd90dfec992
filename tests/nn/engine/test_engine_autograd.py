"""Autograd around a layer: gradients that gather, hooks, checkpoints, its modes, carried states, recomputation."""

import pytest
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from seqlab.nn import LSTMCell, PeepholeLSTMCell, Recurrent
from tests.nn.agreement import assert_layer_agrees, batch, both, small_cell

pytestmark = pytest.mark.usefixtures("compiled_quickly")


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
