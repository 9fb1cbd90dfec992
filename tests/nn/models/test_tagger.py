"""The tagger: words and letters, its losses, and its padding."""

from functools import partial

import pytest
import torch

from seqlab.nn import CharacterEncoder, Encoder, GRUCell, LSTMCell, MinGRUCell, RNNCell, SLSTMCell, Tagger
from tests.models import of_cell

LENGTHS = torch.tensor([4, 2, 0])
WORD_LENGTHS = torch.tensor([[3, 1, 2, 3], [2, 3, 0, 0], [0, 0, 0, 0]])
NAMES = ["O", "B-x", "I-x"]
VALID = torch.arange(4) < LENGTHS.unsqueeze(1)
TAGS = torch.tensor([[0, 1, 2, 2], [1, 0, 0, 0], [0, 0, 0, 0]])


def make(cell=LSTMCell, seed=0, tags=NAMES, **arguments):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 4, "embedding_size": 3, "character_embedding_size": 2, "character_hidden_size": 3}
    return of_cell(Tagger, 9, tags, cell=cell, **(sizes | {"num_characters": 6} | arguments)).double()


def draw():
    torch.manual_seed(1)
    words, characters = torch.randint(9, (3, 4)), torch.randint(6, (3, 4, 3))
    words[0, 3], characters[0, 3] = words[0, 0], characters[0, 0]  # the same word twice
    return words, characters


def batch():
    words, characters = draw()
    return words, characters, LENGTHS, WORD_LENGTHS


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, SLSTMCell])
def test_characters_are_the_final_outputs_from_both_ends_of_each_word(cell):
    torch.manual_seed(0)
    letters = partial(Encoder, cell, hidden_size=3, bidirectional=True)
    encoder = CharacterEncoder(6, letters, embedding_size=2).double()
    characters = draw()[1]
    vectors = encoder(characters, WORD_LENGTHS)
    layer = encoder.encoder.layers[0]
    for row in range(3):
        for t in range(4):
            length = int(WORD_LENGTHS[row, t])
            if not length:
                assert (vectors[row, t] == 0).all()
                continue
            letters = encoder.embedding(characters[row : row + 1, t, :length])
            left, _ = layer.forward_layer(letters)
            right, _ = layer.backward_layer(letters)
            expected = torch.cat((left[0, -1], right[0, 0]))
            torch.testing.assert_close(vectors[row, t], expected, rtol=1e-12, atol=1e-12)


def test_each_distinct_word_is_read_once_and_a_prefix_is_another_word():
    letters = partial(Encoder, GRUCell, hidden_size=3, bidirectional=True)
    encoder = CharacterEncoder(6, letters, embedding_size=2)
    seen = []
    encoder.embedding.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    characters = torch.tensor([[[1, 2, 0], [1, 2, 5], [1, 2, 0], [1, 2, 0]]])
    vectors = encoder(characters, torch.tensor([[2, 2, 3, 1]]))[0]
    assert seen == [3]  # "12" twice, "120", "1"
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2])
    assert not torch.allclose(vectors[0], vectors[3])


@pytest.mark.parametrize("letters", [6, None])
def test_emissions_are_embeddings_letters_encoder_and_linear_layer(letters):
    model = make(num_characters=letters, num_layers=2)
    words, characters = draw()
    x = model.input.embedding.weight[words]
    given = (words, None, LENGTHS, None)
    if letters:
        x, given = torch.cat((x, model.input.characters(characters, WORD_LENGTHS)), 2), batch()
    output, _ = model.encoder(x, lengths=LENGTHS)
    torch.testing.assert_close(model(*given), output @ model.head.output.weight.T + model.head.output.bias)


@pytest.mark.parametrize("decoder", ["greedy", "crf"])
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
def test_padding_and_the_other_rows_never_change_an_answer(cell, decoder):
    model = make(cell, decoder=decoder)
    words, characters = draw()
    letters = torch.arange(3) < WORD_LENGTHS.unsqueeze(2)
    parameters, results = list(model.parameters()), []
    for change in (False, True):
        given = torch.where(VALID | (not change), words, 8 - words)
        spelt = torch.where(letters | (not change), characters, 5 - characters)
        tags = torch.where(VALID, TAGS, -7 if change else 1)
        emissions = model(given, spelt, LENGTHS, WORD_LENGTHS)
        nll = model.nll(emissions, tags, LENGTHS)
        gradients = torch.autograd.grad(nll.sum(), parameters)
        results.append((emissions[VALID], nll, model.decode(emissions, LENGTHS), *gradients))
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)
    emissions, nll = model(*batch()), results[0][1]
    for row, length in enumerate(LENGTHS[:2].tolist()):
        one = slice(row, row + 1), slice(length)
        alone = model(words[one], characters[one], None, WORD_LENGTHS[one])
        torch.testing.assert_close(alone[0], emissions[row, :length], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(model.nll(alone, TAGS[one])[0], nll[row], rtol=1e-12, atol=1e-12)
        assert torch.equal(model.decode(alone)[0], model.decode(emissions, LENGTHS)[row, :length])
    assert nll[2] == 0
    order = torch.tensor([2, 0, 1])
    permuted = model(words[order], characters[order], LENGTHS[order], WORD_LENGTHS[order])
    torch.testing.assert_close(permuted, emissions[order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "backend"), [(LSTMCell, "native"), (MinGRUCell, "parallel"), (GRUCell, "native"), (RNNCell, "scan")]
)
def test_engines_agree(cell, backend):
    reference = make(cell, backend="loop", decoder="crf")
    expected = reference.nll(reference(*batch()), TAGS, LENGTHS)
    wanted = torch.autograd.grad(expected.sum(), list(reference.parameters()))
    model = make(cell, backend=backend, decoder="crf")
    model.load_state_dict(reference.state_dict())
    actual = model.nll(model(*batch()), TAGS, LENGTHS)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    found = torch.autograd.grad(actual.sum(), list(model.parameters()))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("decoder", ["greedy", "crf"])
def test_gradients_are_exact(decoder):
    model = make(RNNCell, hidden_size=2, decoder=decoder)
    parameters = tuple(model.parameters())
    assert torch.autograd.gradcheck(lambda *_: model.loss(model(*batch()), TAGS, LENGTHS), parameters, fast_mode=True)


def test_greedy_takes_each_step_by_itself():
    model = make()
    emissions = model(*batch())
    log_p = emissions.log_softmax(2)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = -sum(log_p[row, t, TAGS[row, t]] for t in range(length))
        torch.testing.assert_close(model.nll(emissions, TAGS, LENGTHS)[row], expected + torch.zeros(()).double())
        assert model.decode(emissions, LENGTHS)[row].tolist() == [
            int(emissions[row, t].argmax()) if t < length else 0 for t in range(4)
        ]


def test_crf_is_the_crf_over_the_emissions():
    model = make(decoder="crf", entities=True)
    with torch.no_grad():
        model.head.crf.transitions.normal_()
    emissions = model(*batch())
    torch.testing.assert_close(model.nll(emissions, TAGS, LENGTHS), model.head.crf(emissions, TAGS, LENGTHS))
    assert torch.equal(model.decode(emissions, LENGTHS), model.head.crf.decode(emissions, LENGTHS)[0])
    inside = torch.zeros(1, 2, 3).double()
    inside[..., 2] = 100.0
    assert model.decode(inside).tolist() == [[1, 2]]  # no I without its B


@pytest.mark.parametrize("decoder", ["greedy", "crf"])
def test_loss_is_the_mean_over_words(decoder):
    model = make(decoder=decoder)
    emissions = model(*batch())
    total = model.nll(emissions, TAGS, LENGTHS).sum()
    torch.testing.assert_close(model.loss(emissions, TAGS, LENGTHS), total / 6)
    torch.testing.assert_close(model.loss(emissions, TAGS), model.nll(emissions, TAGS).sum() / 12)
    assert model.loss(emissions, TAGS, torch.zeros_like(LENGTHS)) == 0


def test_vectors_are_the_first_embeddings_but_for_rows_of_nan():
    vectors = torch.arange(27.0).view(9, 3)
    vectors[4] = torch.nan
    plain, model = make(), make(vectors=vectors)
    known = torch.arange(9) != 4
    assert torch.equal(model.input.embedding.weight[known], vectors[known].double())
    assert torch.equal(model.input.embedding.weight[4], plain.input.embedding.weight[4])
    uniform = make(vectors=vectors, init={"uniform": 0.1})
    assert torch.equal(uniform.input.embedding.weight[known], vectors[known].double())


def test_word_dropout_makes_words_unknown_in_training_alone():
    model, plain = make(word_dropout=0.5, unknown_index=8), make()
    words, characters = torch.arange(8).view(2, 4), torch.zeros(2, 4, 3, dtype=torch.int64)
    rest = characters, None, torch.ones(2, 4, dtype=torch.int64)
    torch.testing.assert_close(model.eval()(words, *rest), plain(words, *rest), rtol=0, atol=0)
    seen = []
    model.input.embedding.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model.train()(words, *rest)
    assert 0 < int((seen[0] == 8).sum()) < 8
    assert ((seen[0] == words) | (seen[0] == 8)).all()


def test_dropout_acts_in_training_alone():
    for name in ("embedding_dropout", "output_dropout"):
        model, plain = make(**{name: 0.5}), make()
        torch.testing.assert_close(model.eval()(*batch()), plain(*batch()), rtol=0, atol=0)
        assert (model.train()(*batch())[VALID] != plain(*batch())[VALID]).any()


@pytest.mark.parametrize("decoder", ["greedy", "crf"])
def test_bfloat16_autocast_stays_near_with_a_loss_of_thirty_two_bits(decoder):
    model = make(decoder=decoder).float()
    with torch.autocast("cpu", torch.bfloat16):
        emissions = model(*batch())
        loss = model.loss(emissions, TAGS, LENGTHS)
    assert (emissions.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(loss, model.loss(model(*batch()), TAGS, LENGTHS), rtol=0.02, atol=0.02)
    loss.backward()
    assert all(each.grad.isfinite().all() for each in model.parameters())


def test_a_loaded_model_is_the_saved_one():
    model, other = (make(seed=seed, decoder="crf", entities=True) for seed in (0, 9))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(*batch()), model(*batch()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decoder": "beam"}, "decoder: expected one of greedy, crf, got 'beam'"),
        ({"tags": []}, "tags: expected at least 1, got 0"),
        ({"tags": ["O", "X"], "decoder": "crf", "entities": True}, "labels: expected O, B-X and I-X, got 'X'"),
        ({"word_dropout": 0.1}, "unknown_index: word_dropout expects one of 9 words, got None"),
        ({"word_dropout": 0.1, "unknown_index": 9}, "unknown_index: word_dropout expects one of 9 words, got 9"),
        ({"vectors": torch.zeros(8, 3)}, r"vectors: expected floating-point values \(9, 3\), got .* \(8, 3\)"),
        ({"vectors": torch.zeros(9, 4)}, "vectors: expected 3 numbers a word, got 4; give embedding_size=4"),
        ({"character_hidden_size": 0}, "hidden_size: expected at least 1, got 0"),
        ({"num_characters": 0}, "num_characters: expected at least 1, got 0"),
    ],
)
def test_wrong_constructions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_wrong_calls_are_refused():
    words, characters = draw()
    model, plain = make(), make(num_characters=None)
    with pytest.raises(ValueError, match=r"characters, word_lengths: expected \(3, 4, C\) and one length a word"):
        model(words, None, LENGTHS)
    with pytest.raises(ValueError, match="characters: expected None, for the model was made without"):
        plain(words, characters, LENGTHS, WORD_LENGTHS)
    with pytest.raises(ValueError, match=r"expected shapes \(B, T, C\) and \(B, T\), got \(3, 4, 3\) and \(3, 3\)"):
        model(words, characters, LENGTHS, WORD_LENGTHS[:, :3])
    with pytest.raises(ValueError, match=r"words: expected int64 \(B, T\) with no empty axis"):
        model(words.float(), characters, LENGTHS, WORD_LENGTHS)
    with pytest.raises(ValueError, match="lengths: expected values from 0 to T = 3, got"):
        model(words, characters, LENGTHS, WORD_LENGTHS + 1)
    with pytest.raises(ValueError, match=r"tags: expected \(3, 4\), one a step, got \(3, 3\)"):
        model.nll(model(*batch()), TAGS[:, :3], LENGTHS)
