"""Text from the user's own files, plain or gzip."""

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
_LONGEST_WORD = 1 << 24  # characters held while looking for the end of a word
_GZIP_MAGIC = b"\x1f\x8b"
_MARK = "\ufeff"
_MARKS = {  # the longer first: UTF-32's begins as UTF-16's does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_WIDE = {"utf-16": ("utf-16-le", "utf-16-be"), "utf-32": ("utf-32-le", "utf-32-be")}
_ONE_BYTE = ("utf", "ascii", "idna", "punycode")  # how encodings begin of which UTF-8 is never misread as one

log = logging.getLogger("seqlab")


def read_documents(files: Sequence[Path], encoding: str) -> Iterator[Piece]:
    """The files' pieces; a document that does not end in a newline gets one before the next.

    Args:
        files: plain or gzip.
        encoding: of all of them.
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
    """A file's text in pieces that end before whitespace, so that no piece ends inside a word.

    Lines end in ``\\n`` or ``\\r\\n``, and a lone ``\\r`` is a character; in a file without any ``\\n`` it ends a line.
    Nothing else does, neither a form feed nor Unicode's separators. Ends read as ``\\n``; byte order marks are dropped.
    A run of more than 16 million characters without whitespace is cut all the same.

    Args:
        file: plain or gzip.
        encoding: as Python names it.

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


def read_lines(file: str | Path, encoding: str = "utf-8") -> list[str]:
    """The lines of a text file, plain or gzip, without their ends; see :func:`read_text` for what ends a line.

    Args:
        file: plain or gzip.
        encoding: the file's encoding.

    Raises:
        InputError: the file cannot be read, is broken gzip, is binary or in another encoding; names file and line.
    """
    lines = "".join(_decoded(Path(file), codec_name(encoding))).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def plain_text(text: str) -> str:
    """A text that comes from elsewhere, such as a prompt, as a file of it would be read.

    Example:
        >>> plain_text("\\ufeffone\\r\\ntwo\\r")
        'one\\ntwo\\r'
    """
    return _lines_ended(text.removeprefix(_MARK), "\n" if "\n" in text else "\r")


def _lines_ended(text: str, newline: str) -> str:
    """The text with ``\\n`` at its lines' ends, where ``newline`` is what ends the lines of the whole."""
    return text.replace("\r\n", "\n") if newline == "\n" else text.replace("\r", "\n")


def codec_name(encoding: str) -> str:
    """Python's own name of an encoding, so that each has one spelling.

    Raises:
        InputError: there is no such encoding of text.
    """
    try:
        codec = codecs.lookup(encoding)
        if not codec._is_text_encoding:
            raise LookupError
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"data.encoding={encoding} is not an encoding that Python knows, such as utf-8") from error
    return codec.name


class _Lines:
    """Makes the line ends of a file's text one kind, block by block; counts lines and drops byte order marks.

    A mark at the beginning is one; a mark at the beginning of a later line is what joining two files left behind.
    """

    def __init__(self, file: Path, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._newline: str | None = None  # until a line end has been seen
        self._held = ""  # a \r at a block's end: half a line end, or a character
        self._at_line_start = True
        self.num_lines = 0  # whole ones
        self.num_marks = 0  # within the text

    def feed(self, text: str, final: bool) -> str:
        text, self._held = self._held + text, ""
        if text.endswith("\r") and not final:
            text, self._held = text[:-1], "\r"
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
        """The line, from 1, in which ``text`` would end, were it next."""
        return self.num_lines + 1 + _lines_ended(self._held + text, self._newline or "\n").count("\n")


def _newline_of(file: Path, encoding: str) -> str:
    """What ends a file's lines: ``\\n`` where there is one, else ``\\r``."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return "\n" if any("\n" in decoder.decode(block) for block in _blocks(file)) else "\r"


def _decoded(file: Path, encoding: str) -> Iterator[str]:
    """A file's text block by block, line ends made one kind, with what is wrong in the file as one line."""
    decoder = codecs.getincrementaldecoder(encoding)()
    wide = encoding.startswith(("utf-16", "utf-32"))
    lines = _Lines(file, encoding)
    position = 0
    for block in _blocks(file):
        if position == 0:
            _check_beginning(file, block, encoding)
            _tell_misread(file, block, encoding)
        if not wide and b"\0" in block:
            at = block.index(b"\0")
            line = lines.line_of(block[:at].decode("latin-1"))
            raise InputError(f"{file}:{line}: a NUL byte, at offset {position + at}, {_of_nul(block)}")
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise InputError(_undecodable(file, error, encoding, lines, position - held)) from error
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
    """Whether most of a text are characters of which the lower byte is 0, as Latin letters have it read backwards."""
    return 2 * sum(not ord(one) & 0xFF for one in text if one != "\0") > len(text)


def _undecodable(file: Path, error: UnicodeError, encoding: str, lines: _Lines, position: int) -> str:
    """What a decoder's error means, where the bytes that it was decoding begin at ``position``."""
    if not isinstance(error, UnicodeDecodeError):
        return f"{file} is not {encoding}: {error}"
    line = lines.line_of(error.object[: error.start].decode(encoding, "replace"))
    return (
        f"{file}:{line}: byte 0x{error.object[error.start]:02x} is not {encoding}; name the file's encoding, such as "
        f"data.encoding=latin-1 (the byte's offset is {position + error.start})"
    )


def _check_beginning(file: Path, block: bytes, encoding: str) -> None:
    """Refuses a file whose first bytes say that it is in another encoding, or packed."""
    if (kind := kind_of(block)) is not None:
        raise InputError(f"{file} is {kind.name}: {kind.mend}")
    for mark, name in _MARKS.items():
        if block.startswith(mark):
            if not encoding.startswith(name):
                raise InputError(f"{file} begins with the byte order mark of {name}: give data.encoding={name}")
            return
    if encoding in _WIDE and block:  # Python's own decoder refuses it too, without saying which to give
        names = _byte_order(block, encoding) if b"\0" in block else ("utf-8", *_WIDE[encoding])
        ways = " or ".join(f"data.encoding={name}" for name in names)
        raise InputError(f"{file} has no byte order mark, which {encoding} needs: give {ways}")


def _byte_order(block: bytes, encoding: str) -> tuple[str, ...]:
    """The encodings without a byte order mark that text of this one may be in: one, where most of it is Latin."""
    width = 4 if encoding == "utf-32" else 2
    little, big = (block[at::width].count(0) for at in (width - 1, 0))
    names, most = _WIDE[encoding], max(little, big)
    if width == 4 and 3 * block.count(0) < 2 * len(block):
        return names
    return names[little < big :][:1] if 2 * most > len(block) // width and 2 * min(little, big) < most else names


def _of_nul(block: bytes) -> str:
    """What a NUL byte in a file says of it."""
    for encoding in ("utf-32", "utf-16"):
        if len(names := _byte_order(block, encoding)) == 1:
            return f"so this is no text in one byte a character: is it {names[0]}? Then give data.encoding={names[0]}"
    return "so this is binary, or broken: give a file of text, or take the byte out"


def _tell_misread(file: Path, block: bytes, encoding: str) -> None:
    """Tells of UTF-8 that is read in an encoding of one byte a character, which takes any bytes."""
    if block.isascii() or encoding.startswith(_ONE_BYTE):
        return
    try:
        num_characters = len(codecs.getincrementaldecoder("utf-8")().decode(block))
    except UnicodeDecodeError:
        return
    if num_characters < len(codecs.getincrementaldecoder(encoding)("replace").decode(block)):
        log.warning("%s is valid utf-8 with letters beyond ASCII, and is read as %s: is that right?", file, encoding)


def _blocks(file: Path) -> Iterator[bytes]:
    """A file's bytes, unpacked, and an empty block at its end."""
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
