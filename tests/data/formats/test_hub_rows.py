"""What of a data set of the hub is read, left out or refused; all of it from local files, none over a network."""

from pathlib import Path

import datasets
import pytest

from seqlab.data import (
    AnswerHub,
    Hub,
    HubDataset,
    ParallelHub,
    TaggedHub,
    from_options,
    hub_data,
    labelled_data,
    parallel_data,
    tagged_data,
)
from seqlab.data.formats.hub_rows import HubRows
from seqlab.errors import InputError

ROWS = [(f"film {i} was {'good' if i % 2 else 'bad'}", i % 2) for i in range(60)]
NAMED = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def offline_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def data_set(rows, features=NAMED) -> datasets.Dataset:
    texts, labels = zip(*rows, strict=True)
    return datasets.Dataset.from_dict({"text": list(texts), "label": list(labels)}, features=features)


def saved(tmp_path: Path, **splits) -> str:
    """A folder that ``save_to_disk`` wrote."""
    datasets.DatasetDict({name: data_set(rows) for name, rows in splits.items()}).save_to_disk(tmp_path / "saved")
    return str(tmp_path / "saved")


def csv_set(tmp_path: Path, content: str) -> str:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text(content)
    return str(tmp_path / "set")


def every_row(data) -> list[tuple[str, str]]:
    return sorted((row.text, row.label) for split in ("train", "validation", "test") for row in data.rows(split))


def test_a_folder_of_save_to_disk_is_a_data_set_with_splits_or_without(tmp_path):
    expected = sorted((text, ("neg", "pos")[label]) for text, label in ROWS)
    assert every_row(labelled_data(hub=saved(tmp_path, train=ROWS[:40], test=ROWS[40:]))) == expected
    data_set(ROWS).save_to_disk(tmp_path / "one")
    assert every_row(labelled_data(hub=str(tmp_path / "one"))) == expected
    with pytest.raises(InputError, match=r"^data\.name=x: .* was written by save_to_disk and has none"):
        labelled_data(hub=str(tmp_path / "one"), name="x").prepare_data()


ASKERS = {
    "text": lambda path, **splits: from_options(Hub, path=path, **splits),
    "labelled": lambda path, **splits: labelled_data(hub=path, **splits).source,
    "tagged": lambda path, **splits: from_options(TaggedHub, path=path, **splits),
    "answers": lambda path, **splits: from_options(AnswerHub, path=path, **splits),
    "parallel": lambda path, **splits: ParallelHub(HubDataset(path, **splits), "text", "label"),
}


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_that_was_named_has_to_be_there(tmp_path, asker, split):
    path = saved(tmp_path, train=ROWS, dev=ROWS)
    options = "data.hub." if asker == "parallel" else "data."
    message = rf"has no split 'heldout' but 'train', 'dev': give {options}{split}=SPLIT"
    with pytest.raises(InputError, match=message):
        list(ASKERS[asker](path, **{split: "heldout"}).read("train"))
    with pytest.raises(InputError, match=rf"has no split '{split}' but"):  # its own name, but named
        list(ASKERS[asker](path, **{split: split}).read("train"))


def test_two_splits_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"data\.train and data\.test are both 'train'"):
        labelled_data(hub="x", test="train")


def test_hidden_labels_are_left_out_and_counted_and_rows_keep_their_numbers(tmp_path):
    hidden = [(text, -1 if i in (3, 23) else label) for i, (text, label) in enumerate(ROWS)]
    data = labelled_data(hub=saved(tmp_path, train=hidden))
    assert data.spec.labels == ("neg", "pos") and sum(data.spec.num_examples.values()) == 58
    assert data.summaries()[0].left_out == {"rows with a hidden label (-1) (before the cut)": 2}
    for split in ("train", "validation", "test"):
        for row in data.rows(split):
            assert row.place.endswith(f", train row {ROWS.index((row.text, int(row.label == 'pos'))) + 1}")


def test_a_split_of_hidden_labels_alone_is_refused_and_another_can_be_cut(tmp_path, caplog):
    path = saved(tmp_path, train=ROWS, test=[(text, -1) for text, _ in ROWS[:9]])
    with pytest.raises(InputError, match=r"test split .* is empty: left out are 9 rows with a hidden label .*=cut"):
        labelled_data(hub=path).prepare_data()
    data = labelled_data(hub=path, test="cut", validation="cut")
    data.prepare_data()
    assert "6 rows drawn from train serve as test, as data.test=cut asks" in caplog.text
    assert data.spec.num_examples == {"train": 48, "validation": 6, "test": 6}
    assert every_row(data) == sorted((text, ("neg", "pos")[label]) for text, label in ROWS)


def test_numbers_without_names_are_classes_unless_they_are_ignored(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.Value("int64")})
    data_set([(text, -1 if i < 6 else label) for i, (text, label) in enumerate(ROWS)], features).save_to_disk(tmp_path)
    assert labelled_data(hub=str(tmp_path)).spec.labels == ("-1", "0", "1")
    ignoring = labelled_data(hub=str(tmp_path), ignore_label=-1)
    assert ignoring.spec.labels == ("0", "1")
    assert ignoring.summaries()[0].left_out == {"rows labelled -1 (before the cut)": 6}


def test_a_label_that_is_no_number_is_refused_with_its_row(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.Value("float64")})
    rows = [(text, float("nan") if i == 7 else label) for i, (text, label) in enumerate(ROWS)]
    data_set(rows, features).save_to_disk(tmp_path / "nan")
    with pytest.raises(InputError, match=r"nan, train row 8: expected a label in 'label', got nan"):
        labelled_data(hub=str(tmp_path / "nan")).prepare_data()


NA = "text,label\n" + "".join(
    f"{['NA', 'null', 'None', 'n/a'][i % 4] if i % 4 == 0 else f'row {i}'},0{i % 2}\n" for i in range(40)
)


def test_what_csv_holds_is_read_as_written(tmp_path):
    path = csv_set(tmp_path, NA)
    rows = every_row(labelled_data(hub=path))
    assert len(rows) == 40 and ("NA", "00") in rows and {label for _, label in rows} == {"00", "01"}
    assert sum(text == "NA\n" for split in ("train", "validation", "test") for text, _ in Hub(path).read(split)) == 10


@pytest.mark.parametrize("row", ["a text,00,", "a text"])
def test_ragged_csv_is_never_shifted_or_filled(tmp_path, row):
    path = csv_set(tmp_path, NA + f"{row}\n" if row == "a text" else NA.replace("0\n", "0,\n").replace("1\n", "1,\n"))
    with pytest.raises(InputError, match=r"expected a label|cannot be loaded"):
        labelled_data(hub=path).prepare_data()


def test_rows_without_a_value_are_counted_for_a_language_model(tmp_path, caplog):
    rows = [(None if i in (4, 7) else text, label) for i, (text, label) in enumerate(ROWS)]
    data_set(rows).save_to_disk(tmp_path / "nulls")
    data = hub_data(str(tmp_path / "nulls"), unit="word")
    data.prepare_data()
    assert data.summaries()[0].left_out == {"rows without a value": 2}
    assert "rows without a value in 'text' are left out: 2, the first is" in caplog.text
    assert "nulls, train row 5" in caplog.text


def test_the_rows_of_a_shuffled_cut_know_where_they_stood(tmp_path):
    hub = HubRows(saved(tmp_path, train=ROWS), lambda rows: rows, files="", shuffle_seed=3)
    for split in ("train", "validation", "test"):
        for number, (text,) in enumerate(hub.read(split, "text")):
            row = int(hub.place(split, number).rsplit(" ", 1)[1])
            assert ROWS[row - 1][0] == text


def test_floats_of_few_bits_are_named_by_their_shortest_digits(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.Value("float32")})
    data_set([(text, (0.1, 2.0)[label]) for text, label in ROWS], features).save_to_disk(tmp_path / "floats")
    assert labelled_data(hub=str(tmp_path / "floats")).spec.labels == ("0.1", "2")


def test_a_tsv_of_the_hub_keeps_its_separator(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.tsv").write_text(NA.replace(",", "\t"))
    rows = every_row(labelled_data(hub=str(tmp_path / "set")))
    assert len(rows) == 40 and ("NA", "00") in rows


def test_rows_that_a_stray_quote_swallowed_are_refused_in_csv_of_the_hub_too(tmp_path):
    lines = [f"{text},{('neg', 'pos')[label]}" for text, label in ROWS]
    lines[5], lines[20] = f'"{lines[5]}', lines[20].replace(",", '",')
    path = csv_set(tmp_path, "\n".join(["text,label", *lines, '"two lines,\nof one text, really",pos']) + "\n")
    message = (
        r"set, train row 6: the value spans 16 lines, 15 of which would be rows: a quote before them is not closed"
    )
    with pytest.raises(InputError, match=message):
        labelled_data(hub=path).prepare_data()
    with pytest.raises(InputError, match=message):
        list(Hub(path).read("train"))
    lines[5], lines[20] = "text,neg", "text,pos"
    (tmp_path / "set" / "train.csv").write_text(
        "\n".join(["text,label", *lines, '"two lines,\nof one text, really",pos']) + "\n"
    )
    assert ("two lines,\nof one text, really", "pos") in every_row(labelled_data(hub=path))


def test_a_saved_split_without_rows_is_named(tmp_path):
    folder = tmp_path / "saved"
    empty = datasets.Dataset.from_dict({"text": [], "label": []}, features=NAMED)
    datasets.DatasetDict({"train": data_set(ROWS), "validation": empty}).save_to_disk(folder)
    with pytest.raises(InputError, match=r"the validation split of .*saved is empty"):
        labelled_data(hub=str(folder)).prepare_data()
    assert len(labelled_data(hub=str(folder), validation="cut").rows("validation")) == 6


def splits_of(rows: list[dict]) -> dict[str, datasets.Dataset]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {"train": datasets.Dataset.from_dict(columns)}


def test_pairs_with_an_empty_side_are_left_out_before_the_cut(tmp_path):
    pairs = [{"de": f"Satz {i}", "en": " " if i % 5 == 0 else f"phrase {i}"} for i in range(100)]
    for name, rows in {"one": [{"translation": pair} for pair in pairs], "two": pairs}.items():
        datasets.DatasetDict(splits_of(rows)).save_to_disk(tmp_path / name)
        data = parallel_data(hub={"path": str(tmp_path / name), "source": "de", "target": "en"}, skip_empty=True)
        train, *others = data.summaries()
        assert train.left_out == {"pairs with an empty side (before the cut)": 20}
        assert [split.left_out for split in others] == [{}, {}]
        assert data.spec.num_pairs == {"train": 64, "validation": 8, "test": 8}
        for split in ("train", "validation", "test"):
            for pair in data.rows(split):
                assert pair.source == f"Satz {int(pair.place.rsplit(' ', 1)[1]) - 1}"


def test_sentences_with_a_hidden_tag_are_left_out_before_the_cut(tmp_path):
    rows = [{"tokens": ["a", f"b{i}"], "tags": [0, -100 if i % 5 == 0 else 1]} for i in range(100)]
    datasets.DatasetDict(splits_of(rows)).save_to_disk(tmp_path)
    data = tagged_data(hub=str(tmp_path))
    assert data.summaries()[0].left_out == {"sentences with a hidden tag (-100) (before the cut)": 20}
    assert data.spec.num_sentences == {"train": 64, "validation": 8, "test": 8}
    hub = TaggedHub(str(tmp_path))
    for sentence in hub.read("test"):
        assert sentence.words[1] == f"b{int(sentence.place(1).split('train row ')[1].split(',')[0]) - 1}"


def test_a_data_set_of_hidden_tags_alone_is_refused(tmp_path):
    datasets.DatasetDict(splits_of([{"tokens": ["a"], "tags": [-100]}] * 9)).save_to_disk(tmp_path)
    with pytest.raises(
        InputError, match=r"'train' .* is empty, for 9 sentences with a hidden tag .* data\.train=SPLIT"
    ):
        tagged_data(hub=str(tmp_path)).prepare_data()


@pytest.mark.parametrize("name", ["csv", "text", "parquet"])
def test_a_format_without_files_does_not_read_the_working_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"train.{name}").write_text(NA)
    with pytest.raises(InputError, match=rf"{name} is a format of files, and none are given: .* data\.path=FILE"):
        labelled_data(hub=name).prepare_data()


def test_a_folder_with_a_file_that_cannot_be_read_is_refused(tmp_path):
    path = Path(csv_set(tmp_path, NA))
    (path / "more.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"1 of 2 is no file .*set/more\.csv is a link to what is not there"):
        labelled_data(hub=str(path)).prepare_data()
