"""A sentence with a tag for each word, and how it is collected line by line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence with a tag for each word, and the place of each word, for messages.

    Attributes:
        words: the words, one or more.
        tags: the tag of each word.
        origin: what stands before a word's number in messages, such as ``file:``.
        lines: the number of each word in messages, such as its line.

    Example:
        >>> TaggedSentence(("Go", "!"), ("VERB", "PUNCT"), "a.conllu:", (7, 8)).place(1)
        'a.conllu:8'
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    origin: str
    lines: Sequence[int]

    def place(self, word: int) -> str:
        """The place of a word, by its position from 0."""
        return f"{self.origin}{self.lines[word]}"


class Block:
    """The words and tags of one sentence, collected line by line."""

    def __init__(self, file: Path) -> None:
        self._origin = f"{file}:"
        self.words: list[str] = []
        self._tags: list[str] = []
        self._lines: list[int] = []

    def add(self, word: str, tag: str, line: int) -> None:
        """Adds a word."""
        self.words.append(word)
        self._tags.append(tag)
        self._lines.append(line)

    def take(self) -> TaggedSentence:
        """Returns the sentence, and begins the next one."""
        sentence = TaggedSentence(tuple(self.words), tuple(self._tags), self._origin, tuple(self._lines))
        self.words, self._tags, self._lines = [], [], []
        return sentence
