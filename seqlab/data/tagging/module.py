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
from seqlab.data.core.examples import Batching, ExampleData, ExampleLoader
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import Labels, shortened
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.summary import SplitSummary, agree, counted, equal_rows, percent
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.tag_schemes import TagScheme, check_scheme, scheme_of, typed_mark
from seqlab.data.tagging.batch import EncodedSentences, TaggingBatch, TaggingSpec, as_read
from seqlab.data.tagging.sources import TaggedSource
from seqlab.data.tagging.words import VectorTable, WordReading, WordVectors
from seqlab.data.vocabulary.base import UNKNOWN, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary
from seqlab.errors import InputError


@dataclass
class _Split:
    """A split's sentences as numbers, and for each word its tag and whether training lacks it, one after the other.

    ``foreign`` is the place of the first word whose tag is none of those that are learned.
    """

    encoded: EncodedSentences
    targets: NDArray[np.int64]
    unseen: NDArray[np.bool_]
    foreign: str | None


class TaggingData(ExampleData):
    """Tagged sentences in padded batches, each word with its letters.

    Words, letters and tags come from the training split. Both vocabularies have an ``<unk>`` whatever the texts, for a
    tagger is asked about sentences that nobody has seen. A tag of validation or test that training never saw can't be
    given: its word counts as tagged wrongly and has no part in the loss.

    Args:
        source: gives the sentences (``TaggedFiles``, ``TaggedHub``, ``Grammar``).
        entities: the tags mark entities: these are scored, and a CRF keeps to what BIO allows. The scheme (BIO, IOB1,
            BIOES, BILOU, BMES, BMEWO, with types or without) is decided on the training split, and the other splits
            must follow it. The tags that are learned are O, B-X and I-X, whatever the scheme, for entities are what
            counts; ``seqlab predict`` answers in the scheme. An entity that lacks its beginning or its end reads as
            CoNLL's scorer reads it, and is counted.
        words: how words are read, and which are kept.
        pretrained: a file of pretrained vectors for the words of all three splits.
        batching: how sentences are put into batches.
        max_length: longer training sentences are cut to their first words, which is told; None: none is. Validation
            and test are never cut.
        vocabulary: the folder of a run, whose vocabularies are used instead.
        tags: the tags in the order of their numbers (with ``entities`` in BIO); None: those of the training split,
            sorted.

    Raises:
        InputError: an option is wrong; on first use: fewer than two tags, none of a split is among those of training,
            or with ``entities`` a tag is not of the scheme; in training: a tag is not among ``tags``. Each with its
            file and line.

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
        self.max_length = None if max_length is None else check_whole_number("data.max_length", max_length, 1)
        self._vocabulary_folder = None if vocabulary is None else Path(vocabulary)
        self._fixed_tags = None if tags is None else Labels.of_option(tags, "tag", "data.tags").names

    def sentences(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split, with the tags that are learned."""
        return self._sentences[split]

    @cached_property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The words ("tokens") and their letters ("characters")."""
        if (folder := self._vocabulary_folder) is not None:
            places = {"tokens": folder, "characters": folder / "characters"}
            return {name: saved_vocabulary(places[name], settings) for name, settings in self.words.settings.items()}
        with_vector = (word for word in self._wanted if self._vectors.of(word) is not None)
        return self.words.vocabularies(self._count("train"), with_vector)

    @property
    def vocabulary(self) -> Vocabulary:
        """The words."""
        return self.vocabularies["tokens"]

    @cached_property
    def scheme(self) -> TagScheme | None:
        """How the tags of the training split mark entities; None without entities."""
        return scheme_of(self._read["train"]) if self.entities else None

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The tags in the order of their numbers."""
        if self._fixed_tags is not None:
            return self._fixed_tags
        found = (tag for sentence in self._sentences["train"] for tag in sentence.tags)
        return Labels.of_training(found, "tag", self.source).names

    @cached_property
    def unseen_tags(self) -> tuple[str, ...]:
        """The tags that are not learned, numbered after those that are."""
        learned = set(self.tags)
        return tuple(sorted({tag for rows in self._sentences.values() for row in rows for tag in row.tags} - learned))

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
            num_characters=len(self.vocabularies["characters"]) if self.words.characters else None,
            max_word_length=self.words.max_word_length,
            entities=self.entities,
            scheme=None if self.scheme is None else self.scheme.name,
            outside=None if self.scheme is None else self.scheme.outside,
            unseen_tags=self.unseen_tags,
            num_sentences={split: len(found.encoded.lengths) for split, found in splits.items()},
            num_words={split: len(found.targets) for split, found in splits.items()},
            vectors=self._vector_rows(words.tokens),
        )

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The words of each sentence."""
        return self._splits[split].encoded.lengths

    def collate(self, split: str, numbers: list[int]) -> TaggingBatch:
        """The batch of the sentences with these numbers."""
        split_rows = self._splits[split]
        words, lengths = split_rows.encoded.words(numbers)
        characters, word_lengths = split_rows.encoded.letters(numbers) if self.words.characters else (None, None)
        targets, unseen = (
            split_rows.encoded.rows(flat, numbers)[0] for flat in (split_rows.targets, split_rows.unseen)
        )
        return TaggingBatch(words, characters, lengths, word_lengths, targets, unseen.bool())

    def train_dataloader(self) -> ExampleLoader[TaggingBatch]:
        """The training batches, shuffled.

        Raises:
            InputError: a tag of training is not among the ``tags`` that are learned.
        """
        if (place := self._splits["train"].foreign) is not None:
            raise InputError(f"{place}: the tag is not among data.tags={','.join(self.tags)}: give it there too")
        return super().train_dataloader()

    def input_files(self) -> list[str] | None:
        """The files that are read; None where a source of the user's own does not say."""
        return files_of(self.source, self._vocabulary_folder, self.pretrained.vectors)

    def summaries(self) -> list[SplitSummary]:
        """The sentences and words of each split, its tags or types of entities, and what is remarkable in it."""
        left_out = getattr(self.source, "left_out", None)  # a user's own source need not have it
        equal = equal_rows({split: [one.words for one in self._sentences[split]] for split in SPLITS}, "sentences")
        return [self._summary(split, {} if left_out is None else left_out(split), equal.get(split)) for split in SPLITS]

    def _summary(self, split: str, left_out: Mapping[str, int], equal: str | None) -> SplitSummary:
        split_rows = self._splits[split]
        counts = {"sentences": len(split_rows.encoded.lengths), "words": len(split_rows.targets)}
        names = self.tags + self.unseen_tags
        tags = dict(zip(names, np.bincount(split_rows.targets, minlength=len(names)).tolist(), strict=True))
        classes, kind = {tag: count for tag, count in tags.items() if count}, "tags"
        notes = [] if equal is None else [equal]
        if self.scheme is not None:
            types = {tag[2:]: count for tag, count in classes.items() if tag[0] == "B"}
            counts["entities"] = sum(types.values())
            classes, kind = {name: count for name, count in types.items() if name}, "types of entities"
            notes.append(f"scheme {self.scheme.name}" + ("" if self.scheme.name == "BIO" else ", learned as BIO"))
        return SplitSummary(split, counts, left_out, classes, kind, (*notes, *self._remarks(split, tags)))

    def _remarks(self, split: str, tags: Mapping[str, int]) -> Iterator[str]:
        if broken := self._broken[split]:
            their = agree(len(broken), "its", "their")
            lack = f"{agree(len(broken), 'lacks', 'lack')} {their} beginning or {their} end"
            yield f"{counted(len(broken), 'entities')} {lack}, first in {broken[0]}"
        if split == "train" and self._num_cut:
            their = agree(self._num_cut, "its", "their")
            yield f"{counted(self._num_cut, 'sentences')} cut to {their} first {self.max_length} words"
        if unseen := sum(tags[tag] for tag in self.unseen_tags):
            shown = [tag for tag in self.unseen_tags if tags[tag]]
            named = ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
            have, verb = agree(unseen, "has", "have"), agree(unseen, "counts", "count")
            words = counted(unseen, "words")
            yield f"{words} {have} a tag that training lacks ({named}) and {verb} as tagged wrongly"
        if split != "train" and self._splits[split].unseen.any():
            yield f"{percent(self._splits[split].unseen.mean())} of the words do not occur in training"
        spellings: dict[str, list[str]] = {}
        for tag, count in tags.items():
            if count:
                spellings.setdefault(tag.casefold(), []).append(tag)
        if alike := [same for same in spellings.values() if len(same) > 1]:
            yield f"tags that differ in their case alone: {', '.join(' and '.join(same) for same in alike[:5])}"

    @cached_property
    def _read(self) -> dict[str, Sequence[TaggedSentence]]:
        """The sentences as the source has them."""
        found = {split: self.source.read(split) for split in SPLITS}
        for split, sentences in found.items():
            if not sentences:
                raise InputError(f"the {split} split of {self.source} is empty")
        return found

    @cached_property
    def _broken(self) -> dict[str, list[str]]:
        """The places where an entity lacks its beginning or its end."""
        if self.scheme is None:
            return {split: [] for split in SPLITS}
        learned = self._fixed_tags or (tag for one in self._read["train"] for tag in one.tags)
        typed = typed_mark(learned, "O" if self._fixed_tags else self.scheme.outside)
        return {split: check_scheme(sentences, self.scheme, typed) for split, sentences in self._read.items()}

    @cached_property
    def _sentences(self) -> dict[str, Sequence[TaggedSentence]]:
        """The sentences, with the tags that are learned."""
        scheme = self.scheme
        if scheme is None:
            return self._read
        self._broken  # noqa: B018
        return {
            split: [replace(one, tags=tuple(scheme.read(one.tags))) for one in sentences]
            for split, sentences in self._read.items()
        }

    @cached_property
    def _splits(self) -> dict[str, _Split]:
        names = self.tags + self.unseen_tags
        numbers = {tag: number for number, tag in enumerate(names)}
        words = self.vocabularies["tokens"]
        in_training = {as_read(word, words) for word in self._count("train")}
        return {split: self._encode(split, numbers, in_training) for split in SPLITS}

    def _encode(self, split: str, numbers: dict[str, int], in_training: set[str]) -> _Split:
        words = self.vocabularies["tokens"]
        sentences = self._cut(self._sentences[split]) if split == "train" else self._sentences[split]
        targets = np.asarray([numbers[tag] for sentence in sentences for tag in sentence.tags], dtype=np.int64)
        foreign = None
        if (unseen_tags := targets >= len(self.tags)).any():
            places = (sentence.place(place) for sentence in sentences for place in range(len(sentence.tags)))
            foreign = next(place for place, is_foreign in zip(places, unseen_tags, strict=False) if is_foreign)
            if unseen_tags.all():
                raise InputError(
                    f"{foreign}: no tag of the {split} split occurs in training, which has {shortened(self.tags)}"
                )
        encoded = EncodedSentences([one.words for one in sentences], self.vocabularies, self.words.max_word_length)
        unseen = np.array([as_read(word, words) not in in_training for word in encoded.forms])[encoded.form_of]
        return _Split(encoded, targets, unseen, foreign)

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
        """The training sentences that are longer than ``max_length``."""
        limit = self.max_length
        return 0 if limit is None else sum(len(one.words) > limit for one in self._sentences["train"])

    def _count(self, *splits: str) -> Counter[str]:
        return Counter(word for split in splits for sentence in self._sentences[split] for word in sentence.words)

    @cached_property
    def _wanted(self) -> set[str]:
        """The words that may have a pretrained vector, as they are read."""
        return set() if self.pretrained.vectors is None else self.words.as_read(self._count(*SPLITS))

    @cached_property
    def _vectors(self) -> VectorTable:
        saved = () if self._vocabulary_folder is None else self.vocabulary.tokens
        return self.pretrained.table(self._wanted.union(saved))

    def _vector_rows(self, tokens: Sequence[str]) -> Tensor | None:
        """The vector of each word of the vocabulary, NaN for one without."""
        if self.pretrained.vectors is None:
            return None
        if (rows := self._vectors.rows(tokens)) is None:
            raise InputError(f"data.vectors={self.pretrained.vectors}: none of its words occurs in {self.source}")
        return rows
