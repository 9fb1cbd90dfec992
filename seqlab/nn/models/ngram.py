"""An n-gram language model: what a neural one is held against."""

import itertools
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_size
from seqlab.nn.models.language_model import NextTokenModel
from seqlab.nn.models.window import read_on, window_state
from seqlab.nn.state import NestedState


class KneserNey(NextTokenModel):
    r"""An interpolated n-gram model by Kneser & Ney (1995), with the discounts of Chen & Goodman (1999).

    .. math::  P_m(w \mid h) = \frac{a(hw) - D(a(hw))}{\sum_v a(hv)} + \gamma(h) P_{m-1}(w \mid h'), \qquad P_0 = 1/V

    h' is h without its first word. For m = ``order``, a counts how often hw occurs; for smaller m, how many different
    words stand before hw, plus how often hw occurs with nothing before it. :math:`\gamma(h)` is what the discounts
    took, so that every distribution sums to 1. With n_k the number of m-grams of a = k and Y = n_1 / (n_1 + 2 n_2),
    counts of 1, 2 and 3 or more lose 1 - 2Y n_2/n_1, 2 - 3Y n_3/n_2 and 3 - 4Y n_4/n_3 (``modified``), or all lose Y.
    Where one of n_1..n_4 is 0, or one of the three not positive, all lose Y, and 0.5 where n_1 is 0.

    It is called as any :class:`NextTokenModel`, its logits are :math:`\log P`; no gradient reaches them. Its parameters
    are the fraction of each n-gram and the :math:`\gamma` of each history, which :meth:`count` sets; before that
    every token is as likely as any other. Its state ``(tokens (B, order - 2),)`` is what was read last.

    Args:
        vocab_size: V.
        order: n, the words of the longest n-gram: histories have up to n - 1.
        modified: three discounts an order instead of one.

    Raises:
        ValueError, TypeError: for an ``order`` or ``vocab_size`` below 1, and for inputs and states as
            :class:`WindowModel`.

    Example:
        >>> model = KneserNey(vocab_size=3, order=2)
        >>> model.count(torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))
        >>> logits, _ = model(torch.tensor([[2, 0]]))
        >>> logits[0].argmax(-1).tolist(), torch.allclose(logits.exp().sum(-1), torch.ones(1, 2))
        ([0, 1], True)
    """

    def __init__(self, vocab_size: int, order: int = 5, modified: bool = True) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.order = check_size("order", order)
        self.modified = modified
        self.orders = nn.ModuleList(_Grams() for _ in range(order))

    @property
    def num_ngrams(self) -> list[int]:
        """How many different n-grams of 1, 2, ... words the model holds."""
        return [len(grams.keys) for grams in self._grams()]

    def initial_state(self, batch_size: int) -> tuple[Tensor]:
        """Nothing before the first token, on the model's device."""
        device = self._grams()[0].keys.device
        return (torch.full((batch_size, max(self.order - 2, 0)), self.vocab_size, device=device),)

    def features(
        self, inputs: Tensor, state: tuple[NestedState, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor]]:
        """The history of each prediction, ``(B, T, order - 1)``, and the new state; ``vocab_size`` stands where there
        is no token."""
        (before,) = window_state(self, inputs, state, max(self.order - 2, 0))
        tokens, last = read_on(before, inputs, lengths)
        if self.order == 1:
            return tokens.unsqueeze(2)[..., :0], (last,)
        return tokens.unfold(1, self.order - 1, 1), (last,)

    def logits(self, features: Tensor) -> Tensor:
        """log P of each token, ``(..., order - 1) -> (..., vocab_size)``."""
        history = features.reshape(features.shape[:-1].numel(), self.order - 1)  # (N, order - 1)
        orders = self._grams()
        # The numbers of the n-grams of m - 1 words that end in each column; of no words, the one before the first too.
        numbers = history.new_zeros(len(history), self.order)
        contexts = [numbers[:, -1]]
        for m, grams in enumerate(orders[:-1], 1):
            numbers = grams.find(numbers[:, :-1], history[:, m - 1 :], self.vocab_size)
            contexts.append(numbers[:, -1])
        unigrams = orders[0]
        weight = unigrams.left_over.new_ones(len(history))  # what the longer histories leave to the shorter ones
        parts = []
        for grams, context in zip(orders[:0:-1], contexts[:0:-1], strict=True):
            rows = (context >= 0).nonzero()[:, 0]
            row, place = grams.continuations(context[rows], self.vocab_size)
            row = rows[row]
            parts.append((row, grams.keys[place] % self.vocab_size, weight[row] * grams.share[place]))
            weight[rows] *= grams.left_over[context[rows]]
        lowest = unigrams.left_over.expand(self.vocab_size) / self.vocab_size
        lowest = lowest.index_add(0, unigrams.keys, unigrams.share)
        probabilities = weight[:, None] * lowest
        for row, word, share in parts:
            probabilities[row, word] += share
        return probabilities.log_().view(*features.shape[:-1], self.vocab_size)

    def count(self, tokens: Tensor, begins: Tensor | None = None) -> None:
        """Makes this the model of a text, whatever it was before.

        Args:
            tokens: ``(N,)`` integers from 0 to V - 1.
            begins: ``(N,)`` bool, the tokens that begin a text of their own: no history reaches from one to another.

        Raises:
            ValueError: there are no tokens, or they are not integers in range.
        """
        text = tokens.to("cpu", torch.int64)
        if text.dim() != 1 or not len(text) or tokens.is_floating_point() or tokens.dtype == torch.bool:
            raise ValueError(f"tokens: expected integers (N,), at least one, got {tokens.dtype} {tuple(tokens.shape)}")
        if text.min() < 0 or text.max() >= self.vocab_size:
            values = f"{int(text.min())} to {int(text.max())}"
            raise ValueError(f"tokens: expected values from 0 to vocab_size - 1 = {self.vocab_size - 1}, got {values}")
        place = torch.arange(len(text))
        first = torch.zeros_like(place) if begins is None else place * begins.cpu()
        reach = place - first.cummax(0).values  # how many words stand before each
        levels = itertools.pairwise(itertools.chain(self._levels(text, reach), (None,)))  # two of them at a time
        contexts = 1
        for m, (grams, (level, longer)) in enumerate(zip(self._grams(), levels, strict=True), 1):
            assert level is not None
            keys, at, _, numbers = level
            if longer is not None:
                at = torch.cat((longer[2], at[reach[at] == m - 1]))
            counts = torch.bincount(numbers[at], minlength=len(keys))
            grams.set(keys, counts, keys // self.vocab_size, contexts, self.modified)
            contexts = len(keys)

    def _levels(self, text: Tensor, reach: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """For each m: the sorted keys of the m-grams, the places where one ends, one such place for each different
        m-gram, and the number of the one that ends at each place of the text (-1: none)."""
        numbers = torch.zeros_like(text)  # all histories begin empty
        for m in range(1, self.order + 1):
            at = (reach >= m - 1).nonzero()[:, 0]
            keys, inverse = torch.unique(numbers[at - 1] * self.vocab_size + text[at], return_inverse=True)
            one = torch.zeros_like(keys).scatter_(0, inverse, at)
            numbers = torch.full_like(text, -1).scatter_(0, at, inverse)
            yield keys, at, one, numbers

    def _grams(self) -> list["_Grams"]:
        return cast(list[_Grams], list(self.orders))


class _Grams(nn.Module):
    """The m-grams of one m: sorted keys ``history * V + word``, P's own part of each, and gamma of each history.

    The sizes are those of the text: they are not known when a model is made, and taken over when one is loaded.
    """

    keys: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("keys", torch.empty(0, dtype=torch.int64))  # (K,) history: its number among the shorter
        self.share = nn.Parameter(torch.empty(0), requires_grad=False)  # (K,) discounted counts over their sum
        self.left_over = nn.Parameter(torch.ones(1), requires_grad=False)  # (histories,) the share that was discounted

    def set(self, keys: Tensor, counts: Tensor, history: Tensor, histories: int, modified: bool) -> None:
        """Takes the counts of one order."""
        lost = discounts(counts, modified)[counts.clamp(max=3)]
        total = torch.zeros(histories, dtype=torch.float64).index_add(0, history, counts.double())
        taken = torch.zeros_like(total).index_add(0, history, lost)
        never = total == 0  # histories at the very end of a text
        left_over = torch.where(never, 1.0, taken / total)
        self._resize(len(keys), histories)
        self.keys.copy_(keys)
        self.share.copy_((counts - lost) / total[history].clamp(min=1))
        self.left_over.copy_(left_over)

    def find(self, history: Tensor, words: Tensor, vocab_size: int) -> Tensor:
        """The numbers of m-grams, of the numbers of their histories and their last words; -1 for unknown ones."""
        if not len(self.keys):
            return torch.full_like(history, -1)
        keys = history * vocab_size + words
        places = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        is_counted = (history >= 0) & (self.keys[places] == keys)
        return places.where(is_counted, -1)

    def continuations(self, history: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
        """All m-grams that continue each of some histories ``(N,)``: the history's row, and the m-gram's number."""
        edges = torch.stack((history, history + 1)) * vocab_size
        start, end = torch.searchsorted(self.keys, edges)
        counts = end - start
        row = torch.repeat_interleave(torch.arange(len(history), device=history.device), counts)
        within = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        return row, start[row] + within

    def _resize(self, grams: int, histories: int) -> None:
        self.keys = self.keys.new_empty(grams)
        self.share.data = self.share.new_empty(grams)
        self.left_over.data = self.left_over.new_empty(histories)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *further: Any) -> None:
        saved = [state_dict.get(prefix + name) for name in ("keys", "left_over")]
        if all(isinstance(value, Tensor) for value in saved):
            self._resize(*(value.numel() for value in saved if value is not None))
        super()._load_from_state_dict(state_dict, prefix, *further)


def discounts(counts: Tensor, modified: bool = True) -> Tensor:
    """What counts of 0, 1, 2 and 3 or more lose, ``(4,)`` float64, as :class:`KneserNey` says.

    Example:
        >>> discounts(torch.tensor([1, 1, 1, 1, 2, 2, 3, 4]))
        tensor([0.0000, 0.5000, 1.2500, 1.0000], dtype=torch.float64)
        >>> discounts(torch.tensor([1, 1, 2, 7]), modified=False)
        tensor([0.0000, 0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    n = torch.bincount(counts.clamp(max=5), minlength=6)[1:5].double()
    one = float(n[0] / (n[0] + 2 * n[1])) if n[0] else 0.5
    if modified and bool(n.all()):
        three = torch.arange(1, 4) - torch.arange(2, 5) * one * n[1:] / n[:-1]
        if bool((three > 0).all()):
            return torch.cat((torch.zeros(1), three))
    return torch.tensor([0.0, one, one, one], dtype=torch.float64)
