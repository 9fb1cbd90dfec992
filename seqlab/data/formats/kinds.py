"""The kind of a file that is no plain text, by its first bytes, and how to make text of it."""

import contextlib
import re
from pathlib import Path
from typing import Final, NamedTuple

_UNPACK: Final = "unpack it, or pack it with gzip"
_TABLE: Final = "export the table as CSV (UTF-8)"
_TEXT: Final = "save its text as plain text (UTF-8)"
_OTHER: Final = "give a file of text"
_READ: Final = "rename it to end in .parquet, and read it as a table of data=classification or data=parallel"
_DATASETS: Final = "load it by the library that wrote it and save it as parquet, csv or jsonl"
_ENDINGS_OF_TEXT: Final = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".yaml", ".md")
_READ_AT_ONCE: Final = 1 << 16  # bytes
_TAR_AT: Final = 257  # the position of a tar archive's mark


class Kind(NamedTuple):
    """A kind of file: its name with an article, and the mend."""

    name: str
    mend: str


_PARQUET: Final = Kind("a parquet file", _READ)
_TAR: Final = Kind("a tar archive", "unpack it")
_KINDS: Final[dict[bytes, Kind]] = {
    b"\x1f\x8b": Kind("a gzip file", "unpack it"),
    b"BZh": Kind("packed by bzip2", _UNPACK),
    b"\xfd7zXZ\0": Kind("packed by xz", _UNPACK),
    b"(\xb5/\xfd": Kind("packed by zstd", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": Kind("packed by 7-zip", _UNPACK),
    b"\x04\x22\x4d\x18": Kind("packed by lz4", _UNPACK),
    b"\x1f\x9d": Kind("packed by compress", _UNPACK),
    b"Rar!\x1a\x07": Kind("packed by rar", _UNPACK),
    b"PAR1\x15": _PARQUET,
    b"ARROW1\0\0": Kind("an Arrow file", _DATASETS),
    b"FEA1": Kind("a Feather file", _DATASETS),
    b"Obj\x01": Kind("an Avro file", _DATASETS),
    b"\x89HDF\r\n\x1a\n": Kind("an HDF5 file", _DATASETS),
    b"\x93NUMPY": Kind("a NumPy file", _DATASETS),
    b"SQLite format 3\0": Kind("an SQLite database", _TABLE),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Kind("an old Office file (xls, doc)", f"{_TABLE}, or {_TEXT}"),
    b"%PDF-": Kind("a PDF file", _TEXT),
    b"{\\rtf": Kind("an RTF file", _TEXT),
    b"\x89PNG\r\n": Kind("an image (PNG)", _OTHER),
    b"\xff\xd8\xff": Kind("an image (JPEG)", _OTHER),
    b"version https://git-lfs.github.com/spec/": Kind(
        "a pointer of Git LFS, without the file that it stands for", "run git lfs pull"
    ),
}
_BZIP2: Final = re.compile(rb"BZh[1-9]1AY&SY")
_PICKLE: Final = re.compile(rb"\x80[\x02-\x05][\x95\x8a\x7d\x5d\x28\x63]")
_SOUNDS: Final = {
    # a tag, or a frame of layer III
    "MP3": re.compile(rb"ID3[\x02-\x04]\x00|\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]"),
    "FLAC": re.compile(rb"fLaC\x00"),
    "Ogg": re.compile(rb"OggS\x00"),
    "AIFF": re.compile(rb"FORM....AIF[FC]", re.DOTALL),
    "AU": re.compile(rb"\.snd\x00"),
    "MP4": re.compile(rb"\x00\x00\x00[\x08-\x80]ftyp"),
}
_ZIP: Final = b"PK\x03\x04"
_IN_ZIP: Final = {  # bytes in an archive that tell its kind
    b"xl/": Kind("an Excel workbook (xlsx)", _TABLE),
    b"word/": Kind("a Word document (docx)", _TEXT),
    b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet": Kind("an OpenDocument table (ods)", _TABLE),
    b"mimetypeapplication/vnd.oasis.opendocument": Kind("an OpenDocument file", _TEXT),
    b"mimetypeapplication/epub+zip": Kind("an e-book (epub)", _TEXT),
}


def kind_of(beginning: bytes) -> Kind | None:
    """The kind of a file with this beginning; None where it may be text.

    Example:
        >>> kind_of(b"%PDF-1.7").name, kind_of(b"text,label")
        ('a PDF file', None)
    """
    if beginning.startswith(_ZIP):
        return next((kind for mark, kind in _IN_ZIP.items() if mark in beginning), Kind("packed by zip", _UNPACK))
    if beginning[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return _TAR
    for name, pattern in _SOUNDS.items():
        if pattern.match(beginning):
            return Kind(f"{name} sound", _OTHER)
    if _PICKLE.match(beginning):
        return Kind("a pickle of Python", _DATASETS)
    kind = next((kind for mark, kind in _KINDS.items() if beginning.startswith(mark)), None)
    return None if beginning.startswith(b"BZh") and not _BZIP2.match(beginning) else kind


def kind_of_file(file: Path) -> str:
    """A phrase with the kind of a file and the mend; empty where the file may be text, or cannot be read."""
    try:
        with open(file, "rb") as stream:
            kind = kind_of(stream.read(_READ_AT_ONCE))
    except OSError:
        return ""
    return "" if kind is None else f"it is {kind.name}: {kind.mend}"


def other_kind(file: Path, but: str) -> str:
    """A phrase that names what a file is, where sound or pictures were expected; empty where this is not known.

    Args:
        file: the file.
        but: how the names of the expected kinds begin: a broken file of such a kind is no other.
    """
    if seems_to_be(file).startswith("it seems"):
        return "it seems to be text"
    with contextlib.suppress(OSError), open(file, "rb") as stream:
        kind = kind_of(stream.read(_READ_AT_ONCE))
        if kind is not None and not kind.name.startswith(but):
            return f"it is {kind.name}"
    return ""


def broken_parquet(file: Path, error: Exception) -> str:
    """What follows "is not a parquet file": what else it is, or why it cannot be read."""
    kind = seems_to_be(file)
    if kind and not kind.startswith(f"it is {_PARQUET.name}"):
        return f": {kind}"
    reason = " ".join(str(error).split())[:200]
    return f" that can be read: it is broken, or cut off ({reason})" if kind else f": {reason}"


def seems_to_be(file: Path) -> str:
    """A phrase that says what a file seems to be, where another kind was expected; empty where this is not known.

    Example:
        >>> seems_to_be(Path("of a file that is not there"))
        ''
    """
    if kind := kind_of_file(file):
        return kind
    try:
        with open(file, "rb") as stream:
            beginning = stream.read(_READ_AT_ONCE)
    except OSError:
        return ""
    if b"\0" in beginning or not beginning.strip():
        return ""
    named = file.suffix.lower() in _ENDINGS_OF_TEXT
    return "it seems to be text" + (
        "" if named else ": give it the ending of what it holds, such as .csv, .tsv or .jsonl"
    )
