"""Where a vocabulary comes from, whatever the data: from training texts, or from a file."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, load_vocabulary, lower
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.data.vocabulary.subwords import SubwordVocabulary
from seqlab.data.vocabulary.words import WordVocabulary
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


def vocabulary_of(texts: Iterable[str], settings: TokenizerSettings, max_length: int | None = None) -> Vocabulary:
    """The vocabulary of training texts. Words and characters always have an ``<unk>``, because a model reads any text.

    Args:
        texts: the texts of the training split.
        settings: how they are split into tokens, and which tokens are kept.
        max_length: how many tokens training reads of a text; those behind them do not count, for nothing would be
            learned of them. Subwords are learned from whole texts, because their places follow from the vocabulary.

    Example:
        >>> vocabulary_of(["a b", "b c"], TokenizerSettings("word", max_vocab_size=2)).tokens
        ('b', '<unk>')
    """
    if settings.unit == "subword":
        return SubwordVocabulary.build(texts, settings)
    kind, splitter = _kind_of(settings), splitter_of(settings)
    assert splitter is not None
    if max_length is None:
        counts = splitter.count(texts)
    else:
        counts = Counter(token for text in texts for token in splitter.pieces(text)[:max_length])
    return kind.build(counts, settings, elsewhere=[UNKNOWN])


def splitter_of(settings: TokenizerSettings) -> WordVocabulary | CharacterVocabulary | None:
    """An empty vocabulary, which splits texts into tokens; None for subwords, which follow from the training texts.

    Example:
        >>> splitter_of(TokenizerSettings("word")).pieces("to be or not")
        ['to', 'be', 'or', 'not']
    """
    return None if settings.unit == "subword" else _kind_of(settings)([], settings)


def reading_of(settings: TokenizerSettings, max_length: int | None = None) -> Callable[[str], str]:
    """A function that gives a text as it is read: texts with equal results are one to a model.

    Args:
        settings: how texts are split into tokens.
        max_length: how many tokens are read of a text; None: all. Of subwords, which follow from the training texts,
            it is not taken into account.

    Example:
        >>> reading = reading_of(TokenizerSettings("word", lowercase=True, punctuation=True), max_length=3)
        >>> reading("So good! Really"), reading("so  GOOD !")
        ('so good !', 'so good !')
    """
    splitter = splitter_of(settings)
    if splitter is None:
        return lower if settings.lowercase else str
    between = " " if settings.unit == "word" else ""
    return lambda text: between.join(splitter.pieces(text)[:max_length])


def _kind_of(settings: TokenizerSettings) -> type[WordVocabulary] | type[CharacterVocabulary]:
    return WordVocabulary if settings.unit == "word" else CharacterVocabulary


def saved_vocabulary(path: str | Path, settings: TokenizerSettings) -> Vocabulary:
    """Reads a saved vocabulary and checks that it was made with the same options.

    A log line says that ``max_vocab_size`` and ``min_frequency`` have no effect on it, where they are given.

    Args:
        path: ``tokenizer.json``, or the folder that holds it.
        settings: the options.

    Raises:
        InputError: the file is missing, or was made with other options.
    """
    vocabulary = load_vocabulary(path)
    if settings.max_vocab_size is not None or (settings.min_frequency or 1) > 1:
        log.info("data.max_vocab_size and data.min_frequency chose no tokens: the vocabulary is a saved one")
    for name in ("unit", "lowercase", "punctuation", "end_of_line"):
        option, saved = getattr(settings, name), getattr(vocabulary.settings, name)
        if option != saved:
            raise InputError(
                f"data.{name} is {option} but the vocabulary {path} was made with {saved}: "
                f"give data.{name}={'null' if saved is None else saved}"
            )
    return vocabulary
