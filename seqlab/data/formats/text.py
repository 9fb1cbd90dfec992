"""The text of files, plain or gzip."""

import codecs
import gzip
import logging
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from seqlab.data.core.pieces import Piece
from seqlab.data.formats.kinds import kind_of, seems_to_be
from seqlab.errors import InputError

_BLOCK = 1 << 20  # bytes read at once
_LONGEST_WORD = 1 << 24  # characters kept in memory while the end of a word is searched for
_GZIP_MAGIC = b"\x1f\x8b"
_MARK = "\ufeff"  # the byte order mark
_MARKS = {  # longer ones first, because UTF-32's mark begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_WIDE = {"utf-16": ("utf-16-le", "utf-16-be"), "utf-32": ("utf-32-le", "utf-32-be")}
_NEVER_MISREAD = ("utf", "ascii", "idna", "punycode")  # beginnings of encodings that do not accept other UTF-8 text

log = logging.getLogger("seqlab")


def read_documents(files: Sequence[Path], encoding: str) -> Iterator[Piece]:
    """The text of files in pieces, each file a document. Between two files there is a newline, added if need be.

    Args:
        files: the files, plain or gzip.
        encoding: their encoding.
    """
    last = "\n"
    for file in files:
        begins = True
        for text in read_text(file, encoding):
            if begins and last != "\n":
                yield "\n", False
            yield text, begins
            begins, last = False, text[-1]


def read_text(file: Path, encoding: str) -> Iterator[str]:
    """The text of a file in pieces that end before white space, so that no piece ends inside a word.

    A line ends in ``\\n`` or ``\\r\\n``. A lone ``\\r`` is a character, but ends a line in a file without any ``\\n``.
    Nothing else ends a line, neither a form feed nor Unicode's separators. All ends read as ``\\n``, and byte order
    marks are dropped. A run of more than 16 million characters without white space is cut.

    Args:
        file: the file, plain or gzip.
        encoding: its encoding, by Python's name.

    Raises:
        InputError: the file cannot be read, is binary, is broken gzip, or has another encoding.
    """
    pending = ""
    for text in _decoded(file, encoding):
        pending += text
        end = max(map(pending.rfind, " \n\t"))
        while end > 0 and pending[end - 1].isspace():
            end -= 1
        if end <= 0 and len(pending) > _LONGEST_WORD:
            end = len(pending)
        if end > 0:
            yield pending[:end]
            pending = pending[end:]
    if pending:
        yield pending


def read_lines(file: str | Path, encoding: str = "utf-8") -> list[str]:
    """The lines of a text file, without their ends; :func:`read_text` says what ends a line.

    Args:
        file: the file, plain or gzip.
        encoding: its encoding.

    Raises:
        InputError: the file cannot be read, is binary, is broken gzip, or has another encoding; names file and line.
    """
    lines = "".join(_decoded(Path(file), codec_name(encoding))).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def plain_text(text: str) -> str:
    """A text from elsewhere, such as a prompt, with its line ends and marks read like those of a file.

    Example:
        >>> plain_text("\\ufeffone\\r\\ntwo\\r")
        'one\\ntwo\\r'
    """
    return _lines_ended(text.removeprefix(_MARK), "\n" if "\n" in text else "\r")


def _lines_ended(text: str, newline: str) -> str:
    """The text with all line ends as ``\\n``, where ``newline`` is what ends the lines of the whole file."""
    return text.replace("\r\n", "\n") if newline == "\n" else text.replace("\r", "\n")


def codec_name(encoding: str) -> str:
    """Python's own name of an encoding, so that each encoding has one spelling.

    Raises:
        InputError: there is no such text encoding.
    """
    try:
        codec = codecs.lookup(encoding)
        if not codec._is_text_encoding:
            raise LookupError
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"data.encoding={encoding} is not an encoding that Python knows, such as utf-8") from error
    return codec.name


class _Lines:
    """Makes all line ends of a file ``\\n``, block by block. It counts lines and drops byte order marks.

    A mark at the beginning of a later line is left from joining two files.

    Attributes:
        num_lines: the number of whole lines so far.
        num_marks: the number of marks dropped, without one at the beginning of the file.
    """

    def __init__(self, file: Path, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._newline: str | None = None  # None until a line end has come
        self._pending = ""  # a \r at the end of a block: half a line end, or a character
        self._at_line_start = True
        self.num_lines = 0
        self.num_marks = 0

    def feed(self, text: str, final: bool) -> str:
        """Returns the next block's text; ``final`` is true for the last block."""
        text, self._pending = self._pending + text, ""
        if text.endswith("\r") and not final:
            text, self._pending = text[:-1], "\r"
        if self._newline is None and "\n" in text:
            self._newline = "\n"
        if self._newline is None and "\r" in text:
            self._newline = _newline_of(self._file, self._encoding)
        text = _lines_ended(text, self._newline) if self._newline else text
        begins = not self.num_lines and self._at_line_start
        if _MARK in text:
            whole = ("\n" if self._at_line_start else "") + text
            cleaned = whole.replace("\n" + _MARK, "\n")
            self.num_marks += (len(whole) - len(cleaned)) - (begins and text[0] == _MARK)
            text = cleaned[self._at_line_start :]
        self.num_lines += text.count("\n")
        if text:
            self._at_line_start = text[-1] == "\n"
        return text

    def line_of(self, text: str) -> int:
        """The line, from 1, in which ``text`` ends if it comes next."""
        return self.num_lines + 1 + _lines_ended(self._pending + text, self._newline or "\n").count("\n")


def _newline_of(file: Path, encoding: str) -> str:
    """What ends the lines of a file: ``\\n`` if there is one, else ``\\r``."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return "\n" if any("\n" in decoder.decode(block) for block in _blocks(file)) else "\r"


def _decoded(file: Path, encoding: str) -> Iterator[str]:
    """The text of a file, block by block, with all line ends as ``\\n``.

    Raises:
        InputError: see :func:`read_text`.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    wide = encoding.startswith(("utf-16", "utf-32"))
    lines = _Lines(file, encoding)
    position = 0
    for block in _blocks(file):
        if position == 0:
            _check_beginning(file, block, encoding)
            _warn_of_misreading(file, block, encoding)
        if not wide and b"\0" in block:
            at = block.index(b"\0")
            line = lines.line_of(block[:at].decode("latin-1"))
            raise InputError(f"{file}:{line}: a NUL byte, at offset {position + at}, {_nul_reason(block)}")
        num_pending = len(decoder.getstate()[0])  # bytes of a character that the next block completes
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise InputError(_undecodable(file, error, encoding, lines, position - num_pending)) from error
        for character, name in (("\0", "a NUL character"), ("\ufffe", "a byte order mark of the other byte order")):
            if wide and character in text:
                line = lines.line_of(text[: text.index(character)])
                raise InputError(f"{file}:{line}: {name}, so this is no text in {encoding}; name its encoding")
        if wide and position == 0 and _other_order(text):
            mend = encoding[:-2] + {"le": "be", "be": "le"}.get(encoding[-2:], encoding[-2:])
            raise InputError(f"{file}:1: this looks like text in the other byte order: give data.encoding={mend}")
        position += len(block)
        if text := lines.feed(text, final=not block):
            yield text
    if lines.num_marks:
        log.warning("%s: byte order marks at the beginning of later lines are left out: %d", file, lines.num_marks)


def _other_order(text: str) -> bool:
    """Whether the lower byte of most characters is 0, as in Latin text that is read in the other byte order."""
    return 2 * sum(not ord(one) & 0xFF for one in text if one != "\0") > len(text)


def _undecodable(file: Path, error: UnicodeError, encoding: str, lines: _Lines, position: int) -> str:
    """The message of a decoder's error.

    Args:
        file: the file.
        error: the error.
        encoding: the file's encoding, by its options.
        lines: the lines before.
        position: the offset in the file, in bytes, of what the decoder read.
    """
    if not isinstance(error, UnicodeDecodeError):
        return f"{file} is not {encoding}: {error}"
    line = lines.line_of(error.object[: error.start].decode(encoding, "replace"))
    return (
        f"{file}:{line}: byte 0x{error.object[error.start]:02x} is not {encoding}; name the file's encoding, such as "
        f"data.encoding=latin-1 (the byte's offset is {position + error.start})"
    )


def _check_beginning(file: Path, block: bytes, encoding: str) -> None:
    """Refuses a file whose first bytes show another encoding, or a packed file."""
    if (kind := kind_of(block)) is not None:
        raise InputError(f"{file} is {kind.name}: {kind.mend}")
    for mark, name in _MARKS.items():
        if block.startswith(mark):
            if not encoding.startswith(name):
                raise InputError(f"{file} begins with the byte order mark of {name}: give data.encoding={name}")
            return
    if encoding in _WIDE and block:  # Python's own decoder refuses it too, but names no mend
        names = _byte_order(block, encoding) if b"\0" in block else ("utf-8", *_WIDE[encoding])
        ways = " or ".join(f"data.encoding={name}" for name in names)
        raise InputError(f"{file} has no byte order mark, which {encoding} needs: give {ways}")


def _byte_order(block: bytes, encoding: str) -> tuple[str, ...]:
    """The encodings without a byte order mark that the text may have: a single one if most of the text is Latin."""
    width = 4 if encoding == "utf-32" else 2
    little, big = (block[at::width].count(0) for at in (width - 1, 0))
    names, most = _WIDE[encoding], max(little, big)
    if width == 4 and 3 * block.count(0) < 2 * len(block):
        return names
    return names[little < big :][:1] if 2 * most > len(block) // width and 2 * min(little, big) < most else names


def _nul_reason(block: bytes) -> str:
    """What a NUL byte shows about a file, and the mend."""
    for encoding in ("utf-32", "utf-16"):
        if len(names := _byte_order(block, encoding)) == 1:
            return f"so this is no text in one byte a character: is it {names[0]}? Then give data.encoding={names[0]}"
    return "so this is binary, or broken: give a file of text, or take the byte out"


def _warn_of_misreading(file: Path, block: bytes, encoding: str) -> None:
    """Warns of UTF-8 text that is read in an encoding of one byte a character, which accepts any bytes."""
    if block.isascii() or encoding.startswith(_NEVER_MISREAD):
        return
    try:
        num_characters = len(codecs.getincrementaldecoder("utf-8")().decode(block))
    except UnicodeDecodeError:
        return
    if num_characters < len(codecs.getincrementaldecoder(encoding)("replace").decode(block)):
        log.warning("%s is valid utf-8 with letters beyond ASCII, and is read as %s: is that right?", file, encoding)


def _blocks(file: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked, in blocks; the last one is empty."""
    try:
        with open(file, "rb") as plain:
            beginning = plain.read(2)
            packed = file.suffix == ".gz" or beginning == _GZIP_MAGIC
            if packed and not beginning:
                raise EOFError("it is empty")
            plain.seek(0)
            stream: BinaryIO = gzip.GzipFile(fileobj=plain) if packed else plain  # type: ignore[assignment]
            while block := stream.read(_BLOCK):
                yield block
            yield b""
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        is_gzip = beginning in (_GZIP_MAGIC, b"")
        reason = str(error) if is_gzip else f"{seems_to_be(file) or error}"
        raise InputError(f"{file} is not a whole gzip file: {reason}") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
