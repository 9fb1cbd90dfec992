"""Characters as tokens."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, choose_tokens, lower

ANY_CHARACTER = r"[\s\S]"


def _code_points(text: str) -> NDArray[Any]:
    """The code points of a text, ``(len(text),)`` uint32; uint8 where the text is ASCII."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


class CharacterVocabulary(Vocabulary):
    """Characters as tokens, one for each code point, in the order of code points; ``<unk>`` is last.

    Args:
        tokens: the characters, and ``<unk>`` where there is one.
        settings: how text is read; None: as it is.

    Example:
        >>> vocabulary = CharacterVocabulary("ehlo")
        >>> vocabulary.encode("hello").tolist()
        [1, 0, 2, 2, 3]
        >>> vocabulary.decode([1, 0, 2, 2, 3])
        'hello'
        >>> vocabulary.unknown("h\u00e9")
        ['\u00e9']
    """

    unit = "character"

    def __init__(self, tokens: Sequence[str], settings: TokenizerSettings | None = None) -> None:
        super().__init__(tokens, settings or TokenizerSettings("character"))
        characters = [token for token in self.tokens if len(token) == 1]
        # An entry for each code point up to the highest token's, and one to which all higher code points are clipped.
        self._table = np.full(max(map(ord, characters), default=0) + 2, -1, dtype=np.int32)
        for character in characters:
            self._table[ord(character)] = self.index[character]

    @classmethod
    def build(
        cls, counts: Mapping[str, int], settings: TokenizerSettings, elsewhere: Iterable[str] = ()
    ) -> "CharacterVocabulary":
        """Chooses the characters to keep; see :func:`~seqlab.data.vocabulary.base.choose_tokens`.

        Args:
            counts: how often each character occurs in training.
            settings: how text is read, and how many characters are kept.
            elsewhere: the characters of the other splits.
        """
        tokens, added = choose_tokens(counts, settings, elsewhere)
        characters = sorted(tokens[:-1] if added else tokens)
        return cls([*characters, UNKNOWN] if added else characters, settings)

    @staticmethod
    def wrote(config: dict[str, Any]) -> bool:
        """Whether a parsed word-level ``tokenizer.json`` splits into characters."""
        return bool((config.get("pre_tokenizer") or {}).get("pattern") == {"Regex": ANY_CHARACTER})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CharacterVocabulary":
        """The vocabulary of a parsed ``tokenizer.json``."""
        ids: dict[str, int] = config["model"]["vocab"]
        lowercase = config["normalizer"] is not None
        return cls(sorted(ids, key=ids.__getitem__), TokenizerSettings("character", lowercase=lowercase))

    def count(self, texts: Iterable[str]) -> Counter[str]:
        """How often each character occurs."""
        counts: Counter[str] = Counter()
        for text in texts:
            frequencies = np.bincount(_code_points(lower(text) if self.settings.lowercase else text))
            counts.update({chr(code): int(frequencies[code]) for code in frequencies.nonzero()[0]})
        return counts

    def pieces(self, text: str) -> list[str]:
        """The characters of a text."""
        return list(lower(text) if self.settings.lowercase else text)

    def _lookup(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.settings.lowercase:
            texts = [lower(text) for text in texts]
        ids = self._table.take(_code_points("".join(texts)), mode="clip")
        return ids, np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))

    def decode(self, ids: Iterable[int]) -> str:
        """The characters of the ids, one after the other."""
        return "".join(self.tokens[int(i)] for i in ids)

    def spelled(self, text: str) -> str:
        """A text as :meth:`decode` writes it, with the characters that the vocabulary lacks as they stand."""
        return "".join(self.pieces(text))

    def _tokenizer(self) -> Any:
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(dict(self.index), unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(ANY_CHARACTER), "isolated")
        tokenizer.decoder = decoders.Fuse()
        if self.settings.lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        return tokenizer
