"""What is true of a text at each of its tokens: labels that a unit of a network may follow (Karpathy et al. 2015).

Each function takes the tokens of a text, characters or words, and gives a number for each, ``(T,)``: a position, or 1
where something holds and 0 elsewhere. A label of one's own is such a function.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Label = Callable[[Sequence[str]], "NDArray[Any]"]

_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_SENTENCE_ENDS: Final = frozenset(".!?")


def position_in_line(tokens: Sequence[str]) -> NDArray[Any]:
    """The number of tokens since the beginning of the line.

    Example:
        >>> position_in_line("ab\\nc").tolist()
        [0, 1, 2, 0]
    """
    return _since([token in ("\n", "<eos>") for token in tokens])


def position_in_sentence(tokens: Sequence[str]) -> NDArray[Any]:
    """The number of tokens since the last full stop, question or exclamation mark.

    Example:
        >>> position_in_sentence("Go. No").tolist()
        [0, 1, 2, 0, 1, 2]
    """
    return _since([token in _SENTENCE_ENDS for token in tokens])


def position_in_word(tokens: Sequence[str]) -> NDArray[Any]:
    """The number of characters since the beginning of the word; 0 between words. For characters.

    Example:
        >>> position_in_word("the sea").tolist()
        [1, 2, 3, 0, 1, 2, 3]
    """
    places, count = [], 0
    for token in tokens:
        count = count + 1 if _is_letter(token) else 0
        places.append(count)
    return np.array(places)


def after_space(tokens: Sequence[str]) -> NDArray[Any]:
    """1 where the token before is white space. For characters.

    Example:
        >>> after_space("a bc").tolist()
        [0, 0, 1, 0]
    """
    return np.array([0, *(int(token.isspace()) for token in tokens[:-1])][: len(tokens)])


def in_name(tokens: Sequence[str]) -> NDArray[Any]:
    """1 inside a word that begins with a capital letter, from that letter on.

    Example:
        >>> in_name("so Ann did").tolist()
        [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]
        >>> in_name(["so", "Ann", "did"]).tolist()
        [0, 1, 0]
    """
    inside, before, labels = False, "", []
    for token in tokens:
        begins = len(token) > 1 or not _is_letter(before)
        inside = token[:1].isupper() if begins else inside and _is_letter(token)
        labels.append(int(inside))
        before = token
    return np.array(labels)


def in_brackets(tokens: Sequence[str]) -> NDArray[Any]:
    """1 inside round, square or curly brackets, the brackets themselves included.

    Example:
        >>> in_brackets("a(b[c])d").tolist()
        [0, 1, 1, 1, 1, 1, 1, 0]
    """
    open_, labels = [], []
    for token in tokens:
        if token in _OPENING:
            open_.append(_OPENING[token])
        labels.append(int(bool(open_)))
        if open_ and token == open_[-1]:
            open_.pop()
    return np.array(labels)


def in_quotes(tokens: Sequence[str]) -> NDArray[Any]:
    """1 inside double quotation marks, the marks themselves included; straight ones open and close in turn.

    Example:
        >>> in_quotes('a"b"c').tolist()
        [0, 1, 1, 1, 0]
    """
    inside, labels = False, []
    for token in tokens:
        opens = token in ("\u201c", "``") or (token == '"' and not inside)
        labels.append(int(inside or opens))
        inside = opens or (inside and token not in ('"', "\u201d", "''"))
    return np.array(labels)


LABELS: Final[dict[str, Label]] = {
    each.__name__: each
    for each in (
        position_in_line,
        position_in_sentence,
        position_in_word,
        after_space,
        in_name,
        in_brackets,
        in_quotes,
    )
}
"""The labels by their names."""


def _since(ends: Sequence[bool]) -> NDArray[Any]:
    """The number of tokens since the last end, which is itself the last token of its stretch."""
    places, count = [], 0
    for end in ends:
        places.append(count)
        count = 0 if end else count + 1
    return np.array(places)


def _is_letter(token: str) -> bool:
    return token.isalnum() or token in ("'", "\u2019")
