"""Words and their pronunciations in padded batches: letters to sounds, as a LightningDataModule."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.examples import Batching
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.summary import SplitSummary, counted, equal_rows, percent
from seqlab.data.formats.pair_tables import SentencePair
from seqlab.data.formats.phonemes import Pronounced
from seqlab.data.translation.batch import TranslationBatch, TranslationSpec
from seqlab.data.translation.module import TranslationData
from seqlab.data.translation.pronunciations import PronunciationSource
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary, vocabulary_of
from seqlab.errors import InputError


@dataclass
class PronunciationBatch(TranslationBatch):
    """B words with a pronunciation each.

    Attributes:
        pronunciations: all pronunciations of each word, for scores; empty in training.
    """

    pronunciations: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class PronunciationSpec(TranslationSpec):
    """What a model and a task need to know of words and their pronunciations.

    Attributes:
        stress: whether phonemes keep the marks of stress; None: not known.
    """

    kind: ClassVar[str] = "pronunciation"
    stress: bool | None = None

    def read_by(self) -> dict[str, Any]:
        return {} if self.stress is None else {"stress": self.stress}


class PronunciationData(TranslationData):
    """Words and their pronunciations in padded batches: a letter is a token of the source, a phoneme of the target.

    In training each pronunciation of a word is an example. Validation and test have each word once: the loss is that of
    its first pronunciation, and scores count the nearest one. The vocabularies come from training, each with an
    ``<unk>``.

    Args:
        source: gives the words (:class:`CmuDict`, :class:`PronunciationFiles`).
        lowercase: whether words are read in lower case.
        batching: how examples are put into batches; the length of one is that of both sides together.
        max_length: the most letters or phonemes in training; longer examples are left out and counted. None: no limit.
        vocabulary: a folder with saved vocabularies to use instead.

    Raises:
        InputError: an option is wrong; on first use: a split is empty.

    Example:
        >>> class Reads:
        ...     def read(self, split):
        ...         return [Pronounced("read", ("R IY D", "R EH D"), "1")]
        >>> data = PronunciationData(Reads())
        >>> data.spec.num_pairs, data.vocabularies["target"].tokens
        ({'train': 2, 'validation': 1, 'test': 1}, ('D', 'R', 'EH', 'IY', '<unk>'))
        >>> next(iter(data.test_dataloader())).pronunciations
        (('R IY D', 'R EH D'),)
    """

    def __init__(
        self,
        source: PronunciationSource,
        lowercase: bool = False,
        batching: Batching = Batching(),
        max_length: int | None = None,
        vocabulary: str | Path | None = None,
    ) -> None:
        letters = TokenizerSettings("character", lowercase=lowercase)
        super().__init__(source, letters, batching, False, max_length, False, vocabulary)  # type: ignore[arg-type]

    @property
    def _settings_of(self) -> dict[str, TokenizerSettings]:
        return {"source": self.settings, "target": TokenizerSettings("word")}

    @cached_property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The vocabularies of "source", letters, and "target", phonemes."""
        if (saved := self._saved_vocabulary) is not None:
            folders = {"source": saved, "target": saved / "target"}
            return {side: saved_vocabulary(folder, self._settings_of[side]) for side, folder in folders.items()}
        pairs = self._pairs["train"]
        texts = {
            "source": [word for word, _ in itertools.groupby(pair.source for pair in pairs)],  # once a word
            "target": [pair.target for pair in pairs],
        }
        return {side: vocabulary_of(texts[side], settings) for side, settings in self._settings_of.items()}

    @cached_property
    def spec(self) -> PronunciationSpec:
        """What a model and a task need to know."""
        return PronunciationSpec(**vars(super().spec), stress=getattr(self.source, "stress", None))

    @cached_property
    def _words(self) -> dict[str, Sequence[Pronounced]]:
        return {split: self.source.read(split) for split in SPLITS}  # type: ignore[misc]

    def _read(self, split: str) -> list[SentencePair]:
        words = self._words[split]
        if not words:
            raise InputError(f"the {split} split of {self.source} is empty")
        return [
            SentencePair(word.word, phonemes, word.place)
            for word in words
            for phonemes in (word.pronunciations if split == "train" else word.pronunciations[:1])
        ]

    def summaries(self) -> list[SplitSummary]:
        """How many words, pronunciations and tokens each split holds, and how many words stand in two splits."""
        shared = equal_rows({split: (word.word for word in self._words[split]) for split in SPLITS}, "words")
        summaries = []
        for split in SPLITS:
            part, words = self._splits[split], self._words[split]
            notes = [shared[split]] if split in shared else []
            for side, name, vocabulary in zip(
                ("source", "target"), ("letters", "phonemes"), self.vocabularies.values(), strict=True
            ):
                tokens = getattr(part, side).values
                if unknown := int((tokens == vocabulary.unknown_id).sum()):
                    notes.append(f"{percent(unknown / len(tokens))} of the {name} read as {UNKNOWN}")
            several = sum(len(word.pronunciations) > 1 for word in words)
            if several:
                notes.append(f"{counted(several, 'words with several pronunciations')}")
            counts = {"words": len(words), "pronunciations": sum(len(word.pronunciations) for word in words)}
            left_out = {**left_out_of(self.source, split), **self._left_out[split]}
            summaries.append(SplitSummary(split, counts, left_out, notes=tuple(notes)))
        return summaries

    def fingerprint(self) -> str:
        """A digest of all words and pronunciations as they are read, in the data's order."""
        digest = Digest()
        digest.add(super().fingerprint())
        for split in SPLITS:
            digest.add([phonemes for word in self._words[split] for phonemes in (*word.pronunciations, "")])
        return digest.hexdigest()

    def collate(self, split: str, numbers: list[int]) -> PronunciationBatch:
        """The batch of the examples with these numbers."""
        batch = super().collate(split, numbers)
        words = [] if split == "train" else [self._words[split][number] for number in numbers]
        return PronunciationBatch(**vars(batch), pronunciations=tuple(word.pronunciations for word in words))
