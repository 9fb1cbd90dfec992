"""Sentence pairs in padded batches, as a LightningDataModule."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import IGNORE_INDEX, SPLITS, pad
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.inputs import files_of
from seqlab.data.core.options import check_limit
from seqlab.data.core.ragged import Ragged
from seqlab.data.core.reading import RowSource, left_out_of
from seqlab.data.core.summary import SplitSummary, agree, counted, equal_rows, percent
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.pair_tables import SentencePair
from seqlab.data.translation.batch import TranslationBatch, TranslationSpec
from seqlab.data.translation.sources import EMPTY, ParallelSource, is_empty
from seqlab.data.vocabulary.base import TOKENIZER_FILE, UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import reading_of, saved_vocabulary, splitter_of, vocabulary_of
from seqlab.errors import InputError


@dataclass(frozen=True)
class _Split:
    """The pairs of a split, and the token ids of their two sides."""

    pairs: list[SentencePair]
    source: Ragged
    target: Ragged


class TranslationData(ExampleData):
    """Sentence pairs in padded batches.

    The vocabularies come from the training split, one for each side. Those of words and characters always have an
    ``<unk>``. With ``min_frequency`` above 1, ``<unk>`` occurs in training too.

    Args:
        source: gives the pairs (:class:`ParallelFiles`, :class:`KingJamesToWorldEnglish`, ...).
        tokens: how texts are split into tokens, and which tokens a vocabulary keeps. References stay as they are.
        batching: how pairs are put into batches; the length of a pair is that of both sides together.
        joint_vocabulary: whether both sides share one vocabulary.
        max_length: the most tokens of a side in training; longer pairs are left out and counted. None: no limit.
        skip_empty: whether pairs with an empty side are left out and counted, instead of refused.
        vocabulary: saved vocabularies to use instead: a folder with ``tokenizer.json`` for the source and
            ``target/tokenizer.json``; with ``joint_vocabulary`` one ``tokenizer.json``, or the folder that holds it.

    Raises:
        InputError: an option is wrong; on first use: a side is empty, or a split is. The message names the place.

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
        self.max_length = check_limit("data.max_length", max_length)
        self._as_read = reading_of(tokens)
        if isinstance(source, RowSource):
            source.as_read = self._as_read
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)
        self._left_out: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the source."""
        return self.vocabularies["source"]

    @cached_property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The vocabularies of "source" and "target"."""
        if (saved := self._saved_vocabulary) is not None:
            folders = {"source": saved, "target": saved / "target"}
            if (folders["target"] / TOKENIZER_FILE).exists():
                return {side: saved_vocabulary(folder, self.settings) for side, folder in folders.items()}
            if not self.joint_vocabulary:
                raise InputError(
                    f"data.vocabulary={saved} holds no target/{TOKENIZER_FILE}: "
                    "give data.joint_vocabulary=true, or a folder with both"
                )
            return dict.fromkeys(folders, saved_vocabulary(saved, self.settings))
        pairs = self._pairs["train"]
        texts = {"source": [pair.source for pair in pairs], "target": [pair.target for pair in pairs]}
        if self.joint_vocabulary:
            return dict.fromkeys(texts, vocabulary_of(texts["source"] + texts["target"], self.settings))
        return {side: vocabulary_of(sentences, self.settings) for side, sentences in texts.items()}

    @cached_property
    def spec(self) -> TranslationSpec:
        """What a model and a task need to know."""
        counts = {split: len(self._splits[split].pairs) for split in SPLITS}
        source, target = self.vocabularies.values()
        return TranslationSpec(len(source), len(target), target.unit, counts)

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source, self._saved_vocabulary)

    def summaries(self) -> list[SplitSummary]:
        """How many pairs and tokens each split holds, how many were left out, and how many stand in two splits."""
        shared = equal_rows(
            {split: (tuple(map(self._as_read, pair[:2])) for pair in self._splits[split].pairs) for split in SPLITS},
            "pairs",
        )
        summaries = []
        for split in SPLITS:
            part = self._splits[split]
            notes = [shared[split]] if split in shared else []
            for side, vocabulary in self.vocabularies.items():
                tokens = getattr(part, side).values
                if vocabulary.unknown_id is not None and (unknown := int((tokens == vocabulary.unknown_id).sum())):
                    share = percent(unknown / len(tokens))
                    notes.append(f"{share} of the {side}'s {vocabulary.unit}s read as {UNKNOWN}")
            if alike := sum(pair.source == pair.target for pair in part.pairs):
                notes.append(f"{counted(alike, 'pairs')} {agree(alike, 'has', 'have')} two equal sides")
            counts = {"pairs": len(part.pairs)}
            counts |= {f"{side} tokens": len(getattr(part, side).values) for side in self.vocabularies}
            left_out = {**left_out_of(self.source, split), **self._left_out[split]}
            summaries.append(SplitSummary(split, counts, left_out, notes=tuple(notes)))
        return summaries

    def fingerprint(self) -> str:
        """A digest of all pairs as they are read, in the data's order."""
        digest = Digest()
        for split in SPLITS:
            part = self._splits[split]
            for side in (part.source, part.target):
                digest.add(side.values, side.starts)
            digest.add([pair.target for pair in part.pairs])
        return digest.hexdigest()

    def rows(self, split: str) -> Sequence[SentencePair]:
        """The pairs of a split as they stand in the data, in the order of their numbers."""
        return self._splits[split].pairs

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of tokens of each pair, both sides together, ``(N,)``."""
        part = self._splits[split]
        return part.source.lengths + part.target.lengths

    def collate(self, split: str, numbers: list[int]) -> TranslationBatch:
        """The batch of the pairs with these numbers."""
        part, spec = self._splits[split], self.spec
        source, source_lengths = part.source.pad(numbers)
        rows = [part.target.row(number) for number in numbers]
        inputs, _ = pad([np.concatenate(([spec.bos], row)) for row in rows])
        # ``pad`` fills up with zeros, which become IGNORE_INDEX when that is added again below.
        targets, _ = pad([np.concatenate((row, [spec.eos])) - IGNORE_INDEX for row in rows])
        references = () if split == "train" else tuple(part.pairs[number].target for number in numbers)
        return TranslationBatch(source, source_lengths, inputs, targets + IGNORE_INDEX, references)

    @property
    def _settings_of(self) -> dict[str, TokenizerSettings]:
        """How each side is split into tokens."""
        return {"source": self.settings, "target": self.settings}

    @cached_property
    def _pairs(self) -> dict[str, list[SentencePair]]:
        pairs = {split: self._read(split) for split in SPLITS}
        splitters = {side: splitter_of(settings) for side, settings in self._settings_of.items()}
        if self.max_length is not None and None not in splitters.values():  # no word of a long pair is for a vocabulary
            lengths = [
                max(
                    len(splitter.pieces(getattr(pair, side)))
                    for side, splitter in splitters.items()
                    if splitter is not None
                )
                for pair in pairs["train"]
            ]
            fits = self._that_fit(np.array(lengths), self.max_length)
            pairs["train"] = list(itertools.compress(pairs["train"], fits))
        return pairs

    def _that_fit(self, lengths: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
        """Which training pairs are kept, ``(N,)``, by the tokens of their longer sides; the others are counted.

        Raises:
            InputError: none is kept.
        """
        fits: NDArray[np.bool_] = lengths <= most
        if not fits.all():
            self._left_out["train"][f"pairs with a side of over {most} tokens"] += int((~fits).sum())
        if not fits.any():
            raise InputError(f"data.max_length={most} leaves no training pair; give more")
        return fits

    def _read(self, split: str) -> list[SentencePair]:
        """The pairs of a split; those with an empty side are left out or refused."""
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
        """The pairs as token ids; in training, without those that are longer than ``max_length``."""
        name = f"the {split} split of {self.source}"
        source, target = (
            Ragged.of(*vocabulary.encode_many([getattr(pair, side) for pair in pairs], f"{name} ({side})"))
            for side, vocabulary in self.vocabularies.items()
        )
        if split != "train" or self.max_length is None:
            return _Split(pairs, source, target)
        fits = self._that_fit(np.maximum(source.lengths, target.lengths), self.max_length)
        return _Split(list(itertools.compress(pairs, fits)), source.where(fits), target.where(fits))
