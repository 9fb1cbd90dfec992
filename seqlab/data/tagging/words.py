"""How a tagger reads words: the vocabularies of words and letters, and pretrained vectors."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.options import check_limit
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, choose_tokens, lower
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.data.vocabulary.vectors import read_vectors
from seqlab.data.vocabulary.words import WordVocabulary


@dataclass(frozen=True)
class WordReading:
    """How words are read, and which words the vocabulary keeps.

    Args:
        min_frequency: the least number of times that a word occurs in training; rarer words read as ``<unk>``. None: 2.
        lowercase: whether words are read in lower case; their letters stay as they are.
        characters: whether the model also reads the letters of each word.
        max_word_length: the most letters of a word; of a longer word the first and the last half of as many are read.
            None: no limit.

    Raises:
        InputError: a number is out of range.
    """

    min_frequency: int | None = 1
    lowercase: bool = False
    characters: bool = True
    max_word_length: int | None = None

    def __post_init__(self) -> None:
        self.settings  # noqa: B018 - checks min_frequency
        check_limit("data.max_word_length", self.max_word_length)

    @property
    def settings(self) -> dict[str, TokenizerSettings]:
        """The settings of the vocabularies of words ("tokens") and letters ("characters")."""
        words = TokenizerSettings("word", min_frequency=self.min_frequency, lowercase=self.lowercase)
        return {"tokens": words, "characters": TokenizerSettings("character")}

    def as_read(self, words: Iterable[str]) -> set[str]:
        """The different words as they are read."""
        return {lower(word) if self.lowercase else word for word in words}

    def vocabularies(self, counts: Counter[str], further: Iterable[str]) -> dict[str, Vocabulary]:
        """The vocabularies of words and letters, both with an ``<unk>``.

        Args:
            counts: how often each word occurs in training.
            further: words to keep whatever their frequency, such as those with pretrained vectors.
        """
        letters = Counter(letter for word in counts for letter in word)
        words = Counter[str]()
        for word, count in counts.items():
            words[lower(word) if self.lowercase else word] += count
        settings = self.settings
        tokens = choose_tokens(words, settings["tokens"], elsewhere=[UNKNOWN])[0]
        return {
            "tokens": WordVocabulary([*tokens, *sorted(set(further) - set(tokens))], settings["tokens"]),
            "characters": CharacterVocabulary.build(letters, settings["characters"], elsewhere=[UNKNOWN]),
        }


@dataclass(frozen=True)
class WordVectors:
    """A file of pretrained word vectors.

    Args:
        vectors: the file, in GloVe's text format; None: no vectors. A word that is not in it has the vector of its
            lower-case form. The vocabulary keeps a word with a vector whatever its frequency.
        vectors_size: the size of each vector; None: that of the file's first one.
    """

    vectors: str | Path | None = None
    vectors_size: int | None = None

    def table(self, words: set[str]) -> "VectorTable":
        """The vectors of some words and of their lower-case forms."""
        if self.vectors is None:
            return VectorTable({})
        return VectorTable(read_vectors(self.vectors, words | set(map(lower, words)), self.vectors_size))


class VectorTable:
    """Vectors of words.

    Args:
        vectors: the vector of each word, ``(size,)`` float32.

    Example:
        >>> table = VectorTable({"a": np.ones(2, dtype=np.float32)})
        >>> table.rows(["A", "b"]).tolist()
        [[1.0, 1.0], [nan, nan]]
    """

    def __init__(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        self._vectors = vectors

    def of(self, word: str) -> NDArray[np.float32] | None:
        """The vector of a word, or else of its lower-case form; None where neither has one."""
        return self._vectors.get(word, self._vectors.get(lower(word)))

    def rows(self, words: Sequence[str]) -> torch.Tensor | None:
        """The vector of each word, ``(len(words), size)``, NaN for a word without one; None if no word has one."""
        vectors = [self.of(word) for word in words]
        size = next((len(vector) for vector in vectors if vector is not None), None)
        if size is None:
            return None
        nothing = np.full(size, np.nan, dtype=np.float32)
        return torch.from_numpy(np.stack([nothing if vector is None else vector for vector in vectors]))
