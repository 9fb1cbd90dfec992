"""Hugging Face data sets from local files in the Hub's formats; nothing here needs a network."""

import json
import re
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqlab.data import AnswerHub, Hub, LabelledHub, LanguageModelData, ParallelHub, TaggedHub, from_options
from seqlab.errors import InputError

ROWS = [f"row {i} caf\u00e9" for i in range(40)]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def offline_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("\n".join(ROWS) + "\n")
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{row},1\n" for row in ROWS))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": row, "label": 1}) + "\n" for row in ROWS))
    pq.write_table(pa.table({"text": ROWS, "label": [1] * len(ROWS)}), tmp_path / "a.parquet")
    return tmp_path


def texts(hub: Hub, split: str) -> list[str]:
    pieces = list(hub.read(split))
    assert all(begins for _, begins in pieces), "each row is a document"
    return [text for text, _ in pieces]


@pytest.mark.parametrize(
    ("kind", "file"), [("text", "a.txt"), ("csv", "a.csv"), ("json", "a.jsonl"), ("parquet", "a.parquet")]
)
def test_each_format_gives_the_same_rows_cut_from_train_with_a_log_line(folder, kind, file, caplog):
    hub = from_options(Hub, path=kind, data_files=str(folder / file), split=(0.8, 0.1, 0.1))
    assert texts(hub, "train") == [f"{row}\n" for row in ROWS[:32]]
    assert texts(hub, "validation") == [f"{row}\n" for row in ROWS[32:36]]
    assert texts(hub, "test") == [f"{row}\n" for row in ROWS[36:]]
    assert f"{kind} has no split 'validation': 4 rows from the end of train serve" in caplog.text


def test_named_splits_are_taken_as_they_are_and_a_missing_one_is_cut(folder, caplog):
    files = {"train": str(folder / "a.txt"), "dev": str(folder / "a.txt")}
    hub = from_options(Hub, path="text", data_files=files, validation="dev", split=(0.9, 0.05, 0.05))
    assert len(texts(hub, "validation")) == 40
    assert (len(texts(hub, "train")), len(texts(hub, "test"))) == (38, 2)
    assert "validation" not in caplog.text


def test_a_folder_is_a_data_set_and_its_column_is_chosen(tmp_path):
    (tmp_path / "set").mkdir()
    for split in ("train", "validation", "test"):
        pq.write_table(pa.table({"other": ["x", None, "y\n"]}), tmp_path / "set" / f"{split}.parquet")
    assert texts(Hub(str(tmp_path / "set"), column="other"), "test") == ["x\n", "y\n"]


def test_rows_are_documents_of_the_language_model(folder):
    data = from_options(
        LanguageModelData,
        from_options(Hub, path="csv", data_files=str(folder / "a.csv")),
        unit="word",
        batch_size=2,
        tbptt_steps=8,
        restart_documents=True,
    )
    batch = next(iter(data.train_dataloader()))
    assert batch.lengths.tolist() == [3, 1]  # the second row begins with a row's last word
    assert data.vocabulary.decode(batch.inputs[0, :3]) == "row 0 caf\u00e9"


def test_the_fingerprint_follows_the_rows_and_not_the_format(folder):
    one = from_options(Hub, path="csv", data_files=str(folder / "a.csv")).fingerprint()
    assert from_options(Hub, path="parquet", data_files=str(folder / "a.parquet")).fingerprint() == one
    (folder / "b.txt").write_text("\n".join([*ROWS[:-1], "other"]))
    assert from_options(Hub, path="text", data_files=str(folder / "b.txt")).fingerprint() != one
    assert from_options(Hub, path="csv", data_files=str(folder / "a.csv"), split=(0.5, 0.25, 0.25)).fingerprint() != one


def refused(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        from_options(Hub, path=path, **options).fingerprint()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_column_lists_those_there_are(folder):
    message = refused("csv", data_files=str(folder / "a.csv"), column="body")
    assert message == "the data set csv has no column 'body' but 'text', 'label': give data.column=text"


def test_a_column_without_text_is_refused(folder):
    message = refused("csv", data_files=str(folder / "a.csv"), column="label")
    assert message == "the column 'label' of the data set csv holds int64, not text; columns with text: 'text'"


def test_a_data_set_that_needs_a_loading_script_is_refused(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.py").write_text("import datasets\n")
    assert "needs a loading script, which `datasets` no longer runs" in refused(str(tmp_path / "old"))


def test_a_data_set_that_cannot_be_reached_is_one_line():
    assert "is not on this machine and the Hub cannot be reached" in refused("nobody/nothing")


def test_an_unknown_configuration_lists_those_there_are(folder):
    assert "BuilderConfig 'zz' not found. Available: ['default']" in refused(str(folder), name="zz")


def test_missing_and_broken_files_are_one_line(folder):
    assert "Unable to find" in refused("csv", data_files=str(folder / "none.csv"))
    assert "the data set json cannot be loaded: " in refused("json", data_files=str(folder / "a.csv"))


def test_a_data_set_without_a_training_split_lists_its_splits(folder):
    message = refused("text", data_files={"dev": str(folder / "a.txt")})
    assert message == "the data set text has no split 'train' but 'dev': give data.train=SPLIT"


def test_too_few_rows_to_cut_from_are_refused(folder):
    (folder / "one.txt").write_text("one\ntwo\n")
    assert "has 2 training rows, too few to cut validation and test from" in refused(
        "text", data_files=str(folder / "one.txt")
    )


IN_PLACE = "in place of data.hub"
ASKERS = {
    "text": (Hub, "data.", "data.path=text data.data_files=FILE"),
    "labelled": (LabelledHub, "data.", f"data.path=FILE {IN_PLACE}"),
    "tagged": (TaggedHub, "data.", f"data.path=FILE {IN_PLACE}"),
    "answers": (AnswerHub, "data.", f"data.train=FILE data.test=FILE {IN_PLACE}"),
    "parallel": (
        lambda path: ParallelHub(path, "de", "en"),
        "data.hub.",
        f"data.path.source=FILE data.path.target=FILE {IN_PLACE}.path",
    ),
}


@pytest.mark.parametrize("asker", ASKERS)
def test_a_hint_names_the_options_of_whoever_asks(tmp_path, asker):
    make, options, files = ASKERS[asker]
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "set" / "validation.parquet")
    with pytest.raises(InputError, match=f"no split 'train' but 'validation': give {re.escape(options)}train=SPLIT$"):
        list(make(str(tmp_path / "set")).read("train"))
    with pytest.raises(InputError, match=rf"connect, or give local files as {re.escape(files)}$"):
        list(make("nobody/nothing").read("train"))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.py").write_text("import datasets\n")
    with pytest.raises(InputError, match=rf"json or text, or give local files as {re.escape(files)}$"):
        list(make(str(tmp_path / "old")).read("train"))


def test_too_few_rows_of_pairs_name_the_options_of_pairs(tmp_path):
    pq.write_table(pa.table({"de": ["a"], "en": ["b"]}), tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"give data\.hub\.validation=SPLIT and data\.hub\.test=SPLIT$"):
        ParallelHub(str(tmp_path), "de", "en").read("train")


def test_a_column_of_labelled_texts_is_named_by_its_own_option(folder):
    def reading(**columns):
        return from_options(LabelledHub, path="csv", data_files=str(folder / "a.csv"), **columns).read("train")

    with pytest.raises(InputError, match=r"no column 'body' but 'text', 'label': give data\.text=text$"):
        reading(text="body")
    with pytest.raises(InputError, match=r"no column 'mood' but 'text', 'label': give data\.label=NAME$"):
        reading(label="mood")
    with pytest.raises(InputError, match=r"the column 'label' .* holds int64, not text; columns with text: 'text'$"):
        reading(text="label", label="text")
