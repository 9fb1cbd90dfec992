"""The answerer: what is computed, and that neither padding nor company changes an answer."""

import pytest
import torch

from seqlab.nn import Answerer, GRUCell, LSTMCell, RNNCell
from tests.models import of_cell

STORY = torch.tensor(
    [
        [[1, 2, 3, 4], [5, 6, 0, 0], [1, 2, 3, 4]],
        [[7, 8, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[5, 6, 0, 0], [5, 6, 0, 0], [0, 0, 0, 0]],  # the second has three words, the last of them number 0
    ]
)
SENTENCES = torch.tensor([[4, 2, 4], [3, 0, 0], [2, 3, 0]])
LENGTHS = torch.tensor([3, 1, 2])
QUESTION = torch.tensor([[3, 1, 9], [8, 2, 0], [9, 0, 0]])
ASKED = torch.tensor([3, 2, 1])
BATCH = (STORY, SENTENCES, LENGTHS, QUESTION, ASKED)
KINDS = [
    {},
    {"hops": 3, "attention": "dot"},
    {"bidirectional": True, "attention": "additive", "num_layers": 2, "connect": "dense"},
    {"attention": None},
    {"attention": None, "match": False, "unit": "word"},
    {"unit": "word", "embedding_size": 5, "hops": 2},
    {"shared": False, "match": False},
]


def answerer(cell=GRUCell, **options) -> Answerer:
    torch.manual_seed(0)
    return of_cell(Answerer, 10, 4, cell=cell, hidden_size=4, **options).double()


def alone(row: int) -> tuple[torch.Tensor, ...]:
    """A row of the batch without any padding."""
    words = int(SENTENCES[row].max())
    story = STORY[row : row + 1, : LENGTHS[row], :words]
    sentences = SENTENCES[row : row + 1, : LENGTHS[row]]
    question = QUESTION[row : row + 1, : ASKED[row]]
    return story, sentences, LENGTHS[row : row + 1], question, ASKED[row : row + 1]


def last(model: Answerer, tokens: list[int], encoder=None) -> torch.Tensor:
    """The state that the question's encoder ends in after these tokens."""
    encoder = encoder or model.question_encoder
    _, ((h, *_),) = encoder(model.input(torch.tensor([tokens])))
    return h


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("cell", [RNNCell, LSTMCell])
def test_an_answer_is_its_formula(cell, shared, hops):
    model = answerer(cell, shared=shared, hops=hops, attention="general")
    logits, weights = model.read(*BATCH)
    for row in range(3):
        u = last(model, QUESTION[row, : ASKED[row]].tolist())
        encoder = model.question_encoder if shared else model.sentence_encoder
        pairs = zip(STORY[row, : LENGTHS[row]], SENTENCES[row, : LENGTHS[row]], strict=True)
        x = torch.cat([last(model, words[:count].tolist(), encoder) for words, count in pairs])
        for hop in range(hops):
            y, _ = model.story_encoder(torch.cat((x, u.expand_as(x), x * u), 1).unsqueeze(0))
            a = (y[0] @ model.head.attention.key_projection.weight.T @ u[0]).softmax(0)
            torch.testing.assert_close(weights[row, hop, : LENGTHS[row]], a)
            u = torch.tanh(model.head.update(torch.cat((u, (a @ y[0]).unsqueeze(0)), 1)))
        torch.testing.assert_close(logits[row], model.head.output(u)[0])


def test_the_plain_pair_is_the_last_states_side_by_side():
    model = answerer(attention=None, match=False, unit="word")
    words = [token for words, count in zip(STORY[0], SENTENCES[0], strict=True) for token in words[:count].tolist()]
    read, _ = model.story_encoder(model.input(torch.tensor([words])))
    expected = model.head.output(torch.cat((last(model, [3, 1, 9]), read[:, -1]), 1))
    logits, weights = model.read(*BATCH)
    torch.testing.assert_close(logits[:1], expected)
    assert weights.shape == (3, 0, len(words))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_question_has_the_same_answer_alone_and_padded_among_others(options):
    model = answerer(**options)
    together = model(*BATCH)
    torch.testing.assert_close(together, torch.cat([model(*alone(row)) for row in range(3)]))
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(model(*(part[order] for part in BATCH)), together[order])
    assert together.std(0).min() > 1e-3, "the answers differ between questions"


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_what_stands_in_the_padding_changes_neither_answers_nor_gradients(options):
    model = answerer(**options)
    story, sentences, question = STORY.clone(), SENTENCES.clone(), QUESTION.clone()
    story[torch.arange(4) >= sentences.unsqueeze(2)] = 9
    sentences[torch.arange(3) >= LENGTHS.unsqueeze(1)] = 2  # lengths of sentences behind the story's end
    question[torch.arange(3) >= ASKED.unsqueeze(1)] = 9
    found = []
    for batch in (BATCH, (story, sentences, LENGTHS, question, ASKED)):
        logits, weights = model.read(*batch)
        gradients = torch.autograd.grad(logits.sin().sum(), list(model.parameters()), retain_graph=True)
        found.append((logits, weights, *gradients))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("options", [{"hops": 2}, {"unit": "word", "attention": "dot"}], ids=str)
def test_attention_is_shared_out_over_a_storys_own_steps(options):
    model = answerer(**options)
    _, weights = model.read(*BATCH)
    steps = LENGTHS if model.unit == "sentence" else SENTENCES.sum(1)
    assert weights.shape == (3, model.head.hops, int(steps.max()))
    torch.testing.assert_close(weights.sum(2), torch.ones(3, model.head.hops, dtype=torch.float64))
    assert not weights[torch.arange(int(steps.max())) >= steps.view(3, 1, 1).expand(-1, model.head.hops, 1)].any()


def test_by_words_the_bounds_of_sentences_mean_nothing_and_by_sentences_they_do():
    regrouped = torch.tensor([[[1, 2, 3, 4, 5], [6, 1, 2, 3, 4]]])
    for unit in ("word", "sentence"):
        model = answerer(unit=unit)
        story = regrouped, torch.tensor([[5, 5]]), torch.tensor([2])
        same = torch.allclose(model(*alone(0)), model(*story, *alone(0)[3:]))
        assert same == (unit == "word")


def test_the_order_of_a_story_matters_and_each_distinct_sentence_is_read_once():
    model = answerer()
    swapped = STORY[:1].flip(1), SENTENCES[:1].flip(1), LENGTHS[:1]
    swapped[0][0, 0], swapped[1][0, 0] = STORY[0, 1], 2
    assert not torch.allclose(model(*swapped, *alone(0)[3:]), model(*alone(0)))
    read = []
    model.question_encoder.register_forward_pre_hook(lambda module, args: read.append(len(args[0])))
    story = STORY.clone()
    story[1, 2] = story[0, 1, 2:] = 9  # padding does not make a sentence another
    model(story, *BATCH[1:])
    assert read == [3, 5], "the questions; then 4 different sentences of 6, and the empty one behind a story's end"


def test_the_question_reaches_the_story_by_match_or_by_attention_alone():
    def story_states(**options):
        model = answerer(**options)
        seen = []
        model.story_encoder.register_forward_hook(lambda module, args, result: seen.append(result[0]))
        model(*alone(0))
        model(*alone(0)[:3], QUESTION[1:2, :2], ASKED[1:2])
        return seen

    one, other = story_states(match=False)
    assert torch.equal(one, other)
    one, other = story_states(match=True)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_every_parameter_learns(options):
    model = answerer(**options)
    model(*BATCH).sin().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_dropout_acts_in_training_alone():
    for option in ("embedding_dropout", "output_dropout"):
        model = answerer(**{option: 0.5})
        assert not torch.equal(model(*BATCH), model(*BATCH)), option
        model.eval()
        assert torch.equal(model(*BATCH), model(*BATCH)), option


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": "letter"}, "unit: expected one of sentence, word, got 'letter'"),
        ({"attention": "cosine"}, "score: expected one of dot, general, additive"),
        ({"attention": None, "hops": 2}, "hops: expected 1 without attention, got 2"),
        ({"hops": 0}, "hops: expected at least 1"),
        ({"unit": "word", "shared": False}, 'shared: expected True with unit="word"'),
        ({"output_dropout": 1.0}, "output_dropout: expected a probability"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        answerer(**options)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, STORY[0], r"story: expected int64 \(B, S, W\)"),
        (0, STORY.double(), r"story: expected int64 \(B, S, W\)"),
        (1, SENTENCES[:, :2], r"sentence_lengths: expected shape \(3, 3\), as the story has"),
        (1, SENTENCES + 3, "lengths: expected values from 0 to T = 4"),
        (2, LENGTHS + 1, "lengths: expected values from 0 to T = 3"),
        (3, QUESTION[0], r"question: expected int64 \(B, T\)"),
    ],
    ids=str,
)
def test_tensors_of_wrong_shapes_are_refused(place, value, words):
    batch = list(BATCH)
    batch[place] = value
    with pytest.raises(ValueError, match=words):
        answerer()(*batch)
