"""What has to be kept for a time: copying, copying of what is selected, delayed recall, associative recall."""

import string
from typing import Final

import numpy as np

from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.core.options import check_whole_number
from seqlab.data.labelling.sources import Generated, Integers
from seqlab.errors import InputError

_BLANK, _GO = ".", "?"
_LETTERS: Final = string.ascii_lowercase


class _Recited(Generated):
    """Letters that are recited at the end: what copying and selective copying share."""

    def __init__(self, symbols: int, alphabet: int) -> None:
        self.symbols = check_whole_number("data.symbols", symbols, 1)
        letters = _letters("data.alphabet", alphabet, _LETTERS)
        self.alphabet = alphabet
        self.labels: tuple[str, ...] = letters
        self.tokens = (*letters, _BLANK, _GO)
        self.blank, self.go = alphabet, alphabet + 1

    def chance(self, length: int) -> float:
        """One over the number of letters."""
        return 1 / self.alphabet


class Copy(_Recited):
    """Letters, a long silence, then a sign to recite them: the copying memory task.

    The letters come first, then blanks, the sign ``?``, and as many blanks as there are letters, at which the letters
    are asked in their order (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016, whose delay T is ``length`` less
    twice ``symbols``). A longer sequence has a longer silence. Chance is one over the number of letters.

    Args:
        symbols: how many letters are kept.
        alphabet: how many letters there are, up to 26.
        ask_blanks: whether a blank is asked at all other steps, as in Arjovsky et al. (2016), whose loss is over all
            steps: of one that knows when to recite, but no letter, it is symbols * log(alphabet) / length. Chance is
            then the share of blanks.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> source = Copy(symbols=3, alphabet=4)
        >>> tokens, labels = source.draw(np.random.default_rng(0), 1, 10)
        >>> " ".join(source.tokens[token] for token in tokens[0]), labels[0, -3:].tolist()
        ('d c c . . . ? . . .', [3, 2, 2])
    """

    def __init__(self, symbols: int = 10, alphabet: int = 8, ask_blanks: bool = False) -> None:
        super().__init__(symbols, alphabet)
        if not isinstance(ask_blanks, bool):
            raise InputError(f"data.ask_blanks={ask_blanks} must be true or false")
        self.ask_blanks = ask_blanks
        self.labels = (*self.labels, _BLANK) if ask_blanks else self.labels
        self.least_length = 2 * symbols + 1
        self.name = f"copying of {symbols} letters of {alphabet}"

    def chance(self, length: int) -> float:
        """One over the number of letters; with ``ask_blanks`` the share of blanks, where that is more."""
        by_letter = super().chance(length)
        if not self.ask_blanks:
            return by_letter
        silent = (length - self.symbols) / length
        return max(silent, (1 - silent) * by_letter)

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws letters, and asks for them; see :class:`LabelGenerator`."""
        letters = random.integers(self.alphabet, size=(count, self.symbols))
        tokens = np.full((count, length), self.blank)
        tokens[:, : self.symbols] = letters
        tokens[:, -self.symbols - 1] = self.go
        labels = np.full_like(tokens, self.blank if self.ask_blanks else IGNORE_INDEX)
        labels[:, -self.symbols :] = letters
        return tokens, labels


class SelectiveCopy(_Recited):
    """Letters among blanks, anywhere, to be recited in their order: the selective copying task of Gu & Dao (2023).

    As many signs ``?`` as there are letters end the sequence, and ask for them (Jing et al. 2019 call it denoising).
    What to keep depends on the input, so a fixed linear recurrence cannot do it. Chance is one over the number of
    letters.

    Args:
        symbols: how many letters are kept.
        alphabet: how many letters there are, up to 26.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> source = SelectiveCopy(symbols=3, alphabet=4)
        >>> tokens, labels = source.draw(np.random.default_rng(0), 1, 10)
        >>> " ".join(source.tokens[token] for token in tokens[0]), labels[0, -3:].tolist()
        ('d c . . . . c ? ? ?', [3, 2, 2])
    """

    def __init__(self, symbols: int = 10, alphabet: int = 8) -> None:
        super().__init__(symbols, alphabet)
        self.least_length = 2 * symbols
        self.name = f"selective copying of {symbols} letters of {alphabet}"

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws letters and their places, and asks for them; see :class:`LabelGenerator`."""
        letters = random.integers(self.alphabet, size=(count, self.symbols))
        body = random.random((count, length - self.symbols))
        places = np.sort(np.argpartition(body, self.symbols - 1, axis=1)[:, : self.symbols], axis=1)
        tokens = np.full((count, length), self.blank)
        np.put_along_axis(tokens, places, letters, axis=1)
        tokens[:, -self.symbols :] = self.go
        labels = np.full_like(tokens, IGNORE_INDEX)
        labels[:, -self.symbols :] = letters
        return tokens, labels


class DelayedRecall(Generated):
    """A cue, then random letters, then a sign that asks for the cue: a long time lag with distractors.

    The second experiment of Hochreiter & Schmidhuber (1997): of all that is read, the first step alone matters, and
    nothing but the sign says that it is wanted. A longer sequence has more distractors. Chance is one over ``cues``.

    Args:
        cues: how many cues there are, capital letters, up to 26.
        distractors: how many letters there are to distract, up to 26.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> source = DelayedRecall(4, 4)
        >>> tokens, labels = source.draw(np.random.default_rng(0), 1, 6)
        >>> " ".join(source.tokens[token] for token in tokens[0]), source.labels[labels[0, -1]]
        ('D c b b a ?', 'D')
    """

    least_length = 2

    def __init__(self, cues: int = 8, distractors: int = 8) -> None:
        self.labels = _letters("data.cues", cues, _LETTERS.upper())
        self.cues, self.distractors = cues, distractors
        self.tokens = (*self.labels, *_letters("data.distractors", distractors, _LETTERS), _GO)
        self.name = f"delayed recall of {cues} cues"

    def chance(self, length: int) -> float:
        """One over the number of cues."""
        return 1 / self.cues

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws a cue and what comes after it; see :class:`LabelGenerator`."""
        cues = random.integers(self.cues, size=count)
        tokens = self.cues + random.integers(self.distractors, size=(count, length))
        tokens[:, 0], tokens[:, -1] = cues, len(self.tokens) - 1
        labels = np.full_like(tokens, IGNORE_INDEX)
        labels[:, -1] = cues
        return tokens, labels


class AssociativeRecall(Generated):
    """Pairs of a key and a value, then each key again, which asks for its value: MQAR of Arora et al. (2024).

    Multi-query associative recall: the pairs come first; among blanks each key comes once more, at a step i after the
    pairs that is drawn with probability proportional to i^(power - 1), so most come early, and its label is its value.
    Keys within a sequence differ, values may repeat. A longer sequence has longer gaps. The paper has 8,192 tokens and,
    at a length of 64, 4 pairs; the default here has fewer tokens. Chance is one over ``values``.

    Args:
        pairs: how many pairs there are.
        keys: how many keys there are.
        values: how many values there are.
        power: of the gaps, above 0; 1: every step is as likely.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> source = AssociativeRecall(pairs=2, keys=4, values=4)
        >>> tokens, labels = source.draw(np.random.default_rng(0), 1, 10)
        >>> " ".join(source.tokens[token] for token in tokens[0])
        'k3 v0 k2 v3 k2 k3 . . . .'
        >>> [source.labels[label] for label in labels[0] if label >= 0]
        ['v3', 'v0']
    """

    def __init__(self, pairs: int = 4, keys: int = 16, values: int = 16, power: float = 0.01) -> None:
        self.pairs = check_whole_number("data.pairs", pairs, 1)
        if check_whole_number("data.keys", keys, 1) < pairs:
            raise InputError(f"data.keys={keys}: the keys of a sequence differ, and data.pairs={pairs} needs as many")
        if isinstance(power, bool) or not isinstance(power, (int, float)) or not power > 0:
            raise InputError(f"data.power={power} must be above 0")
        self.keys, self.values = keys, check_whole_number("data.values", values, 1)
        self.power = float(power)
        self.labels = tuple(f"v{number}" for number in range(values))
        self.tokens = (*(f"k{number}" for number in range(keys)), *self.labels, _BLANK)
        self.least_length = 3 * pairs
        self.name = f"associative recall of {pairs} pairs"

    def chance(self, length: int) -> float:
        """One over the number of values."""
        return 1 / self.values

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws pairs and the places of questions; see :class:`LabelGenerator`."""
        keys = np.argsort(random.random((count, self.keys)), axis=1)[:, : self.pairs]
        values = random.integers(self.values, size=(count, self.pairs))
        tokens = np.full((count, length), len(self.tokens) - 1)
        tokens[:, 0 : 2 * self.pairs : 2], tokens[:, 1 : 2 * self.pairs : 2] = keys, self.keys + values
        # The largest of log p + Gumbel noise are a draw without replacement in proportion to p.
        steps = np.arange(1, length - 2 * self.pairs + 1)
        scores = (self.power - 1) * np.log(steps) + random.gumbel(size=(count, len(steps)))
        places = 2 * self.pairs + np.argsort(-scores, axis=1)[:, : self.pairs]
        np.put_along_axis(tokens, places, keys, axis=1)
        labels = np.full_like(tokens, IGNORE_INDEX)
        np.put_along_axis(labels, places, values, axis=1)
        return tokens, labels


def _letters(option: str, count: int, alphabet: str) -> tuple[str, ...]:
    """The first letters of an alphabet."""
    if check_whole_number(option, count, 1) > len(alphabet):
        raise InputError(f"{option}={count} must be at most {len(alphabet)}, the letters that there are")
    return tuple(alphabet[:count])
