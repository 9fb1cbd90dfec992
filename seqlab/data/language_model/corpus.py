"""A source's text as token ids in files, and those files mapped into memory."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.pieces import Piece
from seqlab.data.core.summary import percent
from seqlab.data.language_model.sources import Source
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary, load_vocabulary
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.data.vocabulary.subwords import SubwordVocabulary
from seqlab.data.vocabulary.words import WordVocabulary
from seqlab.errors import InputError

log = logging.getLogger(__name__)

_FORMAT = 2  # part of the key: raise it when the files or the splitting change
_BATCH = 1 << 20  # characters encoded at once
_FACTS = "corpus.json"


class Corpus:
    """The three splits of a data set as token ids.

    Args:
        folder: the folder that :func:`write_corpus` wrote.
        mapped: whether the ids are mapped from disk; otherwise they are read into memory, and the folder may go.

    Attributes:
        vocabulary: the vocabulary of the ids.
        tokens: the ids of each split, ``(N,)`` unsigned integers.
        documents: the positions in each split at which documents begin, ``(D,)`` int64, ascending.
        num_characters: the number of characters of each split's text.
        num_unknown: the number of tokens of each split that read as ``<unk>``.
        digest: a digest of all ids and positions of documents.
    """

    def __init__(self, folder: Path, mapped: bool = True) -> None:
        self.vocabulary = load_vocabulary(folder)
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        self.num_characters: dict[str, int] = facts["characters"]
        self.num_unknown: dict[str, int] = facts["unknown"]
        self.digest: str = facts["digest"]
        ids, positions = self.vocabulary.dtype, np.dtype(np.int64)
        self.tokens = {split: _read(folder / f"{split}.tokens", ids, mapped) for split in SPLITS}
        self.documents = {split: _read(folder / f"{split}.documents", positions, mapped) for split in SPLITS}


def _read(file: Path, dtype: np.dtype[Any], mapped: bool) -> NDArray[Any]:
    return np.memmap(file, dtype=dtype, mode="r") if mapped else np.fromfile(file, dtype=dtype)


def corpus_key(source: Source, settings: TokenizerSettings, vocabulary_file: Path | None) -> str:
    """A name for a corpus: equal names mean that :func:`write_corpus` writes equal bytes.

    Args:
        source: gives the text.
        settings: how text is split into tokens.
        vocabulary_file: the file of a saved vocabulary; None: one is built.
    """
    digest = hashlib.blake2b(json.dumps([_FORMAT, asdict(settings), source.fingerprint()]).encode(), digest_size=16)
    if vocabulary_file is not None:
        digest.update(vocabulary_file.read_bytes())
    return digest.hexdigest()


def write_corpus(source: Source, settings: TokenizerSettings, vocabulary: Vocabulary | None, folder: Path) -> None:
    """Writes the tokens of a source into a folder, a megabyte of text at a time.

    Args:
        source: gives the text.
        settings: how text is split into tokens.
        vocabulary: a saved vocabulary; None: one is built from the training split.
        folder: receives the vocabulary, and for each split the ids and the positions of documents.

    Raises:
        InputError: a split has fewer than two tokens, or tokens that the saved vocabulary lacks.
    """
    if vocabulary is None:
        vocabulary = build_vocabulary(source, settings)
    digest = hashlib.blake2b(digest_size=16)
    counts = {split: _write_split(source, split, vocabulary, folder, digest) for split in SPLITS}
    vocabulary.save(folder)
    facts = {
        "characters": {split: characters for split, (characters, _) in counts.items()},
        "unknown": {split: unknown for split, (_, unknown) in counts.items()},
        "digest": digest.hexdigest(),
    }
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def build_vocabulary(source: Source, settings: TokenizerSettings) -> Vocabulary:
    """The vocabulary of a source's training split. The other splits decide only whether it has an ``<unk>``.

    Args:
        source: gives the text.
        settings: how text is split into tokens, and which tokens are kept.
    """
    if settings.unit == "subword":
        return SubwordVocabulary.build((text for text, _ in source.read("train")), settings)
    kind = WordVocabulary if settings.unit == "word" else CharacterVocabulary
    splitter = kind([], settings)
    counts = {split: splitter.count(text for text, _ in source.read(split)) for split in SPLITS}
    elsewhere = counts["validation"].keys() | counts["test"].keys()
    vocabulary = kind.build(counts["train"], settings, elsewhere)
    for split in SPLITS:
        _log_unknown(vocabulary, split, counts[split])
    return vocabulary


def _log_unknown(vocabulary: Vocabulary, split: str, counts: Counter[str]) -> None:
    unknown = sorted(token for token in counts if token not in vocabulary.index)
    if not unknown:
        return
    share = sum(counts[token] for token in unknown) / counts.total()
    shown = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
    log.warning(
        "%s: %d different %ss (%s of the split) read as %s: %s",
        *(split, len(unknown), vocabulary.unit, percent(share), UNKNOWN, shown),
    )


def _write_split(
    source: Source, split: str, vocabulary: Vocabulary, folder: Path, digest: "hashlib.blake2b"
) -> tuple[int, int]:
    """Writes a split's ids and positions of documents. Returns its numbers of characters and of ``<unk>`` tokens."""
    num_tokens = num_characters = num_unknown = 0
    digest.update(f"|{split}|{vocabulary.dtype}|".encode())
    with open(folder / f"{split}.tokens", "wb") as tokens, open(folder / f"{split}.documents", "wb") as documents:
        for batch in _batches(source.read(split)):
            ids, counts = vocabulary.encode_many([text for text, _ in batch], f"the {split} split of {source}")
            begins = np.fromiter((begins for _, begins in batch), dtype=bool, count=len(batch))
            positions = num_tokens + np.cumsum(counts) - counts
            ids.tofile(tokens)
            starts = positions[begins].astype(np.int64)
            starts.tofile(documents)
            digest.update(np.ascontiguousarray(ids).tobytes() + b"|" + starts.tobytes() + b"|")
            if vocabulary.unknown_id is not None:
                num_unknown += int((ids == vocabulary.unknown_id).sum())
            num_tokens += len(ids)
            num_characters += sum(len(text) for text, _ in batch)
    if num_tokens < 2:
        size = f"1 {vocabulary.unit}" if num_tokens else "empty"
        raise InputError(f"the {split} split of {source} is {size}: at least two tokens are needed to predict one")
    return num_characters, num_unknown


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces in lists of about a million characters, so that short documents are encoded together."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece[0])
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
