"""Vocabularies: text to token ids and back, by character, word or subword, with one interface and one format."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seqlab.errors import InputError
from seqlab.files import write_atomically

UNKNOWN = "<unk>"
UNITS = ("character", "word", "subword")
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class TokenizerSettings:
    """How text is split into tokens, and which tokens a vocabulary keeps.

    Args:
        unit: "character", "word" or "subword" (byte-level BPE, Sennrich et al. 2016).
        max_vocab_size: the most tokens to keep, ``<unk>`` included; the commonest are kept. None: all (8,000 subwords).
        min_frequency: the least number of times that a token (of subwords: a merge) occurs in training; rarer ones are
            left out. None: 2 for words, so that ``<unk>`` occurs in training, else 1.
        lowercase: whether text is read in lower case.
        punctuation: for words, whether each punctuation mark is a token of its own. Otherwise a word is what stands
            between white space.
        end_of_line: for words, the token that replaces a newline; None: a newline separates words like a space.

    Raises:
        InputError: the unit is unknown, a number is too small, or an option is not for the unit.
    """

    unit: str = "character"
    max_vocab_size: int | None = None
    min_frequency: int | None = 1
    lowercase: bool = False
    punctuation: bool = False
    end_of_line: str | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise InputError(f"data.unit={self.unit!r} is not a unit: choose one of {', '.join(UNITS)}")
        if self.max_vocab_size is not None and self.max_vocab_size < 2:
            raise InputError(f"data.max_vocab_size={self.max_vocab_size} is too small: give 2 or more, or null for all")
        if self.least < 1:
            raise InputError(f"data.min_frequency={self.min_frequency} must be 1 or more")
        if self.unit != "word" and (self.punctuation or self.end_of_line is not None):
            option = "punctuation" if self.punctuation else "end_of_line"
            raise InputError(f"data.{option} is for data.unit=word alone, and data.unit is {self.unit}")
        if self.end_of_line is not None and (not self.end_of_line or self.end_of_line.split() != [self.end_of_line]):
            raise InputError(f"data.end_of_line={self.end_of_line!r} must be one word without spaces, such as <eos>")

    @property
    def least(self) -> int:
        """The least number of times that a token occurs in training to be kept."""
        if self.min_frequency is not None:
            return self.min_frequency
        return 2 if self.unit == "word" else 1


def lower(text: str) -> str:
    """``str.lower`` letter by letter, as in `tokenizers`. A final sigma would depend on where a piece of text ends."""
    return text.replace("\u03a3", "\u03c3").lower()


def storage_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest unsigned integer type that holds every id."""
    return np.dtype(np.uint8 if vocab_size <= 1 << 8 else np.uint16 if vocab_size <= 1 << 16 else np.uint32)


class Vocabulary(ABC):
    """Maps text to ids and back. Ids run from 0 in the order of ``tokens``.

    ``<unk>`` stands for tokens that the vocabulary lacks. A vocabulary has it only if some text needs it.

    Args:
        tokens: the tokens in the order of their ids.
        settings: how text is split into tokens.

    Attributes:
        unit: "character", "word" or "subword".
        tokens: the tokens in the order of their ids.
        settings: how text is split into tokens.
        index: the id of each token.
        unknown_id: the id of ``<unk>``; None where there is none.
        dtype: the smallest unsigned integer type that holds every id.
    """

    unit: ClassVar[str]

    def __init__(self, tokens: Sequence[str], settings: TokenizerSettings) -> None:
        self.tokens = tuple(tokens)
        self.settings = settings
        self.index = {token: i for i, token in enumerate(self.tokens)}
        self.unknown_id = self.index.get(UNKNOWN)
        self.dtype = storage_dtype(len(self.tokens))

    def __len__(self) -> int:
        return len(self.tokens)

    @abstractmethod
    def _lookup(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The ids of all texts in one array, -1 for a token that is missing, and each text's number of tokens."""

    @abstractmethod
    def pieces(self, text: str) -> list[str]:
        """The tokens of a text as strings, whether or not the vocabulary has them."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids."""

    @abstractmethod
    def spelled(self, text: str) -> str:
        """A text as :meth:`decode` writes it, with the tokens that the vocabulary lacks as they stand."""

    @abstractmethod
    def _tokenizer(self) -> Any:
        """The same mapping as a ``tokenizers.Tokenizer``."""

    def encode_many(self, texts: Sequence[str], name: str = "the text") -> tuple[NDArray[Any], NDArray[Any]]:
        """The ids of several texts.

        Args:
            texts: the texts.
            name: what they are, for messages.

        Returns:
            The ids of all texts one after the other, ``(total,)`` of type ``dtype``, and the number of tokens of each
            text, ``(N,)``.

        Raises:
            InputError: a text has tokens that the vocabulary lacks, and there is no ``<unk>``; names them.
        """
        ids, counts = self._lookup(texts)
        if ids.size and ids.min() < 0:
            if self.unknown_id is None:
                raise InputError(self._missing(texts, name))
            ids = np.where(ids < 0, self.unknown_id, ids)
        return ids.astype(self.dtype, copy=False), counts

    def encode(self, text: str, name: str = "the prompt") -> NDArray[np.int64]:
        """The ids of a text, ``(N,)`` int64. A token that the vocabulary lacks reads as ``<unk>``.

        Args:
            text: the text.
            name: what the text is, for messages.

        Raises:
            InputError: the text has tokens that the vocabulary lacks, and there is no ``<unk>``; names them.
        """
        return self.encode_many([text], name)[0].astype(np.int64)

    def unknown(self, text: str) -> list[str]:
        """The different tokens of a text that the vocabulary lacks, in the text's order."""
        return [token for token in dict.fromkeys(self.pieces(text)) if token not in self.index]

    def _missing(self, texts: Sequence[str], name: str) -> str:
        """Which tokens of the texts the vocabulary lacks, and how to get one with ``<unk>``."""
        missing = list(dict.fromkeys(token for text in texts for token in self.unknown(text)))
        shown = ", ".join(map(repr, missing[:10])) + (", ..." if len(missing) > 10 else "")
        mends = [f"data.max_vocab_size={len(self) - 1}"] if len(self) > 2 else []  # one token has to make room
        mend = f"leave them out, or train with {' or '.join([*mends, 'data.min_frequency=2'])}, so that they read as"
        return f"{name} has {self.unit}s the vocabulary lacks: {shown}; {mend} {UNKNOWN}"

    def save(self, path: str | Path) -> Path:
        """Writes the vocabulary in the format of `tokenizers`.

        Args:
            path: the file, or a folder, in which it is ``tokenizer.json``.

        Returns:
            The file.
        """
        target = Path(path)
        target = target / TOKENIZER_FILE if target.is_dir() else target
        write_atomically(target, self._tokenizer().to_str(pretty=False).encode())
        return target


def choose_tokens(
    counts: Mapping[str, int], settings: TokenizerSettings, elsewhere: Iterable[str] = ()
) -> tuple[list[str], bool]:
    """The tokens to keep, commonest first (ties by code point), and whether ``<unk>`` was added to them.

    ``<unk>`` is added as the last token if a token is left out, or if another split has a token that training lacks. It
    is not added otherwise, so that a closed vocabulary stays closed.

    Args:
        counts: how often each token occurs in training.
        settings: ``max_vocab_size`` and ``min_frequency`` limit the tokens.
        elsewhere: the tokens of the other splits.

    Example:
        >>> choose_tokens({"a": 3, "b": 1, "c": 2}, TokenizerSettings(max_vocab_size=2))
        (['a', '<unk>'], True)
        >>> choose_tokens({"a": 3, "b": 1}, TokenizerSettings(), elsewhere="ab")
        (['a', 'b'], False)
    """
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    tokens = [token for token in ranked if counts[token] >= settings.least][: settings.max_vocab_size]
    chosen = set(tokens)
    if UNKNOWN in chosen or (len(tokens) == len(ranked) and chosen.issuperset(elsewhere)):
        return tokens, False
    if settings.max_vocab_size is not None:
        tokens = tokens[: settings.max_vocab_size - 1]
    return [*tokens, UNKNOWN], True


def load_vocabulary(path: str | Path) -> Vocabulary:
    """Reads a vocabulary that :meth:`Vocabulary.save` wrote, or any other file of `tokenizers`, as subwords.

    Args:
        path: the file, or the folder that holds it as ``tokenizer.json``.

    Raises:
        InputError: there is no such file, or it is not a `tokenizers` file.
    """
    from seqlab.data.vocabulary.characters import CharacterVocabulary
    from seqlab.data.vocabulary.subwords import SubwordVocabulary
    from seqlab.data.vocabulary.words import WordVocabulary

    source = Path(path)
    source = source / TOKENIZER_FILE if source.is_dir() else source
    try:
        text = source.read_text(encoding="utf-8")
        config = json.loads(text)
        kind = config["model"]["type"]
    except OSError as error:
        raise InputError(f"no vocabulary at {source}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{source} is not a vocabulary in the tokenizers format (tokenizer.json)") from error
    if kind == "WordLevel" and WordVocabulary.wrote(config):
        return WordVocabulary.from_config(config)
    if kind == "WordLevel" and CharacterVocabulary.wrote(config):
        return CharacterVocabulary.from_config(config)
    return SubwordVocabulary.from_json(text)
