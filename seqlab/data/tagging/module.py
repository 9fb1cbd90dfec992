"""Sentences with a tag for each word, as a LightningDataModule."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import Labels, shortened
from seqlab.data.core.options import check_limit
from seqlab.data.core.reading import RowSource, left_out_of
from seqlab.data.core.summary import SplitSummary, agree, alike_names, counted, equal_rows, percent
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.tag_schemes import TagScheme
from seqlab.data.tagging.batch import EncodedSentences, TaggingBatch, TaggingSpec, as_read
from seqlab.data.tagging.sources import TaggedSource
from seqlab.data.tagging.tags import LearnedTags
from seqlab.data.tagging.words import VectorTable, WordReading, WordVectors
from seqlab.data.vocabulary.base import UNKNOWN, Vocabulary, lower
from seqlab.data.vocabulary.choice import saved_vocabulary
from seqlab.errors import InputError


@dataclass(frozen=True)
class _Split:
    """A split's sentences as numbers; of each word, one after the other, the tag and whether training lacks the word.

    Attributes:
        sentences: the words and letters.
        targets: ``(N,)``, the tags.
        unseen: ``(N,)``, whether the word does not occur in training.
    """

    sentences: EncodedSentences
    targets: NDArray[np.int64]
    unseen: NDArray[np.bool_]


class TaggingData(ExampleData):
    """Tagged sentences in padded batches, each word with its letters.

    Words, letters and tags come from the training split. Both vocabularies always have an ``<unk>``, because a tagger
    also reads sentences with new words. A word of validation or test whose tag training never saw counts as tagged
    wrongly, and is left out of the loss. A log line gives their number.

    Args:
        source: gives the sentences (:class:`TaggedFiles`, :class:`TaggedHub`, :class:`Grammar`).
        entities: whether the tags mark entities. Then entities are scored, and a CRF keeps to what BIO allows. The
            training split decides the scheme (BIO, IOB1, BIOES, BILOU, BMES, BMEWO, with types or without), and the
            other splits must follow it. Whatever the scheme, the tags that are learned are O, B-X and I-X, because
            entities are what counts; ``seqlab predict`` answers in the scheme. An entity without its beginning or its
            end is read as by CoNLL's scorer, and counted.
        words: how words are read, and which words the vocabulary keeps.
        pretrained: a file of pretrained vectors for the words of all three splits.
        batching: how sentences are put into batches.
        max_length: the most words of a training sentence; longer ones are cut to their first words. None: no limit.
            Validation and test are never cut.
        vocabulary: the folder of a run, whose vocabularies are used instead.
        tags: the tags in the order of their numbers (with ``entities``, in BIO); None: those of the training split,
            sorted.

    Raises:
        InputError: an option is wrong; on first use: there are fewer than two tags, no tag of a split occurs in
            training, or with ``entities`` a tag is not of the scheme; before a training: ``tags`` lacks a tag of the
            training split. The message names the place.

    Example:
        >>> from seqlab.data import Grammar
        >>> data = TaggingData(Grammar("entities", sizes=(50, 10, 10)), entities=True)
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
        words: WordReading = WordReading(),
        pretrained: WordVectors = WordVectors(),
        batching: Batching = Batching(),
        max_length: int | None = None,
        vocabulary: str | Path | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        super().__init__(batching)
        self.source = source
        self.entities = entities
        self.words, self.pretrained = words, pretrained
        self.settings = words.settings["tokens"]
        self.max_length = check_limit("data.max_length", max_length)
        self._as_read = lower if self.settings.lowercase else str
        if isinstance(source, RowSource):
            source.as_read = self._as_read
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)
        self._tags = LearnedTags(source, entities, None if tags is None else Labels.of_option(tags, "tag", "data.tags"))

    @cached_property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The words ("tokens") and their letters ("characters")."""
        if (folder := self._saved_vocabulary) is not None:
            places = {"tokens": folder, "characters": folder / "characters"}
            return {name: saved_vocabulary(places[name], settings) for name, settings in self.words.settings.items()}
        with_vector = (word for word in self._words_with_vectors if self._vectors.of(word) is not None)
        return self.words.vocabularies(self._count("train"), with_vector)

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the words."""
        return self.vocabularies["tokens"]

    @property
    def scheme(self) -> TagScheme | None:
        """How the tags of the training split mark entities; None without entities."""
        return self._tags.scheme

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags in the order of their numbers."""
        return self._tags.labels.names

    @cached_property
    def spec(self) -> TaggingSpec:
        """What a model and a task need to know."""
        splits = self._splits
        if self.vocabulary.unknown_id is None:
            raise InputError(f"the vocabulary {self._saved_vocabulary} has no {UNKNOWN}, which unknown words read as")
        return TaggingSpec(
            vocab_size=len(self.vocabulary),
            tags=self.tags,
            unknown_index=self.vocabulary.unknown_id,
            num_characters=len(self.vocabularies["characters"]) if self.words.characters else None,
            max_word_length=self.words.max_word_length,
            entities=self.entities,
            scheme=None if self.scheme is None else self.scheme.name,
            outside=None if self.scheme is None else self.scheme.outside,
            unseen_tags=self._tags.unseen,
            num_sentences={name: len(split.sentences.lengths) for name, split in splits.items()},
            num_words={name: len(split.targets) for name, split in splits.items()},
            vectors=self._vector_rows(self.vocabulary.tokens),
        )

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source, self._saved_vocabulary, self.pretrained.vectors)

    def summaries(self) -> list[SplitSummary]:
        """How many sentences and words each split holds, how often each tag or type of entity occurs, and notes."""
        shared = equal_rows(
            {split: [tuple(map(self._as_read, one.words)) for one in self.rows(split)] for split in SPLITS}, "sentences"
        )
        return [self._summary(split, shared.get(split)) for split in SPLITS]

    def _summary(self, name: str, shared: str | None) -> SplitSummary:
        split = self._splits[name]
        counts = {"sentences": len(split.sentences.lengths), "words": len(split.targets)}
        tags = self.tags + self._tags.unseen
        frequencies = dict(zip(tags, np.bincount(split.targets, minlength=len(tags)).tolist(), strict=True))
        classes, kind = {tag: count for tag, count in frequencies.items() if count}, "tags"
        notes = [] if shared is None else [shared]
        notes_of_tags = list(self._notes(name, classes))
        if self.scheme is not None:
            types = {tag[2:]: count for tag, count in classes.items() if tag[0] == "B"}
            counts["entities"] = sum(types.values())
            classes, kind = {name: count for name, count in types.items() if name}, "types of entities"
            notes.append(f"scheme {self.scheme.name}" + ("" if self.scheme.name == "BIO" else ", learned as BIO"))
        left_out = left_out_of(self.source, name)
        return SplitSummary(name, counts, left_out, classes, kind, (*notes, *notes_of_tags))

    def _notes(self, split: str, frequencies: Mapping[str, int]) -> Iterator[str]:
        """What else a summary says of a split's tags and words."""
        if broken := self._tags.broken[split]:
            their = agree(len(broken), "its", "their")
            lack = f"{agree(len(broken), 'lacks', 'lack')} {their} beginning or {their} end"
            yield f"{counted(len(broken), 'entities')} {lack}, first in {broken[0]}"
        if split == "train":
            yield from self._tags.labels.without_rows(frequencies)
        if split == "train" and self._num_cut:
            their = agree(self._num_cut, "its", "their")
            yield f"{counted(self._num_cut, 'sentences')} cut to {their} first {self.max_length} words"
        unseen = {tag: frequencies[tag] for tag in self._tags.unseen if tag in frequencies}
        if total := sum(unseen.values()):
            have, verb = agree(total, "has", "have"), agree(total, "counts", "count")
            tags = shortened(list(unseen))
            yield f"{counted(total, 'words')} {have} a tag that training lacks ({tags}) and {verb} as tagged wrongly"
        if split != "train" and self._splits[split].unseen.any():
            yield f"{percent(self._splits[split].unseen.mean())} of the words do not occur in training"
        if alike := alike_names(frequencies):
            yield f"tags that differ little: {shortened(alike)}"

    def check_training(self) -> None:
        self._tags.check_training(self._cut(self.rows("train")))

    def rows(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split, with the tags that are learned, in the order of their numbers."""
        return self._tags.sentences[split]

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of words of each sentence, ``(N,)``."""
        return self._splits[split].sentences.lengths

    def collate(self, split: str, numbers: list[int]) -> TaggingBatch:
        """The batch of the sentences with these numbers."""
        part = self._splits[split]
        words, lengths = part.sentences.words(numbers)
        characters, word_lengths = part.sentences.letters(numbers) if self.words.characters else (None, None)
        targets, unseen = (part.sentences.rows(values, numbers)[0] for values in (part.targets, part.unseen))
        return TaggingBatch(words, characters, lengths, word_lengths, targets, unseen.bool())

    @cached_property
    def _splits(self) -> dict[str, _Split]:
        in_training = self._training_words
        return {split: self._encode(split, in_training) for split in SPLITS}

    @cached_property
    def _training_words(self) -> set[str]:
        """The words that training reads, as they are read.

        Those of a trained model that is evaluated on other data are not known: its vocabulary stands for them.
        """
        counts, tokens = self._count("train"), self.vocabulary.tokens
        if self.trained is not None:
            of_these_data = self.words.vocabularies(counts, ())["tokens"].tokens
            if tokens[: len(of_these_data)] != of_these_data:  # words with a vector alone come after them
                return set(tokens)
        return self.words.as_read(counts)

    def _encode(self, split: str, in_training: set[str]) -> _Split:
        sentences = self._cut(self.rows(split)) if split == "train" else self.rows(split)
        targets = self._tags.numbers(split, sentences)
        encoded = EncodedSentences([one.words for one in sentences], self.vocabularies, self.words.max_word_length)
        unseen = np.array([as_read(word, self.vocabulary) not in in_training for word in encoded.forms])
        return _Split(encoded, targets, unseen[encoded.form_of])

    def _cut(self, sentences: Sequence[TaggedSentence]) -> Sequence[TaggedSentence]:
        """The first ``max_length`` words of each sentence."""
        limit = self.max_length
        if limit is None:
            return sentences
        return [
            replace(one, words=one.words[:limit], tags=one.tags[:limit], lines=one.lines[:limit]) for one in sentences
        ]

    @cached_property
    def _num_cut(self) -> int:
        """The number of training sentences that are longer than ``max_length``."""
        limit = self.max_length
        return 0 if limit is None else sum(len(one.words) > limit for one in self.rows("train"))

    def _count(self, *splits: str) -> Counter[str]:
        """How often each word occurs in these splits, as far as training reads its sentences."""
        rows = {split: self._cut(self.rows(split)) if split == "train" else self.rows(split) for split in splits}
        return Counter(word for sentences in rows.values() for sentence in sentences for word in sentence.words)

    @cached_property
    def _words_with_vectors(self) -> set[str]:
        """The words that may have a pretrained vector, as they are read."""
        return set() if self.pretrained.vectors is None else self.words.as_read(self._count(*SPLITS))

    @cached_property
    def _vectors(self) -> VectorTable:
        saved = () if self._saved_vocabulary is None else self.vocabulary.tokens
        return self.pretrained.table(self._words_with_vectors.union(saved))

    def _vector_rows(self, tokens: Sequence[str]) -> Tensor | None:
        """The vector of each word of the vocabulary, NaN for a word without one."""
        if self.pretrained.vectors is None:
            return None
        if (rows := self._vectors.rows(tokens)) is None:
            raise InputError(f"data.vectors={self.pretrained.vectors}: none of its words occurs in {self.source}")
        return rows
