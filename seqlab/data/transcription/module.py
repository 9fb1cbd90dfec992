"""Utterances and what is said in them, as a LightningDataModule."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS, pad
from seqlab.data.core.examples import Batching, ExampleData, ExampleLoader
from seqlab.data.core.fingerprint import same_numbers
from seqlab.data.core.inputs import files_of
from seqlab.data.core.ragged import Ragged
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.summary import SplitSummary, counted, equal_rows, percent
from seqlab.data.transcription.augment import Augmentation
from seqlab.data.transcription.batch import TranscriptionBatch, TranscriptionSpec
from seqlab.data.transcription.features import LogMel
from seqlab.data.transcription.sources import Utterance, UtteranceSource
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary, vocabulary_of
from seqlab.errors import InputError


class TranscriptionData(ExampleData):
    """Recordings in padded batches of frames, each with the tokens of what is said.

    The vocabulary and the statistics of the frames come from the training split.

    Args:
        source: gives the utterances (:class:`Recordings`, ...).
        features: how sound becomes frames; its rate is the source's.
        tokens: how what is said is split into tokens.
        batching: how utterances are put into batches.
        augmentation: how each utterance of training is changed, in each epoch anew.
        vocabulary: a saved vocabulary to use instead: ``tokenizer.json``, or the folder that holds it.

    Raises:
        InputError: an option is wrong; on first use: a split is empty, an utterance is shorter than one step, or what
            is said has more tokens than CTC can put into its frames; names the place.
    """

    def __init__(
        self,
        source: UtteranceSource,
        features: LogMel = LogMel(),
        tokens: TokenizerSettings = TokenizerSettings(),
        batching: Batching = Batching(),
        augmentation: Augmentation = Augmentation(),
        vocabulary: str | Path | None = None,
    ) -> None:
        super().__init__(batching)
        if features.rate != source.rate:
            raise InputError(f"data.rate={features.rate}: {source} has {source.rate} samples a second")
        self.source, self.features, self.settings = source, features, tokens
        self.augmentation = augmentation
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)

    @cached_property
    def _rows(self) -> dict[str, Sequence[Utterance]]:
        rows = {split: self.source.read(split) for split in SPLITS}
        for split, utterances in rows.items():
            if not utterances:
                raise InputError(f"the {split} split of {self.source} is empty; give at least one recording")
        return rows

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of what is said."""
        if self._saved_vocabulary is not None:
            return saved_vocabulary(self._saved_vocabulary, self.settings)
        return vocabulary_of([row.text for row in self._rows["train"]], self.settings)

    @cached_property
    def _frames(self) -> dict[str, Ragged]:
        frames = {}
        for split, rows in self._rows.items():
            made = [self.features.frames(row.samples) for row in rows]
            for row, each in zip(rows, made, strict=True):
                if not len(each):
                    least = self.features.hop * self.features.stack
                    raise InputError(f"{row.place}: the sound is shorter than a step of {least:g} s; leave it out")
            frames[split] = Ragged.of(np.concatenate(made), list(map(len, made)))
        return frames

    @cached_property
    def _tokens(self) -> dict[str, Ragged]:
        tokens = {}
        for split, rows in self._rows.items():
            texts = [row.text for row in rows]
            tokens[split] = Ragged.of(*self.vocabulary.encode_many(texts, f"the {split} split of {self.source}"))
        return tokens

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        frames = self._frames["train"].values.astype(np.float64)
        changes = frames.max(0) > frames.min(0)  # the deviation of equal numbers may be 1e-15, which is no scale
        return frames.mean(0), np.where(changes, frames.std(0), 1.0)

    @cached_property
    def spec(self) -> TranscriptionSpec:
        """What a model and a task need to know."""
        means, stds = self._statistics
        for split, rows in self._rows.items():
            self._check_alignable(split, rows)
        form = dataclasses.asdict(self.features)
        return TranscriptionSpec(
            vocab_size=len(self.vocabulary),
            unit=self.vocabulary.unit,
            features=form,
            means=tuple(means.tolist()),
            stds=tuple(stds.tolist()),
        )

    def _check_alignable(self, split: str, rows: Sequence[Utterance]) -> None:
        """Refuses what CTC cannot align: it needs a frame a token, and one more between two equal ones."""
        frames, tokens = self._frames[split].lengths, self._tokens[split]
        for number, row in enumerate(rows):
            ids = tokens.row(number)
            if not len(ids):
                raise InputError(f"{row.place}: nothing is said; write what is said, or leave the recording out")
            needed = _needed(ids)
            if needed > frames[number]:
                raise InputError(
                    f"{row.place}: {row.text[:40]!r} needs {needed} frames, and the sound has {frames[number]}: check "
                    "that it belongs to this text, or give a smaller data.stack or data.hop"
                )

    def summaries(self) -> list[SplitSummary]:
        """How many utterances each split holds, how long they are, which of them another split has, and changes."""
        self.spec  # noqa: B018
        shared = equal_rows(
            {split: (same_numbers(row.samples) for row in rows) for split, rows in self._rows.items()}, "recordings"
        )
        summaries = []
        for split, rows in self._rows.items():
            seconds = round(sum(len(row.samples) for row in rows) / self.source.rate)
            changed = Counter(phrase for row in rows for phrase in row.changed)
            notes = [shared[split]] if split in shared else []
            notes += [f"{counted(count, 'recordings')} {phrase}" for phrase, count in sorted(changed.items())]
            tokens = self._tokens[split].values
            if self.vocabulary.unknown_id is not None and (unknown := (tokens == self.vocabulary.unknown_id).mean()):
                notes.append(f"{percent(float(unknown))} of the {self.vocabulary.unit}s read as {UNKNOWN}")
            frames = self._frames[split].values
            if split == "train" and (same := int((frames.max(0) == frames.min(0)).sum())):
                mend = "a longer data.window or fewer data.num_mels may help"
                notes.append(f"{same} of {frames.shape[1]} numbers of a step never change: {mend}")
            speakers = {row.speaker for row in rows} - {None}
            counts = {"utterances": len(rows), "seconds": seconds} | ({"speakers": len(speakers)} if speakers else {})
            summaries.append(SplitSummary(split, counts, left_out_of(self.source, split), notes=tuple(notes)))
        return summaries

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source, self._saved_vocabulary)

    def rows(self, split: str) -> Sequence[Utterance]:
        """The utterances of a split, in the order of their numbers."""
        return self._rows[split]

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of frames of each utterance, ``(N,)``."""
        return self._frames[split].lengths

    def collate(self, split: str, numbers: list[int]) -> TranscriptionBatch:
        """The batch of the utterances with these numbers."""
        texts = () if split == "train" else tuple(self.vocabulary.spelled(self._rows[split][n].text) for n in numbers)
        return TranscriptionBatch(*self._frames[split].pad(numbers), *self._tokens[split].pad(numbers), texts)

    def loader(self, split: str, batch_size: int, seed: int | None) -> ExampleLoader[Any]:
        """A loader of a split; see :meth:`ExampleData.loader`. That of training changes its utterances."""
        loader = super().loader(split, batch_size, seed)
        if split == "train" and self.augmentation:
            loader.fresh, loader.collate = True, self._changed
        return loader

    def _changed(self, numbers: list[int]) -> TranscriptionBatch:
        """The batch of training's utterances with these numbers, which go on from epoch to epoch, each changed."""
        frames, tokens = self._frames["train"], self._tokens["train"]
        rows = [number % len(frames.lengths) for number in numbers]
        changed = []
        for row, number in zip(rows, numbers, strict=True):
            random = np.random.default_rng([self.seed, number])
            least = _needed(tokens.row(row))
            changed.append(self.augmentation.change(frames.row(row), self.features, random, least))
        return TranscriptionBatch(*pad(changed), *tokens.pad(rows))


def _needed(ids: NDArray[np.int64]) -> int:
    """The fewest frames in which CTC can say these tokens: one each, and one more between two equal ones."""
    return len(ids) + int((ids[1:] == ids[:-1]).sum())
