"""The language model: its equation, tying, dropout and refusals."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from seqlab.nn import Encoder, GRUCell, LanguageModel, LSTMCell, RNNCell, TokenHead, TokenInput
from tests.models import of_cell


def test_model_is_embedding_encoder_and_linear_layer():
    model = of_cell(LanguageModel, 11, cell=LSTMCell, embedding_size=5, hidden_size=6, num_layers=2).double()
    inputs, lengths = torch.randint(11, (3, 7)), torch.tensor([7, 2, 0])
    logits, state = model(inputs, lengths=lengths)
    output, expected = model.encoder(model.input.embedding.weight[inputs], lengths=lengths)
    torch.testing.assert_close(logits, output @ model.head.output.weight.T + model.head.output.bias)
    torch.testing.assert_close(state, expected)


def test_features_and_logits_are_the_halves_of_forward():
    model = of_cell(LanguageModel, 11, cell=GRUCell, hidden_size=6, bidirectional=True)
    inputs = torch.randint(11, (2, 4))
    features, state = model.features(inputs)
    assert features.shape == (2, 4, model.encoder.output_size)
    torch.testing.assert_close((model.logits(features), state), model(inputs))
    torch.testing.assert_close(model.logits(features[:, -1]), model(inputs)[0][:, -1])


def test_text_read_token_by_token_is_text_read_at_once():
    model = of_cell(LanguageModel, 11, cell=LSTMCell, hidden_size=6, num_layers=2, connect="dense").double().eval()
    inputs = torch.randint(11, (2, 9))
    state, steps = model.initial_state(2), []
    for t in range(9):
        logits, state = model(inputs[:, t : t + 1], state)
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, 1), model(inputs)[0], rtol=1e-12, atol=1e-12)


def test_initial_state_is_of_the_models_type():
    model = of_cell(LanguageModel, 11, cell=LSTMCell, hidden_size=6).double()
    ((h, c),) = model.initial_state(3)
    assert torch.equal(h, torch.zeros(3, 6).double())
    assert torch.equal(c, torch.zeros(3, 6).double())


def test_embedding_size_defaults_to_hidden_size():
    assert of_cell(LanguageModel, 11, cell=RNNCell, hidden_size=6).input.embedding.weight.shape == (11, 6)


def test_tied_weights_stay_one_through_training_moving_and_loading():
    model = of_cell(LanguageModel, 11, cell=GRUCell, hidden_size=6, tie_weights=True, init={"uniform": 0.1}).double()
    assert model.head.output.weight is model.input.embedding.weight
    inputs = torch.randint(11, (2, 4))
    model(inputs)[0].sum().backward()
    from_output = model.input.embedding.weight.grad.clone()
    untied = of_cell(LanguageModel, 11, cell=GRUCell, hidden_size=6).double()
    untied.load_state_dict(model.state_dict())
    untied(inputs)[0].sum().backward()
    torch.testing.assert_close(from_output, untied.input.embedding.weight.grad + untied.head.output.weight.grad)


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ({"embedding_size": 5}, "output_size 6 and embedding_size 5"),
        ({"bidirectional": True}, "output_size 12 and embedding_size 6"),
        ({"connect": "dense", "num_layers": 3}, "output_size 18 and embedding_size 6"),
    ],
)
def test_tying_unequal_widths_is_refused_with_both_named(arguments, sizes):
    with pytest.raises(ValueError, match=f"tie_weights: .*{sizes}"):
        of_cell(LanguageModel, 11, cell=LSTMCell, hidden_size=6, tie_weights=True, **arguments)


def test_each_dropout_acts_at_its_own_place_and_in_training_alone():
    inputs = torch.randint(11, (2, 4))
    for name in ("embedding_dropout", "dropout", "output_dropout"):
        model = of_cell(LanguageModel, 11, cell=LSTMCell, hidden_size=6, num_layers=2, **{name: 0.5})
        plain = of_cell(LanguageModel, 11, cell=LSTMCell, hidden_size=6, num_layers=2)
        plain.load_state_dict(model.state_dict())
        torch.testing.assert_close(model.eval()(inputs), plain(inputs), rtol=0, atol=0)
        model.train()
        torch.manual_seed(0)
        actual = model(inputs)[0]
        torch.manual_seed(0)
        x = plain.input.embedding(inputs)
        x = functional.dropout(x, 0.5) if name == "embedding_dropout" else x
        x, _ = plain.encoder.layers[0](x)
        x = functional.dropout(x, 0.5) if name == "dropout" else x
        x, _ = plain.encoder.layers[1](x)
        x = functional.dropout(x, 0.5) if name == "output_dropout" else x
        torch.testing.assert_close(actual, plain.head.output(x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size: expected at least 1, got 0"),
        ({"embedding_size": 0}, ValueError, "embedding_size: expected at least 1, got 0"),
        ({"hidden_size": 0, "embedding_size": 6}, ValueError, "hidden_size: expected at least 1, got 0"),
        ({"embedding_dropout": 1.0}, ValueError, r"embedding_dropout: expected a probability in \[0, 1\), got 1.0"),
        ({"output_dropout": -0.5}, ValueError, r"output_dropout: expected a probability in \[0, 1\), got -0.5"),
        ({"init": {"forget_bias": 1.0}, "cell": GRUCell}, ValueError, "forget_bias: .* GRUCell has none"),
    ],
)
def test_wrong_constructions_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        options = {"vocab_size": 11, "cell": LSTMCell, "hidden_size": 6} | arguments
        of_cell(LanguageModel, options.pop("vocab_size"), **options)


@pytest.mark.parametrize(
    "inputs", [torch.zeros(4, dtype=torch.long), torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.bool)]
)
def test_inputs_that_are_no_tokens_are_refused(inputs):
    with pytest.raises(ValueError, match=r"inputs: expected int64 \(B, T\), got"):
        of_cell(LanguageModel, 11, cell=LSTMCell, hidden_size=6)(inputs)


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (LSTMCell(6, 4), TypeError, "encoder: expected a factory, such as functools.partial"),
        (Encoder(LSTMCell, 6, 4), TypeError, "encoder: expected a factory, such as functools.partial"),
        (lambda input_size: LSTMCell(input_size, 4), TypeError, "encoder: .* but it made LSTMCell"),
        (lambda input_size: Encoder(LSTMCell, 5, 4), ValueError, "encoder: expected an encoder of input_size 6, got"),
        (partial(Encoder, LSTMCell, input_size=6, hidden_size=4), ValueError, "encoder: .* without input_size"),
    ],
    ids=["a cell", "an encoder", "a factory of cells", "another width", "a width of its own"],
)
def test_what_makes_no_fitting_encoder_is_refused(encoder, error, message):
    with pytest.raises(error, match=message):
        LanguageModel(partial(TokenInput, 11, 6), encoder, partial(TokenHead, vocab_size=11))
