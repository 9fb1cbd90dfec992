"""Whole texts and their classes, as a LightningDataModule."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.classification.batch import ClassificationBatch, ClassificationSpec
from seqlab.data.classification.sources import LabelledSource, same_text
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import LabelNames, Labels, majority_shares, shortened
from seqlab.data.core.options import check_limit
from seqlab.data.core.ragged import Ragged
from seqlab.data.core.reading import RowSource, left_out_of
from seqlab.data.core.summary import SplitSummary, agree, alike_names, counted, equal_rows, percent
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.tables import LabelledText
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import reading_of, saved_vocabulary, vocabulary_of
from seqlab.errors import InputError


class ClassificationData(ExampleData):
    """Labelled texts in padded batches.

    The vocabulary and the classes come from the training split. The vocabulary always has an ``<unk>``, because a
    classifier also reads texts with new words. With ``min_frequency`` above 1, ``<unk>`` occurs in training too.

    A text of validation or test whose class training never saw counts as wrong. A log line gives their number.

    Args:
        source: gives the texts (:class:`LabelledTables`, :class:`LabelledLines`, ...).
        tokens: how texts are split into tokens, and which tokens the vocabulary keeps.
        batching: how texts are put into batches.
        max_length: the most tokens of a text; longer ones are cut to their first tokens. None: no limit.
        vocabulary: a saved vocabulary to use instead: ``tokenizer.json``, or the folder that holds it.
        labels: the classes in the order of their numbers; None: those of the training split, sorted.

    Raises:
        InputError: an option is wrong; on first use: a text is empty, there are fewer than two classes, or no class of
            a split occurs in training; before a training: ``labels`` lacks a class of the training split. The message
            names the place.

    Example:
        >>> from seqlab.data.classification.sources import TinySentiment
        >>> data = ClassificationData(TinySentiment(), batching=Batching(batch_size=2))
        >>> data.spec.labels, data.spec.model_arguments()
        (('negative', 'positive'), {'vocab_size': 11, 'num_classes': 2})
        >>> batch = next(iter(data.test_dataloader()))
        >>> batch.lengths.tolist(), batch.targets.tolist(), data.vocabulary.decode(batch.inputs[0])
        ([4, 4], [1, 0], 'I love this story')
    """

    def __init__(
        self,
        source: LabelledSource,
        tokens: TokenizerSettings = TokenizerSettings("word"),
        batching: Batching = Batching(),
        max_length: int | None = None,
        vocabulary: str | Path | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(batching)
        self.source = source
        self.settings = tokens
        self.max_length = check_limit("data.max_length", max_length)
        self._as_read = reading_of(tokens, self.max_length)
        if isinstance(source, RowSource):
            source.as_read = self._as_read
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)
        self._num_cut: dict[str, int] = {}  # texts of each split that were cut to max_length
        self._unknown: dict[str, float] = {}  # the share of each split's tokens that read as <unk>
        self._fixed_labels = None if labels is None else Labels.of_option(labels, "class", "data.labels", class_name)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the texts."""
        if self._saved_vocabulary is not None:
            return saved_vocabulary(self._saved_vocabulary, self.settings)
        return vocabulary_of([row.text for row in self._rows["train"]], self.settings, self.max_length)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of their numbers."""
        return self._labels.names

    @cached_property
    def _labels(self) -> Labels:
        return self._fixed_labels or Labels.of_training(
            (row.label for row in self._rows["train"]), "class", self.source
        )

    @cached_property
    def _rows(self) -> dict[str, Sequence[LabelledText]]:
        splits = {split: self.source.read(split) for split in SPLITS}
        for split, rows in splits.items():
            if not rows:
                raise InputError(f"the {split} split of {self.source} is empty{self._all_left_out(split)}")
        return splits

    def _all_left_out(self, split: str) -> str:
        """What an error adds about an empty split of which rows were left out."""
        left_out = left_out_of(self.source, split)
        if not left_out:
            return ""
        shown = ", ".join(counted(count, reason) for reason, count in left_out.items())
        are = agree(sum(left_out.values()), "is", "are")
        mend = f"give another, or with data.hub data.{split}=cut to have one cut from train"
        return f": left out {are} {shown}; {mend}"

    @cached_property
    def spec(self) -> ClassificationSpec:
        """What a model and a task need to know."""
        self._texts  # noqa: B018 - an empty text is refused
        return ClassificationSpec(
            vocab_size=len(self.vocabulary),
            unit=self.vocabulary.unit,
            labels=self.labels,
            num_examples={split: len(targets) for split, targets in self._targets.items()},
            majority=majority_shares(self._targets),
            max_length=self.max_length,
        )

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source, self._saved_vocabulary)

    def summaries(self) -> list[SplitSummary]:
        """How many rows each split holds, what was left out of it, and how often each class occurs."""
        self.spec  # noqa: B018
        shared = self._shared_rows()
        alike = alike_names(self.labels)
        summaries = []
        for split, rows in self._rows.items():
            classes = Counter(row.label for row in rows)
            named = {label: classes.pop(label) for label in self.labels if label in classes}
            notes = []
            if unseen := sum(classes.values()):
                notes.append(f"{counted(unseen, 'rows')} of classes that training lacks ({shortened(sorted(classes))})")
            if broken := sum("\n" in row.text for row in rows):
                notes.append(f"{counted(broken, 'texts')} of several lines")
            if unreadable := sum("\ufffd" in row.text for row in rows):
                notes.append(f"{counted(unreadable, 'texts')} with U+FFFD, which stands for what could not be read")
            if cut := self._num_cut.get(split):
                notes.append(
                    f"{counted(cut, 'texts')} cut to {agree(cut, 'its', 'their')} first {self.max_length} tokens"
                )
            if unknown := self._unknown.get(split):
                notes.append(f"{percent(unknown)} of the {self.vocabulary.unit}s read as {UNKNOWN}")
            if split == "train":
                notes += self._labels.without_rows(named)
            if split == "train" and alike:
                notes.append(f"classes whose names differ little: {shortened(alike)}")
            notes += [shared[split]] if split in shared else []
            left_out = left_out_of(self.source, split)
            summaries.append(SplitSummary(split, {"rows": len(rows)}, left_out, named, notes=tuple(notes)))
        return summaries

    def _shared_rows(self) -> dict[str, str]:
        """For each split that has rows which are read as one of an earlier split, how many."""
        return equal_rows({split: map(same_text(self._as_read), rows) for split, rows in self._rows.items()})

    def check_training(self) -> None:
        rows = self._rows["train"]
        self._labels.check_training(
            [row.label for row in rows], lambda at: rows[at].place, "give data.ignore_label={name}"
        )

    def rows(self, split: str) -> Sequence[LabelledText]:
        """The texts of a split as they stand in the data, in the order of their numbers."""
        return self._rows[split]

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of tokens of each text, ``(N,)``."""
        return self._texts[split].lengths

    def collate(self, split: str, numbers: list[int]) -> ClassificationBatch:
        """The batch of the texts with these numbers."""
        return ClassificationBatch(
            *self._texts[split].pad(numbers), targets=torch.from_numpy(self._targets[split][numbers])
        )

    @cached_property
    def _targets(self) -> dict[str, NDArray[np.int64]]:
        return {split: self._numbers(split, rows) for split, rows in self._rows.items()}

    def _numbers(self, split: str, rows: Sequence[LabelledText]) -> NDArray[np.int64]:
        return self._labels.numbers([row.label for row in rows], split, "texts", lambda at: rows[at].place)

    @cached_property
    def _texts(self) -> dict[str, Ragged]:
        return {split: self._encode(split, rows) for split, rows in self._rows.items()}

    def _encode(self, split: str, rows: Sequence[LabelledText]) -> Ragged:
        """The token ids of a split's texts."""
        texts = Ragged.of(
            *self.vocabulary.encode_many([row.text for row in rows], f"the {split} split of {self.source}")
        )
        lengths = texts.lengths
        blank = next((row for row, length in zip(rows, lengths, strict=True) if not length or is_blank(row.text)), None)
        if blank is not None:
            raise InputError(f"{blank.place}: the text is empty; give it words or leave the row out")
        if self.vocabulary.unknown_id is not None and split != "train":
            self._unknown[split] = float((texts.values == self.vocabulary.unknown_id).mean())
        if self.max_length is None:
            return texts
        self._num_cut[split] = int((lengths > self.max_length).sum())
        return texts.first(self.max_length)


def class_name(label: Any) -> str:
    """The name of a class in ``data.labels``, made like that of a row's label.

    Example:
        >>> [class_name(label) for label in (0, 1.0, " no ")]
        ['0', '1', 'no']
    """
    return LabelNames("labels").name(label, "data.labels", written=True)
