"""The baseline of letters to sounds: each letter has the sounds that it most often has in its context, in training.

Training words are aligned first, so that each letter has none, one or two phonemes: the likeliest alignment under the
frequencies of letters and sounds, which are counted again from the alignments, five times (hard EM). Then a letter of a
new word has the sounds that are commonest in the widest context, up to four letters on either side, that training has
seen often enough.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

Sounds = tuple[str, ...]
Pair = tuple[str, list[str]]  # a word and its phonemes

ITERATIONS: Final = 5
MOST_SOUNDS: Final = 2  # of a letter
WIDEST: Final = 4
_EDGE: Final = "#"


def align(pairs: Sequence[Pair]) -> list[list[Sounds]]:
    """The sounds of each letter of each word; an empty list for a word with more phonemes than two a letter."""
    costs: dict[tuple[str, Sounds], float] = {}
    aligned: list[list[Sounds]] = []
    for _ in range(ITERATIONS):
        aligned = [_align(word, phonemes, costs) for word, phonemes in pairs]
        counts = Counter(
            (letter, sounds)
            for (word, _), chosen in zip(pairs, aligned, strict=True)
            for letter, sounds in zip(word, chosen, strict=False)
        )
        totals: Counter[str] = Counter()
        for (letter, _), count in counts.items():
            totals[letter] += count
        costs = {key: -math.log(count / totals[key[0]]) for key, count in counts.items()}
    return aligned


def _align(word: str, phonemes: list[str], costs: dict[tuple[str, Sounds], float]) -> list[Sounds]:
    """The cheapest alignment; before there are costs, a letter has as nearly one phoneme as can be."""
    if len(phonemes) > MOST_SOUNDS * len(word):
        return []
    best: dict[int, tuple[float, list[Sounds]]] = {0: (0.0, [])}
    for place, letter in enumerate(word):
        after: dict[int, tuple[float, list[Sounds]]] = {}
        for used, (cost, chosen) in best.items():
            for count in range(min(MOST_SOUNDS, len(phonemes) - used) + 1):
                if len(phonemes) - used - count > MOST_SOUNDS * (len(word) - place - 1):
                    continue
                sounds = tuple(phonemes[used : used + count])
                further = cost + (costs.get((letter, sounds), 15.0) if costs else (1.0, 0.0, 1.5)[count])
                if used + count not in after or further < after[used + count][0]:
                    after[used + count] = further, [*chosen, sounds]
        best = after
    return best[len(phonemes)][1]


class Contexts:
    """How often a letter has which sounds, by the letters on either side.

    Args:
        pairs: the words of training with their phonemes.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._counts: dict[str, Counter[Sounds]] = defaultdict(Counter)
        for (word, _), chosen in zip(pairs, align(pairs), strict=True):
            for place, sounds in enumerate(chosen):
                for width in range(WIDEST + 1):
                    self._counts[_context(word, place, width)][sounds] += 1

    def pronounce(self, word: str, widest: int, least: int) -> str:
        """The phonemes of a word, with spaces between them.

        Args:
            word: the word.
            widest: the most letters on either side that are looked at.
            least: how often training must have seen a context.
        """
        sounds: list[str] = []
        for place in range(len(word)):
            for width in range(widest, -1, -1):
                counts = self._counts.get(_context(word, place, width))
                if counts is not None and (counts.total() >= least or not width):
                    sounds += counts.most_common(1)[0][0]
                    break
        return " ".join(sounds)


def _context(word: str, place: int, width: int) -> str:
    edged = _EDGE * WIDEST + word + _EDGE * WIDEST
    middle = place + WIDEST
    return edged[middle - width : middle] + ">" + edged[middle : middle + width + 1]


def pairs_of(words: Iterable[tuple[str, Sequence[str]]]) -> list[Pair]:
    """A pair for each pronunciation of each word."""
    return [(word, phonemes.split()) for word, several in words for phonemes in several]
