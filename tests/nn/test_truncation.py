"""What truncated backpropagation leaves of a gradient, and that it changes no value."""

import pytest
import torch

from seqlab.nn import GRUCell, LanguageModel, LSTMCell, Recurrent
from seqlab.nn.gradients import state_gradients, step_gradient_norms, step_gradients, truncation_bias
from tests.models import of_cell
from tests.nn.bptt import EXACT, by_autograd, weighted


def test_truncation_cuts_every_layers_state_between_windows():
    torch.manual_seed(0)
    model = of_cell(LanguageModel, 7, cell=GRUCell, hidden_size=5, num_layers=2).double()
    inputs = torch.randint(7, (3, 8))

    def loss():
        return weighted(model(inputs)[0])

    def in_windows():
        logits, state = [], None
        for window in inputs.split(3, 1):
            if state is not None:
                state = tuple(tuple(part.detach() for part in layer) for layer in state)
            scores, state = model(window, state)
            logits.append(scores)
        return weighted(torch.cat(logits, 1))

    for name in ("encoder.layers.0.cell.weight_hh", "encoder.layers.1.cell.weight_ih"):
        parts = step_gradients(model, loss, name, tbptt_steps=3)
        expected = by_autograd(model, in_windows, name)
        torch.testing.assert_close(parts.sum(0), expected, **EXACT)
        full = by_autograd(model, loss, name)
        cut, whole = truncation_bias(model, loss, name, (3, 8))
        assert (cut.steps, whole.steps) == (3, 8)
        cosine = torch.cosine_similarity(expected.flatten(), full.flatten(), dim=0)
        assert cut.cosine == pytest.approx(cosine.item(), abs=1e-10) and cosine < 1 - 1e-4
        assert cut.relative_error == pytest.approx(((expected - full).norm() / full.norm()).item(), abs=1e-10)
        assert whole.cosine == pytest.approx(1) and whole.relative_error == pytest.approx(0, abs=1e-10)


def test_with_a_loss_at_the_end_truncation_drops_the_parts_further_back():
    layer, x = Recurrent(LSTMCell(3, 4).double()), torch.randn(2, 6, 3, dtype=torch.float64)

    def loss():
        return layer(x)[0][:, -1].square().sum()

    full = step_gradients(layer, loss, "cell.weight_hh")
    cut = step_gradients(layer, loss, "cell.weight_hh", tbptt_steps=2)
    assert not cut[:4].any()
    torch.testing.assert_close(cut[4:], full[4:], **EXACT)
    gradients = state_gradients(layer, loss, tbptt_steps=2)
    assert not gradients["h"][:4].any() and not gradients["c"][:4].any()
    torch.testing.assert_close(gradients["c"][4:], state_gradients(layer, loss)["c"][4:], **EXACT)


@pytest.mark.parametrize("lengths", [torch.tensor([7, 4, 2]), None])
@pytest.mark.parametrize("reverse", [False, True])
def test_truncation_leaves_every_value_as_it_is(reverse, lengths):
    layer, x = Recurrent(LSTMCell(3, 4).double(), reverse=reverse), torch.randn(3, 7, 3, dtype=torch.float64)
    seen = []

    def loss():
        output, state = layer(x, lengths=lengths)
        seen.append((output.detach(), *(part.detach() for part in state)))
        return weighted(output, state)

    loss()
    step_gradient_norms(layer, loss, "cell.weight_hh", tbptt_steps=3)
    state_gradients(layer, loss)
    for other in seen[1:]:
        torch.testing.assert_close(other, seen[0], **EXACT)
