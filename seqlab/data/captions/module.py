"""Pictures and their descriptions, as a LightningDataModule."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.captions.batch import CaptionBatch, CaptionSpec
from seqlab.data.captions.sources import Described, PictureSource
from seqlab.data.core.batch import IGNORE_INDEX, SPLITS, pad
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.fingerprint import same_numbers
from seqlab.data.core.inputs import files_of
from seqlab.data.core.ragged import Ragged
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.summary import SplitSummary, counted, equal_rows, percent
from seqlab.data.vocabulary.base import TOKENIZER_FILE, UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary, vocabulary_of
from seqlab.errors import InputError


class CaptionData(ExampleData):
    """Pictures with descriptions in batches.

    In training each description of a picture is an example; in validation and test each picture is one, and all its
    descriptions are references. The vocabulary comes from the training split.

    Args:
        source: gives the pictures (:class:`Pictures`, :class:`Scenes`, ...).
        tokens: how descriptions are split into tokens.
        batching: how examples are put into batches.
        vocabulary: a saved vocabulary to use instead: ``tokenizer.json``, or the folder that holds it.

    Raises:
        InputError: an option is wrong; on first use: a split is empty, or a picture has another size; names the place.
    """

    def __init__(
        self,
        source: PictureSource,
        tokens: TokenizerSettings = TokenizerSettings("word"),
        batching: Batching = Batching(),
        vocabulary: str | Path | None = None,
    ) -> None:
        super().__init__(batching)
        self.source, self.settings = source, tokens
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)

    @cached_property
    def _rows(self) -> dict[str, Sequence[Described]]:
        rows = {split: self.source.read(split) for split in SPLITS}
        for split, pictures in rows.items():
            if not pictures:
                raise InputError(f"the {split} split of {self.source} is empty; give at least one picture")
            for each in pictures:
                if each.values.shape != self.source.picture_size:
                    wanted = self.source.picture_size
                    raise InputError(f"{each.place}: expected a picture of {wanted}, got {each.values.shape}")
        return rows

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the descriptions."""
        if self._saved_vocabulary is not None:
            inner = self._saved_vocabulary / "target"
            folder = inner if (inner / TOKENIZER_FILE).exists() else self._saved_vocabulary
            return saved_vocabulary(folder, self.settings)
        return vocabulary_of([text for row in self._rows["train"] for text in row.texts], self.settings)

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The vocabulary as "target"."""
        return {"target": self.vocabulary}

    @cached_property
    def _examples(self) -> dict[str, list[tuple[int, int]]]:
        """The examples of each split as (picture, description)."""
        return {
            split: [
                (number, place)
                for number, row in enumerate(rows)
                for place in range(len(row.texts) if split == "train" else 1)
            ]
            for split, rows in self._rows.items()
        }

    @cached_property
    def _tokens(self) -> dict[str, Ragged]:
        """The tokens of the description of each example."""
        tokens = {}
        for split, examples in self._examples.items():
            texts = [self._rows[split][number].texts[place] for number, place in examples]
            tokens[split] = Ragged.of(*self.vocabulary.encode_many(texts, f"the {split} split of {self.source}"))
        return tokens

    @cached_property
    def spec(self) -> CaptionSpec:
        """What a model and a task need to know."""
        longest = self.trained.longest if self.trained else int(self._tokens["train"].lengths.max())
        return CaptionSpec(len(self.vocabulary), self.vocabulary.unit, tuple(self.source.picture_size), longest)

    def summaries(self) -> list[SplitSummary]:
        """How many pictures and descriptions each split holds, and which of them training has too."""
        shared = equal_rows(
            {split: [same_numbers(row.values) for row in rows] for split, rows in self._rows.items()}, "pictures"
        )
        summaries = []
        for split, rows in self._rows.items():
            notes = [shared[split]] if split in shared else []
            tokens = self._tokens[split].values
            if self.vocabulary.unknown_id is not None and (unknown := (tokens == self.vocabulary.unknown_id).mean()):
                notes.append(f"{percent(float(unknown))} of the {self.vocabulary.unit}s read as {UNKNOWN}")
            new = {text for row in rows for text in row.texts} - self._training_texts
            if split != "train":
                notes.append(f"{counted(len(new), 'descriptions')} that training lacks")
            counts = {"pictures": len(rows), "descriptions": sum(len(row.texts) for row in rows)}
            summaries.append(SplitSummary(split, counts, left_out_of(self.source, split), notes=tuple(notes)))
        return summaries

    @cached_property
    def _training_texts(self) -> set[str]:
        return {text for row in self._rows["train"] for text in row.texts}

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source, self._saved_vocabulary)

    def rows(self, split: str) -> Sequence[Described]:
        """The pictures of a split, in the order of their numbers."""
        return self._rows[split]

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of tokens of each example's description, ``(N,)``."""
        return self._tokens[split].lengths

    def collate(self, split: str, numbers: list[int]) -> CaptionBatch:
        """The batch of the examples with these numbers."""
        pictures = [self._rows[split][self._examples[split][number][0]] for number in numbers]
        rows = [self._tokens[split].row(number) for number in numbers]
        inputs, _ = pad([np.concatenate(([self.spec.bos], row)) for row in rows])
        # ``pad`` fills up with zeros, which become IGNORE_INDEX when that is added again below.
        targets, _ = pad([np.concatenate((row, [self.spec.eos])) - IGNORE_INDEX for row in rows])
        limits = torch.full((len(numbers),), 2 * self.spec.longest)
        references = () if split == "train" else tuple(row.texts for row in pictures)
        source = torch.from_numpy(np.stack([row.values for row in pictures]))
        return CaptionBatch(source, limits, inputs, targets + IGNORE_INDEX, references)
