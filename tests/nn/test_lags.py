"""Norms of gradients by lag, against autograd step by step and against a linear network whose norms are known."""

import pytest
import torch
from torch import nn

from seqlab.nn import Encoder, GRUCell, LSTMCell, Recurrent, RecurrentCell, norms_by_lag, state_gradients

LENGTHS = torch.tensor([7, 0, 4])


class Linear(RecurrentCell):
    """h_t = W h_{t-1} + x_t."""

    def __init__(self, weight):
        super().__init__(len(weight), len(weight))
        self.weight = nn.Parameter(weight)

    def step(self, gi, state):
        return (gi + state[0] @ self.weight.T,)


@pytest.mark.parametrize("gain", [0.8, 1.0, 1.25], ids=["vanishing", "kept", "exploding"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("positions", [1, 3, 8, 99])
def test_a_scaled_rotation_shrinks_or_grows_by_its_gain_a_step(gain, reverse, positions):
    torch.manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    layer, readout = Recurrent(Linear(gain * rotation), reverse=reverse), torch.randn(5, dtype=torch.float64)
    x = torch.randn(3, 8, 5, dtype=torch.float64)
    norms = norms_by_lag(layer, lambda: layer(x)[0] @ readout, positions=positions)["h"]
    expected = readout.norm() * gain ** torch.arange(8.0, dtype=torch.float64)
    if reverse and positions == 1:  # t = 7 is the first step of a layer that runs from the end
        torch.testing.assert_close(norms[:1], expected[:1])
        assert norms[1:].isnan().all()
    else:
        reached = ~norms.isnan()
        torch.testing.assert_close(norms[reached], expected[reached])
        assert reached.all() or reverse


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_each_layers_norms_are_the_mean_of_autograds(cell, bidirectional, lengths):
    torch.manual_seed(0)
    encoder = Encoder(cell, 3, 4, num_layers=2, bidirectional=bidirectional).double()
    x = torch.randn(3, 7, 3, dtype=torch.float64)

    def losses():
        return encoder(x, lengths=lengths)[0].pow(2).sum(2)

    norms = norms_by_lag(encoder, losses, lengths, positions=7)
    found = {name: [[] for _ in range(7)] for name in norms}
    for row in range(3):
        length = 7 if lengths is None else int(lengths[row])
        for t in range(length):
            # One loss of one row at a time, by another function.
            for name, gradients in state_gradients(encoder, lambda row=row, t=t: losses()[row, t]).items():
                own = length - 1 - t if ".backward_layer" in name else t
                for lag in range(own + 1):
                    found[name][lag].append(gradients[own - lag, row].norm().item())
    assert len(found) == (4 if bidirectional else 2) * (2 if cell is LSTMCell else 1)
    for name, values in norms.items():
        expected = torch.tensor([sum(each) / len(each) for each in found[name]], dtype=torch.float64)
        torch.testing.assert_close(values, expected)


def test_a_loss_a_row_is_at_the_rows_last_step():
    encoder = Encoder(GRUCell, 3, 4, bidirectional=True).double()
    x, last = torch.randn(3, 7, 3, dtype=torch.float64), (LENGTHS - 1).clamp(min=0)

    def losses():
        _, state = encoder(x, lengths=LENGTHS)
        return torch.cat([part[0] for part in state[0]], 1).pow(2).sum(1)

    norms = norms_by_lag(encoder, losses, LENGTHS)
    gradients = state_gradients(encoder, lambda: losses().sum())
    for name, values in norms.items():
        each = gradients[name].norm(dim=2)
        by_hand = [(each[6 - lag, 0] + each[last[2] - lag, 2]) / 2 if lag < 4 else each[6 - lag, 0] for lag in range(7)]
        torch.testing.assert_close(values, torch.stack(by_hand))


def test_layers_that_read_something_else_are_left_out_and_nothing_is_changed():
    layer, letters = Recurrent(LSTMCell(3, 4)), Recurrent(LSTMCell(3, 3))
    model, x = nn.ModuleDict({"layer": layer, "letters": letters}), torch.randn(2, 5, 3)

    def losses():
        words = letters(x.reshape(10, 1, 3).expand(10, 6, 3))[1][0].view(2, 5, 3)
        return layer(words)[0].sum(2)

    random = torch.get_rng_state()
    norms = norms_by_lag(model, losses)
    assert list(norms) == ["layer.h", "layer.c"] and norms["layer.c"][0] == 0 < norms["layer.c"][1]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random) and "forward" not in vars(layer)
    assert list(norms_by_lag(model.half().float(), losses, positions=1)) == list(norms)


@pytest.mark.parametrize(
    ("losses", "options", "words"),
    [
        (lambda output: output.sum(), {}, r"expected a tensor \(B, T\) or \(B,\)"),
        (lambda output: output.sum(2).detach(), {}, "without a gradient"),
        (lambda output: output.sum(2)[:, :3], {}, "none does"),
        (lambda output: output.sum(2), {"positions": 0}, "positions"),
        (lambda output: output.sum(2), {"lengths": torch.tensor([6, 1])}, "lengths"),
    ],
)
def test_wrong_losses_are_refused(losses, options, words):
    layer = Recurrent(GRUCell(3, 4))
    with pytest.raises(ValueError, match=words):
        norms_by_lag(layer, lambda: losses(layer(torch.randn(2, 5, 3))[0]), **options)
