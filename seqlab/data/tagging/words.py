"""How a tagger's words are read: their vocabulary, that of their letters, and pretrained vectors."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.options import check_whole_number
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, choose_tokens, lower
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.data.vocabulary.vectors import read_vectors
from seqlab.data.vocabulary.words import WordVocabulary


@dataclass(frozen=True)
class WordReading:
    """How words are read, and which a vocabulary keeps.

    Args:
        min_frequency: rarer words are left out and read as ``<unk>``; None: 2.
        lowercase: lower the words; their letters stay as they are.
        characters: give the model the letters of each word.
        max_word_length: a longer word is read by its first and last letters, half of them each; None: none is.

    Raises:
        InputError: an option is out of range.
    """

    min_frequency: int | None = 1
    lowercase: bool = False
    characters: bool = True
    max_word_length: int | None = None

    def __post_init__(self) -> None:
        self.settings  # noqa: B018 - checks min_frequency
        if self.max_word_length is not None:
            check_whole_number("data.max_word_length", self.max_word_length, 1)

    @property
    def settings(self) -> dict[str, TokenizerSettings]:
        """Those of the vocabularies of words ("tokens") and of letters ("characters")."""
        words = TokenizerSettings("word", min_frequency=self.min_frequency, lowercase=self.lowercase)
        return {"tokens": words, "characters": TokenizerSettings("character")}

    def as_read(self, words: Iterable[str]) -> set[str]:
        """The different words as their vocabulary holds them."""
        return {lower(word) if self.lowercase else word for word in words}

    def vocabularies(self, counts: Counter[str], further: Iterable[str]) -> dict[str, Vocabulary]:
        """The vocabularies of words and of letters, both with an ``<unk>``.

        Args:
            counts: the words of training.
            further: words that are known whatever their frequency, such as those with pretrained vectors.
        """
        letters = Counter(letter for word in counts for letter in word)
        read = Counter[str]()
        for word, count in counts.items():
            read[lower(word) if self.lowercase else word] += count
        settings = self.settings
        tokens = choose_tokens(read, settings["tokens"], elsewhere=[UNKNOWN])[0]
        return {
            "tokens": WordVocabulary([*tokens, *sorted(set(further) - set(tokens))], settings["tokens"]),
            "characters": CharacterVocabulary.build(letters, settings["characters"], elsewhere=[UNKNOWN]),
        }


@dataclass(frozen=True)
class WordVectors:
    """A file of pretrained word vectors.

    Args:
        vectors: the file, in GloVe's text format; None: none. A word without a vector may have that of its lowered
            form, and one with a vector is known whatever its frequency.
        vectors_size: how many numbers a word must have; None: as its first word.
    """

    vectors: str | Path | None = None
    vectors_size: int | None = None

    def table(self, words: set[str]) -> "VectorTable":
        """The vectors of some words, and of their lowered forms."""
        if self.vectors is None:
            return VectorTable({})
        return VectorTable(read_vectors(self.vectors, words | set(map(lower, words)), self.vectors_size))


class VectorTable:
    """The vectors of words.

    Args:
        vectors: ``(size,)`` float32 each.

    Example:
        >>> table = VectorTable({"a": np.ones(2, dtype=np.float32)})
        >>> table.rows(["A", "b"]).tolist()
        [[1.0, 1.0], [nan, nan]]
    """

    def __init__(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        self._vectors = vectors

    def of(self, word: str) -> NDArray[np.float32] | None:
        """The vector of a word, or of its lowered form."""
        return self._vectors.get(word, self._vectors.get(lower(word)))

    def rows(self, words: Sequence[str]) -> torch.Tensor | None:
        """The vector of each word, ``(len(words), size)``, NaN for one without; None where no word has one."""
        vectors = [self.of(word) for word in words]
        size = next((len(vector) for vector in vectors if vector is not None), None)
        if size is None:
            return None
        nothing = np.full(size, np.nan, dtype=np.float32)
        return torch.from_numpy(np.stack([nothing if vector is None else vector for vector in vectors]))
