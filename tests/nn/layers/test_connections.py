"""Connections, norms, and layers that differ: their equations written again, in both directions, padded and carried."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from seqlab.config.values import CONNECTED, VALUES
from seqlab.nn import (
    CharacterEncoder,
    Decoder,
    Encoder,
    GRUCell,
    LSTMCell,
    TokenHead,
    TokenInput,
    Translator,
    initialize,
)
from seqlab.nn.layers.connections import CONNECTIONS
from seqlab.nn.layers.encoder import NORMS
from seqlab.nn.state import map_state
from tests.nn.covering import covering

CONNECTS = ["none", "residual", "highway", "dense"]
RAGGED = torch.tensor([5, 0, 3])


def random_state(encoder, rows):
    like = torch.zeros((), dtype=torch.float64)
    return map_state(torch.randn_like, encoder.initial_state(rows, like=like))


def encoder_of(*arguments, **options):
    """In float64, with norms and gates that are no longer as they begin."""
    encoder = Encoder(*arguments, **options).double()
    for part in (encoder.norms, encoder.connection):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter)
    return encoder


def compose(encoder, x, state, lengths):
    """The encoder's equations written out, without dropout."""
    parameters = dict(encoder.named_parameters())

    def norm(number, y):
        gain, bias = (parameters[f"norms.{number}.{name}"] for name in ("weight", "bias"))
        spread = (y.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        y = gain * (y - y.mean(2, keepdim=True)) / spread + bias
        steps = torch.arange(y.size(1)).unsqueeze(1)
        return y if lengths is None else torch.where(steps < lengths.view(-1, 1, 1), y, 0.0)

    sums = encoder.connect in ("residual", "highway")
    outputs, states = [], []
    for index, layer in enumerate(encoder.layers):
        read = outputs[-1] if outputs else x
        if sums and encoder.norm == "pre" and outputs:
            read = norm(index - 1, read)
        seen = torch.cat([x, *outputs], 2) if encoder.connect == "dense" else read
        y, new = layer(seen, state[index], lengths)
        if encoder.connect == "residual" and outputs:
            y = outputs[-1] + y
        if encoder.connect == "highway" and outputs:
            weight, bias = (parameters[f"connection.gates.{index - 1}.{name}"] for name in ("weight", "bias"))
            t = torch.sigmoid(read @ weight.T + bias)
            y = t * y + (1 - t) * outputs[-1]
        if encoder.norm == "post" or (encoder.norm == "pre" and not sums):
            y = norm(index, y)
        outputs.append(y)
        states.append(new)
    output = torch.cat(outputs, 2) if encoder.connect == "dense" else outputs[-1]
    return (norm(-1 % encoder.num_layers, output) if sums and encoder.norm == "pre" else output), tuple(states)


@pytest.mark.parametrize(
    ("connect", "norm", "num_layers", "bidirectional", "lengths"),
    covering(CONNECTS, ["none", "pre", "post"], [1, 2, 4], [False, True], [None, RAGGED], strength=3),
)
def test_encoder_is_its_layers_composed(connect, norm, num_layers, bidirectional, lengths):
    encoder = encoder_of(LSTMCell, 3, 4, num_layers, bidirectional, connect, norm=norm)
    x, state = torch.randn(3, 5, 3).double(), random_state(encoder, 3)
    actual = encoder(x, state, lengths)
    expected = compose(encoder, x, state, lengths)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert actual[0].size(2) == encoder.output_size
    if lengths is not None:
        assert torch.equal(actual[0][1], torch.zeros_like(actual[0][1]))
        assert torch.equal(actual[0][2, 3:], torch.zeros_like(actual[0][2, 3:]))


@pytest.mark.parametrize(("connect", "norm"), covering(CONNECTS, ["none", "pre", "post"]))
def test_engines_agree_through_the_whole_stack(connect, norm):
    cells, options = [GRUCell, LSTMCell, GRUCell], {"connect": connect, "norm": norm}
    native, loop = (encoder_of(cells, 3, 4, None, True, backend=name, **options) for name in ("native", "loop"))
    loop.load_state_dict(native.state_dict())
    x, lengths = torch.randn(3, 5, 3).double(), torch.tensor([2, 0, 5])
    state = random_state(native, 3)
    results = []
    for encoder in (native, loop):
        output, _ = encoder(x, state, lengths)
        results.append([output, *torch.autograd.grad((output**3).sum(), list(encoder.parameters()))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
        assert one.any(), "a parameter has no part in the output"


@pytest.mark.parametrize(("connect", "norm"), covering(CONNECTS, ["none", "pre", "post"]))
def test_carried_windows_equal_one_long_pass(connect, norm):
    encoder = encoder_of([LSTMCell, GRUCell, LSTMCell], 3, 4, connect=connect, norm=norm)
    x, lengths = torch.randn(3, 9, 3).double(), torch.tensor([9, 5, 0])
    whole, final = encoder(x, lengths=lengths)
    state, outputs = None, []
    for start in range(0, 9, 4):
        window = x[:, start : start + 4]
        output, state = encoder(window, state, (lengths - start).clamp(0, window.size(1)))
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


def test_without_a_sum_there_is_one_place_for_a_norm():
    for connect in ("none", "dense"):
        torch.manual_seed(3)
        pre = Encoder(GRUCell, 3, 4, 3, connect=connect, norm="pre")
        post = Encoder(GRUCell, 3, 4, 3, connect=connect, norm="post")
        post.load_state_dict(pre.state_dict())
        x = torch.randn(2, 5, 3)
        torch.testing.assert_close(pre(x), post(x), rtol=0, atol=0)


def test_a_highway_carries_most_at_first_and_draws_its_layers_as_others_do():
    torch.manual_seed(1)
    plain = Encoder(LSTMCell, 3, 4, 3)
    torch.manual_seed(1)
    highway = Encoder(LSTMCell, 3, 4, 3, connect="highway", norm="pre")
    assert all(torch.equal(value, highway.state_dict()[name]) for name, value in plain.state_dict().items())
    initialize(highway, uniform=0.01)
    for gate in highway.connection.gates:
        assert torch.equal(gate.bias, torch.full((4,), -1.0)) and gate.weight.abs().max() <= 0.01
    for norm in highway.norms:
        assert torch.equal(norm.weight, torch.ones(4)) and not norm.bias.any()


def test_dropout_spares_the_sum_and_the_gate(monkeypatch):
    seen = []
    monkeypatch.setattr(functional, "dropout", lambda x, p, training: seen.append(x) or torch.zeros_like(x))
    encoder, x = encoder_of(GRUCell, 4, 4, 2, connect="highway", norm="pre", dropout=0.5), torch.randn(2, 5, 4).double()
    output, _ = encoder(x)
    y1, _ = encoder.layers[0](x)
    u = encoder.norms[0](y1)
    assert len(seen) == 1 and torch.equal(seen[0], u)
    t = torch.sigmoid(encoder.connection.gates[0](u))
    y2 = t * encoder.layers[1](torch.zeros_like(u))[0] + (1 - t) * y1
    torch.testing.assert_close(output, encoder.norms[1](y2))


@pytest.mark.parametrize(("connect", "norm"), covering(CONNECTS, ["none", "pre", "post"]))
def test_autocast_and_short_floats_give_the_same_to_their_digits(connect, norm):
    encoder, x = Encoder(LSTMCell, 3, 4, 3, True, connect, norm=norm), torch.randn(2, 6, 3)
    exact, _ = encoder(x)
    with torch.autocast("cpu", torch.bfloat16):
        output, state = encoder(x)
        encoder(x, state)
    torch.testing.assert_close(output.float(), exact, rtol=0.1, atol=0.1)
    short, _ = encoder.bfloat16()(x.bfloat16())
    assert short.dtype == torch.bfloat16
    torch.testing.assert_close(short.float(), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("connect", "bidirectional"), covering(["none", "dense"], [False, True]))
def test_layers_may_differ_in_cell_and_size(connect, bidirectional):
    encoder = encoder_of([LSTMCell, GRUCell, LSTMCell], 3, [6, 2, 5], 3, bidirectional, connect, norm="post")
    x, state = torch.randn(3, 5, 3).double(), random_state(encoder, 3)
    torch.testing.assert_close(encoder(x, state, RAGGED), compose(encoder, x, state, RAGGED), rtol=1e-12, atol=1e-12)
    d = 2 if bidirectional else 1
    assert encoder.output_size == d * (13 if connect == "dense" else 5)
    assert (encoder.num_layers, encoder.hidden_size) == (3, (6, 2, 5))


def test_lists_may_stand_alone_and_one_cell_made_twice_is_two():
    assert Encoder([LSTMCell, GRUCell], 3, 4).num_layers == 2
    assert Encoder(GRUCell, 3, (4, 5, 6)).output_size == 6
    assert Encoder(GRUCell, 3, 4).num_layers == 1


@pytest.mark.parametrize("option", [{"norm": "pre"}, {"connect": "highway", "num_layers": 2}])
def test_what_would_learn_nothing_is_refused_where_states_alone_are_read(option):
    encoder, plain = partial(Encoder, GRUCell, hidden_size=4, **option), partial(Encoder, GRUCell, hidden_size=4)
    decoder = partial(Decoder, partial(TokenInput, 9, 3), plain, partial(TokenHead, vocab_size=9), feature_size=4)
    Translator(partial(TokenInput, 9, 3), encoder, decoder)
    with pytest.raises(ValueError, match=rf"encoder: expected {next(iter(option))}=.* without attention"):
        Translator(partial(TokenInput, 9, 3), encoder, partial(decoder, attention=None))
    with pytest.raises(ValueError, match=r"character_encoder: expected norm=.none., got .post."):
        CharacterEncoder(5, partial(plain, bidirectional=True, norm="post"))


def test_the_configuration_takes_what_the_encoder_takes():
    assert CONNECTED.choices == tuple(CONNECTIONS)
    assert VALUES["model.norm"].choices == NORMS
