"""A text in pieces, so that none has to fit in memory, and its cuts by position."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from seqlab.data.core.batch import SPLITS

Piece = tuple[str, bool]
"""A run of text, never cut inside a word, and whether a document begins with it."""

_REACH = 1 << 20  # characters past a cut's position in which a line's end is looked for


def cut_text(pieces: Iterable[Piece], start: int, stop: int) -> Iterator[Piece]:
    """The characters ``start <= position < stop`` of a text in pieces; the first one begins a document.

    Args:
        pieces: of the whole text, from its beginning.
        start: the position of the first character.
        stop: the position after the last one.

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
    """Where a line begins at or after ``position``, if within ``reach`` characters; else a word; else ``position``."""
    before = max(position - 1, 0)
    ahead = "".join(text for text, _ in cut_text(pieces, before, before + min(reach, _REACH)))
    newline = ahead.find("\n")
    if newline >= 0:
        return before + newline + 1
    return next((before + i + 1 for i, character in enumerate(ahead) if character.isspace()), position)


def positions_of_splits(
    read: "Reader", num_characters: int, fractions: tuple[float, float, float]
) -> dict[str, tuple[int, int]]:
    """Where each split begins and ends: cut by position at line ends, without overlap or gap.

    Args:
        read: gives the pieces of the whole text from its beginning, each time it is called.
        num_characters: the whole text's length.
        fractions: shares of train, validation and test.
    """
    bounds = [round(fractions[0] * num_characters), round((fractions[0] + fractions[1]) * num_characters)]
    sizes = [bounds[1] - bounds[0], num_characters - bounds[1]]
    # A cut moves by at most half the split that follows it, so that a text of few long lines still fills three splits.
    cuts = [0, *(next_line(read(), at, size // 2) for at, size in zip(bounds, sizes, strict=True)), num_characters]
    return {split: (cuts[i], cuts[i + 1]) for i, split in enumerate(SPLITS)}


class Reader(Protocol):
    """Gives a text's pieces from its beginning."""

    def __call__(self) -> Iterable[Piece]: ...
