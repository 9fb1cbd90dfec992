"""Words and their letters as numbers, in padded batches, and what a tagger needs to know of its data."""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.batch import Spec, pad
from seqlab.data.vocabulary.base import Vocabulary, lower
from seqlab.errors import InputError


@dataclass
class TaggingBatch:
    """B sentences of different lengths, each word with its letters and its tag; all padding is 0 and means nothing.

    Attributes:
        words: ``(B, T)`` int64, the words.
        characters: ``(B, T, C)`` int64, the letters of each word; None where the model is to do without.
        lengths: ``(B,)`` int64, the words of each sentence, 1 or more.
        word_lengths: ``(B, T)`` int64, the letters of each word; None as ``characters``.
        targets: ``(B, T)`` int64, the tags; those from ``len(spec.tags)`` on are never in a training batch.
        unseen: ``(B, T)`` bool, the words that do not occur in training.
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
        vocab_size: number of different words.
        tags: the tags, in the order of their numbers.
        unknown_index: the word that stands for all others.
        num_characters: number of different letters; None where the model is to do without.
        max_word_length: the most letters of a word that are read.
        entities: the tags are O, B-X and I-X, and what counts is the entities that they make.
        scheme: of entities, how the tags of the data mark them, one of ``seqlab.data.formats.tag_schemes.SCHEMES``.
        outside: of entities, the data's tag of words outside them.
        unseen_tags: tags of validation and test that training lacks, numbered after ``tags``.
        num_sentences: sentences in each split.
        num_words: words in each split.
        vectors: pretrained vectors of the words, ``(vocab_size, size)``, NaN for a word without; handed to the model
            and kept nowhere, for afterwards they are weights like others.

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


class EncodedSentences:
    """Sentences as word numbers, each distinct word as letter numbers.

    Args:
        sentences: the words of each.
        vocabularies: "tokens" for the words, "characters" for the letters.
        max_word_length: a longer word is read by its first and last letters, half of them each; None: none is.

    Raises:
        InputError: a word or letter is not in its vocabulary, and that has no ``<unk>``.

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
        flat = [self.forms.setdefault(word, len(self.forms)) for words in sentences for word in words]
        self.form_of = np.asarray(flat, dtype=np.int64)  # (N,): the distinct word at each place
        self.ids = word_numbers(self.forms, vocabularies["tokens"])[self.form_of]
        self.starts = np.concatenate([[0], np.cumsum([len(words) for words in sentences], dtype=np.int64)])
        cut = [shortened(word, max_word_length) for word in self.forms]
        self._letters, counts = vocabularies["characters"].encode_many(cut, "the sentences")
        self._letter_counts = np.asarray(counts, dtype=np.int64)
        self._letter_starts = np.cumsum(self._letter_counts) - self._letter_counts

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The words of each sentence."""
        return np.diff(self.starts)

    def rows(self, flat: NDArray[Any], numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What ``flat (N,)`` holds for each word, of these sentences, ``(B, T)``, and their lengths.

        Args:
            flat: ``(N,)``, a value for each word of all sentences.
            numbers: of the sentences.
        """
        return pad([flat[self.starts[number] : self.starts[number + 1]] for number in numbers])

    def words(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Word numbers ``(B, T)`` and lengths ``(B,)``."""
        return self.rows(self.ids, numbers)

    def letters(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Letter numbers ``(B, T, C)`` and each word's number of letters ``(B, T)``."""
        forms, lengths = (part.numpy() for part in self.rows(self.form_of, numbers))
        counts = np.where(np.arange(forms.shape[1]) < lengths[:, None], self._letter_counts[forms], 0)  # (B, T)
        step = np.arange(counts.max(initial=1))
        place = self._letter_starts[forms][:, :, None] + step  # (B, T, C)
        letters = self._letters[np.minimum(place, len(self._letters) - 1)].astype(np.int64)
        return torch.from_numpy(np.where(step < counts[:, :, None], letters, 0)), torch.from_numpy(counts)


def shortened(word: str, max_word_length: int | None) -> str:
    """The first and last letters of a word that is longer than ``max_word_length``.

    Example:
        >>> shortened("unbelievable", 5)
        'unble'
    """
    if max_word_length is None or len(word) <= max_word_length:
        return word
    tail = max_word_length // 2
    return word[: max_word_length - tail] + word[len(word) - tail :]


def as_read(word: str, vocabulary: Vocabulary) -> str:
    """A word as the vocabulary of words reads it: lowered, where that lowers."""
    return lower(word) if vocabulary.settings.lowercase else word


def word_numbers(words: Sequence[str] | Mapping[str, Any], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """The number of each word; unlike in a text, a word may hold spaces.

    Args:
        words: as they stand in the data.
        vocabulary: of words.

    Raises:
        InputError: the vocabulary lacks a word, and has no ``<unk>``.
    """
    numbers = [vocabulary.index.get(as_read(word, vocabulary), vocabulary.unknown_id) for word in words]
    if None in numbers:
        lacking = [word for word, number in zip(words, numbers, strict=True) if number is None]
        raise InputError(f"the vocabulary lacks {', '.join(map(repr, lacking[:10]))} and has no <unk>")
    return np.asarray(numbers, dtype=np.int64)
