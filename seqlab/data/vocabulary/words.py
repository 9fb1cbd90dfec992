"""Words as tokens."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, choose_tokens, lower

if TYPE_CHECKING:
    import pyarrow as pa

WHITESPACE = r"\s\x1c-\x1f"  # Python's and Arrow's; `tokenizers` leaves out the four separators
NEWLINE = "\n"
_CLOSING = frozenset(",.;:!?)]}%\u2019\u201d\u2026\u00bb\u3002\u3001")
_OPENING = frozenset("([{$\u201c\u2018\u00ab\u00a3\u20ac")
_JOINING = frozenset("\u2014\u2013/")


@cache
def punctuation_class() -> str:
    """All punctuation marks and symbols, as the inside of a regular expression's character class.

    They are spelt out, because Python has no ``\\p{P}``, and its Unicode tables are not of the age of `tokenizers`'.
    """
    codes = [code for code in range(0x110000) if unicodedata.category(chr(code))[0] in "PS"]
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    spell = [re.escape(chr(first)) + ("-" + re.escape(chr(last)) if last > first else "") for first, last in runs]
    return "".join(spell)


def word_pattern(end_of_line: str | None) -> str:
    """A regular expression of a word with its inner apostrophes and hyphens, a punctuation mark, or the end of a line.

    Args:
        end_of_line: the token at the end of a line; None: there is none.
    """
    marks = punctuation_class()
    letters = f"[^{WHITESPACE}{marks}]+"
    pattern = f"{letters}(?:['\u2019\\-]{letters})*|[{marks}]"
    return pattern if end_of_line is None else f"{re.escape(end_of_line)}|{pattern}"


class WordVocabulary(Vocabulary):
    """Words as tokens, commonest first, ties by code point.

    Args:
        tokens: the words in the order of their ids.
        settings: how text is split into words; None: at white space.

    Example:
        >>> settings = TokenizerSettings("word", end_of_line="<eos>")
        >>> vocabulary = WordVocabulary(["the", "cat", "<eos>", "<unk>"], settings)
        >>> vocabulary.encode("the cat\\nthe dog\\n").tolist()
        [0, 1, 2, 0, 3, 2]
        >>> vocabulary.unknown("the dog")
        ['dog']
        >>> vocabulary.decode([0, 1, 2, 0, 3])
        'the cat\\nthe <unk>'
    """

    unit = "word"

    def __init__(self, tokens: Sequence[str], settings: TokenizerSettings | None = None) -> None:
        super().__init__(tokens, settings or TokenizerSettings("word"))
        self._pattern = re.compile(word_pattern(self.settings.end_of_line)) if self.settings.punctuation else None

    @classmethod
    def build(
        cls, counts: Mapping[str, int], settings: TokenizerSettings, elsewhere: Iterable[str] = ()
    ) -> "WordVocabulary":
        """Chooses the words to keep; see :func:`~seqlab.data.vocabulary.base.choose_tokens`.

        Args:
            counts: how often each word occurs in training.
            settings: how text is split into words, and how many are kept.
            elsewhere: the words of the other splits.
        """
        return cls(choose_tokens(counts, settings, elsewhere)[0], settings)

    @staticmethod
    def wrote(config: dict[str, Any]) -> bool:
        """Whether a parsed word-level ``tokenizer.json`` splits into words, not characters."""
        return bool((config.get("pre_tokenizer") or {}).get("behavior") == "Removed")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WordVocabulary":
        """The vocabulary of a parsed ``tokenizer.json``, whose normalizer and splitter hold the settings."""
        steps = (config["normalizer"] or {"normalizers": []})["normalizers"]
        replaced = [step["content"].strip() for step in steps if step["type"] == "Replace"]
        settings = TokenizerSettings(
            "word",
            lowercase=any(step["type"] == "Lowercase" for step in steps),
            punctuation=config["pre_tokenizer"]["invert"],
            end_of_line=replaced[0] if replaced else None,
        )
        ids: dict[str, int] = config["model"]["vocab"]
        return cls(sorted(ids, key=ids.__getitem__), settings)

    def _normalize(self, text: str) -> str:
        text = lower(text) if self.settings.lowercase else text
        return text if self.settings.end_of_line is None else text.replace(NEWLINE, f" {self.settings.end_of_line} ")

    def pieces(self, text: str) -> list[str]:
        """The words of a text, and with ``punctuation`` its marks."""
        text = self._normalize(text)
        return text.split() if self._pattern is None else self._pattern.findall(text)

    def _split(self, texts: Sequence[str]) -> tuple["pa.Array", NDArray[Any]]:
        """All words of all texts in one Arrow array, and the number of words of each text."""
        import pyarrow as pa  # here, because a vocabulary of characters does not need it
        import pyarrow.compute as pc

        if self._pattern is not None:
            pieces = [self.pieces(text) for text in texts]
            words = pa.array([word for piece in pieces for word in piece], type=pa.large_string())
            return words, np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
        trimmed = pc.utf8_trim_whitespace(pa.array([self._normalize(text) for text in texts], type=pa.large_string()))
        lists = pc.utf8_split_whitespace(trimmed)
        counts = pc.list_value_length(lists).to_numpy().astype(np.int64)
        words = lists.flatten()
        blank = pc.equal(trimmed, "").to_numpy(zero_copy_only=False)
        if blank.any():  # Arrow splits an empty text into one empty word
            counts[blank] = 0
            words = words.filter(pc.not_equal(words, ""))
        return words, counts

    def count(self, texts: Iterable[str]) -> Counter[str]:
        """How often each word occurs."""
        counts: Counter[str] = Counter()
        for text in texts:
            frequencies = self._split([text])[0].value_counts()
            counts.update(dict(zip(frequencies.field(0).to_pylist(), frequencies.field(1).to_pylist(), strict=True)))
        return counts

    def _lookup(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        words, counts = self._split(texts)
        encoded = words.dictionary_encode()  # so that Python looks up each different word once
        distinct = encoded.dictionary.to_pylist()
        ids = np.fromiter((self.index.get(word, -1) for word in distinct), dtype=np.int32, count=len(distinct))
        return ids[encoded.indices.to_numpy()], counts

    def decode(self, ids: Iterable[int]) -> str:
        """The words joined by spaces; end-of-line tokens become newlines, and with ``punctuation`` marks join words."""
        return self._joined([self.tokens[int(i)] for i in ids])

    def spelled(self, text: str) -> str:
        """A text as :meth:`decode` writes it, with the words that the vocabulary lacks as they stand.

        Example:
            >>> vocabulary = WordVocabulary(["the", "<unk>"], TokenizerSettings("word", lowercase=True))
            >>> vocabulary.spelled("The  Dog"), vocabulary.decode(vocabulary.encode("The  Dog"))
            ('the dog', 'the <unk>')
        """
        return self._joined(self.pieces(text))

    def _joined(self, tokens: Iterable[str]) -> str:
        words = [NEWLINE if token == self.settings.end_of_line else token for token in tokens]
        text, glue, quoted = [], True, False
        for word in words:
            marks = self.settings.punctuation
            closes_quote = marks and word == '"' and quoted
            left = word == NEWLINE or (marks and (word in _CLOSING or word in _JOINING or closes_quote))
            text.append(word if glue or left else " " + word)
            if marks and word == '"':
                quoted = not quoted
            glue = word == NEWLINE or (marks and (word in _OPENING or word in _JOINING or (word == '"' and quoted)))
        return "".join(text)

    def _tokenizer(self) -> Any:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

        settings = self.settings
        tokenizer = Tokenizer(models.WordLevel(dict(self.index), unk_token=UNKNOWN))
        pattern = word_pattern(settings.end_of_line) if settings.punctuation else f"[{WHITESPACE}]+"
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=settings.punctuation)
        steps: list[Any] = [normalizers.Lowercase()] if settings.lowercase else []
        if settings.end_of_line is not None:
            steps.append(normalizers.Replace(NEWLINE, f" {settings.end_of_line} "))
        if steps:
            tokenizer.normalizer = normalizers.Sequence(steps)
        return tokenizer
