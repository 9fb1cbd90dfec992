"""Tables as others write them: what is read, what is refused, and what is told; each with the line of its file."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqlab.data import labelled_data
from seqlab.data.formats.separated import Separated, read_separated
from seqlab.errors import InputError
from tests.data.formats.table_rows import PLAIN, ROWS, jsonl, read, refusal, write

VARIANTS = {
    "as it is": ("a.csv", PLAIN, {}),
    "blank lines": ("a.csv", PLAIN.replace("\n", "\n\n \n", 20) + "\n\n", {}),
    "crlf": ("a.csv", PLAIN.replace("\n", "\r\n"), {}),
    "cr alone": ("a.csv", PLAIN.replace("\n", "\r"), {}),
    "a byte order mark": ("a.csv", "\ufeff" + PLAIN, {}),
    "utf-16": ("a.csv", PLAIN.encode("utf-16"), {"encoding": "utf-16"}),
    "gzip": ("a.csv.gz", gzip.compress(PLAIN.encode()), {}),
    "upper case": ("A.CSV.GZ", gzip.compress(PLAIN.encode()), {}),
    "quoted header with spaces": ("a.csv", PLAIN.replace("text,label", '"text", label'), {}),
    "all quoted": ("a.csv", '"text","label"\n' + "".join(f'"{text}","{label}"\n' for text, label in ROWS), {}),
    "labels with spaces": ("a.csv", PLAIN.replace("pos\n", " pos\u00a0\n", 3).replace("neg\n", "neg\u200b\n", 2), {}),
    "semicolons": ("a.csv", PLAIN.replace(",", ";"), {"separator": ";"}),
    "by name": ("a.csv", PLAIN.replace(",", ";"), {"separator": "semicolon"}),
    "pipes in a txt": ("a.txt", PLAIN.replace(",", "|"), {"separator": "pipe"}),
    "several characters": ("a.txt", PLAIN.replace(",", "::"), {"separator": "::"}),
    "tabs in a csv": ("a.csv", PLAIN.replace(",", "\t"), {"separator": "\\t"}),
    "a quoted tsv": ("a.tsv", "text\tlabel\n" + "".join(f'"{text}"\t"{label}"\n' for text, label in ROWS), {}),
    "no header": ("a.csv", PLAIN.partition("\n")[2], {"header": False, "text": 0, "label": 1}),
    "from the last": ("a.csv", PLAIN.partition("\n")[2], {"header": False, "text": -2, "label": -1}),
    "named by numbers": ("a.csv", PLAIN.replace("text", "what"), {"text": 0, "label": 1}),
    "no quotes": ("a.csv", PLAIN, {"quoting": "none"}),
    "other columns twice": ("a.csv", "text,x,x,label\n" + "".join(f"{t},1,2,{one}\n" for t, one in ROWS), {}),
}


@pytest.mark.parametrize("case", VARIANTS)
def test_each_way_to_write_a_table_gives_the_same_rows(tmp_path, case):
    name, content, options = VARIANTS[case]
    assert read(write(tmp_path, name, content), **options) == sorted(ROWS)


def test_a_lone_carriage_return_is_a_character_of_its_value_and_separators_have_any_length():
    for separator in (",", "::"):
        lines = ["text,label", "a\rb,x", '"c\rd, e",y', "", '"f\ng",z'.partition("\n")[0], 'g",z']
        lines = [line.replace(",", separator) for line in lines]
        found = list(read_separated(Path("a.csv"), lines, Separated("text", "label", separator)))
        assert found == [(2, "a\rb", "x"), (3, f"c\rd{separator} e", "y"), (5, "f\ng", "z")]


def test_what_a_table_holds_is_text_as_written(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\n" + "007,01\nNA,NA\n1e5,1\nnull,nan\n" * 10)
    assert set(read(path)) == {("007", "01"), ("NA", "NA"), ("1e5", "1"), ("null", "nan")}


def test_fields_of_any_length_are_read_and_the_limit_of_others_stays(tmp_path):
    before = csv.field_size_limit()
    long = "word " * 40_000
    assert (long, "pos") in read(write(tmp_path, "a.csv", f"{PLAIN}{long},pos\n"))
    assert csv.field_size_limit() == before


def test_line_numbers_are_those_of_the_file_where_a_text_spans_lines_and_lines_are_blank(tmp_path):
    content = 'text,label\n\n"one, two\nthree",pos\nfour,neg\n\nfive,pos\nsix,\n'
    assert f"{tmp_path / 'a.csv'}:8: expected a label" in refusal(write(tmp_path, "a.csv", content))


def test_texts_of_several_lines_are_read_and_counted(tmp_path):
    content = PLAIN + '"Well, first line\nand, a second",pos\n"one\n\ntwo",neg\n' * 4
    data = labelled_data(write(tmp_path, "a.csv", content))
    assert ("Well, first line\nand, a second", "pos") in read(tmp_path / "a.csv")
    counted = [summary.line() for summary in data.summaries()]
    assert sum(int(line.split(" texts of several")[0].rsplit(" ", 1)[1]) for line in counted if "several" in line) == 8


STRAY = [(f'"unclosed {t}' if i == 5 else f'{t}"' if i == 20 else t, label) for i, (t, label) in enumerate(ROWS)]


def swallowing(separator: str, order=(0, 1)) -> str:
    lines = [("text", "label"), *STRAY]
    return "".join(separator.join(line[i] for i in order) + "\n" for line in lines)


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv", ";")])
def test_a_quoted_field_that_swallowed_rows_is_refused_where_its_quote_opens(tmp_path, name, separator):
    options = {"separator": separator} if separator == ";" else {}
    path = write(tmp_path, name, swallowing(separator))
    message = refusal(path, **options)
    assert f"{path}:7: a quote opens" in message and "data.quoting=none" in message and "16 lines" in message
    assert read(path, quoting="none", **options) == sorted(STRAY)
    assert len(read(path, quoting="standard", **options)) == 25


def test_swallowed_rows_are_told_from_texts_by_their_labels(tmp_path):
    two = PLAIN + '"a, b\nstray",pos\n' + '"x,neg\ny",pos\n'
    assert f"{tmp_path / 'a.csv'}:44: a quote opens" in refusal(write(tmp_path, "a.csv", two))
    prose = PLAIN + '"1,000 dollars\n2,000 more",pos\n'
    assert ("1,000 dollars\n2,000 more", "pos") in read(write(tmp_path, "b.csv", prose))
    rare = "text,label\na,A\nb,B\n" + '"c,C\nd,D\ne,E\nf,F\ng",G\n' + "h,A\ni,B\n" * 9
    assert f"{tmp_path / 'c.csv'}:4: a quote opens" in refusal(write(tmp_path, "c.csv", rare))


def test_a_quote_that_opens_in_a_later_line_of_its_record_is_named_by_that_line(tmp_path):
    content = 'id,text,label\n1,"a\nb","never closed,x\n2,c,y\n'
    assert f"{tmp_path / 'a.csv'}:3: a quote opens here that is never closed" in refusal(
        write(tmp_path, "a.csv", content)
    )


REFUSED = {
    "two columns of one name": ("a.csv", "text,label,label\na,b,c\n", {}, ":1: 2 columns are named 'label'"),
    "another separator": ("a.csv", "text;label\na;b\n", {}, "give data.separator=semicolon"),
    "no header, by name": ("a.tsv", "id0\t1\t\ta film of few words\n", {}, "data.header=false"),
    "no header, by number": ("a.csv", PLAIN.partition("\n")[2], {"text": 0, "label": 1}, "data.header=false"),
    "names without a header": ("a.csv", PLAIN, {"header": False}, "give data.text=NUMBER"),
    "no such number": ("a.csv", PLAIN, {"text": 2}, ":1: there is no column number 2"),
    "a trailing separator": (
        "a.csv",
        PLAIN.replace("pos\n", "pos,\n"),
        {},
        ":2: expected 2 columns (text, label), got 3",
    ),
    "a header that comes again": ("a.csv", PLAIN + PLAIN, {}, ":42: the line of column names comes again"),
    "a quote behind a space": ("a.csv", PLAIN.replace(",pos", ', "pos"'), {}, "in quotes that do not count"),
    "an empty label": ("a.csv", PLAIN + "some text,\n", {}, ":42: expected a label"),
    "a label of spaces": ("a.csv", PLAIN + "some text,\u00a0 \n", {}, ":42: expected a label"),
    "not a number": ("a.jsonl", jsonl(0, 1, float("nan"), 1), {}, ":3: expected a label in 'label', got nan"),
    "infinite": ("a.jsonl", jsonl(0, 1, float("inf")), {}, ":3: expected a label in 'label', got inf"),
    "a list": ("a.jsonl", jsonl(0, [1]), {}, ":2: expected a label in 'label', got [1]"),
    "a string and a number": (
        "a.jsonl",
        jsonl(0, 1, "1"),
        {},
        ":3: the string '1' in 'label' reads like the number 1 of",
    ),
    "a boolean and a number": (
        "a.jsonl",
        jsonl(0, 1, True),
        {},
        ":3: the boolean True in 'label' reads like the number 1",
    ),
    "a boolean and a string": (
        "a.jsonl",
        jsonl(True, False, "true"),
        {},
        ":3: the string 'true' in 'label' reads like",
    ),
    "a number and a string of it": ("a.jsonl", jsonl("0", "1.0", 1), {}, ":3: the number 1 in 'label' reads like"),
    "two values of one key": ("a.jsonl", '{"text": "a", "label": 0, "label": 1}\n', {}, ":1: two values of 'label'"),
    "a json list": ("a.json", json.dumps([{"text": "a", "label": 1}]), {}, ":1: expected a JSON object"),
    "a separator for json": ("a.jsonl", jsonl(0, 1), {"separator": ";"}, "data.separator is for csv, tsv"),
    "another quoting": ("a.csv", PLAIN, {"quoting": "all"}, "data.quoting=all must be"),
    "no one header": ("a.csv", PLAIN, {"header": "no"}, "data.header=no must be"),
    "no separator": ("a.csv", PLAIN, {"separator": ""}, "data.separator='' must be"),
    "an unknown ending": ("a.txt", PLAIN, {}, "give data.separator="),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_one_line_with_the_option_that_mends_it(tmp_path, case):
    name, content, options, words = REFUSED[case]
    assert words in refusal(write(tmp_path, name, content), **options)


def test_one_column_is_not_both_text_and_label(tmp_path):
    table = write(tmp_path, "a.csv", PLAIN)
    assert "data.text and data.label are both label" in refusal(table, text="label")
    with pytest.raises(InputError, match=r"data\.text and data\.label are both label"):
        labelled_data(hub="reviews", text="label")
    assert "data.text=1 and data.label=-1 are the same column" in refusal(table, header=False, text=1, label=-1)


def test_a_line_that_lacks_values_is_not_told_to_quote_them(tmp_path):
    message = refusal(write(tmp_path, "a.csv", PLAIN + "a text without a label\n"))
    assert "expected 2 columns (text, label), got 1; give the line all its values, with a comma" in message
    assert "quotes" not in message


def test_a_broken_gzip_of_parquet_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["a"] * 40, "label": [0, 1] * 20}), tmp_path / "a.parquet")
    packed = bytearray(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    packed[10:40] = b"\xff" * 30
    assert "is not a parquet file" in refusal(write(tmp_path, "b.parquet.gz", bytes(packed)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PLAIN.replace("bad,neg", "bad,neg,"), "the last of them empty; let all lines end in a comma, or none"),
        (PLAIN.replace("bad,neg", "bad;neg"), "here a semicolon seems to stand between the values"),
        (PLAIN[:200] + "a,b\nc,d\n" + PLAIN[200:].replace("\n", "\r"), "write all line ends alike"),
    ],
)
def test_a_row_of_another_form_is_told_why(tmp_path, content, words):
    assert words in refusal(write(tmp_path, "a.csv", content))
