"""Sentence pairs in batches, and what an encoder-decoder needs to know of its data."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from seqlab.data.core.batch import Spec


@dataclass
class TranslationBatch:
    """B sentence pairs.

    Attributes:
        source: ``(B, T)`` int64, the token ids; beyond a row's length they are 0 and mean nothing.
        source_lengths: ``(B,)`` int64, the number of tokens of each source.
        inputs: ``(B, S)`` int64, what the decoder reads: ``<bos>`` and the translation.
        targets: ``(B, S)`` int64, what the decoder should write: the translation and ``<eos>``, then ``IGNORE_INDEX``.
        references: the B translations as they stand in the data, for scores of text; empty in training.
    """

    source: Tensor
    source_lengths: Tensor
    inputs: Tensor
    targets: Tensor
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class TranslationSpec(Spec):
    """What an encoder-decoder needs to know of its data.

    ``<bos>`` and ``<eos>`` are the two ids after the target vocabulary's own: no text can spell them.

    Attributes:
        source_size: the number of tokens in the source's vocabulary.
        target_size: the number of tokens in the target's vocabulary, without ``<bos>`` and ``<eos>``.
        unit: "character", "word" or "subword".
        num_pairs: the number of sentence pairs in each split.

    Example:
        >>> spec = TranslationSpec(100, 50, "word")
        >>> spec.bos, spec.eos, spec.model_arguments()
        (50, 51, {'source_vocab_size': 100, 'target_vocab_size': 52})
    """

    kind: ClassVar[str] = "translation"
    vocabularies: ClassVar[tuple[str, ...]] = ("source", "target")
    source_size: int
    target_size: int
    unit: str
    num_pairs: dict[str, int] | None = None

    @property
    def bos(self) -> int:
        """The id of ``<bos>``, which begins a translation."""
        return self.target_size

    @property
    def eos(self) -> int:
        """The id of ``<eos>``, which ends a translation."""
        return self.target_size + 1

    def model_arguments(self) -> dict[str, Any]:
        return {"source_vocab_size": self.source_size, "target_vocab_size": self.target_size + 2}

    def output_names(self) -> dict[str, Any]:
        return {"bos_id": self.bos, "eos_id": self.eos}
