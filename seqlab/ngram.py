"""An n-gram language model: what a recurrent one is held against."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqlab.errors import InputError

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """The m-grams of one m: sorted keys ``context * V + word``, and what each context leaves to the shorter one."""

    keys: Ids  # (K,) context: the number of the (m-1)-gram before the word
    discounted: Floats  # (K,) counts, less their discount
    total: Floats  # (contexts,) the sum of a context's counts
    left_over: Floats  # (contexts,) the share of them that was discounted; 1 where a context was never continued

    def find(self, keys: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        """The numbers of m-grams, and which of them are known."""
        places = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return places, self.keys[places] == keys


class KneserNey:
    r"""An interpolated n-gram model by Kneser & Ney (1995), with the discounts of Chen & Goodman (1999).

    .. math::  P_m(w \mid h) = \frac{a(hw) - D(a(hw))}{\sum_v a(hv)} + \gamma(h) P_{m-1}(w \mid h'), \qquad P_0 = 1/V

    h' is h without its first word. For m = ``order``, a counts how often hw occurs; for smaller m, how many different
    words stand before hw, plus how often hw occurs with nothing before it. :math:`\gamma(h)` is what the discounts
    took, so that every distribution sums to 1. With n_k the number of m-grams of a = k and Y = n_1 / (n_1 + 2 n_2),
    counts of 1, 2 and 3 or more lose 1 - 2Y n_2/n_1, 2 - 3Y n_3/n_2 and 3 - 4Y n_4/n_3 (``modified``), or all lose Y.
    Where one of n_1..n_4 is 0, or one of the three not positive, all lose Y, and 0.5 where n_1 is 0.

    Args:
        tokens: the training text, ``(N,)`` integers from 0 to V - 1.
        vocab_size: V.
        order: n, the words of the longest n-gram: histories have up to n - 1.
        boundary: the token that ends a sentence, such as ``<eos>``; no history reaches back beyond it, it begins the
            histories of the next sentence, and every text is read as if it stood before the first token. None:
            histories reach back to the beginning of the text.
        modified: three discounts an order instead of one.

    Raises:
        InputError: for an ``order`` or ``vocab_size`` below 1, no tokens, tokens that are not integers in range, or a
            ``boundary`` out of range.

    Example:
        >>> model = KneserNey(np.array([0, 1, 2, 0, 1, 2, 0, 1]), vocab_size=3, order=2)
        >>> int(model.distribution([0]).argmax())
        1
        >>> bool(np.isclose(model.distribution([2, 1]).sum(), 1))
        True
    """

    def __init__(
        self, tokens: NDArray[Any], vocab_size: int, order: int = 5, boundary: int | None = None, modified: bool = True
    ) -> None:
        for name, value in (("order", order), ("vocab_size", vocab_size)):
            if value < 1:
                raise InputError(f"{name}={value} must be a whole number, 1 or more")
        if boundary is not None and not 0 <= boundary < vocab_size:
            raise InputError(
                f"boundary={boundary} must be a token from 0 to vocab_size - 1 = {vocab_size - 1}, or None"
            )
        self.order, self.vocab_size, self.boundary, self.modified = order, vocab_size, boundary, modified
        self._orders: list[_Order] = []
        self._train(self._checked(tokens))

    @property
    def num_ngrams(self) -> list[int]:
        """How many different n-grams of 1, 2, ... words the model holds."""
        return [len(grams.keys) for grams in self._orders]

    def probabilities(self, tokens: NDArray[Any]) -> Floats:
        """P of each token given those before it, ``(N,)``."""
        text, reach = self._read(self._checked(tokens))
        found = np.full(len(text), 1 / self.vocab_size)
        for grams, at, context, places, seen in self._look_up(text, reach):
            share = np.where(seen, grams.discounted[places], 0) / grams.total[context]
            found[at] = share + grams.left_over[context] * found[at]
        return found[len(text) - len(tokens) :]

    def perplexity(self, tokens: NDArray[Any]) -> float:
        """exp of the mean of -log P over the tokens."""
        return math.exp(-np.log(self.probabilities(tokens)).mean())

    def distribution(self, history: ArrayLike) -> Floats:
        """P of every token after ``history``, ``(vocab_size,)``; an empty history is the beginning of a text."""
        before = self._checked(np.asarray(history)) if np.size(history) else np.empty(0, dtype=np.int64)
        text, reach = self._read(np.append(before, 0))  # a token that stands where the next one will
        found = np.full(self.vocab_size, 1 / self.vocab_size)
        for grams, at, context, _, _ in self._look_up(text, reach):
            if not at.size or at[-1] != len(text) - 1:
                break
            first = context[-1] * self.vocab_size
            known = slice(*np.searchsorted(grams.keys, (first, first + self.vocab_size)))
            found *= grams.left_over[context[-1]]
            found[grams.keys[known] - first] += grams.discounted[known] / grams.total[context[-1]]
        return found

    def _checked(self, tokens: NDArray[Any]) -> Ids:
        """The tokens as int64, or ``InputError``."""
        tokens = np.asarray(tokens)
        if tokens.ndim != 1 or not tokens.size or not np.issubdtype(tokens.dtype, np.integer):
            raise InputError(f"tokens: expected integers (N,), at least one, got {tokens.dtype} {tokens.shape}")
        if tokens.min() < 0 or tokens.max() >= self.vocab_size:
            found = f"{tokens.min()} to {tokens.max()}"
            raise InputError(f"tokens: expected values from 0 to vocab_size - 1 = {self.vocab_size - 1}, got {found}")
        return tokens.astype(np.int64)

    def _read(self, tokens: Ids) -> tuple[Ids, Ids]:
        """The text, with the boundary that stands before it, and how many words of history each position has."""
        if self.boundary is None:
            return tokens, np.arange(len(tokens))
        text = np.append(self.boundary, tokens)
        positions = np.arange(len(text))
        last = np.maximum.accumulate(np.where(text == self.boundary, positions, 0))
        return text, positions - np.append(0, last[:-1])

    def _train(self, tokens: Ids) -> None:
        text, reach = self._read(tokens)
        counted = np.arange(len(text)) >= len(text) - len(tokens)  # not the boundary before the text
        levels: list[tuple[Ids, Ids, Ids, Ids]] = []
        numbers = np.zeros(len(text), dtype=np.int64)  # of the gram that ends here; all histories begin empty
        for m in range(1, self.order + 1):
            at = np.flatnonzero(reach >= m - 1)
            if not at.size:
                break
            found = numbers[at - 1] * self.vocab_size + text[at]
            keys, first, inverse = np.unique(found, return_index=True, return_inverse=True)
            numbers = np.full(len(text), -1)
            numbers[at] = inverse
            levels.append((keys, at[counted[at]], at[first], numbers))
        for m, (keys, at, _, numbers) in enumerate(levels, 1):
            if m < self.order:
                longer = levels[m][2] if m < len(levels) else at[:0]  # one place of each gram of one word more
                at = np.append(longer, at[reach[at] == m - 1])
            counts = np.bincount(numbers[at], minlength=len(keys))
            contexts = len(levels[m - 2][0]) if m > 1 else 1
            self._orders.append(self._discount(keys, counts, contexts))

    def _discount(self, keys: Ids, counts: Ids, contexts: int) -> _Order:
        lost = discounts(counts, self.modified)[counts.clip(max=3)]
        context = keys // self.vocab_size
        total = np.bincount(context, counts, contexts).astype(float)
        taken = np.bincount(context, lost, contexts).astype(float)
        never = total == 0
        total[never] = taken[never] = 1
        return _Order(keys, counts - lost, total, taken / total)

    def _look_up(self, text: Ids, reach: Ids) -> Iterator[tuple[_Order, Ids, Ids, Ids, NDArray[np.bool_]]]:
        """For each m the positions with a known history of m - 1 words, its number, and that of the m-gram if seen."""
        numbers = np.zeros(len(text), dtype=np.int64)
        for m, grams in enumerate(self._orders, 1):
            at = np.flatnonzero(reach >= m - 1)
            at = at[numbers[at - 1] >= 0]
            context = numbers[at - 1]
            places, seen = grams.find(context * self.vocab_size + text[at])
            yield grams, at, context, places, seen
            numbers = np.full(len(text), -1)
            numbers[at] = np.where(seen, places, -1)


def discounts(counts: Ids, modified: bool = True) -> Floats:
    """What counts of 0, 1, 2 and 3 or more lose, ``(4,)``, as :class:`KneserNey` says.

    >>> discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4])).round(3)
    array([0.  , 0.5 , 1.25, 1.  ])
    >>> discounts(np.array([1, 1, 2, 7]), modified=False)
    array([0. , 0.5, 0.5, 0.5])
    """
    n = np.bincount(counts.clip(max=5), minlength=6)[1:5].astype(float)
    one = n[0] / (n[0] + 2 * n[1]) if n[0] else 0.5
    if modified and n.all():
        three = np.arange(1, 4) - np.arange(2, 5) * one * n[1:] / n[:-1]
        if (three > 0).all():
            return np.append(0, three)
    return np.array([0, one, one, one])
