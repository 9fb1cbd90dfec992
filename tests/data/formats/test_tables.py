"""Tables as others write them: what is read, what is refused, and what is told; each with the line of its file."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqlab.data import from_options, labelled_data
from seqlab.data.classification.sources import LabelledTables
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import cut_rows
from seqlab.data.formats.separated import Separated, read_separated
from seqlab.errors import InputError

ROWS = [(f"the film number {i} was {'good' if i % 2 else 'bad'}", "pos" if i % 2 else "neg") for i in range(1, 41)]
PLAIN = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path: Path, **options) -> dict[str, tuple[str, str]]:
    """Text and label of all splits, by the place of the row."""
    source = from_options(LabelledTables, path, **options)
    return {row.place: (row.text, row.label) for split in SPLITS for row in source.read(split)}


def read(path: Path, **options) -> list[tuple[str, str]]:
    return sorted(rows_of(path, **options).values())


def refusal(path: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        labelled_data(path, **options).prepare_data()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def jsonl(*labels) -> str:
    return "".join(json.dumps({"text": f"text {i}", "label": label}) + "\n" for i, label in enumerate(labels))


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


def test_numbers_that_are_equal_are_one_class_whatever_their_type(tmp_path):
    path = write(tmp_path, "a.jsonl", jsonl(*[0, 0.0, -0.0, 1, 1.0, 0.5] * 10))
    assert labelled_data(path).spec.labels == ("0", "0.5", "1")
    text = write(tmp_path, "b.csv", "text,label\n" + "a b,1\nc d,-1\ne f,10\ng h,2\n" * 10)
    assert labelled_data(text).spec.labels == ("-1", "1", "2", "10")


def test_types_of_parquet_are_read_as_values_and_rows_count_from_one(tmp_path):
    texts = [f"text {i}" for i in range(40)]
    columns = {
        "float32": pa.array([0.1, 2.0] * 20, pa.float32()),
        "dictionary": pa.array(["0.1", "2"] * 20).dictionary_encode(),
        "binary": pa.array([b"0.1", b"2"] * 20),
    }
    for name, labels in columns.items():
        pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / f"{name}.parquet")
        assert labelled_data(tmp_path / f"{name}.parquet").spec.labels == ("0.1", "2"), name
    labels = pa.array([float("nan") if i == 6 else i % 2 for i in range(40)])
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "nan.parquet")
    assert "nan.parquet, row 7: expected a label in 'label', got nan" in refusal(tmp_path / "nan.parquet")
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["text", "label", "label"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    assert "2 columns are named 'label'" in refusal(tmp_path / "twice.parquet")
    (tmp_path / "packed.parquet.gz").write_bytes(gzip.compress((tmp_path / "binary.parquet").read_bytes()))
    assert labelled_data(tmp_path / "packed.parquet.gz").spec.labels == ("0.1", "2")


def test_lone_surrogates_are_replaced_counted_and_the_first_is_named(tmp_path, caplog):
    path = write(tmp_path, "a.jsonl", jsonl("neg", "pos") * 10 + '{"text": "cut \\ud83d", "label": "neg"}\n\n')
    assert ("cut \ufffd", "neg") in read(path)
    notes = [note for summary in labelled_data(path).summaries() for note in summary.notes]
    assert [note for note in notes if "FFFD" in note] == ["1 text with U+FFFD, which stands for what could not be read"]
    assert f"{path}: lone surrogates are read as U+FFFD: 1, in rows: 1, the first at {path}:21" in caplog.text


def test_ignored_labels_are_left_out_before_the_cut_and_counted(tmp_path, caplog):
    for name, content in (("a.csv", PLAIN.replace("pos\n", "-1\n", 4)), ("a.jsonl", jsonl(*[-1, -1.0, 0, 1] * 10))):
        data = labelled_data(write(tmp_path, name, content), ignore_label=-1)
        number = 4 if name == "a.csv" else 20
        assert data.summaries()[0].left_out == {"rows labelled -1 (before the cut)": number}
        assert sum(data.spec.num_examples.values()) == 40 - number and "-1" not in data.spec.labels
    assert "-1" in labelled_data(tmp_path / "a.csv").spec.labels
    labelled_data(tmp_path / "a.csv", ignore_label=["-1", "unknown"]).prepare_data()
    assert "data.ignore_label: no row is labelled 'unknown'" in caplog.text


def test_every_class_has_a_training_row_and_the_shares_are_kept(tmp_path):
    content = "text,label\n" + "".join(f"text {i},class {min(i, 29)}\n" for i in range(80))
    for seed in range(5):
        data = labelled_data(write(tmp_path, "tail.csv", content), split_seed=seed)
        assert len(data.spec.labels) == 30
        assert data.spec.num_examples == {"train": 64, "validation": 8, "test": 8}


def test_a_cut_keeps_the_share_of_each_class():
    rows = [("a", i) for i in range(100)] + [("b", i) for i in range(900)]
    parts = cut_rows(rows, (0.8, 0.1, 0.1), 3, "rows", stratum=lambda row: row[0])
    assert {split: sum(name == "a" for name, _ in part) for split, part in parts.items()} == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }
    assert sorted(row for part in parts.values() for row in part) == rows


def test_rows_of_which_all_classes_differ_are_cut_all_the_same():
    parts = cut_rows(list(range(20)), (0.8, 0.1, 0.1), 0, "rows", stratum=lambda row: row)
    assert [len(part) for part in parts.values()] == [16, 2, 2]


def test_equal_rows_in_two_splits_are_told_and_can_be_kept_together(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"name {i % 25},{'xy'[i % 25 % 2]}\n" for i in range(100)))
    plain, unique = labelled_data(path), labelled_data(path, split_unique=True)
    assert any("stand in train too" in line for line in [one.line() for one in plain.summaries()])
    assert not any("too" in note for one in unique.summaries() for note in one.notes)
    texts = [{row.text for row in unique.source.read(split)} for split in SPLITS]
    assert not (texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]) and all(texts)
    other = write(tmp_path, "b.csv", PLAIN)
    with pytest.raises(InputError, match=r"data\.split_unique=true is for rows that are cut"):
        third = write(tmp_path, "c.csv", PLAIN)
        labelled_data(train=path, validation=other, test=third, split_unique=True)


def test_each_split_says_its_rows_and_classes_and_names_that_differ_little(tmp_path):
    path = write(
        tmp_path, "a.csv", "text,label\n" + "".join(f"t {i},{('Pos', 'pos', 'neg')[i % 3]}\n" for i in range(30))
    )
    train, _, test = labelled_data(path).summaries()
    assert (
        train.line() == "train: 24 rows; 3 classes: Pos 8, neg 8, pos 8; classes whose names differ little: Pos and pos"
    )
    assert test.counts == {"rows": 3} and test.facts()["classes"] == {"Pos": 1, "neg": 1, "pos": 1}


def test_a_first_line_of_names_is_told_where_there_should_be_none(tmp_path, caplog):
    read(write(tmp_path, "a.csv", PLAIN), header=False, text=0, label=1)
    assert "a.csv:1: the first line is read as a row, but looks like column names (text, label)" in caplog.text


def test_the_line_with_which_spreadsheets_name_the_separator_is_heeded(tmp_path):
    path = write(tmp_path, "a.csv", "sep=;\n" + PLAIN.replace(",", ";") + "no label;\n")
    assert "a.csv:1: " in refusal(path) and "give data.separator=semicolon" in refusal(path)
    assert f"{path}:43: expected a label" in refusal(path, separator="semicolon")
    write(tmp_path, "a.csv", "sep=;\n" + PLAIN.replace(",", ";"))
    assert read(path, separator=";") == read(path, separator=";", quoting="none") == sorted(ROWS)


def test_a_stray_quote_in_the_line_of_names_is_told(tmp_path):
    message = refusal(
        write(tmp_path, "a.csv", PLAIN.replace("text,", '"text,', 1).replace("3 was good", '3 was good"', 1))
    )
    assert "a.csv:1: " in message and "data.quoting=none" in message and len(message) < 300


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_text_of_white_space_is_refused_whatever_the_unit(tmp_path, unit):
    path = write(tmp_path, "a.jsonl", jsonl("a", "b") * 10 + '{"text": " \\n", "label": "a"}\n')
    assert f"{path}:21: the text is empty" in refusal(path, unit=unit)


def test_given_labels_are_names_like_those_of_the_data(tmp_path):
    path = write(tmp_path, "a.jsonl", jsonl(*[1.0, 0] * 10))
    assert labelled_data(path, labels=[1, 0.0]).spec.labels == ("1", "0")
    with pytest.raises(InputError, match=r"data\.labels has '1' twice"):
        labelled_data(path, labels=[1, 1.0])
    with pytest.raises(InputError, match=r"data\.labels=pos must be a list"):
        labelled_data(path, labels="pos")


def test_a_long_name_of_a_class_is_shortened_in_the_printed_line_alone(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\n" + f't,"a label\n{"of many words " * 9}"\nu,b\n' * 10)
    summary = labelled_data(path, quoting="standard").summaries()[0]
    assert "\n" not in summary.line() and len(summary.line()) < 200
    assert any(len(name) > 100 for name in summary.facts()["classes"])


def test_a_first_row_that_is_taken_for_names_is_told(tmp_path, caplog):
    read(write(tmp_path, "a.csv", PLAIN.partition("\n")[2]), text=ROWS[0][0], label="pos")
    assert "a.csv:1: the first line looks like data, for its label 'pos' is that of other rows too" in caplog.text


def test_one_column_is_not_both_text_and_label(tmp_path):
    table = write(tmp_path, "a.csv", PLAIN)
    assert "data.text and data.label are both label" in refusal(table, text="label")
    with pytest.raises(InputError, match=r"data\.text and data\.label are both label"):
        labelled_data(hub="reviews", text="label")
    assert "data.text=1 and data.label=-1 are the same column" in refusal(table, header=False, text=1, label=-1)


@pytest.mark.parametrize("share", ["nan", "abc"])
def test_shares_that_are_no_numbers_are_refused(tmp_path, share):
    table = write(tmp_path, "a.csv", PLAIN)
    for split in ([share, 0.1, 0.1], share):
        assert "must be three positive fractions" in refusal(table, split=split)
    assert "must be three positive fractions" in refusal(table, split=[float("nan")] * 3)


def test_a_label_of_more_digits_than_a_float_holds_is_a_class(tmp_path):
    long = "1" + 400 * "0"
    lines = "".join(f'{{"text": "film {i}", "label": {long if i % 2 else 7}}}\n' for i in range(40))
    assert {label for _, label in read(write(tmp_path, "a.jsonl", lines))} == {long, "7"}


def test_too_few_unlike_rows_are_told_from_too_few_rows(tmp_path):
    table = write(tmp_path, "a.csv", "text,label\n" + "same,1\nother,0\n" * 20)
    assert "40 rows, of which 2 differ, are too few" in refusal(table, split_unique=True)


def test_few_unlike_rows_that_leave_a_split_empty_are_counted_and_the_shares_are_named():
    rows = [number % 10 for number in range(60)]
    words = r"60 rows, of which 10 differ, are too few .*data\.split_unique=true; .*data\.split="
    with pytest.raises(InputError, match=words):
        cut_rows(rows, (0.9, 0.05, 0.05), seed=0, name="digits", same=int)
    assert all(cut_rows(rows, (0.9, 0.05, 0.05), seed=0, name="digits").values())


def test_a_line_that_lacks_values_is_not_told_to_quote_them(tmp_path):
    message = refusal(write(tmp_path, "a.csv", PLAIN + "a text without a label\n"))
    assert "expected 2 columns (text, label), got 1; give the line all its values, with a comma" in message
    assert "quotes" not in message


def test_a_broken_gzip_of_parquet_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["a"] * 40, "label": [0, 1] * 20}), tmp_path / "a.parquet")
    packed = bytearray(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    packed[10:40] = b"\xff" * 30
    assert "is not a parquet file" in refusal(write(tmp_path, "b.parquet.gz", bytes(packed)))


def test_a_second_line_of_names_is_refused_whatever_its_case_and_order(tmp_path):
    for again, words in {
        "Text , LABEL": "the line of column names comes again; leave it out",
        '"text","label"': "the line of column names comes again; leave it out",
        "label,text": "in another order (label, text)",
    }.items():
        found = refusal(write(tmp_path, "a.csv", f"{PLAIN}{again}\nx,y\n"))
        assert "a.csv:42: " in found and words in found
    table = write(tmp_path, "b.csv", PLAIN + "the label,text of it\n")
    assert ("the label", "text of it") in read(table)


def test_names_that_come_again_as_rows_are_told_without_a_header(tmp_path, caplog):
    read(write(tmp_path, "a.csv", PLAIN * 2), header=False, text=0, label=1)
    assert "a.csv:1: the first line is read as a row, but looks like column names (text, label)" in caplog.text


def test_a_first_line_of_data_that_is_asked_for_by_number_is_told(tmp_path, caplog):
    rows = PLAIN.partition("\n")[2]
    read(write(tmp_path, "a.csv", "a first text of its own,7\n" + rows), text=0, label=1)
    assert (
        "left out as column names (a first text of its own, 7): if it is a row, give data.header=false" in caplog.text
    )
    caplog.clear()
    read(write(tmp_path, "b.csv", "1,0\n" + rows), text=1, label=0)  # names that are numbers, as pandas writes them
    read(
        write(tmp_path, "c.csv", "What did you think of it?,stars\n" + rows), text="What did you think of it?", label=1
    )
    assert not caplog.text


def test_what_stands_before_the_line_of_names_is_told(tmp_path):
    for before in ("# made by hand\n", "My table\n\n", "one,two\n"):
        number = before.count("\n") + 1
        assert f"line {number} has the column names: leave out" in refusal(write(tmp_path, "a.csv", before + PLAIN))


def test_names_are_found_behind_what_nobody_sees(tmp_path):
    assert len(read(write(tmp_path, "a.csv", PLAIN.replace("text,label", "\u00a0text,\u200blabel")))) == 40


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


def test_labels_that_are_all_left_out_are_told_apart_from_a_short_file(tmp_path):
    table = write(tmp_path, "a.csv", PLAIN)
    found = refusal(table, ignore_label=["pos", "neg"])
    assert "0 rows are too few" in found and "data.ignore_label" in found
    assert "left out" in found and "20 rows labelled pos" in found
    one = write(tmp_path, "b.csv", PLAIN + "one more,x\n")
    assert "1 row is too few" in refusal(one, ignore_label=["pos", "neg"])
    assert refusal(write(tmp_path, "c.csv", "text,label\na,b\n")).endswith(
        "1 row is too few to cut into train, validation and test"
    )
    splits = {split: write(tmp_path, f"{split}.csv", PLAIN) for split in ("train", "validation")}
    with pytest.raises(InputError, match=r"test split .* is empty: left out is 1 row labelled -1"):
        labelled_data(**splits, test=write(tmp_path, "test.csv", "text,label\na,-1\n"), ignore_label=-1).prepare_data()


def test_a_parquet_file_without_rows_still_lacks_its_column(tmp_path):
    pq.write_table(
        pa.table({"words": pa.array([], pa.string()), "label": pa.array([], pa.string())}), tmp_path / "a.parquet"
    )
    assert "there is no column 'text' but 'words', 'label': give data.text=NAME" in refusal(tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet", text="words").endswith(
        "0 rows are too few to cut into train, validation and test"
    )


def test_large_numbers_are_not_alike(tmp_path):
    table = write(tmp_path, "a.jsonl", jsonl(*[2**53, 2**53 + 1] * 20))
    assert "differ little" not in labelled_data(table).summaries()[0].line()
