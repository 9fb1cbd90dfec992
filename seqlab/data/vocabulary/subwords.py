"""Subwords as tokens, which the `tokenizers` library learns and applies."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.vocabulary.base import TokenizerSettings, Vocabulary, lower
from seqlab.errors import InputError

DEFAULT_SIZE = 8_000
_BYTES = 256


class SubwordVocabulary(Vocabulary):
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): any text has ids that decode to it.

    Args:
        tokenizer: a trained ``tokenizers.Tokenizer``.
        settings: how it was trained; None: with the defaults.

    Example:
        >>> settings = TokenizerSettings("subword", max_vocab_size=260)
        >>> vocabulary = SubwordVocabulary.build(["low lower lowest"], settings)
        >>> vocabulary.pieces("slow"), vocabulary.decode(vocabulary.encode("new \\u20ac"))
        (['s', 'low'], 'new \u20ac')
    """

    unit = "subword"

    def __init__(self, tokenizer: Any, settings: TokenizerSettings | None = None) -> None:
        self._trained = tokenizer
        ids: dict[str, int] = tokenizer.get_vocab()
        super().__init__(sorted(ids, key=ids.__getitem__), settings or TokenizerSettings("subword"))

    @classmethod
    def build(cls, texts: Iterable[str], settings: TokenizerSettings) -> "SubwordVocabulary":
        """Learns the subwords of a training split.

        Args:
            texts: the texts of the training split.
            settings: how many subwords are kept, and how often a merge occurs at least.

        Raises:
            InputError: ``max_vocab_size`` is below the number of bytes.
        """
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

        size = settings.max_vocab_size or DEFAULT_SIZE
        if size < _BYTES:
            raise InputError(f"data.max_vocab_size={size} is too small for subwords: give {_BYTES} (the bytes) or more")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        if settings.lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=settings.least,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        tokenizer.train_from_iterator(_nonempty(texts), trainer)
        return cls(tokenizer, settings)

    @classmethod
    def from_json(cls, text: str) -> "SubwordVocabulary":
        """The vocabulary of the text of a ``tokenizer.json``."""
        from tokenizers import Tokenizer

        lowercase = (json.loads(text).get("normalizer") or {}).get("type") == "Lowercase"
        return cls(Tokenizer.from_str(text), TokenizerSettings("subword", lowercase=lowercase))

    def pieces(self, text: str) -> list[str]:
        """The subwords of a text; bytes are spelt as by the library."""
        return list(self._trained.encode(text, add_special_tokens=False).tokens)

    def _lookup(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        rows = [encoding.ids for encoding in self._trained.encode_batch_fast(list(texts), add_special_tokens=False)]
        counts = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        return np.fromiter((i for ids in rows for i in ids), dtype=np.int64, count=int(counts.sum())), counts

    def decode(self, ids: Iterable[int]) -> str:
        """The text whose bytes the ids spell. If they end inside a character, the text ends in U+FFFD."""
        return str(self._trained.decode([int(i) for i in ids], skip_special_tokens=False))

    def spelled(self, text: str) -> str:
        """A text as :meth:`decode` writes it."""
        return lower(text) if self.settings.lowercase else text

    def _tokenizer(self) -> Any:
        return self._trained


def _nonempty(texts: Iterable[str]) -> Iterator[str]:
    return (text for text in texts if text)
