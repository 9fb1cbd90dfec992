"""The stack: connections, dropout, states, and what it refuses."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqlab.nn import Encoder, GRUCell, LSTMCell, RNNCell


@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_state_means_the_initial_one(bidirectional):
    encoder, x = Encoder(LSTMCell, 3, 4, 2, bidirectional), torch.randn(2, 5, 3)
    initial = encoder.initial_state(2, like=x)
    torch.testing.assert_close(encoder(x, initial), encoder(x))
    assert all(part.shape == (2, 4) for entry in initial for part in (sum(entry, ()) if bidirectional else entry))


def test_carried_windows_equal_one_long_pass():
    encoder, x = Encoder(LSTMCell, 3, 4, 3, connect="residual").double(), torch.randn(2, 9, 3).double()
    whole, final = encoder(x)
    state, outputs = None, []
    for window in x.split(4, 1):
        output, state = encoder(window, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


def test_the_factory_is_called_once_a_layer_and_direction_forward_first():
    calls, made = [], []

    def factory(input_size, hidden_size):
        calls.append((input_size, hidden_size))
        made.append(RNNCell(input_size, hidden_size))
        return made[-1]

    encoder = Encoder(factory, 3, 4, 2, bidirectional=True, connect="dense")
    assert calls == [(3, 4), (3, 4), (11, 4), (11, 4)]
    assert encoder.layers[1].forward_layer.cell is made[2]
    assert encoder.layers[1].backward_layer.cell is made[3]
    assert (encoder.output_size, encoder.bidirectional) == (16, True)


class Recorder(nn.Module):
    """Stands in a layer's place and keeps what it was shown."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, state, lengths):
        self.seen = x
        self.given, new = self.layer(x, state, lengths)
        return self.given, new


def recorded(connect, dropout=0.4):
    torch.manual_seed(0)
    encoder = Encoder(RNNCell, 6, 50, 3, connect=connect, dropout=dropout)
    encoder.layers = nn.ModuleList(map(Recorder, encoder.layers))
    x = torch.rand(8, 25, 6) + 0.5
    output, _ = encoder(x)
    return encoder, x, output, [layer.seen for layer in encoder.layers], [layer.given for layer in encoder.layers]


def dropped_share(seen, clean):
    """The share of zeros, after checking that what is left was scaled up by 1 / (1 - p)."""
    left = seen != 0
    torch.testing.assert_close(seen[left], clean[left] / 0.6)
    return 1 - left.float().mean().item()


def test_dropout_lies_between_layers_and_nowhere_else():
    encoder, x, output, seen, given = recorded("none")
    assert torch.equal(seen[0], x)
    assert torch.equal(output, given[2])
    for layer in (1, 2):
        assert dropped_share(seen[layer], given[layer - 1]) == pytest.approx(0.4, abs=0.02)
    encoder.eval()(x)
    assert torch.equal(encoder.layers[1].seen, encoder.layers[0].given)


def test_residual_dropout_lies_in_the_branch_and_not_on_the_sum():
    _, _, output, seen, given = recorded("residual")
    first, second = given[0], given[0] + given[1]
    assert dropped_share(seen[1], first) == pytest.approx(0.4, abs=0.02)
    assert dropped_share(seen[2], second) == pytest.approx(0.4, abs=0.02)
    torch.testing.assert_close(output, second + given[2])


def test_dense_dropout_spares_the_input_and_the_output():
    _, x, output, seen, given = recorded("dense")
    assert torch.equal(seen[1][..., :6], x)
    assert dropped_share(seen[1][..., 6:], given[0]) == pytest.approx(0.4, abs=0.02)
    assert torch.equal(seen[2][..., :56], seen[1])
    assert dropped_share(seen[2][..., 56:], given[1]) == pytest.approx(0.4, abs=0.02)
    assert torch.equal(output, torch.cat(given, 2))


def test_dropout_of_zero_draws_nothing():
    encoder, x = Encoder(LSTMCell, 3, 4, 2), torch.randn(2, 5, 3)
    before = torch.get_rng_state()
    training = encoder(x)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(encoder.eval()(x), training, rtol=0, atol=0)


def test_dropout_draws_what_torchs_own_draws():
    torch.manual_seed(1)
    encoder = Encoder(LSTMCell, 3, 4, 2, dropout=0.5)
    x = torch.randn(2, 5, 3)
    torch.manual_seed(2)
    actual, _ = encoder(x)
    after = torch.get_rng_state()
    torch.manual_seed(2)
    first, _ = encoder.layers[0](x)
    expected, _ = encoder.layers[1](functional.dropout(first, 0.5))
    torch.testing.assert_close(actual, expected)
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_outside_its_range_is_refused(dropout):
    with pytest.raises(ValueError, match=rf"dropout: expected a probability in \[0, 1\), got {dropout}"):
        Encoder(LSTMCell, 3, 4, 2, dropout=dropout)


class Widening(GRUCell):
    """Its output grows with its input."""

    @property
    def output_size(self):
        return self.hidden_size + self.input_size

    def output(self, state):
        return torch.cat((state[0], state[0].new_zeros(len(state[0]), self.input_size)), 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dropout": 1.0}, ValueError, r"dropout: expected a probability in \[0, 1\), got 1.0"),
        ({"num_layers": 0}, ValueError, "num_layers: expected at least 1, got 0"),
        ({"input_size": 0}, ValueError, "input_size: expected at least 1, got 0"),
        ({"hidden_size": 2.5}, TypeError, "hidden_size: expected an integer, got 2.5"),
        ({"connect": "skip"}, ValueError, "connect: expected one of none, residual, highway, dense, got 'skip'"),
        ({"norm": "before"}, ValueError, "norm: expected one of none, pre, post, got 'before'"),
        ({"cell": [LSTMCell, GRUCell], "num_layers": 3}, ValueError, "cell: .* each of 3 layers, got a list of 2"),
        ({"hidden_size": [4, 3], "num_layers": 1}, ValueError, "hidden_size: .* each of 1 layer, got a list of 2"),
        ({"cell": [LSTMCell] * 3, "hidden_size": [4, 3]}, ValueError, "hidden_size: .* each of 3 layers"),
        ({"hidden_size": []}, ValueError, "hidden_size: expected one for each of 1 layer, got a list of 0"),
        ({"hidden_size": [4, 2.5]}, TypeError, "hidden_size: expected an integer, got 2.5"),
        ({"cell": [LSTMCell, "gru"]}, TypeError, "cell: expected a factory, .* got 'gru'"),
        ({"hidden_size": [4, 3], "connect": "highway"}, ValueError, r"layers of one width.* got \[4, 3\]"),
        ({"backend": "fast"}, ValueError, "backend: expected one of auto, native, parallel, scan, loop, got 'fast'"),
        ({"cell": LSTMCell(3, 4)}, TypeError, "cell: expected a factory, .* got LSTMCell"),
        ({"cell": "lstm"}, TypeError, "cell: expected a factory, .* got 'lstm'"),
        (
            {"cell": nn.LSTMCell},
            TypeError,
            "cell: expected a factory of RecurrentCells of input_size 3, but it made LSTMC",
        ),
        (
            {"cell": lambda i, h: LSTMCell(h, h)},
            TypeError,
            "cell: expected .* of input_size 3, but it made LSTMCell.4, 4",
        ),
        (
            {"cell": Widening, "num_layers": 2, "connect": "residual"},
            ValueError,
            r"layers of one width.* got \[7, 11\]",
        ),
    ],
)
def test_wrong_constructions_give_one_clear_line(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        Encoder(**({"cell": LSTMCell, "input_size": 3, "hidden_size": 4} | arguments))
    assert "\n" not in str(caught.value)


def test_dropout_without_a_second_layer_has_no_effect_and_a_warning_says_so(caplog):
    encoder, x = Encoder(LSTMCell, 3, 4, dropout=0.5), torch.randn(2, 5, 3)
    assert "dropout=0.5 lies between layers: with num_layers=1 it has no effect" in caplog.text
    torch.testing.assert_close(encoder.train()(x)[0], encoder.eval()(x)[0], rtol=0, atol=0)


def test_a_state_of_another_depth_is_refused():
    one, x = Encoder(LSTMCell, 3, 4), torch.randn(2, 5, 3)
    with pytest.raises(ValueError, match=r"state: expected a tuple with one entry for each of 2 layers, got .*Tensor"):
        Encoder(LSTMCell, 3, 4, 2)(x, one.initial_state(2, like=x))
    with pytest.raises(ValueError, match="state: expected the pair"):
        Encoder(partial(RNNCell), 3, 4, bidirectional=True)(x, Encoder(RNNCell, 3, 4).initial_state(2, like=x))
