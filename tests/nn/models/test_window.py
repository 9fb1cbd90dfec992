"""The fixed-window model: its equation, its window, and no loss of context where one call ends and the next begins."""

import pytest
import torch
from torch.nn import functional

from seqlab.nn import WindowModel, initialize
from seqlab.nn.models.generation import Sampling, generate
from seqlab.nn.size import count_parameters, match_parameters

V = 11


def make_model(window_size=4, **arguments):
    torch.manual_seed(0)
    arguments = {"hidden_size": 6, "embedding_size": 5} | arguments
    model = WindowModel(V, window_size=window_size, **arguments)
    initialize(model, uniform=0.5)
    return model.double()


def text_of(rows=2, steps=9, seed=0):
    return torch.randint(V, (rows, steps), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("window_size", [1, 2, 4, 12])
def test_each_step_is_the_equation_of_its_own_window(window_size, direct):
    model, inputs = make_model(window_size, direct=direct), text_of()
    logits, _ = model(inputs)
    for row, step in ((0, 0), (0, 5), (1, 2), (1, 8)):
        window = ([V] * window_size + inputs[row, : step + 1].tolist())[-window_size:]
        x = torch.cat([model.embedding.weight[token] for token in window])
        h = torch.tanh(model.hidden.weight @ x + model.hidden.bias)
        expected = model.output.weight[:, :6] @ h + model.output.bias
        if direct:
            expected = expected + model.output.weight[:, 6:] @ x
        torch.testing.assert_close(logits[row, step], expected)


@pytest.mark.parametrize("window_size", [1, 2, 4, 12])
@pytest.mark.parametrize("pieces", [[9], [1] * 9, [2, 1, 6], [5, 4]])
def test_text_read_in_pieces_is_text_read_at_once(window_size, pieces):
    model, inputs = make_model(window_size), text_of()
    state, found = None, []
    for piece in inputs.split(pieces, 1):
        logits, state = model(piece, state)
        found.append(logits)
    whole, end = model(inputs)
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=0, atol=1e-14)
    assert torch.equal(state[0], end[0])


def test_pieces_with_padding_are_the_text_without():
    model, inputs = make_model(), text_of()
    lengths = torch.tensor([4, 0])
    padded = inputs[:, :6].clone()
    padded[0, 4:] = padded[1] = 3
    begun, state = model(padded, None, lengths)
    torch.testing.assert_close(begun[0, :4], model(inputs)[0][0, :4])
    rest, _ = model(torch.stack((inputs[0, 4:8], inputs[1, :4])), state)
    torch.testing.assert_close(rest[0], model(inputs)[0][0, 4:8])
    torch.testing.assert_close(rest[1], model(inputs)[0][1, :4])


def test_a_prediction_sees_its_window_and_nothing_else():
    model, inputs = make_model(window_size=3), text_of(rows=1)
    logits, _ = model(inputs)
    other = inputs.clone()
    other[0, 4] = (other[0, 4] + 1) % V
    changed = (model(other)[0] != logits).any(-1)[0]
    assert changed.tolist() == [4 <= step < 7 for step in range(9)]


def test_every_place_of_the_window_learns_from_every_step_and_so_does_the_beginning():
    model = make_model(window_size=3)
    logits, _ = model(text_of(steps=6))
    functional.cross_entropy(logits.flatten(0, 1), text_of(steps=6, seed=1).flatten()).backward()
    assert all(block.abs().sum() > 0 for block in model.hidden.weight.grad.split(5, 1))
    assert model.embedding.weight.grad[V].abs().sum() > 0


def test_the_window_costs_parameters():
    def size(**arguments):
        return count_parameters(make_model(**arguments))

    per_place = size(window_size=2) - size(window_size=1)
    assert per_place == 5 * 6
    assert size(window_size=9) - size(window_size=1) == 8 * per_place
    assert size(window_size=3, direct=True) - size(window_size=3) == V * 3 * 5

    def build(hidden_size):
        return WindowModel(50, window_size=4, hidden_size=hidden_size, embedding_size=8)

    assert count_parameters(build(match_parameters(build, 20_000))) == pytest.approx(20_000, rel=0.01)


@pytest.mark.parametrize("direct", [False, True])
def test_each_dropout_acts_at_its_own_place_and_in_training_alone(direct):
    inputs, plain = text_of(), make_model(direct=direct)
    for name in ("embedding_dropout", "output_dropout"):
        model = make_model(direct=direct, **{name: 0.5})
        torch.testing.assert_close(model.eval()(inputs)[0], plain(inputs)[0], rtol=0, atol=0)
        model.train()
        torch.manual_seed(0)
        actual = model(inputs)[0]
        torch.manual_seed(0)
        x = functional.pad(inputs, (3, 0), value=V).unfold(1, 4, 1)
        x = plain.embedding(x).flatten(2)
        x = functional.dropout(x, 0.5) if name == "embedding_dropout" else x
        h = torch.tanh(plain.hidden(x))
        h = torch.cat((h, x), 2) if direct else h
        h = functional.dropout(h, 0.5) if name == "output_dropout" else h
        torch.testing.assert_close(actual, plain.output(h))


def test_writing_a_token_at_a_time_is_reading_the_whole_text():
    model = make_model(window_size=3).eval()
    written = generate(model, [1, 2], 8, Sampling(greedy=True))[0].tolist()
    text = [1, 2]
    for token in written:
        logits, _ = model(torch.tensor([text]))
        assert token == int(logits[0, -1].argmax())
        text.append(token)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"window_size": 0}, ValueError, "window_size: expected at least 1, got 0"),
        ({"window_size": 2.5}, TypeError, "window_size: expected an integer, got 2.5"),
        ({"hidden_size": 0}, ValueError, "hidden_size: expected at least 1, got 0"),
        ({"embedding_size": 0}, ValueError, "embedding_size: expected at least 1, got 0"),
        ({"embedding_dropout": 1.0}, ValueError, r"embedding_dropout: expected a probability in \[0, 1\), got 1.0"),
        ({"output_dropout": -0.5}, ValueError, r"output_dropout: expected a probability in \[0, 1\), got -0.5"),
    ],
)
def test_wrong_constructions_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        WindowModel(V, **({"window_size": 3, "hidden_size": 6} | arguments))


@pytest.mark.parametrize(
    ("inputs", "state", "message"),
    [
        (torch.zeros(4, dtype=torch.long), None, r"inputs: expected int64 \(B, T\), got"),
        (torch.zeros(2, 4), None, r"inputs: expected int64 \(B, T\), got"),
        (text_of(), (), r"state: expected the tuple \(tokens \(2, 3\)\), got"),
        (text_of(), torch.zeros(2, 3), r"state: expected the tuple \(tokens \(2, 3\)\), got"),
        (text_of(), (torch.zeros(2, 2),), r"state: expected the tuple \(tokens \(2, 3\)\), got \(Tensor\(2, 2\),\)"),
    ],
)
def test_wrong_inputs_and_states_are_refused(inputs, state, message):
    with pytest.raises(ValueError, match=message):
        make_model()(inputs, state)
