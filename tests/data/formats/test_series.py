"""Series in tables and arrays: what is read, and what is refused with its place."""

import numpy as np
import pandas as pd
import pytest

from seqlab.data import Files, LabelledSeriesFiles, NumberedSeriesFiles, SeriesFiles
from seqlab.data.formats.number_columns import numbers
from seqlab.data.formats.series import SeriesFormat, feature_names, read_series, steps_of
from seqlab.errors import InputError

BY_DAY = SeriesFormat(time="day")
SEMICOLONS, COMMAS = (SeriesFormat(time="day", separator=";", decimal=mark) for mark in ".,")


def written(tmp_path, text, name="series.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_wide_table_is_one_series_with_its_columns_in_the_order_asked_for(tmp_path):
    path = written(tmp_path, "day,load,wind\n2026-01-01,1.5,3\n2026-01-02,,4\n2026-01-03,2e1,NA\n")
    (series,) = read_series(path, BY_DAY, ["wind", "load"])
    np.testing.assert_array_equal(series.values, [[3, 1.5], [4, np.nan], [np.nan, 20]])
    assert (series.name, str(series.grid), series.inserted) == ("series", "1 day", 0)
    assert series.places[1].endswith("series.csv:3") and series.when(3) == "2026-01-04"


def test_a_long_table_has_a_series_for_each_id_whose_rows_may_be_mixed(tmp_path):
    path = written(tmp_path, "shop,day,sales\nb,1,10\na,1,1\nb,2,20\na,2,2\nb,3,30\n")
    series = read_series(path, SeriesFormat(time="day", id="shop"), ["sales"])
    assert [(each.name, each.values[:, 0].tolist()) for each in series] == [("b", [10, 20, 30]), ("a", [1, 2])]


def test_ids_are_one_where_white_space_and_characters_of_no_width_alone_differ(tmp_path):
    path = written(tmp_path, "shop,sales\ncaf\u00e9,1\n\u200bcafe\u0301\u00a0,2\n")
    (series,) = read_series(path, SeriesFormat(id="shop"), ["sales"])
    assert series.values[:, 0].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"csv:3: shop is empty; every row needs the id"):
        read_series(written(tmp_path, "shop,sales\na,1\n\u200b,2\n"), SeriesFormat(id="shop"), ["sales"])


def test_steps_that_the_file_lacks_are_missing_values_on_a_grid_of_days_or_months(tmp_path):
    path = written(tmp_path, "day,y\n2026-01-31,1\n2026-02-28,2\n2026-04-30,4\n")
    (series,) = read_series(path, BY_DAY, ["y"])
    np.testing.assert_array_equal(series.values[:, 0], [1, 2, np.nan, 4])
    assert series.inserted == 1 and str(series.grid) == "1 month"
    assert [series.when(step) for step in (2, 4)] == ["2026-03-31", "2026-05-31"]
    path = written(tmp_path, "day,y\n0.0,1\n0.1,2\n0.2,3\n0.5,6\n")
    (series,) = read_series(path, BY_DAY, ["y"])
    np.testing.assert_array_equal(series.values[:, 0], [1, 2, 3, np.nan, np.nan, 6])


def test_with_time_gaps_rows_stay_and_the_time_since_the_row_before_stands_ahead_of_what_is_known(tmp_path):
    path = written(tmp_path, "day,y,holiday\n2026-01-01,1,0\n2026-01-02,2,1\n2026-01-03,3,0\n2026-01-03T12:00,4,1\n")
    (series,) = read_series(path, SeriesFormat(time="day", time_gaps=True), ["y", "holiday"], num_known=1)
    day = 86_400
    np.testing.assert_array_equal(series.values, [[1, 0, 0], [2, day, 1], [3, day, 0], [4, day / 2, 1]])


def test_parquet_npy_and_other_text_hold_the_same_series(tmp_path):
    values = np.array([[1.5, 2.0], [3.25, 4.0], [5.0, 6.5]])
    frame = pd.DataFrame(values, columns=["x", "y"], index=pd.date_range("2026-01-01", periods=3, name="day"))
    frame.to_parquet(tmp_path / "series.parquet")
    np.save(tmp_path / "series.npy", values)
    semicolons = "day;x;y\n01.01.2026;1,5;2\n02.01.2026;3,25;4\n03.01.2026;5;6,5\n"
    german = SeriesFormat(time="day", time_format="%d.%m.%Y", separator="semicolon", decimal=",")
    for path, form, names in (
        (tmp_path / "series.parquet", BY_DAY, ["x", "y"]),
        (tmp_path / "series.npy", SeriesFormat(), []),
        (written(tmp_path, semicolons), german, ["x", "y"]),
    ):
        (series,) = read_series(path, form, names)
        np.testing.assert_array_equal(series.values, values, err_msg=str(path))


@pytest.mark.parametrize(
    ("text", "form", "error"),
    [
        ("day,y\n2026-01-02,1\n2026-01-01,2\n", BY_DAY, r"csv:3: day runs backwards.*data.id="),
        ("day,y\n2026-01-02,1\n2026-01-02,2\n", BY_DAY, r"csv:3: day 2026-01-02 comes twice"),
        ("day,y\n01/02/2026,1\n02/02/2026,2\n", BY_DAY, r"csv:2: day is '01/02/2026'.*data.time_format="),
        ("day,y\n2026-01-01,1\n,2\n", BY_DAY, r"csv:3: day is ''"),
        ("day,y\n1,1\n2,2\n3,3\n3.4,4\n", BY_DAY, r"csv:5: day 3.4 lies between two steps of 1.*time_gaps"),
        ("day,y\n1,1\n2,2\n9000,3\n", BY_DAY, r"csv:4: day jumps from 2 to 9000"),
        ("day,y\n1,inf\n2,2\n", BY_DAY, r"csv:2: y is infinite"),
        ('day,y\n1,"1,5"\n2,2\n', BY_DAY, r"csv:2: y is '1,5', no number; for decimal commas"),
        ('day,y\n1,"1,000"\n2,2\n', BY_DAY, r"'1,000', no number; thousands separators are not read: .*; for decimal"),
        ('day,y\n1,"12,345.6"\n', BY_DAY, r"csv:2: y is '12,345.6', no number; thousands separators are not read: \w+"),
        ("day,y\n1,1 000\n", BY_DAY, r"y is '1 000', no number; thousands separators are not read: .* without them$"),
        ("day;y\n1;1.234,5\n", SEMICOLONS, r"y is '1.234,5', no number; thousands .*, and give data.decimal=','"),
        ("day;y\n1;1.234,5\n", COMMAS, r"y is '1.234,5', and data.decimal=',': thousands .* without them$"),
        ("day;y\n1;1,234,567\n", COMMAS, r"y is '1,234,567', no number; thousands separators are not read"),
        ("day;y\n1;12.34\n", COMMAS, r"y is '12.34', and data.decimal=',': write all decimals alike"),
        ("day,y\n1,1_000\n2,2\n", BY_DAY, r"csv:2: y is '1_000', no number"),
        (
            "day;y\n1;1.234\n",
            COMMAS,
            r"csv:2: y is '1.234', and data.decimal=',': thousands .*; a decimal point must be",
        ),
        ("day,y\n1,1e39\n", BY_DAY, r"csv:2: y is 1e\+39, too large for float32"),
        ("day,y\n1500-01-01,1\n", BY_DAY, r"csv:2: day is of the year 1500"),
        ("day,y\n2026-01-01T00:00,1\n2026-01-01T02:00+01:00,2\n", BY_DAY, r"csv:3: day is.*a zone, or none"),
        ("day,y\n1,low\n", BY_DAY, r"csv:2: y is 'low', no number; nor is another.*data.id=y"),
        ("day,y\n1,low\n2,3\n", BY_DAY, r"csv:2: y is 'low', no number; give a number, or leave"),
        ("day;y\n1;1\n", BY_DAY, r"there is no column .* it has day;y; give data.separator=semicolon"),
        ("day,z\n1,1\n", BY_DAY, r"there is no column 'y', which the data names; it has day, z"),
        ("date,y\n1,1\n", BY_DAY, r"there is no column 'day', which data.time names; it has date, y"),
        ("day,y,y\n1,1,2\n", BY_DAY, r"csv:1: 2 columns are named 'y'"),
        ("day,y\n1,1,7\n", BY_DAY, r"csv:2: expected 2 values \(day, y\), got 3"),
        ("1,2\n3,4\n", SeriesFormat(), r"csv:1: expected a line of column names, got numbers"),
        ("day,y\n", BY_DAY, r"has no row"),
        ("y\n1\n\n3\n", SeriesFormat(), r"csv:3: the line is blank"),
        ("", BY_DAY, r"csv:1: expected a line of column names, got an empty file"),
        ("shop,y\na,1\n", SeriesFormat(id=["shop"]), r"data.id=\['shop'\] must be a column's name"),
        ("0,y\na,1\n", SeriesFormat(id=0), r"data.id=0 must be a column's name, in quotes"),
        ("shop,y\na,1\n,2\n", SeriesFormat(id="shop"), r"csv:3: shop is empty"),
    ],
)
def test_what_cannot_be_read_right_is_refused_with_its_line(tmp_path, text, form, error):
    with pytest.raises(InputError, match=error):
        read_series(written(tmp_path, text), form, ["y"])


def test_other_files_are_refused_by_what_they_are(tmp_path):
    np.save(tmp_path / "cube.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name, error in (("cube.npy", r"expected numbers \(T,\) or \(T, F\)"), ("objects.npy", "is not a npy file")):
        with pytest.raises(InputError, match=error):
            read_series(tmp_path / name, SeriesFormat(), [])
    for name, error in (("a.xlsx", "ends in .csv"), ("a.parquet", "is not a parquet file")):
        with pytest.raises(InputError, match=error):
            read_series(written(tmp_path, "text", name), SeriesFormat(), [])
    with pytest.raises(InputError, match=r"data.time_gaps=True needs the column of times"):
        SeriesFormat(time_gaps=True)


def test_times_of_one_zone_are_read_as_they_stand_and_those_of_several_in_utc(tmp_path, caplog):
    months = "day,y\n2026-01-01T00:00+0100,1\n2026-02-01T00:00+0100,2\n"
    (series,) = read_series(written(tmp_path, months), BY_DAY, ["y"])
    assert series.when(2) == "2026-03-01" and not caplog.records
    by_form = SeriesFormat(time="day", time_format="%d.%m.%Y %H:%M %z")
    (series,) = read_series(written(tmp_path, "day,y\n01.02.2026 00:00 +0530,1\n"), by_form, ["y"])
    assert series.when(0) == "2026-02-01"
    summer = "day,y\n2026-03-29T00:00+01:00,1\n2026-03-30T01:00+02:00,2\n"
    (series,) = read_series(written(tmp_path, summer), BY_DAY, ["y"])
    assert series.when(1) == "2026-03-29 23:00"
    assert [record.message.partition("csv:")[2] for record in caplog.records] == [
        "2: day has times of several zones (+01:00, +02:00); all are read in UTC"
    ]


def test_dates_that_read_as_numbers_are_told(tmp_path, caplog):
    path = written(tmp_path, "day,y\n20260131,1\n20260201,2\n")
    read_series(path, SeriesFormat(time="day", time_gaps=True), ["y"])
    assert "day looks like dates (20260131) and is read as numbers: give data.time_format=%Y%m%d" in caplog.text
    caplog.clear()
    read_series(path, SeriesFormat(time="day", time_format="%Y%m%d"), ["y"])
    read_series(written(tmp_path, "day,y\n1990,1\n1991,2\n"), BY_DAY, ["y"])
    assert not caplog.records


def test_row_numbers_without_a_name_are_no_feature_and_a_row_without_an_id_has_none(tmp_path, caplog):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "id": ["a", "a", None]})[::2]
    frame.index = [4, 7]
    frame.to_parquet(tmp_path / "series.parquet")
    twice = pd.DataFrame({"Unnamed: 0.1": [0, 1], "Unnamed: 0": [0, 1], "x": [1, 2]})  # as pandas reads them again
    twice.to_parquet(tmp_path / "twice.parquet")
    again = written(tmp_path, twice.to_csv(), "again.csv")
    for path in (written(tmp_path, ",x\n0,1\n1,2\n"), tmp_path / "series.parquet", tmp_path / "twice.parquet", again):
        caplog.clear()
        assert feature_names(path, SeriesFormat(id="id")) == ["x"]
        assert "a column without a name is left out" in caplog.text
        assert ("left out (Unnamed: 0.1) (Unnamed: 0), such" in caplog.text) == (path.stem in ("twice", "again"))
    assert feature_names(written(tmp_path, "index,Unnamed: x,x\n0,1,2\n"), SeriesFormat()) == [
        "index",
        "Unnamed: x",
        "x",
    ]
    (series,) = read_series(again, SeriesFormat(), ["Unnamed: 0"])  # it is named, so it is read
    assert series.values[:, 0].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"parquet:2: id is empty"):
        read_series(tmp_path / "series.parquet", SeriesFormat(id="id"), ["x"])


@pytest.mark.parametrize(
    ("values", "thousands"),
    [
        (["1,000", "", "-12,345"], True),
        (["950", "1,000"], True),
        (["1,000", "1,5"], False),
        (["0,125", "1,250"], False),
        (["1000", "1,250"], False),
        (["950", "7"], False),
        ([], False),
    ],
    ids=str,
)
def test_decimal_commas_that_may_separate_thousands_are_told(caplog, values, thousands):
    made = numbers(values, "y", [f"a:{row}" for row in range(len(values))], decimal=",")
    assert len(made) == len(values) and (not thousands or abs(made[-1]) < 13)
    assert (
        "a:0: all commas of y have three digits behind them, such as 1,000, read as 1.000" in caplog.text
    ) == thousands


@pytest.mark.parametrize("kind", ["datetime64[ns]", "timedelta64[ns]"])
def test_times_are_no_numbers(kind):
    with pytest.raises(InputError, match=r"a:1: x is .*no number"):
        numbers(np.array([5, "NaT"], dtype=kind), "x", ["a:1", "a:2"])


def test_a_column_that_the_first_of_several_files_lacks_is_refused(tmp_path):
    files = [written(tmp_path, "x\n1\n2\n"), written(tmp_path, "x,y\n1,2\n3,4\n", "more.csv")]
    with pytest.raises(InputError, match=r"more.csv has a column 'y', which the first file lacks; .* data.targets="):
        SeriesFiles(files).read()
    assert [series.values.shape for series in SeriesFiles(files, targets="x").read()] == [(2, 1), (2, 1)]


def test_a_quote_is_refused_without_an_option_that_series_do_not_have(tmp_path):
    path = written(tmp_path, 'x,y\n1,"2\n3,4\n5,6"\n')
    with pytest.raises(InputError, match=r"series.csv:2: a quote opens here whose value spans 3 lines") as refused:
        read_series(path, SeriesFormat(), ["x"])
    assert "quoting" not in str(refused.value)


def test_gaps_of_all_series_have_one_unit(tmp_path):
    """A model that reads the time since the row before can tell fast series from slow ones."""
    path = written(
        tmp_path,
        "id,t,x\n" + "".join(f"{name},{step * row},1\n" for name, step in (("a", 1), ("b", 10)) for row in range(3)),
    )
    fast, slow = read_series(path, SeriesFormat(time="t", id="id", time_gaps=True), ["x"])
    assert fast.values[:, 1].tolist() == [0, 1, 1] and slow.values[:, 1].tolist() == [0, 10, 10]
    (tail,) = read_series(
        written(tmp_path, "t,x\n5,1\n5.25,1\n9,1\n", "tail.csv"), SeriesFormat(time="t", time_gaps=True), ["x"]
    )
    assert tail.values[:, 1].tolist() == [0, 0.25, 3.75]


def test_dates_and_numbers_are_not_times_of_one_run(tmp_path):
    dates = written(tmp_path, "t,x\n2026-01-01,1\n2026-01-02,2\n2026-01-04,2\n")
    hours = written(tmp_path, "t,x\n0,1\n24,2\n72,2\n", "hours.csv")
    form = SeriesFormat(time="t", time_gaps=True)
    series = [each for file in (dates, hours) for each in read_series(file, form, ["x"])]
    with pytest.raises(
        InputError, match=r"hours.csv:2: the times of series hours are numbers, and those of series at .*dates"
    ):
        steps_of(series)
    assert steps_of(series[:1]) == ("any length, in seconds of dates",)
    grids = [read_series(file, SeriesFormat(time="t"), ["x"])[0] for file in (dates, hours)]
    assert [steps_of([each]) for each in grids] == [("1 day",), ("24",)]


def test_a_named_index_of_even_numbers_and_missing_booleans_are_read_from_parquet(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "on": pd.array([True, None, False], "boolean")})
    frame.index = pd.RangeIndex(1900, 1903, name="year")
    frame.to_parquet(tmp_path / "a.parquet")
    (series,) = read_series(tmp_path / "a.parquet", SeriesFormat(time="year"), ["x", "on"])
    assert series.times.tolist() == [1900, 1901, 1902]
    np.testing.assert_array_equal(series.values, [[1, 1], [2, np.nan], [3, 0]])


SOURCES = {
    "forecasting": lambda train, rest: SeriesFiles(train, SeriesFormat(id="id"), targets="x").read(),
    "classification": lambda train, rest: LabelledSeriesFiles(
        Files(train=train, **rest), SeriesFormat(id="id"), label="y"
    ).read("train"),
    "regression": lambda train, rest: NumberedSeriesFiles(
        Files(train=train, **rest), SeriesFormat(id="id"), targets="y"
    ).read("train"),
}


@pytest.mark.parametrize("read", SOURCES.values(), ids=SOURCES)
def test_an_id_that_two_files_of_a_split_have_is_told(tmp_path, caplog, read):
    """Files of other splits may number their series alike."""
    one = written(tmp_path, "id,x,y\na,1,0\nb,2,1\nb,3,1\n")
    other = written(tmp_path, "id,x,y\nb,2,1\nb,4,1\nc,2,0\na,4,0\n", "more.csv")
    apart = written(tmp_path, "id,x,y\nd,2,1\n", "apart.csv")
    rest = {name: written(tmp_path, "id,x,y\na,2,1\n", f"{name}.csv") for name in ("validation", "test")}
    assert len(read([one, apart], rest)) == 3 and "In each file" not in caplog.text
    assert len(read([one, other], rest)) == 5
    assert f"more.csv: the id b stands in {one} too; so do 2 ids in all. In each file it is a series" in caplog.text
