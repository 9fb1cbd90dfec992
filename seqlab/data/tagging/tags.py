"""Which tags a tagger learns: those of the data as they stand, or, of entities, their form in BIO."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.labels import Labels
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.tag_schemes import TagScheme, check_scheme, scheme_of, typed_mark
from seqlab.data.tagging.sources import TaggedSource
from seqlab.errors import InputError


class LearnedTags:
    """The sentences of a source with the tags that are learned, and the numbers of these tags.

    Args:
        source: gives the sentences.
        entities: the tags mark entities and are learned in BIO, whatever their scheme.
        labels: the tags that are learned; None: those of the training split.

    Raises:
        InputError: on first use: a split is empty, there are fewer than two tags, or with ``entities`` a tag is not of
            the training split's scheme.
    """

    def __init__(self, source: TaggedSource, entities: bool, labels: Labels | None) -> None:
        self._source, self._entities, self._fixed = source, entities, labels

    @cached_property
    def _read(self) -> dict[str, Sequence[TaggedSentence]]:
        splits = {split: self._source.read(split) for split in SPLITS}
        for split, sentences in splits.items():
            if not sentences:
                raise InputError(f"the {split} split of {self._source} is empty")
        return splits

    @cached_property
    def scheme(self) -> TagScheme | None:
        """How the tags of the training split mark entities; None without entities."""
        return scheme_of(self._read["train"]) if self._entities else None

    @cached_property
    def broken(self) -> dict[str, list[str]]:
        """The places in each split at which an entity lacks its beginning or its end."""
        if self.scheme is None:
            return {split: [] for split in SPLITS}
        if self._fixed is None:
            typed = typed_mark((tag for one in self._read["train"] for tag in one.tags), self.scheme.outside)
        else:
            typed = typed_mark(self._fixed.names)
        return {split: check_scheme(sentences, self.scheme, typed) for split, sentences in self._read.items()}

    @cached_property
    def sentences(self) -> dict[str, Sequence[TaggedSentence]]:
        """The sentences of each split, with the tags that are learned."""
        scheme = self.scheme
        if scheme is None:
            return self._read
        self.broken  # noqa: B018 - a split of another scheme is refused
        return {
            split: [replace(one, tags=tuple(scheme.read(one.tags))) for one in sentences]
            for split, sentences in self._read.items()
        }

    @cached_property
    def labels(self) -> Labels:
        """The tags that are learned."""
        if self._fixed is not None:
            return self._fixed
        return Labels.of_training((tag for one in self.sentences["train"] for tag in one.tags), "tag", self._source)

    @cached_property
    def unseen(self) -> tuple[str, ...]:
        """The other tags of the data, which are numbered after those that are learned."""
        return self.labels.unseen(tag for rows in self.sentences.values() for row in rows for tag in row.tags)

    def numbers(self, split: str, sentences: Sequence[TaggedSentence]) -> NDArray[np.int64]:
        """The number of each word's tag, ``(N,)``, of sentences one after the other.

        Raises:
            InputError: none of the tags is learned.
        """
        return self.labels.numbers(_tags(sentences), split, "words", lambda at: _place(sentences, at), self.unseen)

    def check_training(self, sentences: Sequence[TaggedSentence]) -> None:
        """Refuses training sentences with a tag that is not learned.

        Raises:
            InputError: there is such a tag; names its place.
        """
        self.labels.check_training(_tags(sentences), lambda at: _place(sentences, at), "leave the sentence out")


def _tags(sentences: Sequence[TaggedSentence]) -> list[str]:
    return [tag for one in sentences for tag in one.tags]


def _place(sentences: Sequence[TaggedSentence], at: int) -> str:
    """The place of the word at a position, of sentences one after the other."""
    for sentence in sentences:
        if at < len(sentence.tags):
            return sentence.place(at)
        at -= len(sentence.tags)
    raise IndexError(at)
