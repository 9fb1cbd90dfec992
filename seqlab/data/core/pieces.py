"""A text in pieces, so that it need not fit into memory, and its cuts by position."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from seqlab.data.core.batch import SPLITS

Piece = tuple[str, bool]
"""A part of a text, never cut inside a word, and whether a document begins with it."""

_REACH = 1 << 20  # characters after a cut's position in which the end of a line is searched for


def cut_text(pieces: Iterable[Piece], start: int, stop: int) -> Iterator[Piece]:
    """The characters ``start <= position < stop`` of a text in pieces. The first piece begins a document.

    Args:
        pieces: the pieces of the whole text.
        start: the position of the first character.
        stop: the position after the last character.

    Example:
        >>> list(cut_text([("abc", True), ("def", False)], 2, 5))
        [('c', True), ('de', False)]
    """
    position, begins = 0, True
    for text, begins_document in pieces:
        inside = text[max(start - position, 0) : max(stop - position, 0)]
        if inside:
            yield inside, begins or begins_document
            begins = False
        position += len(text)
        if position >= stop:
            return


def next_line(pieces: Iterable[Piece], position: int, reach: int) -> int:
    """The position, at or after this one, at which a line begins; else a word, else ``position`` itself.

    Args:
        pieces: the pieces of the whole text.
        position: the first position that counts.
        reach: the number of characters to search.
    """
    before = max(position - 1, 0)
    ahead = "".join(text for text, _ in cut_text(pieces, before, before + min(reach, _REACH)))
    newline = ahead.find("\n")
    if newline >= 0:
        return before + newline + 1
    return next((before + i + 1 for i, character in enumerate(ahead) if character.isspace()), position)


def positions_of_splits(
    read: "Reader", num_characters: int, fractions: tuple[float, float, float]
) -> dict[str, tuple[int, int]]:
    """The positions at which each split begins and ends, at ends of lines, without overlap or gap.

    Args:
        read: returns the pieces of the whole text, each time anew.
        num_characters: the length of the whole text.
        fractions: the shares of train, validation and test.
    """
    bounds = [round(fractions[0] * num_characters), round((fractions[0] + fractions[1]) * num_characters)]
    sizes = [bounds[1] - bounds[0], num_characters - bounds[1]]
    # A cut moves by at most half of the next split, so that a text of few long lines still fills three splits.
    cuts = [0, *(next_line(read(), at, size // 2) for at, size in zip(bounds, sizes, strict=True)), num_characters]
    return {split: (cuts[i], cuts[i + 1]) for i, split in enumerate(SPLITS)}


class Reader(Protocol):
    """Returns the pieces of a text from its beginning."""

    def __call__(self) -> Iterable[Piece]: ...
