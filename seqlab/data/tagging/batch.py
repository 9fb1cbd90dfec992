"""Tagged sentences in batches, words and letters as numbers, and what a tagger needs to know of its data."""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.batch import Spec
from seqlab.data.core.ragged import Ragged
from seqlab.data.vocabulary.base import Vocabulary, lower
from seqlab.errors import InputError


@dataclass
class TaggingBatch:
    """B sentences of different lengths, each word with its letters and its tag. Padding is 0 and means nothing.

    Attributes:
        words: ``(B, T)`` int64, the numbers of the words.
        characters: ``(B, T, C)`` int64, the numbers of each word's letters; None for a model without letters.
        lengths: ``(B,)`` int64, the number of words of each sentence, 1 or more.
        word_lengths: ``(B, T)`` int64, the number of letters of each word; None where ``characters`` is.
        targets: ``(B, T)`` int64, the numbers of the tags; one of ``len(spec.tags)`` or more, a tag that training never
            saw, occurs in evaluation alone.
        unseen: ``(B, T)`` bool, whether the word does not occur in training.
    """

    words: Tensor
    characters: Tensor | None
    lengths: Tensor
    word_lengths: Tensor | None
    targets: Tensor
    unseen: Tensor


@dataclass(frozen=True)
class TaggingSpec(Spec):
    """What a tagger needs to know of its data.

    Attributes:
        vocab_size: the number of words in the vocabulary.
        tags: the tags in the order of their numbers.
        unknown_index: the number of ``<unk>``, which all other words read as.
        num_characters: the number of letters in their vocabulary; None for a model without letters.
        max_word_length: the most letters of a word that are read; None: all.
        entities: whether the tags are O, B-X and I-X, and the entities that they mark are scored.
        scheme: how the data marks entities, one of ``seqlab.data.formats.tag_schemes.SCHEMES``; None without entities.
        outside: the data's tag of words outside entities; None without entities.
        unseen_tags: the tags of validation and test that training lacks, numbered after ``tags``.
        num_sentences: the number of sentences in each split.
        num_words: the number of words in each split.
        vectors: pretrained vectors of the words, ``(vocab_size, size)``, NaN for a word without one. They are handed to
            the model and not saved with the spec: after training they are weights like others.

    Example:
        >>> spec = TaggingSpec(3, ("B-a", "I-a", "O"), unknown_index=2, num_characters=9, entities=True)
        >>> spec.model_arguments()["tags"], spec.data_arguments()
        (['B-a', 'I-a', 'O'], {'tags': ['B-a', 'I-a', 'O'], 'vectors': None})
    """

    kind: ClassVar[str] = "tagging"
    vocabularies: ClassVar[tuple[str, ...]] = ("tokens", "characters")
    _vectors: ClassVar[Tensor | None] = None

    vocab_size: int
    tags: tuple[str, ...]
    unknown_index: int
    num_characters: int | None = None
    max_word_length: int | None = None
    entities: bool = False
    scheme: str | None = None
    outside: str | None = None
    unseen_tags: tuple[str, ...] = ()
    num_sentences: dict[str, int] | None = None
    num_words: dict[str, int] | None = None
    vectors: InitVar[Tensor | None] = None

    def __post_init__(self, vectors: Tensor | None) -> None:
        object.__setattr__(self, "_vectors", vectors)

    def model_arguments(self) -> dict[str, Any]:
        return {
            "vocab_size": self.vocab_size,
            "tags": list(self.tags),
            "entities": self.entities,
            "num_characters": self.num_characters,
            "unknown_index": self.unknown_index,
        }

    def word_vectors(self) -> Tensor | None:
        return self._vectors

    def data_arguments(self) -> dict[str, Any]:
        return {"tags": list(self.tags), "vectors": None}

    def read_by(self) -> dict[str, Any]:
        return {"max_word_length": self.max_word_length}

    def output_names(self) -> dict[str, Any]:
        return {"tags": list(self.tags), "max_word_length": self.max_word_length}


class EncodedSentences:
    """Sentences as numbers of words, and each different word as numbers of letters.

    Args:
        sentences: the words of each sentence.
        vocabularies: "tokens" for the words, "characters" for the letters.
        max_word_length: the most letters of a word; of a longer word the first and the last half of as many are read.
            None: no limit.

    Attributes:
        forms: the different words, each with its number among them.
        form_of: ``(N,)`` int64, the number of each word's form, of all sentences one after the other.
        ids: ``(N,)`` int64, the number of each word in the vocabulary.

    Raises:
        InputError: a vocabulary lacks a word or letter, and has no ``<unk>``.

    Example:
        >>> from seqlab.data import CharacterVocabulary, WordVocabulary
        >>> vocabularies = {"tokens": WordVocabulary(["a", "cat", "<unk>"]), "characters": CharacterVocabulary("acht")}
        >>> encoded = EncodedSentences([["a", "cat"], ["hat"]], vocabularies)
        >>> [part.tolist() for part in encoded.words([0, 1])]
        [[[0, 1], [2, 0]], [2, 1]]
        >>> characters, word_lengths = encoded.letters([1])
        >>> characters.tolist(), word_lengths.tolist()
        ([[[2, 0, 3]]], [[3]])
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[str]],
        vocabularies: Mapping[str, Vocabulary],
        max_word_length: int | None = None,
    ) -> None:
        self.forms: dict[str, int] = {}
        form_of = [self.forms.setdefault(word, len(self.forms)) for words in sentences for word in words]
        self.form_of = np.asarray(form_of, dtype=np.int64)
        self.ids = word_numbers(self.forms, vocabularies["tokens"])[self.form_of]
        self._words = Ragged.of(self.ids, [len(words) for words in sentences])
        read = [first_and_last_letters(word, max_word_length) for word in self.forms]
        self._letters, counts = vocabularies["characters"].encode_many(read, "the sentences")
        self._letter_counts = np.asarray(counts, dtype=np.int64)
        self._letter_starts = np.cumsum(self._letter_counts) - self._letter_counts

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of words of each sentence, ``(N,)``."""
        return self._words.lengths

    def rows(self, values: NDArray[Any], numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The values of the words of some sentences, ``(B, T)`` int64, and the sentences' lengths, ``(B,)``.

        Args:
            values: ``(N,)``, a value for each word of all sentences.
            numbers: of the sentences.
        """
        return Ragged(values, self._words.starts).pad(numbers)

    def words(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The numbers of the words of some sentences, ``(B, T)``, and the sentences' lengths, ``(B,)``."""
        return self._words.pad(numbers)

    def letters(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The numbers of the letters of some sentences' words, ``(B, T, C)``, and the words' lengths, ``(B, T)``."""
        forms, lengths = (part.numpy() for part in self.rows(self.form_of, numbers))
        counts = np.where(np.arange(forms.shape[1]) < lengths[:, None], self._letter_counts[forms], 0)  # (B, T)
        step = np.arange(counts.max(initial=1))
        place = self._letter_starts[forms][:, :, None] + step  # (B, T, C)
        letters = self._letters[np.minimum(place, len(self._letters) - 1)].astype(np.int64)
        return torch.from_numpy(np.where(step < counts[:, :, None], letters, 0)), torch.from_numpy(counts)


def first_and_last_letters(word: str, max_word_length: int | None) -> str:
    """The first and last letters of a word that is longer than ``max_word_length``, else the word.

    Example:
        >>> first_and_last_letters("unbelievable", 5)
        'unble'
    """
    if max_word_length is None or len(word) <= max_word_length:
        return word
    tail = max_word_length // 2
    return word[: max_word_length - tail] + word[len(word) - tail :]


def as_read(word: str, vocabulary: Vocabulary) -> str:
    """A word as the vocabulary reads it: in lower case where that is its setting."""
    return lower(word) if vocabulary.settings.lowercase else word


def word_numbers(words: Sequence[str] | Mapping[str, Any], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """The number of each word in a vocabulary. Unlike in a text, a word may hold spaces.

    Args:
        words: the words of the data.
        vocabulary: the vocabulary of words.

    Raises:
        InputError: the vocabulary lacks a word, and has no ``<unk>``.
    """
    numbers = [vocabulary.index.get(as_read(word, vocabulary), vocabulary.unknown_id) for word in words]
    if None in numbers:
        missing = [word for word, number in zip(words, numbers, strict=True) if number is None]
        raise InputError(f"the vocabulary lacks {', '.join(map(repr, missing[:10]))} and has no <unk>")
    return np.asarray(numbers, dtype=np.int64)
