"""Labelled sequences: batches, statistics and cuts of a user's files, and data that is made or comes with packages."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from seqlab.config import build
from seqlab.data import (
    Batching,
    Cut,
    DigitPixels,
    Files,
    LabelledSeriesFiles,
    MovingDigits,
    SeriesClassData,
    SeriesFormat,
    Waveforms,
    labelled_series_data,
)
from seqlab.data.formats.labelled_series import LabelledSeries
from seqlab.data.formats.series import Series
from seqlab.data.series_classification.sources import same_values
from seqlab.errors import InputError
from tests.conftest import config_of
from tests.data.series_classification.clips import write_clips

BY_ID = SeriesFormat(id="id")


def long_table(path, series):
    """A long table of (id, label, values (T, F)) with features x, y, ..."""
    features = "xyz"[: series[0][2].shape[1]]
    rows = [f"id,label,{','.join(features)}"]
    for name, label, values in series:
        rows += [f"{name},{label}," + ",".join("" if np.isnan(v) else f"{v:g}" for v in step) for step in values]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def series():
    """Ten series of two classes and of lengths 3 to 12, whose numbers tell them apart."""
    return [
        (f"s{n}", "walk" if n % 2 else "run", np.column_stack([np.arange(3.0 + n) + 100 * n, np.full(3 + n, 0.5)]))
        for n in range(10)
    ]


def data_of(tmp_path, series, missing="refuse", **options):
    files = options.pop("files", None) or long_table(tmp_path / "long.csv", series)
    return SeriesClassData(LabelledSeriesFiles(files, BY_ID, **options), Batching(4), missing)


def test_a_sequence_that_float32_cannot_tell_beside_others_is_told(tmp_path, series, caplog):
    data_of(tmp_path, series).spec  # noqa: B018
    assert "float32" not in caplog.text
    path = tmp_path / "long.csv"
    path.write_text(path.read_text().replace("s0,run,", "s0,run,40000000"))
    data_of(tmp_path, series, files=path).spec  # noqa: B018
    (said,) = [record.getMessage() for record in caplog.records if "float32" in record.getMessage()]
    assert said.count("x of ") == 1 and "; subtract a constant" in said


def test_a_cut_gives_each_split_its_share_of_every_class_and_statistics_are_those_of_training(tmp_path, series):
    data = data_of(tmp_path, series, cut=Cut((0.6, 0.2, 0.2)))
    by_name = {name: values for name, _, values in series}
    for split, size in (("train", 6), ("validation", 2), ("test", 2)):
        rows = data.rows(split)
        assert len(rows) == size and sorted(row.label for row in rows) == ["run"] * (size // 2) + ["walk"] * (size // 2)
    train = np.concatenate([by_name[row.name] for row in data.rows("train")])
    mean, std = data.spec.statistics()
    torch.testing.assert_close(mean, torch.tensor(train.mean(0), dtype=torch.float32))
    torch.testing.assert_close(std, torch.tensor([train[:, 0].std(), 1.0], dtype=torch.float32))  # y never changes
    summary = data.summaries()
    assert "constant: y" in summary[0].line() and "steps each" in summary[0].line()
    assert (
        summary[0].line().startswith(f"train: 6 series, {len(train)} steps; ") and "run 3, walk 3" in summary[0].line()
    )
    assert data.spec.model_arguments() == {"num_features": 2, "observed": False, "num_classes": 2}
    assert data.spec.output_names() == {"labels": list(data.labels), "features": ["x", "y"]}
    assert replace(data.spec, missing="forward").output_names()["missing"] == "forward"  # for whoever uses a file
    assert data.spec.majority == {"train": 0.5, "validation": 0.5, "test": 0.5}


def test_a_batch_holds_each_series_its_length_and_its_class(tmp_path, series):
    data = data_of(tmp_path, series)
    batch = data.collate("train", [0, 1, 2])
    for row, number in enumerate((0, 1, 2)):
        one = data.rows("train")[number]
        length = int(batch.lengths[row])
        assert length == len(one) and data.labels[batch.targets[row]] == one.label
        np.testing.assert_array_equal(batch.inputs[row, :length], one.values)
        assert not batch.inputs[row, length:].any()
    assert batch.inputs.dtype == torch.float32


def test_missing_values_are_refused_carried_on_or_left_for_the_model(tmp_path, series):
    series[3][2][1, 0] = np.nan
    with pytest.raises(InputError, match=r"long.csv:\d+: x is missing, and 1 of 12 values of s3 are"):
        data_of(tmp_path, series).spec  # noqa: B018

    def read(missing):
        data = data_of(tmp_path, series, missing)
        split, number = next(
            (s, n) for s in data.spec.num_examples for n, r in enumerate(data.rows(s)) if r.name == "s3"
        )
        assert "1 value missing" in "".join(each.line() for each in data.summaries())
        return data, data.collate(split, [number]).inputs[0, :, 0].tolist()

    data, values = read("forward")
    assert values[:3] == [300, 300, 302] and not data.spec.model_arguments()["observed"]
    data, values = read("mask")
    assert np.isnan(values[1]) and values[2] == 302 and data.spec.model_arguments()["observed"]


def test_validation_is_cut_from_train_where_only_train_and_test_are_given(tmp_path, series):
    train = long_table(tmp_path / "train.csv", series[:8])
    test = long_table(tmp_path / "test.csv", series[8:])
    data = data_of(tmp_path, series, files=Files(train=train, test=test), validation_share=0.25)
    assert {split: len(data.rows(split)) for split in ("train", "validation", "test")} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    assert {row.name for row in data.rows("test")} == {"s8", "s9"}
    for options, error in (
        ({"files": Files(train=train, test=test)}, r"data.train and data.test given.*data.validation_share=0.2"),
        ({"files": Files(path=train), "validation_share": 0.2}, r"it is for data.train= and data.test=, got data.path"),
        ({"files": Files(train=train, test=test), "validation_share": 1.0}, "must be above 0 and below 1"),
        ({"files": Files(train=train, test=train), "validation_share": 0.2}, "the same file twice"),
    ):
        with pytest.raises(InputError, match=error):
            data_of(tmp_path, series, **options)


def test_equal_series_are_told_of_or_kept_in_one_split(tmp_path, series):
    twins = [(f"{name}{copy}", label, values) for name, label, values in series for copy in "ab"]
    assert "too" in "".join(each.line() for each in data_of(tmp_path, twins).summaries())
    data = data_of(tmp_path, twins, cut=Cut(split_unique=True))
    names = {split: {row.name[:2] for row in data.rows(split)} for split in ("train", "validation", "test")}
    assert not names["train"] & (names["validation"] | names["test"]) and not names["validation"] & names["test"]


def test_zeros_of_either_sign_are_equal():
    zero, signed, other = (
        same_values(LabelledSeries(Series("a", np.array([[value], [1.0]]), ("", "")), "x", ""))
        for value in (0.0, -0.0, 1.0)
    )
    assert zero == signed != other


def test_files_that_a_table_names_are_series_of_any_length(tmp_path):
    draw = np.random.default_rng(0)
    lines = ["file,label,subject"]
    for number in range(12):
        np.save(tmp_path / f"{number}.npy", draw.random((2 + number, 3)))
        lines.append(f"{number}.npy,{'ab'[number % 2]},{number // 4}")
    table = tmp_path / "index.csv"
    table.write_text("\n".join(lines))
    data = SeriesClassData(LabelledSeriesFiles(table, file="file"))
    assert data.spec.features == ("0", "1", "2") and data.spec.labels == ("a", "b")
    assert set(data.input_files()) == {str(table), *(str(tmp_path / f"{number}.npy") for number in range(12))}
    with pytest.raises(InputError, match=r"npy: there is no column 'x', which the data names; it has 0, 1, 2"):
        SeriesClassData(LabelledSeriesFiles(table, file="file", features=["0", "1", "x"])).spec  # noqa: B018
    with pytest.raises(InputError, match=r"data.file=file and data.id=id"):
        LabelledSeriesFiles(table, BY_ID, file="file")
    with pytest.raises(InputError, match=r"data.features and data.label both name the column 'label'"):
        LabelledSeriesFiles(table, features=["x", "label"])


def test_arrays_of_integers_beside_floats_are_told(tmp_path, caplog):
    table, arrays = tmp_path / "index.csv", [np.array([[0.25], [0.5]]), np.array([[8192], [16384]], dtype=np.int16)]
    for name, kinds in (("floats", [0]), ("both", [0, 1])):
        for row in range(8):
            np.save(tmp_path / f"{row}.npy", arrays[kinds[row % len(kinds)]] + row)
        table.write_text("file,label\n" + "".join(f"{row}.npy,{'ab'[row % 2]}\n" for row in range(8)))
        caplog.clear()
        LabelledSeriesFiles(Files(path=table), file="file", cut=Cut([0.5, 0.25, 0.25], 1)).read("train")
        told = "index.csv:3: the values of 1.npy are integers of 16 bits, and those of 0.npy floats" in caplog.text
        assert told == (name == "both")


def test_what_cannot_be_classified_is_refused(tmp_path, series):
    alone = [(name, "walk", values) for name, _, values in series]
    with pytest.raises(InputError, match=r"has one class \(walk\); two or more"):
        data_of(tmp_path, alone).spec  # noqa: B018
    with pytest.raises(InputError, match=r"expected the features y, x, got x, y"):
        files = long_table(tmp_path / "long.csv", series)
        SeriesClassData(LabelledSeriesFiles(files, BY_ID), features=["y", "x"]).spec  # noqa: B018
    files = long_table(tmp_path / "long.csv", [*series, *((f"t{n}", "swim", values) for n, _, values in series)])
    labels = SeriesClassData(LabelledSeriesFiles(files, BY_ID, cut=Cut((0.6, 0.2, 0.2))), labels=["walk", "run"])
    with pytest.raises(InputError, match=r"the class 'swim' is not among data.labels=\[walk,run\]"):
        labels.setup("fit")
    with pytest.raises(InputError, match=r"data.missing=drop must be one of"):
        SeriesClassData(Waveforms(), missing="drop")
    with pytest.raises(InputError, match=r"data.sizes=\[2, 9, 9\] must be three whole numbers .* 3 or more"):
        Waveforms([2, 9, 9])
    with pytest.raises(TypeError, match="neither LabelledSeriesFiles nor SeriesClassData takes it"):
        labelled_series_data(str(files), colour="red")


def test_equal_data_have_one_fingerprint_and_others_another(tmp_path, series):
    one, other = data_of(tmp_path, series).fingerprint(), data_of(tmp_path, series).fingerprint()
    series[4] = (series[4][0], "walk", series[4][2])
    assert one == other != data_of(tmp_path, series).fingerprint()


def test_the_choices_of_a_configuration_make_them(tmp_path, series):
    assert isinstance(build.build_data(config_of("data=waveforms")).source, Waveforms)
    path = long_table(tmp_path / "long.csv", series)
    data = build.build_data(config_of("data=labelled_series", f"data.path={path}", "data.id=id", "data.features=x"))
    assert data.spec.features == ("x",) and data.input_files() == [str(path)] and data.bucket_batches == 8
    data = build.build_data(config_of("data=clips", f"data.path={write_clips(tmp_path)}"))
    assert data.spec.has_pictures and data.spec.reads_folders
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'seqlab[digits]')")
    assert isinstance(build.build_data(config_of("data=digit_pixels")).source, DigitPixels)
    assert isinstance(build.build_data(config_of("data=moving_digits")).source, MovingDigits)


def test_columns_that_only_some_files_have_are_refused_unless_columns_are_named(tmp_path, series):
    whole = long_table(tmp_path / "long.csv", series)
    wide = [(f"w{n}", label, np.column_stack([values, values[:, 0]])) for n, (_, label, values) in enumerate(series)]
    both = [whole, long_table(tmp_path / "wide.csv", wide)]
    with pytest.raises(InputError, match=r"wide.csv has a column 'z', which the first file lacks; .* data.features="):
        data_of(tmp_path, series, files=both).spec  # noqa: B018
    assert data_of(tmp_path, series, files=both, features=["x", "y"]).spec.features == ("x", "y")
    for number, (_, _, values) in enumerate(series):
        np.save(tmp_path / f"{number}.npy", values if number != 3 else values[:, [0, 1, 1]])
    table = tmp_path / "named.csv"
    table.write_text("file,label\n" + "".join(f"{n}.npy,{label}\n" for n, (_, label, _) in enumerate(series)))
    with pytest.raises(InputError, match=r"3.npy has a column '2', which the first file lacks"):
        SeriesClassData(LabelledSeriesFiles(table, file="file"), Batching(4)).spec  # noqa: B018
