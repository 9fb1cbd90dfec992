"""Whole texts and their classes, as a LightningDataModule."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.batch import SPLITS, ClassificationBatch, ClassificationSpec, pad
from seqlab.data.examples import ExampleData, check_whole_number
from seqlab.data.labelled import LabelledSource
from seqlab.data.tables import LabelledText
from seqlab.data.vocabularies import saved_vocabulary, vocabulary_of
from seqlab.data.vocabulary import UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


@dataclass
class _Encoded:
    """A split's texts as ids, one after the other; ``starts (N + 1,)`` tells where each begins."""

    tokens: NDArray[Any]
    starts: NDArray[np.int64]
    targets: NDArray[np.int64]


class ClassificationData(ExampleData):
    """Labelled texts in padded batches.

    The vocabulary and the classes come from the training split. The vocabulary has an ``<unk>`` whatever the texts, for
    a classifier is asked about texts that nobody has seen; with ``min_frequency`` above 1 it is trained too.

    Args:
        source: gives the texts (``LabelledTables``, ``LabelledLines``, ...).
        unit: "character", "word" or "subword".
        max_vocab_size: the most tokens to keep; None: all (subwords: 8,000).
        min_frequency: rarer tokens are left out and read as ``<unk>``.
        lowercase: lower the text first.
        punctuation: words alone: punctuation marks are tokens of their own.
        max_length: longer texts are cut to their first tokens, with a log line; None: none is.
        vocabulary: a saved vocabulary to use instead (``tokenizer.json``, or the folder that holds it).
        labels: the classes in the order of their numbers; None: those of the training split, sorted.
        batch_size, eval_batch_size, bucket_batches, seed: see ``ExampleData``.

    Raises:
        InputError: an option is wrong; on first use: an empty text, fewer than two classes, or a label that is not
            among them, each with its file and line.

    Example:
        >>> from seqlab.data.labelled import TinySentiment
        >>> data = ClassificationData(TinySentiment(), batch_size=2)
        >>> data.spec.labels, data.spec.model_arguments()
        (('negative', 'positive'), {'vocab_size': 11, 'num_classes': 2})
        >>> batch = next(iter(data.test_dataloader()))
        >>> batch.lengths.tolist(), batch.targets.tolist(), data.vocabulary.decode(batch.inputs[0])
        ([4, 4], [1, 0], 'I love this story')
    """

    def __init__(
        self,
        source: LabelledSource,
        unit: str = "word",
        max_vocab_size: int | None = None,
        min_frequency: int = 1,
        lowercase: bool = False,
        punctuation: bool = False,
        max_length: int | None = None,
        vocabulary: str | Path | None = None,
        labels: Sequence[str] | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        bucket_batches: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, bucket_batches, seed)
        self.source = source
        self.settings = TokenizerSettings(unit, max_vocab_size, min_frequency, lowercase, punctuation)
        self.max_length = None if max_length is None else check_whole_number("data.max_length", max_length, 1)
        self._vocabulary_file = vocabulary
        self._labels = None if labels is None else tuple(map(str, labels))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Maps ids to text and back."""
        if self._vocabulary_file is not None:
            return saved_vocabulary(self._vocabulary_file, self.settings)
        return vocabulary_of([row.text for row in self.source.read("train")], self.settings)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of their numbers: sorted, by value where all are whole numbers."""
        if self._labels is not None:
            return self._labels
        found = {row.label for row in self.source.read("train")}
        if len(found) < 2:
            named = ", ".join(found) or "none"
            raise InputError(f"the training split of {self.source} has one class ({named}); two or more are needed")
        by_number = all(label.isdecimal() for label in found)
        return tuple(sorted(found, key=lambda label: (int(label), label) if by_number else (0, label)))

    @cached_property
    def spec(self) -> ClassificationSpec:
        """What a model and a task need to know."""
        targets = {split: self._encoded[split].targets for split in SPLITS}
        commonest = Counter(targets["train"].tolist()).most_common(1)[0][0]
        return ClassificationSpec(
            vocab_size=len(self.vocabulary),
            unit=self.vocabulary.unit,
            labels=self.labels,
            num_examples={split: len(found) for split, found in targets.items()},
            majority={split: float((found == commonest).mean()) for split, found in targets.items()},
        )

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The tokens of each text."""
        return np.diff(self._encoded[split].starts)

    def collate(self, split: str, numbers: list[int]) -> ClassificationBatch:
        """The batch of the texts with these numbers."""
        encoded = self._encoded[split]
        inputs, lengths = pad([encoded.tokens[encoded.starts[i] : encoded.starts[i + 1]] for i in numbers])
        return ClassificationBatch(inputs, lengths, torch.from_numpy(encoded.targets[numbers]))

    @cached_property
    def _encoded(self) -> dict[str, _Encoded]:
        return {split: self._encode(split, self.source.read(split)) for split in SPLITS}

    def _encode(self, split: str, rows: Sequence[LabelledText]) -> _Encoded:
        if not rows:
            raise InputError(f"the {split} split of {self.source} is empty")
        classes = {label: number for number, label in enumerate(self.labels)}
        for row in rows:
            if row.label not in classes:
                raise InputError(
                    f"{row.place}: the label {row.label!r} does not occur in training, whose classes are "
                    f"{', '.join(self.labels[:10])}{', ...' if len(classes) > 10 else ''}"
                )
        tokens, counts = self.vocabulary.encode_many([row.text for row in rows], f"the {split} split of {self.source}")
        if not counts.all():
            raise InputError(f"{rows[int(counts.argmin())].place}: the text is empty; give it words or leave it out")
        if self.vocabulary.unknown_id is not None and split != "train":
            share = float((tokens == self.vocabulary.unknown_id).mean())
            log.info("%s: %.2g %% of the %ss read as %s", split, 100 * share, self.vocabulary.unit, UNKNOWN)
        starts = np.concatenate([[0], np.cumsum(counts)])
        if self.max_length is not None and counts.max() > self.max_length:
            tokens, starts = self._cut(split, tokens, starts, counts)
        targets = np.fromiter((classes[row.label] for row in rows), dtype=np.int64, count=len(rows))
        return _Encoded(tokens, starts, targets)

    def _cut(
        self, split: str, tokens: NDArray[Any], starts: NDArray[np.int64], counts: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The first ``max_length`` tokens of each text."""
        assert self.max_length is not None
        long = int((counts > self.max_length).sum())
        log.info("%s: %d of %d texts are cut to their first %d tokens", split, long, len(counts), self.max_length)
        position = np.arange(len(tokens)) - np.repeat(starts[:-1], counts)
        return tokens[position < self.max_length], np.concatenate([[0], np.cumsum(np.minimum(counts, self.max_length))])
