"""Attention: its three scores, its padding, and its memory prepared once."""

import pytest
import torch

from seqlab.nn import Attention

SCORES = ("dot", "general", "additive")
LENGTHS = torch.tensor([5, 2, 0])


def make(score, **arguments):
    torch.manual_seed(0)
    return Attention(4, 4 if score == "dot" else 3, score, **arguments).double()


def draw(attention, rows=3, queries=2, steps=5):
    torch.manual_seed(1)
    return torch.randn(rows, queries, 4).double(), torch.randn(rows, steps, attention.key_size).double()


def score_of(attention, q, k):
    """One query and one key, as the papers write it."""
    if attention.score == "dot":
        return q @ k
    if attention.score == "general":
        return q @ (attention.key_projection.weight @ k)
    hidden = attention.key_projection.weight @ k + attention.query_projection.weight @ q
    return attention.score_vector.weight[0] @ (hidden + attention.query_projection.bias).tanh()


@pytest.mark.parametrize("score", SCORES)
def test_attention_is_its_equation(score):
    attention = make(score)
    query, keys = draw(attention)
    context, weights = attention(query, keys, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        for step in range(2):
            scores = [score_of(attention, query[row, step], keys[row, t]) for t in range(length)]
            expected = torch.zeros(5).double()
            if length:
                expected[:length] = torch.stack(scores).softmax(0)
            torch.testing.assert_close(weights[row, step], expected, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(context[row, step], expected @ keys[row], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_padding_has_no_weight_and_no_gradient_whatever_it_holds(score):
    attention = make(score)
    query, keys = draw(attention)
    padding = torch.arange(5) >= LENGTHS.unsqueeze(1)
    results = []
    for filling in (0.0, torch.nan):
        padded = keys.masked_fill(padding.unsqueeze(2), filling).requires_grad_()
        context, weights = attention(query, padded, LENGTHS)
        assert (weights.masked_select(padding.unsqueeze(1)) == 0).all()
        gradients = torch.autograd.grad((context**2).sum() + (weights**3).sum(), [padded, *attention.parameters()])
        assert (gradients[0][padding] == 0).all()
        results.append((context, weights, *gradients))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
    assert (results[0][0][2] == 0).all()  # the row without keys


@pytest.mark.parametrize("score", SCORES)
def test_a_row_alone_is_the_row_in_its_batch(score):
    attention = make(score)
    query, keys = draw(attention)
    context, weights = attention(query, keys, LENGTHS)
    alone = attention(query[1:2], keys[1:2, :2])
    torch.testing.assert_close((context[1:2], weights[1:2, :, :2]), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_gradients_are_exact(score):
    attention = make(score)
    query, keys = (x.requires_grad_() for x in draw(attention, steps=3))
    lengths = torch.tensor([3, 2, 0])
    parameters = tuple(attention.parameters())
    assert torch.autograd.gradcheck(lambda q, k, *_: attention(q, k, lengths), (query, keys, *parameters))


@pytest.mark.parametrize("score", SCORES)
def test_a_memory_is_prepared_once_and_asked_step_by_step(score):
    attention = make(score)
    query, keys = draw(attention)
    calls = []
    if score != "dot":
        attention.key_projection.register_forward_hook(lambda *_: calls.append(1))
    memory = attention.prepare(keys, LENGTHS)
    steps = [attention.attend(step, memory) for step in query.split(1, 1)]
    assert len(calls) == (score != "dot")
    actual = tuple(torch.cat(parts, 1) for parts in zip(*steps, strict=True))
    torch.testing.assert_close(actual, attention(query, keys, LENGTHS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_several_queries_of_a_row_read_its_memory_side_by_side(score):
    attention = make(score)
    query, keys = draw(attention, rows=6), draw(attention)[1]
    actual = attention.attend(query[0], attention.prepare(keys, LENGTHS))
    expected = attention(query[0], keys.repeat_interleave(2, 0), LENGTHS.repeat_interleave(2))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_the_softmax_has_32_bits_under_autocast(score):
    attention = make(score).float()
    query, keys = (x.float() for x in draw(attention))
    with torch.autocast("cpu", torch.bfloat16):
        context, weights = attention(query, keys, LENGTHS)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(2)[:2], torch.ones(2, 2))
    expected = attention(query, keys, LENGTHS)
    torch.testing.assert_close((context.float(), weights), expected, rtol=0.05, atol=0.05)


def test_attention_size_is_the_width_of_the_additive_score():
    assert make("additive", attention_size=7).score_vector.weight.shape == (1, 7)
    assert make("additive").score_vector.weight.shape == (1, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 3, "dot"), 'score: "dot" expects queries and keys of one width, got 4 and 3; use "general"'),
        ((4, 3, "cosine"), "score: expected one of dot, general, additive, got 'cosine'"),
        ((4, 3, "general", 5), 'attention_size: expected None for score "general", got 5'),
        ((4, 3, "additive", 0), "attention_size: expected at least 1, got 0"),
        ((0, 3), "query_size: expected at least 1, got 0"),
    ],
)
def test_wrong_constructions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Attention(*arguments)


@pytest.mark.parametrize(
    ("query", "keys", "message"),
    [
        ((3, 2, 5), (3, 5, 3), r"query: expected shape \(B, steps, 4\)"),
        ((3, 4), (3, 5, 3), r"query: expected shape \(B, steps, 4\)"),
        ((3, 2, 4), (3, 5, 4), r"keys: expected shape \(B, steps, 3\)"),
        ((3, 2, 4), (3, 0, 3), "keys: .* no empty axis"),
        ((6, 2, 4), (3, 5, 3), "query: expected the keys' 3 rows, got 6"),
    ],
)
def test_wrong_shapes_are_refused(query, keys, message):
    with pytest.raises(ValueError, match=message):
        Attention(4, 3)(torch.zeros(query), torch.zeros(keys))


def test_a_memory_of_other_rows_is_refused():
    attention = make("general")
    query, keys = draw(attention)
    with pytest.raises(ValueError, match="query: expected a multiple of the keys' 2 rows, got 3"):
        attention.attend(query, attention.prepare(keys[:2]))
