"""Sentences with a tag for each word, as a LightningDataModule."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.batch import SPLITS
from seqlab.data.characters import CharacterVocabulary
from seqlab.data.conll import TaggedSentence
from seqlab.data.examples import ExampleData, check_whole_number
from seqlab.data.tag_batch import EncodedSentences, TaggingBatch, TaggingSpec, as_read
from seqlab.data.tagged import TaggedSource
from seqlab.data.vectors import Vectors, read_vectors
from seqlab.data.vocabularies import saved_vocabulary
from seqlab.data.vocabulary import UNKNOWN, TokenizerSettings, Vocabulary, choose_tokens, lower
from seqlab.data.words import WordVocabulary
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


@dataclass
class _Split:
    """A split's sentences as numbers, and for each word its tag and whether training lacks it, one after the other."""

    encoded: EncodedSentences
    targets: NDArray[np.int64]
    unseen: NDArray[np.bool_]


class TaggingData(ExampleData):
    """Tagged sentences in padded batches, each word with its letters.

    Words, letters and tags come from the training split. Both vocabularies have an ``<unk>`` whatever the texts, for a
    tagger is asked about sentences that nobody has seen.

    Args:
        source: gives the sentences (``TaggedFiles``, ``TaggedHub``, ``Grammar``).
        entities: the tags must be O, B-X and I-X: entities are scored, and a CRF keeps to what BIO allows. An I-X that
            begins an entity reads as the B-X that it is taken for, with a log line.
        min_frequency: rarer words are left out and read as ``<unk>``.
        lowercase: lower the words; their letters stay as they are.
        characters: give the model the letters of each word.
        max_length: longer training sentences are cut to their first words, with a log line; None: none is. Validation
            and test are never cut.
        max_word_length: a longer word is read by its first and last letters, half of them each; None: none is.
        vectors: a file of pretrained vectors in GloVe's text format, for the words of all three splits; a word without
            one may have that of its lowered form. With one, a word is known whatever its frequency.
        vectors_size: how many numbers a word of that file must have; None: as its first word.
        vocabulary: the folder of a run, whose vocabularies are used instead.
        tags: the tags in the order of their numbers; None: those of the training split, sorted.
        batch_size, eval_batch_size, bucket_batches, seed: see ``ExampleData``.

    Raises:
        InputError: an option is wrong; on first use: fewer than two tags, or a tag that is not among them or not in
            BIO, each with its file and line.

    Example:
        >>> from seqlab.data import Grammar
        >>> data = TaggingData(Grammar("entities", sizes=(50, 10, 10)), entities=True, batch_size=2)
        >>> data.spec.tags
        ('B-LOC', 'B-ORG', 'B-PER', 'I-LOC', 'I-ORG', 'I-PER', 'O')
        >>> batch = data.collate("test", [0, 1])
        >>> batch.characters.shape[:2] == batch.words.shape == batch.targets.shape
        True
    """

    def __init__(
        self,
        source: TaggedSource,
        entities: bool = False,
        min_frequency: int = 1,
        lowercase: bool = False,
        characters: bool = True,
        max_length: int | None = None,
        max_word_length: int | None = None,
        vectors: str | Path | None = None,
        vectors_size: int | None = None,
        vocabulary: str | Path | None = None,
        tags: Sequence[str] | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        bucket_batches: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, bucket_batches, seed)
        self.source = source
        self.entities = entities
        self.characters = characters
        self.settings = TokenizerSettings("word", min_frequency=min_frequency, lowercase=lowercase)
        self.max_length = None if max_length is None else check_whole_number("data.max_length", max_length, 1)
        self.max_word_length = (
            None if max_word_length is None else check_whole_number("data.max_word_length", max_word_length, 1)
        )
        self._vectors_file, self._vectors_size = vectors, vectors_size
        self._vocabulary_folder = None if vocabulary is None else Path(vocabulary)
        self._tags = None if tags is None else tuple(map(str, tags))

    def sentences(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split, with the tags that are learned."""
        return self._sentences[split]

    @cached_property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The words ("tokens") and their letters ("characters")."""
        settings = {"tokens": self.settings, "characters": TokenizerSettings("character")}
        if (folder := self._vocabulary_folder) is not None:
            return {
                name: saved_vocabulary(folder if name == "tokens" else folder / name, kept)
                for name, kept in settings.items()
            }
        words = self._count("train")
        letters = Counter(letter for word in words for letter in word)
        read = Counter[str]()
        for word, count in words.items():
            read[lower(word) if self.settings.lowercase else word] += count
        kept = choose_tokens(read, self.settings, elsewhere=[UNKNOWN])[0]
        known = set(kept)
        further = sorted({word for word in self._wanted if self._vector(word) is not None} - known)
        return {
            "tokens": WordVocabulary([*kept, *further], self.settings),
            "characters": CharacterVocabulary.build(letters, settings["characters"], elsewhere=[UNKNOWN]),
        }

    @property
    def vocabulary(self) -> Vocabulary:
        """The words."""
        return self.vocabularies["tokens"]

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The tags in the order of their numbers."""
        if self._tags is not None:
            return self._tags
        found = {tag for sentence in self._sentences["train"] for tag in sentence.tags}
        if len(found) < 2:
            raise InputError(f"the training split of {self.source} has one tag ({', '.join(found)}); two are needed")
        return tuple(sorted(found))

    @cached_property
    def spec(self) -> TaggingSpec:
        """What a model and a task need to know."""
        splits = self._splits
        words = self.vocabularies["tokens"]
        if words.unknown_id is None:
            raise InputError(f"the vocabulary {self._vocabulary_folder} has no {UNKNOWN}, which unknown words read as")
        return TaggingSpec(
            vocab_size=len(words),
            tags=self.tags,
            unknown_index=words.unknown_id,
            num_characters=len(self.vocabularies["characters"]) if self.characters else None,
            max_word_length=self.max_word_length,
            entities=self.entities,
            num_sentences={split: len(found.encoded.lengths) for split, found in splits.items()},
            num_words={split: len(found.targets) for split, found in splits.items()},
            vectors=self._vector_rows(words),
        )

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The words of each sentence."""
        return self._splits[split].encoded.lengths

    def collate(self, split: str, numbers: list[int]) -> TaggingBatch:
        """The batch of the sentences with these numbers."""
        found = self._splits[split]
        words, lengths = found.encoded.words(numbers)
        characters, word_lengths = found.encoded.letters(numbers) if self.characters else (None, None)
        targets, unseen = (found.encoded.rows(flat, numbers)[0] for flat in (found.targets, found.unseen))
        return TaggingBatch(words, characters, lengths, word_lengths, targets, unseen.bool())

    @cached_property
    def _sentences(self) -> dict[str, list[TaggedSentence]]:
        return {split: self._checked(split, self.source.read(split)) for split in SPLITS}

    def _checked(self, split: str, sentences: Sequence[TaggedSentence]) -> list[TaggedSentence]:
        """The sentences, with their tags in BIO where that is asked for."""
        if not sentences:
            raise InputError(f"the {split} split of {self.source} is empty")
        found = list(sentences)
        if self.entities:
            found = [in_bio(sentence) for sentence in sentences]
            begun = sum(one.tags != other.tags for one, other in zip(found, sentences, strict=True))
            if begun:
                log.info("%s: in %d sentences an entity begins with I-, read as B-", split, begun)
        return found

    @cached_property
    def _splits(self) -> dict[str, _Split]:
        numbers = {tag: number for number, tag in enumerate(self.tags)}
        words = self.vocabularies["tokens"]
        seen = {as_read(word, words) for word in self._count("train")}
        return {split: self._encode(split, numbers, seen) for split in SPLITS}

    def _encode(self, split: str, numbers: dict[str, int], seen: set[str]) -> _Split:
        words = self.vocabularies["tokens"]
        sentences = self._cut(self._sentences[split]) if split == "train" else self._sentences[split]
        targets = []
        for sentence in sentences:
            for place, tag in enumerate(sentence.tags):
                if tag not in numbers:
                    raise InputError(
                        f"{sentence.place(place)}: the tag {tag!r} does not occur in training, whose tags are "
                        f"{', '.join(self.tags[:20])}{', ...' if len(self.tags) > 20 else ''}"
                    )
                targets.append(numbers[tag])
        encoded = EncodedSentences([one.words for one in sentences], self.vocabularies, self.max_word_length)
        unseen = np.array([as_read(word, words) not in seen for word in encoded.forms])[encoded.form_of]
        if split != "train":
            log.info("%s: %.2g %% of the words do not occur in training", split, 100 * unseen.mean())
        return _Split(encoded, np.asarray(targets, dtype=np.int64), unseen)

    def _cut(self, sentences: Sequence[TaggedSentence]) -> list[TaggedSentence]:
        """The first ``max_length`` words of each sentence."""
        limit = self.max_length
        if limit is not None and (long := sum(len(one.words) > limit for one in sentences)):
            log.info("train: %d of %d sentences are cut to their first %d words", long, len(sentences), limit)
        return [TaggedSentence(one.words[:limit], one.tags[:limit], one.origin, one.lines[:limit]) for one in sentences]

    def _count(self, *splits: str) -> Counter[str]:
        return Counter(word for split in splits for sentence in self._sentences[split] for word in sentence.words)

    @cached_property
    def _wanted(self) -> set[str]:
        """The words that may have a pretrained vector, as they are read."""
        if self._vectors_file is None:
            return set()
        words = set(self._count(*SPLITS))
        return {lower(word) for word in words} if self.settings.lowercase else words

    @cached_property
    def _vectors(self) -> Vectors:
        if self._vectors_file is None:
            return {}
        known = self._wanted | (set() if self._vocabulary_folder is None else set(self.vocabulary.tokens))
        return read_vectors(self._vectors_file, known | {lower(word) for word in known}, self._vectors_size)

    def _vector(self, word: str) -> NDArray[np.float32] | None:
        return self._vectors.get(word, self._vectors.get(lower(word)))

    def _vector_rows(self, vocabulary: Vocabulary) -> torch.Tensor | None:
        """The vector of each word of the vocabulary, NaN for one without."""
        if self._vectors_file is None:
            return None
        found = [self._vector(word) for word in vocabulary.tokens]
        size = next((len(vector) for vector in found if vector is not None), None)
        if size is None:
            raise InputError(f"data.vectors={self._vectors_file}: none of its words occurs in {self.source}")
        nothing = np.full(size, np.nan, dtype=np.float32)
        return torch.from_numpy(np.stack([nothing if vector is None else vector for vector in found]))


def in_bio(sentence: TaggedSentence) -> TaggedSentence:
    """The sentence with B-X for each I-X that begins an entity, as CoNLL's scorer reads it.

    Raises:
        InputError: a tag is neither O, B-X nor I-X; names its place.

    Example:
        >>> in_bio(TaggedSentence(("New", "York", "in", "May"), ("I-LOC", "I-LOC", "O", "I-TIME"), "a:", range(4))).tags
        ('B-LOC', 'I-LOC', 'O', 'B-TIME')
    """
    tags, before = [], "O"
    for place, tag in enumerate(sentence.tags):
        if tag != "O" and (tag[:2] not in ("B-", "I-") or len(tag) == 2):
            raise InputError(
                f"{sentence.place(place)}: expected O, B-X or I-X, got {tag!r}; tags without entities take "
                "data.entities=false"
            )
        begins = tag[:2] == "I-" and before[1:] != tag[1:]
        tags.append(f"B-{tag[2:]}" if begins else tag)
        before = tag
    return TaggedSentence(sentence.words, tuple(tags), sentence.origin, sentence.lines)
