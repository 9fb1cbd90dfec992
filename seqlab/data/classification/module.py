"""Whole texts and their classes, as a LightningDataModule."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.classification.batch import ClassificationBatch, ClassificationSpec
from seqlab.data.classification.sources import LabelledSource, same_text
from seqlab.data.core.batch import IGNORE_INDEX, SPLITS, pad
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import LabelNames, Labels, shortened
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.summary import SplitSummary, agree, alike_names, counted, equal_rows, percent
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.tables import LabelledText
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary, vocabulary_of
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

    A class of validation or test that training never saw can't be told: the text counts as taken for a wrong class, and
    a log line says how many there are.

    Args:
        source: gives the texts (``LabelledTables``, ``LabelledLines``, ...).
        tokens: how texts are split into tokens, and which of these are kept.
        batching: how texts are put into batches.
        max_length: longer texts are cut to their first tokens, with a log line; None: none is.
        vocabulary: a saved vocabulary to use instead (``tokenizer.json``, or the folder that holds it).
        labels: the classes in the order of their numbers; None: those of the training split, sorted.

    Raises:
        InputError: an option is wrong; on first use: an empty text, with its file and line, fewer than two classes, a
            split none of whose classes occurs in training; or where ``labels`` lack a class that is to be trained.

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
        self.max_length = None if max_length is None else check_whole_number("data.max_length", max_length, 1)
        self._vocabulary_file = vocabulary
        self._num_cut: dict[str, int] = {}  # texts that were cut to max_length
        self._unknown: dict[str, float] = {}  # the share of tokens that read as <unk>
        self._fixed_labels = None if labels is None else Labels.of_option(labels, "class", "data.labels", class_name)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Maps ids to text and back."""
        if self._vocabulary_file is not None:
            return saved_vocabulary(self._vocabulary_file, self.settings)
        return vocabulary_of([row.text for row in self._rows["train"]], self.settings)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of their numbers: sorted, by value where all are numbers."""
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
        left_out = self._left_out(split)
        if not left_out:
            return ""
        shown = ", ".join(counted(count, reason) for reason, count in left_out.items())
        are = agree(sum(left_out.values()), "is", "are")
        mend = f"give another, or with data.hub data.{split}=cut to have one cut from train"
        return f": left out {are} {shown}; {mend}"

    def _left_out(self, split: str) -> Mapping[str, int]:
        """What a source left out of a split; one of the user's own need not say it."""
        return self.source.left_out(split) if hasattr(self.source, "left_out") else {}

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
            max_length=self.max_length,
        )

    def input_files(self) -> list[str] | None:
        """The files that are read; None where a source of the user's own does not say."""
        return files_of(self.source, self._vocabulary_file)

    def summaries(self) -> list[SplitSummary]:
        """The rows of each split, what was left out of it, and its classes."""
        self.spec  # noqa: B018
        shared = equal_rows({split: map(same_text, rows) for split, rows in self._rows.items()})
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
            if split == "train" and alike:
                notes.append(f"classes whose names differ little: {shortened(alike)}")
            notes += [shared[split]] if split in shared else []
            summaries.append(SplitSummary(split, {"rows": len(rows)}, self._left_out(split), named, notes=tuple(notes)))
        return summaries

    def setup(self, stage: str | None = None) -> None:
        """Read the data; before a training, refuse classes that ``labels`` lack."""
        self.spec  # noqa: B018
        if stage == "fit" and (self._encoded["train"].targets == IGNORE_INDEX).any():
            row = next(row for row in self._rows["train"] if row.label not in self.labels)
            raise InputError(
                f"{row.place}: the label {row.label!r} is not among data.labels, which are {shortened(self.labels)}: "
                f"add it, or give data.ignore_label={row.label}"
            )

    def rows(self, split: str) -> Sequence[LabelledText]:
        """The texts of a split as they stand in the data, in the order of their numbers."""
        return self._rows[split]

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
        return {split: self._encode(split, rows) for split, rows in self._rows.items()}

    def _encode(self, split: str, rows: Sequence[LabelledText]) -> _Encoded:
        targets = self._labels.numbers([row.label for row in rows], split, "texts", lambda at: rows[at].place)
        tokens, counts = self.vocabulary.encode_many([row.text for row in rows], f"the {split} split of {self.source}")
        blank = next((row for row, count in zip(rows, counts, strict=True) if not count or is_blank(row.text)), None)
        if blank is not None:
            raise InputError(f"{blank.place}: the text is empty; give it words or leave the row out")
        if self.vocabulary.unknown_id is not None and split != "train":
            self._unknown[split] = float((tokens == self.vocabulary.unknown_id).mean())
        starts = np.concatenate([[0], np.cumsum(counts)])
        if self.max_length is not None and counts.max() > self.max_length:
            tokens, starts = self._cut(split, tokens, starts, counts)
        return _Encoded(tokens, starts, targets)

    def _cut(
        self, split: str, tokens: NDArray[Any], starts: NDArray[np.int64], counts: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The first ``max_length`` tokens of each text."""
        assert self.max_length is not None
        self._num_cut[split] = int((counts > self.max_length).sum())
        position = np.arange(len(tokens)) - np.repeat(starts[:-1], counts)
        return tokens[position < self.max_length], np.concatenate([[0], np.cumsum(np.minimum(counts, self.max_length))])


def class_name(label: Any) -> str:
    """The name of a class in ``data.labels``, as that of a row.

    Example:
        >>> [class_name(label) for label in (0, 1.0, " no ")]
        ['0', '1', 'no']
    """
    return LabelNames("labels").name(label, "data.labels", written=True)
