"""The n-gram model against one written down from its definition, word by word."""

import math
import random
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest

from seqlab.errors import InputError
from seqlab.ngram import KneserNey, discounts

V = 4


class ByDefinition:
    """Interpolated Kneser-Ney over dictionaries; ``boundary`` as there. Discounts come from the module."""

    def __init__(self, text, order, boundary, modified):
        self.order, self.boundary = order, boundary
        words = list(text) if boundary is None else [boundary, *text]
        begin = 0 if boundary is None else 1
        occurrences = Counter()
        for end in range(begin, len(words)):
            for m in range(1, end + 2):
                gram = tuple(words[end - m + 1 : end + 1])
                if m > order or boundary in gram[1:-1]:
                    break
                before = words[end - m] if end - m >= 0 and (m == 1 or gram[0] != boundary) else None
                occurrences[gram, before] += 1
        self.counts = defaultdict(dict)  # by length: gram -> count
        for m in range(1, order + 1):
            for gram in {gram for gram, _ in occurrences if len(gram) == m}:
                by_word = {before: n for (other, before), n in occurrences.items() if other == gram}
                if m == order:
                    self.counts[m][gram] = sum(by_word.values())
                else:
                    self.counts[m][gram] = by_word.pop(None, 0) + len(by_word)
        self.lost = {m: discounts(np.array(list(found.values())), modified) for m, found in self.counts.items()}

    def probability(self, word, history):
        """``history`` is the whole text before the word."""
        if self.boundary is not None:
            history = (self.boundary, *history)
            start = max(i for i, other in enumerate(history) if other == self.boundary)
            history = history[start:]
        return self._probability(word, tuple(history)[max(0, len(history) - self.order + 1) :])

    def _probability(self, word, history):
        shorter = self._probability(word, history[1:]) if history else 1 / V
        m = len(history) + 1
        found = {gram[-1]: n for gram, n in self.counts[m].items() if gram[:-1] == history and n}
        if not found:
            return shorter
        total, lost = sum(found.values()), self.lost[m]
        left_over = sum(lost[min(n, 3)] for n in found.values())
        count = found.get(word, 0)
        return (count - lost[min(count, 3)] + left_over * shorter) / total


def text_of(length, seed):
    """Words that depend on the one before, so that n-grams recur; the last word of the vocabulary is rare."""
    draw, words = random.Random(seed), [0]
    for _ in range(length - 1):
        words.append(draw.choices(range(V), [5 if w == (words[-1] + 1) % V else 1 + (w < 2) for w in range(V)])[0])
    return np.array(words)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("boundary", [None, 0])
@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("length", [3, 40, 400])
def test_every_probability_is_that_of_the_definition(order, boundary, modified, length):
    text = text_of(length, seed=length)
    model, expected = KneserNey(text, V, order, boundary, modified), ByDefinition(text, order, boundary, modified)
    for history in [past for n in range(4) for past in product(range(V), repeat=n)] + [tuple(text_of(9, 5))]:
        distribution = model.distribution(history)
        assert distribution.sum() == pytest.approx(1, abs=1e-12)
        assert (distribution > 0).all()
        words = [expected.probability(word, history) for word in range(V)]
        np.testing.assert_allclose(distribution, words, rtol=1e-10)
    other = text_of(50, seed=7)
    words = [expected.probability(word, tuple(other[:i])) for i, word in enumerate(other)]
    np.testing.assert_allclose(model.probabilities(other), words, rtol=1e-10)
    assert model.perplexity(other) == pytest.approx(math.exp(-sum(map(math.log, words)) / 50))


def test_a_word_that_never_occurs_has_a_probability():
    model = KneserNey(np.array([0, 1, 0, 1, 1, 0]), vocab_size=3, order=3)
    assert 0 < model.distribution([0, 1])[2] < model.distribution([0, 1])[:2].min()
    assert math.isfinite(model.perplexity(np.array([2, 2, 0])))


def test_a_continuation_counts_by_its_different_histories():
    """The example of Kneser & Ney: a word that is frequent after one word alone is a poor guess after another."""
    francisco, san = 3, 2
    text = np.array([san, francisco] * 20 + [0, 1, 4, 0, 4, 1, 0, 1, 1, 4, 4, 0, 0])
    after_new = KneserNey(text, vocab_size=6, order=2).distribution([5])  # 5 was never seen
    assert after_new[francisco] < after_new[[0, 1, 4]].min()
    assert KneserNey(text, vocab_size=6, order=2).distribution([san])[francisco] > 0.9


def test_longer_histories_help_where_the_text_has_them_and_the_boundary_hides_what_lies_beyond():
    draw = random.Random(0)
    words = [word for _ in range(300) for word in ((1, 2, 3, 0) if draw.random() < 0.5 else (2, 1, 3, 0))]
    text, other = np.array(words[:800]), np.array(words[800:])
    perplexities = [KneserNey(text, V, order, boundary=0).perplexity(other) for order in (1, 2, 3)]
    assert perplexities[0] > 1.5 * perplexities[1] > 1.5 * perplexities[2]
    model = KneserNey(text, V, order=3, boundary=0)
    np.testing.assert_array_equal(model.distribution([1, 0]), model.distribution([2, 3, 0]))
    np.testing.assert_array_equal(model.distribution([]), model.distribution([1, 0]))
    unbound = KneserNey(text, V, order=3)
    assert abs(unbound.distribution([1, 0]) - unbound.distribution([3, 0])).max() > 0.01


def test_small_integers_of_a_token_file_do_not_overflow():
    text = text_of(400, seed=1)
    expected = KneserNey(text * 60, vocab_size=200, order=4).probabilities(text * 60)
    np.testing.assert_array_equal(
        KneserNey((text * 60).astype(np.uint8), 200, 4).probabilities((text * 60).astype(np.uint8)), expected
    )


def test_one_discount_or_three():
    counts = np.array([1, 1, 1, 1, 2, 2, 3, 4])  # Y = 4 / (4 + 2 * 2)
    np.testing.assert_allclose(discounts(counts), [0, 1 - 2 * 0.5 * 2 / 4, 2 - 3 * 0.5 * 1 / 2, 3 - 4 * 0.5 * 1 / 1])
    np.testing.assert_allclose(discounts(counts, modified=False), [0, 0.5, 0.5, 0.5])


def test_the_number_of_n_grams_is_the_texts_own():
    text = text_of(200, seed=2)
    expected = [len({tuple(text[i : i + m]) for i in range(200 - m + 1)}) for m in (1, 2, 3)]
    assert KneserNey(text, V, order=3).num_ngrams == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.array([0, 1]), 2, 0), "order=0 must be a whole number, 1 or more"),
        ((np.array([0, 1]), 0), "vocab_size=0 must be"),
        ((np.array([0, 2]), 2), "values from 0 to vocab_size - 1 = 1, got 0 to 2"),
        ((np.array([-1, 0]), 2), "got -1 to 0"),
        ((np.array([0.0, 1.0]), 2), r"expected integers \(N,\), at least one, got float64 \(2,\)"),
        ((np.array([], dtype=int), 2), r"got int64 \(0,\)"),
        ((np.array([[0, 1]]), 2), r"got int64 \(1, 2\)"),
        ((np.array([0, 1]), 2, 3, 2), "boundary=2 must be a token from 0 to vocab_size - 1 = 1"),
    ],
)
def test_wrong_input_gives_one_clear_line(arguments, message):
    with pytest.raises(InputError, match=message):
        KneserNey(*arguments)
