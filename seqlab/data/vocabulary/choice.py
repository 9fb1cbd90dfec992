"""Where a vocabulary comes from: of the texts of examples, or a saved one, whatever the data."""

from collections.abc import Iterable
from pathlib import Path

from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, load_vocabulary
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.data.vocabulary.subwords import SubwordVocabulary
from seqlab.data.vocabulary.words import WordVocabulary
from seqlab.errors import InputError


def vocabulary_of(texts: Iterable[str], settings: TokenizerSettings) -> Vocabulary:
    """The vocabulary of training texts. Words and characters have an ``<unk>``, for any text may be asked about.

    Args:
        texts: of the training split.
        settings: how they are split into tokens, and which of these are kept.

    Example:
        >>> vocabulary_of(["a b", "b c"], TokenizerSettings("word", max_vocab_size=2)).tokens
        ('b', '<unk>')
    """
    if settings.unit == "subword":
        return SubwordVocabulary.build(texts, settings)
    kind = WordVocabulary if settings.unit == "word" else CharacterVocabulary
    return kind.build(kind([], settings).count(texts), settings, elsewhere=[UNKNOWN])


def saved_vocabulary(path: str | Path, settings: TokenizerSettings) -> Vocabulary:
    """A saved vocabulary, checked against the options that it settles.

    Args:
        path: ``tokenizer.json``, or the folder that holds it.
        settings: the options.

    Raises:
        InputError: it is missing, or was made with other options.
    """
    vocabulary = load_vocabulary(path)
    for name in ("unit", "lowercase", "punctuation", "end_of_line"):
        option, saved = getattr(settings, name), getattr(vocabulary.settings, name)
        if option != saved:
            raise InputError(
                f"data.{name} is {option} but the vocabulary {path} was made with {saved}: "
                f"give data.{name}={'null' if saved is None else saved}"
            )
    return vocabulary
