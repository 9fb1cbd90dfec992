"""Words and their pronunciations: rows of a table or a dictionary, grouped by word."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_STRESS: Final = re.compile(r"(?<=[A-Za-z])[0-2]$")


class Pronounced(NamedTuple):
    """A word and all its pronunciations.

    Attributes:
        word: the word.
        pronunciations: one or more, each its phonemes with spaces between them, in the data's order.
        place: the place of its first row, for messages.
    """

    word: str
    pronunciations: tuple[str, ...]
    place: str


def plain_phonemes(text: str, stress: bool) -> str:
    """Phonemes with single spaces between them.

    Args:
        text: the phonemes with white space between them.
        stress: whether the mark of stress stays: a digit 0 to 2 behind the letters of a phoneme, as in ARPAbet.

    Example:
        >>> plain_phonemes(" F OW1  N ", stress=True), plain_phonemes("F OW1 N", stress=False)
        ('F OW1 N', 'F OW N')
    """
    phonemes = text.split()
    return " ".join(phonemes if stress else (_STRESS.sub("", phoneme) for phoneme in phonemes))


def by_word(rows: Iterable[tuple[str, str, str]]) -> tuple[list[Pronounced], int]:
    """Groups rows by their words.

    Args:
        rows: word, phonemes and place of each row.

    Returns:
        The words in the order of their first rows, each pronunciation of a word once; and how many rows repeated one.

    Example:
        >>> by_word([("read", "R IY D", "a:1"), ("red", "R EH D", "a:2"), ("read", "R EH D", "a:3")])[0][0]
        Pronounced(word='read', pronunciations=('R IY D', 'R EH D'), place='a:1')
    """
    words: dict[str, dict[str, None]] = {}
    places: dict[str, str] = {}
    total = 0
    for word, phonemes, place in rows:
        words.setdefault(word, {})[phonemes] = None
        places.setdefault(word, place)
        total += 1
    grouped = [Pronounced(word, tuple(pronunciations), places[word]) for word, pronunciations in words.items()]
    return grouped, total - sum(len(each.pronunciations) for each in grouped)
