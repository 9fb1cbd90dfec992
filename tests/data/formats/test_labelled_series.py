"""Series with a class each, in long tables, a file each, or files that a table names."""

import numpy as np
import pandas as pd
import pytest

from seqlab.data.core.labels import LabelNames
from seqlab.data.formats.labelled_series import number_names, read_labelled, read_numbers
from seqlab.data.formats.named_files import check_named_once, read_named_files
from seqlab.data.formats.series import SeriesFormat
from seqlab.errors import InputError

LONG = "id,t,label,x,y\nb,1,run,1,5\na,1,walk,2,6\nb,2,run,3,7\na,3,walk,4,8\n"
BY_ID = SeriesFormat(id="id", time="t")


def written(tmp_path, text, name="long.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def labelled(path, form=BY_ID, features=("x", "y")):
    return read_labelled(path, form, "label", features, LabelNames("label"))


def test_a_long_table_has_a_series_and_a_class_for_each_id_and_its_gaps_are_missing(tmp_path):
    path = written(tmp_path, LONG)
    b, a = labelled(path)
    assert (b.name, b.label, a.name, a.label) == ("b", "run", "a", "walk") and b.place.endswith("long.csv:2")
    np.testing.assert_array_equal(b.values, [[1, 5], [3, 7]])
    np.testing.assert_array_equal(a.values, [[2, 6], [4, 8]])  # a's commonest step is 2
    assert number_names(path, BY_ID, "label") == ["x", "y"]
    with pytest.raises(InputError, match=r"no column 'class', which data.label names; it has id, t, label, x, y"):
        number_names(path, BY_ID, "class")


def test_a_file_without_ids_is_one_series_and_labels_of_parquet_may_be_numbers(tmp_path):
    frame = pd.DataFrame({"label": [3, 3], "x": [0.5, np.nan]})
    frame.to_parquet(tmp_path / "one.parquet")
    (series,) = labelled(tmp_path / "one.parquet", SeriesFormat(), ["x"])
    assert (series.name, series.label, len(series)) == ("one", "3", 2) and np.isnan(series.values[1, 0])


def test_files_without_names_are_read_by_place(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, 2.0], [3.0, 4.0]]))
    ts = written(tmp_path, "@classLabel true a\n@data\n1,3:2,4:a\n", "a.ts")
    for path in (tmp_path / "a.npy", ts):
        assert number_names(path, SeriesFormat()) == ["0", "1"]
        (by_place,) = read_numbers(path, SeriesFormat(), ["x", "y"], by_place=True)
        np.testing.assert_array_equal(by_place.values, [[1, 2], [3, 4]])
        (chosen,) = read_numbers(path, SeriesFormat(), ["1"])
        np.testing.assert_array_equal(chosen.values, [[2], [4]])
        with pytest.raises(InputError, match=r"expected 3 numbers a step \(x, y, z\), got 2"):
            read_numbers(path, SeriesFormat(), ["x", "y", "z"], by_place=True)
        with pytest.raises(InputError, match=r"there is no (column|dimension) 'x', which the data names; it has 0, 1"):
            read_numbers(path, SeriesFormat(), ["0", "x"])
    with pytest.raises(InputError, match=r"data.id=id is for tables"):
        read_numbers(ts, SeriesFormat(id="id"), ["0"])


@pytest.mark.parametrize(
    ("text", "form", "error"),
    [
        (
            LONG + "a,4,run,1,1\n",
            BY_ID,
            r"csv:6: label is 'run', and 'walk' in .*csv:3: a series has one label, here a",
        ),
        (LONG, SeriesFormat(), r"csv:3: label is 'walk'.*apart by data.id="),
        (LONG + "c,1,,1,1\n", BY_ID, r"csv:6: expected a label in 'label', got ''"),
        (LONG.replace("label", "class"), BY_ID, r"there is no column 'label', which data.label names"),
        (LONG + "a,2,walk,1,1\n", BY_ID, r"csv:6: t runs backwards"),
        (LONG + "c,1,run,1,high\n", BY_ID, r"csv:6: y is 'high', no number"),
    ],
)
def test_labels_that_are_missing_or_contradict_each_other_are_refused_with_their_line(tmp_path, text, form, error):
    with pytest.raises(InputError, match=error):
        labelled(written(tmp_path, text), form)


def test_arrays_alone_have_no_labels(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"a.npy holds numbers without labels.*data.file=COLUMN"):
        labelled(tmp_path / "a.npy", SeriesFormat(), ["0", "1"])


def test_a_table_names_files_seen_from_its_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / "sub" / name, np.zeros(3))
    table = written(tmp_path, "file,label\nsub/a.npy,walk\nsub/b.npy,01\n", "index.csv")
    rows = read_named_files(table, "file", "label", LabelNames("label"))
    assert [(row.path, row.label) for row in rows] == [
        (tmp_path / "sub" / "a.npy", "walk"),
        (tmp_path / "sub" / "b.npy", "01"),
    ]
    for text, error in (
        ("file,label\nsub/c.npy,walk\n", r"index.csv:2: there is no file sub/c.npy, seen from"),
        ("file,label\n ,walk\n", r"index.csv:2: file is empty"),
        ("file,label\n", r"index.csv has no row"),
        ("name,label\nsub/a.npy,walk\n", r"there is no column 'file', which data.file names"),
        ("file,label\nsub/a.npy,walk\n./sub/../sub/a.npy,run\n", r"index.csv:3: a.npy stands in .*index.csv:2 too"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=error):
            check_named_once(read_named_files(table, "file", "label", LabelNames("label")))
