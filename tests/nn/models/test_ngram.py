"""The n-gram model against one written down from its definition, word by word."""

import math
import random
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
import torch

from seqlab.nn import KneserNey
from seqlab.nn.models.generation import Sampling, beam_search, generate
from seqlab.nn.models.ngram import discounts

V = 4


class ByDefinition:
    """Interpolated Kneser-Ney over dictionaries, of one text or several. Discounts come from the module."""

    def __init__(self, texts, order, modified):
        self.order = order
        occurrences = Counter()
        for words in texts:
            for end in range(len(words)):
                for m in range(1, min(order, end + 1) + 1):
                    before = words[end - m] if end - m >= 0 else None
                    occurrences[tuple(words[end - m + 1 : end + 1]), before] += 1
        self.counts = defaultdict(dict)  # by length: gram -> count
        for gram in {gram for gram, _ in occurrences}:
            by_word = {before: n for (other, before), n in occurrences.items() if other == gram}
            if len(gram) == order:
                self.counts[order][gram] = sum(by_word.values())
            else:
                self.counts[len(gram)][gram] = by_word.pop(None, 0) + len(by_word)
        self.lost = {m: discounts(torch.tensor(list(c.values())), modified).tolist() for m, c in self.counts.items()}

    def probability(self, word, history):
        """``history`` is the whole text before the word."""
        return self._probability(word, tuple(history)[max(0, len(history) - self.order + 1) :])

    def _probability(self, word, history):
        shorter = self._probability(word, history[1:]) if history else 1 / V
        found = {gram[-1]: n for gram, n in self.counts[len(history) + 1].items() if gram[:-1] == history and n}
        if not found:
            return shorter
        lost = self.lost[len(history) + 1]
        total, left_over = sum(found.values()), sum(lost[min(n, 3)] for n in found.values())
        count = found.get(word, 0)
        return (count - lost[min(count, 3)] + left_over * shorter) / total


def text_of(length, seed):
    """Words that depend on the one before, so that n-grams recur; the last word of the vocabulary is rare."""
    draw, words = random.Random(seed), [0]
    for _ in range(length - 1):
        words.append(draw.choices(range(V), [5 if w == (words[-1] + 1) % V else 1 + (w < 2) for w in range(V)])[0])
    return words


def fitted(texts, order, modified=True, vocab_size=V, dtype=torch.float64):
    model = KneserNey(vocab_size, order, modified).to(dtype)
    tokens = torch.tensor([word for text in texts for word in text])
    begins = torch.tensor([place == 0 for text in texts for place in range(len(text))])
    model.count(tokens, begins if len(texts) > 1 else None)
    return model


def distribution(model, history):
    """P of every token after ``history``, which may be empty."""
    history = torch.tensor([model.vocab_size] * (model.order - 1) + list(history), dtype=torch.int64)
    return model.logits(history[len(history) - model.order + 1 :]).exp()


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("lengths", [(3,), (40,), (400,), (150, 1, 90, 2, 160)])
def test_every_probability_is_that_of_the_definition(order, modified, lengths):
    texts = [text_of(length, seed) for seed, length in enumerate(lengths)]
    model, expected = fitted(texts, order, modified), ByDefinition(texts, order, modified)
    for history in [past for n in range(4) for past in product(range(V), repeat=n)] + [tuple(text_of(9, 5))]:
        words = [expected.probability(word, history) for word in range(V)]
        torch.testing.assert_close(distribution(model, history).tolist(), words, rtol=1e-10, atol=0)
        assert sum(words) == pytest.approx(1, abs=1e-12)
    other = text_of(50, seed=7)
    logits, _ = model(torch.tensor([other[:-1]]))
    words = [expected.probability(word, other[:i]) for i, word in enumerate(other) if i]
    torch.testing.assert_close(logits[0].exp()[range(49), other[1:]].tolist(), words, rtol=1e-10, atol=0)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_text_read_in_pieces_is_text_read_at_once(order):
    model = fitted([text_of(300, 1)], order)
    inputs = torch.tensor([text_of(20, 3), text_of(20, 4)])
    whole, end = model(inputs)
    state, pieces = model.initial_state(2), []
    for piece in inputs.split([1, 2, 7, 4, 6], 1):
        logits, state = model(piece, state)
        pieces.append(logits)
    assert torch.equal(torch.cat(pieces, 1), whole)
    assert torch.equal(state[0], end[0])


def test_padding_is_not_read():
    model = fitted([text_of(300, 1)], 4)
    inputs = torch.tensor([text_of(9, 3), text_of(9, 4)])
    lengths = torch.tensor([5, 0])
    start = (torch.tensor([[1, 2], [2, 3]]),)
    _, (last,) = model(inputs, start, lengths)
    assert last.tolist() == [inputs[0, 3:5].tolist(), [2, 3]]
    _, (last,) = model(inputs, start, torch.tensor([1, 9]))
    assert last.tolist() == [[2, int(inputs[0, 0])], inputs[1, 7:].tolist()]


def test_a_word_that_never_occurs_has_a_probability():
    model = fitted([[0, 1, 0, 1, 1, 0]], 3, vocab_size=3)
    after = distribution(model, [0, 1])
    assert 0 < after[2] < after[:2].min()
    assert torch.isfinite(model(torch.tensor([[2, 2, 0]]))[0]).all()


def test_before_it_has_counted_all_tokens_are_alike():
    model = KneserNey(V, order=3)
    torch.testing.assert_close(model(torch.tensor([[0, 1, 2]]))[0].exp(), torch.full((1, 3, V), 0.25))


def test_a_continuation_counts_by_its_different_histories():
    """The example of Kneser & Ney: a word that is frequent after one word alone is a poor guess after another."""
    francisco, san = 3, 2
    text = [san, francisco] * 20 + [0, 1, 4, 0, 4, 1, 0, 1, 1, 4, 4, 0, 0]
    model = fitted([text], 2, vocab_size=6)
    after_new = distribution(model, [5])  # 5 was never seen
    assert after_new[francisco] < after_new[[0, 1, 4]].min()
    assert distribution(model, [san])[francisco] > 0.9


def test_counting_again_forgets_what_was_counted_before():
    model = fitted([text_of(200, 1)], 3)
    model.count(torch.tensor(text_of(60, 2)))
    expected = fitted([text_of(60, 2)], 3)
    assert model.num_ngrams == expected.num_ngrams
    assert torch.equal(distribution(model, [1, 2]), distribution(expected, [1, 2]))


def test_one_discount_or_three():
    counts = torch.tensor([1, 1, 1, 1, 2, 2, 3, 4])  # Y = 4 / (4 + 2 * 2)
    expected = [0, 1 - 2 * 0.5 * 2 / 4, 2 - 3 * 0.5 * 1 / 2, 3 - 4 * 0.5 * 1 / 1]
    assert discounts(counts).tolist() == pytest.approx(expected)
    assert discounts(counts, modified=False).tolist() == pytest.approx([0, 0.5, 0.5, 0.5])


def test_its_parameters_are_a_fraction_for_each_n_gram_and_a_weight_for_each_history():
    text = text_of(200, seed=2)
    model = fitted([text], 3)
    ngrams = [len({tuple(text[i : i + m]) for i in range(200 - m + 1)}) for m in (1, 2, 3)]
    assert model.num_ngrams == ngrams
    assert sum(parameter.numel() for parameter in model.parameters()) == sum(ngrams) + 1 + sum(ngrams[:2])


def test_a_saved_model_loads_into_a_new_one_whose_sizes_it_sets(tmp_path):
    model = fitted([text_of(300, 1)], 4, dtype=torch.float32)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = KneserNey(V, 4)
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    inputs = torch.tensor([text_of(20, 3)])
    assert torch.equal(loaded(inputs)[0], model(inputs)[0])
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with pytest.raises(RuntimeError, match="Unexpected key"):
        KneserNey(V, 3).load_state_dict(model.state_dict())


def test_it_writes_the_text_that_it_knows():
    model = fitted([[0, 1, 2, 3] * 20], 3)
    assert generate(model, [0], 6, Sampling(greedy=True)).tolist() == [[1, 2, 3, 0, 1, 2]]
    ((tokens, log_p), *_) = beam_search(model, [3, 0], lambda tokens: len(tokens) == 3, count=2, width=9)
    logits, _ = model(torch.tensor([[3, 0, 1, 2]]))
    assert tokens == (1, 2, 3)
    assert log_p == pytest.approx(float(sum(logits[0, i, token] for i, token in ((1, 1), (2, 2), (3, 3)))))


def test_many_rows_and_small_integers_are_one_by_one_the_same():
    model = fitted([text_of(400, 1)], 4)
    small = KneserNey(V, 4).double()
    small.count(torch.from_numpy(np.array(text_of(400, 1), dtype=np.uint8)))
    inputs = torch.tensor([text_of(12, seed) for seed in range(5)])
    whole, _ = small(inputs)
    for row, logits in zip(inputs, whole, strict=True):
        torch.testing.assert_close(model(row[None])[0][0], logits, rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.tensor([0, V]), "values from 0 to vocab_size - 1 = 3, got 0 to 4"),
        (torch.tensor([-1, 0]), "got -1 to 0"),
        (torch.tensor([0.0, 1.0]), r"expected integers \(N,\), at least one, got torch.float32 \(2,\)"),
        (torch.tensor([], dtype=torch.int64), r"got torch.int64 \(0,\)"),
        (torch.tensor([[0, 1]]), r"got torch.int64 \(1, 2\)"),
    ],
)
def test_text_that_is_none_gives_one_clear_line(tokens, message):
    with pytest.raises(ValueError, match=message):
        KneserNey(V).count(tokens)


def test_wrong_sizes_and_states_are_refused():
    with pytest.raises(ValueError, match="order: expected at least 1, got 0"):
        KneserNey(V, order=0)
    with pytest.raises(ValueError, match="vocab_size: expected at least 1, got 0"):
        KneserNey(0)
    with pytest.raises(ValueError, match=r"state: expected the tuple \(tokens \(1, 1\)\), got \(Tensor\(1, 2\),\)"):
        KneserNey(V, order=3)(torch.tensor([[1]]), (torch.zeros(1, 2, dtype=torch.int64),))
    assert math.isclose(1.0, float(distribution(fitted([[0, 1]], 3), [2]).sum()))
