"""Files that are not what their names or options say: named by what they are, with the way to mend it."""

import bz2
import gzip
import io
import json
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqlab.data import BabiFiles, Files, LanguageModelData, TextFiles, labelled_data, parallel_data, tagged_data
from seqlab.data.formats.kinds import kind_of_file
from seqlab.data.formats.number_columns import read_columns
from seqlab.errors import InputError

TABLE = "text,label\n" + "".join(f"the film {i} was {'good' if i % 2 else 'bad'},{i % 2}\n" for i in range(40))


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in names:
            file.writestr(name, "<a/>")
    return packed.getvalue()


def parquet() -> bytes:
    packed = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"]}), packed)
    return packed.getvalue()


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.csv"))
    return packed.getvalue()


def numpy_file() -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.arange(3))
    return packed.getvalue()


def database(tmp_path) -> bytes:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("create table a (b)")
    connection.close()
    return (tmp_path / "a.db").read_bytes()


KINDS = {
    "xlsx": (archive("[Content_Types].xml", "xl/workbook.xml"), r"an Excel workbook \(xlsx\): export .* CSV"),
    "docx": (archive("word/document.xml"), r"a Word document \(docx\): save .* plain text"),
    "zip": (archive("a.csv"), "packed by zip: unpack it"),
    "parquet": (parquet(), r"a parquet file: rename it to end in \.parquet"),
    "tar": (tar(), "a tar archive: unpack it"),
    "packed tar": (gzip.compress(tar()), "a tar archive: unpack it"),
    "gzip in gzip": (gzip.compress(gzip.compress(b"a")), "a gzip file: unpack it"),
    "bzip2": (bz2.compress(b"a"), "packed by bzip2: unpack it"),
    "pdf": (b"%PDF-1.7\n", "a PDF file: save its text"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, r"an old Office file \(xls, doc\): export"),
    "pickle": (pickle.dumps([1, "a"]), "a pickle of Python"),
    "numpy": (numpy_file(), "a NumPy file"),
    "mp3": (b"ID3\x04\0\0\0\0\0\x21TSSE" + b"\0" * 300, "MP3 sound: give a file of text"),
    "mp3 without a tag": (b"\xff\xfb\x90\x64\0\x0f" + b"\0" * 300, "MP3 sound"),
    "m4a": (b"\0\0\0\x1cftypM4A \0\0\2\0", "MP4 sound"),
    "flac": (b"fLaC\0\0\0\x22\x10\0", "FLAC sound"),
    "git lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "a pointer of Git LFS.*: run git lfs pull",
    ),
}
READERS = {
    "csv": lambda file: labelled_data(file, separator="comma").prepare_data(),
    "tagged": lambda file: tagged_data(file).prepare_data(),
    "text": lambda file: LanguageModelData(TextFiles(file)).prepare_data(),
    "bAbI": lambda file: BabiFiles(Files(train=file, test=[file.parent / "test.txt"])).read("train"),
    "pairs": lambda file: parallel_data(path=file, source=0, target=1).prepare_data(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_text_is_named_by_its_first_bytes(tmp_path, kind):
    content, words = KINDS[kind]
    (tmp_path / "test.txt").write_text("1 Ann left.\n2 Who left?\tAnn\n")
    file = tmp_path / "a.dat"
    file.write_bytes(content)
    for read in READERS.values():
        with pytest.raises(InputError, match=rf"a\.dat is {words}") as caught:
            read(file)
        assert "\n" not in str(caught.value)


def test_a_database_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(database(tmp_path))
    with pytest.raises(InputError, match=r"a\.csv is an SQLite database: export the table"):
        labelled_data(tmp_path / "a.csv").prepare_data()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xlsx", KINDS["xlsx"][0], r"got \.xlsx; it is an Excel workbook \(xlsx\): export the table"),
        ("a.parquet", TABLE.encode(), r"is not a parquet file: it seems to be text: give it the ending .* \.csv"),
        ("a.parquet", gzip.compress(parquet()), "is not a parquet file: it is a gzip file: unpack it"),
        ("a.parquet", KINDS["git lfs"][0], "is not a parquet file: it is a pointer of Git LFS"),
        ("a.csv.gz", TABLE.encode(), "is not a whole gzip file: it seems to be text"),
        ("a.csv.gz", KINDS["xlsx"][0], r"is not a whole gzip file: it is an Excel workbook"),
        ("a.jsonl", TABLE.encode(), r"a\.jsonl:1: expected a JSON object .* a name that ends in \.csv or \.tsv"),
        ("a.csv", b'{"text": "a", "label": "b"}\n' * 9, r"looks like JSON: then let the file's name end in \.jsonl"),
        ("a.tsv", b'{"text": "a", "label": "b"}\n' * 9, r"looks like JSON: then let the file's name end in \.jsonl"),
        ("a.csv", b"<!DOCTYPE html>\n<html>404</html>\n", "looks like a web page: download the table itself"),
        ("a.jsonl", b'{\n "text": "a"\n}\n', "write a list of objects one object a line"),
    ],
)
def test_a_table_under_a_wrong_name_is_told_what_it_is(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        labelled_data(tmp_path / name).prepare_data()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_text_that_begins_like_a_packed_file_is_text(tmp_path):
    (tmp_path / "a.txt").write_text("BZhang wrote this.\nPAR1 is a word.\n" * 20)
    for number, text in enumerate(("ID3 is a tag.\n", "OggSound\n", "fLaC it is\n", "\ufeffGood.\n")):
        file = tmp_path / f"{number}.txt"
        file.write_text(text * 20, encoding="utf-16" if text[0] == "\ufeff" else "utf-8")
        assert kind_of_file(file) == ""
    assert LanguageModelData(TextFiles(tmp_path / "a.txt")).summaries()[0].counts["documents"] == 1


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        labelled_data(path, **options).prepare_data()
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_text_without_a_mark_is_told_its_encoding(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode(encoding))
    assert f"give data.encoding={encoding}" in refusal(path)
    assert f"which {encoding[:6]} needs: give data.encoding={encoding}" in refusal(path, encoding=encoding[:6])
    assert len(labelled_data(path, encoding=encoding).rows("train")) == 32


def test_text_of_one_byte_is_no_wide_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(TABLE)
    assert "has no byte order mark, which utf-16 needs: give data.encoding=utf-8 or" in refusal(path, encoding="utf-16")
    path.write_bytes(TABLE.encode().replace(b"film 7", b"fi\0lm 7"))
    assert "a.csv:9: a NUL byte" in refusal(path) and "utf-16" not in refusal(path)


@pytest.mark.parametrize(("written", "given"), [("utf-16-le", "utf-16-be"), ("utf-16-be", "utf-16-le")])
def test_the_other_byte_order_is_refused_and_never_read_as_other_letters(tmp_path, written, given):
    path = tmp_path / "a.txt"
    path.write_bytes(TABLE.encode(written))
    with pytest.raises(InputError, match=f"in the other byte order: give data.encoding={written}"):
        LanguageModelData(TextFiles(path, encoding=given)).prepare_data()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "shift_jis", "gb18030"])
def test_utf8_that_is_read_as_something_else_is_told(tmp_path, encoding, caplog):
    path = tmp_path / "a.csv"
    content = TABLE.replace("film", "\u6620\u753b" if encoding in ("shift_jis", "gb18030") else "caf\u00e9")
    path.write_bytes(content.encode(encoding))
    labelled_data(path, encoding=encoding).prepare_data()
    assert "is valid utf-8" not in caplog.text
    path.write_text(TABLE.replace("film", "caf\u00e9"))
    labelled_data(path, encoding="latin-1").prepare_data()
    assert "a.csv is valid utf-8 with letters beyond ASCII, and is read as iso8859-1" in caplog.text


def test_a_long_value_is_shortened_in_a_message(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"text": ["a text"] * 10_000, "label": ["a"] * 10_000}) + "\n")
    assert "a.json:1: expected text in 'text', got ['a text'" in refusal(path) and len(refusal(path)) < 250
    path.write_text(json.dumps({"text": "a", "label": ["a"] * 10_000}) + "\n")
    assert "a.json:1: expected a label in 'label', got ['a'" in refusal(path) and len(refusal(path)) < 300


@pytest.mark.parametrize(
    ("name", "line", "what"),
    [
        ("a.jsonl", "", "JSON"),
        ("a.csv.gz", "text,label", "a table"),
        ("a.TSV", "text\tlabel", "a table"),
        ("a.html", "<p>", "HTML"),
        ("a.txt", '{"text": "one"}', "JSON"),
        ("a.log", '\ufeff \n ["one", "two"]', "JSON"),
        ("a.gz", '{"text": "one"}', "JSON"),
        ("a.txt", '<?xml version="1.0"?>', "XML"),
        ("a.txt", "[1]", ""),
        ("a.txt", "{}", ""),
        ("a.txt", '{"so", he said', ""),
        ("a.md", "# A title, with a comma\tand a tab", ""),
        ("a.py", '"""A module."""', ""),
        ("a.txt", "<unk> is a token", ""),
    ],
    ids=str,
)
def test_text_that_is_read_with_its_markup_is_told(tmp_path, caplog, name, line, what):
    content = f"{line}\n{'one two three.' * 9}\n".encode() * 9
    (tmp_path / "plain.txt").write_text("plain\n" * 9)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    data = LanguageModelData(TextFiles([tmp_path / "plain.txt", path]), cache_dir=tmp_path / "cache")
    assert data.spec.vocab_size
    told = [record.message for record in caplog.records if "markup" in record.message]
    assert [f"{path} is {what}: its text is read as it stands" in message for message in told] == [True] * bool(what)


def test_a_broken_array_or_parquet_is_called_broken_and_not_another_kind(tmp_path):
    array, table = tmp_path / "a.npy", tmp_path / "a.parquet"
    np.save(array, np.arange(6.0))
    pd.DataFrame({"label": ["a"] * 50}).to_parquet(table)
    whole = array.read_bytes()
    for content in (whole[:100], whole[:140], whole.replace(b"(6,)", b"(6, ")):
        array.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npy is not a npy file of numbers: it is broken"):
            read_columns(array)
    table.write_bytes(table.read_bytes()[:300])
    with pytest.raises(InputError, match=r"a\.parquet is not a parquet file that can be read: it is broken"):
        read_columns(table)


def test_text_of_a_parquet_file_that_is_not_utf_8_is_refused_with_its_column(tmp_path):
    text = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff"))
    pq.write_table(pa.table({"id": text, "x": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: id has text that is not UTF-8"):
        read_columns(tmp_path / "a.parquet")
