"""nn.RNN, nn.GRU and nn.LSTM to encoders and back: outputs, states and all gradients agree."""

import logging
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.nn import Encoder, GRUCell, LSTMCell, RNNCell
from seqlab.nn.interop import from_torch, state_from_torch, state_to_torch, to_torch
from tests.nn.covering import covering

FAMILIES = {"tanh": nn.RNN, "relu": partial(nn.RNN, nonlinearity="relu"), "gru": nn.GRU, "lstm": nn.LSTM}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def random_state(module, rows, dtype):
    """An initial state in torch's layout, as a list of its parts."""
    entries = module.num_layers * (2 if module.bidirectional else 1)
    parts = 2 if isinstance(module, nn.LSTM) else 1
    return [torch.randn(entries, rows, module.hidden_size, dtype=dtype, requires_grad=True) for _ in range(parts)]


def torch_gradients_by_encoder_name(module, encoder):
    """The module's gradients under the encoder's names."""
    found = {}
    for index in range(module.num_layers * (2 if module.bidirectional else 1)):
        layer, backward = divmod(index, 2) if module.bidirectional else (index, 0)
        middle = ("backward_layer." if backward else "forward_layer.") if module.bidirectional else ""
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if module.bias else 2]:
            theirs = f"{name}_l{layer}{'_reverse' if backward else ''}"
            found[f"layers.{layer}.{middle}cell.{name}"] = getattr(module, theirs).grad
    assert set(found) == set(dict(encoder.named_parameters()))
    return found


def run_torch(module, x, state, lengths):
    hx = tuple(state) if len(state) == 2 else state[0]
    if lengths is None:
        output, final = module(x if module.batch_first else x.transpose(0, 1), hx)
        output = output if module.batch_first else output.transpose(0, 1)
    else:
        packed, final = module(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), hx)
        output, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.size(1))
    return output, list(final) if isinstance(final, tuple) else [final]


def loss_of(output, final):
    return (output * output.detach().cos()).sum() + sum((part**2).sum() for part in final)


@pytest.mark.parametrize(
    ("family", "num_layers", "bidirectional", "bias", "batch_first", "dtype", "lengths", "backend"),
    covering(
        *([*FAMILIES], [1, 3], [True, False], [True, False], [True, False], [*TOLERANCE]),
        *([None, [2, 5, 1, 4]], ["auto", "loop"]),
        strength=3,
    ),
)
def test_from_torch_agrees_in_outputs_states_and_gradients(
    family, num_layers, bidirectional, bias, batch_first, dtype, lengths, backend
):
    module = FAMILIES[family](
        3, 4, num_layers, bias=bias, bidirectional=bidirectional, batch_first=batch_first, dtype=dtype
    )
    encoder = from_torch(module, backend)
    lengths = None if lengths is None else torch.tensor(lengths)
    x, state = torch.randn(4, 5, 3, dtype=dtype, requires_grad=True), random_state(module, 4, dtype)
    output, final = run_torch(module, x, state, lengths)
    loss_of(output, final).backward()
    x_ours = x.detach().clone().requires_grad_()
    state_ours = [part.detach().clone().requires_grad_() for part in state]
    given = state_from_torch(tuple(state_ours) if len(state_ours) == 2 else state_ours[0], bidirectional)
    output_ours, new = encoder(x_ours, given, lengths)
    final_ours = state_to_torch(new)
    final_ours = list(final_ours) if isinstance(final_ours, tuple) else [final_ours]
    loss_of(output_ours, final_ours).backward()

    close = partial(torch.testing.assert_close, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    close(output_ours, output)
    close(final_ours, final)
    close(x_ours.grad, x.grad)
    close([part.grad for part in state_ours], [part.grad for part in state])
    expected = torch_gradients_by_encoder_name(module, encoder)
    for name, parameter in encoder.named_parameters():
        close(parameter.grad, expected[name])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_there_and_back_gives_the_same_module(family, bidirectional, bias):
    module = FAMILIES[family](3, 4, 2, bias=bias, bidirectional=bidirectional, dropout=0.3).double().eval()
    module.weight_hh_l1.requires_grad_(False)
    before = torch.get_rng_state()
    back = to_torch(from_torch(module))
    assert torch.equal(torch.get_rng_state(), before)
    assert type(back) is type(module)
    assert (back.dropout, back.bidirectional, back.bias, back.mode) == (0.3, bidirectional, bias, module.mode)
    assert (back.batch_first, back.training) == (True, False)
    assert list(back.state_dict()) == list(module.state_dict())
    for (name, theirs), (_, ours) in zip(module.named_parameters(), back.named_parameters(), strict=True):
        assert torch.equal(theirs, ours), name
        assert theirs.dtype == ours.dtype
        assert theirs.requires_grad == ours.requires_grad
        assert theirs.data_ptr() != ours.data_ptr()


def test_to_torch_agrees_with_the_encoder():
    encoder = Encoder(GRUCell, 3, 4, 2, bidirectional=True).double()
    x = torch.randn(2, 5, 3).double()
    output, final = to_torch(encoder)(x)
    expected, state = encoder(x)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(final, state_to_torch(state))


def test_to_torch_reads_parametrized_weights():
    encoder, x = Encoder(LSTMCell, 3, 4), torch.randn(2, 5, 3)
    parametrizations.weight_norm(encoder.layers[0].cell, "weight_hh")
    torch.testing.assert_close(to_torch(encoder)(x)[0], encoder(x)[0])


def test_dropout_is_kept_and_draws_alike():
    module = nn.LSTM(3, 4, 2, dropout=0.5, batch_first=True)
    encoder = from_torch(module)
    assert encoder.dropout == 0.5
    x = torch.randn(2, 5, 3)
    assert not torch.equal(encoder(x)[0], encoder(x)[0])
    torch.testing.assert_close(encoder.eval()(x)[0], module.eval()(x)[0])


def test_dropout_that_torch_never_applies_is_dropped_with_a_word(caplog):
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        module = nn.LSTM(3, 4, dropout=0.5)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        assert from_torch(module).dropout == 0
    assert "never applies its dropout of 0.5" in caplog.text


def test_an_lstm_with_projection_is_refused():
    with pytest.raises(ValueError, match="module: expected an LSTM without projection, got proj_size=2"):
        from_torch(nn.LSTM(3, 4, proj_size=2))


@pytest.mark.parametrize("module", [nn.LSTMCell(3, 4), nn.Linear(3, 4), LSTMCell(3, 4)])
def test_other_modules_are_refused(module):
    with pytest.raises(TypeError, match=f"module: expected an nn.RNN, nn.GRU or nn.LSTM, got {type(module).__name__}"):
        from_torch(module)


class Own(LSTMCell):
    pass


def mixed(input_size, hidden_size):
    return LSTMCell(input_size, hidden_size, bias=input_size == 3)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Encoder(Own, 3, 4), r"encoder: expected LSTM, GRU, or tanh or relu RNN cells, got Own\(3, 4"),
        (Encoder(partial(RNNCell, nonlinearity="sigmoid"), 3, 4), "encoder: expected .* got RNNCell.*sigmoid"),
        (Encoder(LSTMCell, 3, 4, 2, connect="dense"), "encoder: expected connect=\"none\".* got 'dense'"),
        (Encoder(LSTMCell, 3, 4, 2, norm="pre"), "encoder: expected norm=\"none\".* got 'pre'"),
        (Encoder([LSTMCell, GRUCell], 3, 4), "encoder: expected cells of one kind"),
        (Encoder(LSTMCell, 3, [4, 5]), "encoder: expected cells of one kind"),
        (Encoder(mixed, 3, 4, 2), "encoder: expected cells of one kind, size and bias"),
    ],
)
def test_encoders_without_a_twin_are_refused(encoder, message):
    with pytest.raises(ValueError, match=message):
        to_torch(encoder)
