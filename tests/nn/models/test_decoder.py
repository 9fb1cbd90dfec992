"""The bridge from state to state, and the decoder's steps."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from seqlab.nn import Decoder, Encoder, GRUCell, LSTMCell, ModuleCell, RNNCell, SLSTMCell, TokenHead, TokenInput
from seqlab.nn.models.decoder import Bridge
from seqlab.nn.state import map_state

MODES = [
    {"attention": None},
    {"attention": "dot"},
    {"attention": "general"},
    {"attention": "additive", "attention_size": 3},
    {"attention": "general", "input_feeding": True},
    {"attention": "additive", "input_feeding": True, "tie_weights": True, "embedding_size": 3, "feature_size": 3},
]


def make(cell=LSTMCell, **arguments):
    torch.manual_seed(0)
    sizes = {"memory_size": 4, "embedding_size": 5, "feature_size": 4}
    options = {"hidden_size": 4, "num_layers": 2}
    options |= {
        name: arguments.pop(name) for name in ("hidden_size", "num_layers", "connect", "dropout") if name in arguments
    }
    arguments = sizes | arguments
    input, head = (
        partial(kind, vocab_size=9, **{name: arguments.pop(name) for name in names if name in arguments})
        for kind, names in (
            (TokenInput, ("embedding_size", "embedding_dropout")),
            (TokenHead, ("tie_weights", "output_dropout")),
        )
    )
    return Decoder(input, partial(Encoder, cell, **options), head, **arguments).double()


def draw(decoder, rows=3):
    """Inputs, a random state and a memory for ``decoder``."""
    torch.manual_seed(1)
    inputs = torch.randint(9, (rows, 5))
    like = torch.zeros((), dtype=torch.float64)
    state = decoder.start(map_state(torch.randn_like, decoder.recurrent.initial_state(rows, like=like)))
    memory = None
    if decoder.attention is not None:
        memory = decoder.attention.prepare(torch.randn(rows, 6, 4).double(), torch.tensor([6, 2, 0])[:rows])
    return inputs, state, memory


def bridged(encoder, decoder, rows=3):
    """A bridge, a random final state of the encoder and what the bridge makes of it."""
    torch.manual_seed(2)
    bridge, like = Bridge(encoder, decoder).double(), torch.zeros((), dtype=torch.float64)
    state = map_state(torch.randn_like, encoder.initial_state(rows, like=like))
    initial = decoder.initial_state(rows, like=like)
    return bridge, state, bridge(state, initial), initial


@pytest.mark.parametrize("cell", [RNNCell, LSTMCell, SLSTMCell])
def test_equal_states_are_copied(cell):
    bridge, state, new, _ = bridged(Encoder(cell, 3, 4, 2), Encoder(cell, 5, 4, 2))
    torch.testing.assert_close(new, state, rtol=0, atol=0)
    assert not list(bridge.parameters())


@pytest.mark.parametrize(
    ("depths", "sources"), [((4, 2), [1, 3]), ((2, 4), [0, 0, 1, 1]), ((3, 1), [2]), ((1, 3), [0, 0, 0])]
)
def test_layers_of_unequal_stacks_meet_in_order_and_at_the_top(depths, sources):
    _, state, new, _ = bridged(Encoder(GRUCell, 3, 4, depths[0]), Encoder(GRUCell, 3, 4, depths[1]))
    torch.testing.assert_close(new, tuple(state[source] for source in sources), rtol=0, atol=0)


def test_two_directions_are_joined_part_by_part():
    encoder, decoder = Encoder(LSTMCell, 3, 4, 2, bidirectional=True), Encoder(LSTMCell, 3, 5, 2)
    bridge, state, new, _ = bridged(encoder, decoder)
    for layer in range(2):
        forward, backward = state[layer]
        for part in range(2):
            join = bridge.layers[layer].joins[part]
            both = torch.cat((forward[part], backward[part]), 1)
            torch.testing.assert_close(new[layer][part], (both @ join.weight.T + join.bias).tanh())


def test_a_part_that_the_encoder_lacks_is_made_of_its_h():
    bridge, ((h,),), ((new_h, new_c),), _ = bridged(Encoder(GRUCell, 3, 4), Encoder(LSTMCell, 3, 4))
    for new, join in zip((new_h, new_c), bridge.layers[0].joins, strict=True):
        torch.testing.assert_close(new, (h @ join.weight.T + join.bias).tanh())
    bridge, ((h, _),), ((new,),), _ = bridged(Encoder(LSTMCell, 3, 4), Encoder(GRUCell, 3, 6))
    torch.testing.assert_close(new, (h @ bridge.layers[0].joins[0].weight.T + bridge.layers[0].joins[0].bias).tanh())


def test_parts_bound_to_each_other_begin_as_the_cell_begins():
    encoder, decoder = Encoder(SLSTMCell, 3, 4, bidirectional=True), Encoder(SLSTMCell, 3, 4)
    bridge, (((h, *_), (back, *_)),), ((new, *rest),), (initial,) = bridged(encoder, decoder)
    join = bridge.layers[0].joins[0]
    torch.testing.assert_close(new, (torch.cat((h, back), 1) @ join.weight.T + join.bias).tanh())
    torch.testing.assert_close(tuple(rest), initial[1:], rtol=0, atol=0)


def test_a_bidirectional_decoder_is_refused():
    with pytest.raises(ValueError, match="decoder: expected one direction"):
        Bridge(Encoder(GRUCell, 3, 4), Encoder(GRUCell, 3, 4, bidirectional=True))


def by_hand(decoder, inputs, state, memory):
    """The decoder's equations, step by step, without dropout."""
    recurrent, fed = state
    if decoder.input_feeding:
        assert torch.equal(fed, torch.zeros(len(inputs), decoder.feature_size).double())
    features, weights = [], []
    for token in inputs.unbind(1):
        x = decoder.input.embedding.weight[token]
        x = torch.cat((x, fed), 1) if decoder.input_feeding else x
        h, recurrent = decoder.recurrent(x.unsqueeze(1), recurrent)
        feature = h[:, 0]
        if memory is not None:
            context, weight = decoder.attention.attend(h, memory)
            joined = torch.cat((context[:, 0], feature), 1)
            feature = (joined @ decoder.combine.weight.T + decoder.combine.bias).tanh()
            weights.append(weight[:, 0])
        fed = feature
        features.append(feature)
    return torch.stack(features, 1), recurrent, torch.stack(weights, 1) if weights else None


@pytest.mark.parametrize("cell", [GRUCell, LSTMCell])
@pytest.mark.parametrize("mode", MODES)
def test_decoder_is_its_equations(mode, cell):
    decoder = make(cell, **mode)
    inputs, state, memory = draw(decoder)
    features, (recurrent, _), weights = decoder(inputs, state, memory)
    torch.testing.assert_close((features, recurrent), by_hand(decoder, inputs, state, memory)[:2])
    if memory is not None:
        torch.testing.assert_close(weights, by_hand(decoder, inputs, state, memory)[2])
    expected = features @ decoder.head.output.weight.T + decoder.head.output.bias
    torch.testing.assert_close(decoder.logits(features), expected)


@pytest.mark.parametrize("mode", MODES)
def test_tokens_read_one_by_one_are_tokens_read_at_once(mode):
    decoder = make(**mode)
    inputs, state, memory = draw(decoder)
    whole, final, _ = decoder(inputs, state, memory)
    steps = []
    for token in inputs.split(1, 1):
        features, state, _ = decoder(token, state, memory)
        steps.append(features)
    torch.testing.assert_close((torch.cat(steps, 1), state), (whole, final), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_a_later_token_changes_nothing_before_it(mode):
    decoder = make(**mode)
    inputs, state, memory = draw(decoder)
    other = inputs.clone()
    other[:, 3:] = (other[:, 3:] + 1) % 9
    one, two = (decoder(each, state, memory)[0] for each in (inputs, other))
    torch.testing.assert_close(one[:, :3], two[:, :3], rtol=0, atol=0)
    assert (one[:, 3:] != two[:, 3:]).any()


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_exact(mode):
    decoder = make(RNNCell, hidden_size=2, memory_size=2, **({"embedding_size": 2} | mode | {"num_layers": 1}))
    torch.manual_seed(3)
    inputs, keys = torch.randint(9, (2, 2)), torch.randn(2, 3, 2).double().requires_grad_()
    h = torch.randn(2, 2).double().requires_grad_()
    parameters = tuple(decoder.parameters())

    def run(keys, h, *_):
        attention = decoder.attention
        memory = None if attention is None else attention.prepare(keys, torch.tensor([3, 1]))
        features, _, weights = decoder(inputs, decoder.start(((h,),)), memory)
        return decoder.logits(features), *(() if weights is None else (weights,))

    assert torch.autograd.gradcheck(run, (keys, h, *parameters))


def test_each_dropout_acts_at_its_own_place_and_in_training_alone():
    for name in ("embedding_dropout", "dropout", "output_dropout"):
        decoder, plain = make(**{name: 0.5}), make()
        inputs, state, memory = draw(decoder)
        expected = plain.logits(plain(inputs, state, memory)[0])
        decoder.eval()
        torch.testing.assert_close(decoder.logits(decoder(inputs, state, memory)[0]), expected, rtol=0, atol=0)
        decoder.train()
        torch.manual_seed(0)
        features, _, _ = decoder(inputs, state, memory)
        actual = decoder.logits(features)
        torch.manual_seed(0)
        x = plain.input.embedding(inputs)
        x = functional.dropout(x, 0.5) if name == "embedding_dropout" else x
        x, _ = plain.recurrent.layers[0](x, state[0][0])
        x = functional.dropout(x, 0.5) if name == "dropout" else x
        x, _ = plain.recurrent.layers[1](x, state[0][1])
        context, _ = plain.attention.attend(x, memory)
        x = plain.combine(torch.cat((context, x), 2)).tanh()
        x = functional.dropout(x, 0.5) if name == "output_dropout" else x
        torch.testing.assert_close(actual, plain.head.output(x))


def test_tied_weights_are_one():
    decoder = make(tie_weights=True, feature_size=5)
    assert decoder.head.output.weight is decoder.input.embedding.weight


def test_a_cell_of_another_library_decodes():
    decoder = make(partial(ModuleCell, module=torch.nn.GRUCell))
    inputs, state, memory = draw(decoder)
    features, _, _ = decoder(inputs, state, memory)
    torch.testing.assert_close(features, by_hand(decoder, inputs, state, memory)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": None, "input_feeding": True}, "input_feeding: expected none without attention"),
        ({"attention": None, "attention_size": 3}, "attention_size: expected none without attention"),
        ({"attention": None, "tie_weights": True}, "tie_weights: .* output_size 4 and embedding_size 5"),
        ({"tie_weights": True}, "tie_weights: .* output_size 4 and embedding_size 5; make them equal"),
        ({"attention": "dot", "memory_size": 6}, 'score: "dot" expects queries and keys of one width, got 4 and 6'),
        ({"output_dropout": 1.0}, r"output_dropout: expected a probability in \[0, 1\)"),
    ],
)
def test_wrong_constructions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_wrong_calls_are_refused():
    decoder, plain = make(), make(attention=None)
    inputs, state, memory = draw(decoder)
    with pytest.raises(ValueError, match=r"inputs: expected int64 \(B, T\) with no empty axis, got torch.float32"):
        decoder(inputs.float(), state, memory)
    with pytest.raises(ValueError, match="memory: expected the memory that the encoder left, got None"):
        decoder(inputs, state, None)
    with pytest.raises(ValueError, match="memory: expected None without attention, got one"):
        plain(inputs, state, memory)
