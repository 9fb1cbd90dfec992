"""Times that were read as something else: months as zones, long numbers as other steps, commas as texts."""

import numpy as np
import pytest

from seqlab.data.formats.grids import grid_of
from seqlab.data.formats.series import SeriesFormat, read_series
from seqlab.data.formats.times import check_forward, read_times, shown
from seqlab.errors import InputError


def read(texts, pattern=None, decimal="."):
    return read_times(texts, "t", [f"a:{number + 2}" for number in range(len(texts))], pattern, decimal)


def grid(times):
    return grid_of(np.asarray(times), "t", [f"a:{number + 2}" for number in range(len(times))])


@pytest.mark.parametrize(
    "texts", [["1900-06", "1901-06"], ["2000-01", "2000-02", "2000-03"], ["2026-11-29", "2026-11-30"]]
)
def test_a_month_or_a_day_is_no_zone(texts, caplog):
    times = read(texts)
    assert [str(time)[: len(texts[0])] for time in times] == texts and not caplog.text
    assert [str(time)[10:16] for time in times] == ["T00:00"] * len(texts)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-29T18+01", 18),
        ("2026-11-29 18:30+01:00", 18),
        ("2026-11-29 18:30:05.250 +0100", 18),
        ("20261129T183005+01", 18),
        ("2026-11-29T18:30Z", 18),
        ("2026-11-29T18:30", 18),
    ],
)
def test_a_zone_after_a_time_of_day_is_one_and_times_stand_as_written(text, hour):
    (time,) = read([text])
    assert int(str(time)[11:13]) == hour


def test_a_zone_may_stand_right_behind_the_digits_of_a_pattern():
    (time,) = read(["202601010000+0100"], "%Y%m%d%H%M%z")
    assert str(time)[:16] == "2026-01-01T00:00"


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("%Y-%m-%d %H:%M %Z", "may mean several.*write it in place of %Z, such as '%Y-%m-%d %H:%M CET'"),
        ("%Y-%m-%d %z %H:%M", "an offset is read at the end"),
    ],
)
def test_zones_that_cannot_be_told_are_refused_in_a_pattern(pattern, error):
    with pytest.raises(InputError, match=error):
        SeriesFormat(time="t", time_format=pattern)
    times = read(["2026-01-01 00:00 CET"], "%Y-%m-%d %H:%M CET")
    assert str(times[0])[:16] == "2026-01-01T00:00"


def test_a_pattern_of_no_dates_is_refused():
    with pytest.raises(InputError, match="is no form of dates"):
        read(["2026"], "%Q")


def test_times_of_four_bytes_are_meant_as_they_are_written():
    times = read_times(
        np.arange(3000, dtype=np.float32) * np.float32(0.1), "t", [f"a:{row}" for row in range(3000)], None
    )
    positions, found = grid(times)
    assert found.step == 0.1 and positions.tolist() == [*range(3000)]


NANOSECONDS = [1_700_000_000_000_000_000 + 20 * number for number in range(6)]  # whose floats are 256 apart


@pytest.mark.parametrize("form", ["text", "int64", "uint64", "object"])
def test_nanoseconds_since_1970_are_told_apart(form):
    column = [f" {each}" for each in NANOSECONDS] if form == "text" else np.array(NANOSECONDS, dtype=form)
    times = read(column)
    assert times.tolist() == NANOSECONDS
    places = [f"a:{number}" for number in range(6)]
    check_forward(times, "t", places)
    positions, found = grid(np.delete(times, [2]))
    assert positions.tolist() == [0, 1, 3, 4, 5] and str(found) == "20"
    assert found.times(np.arange(8)).tolist() == [*NANOSECONDS, NANOSECONDS[5] + 20, NANOSECONDS[5] + 40]
    with pytest.raises(InputError, match=f"a:1: t {NANOSECONDS[1]} comes twice"):
        check_forward(times[[1, 1]], "t", places)
    with pytest.raises(InputError, match=f"runs backwards, from {NANOSECONDS[1]} to {NANOSECONDS[0]}"):
        check_forward(times[[1, 0]], "t", places)


def test_the_time_since_the_row_before_is_exact_in_nanoseconds(tmp_path):
    rows = [f"{time},{number}" for number, time in enumerate(NANOSECONDS)]
    (tmp_path / "a.csv").write_text("\n".join(["t,x", *rows]) + "\n")
    (series,) = read_series(tmp_path / "a.csv", SeriesFormat(time="t", time_gaps=True), ["x"])
    assert series.values[:, 1].tolist() == [0.0, *[20.0] * 5]


def test_times_that_floats_hold_stay_floats_and_what_no_integer_holds_too():
    assert read(["9007199254740991", "1"]).dtype == read(["1e18", "2000000000000000000"]).dtype == np.float64
    assert read(["9007199254740993"]).dtype == np.int64
    assert read(["9223372036854775808", "1"]).dtype == np.float64


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (1_700_000_000_123.0, "1700000000123"),
        (1_700_000_000.25, "1700000000.25"),
        (np.float32(0.1), "0.1"),
        (0.1 + 0.2, "0.3"),
        (np.int64(NANOSECONDS[1]), "1700000000000000020"),
        (1e300, "1e+300"),
    ],
)
def test_a_time_is_shown_with_the_digits_that_it_needs(time, text):
    assert shown(time) == text


def test_times_may_have_decimal_commas():
    assert read(["0,0", "0,5", "1"], decimal=",").tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(InputError, match=r"a:2: t is '0,0'"):
        read(["0,0", "0,5"])


def test_steps_of_long_numbers_are_not_those_of_their_rounding():
    """Ten a second for two hours, as seconds since 1970: neighbours differ by 0.09999990463 or 0.1000001431."""
    times = np.round(1_700_000_000 + np.arange(72_000) / 10, 1)
    positions, found = grid(np.delete(times, [5, 6, 50_000]))
    assert found.step == 0.1 and str(found) == "0.1"
    assert positions.tolist() == np.delete(np.arange(72_000), [5, 6, 50_000]).tolist()
    np.testing.assert_allclose(found.times(np.array([71_999])), times[-1:], atol=1e-6)
    positions, found = grid([0.0, 0.1, 0.2, 0.30000000000000004, 0.4])
    assert found.step == 0.1 and positions.tolist() == [0, 1, 2, 3, 4]
    assert grid([1.0, 2.0, 3.00005])[1].step == 1.0
    assert [grid([0.0, step, 3 * step])[1].step for step in (12.0, 0.25, 1 / 3, 1234.5)] == [12.0, 0.25, 1 / 3, 1234.5]
    with pytest.raises(InputError, match=r"a:5: t 3\.01 lies between two steps of 1"):
        grid([0.0, 1.0, 2.0, 3.01])
    with pytest.raises(InputError, match="lies between two steps of 1"):  # and no drift is taken for a step
        grid(np.cumsum([0.0, 1.0, 1.0, *[1.003] * 200, *[1.0] * 300]))
