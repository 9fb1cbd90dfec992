"""Sentence pairs in padded batches, as a LightningDataModule."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import IGNORE_INDEX, SPLITS, pad
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.inputs import files_of
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.summary import SplitSummary, agree, counted, equal_rows, percent
from seqlab.data.formats.blanks import is_blank
from seqlab.data.translation.batch import TranslationBatch, TranslationSpec
from seqlab.data.translation.sources import EMPTY, ParallelSource, SentencePair, is_empty
from seqlab.data.vocabulary.base import TOKENIZER_FILE, UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary, vocabulary_of
from seqlab.errors import InputError


@dataclass
class _Side:
    """One side of a split as ids, one text after the other; ``starts (N + 1,)`` tells where each begins."""

    tokens: NDArray[Any]
    starts: NDArray[np.int64]

    def row(self, number: int) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = self.tokens[self.starts[number] : self.starts[number + 1]].astype(np.int64)
        return ids


@dataclass
class _Split:
    source: _Side
    target: _Side
    pairs: list[SentencePair]


class TranslationData(ExampleData):
    """Sentence pairs in padded batches.

    The vocabularies come from the training split, one a side. Those of words and characters have an ``<unk>`` whatever
    the texts; with ``min_frequency`` above 1 it is trained too.

    Args:
        source: gives the pairs (``ParallelFiles``, ``KingJamesToWorldEnglish``, ...).
        tokens: how texts are split into tokens, and which of these are kept a side; references stay as they are.
        batching: how pairs are put into batches; a pair is as long as its two sides.
        joint_vocabulary: one vocabulary of both sides' texts.
        max_length: training pairs with more tokens on a side are left out, counted; None: none is.
        skip_empty: leave pairs with an empty side out, counted, instead of refusing them.
        vocabulary: saved vocabularies to use instead: a folder with ``tokenizer.json`` for the source and
            ``target/tokenizer.json``, or with ``joint_vocabulary`` one ``tokenizer.json`` or the folder that holds it.

    Raises:
        InputError: an option is wrong; on first use: an empty side, with its file and line, or an empty split.

    Example:
        >>> class Numbers:
        ...     def read(self, split):
        ...         return [SentencePair("one two", "eins zwei", "1"), SentencePair("three", "drei", "2")]
        >>> data = TranslationData(Numbers())
        >>> data.spec.model_arguments()
        {'source_vocab_size': 4, 'target_vocab_size': 6}
        >>> batch = next(iter(data.val_dataloader()))
        >>> batch.inputs.tolist(), batch.targets.tolist(), batch.references
        ([[4, 1, 2], [4, 0, 0]], [[1, 2, 5], [0, 5, -100]], ('eins zwei', 'drei'))
    """

    def __init__(
        self,
        source: ParallelSource,
        tokens: TokenizerSettings = TokenizerSettings("word"),
        batching: Batching = Batching(),
        joint_vocabulary: bool = False,
        max_length: int | None = None,
        skip_empty: bool = False,
        vocabulary: str | Path | None = None,
    ) -> None:
        super().__init__(batching)
        self.source = source
        self.settings = tokens
        self.joint_vocabulary, self.skip_empty = joint_vocabulary, skip_empty
        self.max_length = None if max_length is None else check_whole_number("data.max_length", max_length, 1)
        self._saved = None if vocabulary is None else Path(vocabulary)
        self._left_out: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}

    @property
    def vocabulary(self) -> Vocabulary:
        """Maps the source's ids to text and back."""
        return self.vocabularies["source"]

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The vocabularies of "source" and "target"."""
        return self._vocabularies

    @cached_property
    def _vocabularies(self) -> dict[str, Vocabulary]:
        if self._saved is not None:
            folders = {"source": self._saved, "target": self._saved / "target"}
            if (folders["target"] / TOKENIZER_FILE).exists():
                return {side: saved_vocabulary(folder, self.settings) for side, folder in folders.items()}
            if not self.joint_vocabulary:
                raise InputError(
                    f"data.vocabulary={self._saved} holds no target/{TOKENIZER_FILE}: "
                    "give data.joint_vocabulary=true, or a folder with both"
                )
            joint = saved_vocabulary(self._saved, self.settings)
            return {"source": joint, "target": joint}
        pairs = self._pairs["train"]
        texts = {"source": [pair.source for pair in pairs], "target": [pair.target for pair in pairs]}
        if self.joint_vocabulary:
            return dict.fromkeys(texts, vocabulary_of(texts["source"] + texts["target"], self.settings))
        return {side: vocabulary_of(found, self.settings) for side, found in texts.items()}

    @cached_property
    def spec(self) -> TranslationSpec:
        """What a model and a task need to know."""
        counts = {split: len(self._splits[split].pairs) for split in SPLITS}
        source, target = self.vocabularies.values()
        return TranslationSpec(len(source), len(target), target.unit, counts)

    def pairs(self, split: str) -> list[SentencePair]:
        """The pairs of a split as they stand in the data, in the order of their numbers."""
        return self._splits[split].pairs

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The tokens of each pair, both sides."""
        split_pairs = self._splits[split]
        return np.diff(split_pairs.source.starts) + np.diff(split_pairs.target.starts)

    def collate(self, split: str, numbers: list[int]) -> TranslationBatch:
        """The batch of the pairs with these numbers."""
        split_pairs, spec = self._splits[split], self.spec
        source, source_lengths = pad([split_pairs.source.row(number) for number in numbers])
        rows = [split_pairs.target.row(number) for number in numbers]
        inputs, _ = pad([np.concatenate(([spec.bos], row)) for row in rows])
        targets, _ = pad([np.concatenate((row, [spec.eos])) - IGNORE_INDEX for row in rows])
        references = () if split == "train" else tuple(split_pairs.pairs[number].target for number in numbers)
        return TranslationBatch(source, source_lengths, inputs, targets + IGNORE_INDEX, references)

    def input_files(self) -> list[str] | None:
        """The files that are read; None where a source of the user's own does not say."""
        return files_of(self.source, self._saved)

    def summaries(self) -> list[SplitSummary]:
        """How many pairs and tokens each split holds, how many were left out, and which stand in two splits."""
        shared = equal_rows({split: (pair[:2] for pair in self._splits[split].pairs) for split in SPLITS}, "pairs")
        of_source: Callable[[str], Mapping[str, int]] = getattr(self.source, "left_out", lambda split: {})
        summaries = []
        for split in SPLITS:
            part = self._splits[split]
            notes = [shared[split]] if split in shared else []
            for side, vocabulary in self.vocabularies.items():
                tokens = getattr(part, side).tokens
                if vocabulary.unknown_id is not None and (unknown := int((tokens == vocabulary.unknown_id).sum())):
                    share = percent(unknown / len(tokens))
                    notes.append(f"{share} of the {side}'s {vocabulary.unit}s read as {UNKNOWN}")
            if alike := sum(pair.source == pair.target for pair in part.pairs):
                notes.append(f"{counted(alike, 'pairs')} {agree(alike, 'has', 'have')} two equal sides")
            counts = {"pairs": len(part.pairs)}
            counts |= {f"{side} tokens": len(getattr(part, side).tokens) for side in self.vocabularies}
            summaries.append(
                SplitSummary(split, counts, {**of_source(split), **self._left_out[split]}, notes=tuple(notes))
            )
        return summaries

    def fingerprint(self) -> str:
        """A digest of all pairs as they are read, and of their order."""
        digest = Digest()
        for split in SPLITS:
            part = self._splits[split]
            for side in (part.source, part.target):
                digest.add(side.tokens, side.starts)
            digest.add([pair.target for pair in part.pairs])
        return digest.hexdigest()

    @cached_property
    def _pairs(self) -> dict[str, list[SentencePair]]:
        return {split: self._checked(split) for split in SPLITS}

    def _checked(self, split: str) -> list[SentencePair]:
        pairs = list(self.source.read(split))
        whole = [pair for pair in pairs if not is_empty(pair)]
        if len(whole) < len(pairs):
            if not self.skip_empty:
                empty = next(pair for pair in pairs if is_empty(pair))
                side = "source" if is_blank(empty.source) else "target"
                mend = "leave the pair out, or give data.skip_empty=true"
                raise InputError(f"{empty.place}: the {side} is empty; {mend}")
            self._left_out[split][EMPTY] += len(pairs) - len(whole)
        if not whole:
            raise InputError(f"the {split} split of {self.source} is empty")
        return whole

    @cached_property
    def _splits(self) -> dict[str, _Split]:
        return {split: self._encode(split, self._pairs[split]) for split in SPLITS}

    def _encode(self, split: str, pairs: list[SentencePair]) -> _Split:
        name = f"the {split} split of {self.source}"
        sides, counts = [], []
        for side, vocabulary in self.vocabularies.items():
            tokens, count = vocabulary.encode_many([getattr(pair, side) for pair in pairs], f"{name} ({side})")
            sides.append(tokens)
            counts.append(count)
        is_kept = np.ones(len(pairs), dtype=bool)
        if split == "train" and self.max_length is not None:
            is_kept = np.maximum(*counts) <= self.max_length
            if not is_kept.all():
                self._left_out[split][f"pairs with a side of over {self.max_length} tokens"] += int((~is_kept).sum())
            if not is_kept.any():
                raise InputError(f"data.max_length={self.max_length} leaves no training pair; give more")
        source, target = (_select(tokens, count, is_kept) for tokens, count in zip(sides, counts, strict=True))
        return _Split(source, target, [pair for pair, keep in zip(pairs, is_kept, strict=True) if keep])


def _select(tokens: NDArray[Any], counts: NDArray[Any], is_kept: NDArray[np.bool_]) -> _Side:
    """The texts that are kept, of all ``tokens``, of which each text has its ``counts``."""
    return _Side(tokens[np.repeat(is_kept, counts)], np.concatenate([[0], np.cumsum(counts[is_kept])]))
