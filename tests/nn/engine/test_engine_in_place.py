"""What a caller changes in place between two passes, or before the backward one, is heeded by every engine."""

import pytest
import torch
from torch.nn.utils import parametrizations

from seqlab.nn import GRUCell, IndRNNCell, LSTMCell, MinGRUCell, Recurrent, RNNCell
from tests.nn.agreement import batch


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("backend", ["parallel", "scan", "auto"])
def test_an_output_of_a_linear_cell_may_be_changed(backend, dtype):
    cell = MinGRUCell(3, 5).to(dtype)
    found = []
    for name in (backend, "loop"):
        x, _ = batch(cell, 4, 6, dtype)
        output, (h,) = Recurrent(cell, name)(x.requires_grad_())
        output.mul_(2)
        h.add_(1)
        found.append(
            [output.detach(), *torch.autograd.grad(output.square().sum() + h.square().sum(), [x, *cell.parameters()])]
        )
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_a_result_of_a_kernel_of_torchs_may_be_changed(kind):
    """In float32, where oneDNN keeps an LSTM's output for its gradient."""
    cell, found = kind(3, 5), []
    for backend in ("native", "loop"):
        x, _ = batch(cell, 4, 6, torch.float32)
        output, (h, *_) = Recurrent(cell, backend)(x.requires_grad_())
        output.mul_(2)
        h.add_(1)
        loss = output.square().sum() + h.square().sum()
        found.append([output.detach(), *torch.autograd.grad(loss, [x, *cell.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


OUTPUTS = {
    "keeps its own result": lambda h: h.relu(),
    "keeps what it is given": lambda h: h.square(),
    "a view": lambda h: h[:, 1:4],
    "one unit for all": lambda h: h[:, :1].expand(-1, 5),
    "the state itself": lambda h: h,
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("output_of", OUTPUTS.values(), ids=OUTPUTS)
def test_an_output_of_the_cells_own_may_be_changed(compiled_quickly, output_of, gradients):
    class Shown(GRUCell):
        @property
        def output_size(self):
            return output_of(torch.zeros(1, self.hidden_size)).size(1)

        def output(self, state):
            return output_of(state[0])

    cell = Shown(3, 5).double()
    x, _ = batch(cell, 4, 6)
    found = []
    for backend in ("scan", "loop"):
        with torch.set_grad_enabled(gradients):
            output, (h,) = Recurrent(cell, backend)(x)
            output.mul_(2).add_(x.mean())
            found.append([output.detach().clone(), h.detach().clone()])
            if gradients:
                found[-1] += torch.autograd.grad(output.square().sum() + h.sum(), list(cell.parameters()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", [RNNCell, GRUCell, LSTMCell])
def test_one_bias_taken_away_is_no_error(kind):
    cell = kind(3, 5).double()
    cell.bias_hh = None
    x, state = batch(cell, 4, 6)
    expected, _ = Recurrent(cell, "loop")(x, state)
    torch.testing.assert_close(Recurrent(cell)(x, state)[0], expected)
    with pytest.raises(ValueError, match=r"backend: native.*one"):
        Recurrent(cell, "native")(x, state)


@pytest.mark.parametrize("change", [lambda cell: cell.weight_hh.mul_(0.5), lambda cell: cell.bias_ih.zero_()])
def test_recompute_with_other_weights_than_the_forward_pass_had_is_an_error(change):
    layer = Recurrent(GRUCell(3, 5), recompute=True)
    output, _ = layer(torch.randn(2, 9, 3))
    with torch.no_grad():
        change(layer.cell)
    with pytest.raises(RuntimeError, match="modified by an inplace operation: recompute"):
        output.sum().backward()


def test_a_batch_without_a_step_does_all_the_same_what_the_cell_does(compiled_quickly):
    """A spectral norm's own vectors move on, and each weight has a gradient, which is zero."""
    layers = []
    for backend in ("scan", "loop"):
        torch.manual_seed(0)
        cell = parametrizations.spectral_norm(IndRNNCell(3, 5), "weight_ih")
        layer = Recurrent(cell, backend)
        output, _ = layer(torch.randn(2, 4, 3), lengths=torch.tensor([0, 0]))
        output.sum().backward()
        layers.append(layer)
    for (name, one), other in zip(layers[0].named_buffers(), layers[1].buffers(), strict=True):
        assert torch.equal(one, other), name
    assert all(not parameter.grad.any() for parameter in layers[0].parameters())
