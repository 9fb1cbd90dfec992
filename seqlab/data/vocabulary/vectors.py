"""Pretrained word vectors from a text file."""

import gzip
import logging
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.paths import expand_paths
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

Vectors = dict[str, NDArray[np.float32]]


def read_vectors(path: str | Path, words: Collection[str], size: int | None = None) -> Vectors:
    """Reads the vectors of some words from a file in GloVe's text format (Pennington et al. 2014), plain or gzip.

    Each line has a word and its numbers, with spaces between them. A first line of two whole numbers, which word2vec
    writes, is skipped. If a word comes twice, its first vector counts. Vectors of other words are not kept.

    Args:
        path: the file.
        words: the words.
        size: the size of each vector; None: that of the first one.

    Returns:
        The vector of each word that has one, ``(size,)`` float32.

    Raises:
        InputError: the file is missing, broken or empty, or a line has more or fewer numbers than ``size`` or one that
            is not finite; names file and line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "glove.txt"
        >>> _ = file.write_text("the 0.5 1.0\\nof 2.0 -1.0\\n")
        >>> read_vectors(file, {"of"})
        {'of': array([ 2., -1.], dtype=float32)}
    """
    file = expand_paths(path, "data.vectors")[0]
    vectors: Vectors = {}
    size_is_given, rows, repeats = size is not None, 0, 0
    for number, line in _lines(file):
        fields = line.split(" ")
        if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
            continue
        rows += 1
        size = len(fields) - 1 if size is None else size
        # A few words of published files contain spaces. But a number before the last ``size`` ones is one too many.
        word, values = " ".join(fields[:-size]), fields[-size:]
        if len(fields) <= size or size < 1 or any(map(_is_number, fields[1:-size])):
            raise InputError(_ragged(f"{file}:{number}", size, len(fields) - 1, size_is_given))
        if word not in words:
            continue
        if word in vectors:
            repeats += 1
            continue
        try:
            vector = np.array(values, dtype=np.float32)
        except ValueError as error:
            raise InputError(f"{file}:{number}: expected a word and {size} numbers, got {error}") from error
        if not np.isfinite(vector).all():
            raise InputError(f"{file}:{number}: a number of {word!r} is not finite")
        vectors[word] = vector
    if not rows:
        raise InputError(f"{file}:1: the file is empty; expected a word and its numbers in each line")
    log.info("%s: %d of %d words have a vector", file, len(vectors), len(words))
    if repeats:
        log.info("%s: further vectors of words that have one already are left out: %d", file, repeats)
    return vectors


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, one at a time: not every file fits into memory."""
    try:
        with open(file, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            for number, line in enumerate(gzip.GzipFile(fileobj=plain) if packed else plain, start=1):
                try:
                    text = line.decode("utf-8").rstrip("\r\n ")
                except UnicodeDecodeError as error:
                    raise InputError(f"{file}:{number}: byte 0x{line[error.start]:02x} is not utf-8") from error
                yield number, text
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{file} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ragged(place: str, size: int, received: int, size_is_given: bool) -> str:
    if size_is_given:
        return f"{place}: expected a word and {size} numbers, as model.embedding_size says, got {received}"
    return f"{place}: expected a word and {max(size, 1)} numbers as in the lines before, got {received}"
