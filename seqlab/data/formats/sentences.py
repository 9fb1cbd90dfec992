"""A sentence with a tag for each word, and how it is collected from the lines of a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence, the tag of each word, and where each stands, for messages.

    Attributes:
        words: one or more.
        tags: as many.
        origin: what comes before a word's number in a message, such as ``file:``.
        lines: the number of each word: its line.

    Example:
        >>> TaggedSentence(("Go", "!"), ("VERB", "PUNCT"), "a.conllu:", (7, 8)).place(1)
        'a.conllu:8'
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    origin: str
    lines: Sequence[int]

    def place(self, word: int) -> str:
        """Where a word stands."""
        return f"{self.origin}{self.lines[word]}"


class Block:
    """The words of one sentence, collected line by line."""

    def __init__(self, file: Path) -> None:
        self._origin = f"{file}:"
        self.words: list[str] = []
        self._tags: list[str] = []
        self._lines: list[int] = []

    def add(self, word: str, tag: str, line: int) -> None:
        self.words.append(word)
        self._tags.append(tag)
        self._lines.append(line)

    def take(self) -> TaggedSentence:
        sentence = TaggedSentence(tuple(self.words), tuple(self._tags), self._origin, tuple(self._lines))
        self.words, self._tags, self._lines = [], [], []
        return sentence
