"""Characters as tokens."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, choose_tokens, lower

ANY_CHARACTER = r"[\s\S]"


def _code_points(text: str) -> NDArray[Any]:
    """The text's code points, ``(len(text),)`` uint32 (a copy-free view where the text is ASCII: uint8)."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


class CharacterVocabulary(Vocabulary):
    """One token a code point, sorted by code point; ``<unk>``, where there is one, comes last.

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
        # One entry a code point up to the last known one, and one that every higher code point is clipped to.
        self._table = np.full(max(map(ord, characters), default=0) + 2, -1, dtype=np.int32)
        for character in characters:
            self._table[ord(character)] = self.index[character]

    @classmethod
    def build(
        cls, counts: Mapping[str, int], settings: TokenizerSettings, elsewhere: Iterable[str] = ()
    ) -> "CharacterVocabulary":
        """The vocabulary of a training split with these character counts.

        Args:
            counts: each character of the training split with its frequency.
            settings: which of them are kept.
            elsewhere: the characters of other splits.
        """
        kept, added = choose_tokens(counts, settings, elsewhere)
        characters = sorted(kept[:-1] if added else kept)
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
            found = np.bincount(_code_points(lower(text) if self.settings.lowercase else text))
            counts.update({chr(code): int(found[code]) for code in found.nonzero()[0]})
        return counts

    def pieces(self, text: str) -> list[str]:
        """The characters."""
        return list(lower(text) if self.settings.lowercase else text)

    def _lookup(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.settings.lowercase:
            texts = [lower(text) for text in texts]
        ids = self._table.take(_code_points("".join(texts)), mode="clip")
        return ids, np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))

    def decode(self, ids: Iterable[int]) -> str:
        """The characters one after the other."""
        return "".join(self.tokens[int(i)] for i in ids)

    def _tokenizer(self) -> Any:
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(dict(self.index), unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(ANY_CHARACTER), "isolated")
        tokenizer.decoder = decoders.Fuse()
        if self.settings.lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        return tokenizer
