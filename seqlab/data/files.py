"""Text from the user's own files, plain or gzip."""

import codecs
import glob
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from seqlab.data.sources import DEFAULT_SPLIT, Piece, check_fractions, cut_text, positions_of_splits
from seqlab.errors import InputError

_BLOCK = 1 << 20  # bytes read at once
_LONGEST_WORD = 1 << 24  # characters held while looking for the end of a word
_GZIP_MAGIC = b"\x1f\x8b"

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class TextFiles:
    """Plain or gzip text files: one text that is split by position, or three texts.

    Each file is a document. A newline is put between two files where the first does not end in one. ``\\r\\n`` and
    ``\\r`` read as ``\\n``; a byte order mark is dropped.

    Args:
        path: a file, a pattern such as ``texts/*.txt``, or a list of these, to be split by position at line ends.
        train: the same for the training split; then ``validation`` and ``test`` are needed too.
        validation: the same for the validation split.
        test: the same for the test split.
        split: shares of train, validation and test when ``path`` is given.
        encoding: the files' encoding.

    Raises:
        InputError: both or neither of ``path`` and the three are given, a file is missing, or an option is wrong.
    """

    cached = True

    def __init__(
        self,
        path: Paths | None = None,
        train: Paths | None = None,
        validation: Paths | None = None,
        test: Paths | None = None,
        split: Sequence[float] = DEFAULT_SPLIT,
        encoding: str = "utf-8",
    ) -> None:
        three = {"train": train, "validation": validation, "test": test}
        given = [f"data.{name}" for name, value in three.items() if value]
        if path and given:
            raise InputError(f"data.path and {', '.join(given)} are both given: give data.path, or the three splits")
        if not path and len(given) < 3:
            missing = ", ".join(f"data.{name}" for name, value in three.items() if not value)
            lack = f"{missing} missing beside {', '.join(given)}" if given else "no text is given"
            raise InputError(f"{lack}: give data.path=FILE, or all of data.train=, data.validation= and data.test=")
        self._fractions = check_fractions(split)
        self._encoding = _codec_name(encoding)
        named = {"path": path} if path else three
        self._files = {name: expand_paths(value, f"data.{name}") for name, value in named.items() if value}
        self._positions: dict[str, tuple[int, int]] | None = None

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def fingerprint(self) -> str:
        """A digest of the bytes of all files, of which file is what, and of encoding and cuts."""
        digest = hashlib.blake2b(repr((self._encoding, self._fractions)).encode(), digest_size=16)
        for name, files in self._files.items():
            for file in files:
                digest.update(f"|{name}|{file.stat().st_size}|".encode())
                with open(file, "rb") as stream:
                    while block := stream.read(_BLOCK):
                        digest.update(block)
        return digest.hexdigest()

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


def expand_paths(paths: Paths, option: str) -> list[Path]:
    """The files that a path, a pattern or a list of these names, patterns in sorted order.

    Raises:
        InputError: a file is missing, or nothing matches a pattern.
    """
    found: list[Path] = []
    for item in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        path = Path(item).expanduser()
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            raise InputError(f"{option}={item} is a folder: name its files, such as {os.path.join(item, '*.txt')}")
        elif matches := sorted(glob.glob(str(path), recursive=True)):
            found += [Path(match) for match in matches if os.path.isfile(match)]
        else:
            raise InputError(f"{option}={item}: there is no such file, seen from {Path.cwd()}")
    return found


def files_of_splits(
    what: str, path: Paths | None, train: Paths | None, validation: Paths | None, test: Paths | None
) -> dict[str, list[Path]]:
    """The files of "path", which are still to be cut, or of each of the three splits.

    Raises:
        InputError: both or neither of ``path`` and the three are given, or a file is missing; says ``what`` they hold.
    """
    three = {"train": train, "validation": validation, "test": test}
    given = [f"data.{name}" for name, value in three.items() if value]
    if bool(path) == bool(given) or (given and len(given) < 3):
        raise InputError(
            f"{what}: {' and '.join([*(['data.path'] if path else []), *given]) or 'no file'} given; "
            "give data.path=FILE, or all of data.train=, data.validation= and data.test=, or data.hub=NAME"
        )
    named = {"path": path} if path else three
    return {name: expand_paths(value, f"data.{name}") for name, value in named.items() if value}


def read_documents(files: Sequence[Path], encoding: str) -> Iterator[Piece]:
    """The files' pieces; a document that does not end in a newline gets one before the next."""
    last = "\n"
    for file in files:
        begins = True
        for text in read_text(file, encoding):
            if begins and last != "\n":
                yield "\n", False
            yield text, begins
            begins, last = False, text[-1]


def read_text(file: Path, encoding: str) -> Iterator[str]:
    """A file's text in pieces that end before whitespace, so that no piece ends inside a word.

    A run of more than 16 million characters without whitespace is cut all the same.

    Raises:
        InputError: the file cannot be read, is binary, is broken gzip, or is in another encoding.
    """
    held = ""
    for text in _decoded(file, encoding):
        held += text
        end = max(map(held.rfind, " \n\t"))
        while end > 0 and held[end - 1].isspace():
            end -= 1
        if end <= 0 and len(held) > _LONGEST_WORD:
            end = len(held)
        if end > 0:
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def _codec_name(encoding: str) -> str:
    """Python's own name of an encoding, so that each has one spelling."""
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise InputError(f"data.encoding={encoding} is not an encoding that Python knows, such as utf-8") from error


def _decoded(file: Path, encoding: str) -> Iterator[str]:
    """A file's text block by block, newlines made one kind, with what is wrong in the file as one line."""
    decoder = codecs.getincrementaldecoder(encoding)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    position = 0
    for block in _blocks(file):
        if position == 0 and encoding == "utf-8" and block.startswith(codecs.BOM_UTF8):
            position, block = len(codecs.BOM_UTF8), block[len(codecs.BOM_UTF8) :]
        if b"\0" in block and not encoding.startswith(("utf-16", "utf-32")):
            at = position + block.index(b"\0")
            raise InputError(f"{file} is binary, not text: NUL byte at offset {at} (UTF-16? data.encoding=utf-16)")
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            at = position - held + error.start
            raise InputError(
                f"{file} is not {encoding}: byte 0x{error.object[error.start]:02x} at offset {at}; "
                "name its encoding, such as data.encoding=latin-1"
            ) from error
        position += len(block)
        if text := newlines.decode(text, final=not block):
            yield text


def _blocks(file: Path) -> Iterator[bytes]:
    """A file's bytes, unpacked, and an empty block at its end."""
    try:
        with open(file, "rb") as plain:
            packed = file.suffix == ".gz" or plain.read(2) == _GZIP_MAGIC
            plain.seek(0)
            stream: BinaryIO = gzip.GzipFile(fileobj=plain) if packed else plain  # type: ignore[assignment]
            while block := stream.read(_BLOCK):
                yield block
            yield b""
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{file} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
