"""Labels and texts of a table, and how its rows are cut into splits."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqlab.data import labelled_data
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import cut_rows
from seqlab.errors import InputError
from tests.data.formats.table_rows import PLAIN, jsonl, read, refusal, write


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
