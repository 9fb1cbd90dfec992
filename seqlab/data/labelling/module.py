"""Labelled sequences of a generator, as a LightningDataModule."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.batch import IGNORE_INDEX, SPLITS, pad
from seqlab.data.core.drawn import Drawn, DrawnData, Draws
from seqlab.data.core.examples import Batching
from seqlab.data.core.summary import SplitSummary
from seqlab.data.labelling.batch import LabellingBatch, LabellingSpec
from seqlab.data.labelling.sources import LabelGenerator, draw_of_split
from seqlab.data.vocabulary.base import Vocabulary, load_vocabulary
from seqlab.data.vocabulary.words import WordVocabulary
from seqlab.errors import InputError


class LabellingData(DrawnData):
    """Sequences of tokens with a label at each step, or at those that are asked.

    No sequence of the test is ever trained on: a hash of its tokens says which split a sequence belongs to.

    Args:
        source: draws the sequences (:class:`Parity`, ...).
        draws: how many are drawn, how long they are, and from which seed.
        batching: how they are put into batches.
        vocabulary: a saved vocabulary whose tokens must be the source's, as that of a run which is evaluated; None:
            nothing is compared.

    Raises:
        InputError: an option is wrong, a length is too short for the source, or the saved vocabulary another.

    Example:
        >>> from seqlab.data.labelling.automata import Parity
        >>> data = LabellingData(Parity(), Draws(length=5, sizes=(8, 2, 2)), Batching(4))
        >>> batch = next(iter(data.test_dataloader()))
        >>> batch.inputs.tolist(), batch.targets.tolist(), data.spec.labels
        ([[0, 1, 1, 0, 0], [0, 0, 0, 0, 1]], [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]], ('0', '1'))
    """

    def __init__(
        self,
        source: LabelGenerator,
        draws: Draws = Draws(),
        batching: Batching = Batching(),
        vocabulary: str | Path | None = None,
    ) -> None:
        super().__init__(draws, batching)
        self.source = source
        for split, option in (("train", "data.length"), ("test", "data.test_length")):
            if (shortest := min(draws.lengths(split))) < source.least_length:
                raise InputError(f"{option}={shortest}: {source} needs {source.least_length} steps or more")
        if vocabulary is not None and (tokens := load_vocabulary(vocabulary).tokens) != tuple(source.tokens):
            raise InputError(
                f"{source} has the tokens {_some(source.tokens)}, and {vocabulary} those of other data: {_some(tokens)}"
            )

    @cached_property
    def spec(self) -> LabellingSpec:
        """What a model and a task need to know."""
        self.examples("train"), self.examples("validation")  # a split without a sequence is refused
        return LabellingSpec(len(self.source.tokens), tuple(self.source.labels), self.draws.lengths("test"))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens, as words."""
        return WordVocabulary(self.source.tokens)

    def draw(self, random: np.random.Generator, split: str, count: int, length: int) -> Drawn:
        """Draws sequences that only this split may hold."""
        return draw_of_split(self.source, random, split, count, length)

    def batch(self, inputs: list[NDArray[Any]], targets: list[NDArray[Any]]) -> LabellingBatch:
        """The batch of some sequences and their labels."""
        tokens, lengths = pad(inputs)
        labels, _ = pad(targets)
        padding = torch.arange(labels.size(1)) >= lengths.unsqueeze(1)
        return LabellingBatch(tokens, lengths, labels.masked_fill(padding, IGNORE_INDEX))

    def summaries(self) -> list[SplitSummary]:
        """How many sequences each split holds, how many labels are asked, and what chance would get right."""
        summaries = []
        for split in SPLITS:
            lengths = self.draws.lengths(split)
            asked = sum(int((self.examples(split, part)[1] >= 0).sum()) for part in range(len(lengths)))
            steps = self.draws.size(split) * sum(lengths)
            chances = ", ".join(f"{self.source.chance(length):.3g}" for length in lengths)
            notes = [f"{self.source}, {' and '.join(f'{length:,}' for length in lengths)} steps each"]
            notes.append(f"the commonest label is right in {chances}")
            if split == "train" and self.draws.fresh:
                notes.append("other sequences in each epoch")
            counts = {"sequences": len(lengths) * self.draws.size(split), "steps": steps, "labels": asked}
            summaries.append(SplitSummary(split, counts, notes=tuple(notes)))
        return summaries


def _some(tokens: Any) -> str:
    return ", ".join(list(tokens)[:8]) + (f", ... ({len(tokens)})" if len(tokens) > 8 else "")
