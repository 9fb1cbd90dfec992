"""Files that are no text, or not the text that was meant: each is refused or told in a line."""

import bz2
import gzip
import lzma
import os

import pytest

from seqlab.data import Files, TextFiles, from_options
from seqlab.data.formats import text as files
from seqlab.errors import InputError
from tests.data.language_model.texts import LINES, text_of, write


@pytest.fixture
def small_blocks(monkeypatch):
    """So that a short text has many block borders."""
    monkeypatch.setattr(files, "_BLOCK", 7)


def read_all(source: TextFiles) -> None:
    for split in ("train", "validation", "test"):
        text_of(source, split)


def refused(**options) -> str:
    with pytest.raises(InputError) as caught:
        read_all(from_options(TextFiles, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    assert f"data.path={tmp_path}/none.txt: there is no such file" in refused(path=tmp_path / "none.txt")
    here = write(tmp_path / "a.txt", "a")
    assert "data.test=" in refused(train=here, validation=here, test=tmp_path / "no*.txt")
    assert "is a folder: name its files" in refused(path=tmp_path)


def test_a_binary_file_is_refused_with_the_offset(tmp_path):
    path = write(tmp_path / "a.bin", b"text" * 10 + b"\0\1")
    assert "a.bin:1: a NUL byte, at offset 40, so this is binary" in refused(path=path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("length", range(20, 28))
def test_another_encoding_is_refused_with_byte_offset_and_mend(tmp_path, prefix, length):
    path = write(tmp_path / "a.txt", prefix + "\u00e9".encode() + b"a" * length + "\u00e9".encode("latin-1") + b"a" * 9)
    message = refused(path=path)
    assert "a.txt:1: byte 0xe9 is not utf-8;" in message and "data.encoding=latin-1" in message
    assert f"offset is {len(prefix) + 2 + length})" in message


def test_a_text_that_ends_inside_a_character_is_refused(tmp_path):
    assert "offset is 3)" in refused(path=write(tmp_path / "a.txt", b"abc\xe4\xbd"))


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
    path, other = (write(tmp_path / name, LINES) for name in ("a.txt", "b.txt"))
    mend = "give data.path=FILE, alone or with data.test=FILE, or all of data.train=, data.validation= and data.test="
    for given, options in {
        "data.path and data.train": {"path": path, "train": other},
        "no file": {},
        "data.train and data.test": {"train": path, "test": other},
    }.items():
        assert refused(**options) == f"text: {given} given; {mend}"


@pytest.mark.parametrize("split", [(0.9, 0.1), (0.9, 0.05, 0.1), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1)])
def test_wrong_fractions_are_refused(tmp_path, split):
    assert "must be three positive fractions" in refused(path=write(tmp_path / "a.txt", LINES), split=split)


def test_marks_that_joined_files_left_behind_are_counted(tmp_path, caplog):
    path = write(tmp_path / "a.txt", "\ufeffone\n\ufefftwo\n\ufeffthree\n")
    assert files.read_lines(path) == ["one", "two", "three"]
    assert "a.txt: byte order marks at the beginning of later lines are left out: 2" in caplog.text


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        ("\u6587\u5b57".encode("utf-16"), "utf-8", r"byte order mark of utf-16: give data\.encoding=utf-16"),
        ("text\n".encode("utf-16"), "latin-1", r"byte order mark of utf-16: give data\.encoding=utf-16"),
        ("text\n".encode("utf-32"), "utf-16", r"byte order mark of utf-32: give data\.encoding=utf-32"),
        ("text\n".encode("utf-8-sig"), "latin-1", r"byte order mark of utf-8: give data\.encoding=utf-8"),
        ("text\n".encode("utf-32-le"), "utf-16-le", r":1: a NUL character, so this is no text in utf-16-le"),
        (b"a\0\n\0" + b"\xfe\xff\0b", "utf-16-le", r":2: a byte order mark of the other byte order"),
        (bz2.compress(b"text"), "latin-1", r"is packed by bzip2: unpack it"),
        (lzma.compress(b"text"), "utf-8", r"is packed by xz: unpack it"),
        (b"one\ntwo\nth\0ree", "utf-8", r":3: a NUL byte, at offset 10"),
        (b"text", "base64", r"data\.encoding=base64 is not an encoding"),
        (b"text", None, r"data\.encoding=None is not an encoding"),
    ],
)
def test_what_is_no_text_of_the_encoding_is_refused_by_block_and_by_line(tmp_path, content, encoding, words):
    path = write(tmp_path / "a.txt", content)
    with pytest.raises(InputError, match=words):
        files.read_lines(path, encoding)
    with pytest.raises(InputError, match=words):
        read_all(TextFiles(path, encoding=encoding))


def test_an_empty_file_is_no_gzip_and_an_empty_text_is_named(tmp_path, caplog):
    (tmp_path / "a.txt.gz").touch()
    assert "a.txt.gz is not a whole gzip file: it is empty" in refused(path=tmp_path / "a.txt.gz")
    (tmp_path / "b.txt").touch()
    write(tmp_path / "c.txt", LINES)
    assert text_of(TextFiles(str(tmp_path / "[bc].txt")), "train") in LINES
    assert "data.path: 1 of 2 files are empty: " + str(tmp_path / "b.txt") in caplog.text


def test_what_a_pattern_matches_is_read_or_refused_by_name(tmp_path):
    for name in ("part0.txt", "part1.txt"):
        write(tmp_path / name, LINES)
    for name in ("part3.txt", "part4.txt"):
        (tmp_path / name).symlink_to(tmp_path / "gone" / name)
    (tmp_path / "part5.txt").mkdir()
    os.mkfifo(tmp_path / "part6.txt")
    message = refused(path=str(tmp_path / "*.txt"))
    for words in (
        "4 of 6 are no files",
        "part3.txt is a link to what is not there",
        "part4.txt is a link",
        "part5.txt is a folder",
        "part6.txt is a pipe",
    ):
        assert words in message
    assert "part6.txt is a pipe" in refused(path=tmp_path / "part6.txt")
    assert "part3.txt is a link to what is not there" in refused(path=[tmp_path / "part0.txt", tmp_path / "part3.txt"])


@pytest.mark.parametrize("spelling", ["the same", "a link", "a hard link", "another spelling", "a folder's link"])
def test_the_same_file_in_two_splits_or_twice_in_one_is_refused(tmp_path, spelling):
    (tmp_path / "x").mkdir()
    train, other = write(tmp_path / "x" / "train.txt", LINES), write(tmp_path / "other.txt", LINES)
    again = {
        "the same": train,
        "a link": tmp_path / "link.txt",
        "a hard link": tmp_path / "hard.txt",
        "another spelling": tmp_path / "x" / ".." / "x" / "train.txt",
        "a folder's link": tmp_path / "y" / "train.txt",
    }[spelling]
    if spelling == "a link":
        again.symlink_to(train)
    elif spelling == "a hard link":
        again.hardlink_to(train)
    elif spelling == "a folder's link":
        again.parent.symlink_to(train.parent)
    message = refused(train=train, validation=other, test=str(again))
    assert "the same file twice" in message and "data.train" in message and "data.test" in message
    assert str(train) in message and str(again) in message
    assert "name each file once" in refused(path=[train, again])
    with pytest.raises(InputError, match=r"the same file twice: .*data\.test"):
        Files(path=str(tmp_path / "x/t*.txt"), test=again).expanded("rows")


def test_two_patterns_that_match_a_file_are_refused_with_the_file(tmp_path):
    for name in ("train_1.txt", "train_2.txt"):
        write(tmp_path / name, name)
    message = refused(path=[str(tmp_path / "train*.txt"), str(tmp_path / "*_2.txt")])
    assert f"the same file twice: {tmp_path / 'train_2.txt'} of data.path" in message
