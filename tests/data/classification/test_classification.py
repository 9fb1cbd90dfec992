"""Labelled texts: every source gives the same examples, and what is wrong in a file is told with its line."""

import gzip
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from seqlab.data import (
    ClassificationData,
    LabelledLines,
    LabelledTables,
    TinySentiment,
    from_options,
    labelled_data,
    mr_data,
)
from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.core.cut import Cut
from seqlab.errors import InputError

ROWS = [(f'row {i}, "caf\u00e9"', "yes" if i % 3 else "no") for i in range(40)]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    quoted = ['"' + text.replace('"', '""') + '"' for text, _ in ROWS]
    (tmp_path / "a.csv").write_text(
        "id,text,label\n" + "".join(f"1,{text},{label}\n" for text, (_, label) in zip(quoted, ROWS, strict=True))
    )
    (tmp_path / "a.tsv").write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in ROWS))
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    table = pa.table({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})
    pq.write_table(table, tmp_path / "a.parquet")
    return tmp_path


def three_copies(file: Path) -> dict[str, Path]:
    """A file for each split, of equal content: one file for two splits is refused."""
    found = {}
    for split in ("train", "validation", "test"):
        found[split] = file.parent / f"{split} copy" / file.name
        found[split].parent.mkdir(exist_ok=True)
        found[split].write_bytes(file.read_bytes())
    return found


def pairs(source, split: str) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in source.read(split)]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "b.jsonl.gz", "a.parquet"])
def test_each_format_gives_the_same_rows(folder, name):
    file = folder / name
    copies = three_copies(file)
    three = from_options(LabelledTables, **{**copies, "test": [copies["test"], file]})
    assert pairs(three, "train") == ROWS and pairs(three, "test") == ROWS * 2
    place = {"csv": ":5", "tsv": ":5", "arquet": ", row 4"}.get(name.split(".")[1].lstrip("p"), ":4")
    assert three.read("train")[3].place == f"{copies['train']}{place}"


def test_one_file_is_shuffled_by_the_split_seed_and_cut(folder):
    def cut(seed, name="a.csv"):
        source = from_options(LabelledTables, folder / name, split=(0.5, 0.25, 0.25), split_seed=seed)
        return [pairs(source, split) for split in ("train", "validation", "test")]

    assert [len(part) for part in cut(0)] == [20, 10, 10]
    assert sorted(row for part in cut(0) for row in part) == sorted(ROWS)
    assert cut(0) == cut(0, "a.parquet") != cut(1)
    assert {label for _, label in cut(0)[2]} == {"yes", "no"}


def test_the_shuffle_is_the_same_on_every_machine(folder):
    (folder / "n.tsv").write_text("text\tlabel\n" + "".join(f"{i}\tx\n" for i in range(10)))
    assert [int(text) for text, _ in pairs(LabelledTables(folder / "n.tsv"), "train")] == [7, 8, 1, 5, 3, 4, 2, 0]


def test_columns_are_chosen_by_name(folder):
    file = folder / "c.csv"
    file.write_text("a,b\nx,1\ny,2\n")
    source = from_options(LabelledTables, **three_copies(file), text="b", label="a")
    assert pairs(source, "train") == [("1", "x"), ("2", "y")]


def test_a_file_a_class(tmp_path):
    for name, word in (("neg", "bad"), ("pos", "good")):
        (tmp_path / "mr").mkdir(exist_ok=True)
        (tmp_path / "mr" / f"rt-polarity.{name}").write_text("".join(f"{word} {i}\n" for i in range(10)))
    data = mr_data(tmp_path)
    assert data.spec.labels == ("negative", "positive")
    assert data.spec.num_examples == {"train": 16, "validation": 2, "test": 2}
    every = [row for split in ("train", "validation", "test") for row in data.source.read(split)]
    assert sorted(row.text for row in every) == sorted([f"{word} {i}" for word in ("bad", "good") for i in range(10)])
    assert all((row.label == "positive") == row.text.startswith("good") for row in every)
    with pytest.raises(InputError, match="set the environment variable SEQLAB_DATA"):
        mr_data(None)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    (tmp_path / "set").mkdir()
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = sorted(ROWS, key=lambda row: row[1])  # as many sets of the hub stand: sorted by label
    for split, part in (("train", rows), ("test", rows[-3:])):
        texts, labels = zip(*part, strict=True)
        table = datasets.Dataset.from_dict({"text": list(texts), "label": list(labels)}, features=features)
        table.to_parquet(str(tmp_path / "set" / f"{split}.parquet"))
    return tmp_path / "set"


def test_a_data_set_of_the_hub_reads_class_names_and_cuts_what_it_lacks_from_shuffled_rows(hub):
    data = labelled_data(hub=str(hub), split=[0.5, 0.4, 0.1], batch_size=4)
    assert data.spec.labels == ("no", "yes")
    assert [row.label for row in data.source.read("test")] == ["yes"] * 3
    cut = data.source.read("validation")
    assert {row.label for row in cut} == {"no", "yes"} and len(cut) + len(data.source.read("train")) == 40
    assert all(dict(ROWS)[row.text] == row.label for row in cut)
    with pytest.raises(InputError, match=r"no column 'mood' but 'text', 'label': give data\.label=NAME"):
        labelled_data(hub=str(hub), label="mood").spec  # noqa: B018


def test_batches_hold_the_texts_and_their_classes(folder):
    data = labelled_data(folder / "a.csv", batch_size=8, bucket_batches=2, punctuation=True)
    assert {int(length) for length in data.lengths("train")} == {6}  # row 1 , " cafe "
    found = []
    for batch in data.train_dataloader():
        for row, length, target in zip(batch.inputs, batch.lengths, batch.targets, strict=True):
            found.append((data.vocabulary.decode(row[:length]), data.spec.labels[target]))
            assert not row[length:].any()
    assert sorted(found) == sorted((row.text, row.label) for row in data.source.read("train"))
    assert data.spec.model_arguments() == {"vocab_size": len(data.vocabulary), "num_classes": 2}
    assert data.spec.majority["train"] == pytest.approx(sum(label == "yes" for _, label in found) / 32)


def test_the_vocabulary_comes_from_training_alone_and_knows_the_unknown(tmp_path):
    data = ClassificationData(TinySentiment())
    assert data.vocabulary.tokens[-1] == "<unk>" and "I" in data.vocabulary.index
    assert data.vocabulary.encode("I saw it").tolist()[1:] == [10, 10]
    frequent = from_options(ClassificationData, TinySentiment(), min_frequency=2)
    assert set(frequent.vocabulary.tokens) == {"I", "film", "this", "a", "story", "what", "<unk>"}
    with pytest.raises(InputError, match=r"data\.unit is character but the vocabulary .* was made with word"):
        saved = frequent.vocabulary.save(tmp_path)
        from_options(ClassificationData, TinySentiment(), unit="character", vocabulary=saved).prepare_data()


def test_long_texts_are_cut_and_counted():
    data = ClassificationData(TinySentiment(), max_length=2)
    assert data.lengths("train").tolist() == [2, 2, 2, 2]
    batch = data.collate("train", [1, 0])
    assert [data.vocabulary.decode(row) for row in batch.inputs] == ["what a", "I love"]
    assert batch.targets.tolist() == [1, 1]
    assert "4 texts cut to their first 2 tokens" in data.summaries()[0].notes
    assert data.spec.output_names()["max_length"] == 2, "for whoever uses an exported model"
    read = {word for row in data.rows("train") for word in row.text.split()[:2]}
    assert set(data.vocabulary.tokens) == {*read, "<unk>"}, "none that no text has before its cut"
    letters = from_options(ClassificationData, TinySentiment(), unit="character", max_length=3)
    read = {letter for row in letters.rows("train") for letter in row.text[:3]}
    assert set(letters.vocabulary.tokens) == {*read, "<unk>"}


def test_classes_are_sorted_numbers_by_value_and_given_ones_kept(tmp_path):
    (tmp_path / "n.csv").write_text("text,label\n" + "".join(f"a {i},{i}\n" for i in (10, 9, 2)))
    file = tmp_path / "n.csv"
    source = from_options(LabelledTables, **three_copies(file))
    assert ClassificationData(source).spec.labels == ("2", "9", "10")
    assert ClassificationData(source, labels=[9, 10, 2, 7]).spec.labels == ("9", "10", "2", "7")


BROKEN = {
    "too many columns": ("a.csv", "text,label\na,x\nc,x,y\n", r"a\.csv:3: expected 2 columns \(text, label\), got 3"),
    "too few columns": ("a.csv", 'text,label\n"a\nb",x\nc\n', r"a\.csv:4: expected 2 columns .*got 1"),
    "no header": ("a.csv", "", r"a\.csv:1: expected a line of column names"),
    "an open quote": (
        "a.csv",
        'text,label\na,x\n"b,y\n',
        r"a\.csv:3: a quote opens .*never closed.*data\.quoting=none",
    ),
    "text after a quote": ("a.csv", 'text,label\na,x\n"b" c,y\n', r"a\.csv:3: a quote opens .*data\.quoting=none"),
    "ragged tsv": ("a.tsv", "text\tlabel\na\tx\nb\n", r"a\.tsv:3: expected 2 columns .*got 1; .*a tab"),
    "no such column": ("a.csv", "body,label\na,x\n", r"a\.csv:1: there is no column 'text' but 'body', 'label'"),
    "no label": ("a.csv", "text,label\na,x\nb,\n", r"a\.csv:3: expected a label in 'label', got ''"),
    "an empty text": ("a.csv", "text,label\na,x\n  ,y\n", r"a\.csv:3: the text is empty"),
    "broken json": ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', r"a\.jsonl:2: expected a JSON object in one"),
    "a json list": ("a.jsonl", "[1]\n", r"a\.jsonl:1: expected a JSON object, got \[1\]"),
    "a text that is none": ("a.jsonl", '{"text": 3, "label": 1}\n', r"a\.jsonl:1: expected text in 'text', got 3"),
    "a null label": ("a.jsonl", '{"text": "a", "label": null}\n', r"a\.jsonl:1: expected a label"),
    "one class": ("a.csv", "text,label\na,x\nb,x\n", r"has one class \(x\); two or more"),
    "another format": ("a.xls", "text", r"ends in \.csv, \.tsv, \.jsonl or \.parquet, got \.xls"),
    "no parquet": ("a.parquet", "text", r"a\.parquet is not a parquet file"),
    "another encoding": ("a.csv", b"text,label\na,x\ncaf\xe9,y\n", r"a\.csv:3: byte 0xe9 is not utf-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_with_file_and_line_number(tmp_path, case):
    name, content, words = BROKEN[case]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    file = tmp_path / name
    with pytest.raises(InputError, match=words) as caught:
        labelled_data(**three_copies(file)).spec  # noqa: B018
    assert "\n" not in str(caught.value)


def test_a_class_that_training_never_saw_counts_as_wrong_and_is_told(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\n")
    (tmp_path / "b.csv").write_text("text,label\na c,x\nb c,z\nc,z\n")
    (tmp_path / "c.csv").write_text("text,label\na d,x\n")
    data = labelled_data(train=tmp_path / "a.csv", validation=tmp_path / "c.csv", test=tmp_path / "b.csv")
    data.setup("fit")
    assert "test: 2 of 3 texts have a class that training never saw (z) and count as wrong" in caplog.text
    assert data.collate("test", [0, 1, 2]).targets.tolist() == [0, IGNORE_INDEX, IGNORE_INDEX]
    lacking = "2 rows of classes that training lacks (z); 60 % of the words read as <unk>"
    assert data.summaries()[2].line() == f"test: 3 rows; 1 class: x 1; {lacking}"
    (tmp_path / "c.csv").write_text("text,label\na d,z\n")
    with pytest.raises(InputError, match=r"c\.csv:2: no class of the validation split occurs in training"):
        labelled_data(train=tmp_path / "a.csv", validation=tmp_path / "c.csv", test=tmp_path / "b.csv").setup("fit")


def test_a_training_label_that_is_not_among_those_given_is_refused_before_training_alone(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "a,x\nb,y\nc,z\n" * 10)
    data = labelled_data(tmp_path / "a.csv", labels=["x", "y"])
    data.setup("test")
    with pytest.raises(
        InputError, match=r"a\.csv:\d+: the class 'z' is not among data\.labels=\[x,y\]: .* data\.ignore_label=z"
    ):
        data.setup("fit")


def test_a_class_that_is_given_and_has_no_row_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "a,x\nb,y\n" * 10)
    train, validation, _ = labelled_data(tmp_path / "a.csv", labels=["x", "y", "z", "why"]).summaries()
    assert train.line() == "train: 16 rows; 2 classes: x 8, y 8; no row of z, why, of data.labels"
    assert "data.labels" not in validation.line()


def test_an_empty_line_of_a_file_a_class_is_told_with_its_place(tmp_path):
    (tmp_path / "pos").write_text("good\n\nfine\nwell\n")
    (tmp_path / "neg").write_text("bad\nworse\nworst\nawful\n")
    lines = from_options(LabelledLines, {"n": tmp_path / "neg", "p": tmp_path / "pos"}, split=(0.5, 0.25, 0.25))
    with pytest.raises(InputError, match=r"pos:2: the text is empty"):
        ClassificationData(lines).prepare_data()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"no file given; give data\.path=FILE"),
        ({"train": "a.csv"}, r"data\.train given; give data\.path=FILE, alone or with data\.test=FILE, or all of"),
        ({"path": "none.csv"}, r"data\.path=none\.csv: there is no such file"),
        ({"path": "a.csv", "hub": "b"}, r"data\.hub and data\.path are both given"),
        ({"path": "a.csv", "name": "b"}, r"data\.name=b is for a data set of the hub"),
        ({"hub": "b", "batch_size": 0}, r"data\.batch_size=0 must be a whole number, 1 or more"),
        ({"hub": "b", "max_length": 0}, r"data\.max_length=0 must be a whole number, 1 or more"),
        ({"hub": "b", "split": [0.5, 0.5]}, r"data\.split="),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        labelled_data(**options)


def make(*overrides: str) -> ClassificationData:
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    return instantiate(config.data, _convert_="all")


def test_each_file_of_the_configuration_makes_its_data(folder, monkeypatch):
    tiny = make("data=tiny_sentiment", "seed=4")
    assert (tiny.batch_size, tiny.seed, tiny.spec.num_examples["train"]) == (2, 4, 4)
    own = make("data=classification", f"data.path={folder / 'a.csv'}", "data.lowercase=true")
    assert own.settings.lowercase and own.spec.num_examples == {"train": 32, "validation": 4, "test": 4}
    monkeypatch.setenv("SEQLAB_DATA", str(folder))
    (folder / "mr").mkdir()
    for name in ("neg", "pos"):
        (folder / "mr" / f"rt-polarity.{name}").write_text(f"{name} one\n{name} two\n" * 10)
    mr = make("data=mr")
    assert mr.settings.min_frequency == 2 and mr.spec.num_examples["test"] == 4
    batch = next(iter(mr.train_dataloader()))
    assert batch.inputs.dtype == torch.int64 and set(batch.targets.tolist()) == {0, 1}


@pytest.mark.parametrize("options", [{"lowercase": True}, {"punctuation": True}, {"max_length": 1}])
def test_texts_that_are_read_alike_stay_in_one_split_where_that_is_asked_for(tmp_path, options):
    words = [f"word{number}" for number in range(30)]
    alike = [text for word in words for text in (f"{word}. x", f"{word.upper()}. X", f"{word} . x", f"{word} y")]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{text},{len(text) % 2}\n" for text in alike))

    def told(**more) -> str:
        data = from_options(
            ClassificationData, LabelledTables(tmp_path / "a.csv", cut=Cut(**more)), min_frequency=1, **options
        )
        return " ".join(summary.line() for summary in data.summaries())

    assert "stand in train too" in told()
    assert "in train too" not in told(split_unique=True)
