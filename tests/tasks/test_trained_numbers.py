"""What training decided stays for files that come later: columns, values for what is missing, steps of time."""

import json
from dataclasses import replace

import numpy as np
import pytest

from seqlab.cli import main
from seqlab.config import build
from seqlab.data.formats.missing import warn_of_nothing
from seqlab.data.formats.series import TIME_GAP, Series
from seqlab.errors import InputError
from tests.conftest import config_of, run_here

SMALL = ("model.hidden_size=4", "trainer.max_epochs=1", "trainer.max_steps=2", "logger=none")


def evaluated(run, capsys, *overrides):
    """The metrics that ``seqlab evaluate`` prints."""
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json", *overrides]) == 0
    return json.loads(capsys.readouterr().out)


def refused(run, capsys, *overrides):
    assert main(["evaluate", str(run), *overrides]) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def two_columns(tmp_path_factory):
    """A forecaster of a small and a large column, by days."""
    folder = tmp_path_factory.mktemp("columns")
    draw = np.random.default_rng(0)
    a, b = draw.normal(0, 1, 90), draw.normal(1000, 3, 90)
    for name, columns in (("ab", {"a": a, "b": b}), ("ba", {"b": b, "a": a}), ("xy", {"x": a, "y": b})):
        rows = [",".join(["day", *columns])]
        for day in range(90):
            rows.append(
                ",".join([str(np.datetime64("2026-01-01") + day), *(f"{each[day]:.6f}" for each in columns.values())])
            )
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    run_here(
        folder / "run",
        *("experiment=forecasting", f"data.path={folder / 'ab.csv'}", "data.time=day", "data.horizon=3"),
        *("data.context=10", *SMALL),
    )
    return folder


def test_a_forecaster_is_evaluated_by_the_names_of_its_columns(two_columns, capsys):
    run = two_columns / "run"
    own = evaluated(run, capsys)
    permuted = evaluated(run, capsys, f"data.path={two_columns / 'ba.csv'}")
    assert permuted == own and own["test/mase"] < 50
    assert "there is no column 'a'" in refused(run, capsys, f"data.path={two_columns / 'xy.csv'}")
    assert "data.targets=['b']: a run is evaluated with that of its training, ['a', 'b']" in refused(
        run, capsys, "data.targets=[b]"
    )


def test_steps_of_time_that_are_none_of_trainings_are_told(two_columns, capsys, caplog, tmp_path):
    rows = (two_columns / "ab.csv").read_text().splitlines()
    (tmp_path / "weekly.csv").write_text("\n".join([rows[0], *rows[1::7]]) + "\n")
    (tmp_path / "daily.csv").write_text("\n".join(rows[:20]) + "\n")
    assert main(["predict", str(two_columns / "run"), str(tmp_path / "weekly.csv")]) == 0
    assert "weekly.csv:2: the steps of series weekly are of 1 week, and those of training of 1 day" in caplog.text
    caplog.clear()
    assert main(["predict", str(two_columns / "run"), str(tmp_path / "daily.csv")]) == 0
    assert "steps of series" not in caplog.text
    second = [rows[0], *rows[1::2]]
    (tmp_path / "other.csv").write_text("\n".join(second) + "\n")
    evaluated(two_columns / "run", capsys, f"data.path={tmp_path / 'other.csv'}")
    assert "other.csv:2: the steps of series other are of 2 days, and those of training of 1 day" in caplog.text


@pytest.mark.parametrize("preset", ["regression", "series_classification"])
def test_missing_values_are_filled_with_the_means_of_training(preset, tmp_path, capsys, caplog):
    """Evaluated beside other training data, the same test has the same figures."""
    draw = np.random.default_rng(1)
    label = "y" if preset == "regression" else "label"
    for name, mean in (("train", 5.0), ("validation", 5.0), ("test", 5.0), ("other", -300.0)):
        rows = [f"id,t,x,{label}"]
        for series in range(8):
            for step in range(6):
                x = "" if step < 2 and series % 2 else f"{mean + draw.normal():.3f}"
                rows.append(f"{series},{step},{x},{series % 2}")
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    splits = [f"data.{split}={tmp_path / split}.csv" for split in ("train", "validation", "test")]
    given = ("data.id=id", "data.time=t", "data.missing=forward")
    target = ("data.targets=y",) if preset == "regression" else ()
    run_here(tmp_path / "run", f"experiment={preset}", *splits, *given, *target, *SMALL)
    own = evaluated(tmp_path / "run", capsys)
    assert evaluated(tmp_path / "run", capsys, *target) == own
    beside_others = evaluated(tmp_path / "run", capsys, f"data.train={tmp_path / 'other.csv'}")
    assert {key: value for key, value in own.items() if key.startswith("test/")} == {
        key: value for key, value in beside_others.items() if key.startswith("test/")
    }
    (tmp_path / "nothing.csv").write_text(f"id,t,x,{label}\n1,0,,\n1,1,,\n")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "nothing.csv")]) == 0
    assert "nothing.csv:2: series 1 has no value in the steps that are read" in caplog.text


def test_a_forecast_begins_before_gaps_that_are_filled_with_the_means_of_training(tmp_path):
    """Of the model's training, and not of the file that it is evaluated on."""
    rows = [f"{step},{'' if step < 3 else 50 + step % 5}" for step in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["t,y", *rows]) + "\n")
    overrides = ("experiment=forecasting", f"data.path={tmp_path / 'a.csv'}", "data.time=t", "data.missing=forward")
    data = build.build_data(config_of(*overrides, "data.horizon=2", "data.context=8"))
    own = data.spec.means[0]
    assert data.collate("train", [0]).inputs[0, 0].item() == pytest.approx(own) and 50 < own < 55
    other = build.build_data(config_of(*overrides, "data.horizon=2", "data.context=8"))
    other.trained = replace(data.spec, means=(7.0,))
    assert other.collate("train", [0]).inputs[0, 0].item() == 7.0


def test_rows_behind_what_is_forecast_are_told(tmp_path, caplog):
    """As where the last target that was seen is missing, too."""
    text = [f"{step},{step % 4},{step % 2}" for step in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["t,y,known", *text]) + "\n")
    run_here(
        tmp_path / "run",
        *("experiment=forecasting", f"data.path={tmp_path / 'a.csv'}", "data.time=t", "data.targets=y"),
        *("data.known=known", "data.horizon=2", "data.context=8", *SMALL),
    )
    for name, gaps, told in (("right", (20, 21), False), ("late", (19, 20, 21), True)):
        rows = [f"{step},{'' if step in gaps else step % 4},{step % 2}" for step in range(22)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["t,y,known", *rows]) + "\n")
        caplog.clear()
        assert main(["predict", str(tmp_path / "run"), str(tmp_path / f"{name}.csv")]) == 0
        assert ("late.csv:21: the forecast of series late begins here" in caplog.text) == told


def test_splits_of_other_steps_than_trainings_are_told_before_training(tmp_path, caplog):
    for name, step in (("train", 1), ("validation", 1), ("test", 7)):
        rows = [f"{series},{step * row},{row},{series % 2}" for series in range(4) for row in range(5)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,t,x,label", *rows]) + "\n")
    splits = [f"data.{split}={tmp_path / split}.csv" for split in ("train", "validation", "test")]
    overrides = ("experiment=series_classification", *splits, "data.id=id", "data.time=t")
    build.build_data(config_of(*overrides)).prepare_data()
    assert "test.csv:2: the steps of series 0 are of 7, and those of training of 1" in caplog.text
    assert "validation.csv" not in caplog.text
    days = [f"{series},2026-01-0{row + 1},{row},{series % 2}" for series in range(4) for row in range(5)]
    (tmp_path / "test.csv").write_text("\n".join(["id,t,x,label", *days]) + "\n")
    for more in ("data.time_gaps=false", "data.time_gaps=true"):
        with pytest.raises(
            InputError, match=r"the times of series 0 are numbers, and those of 0 at .*test\.csv:2 dates"
        ):
            build.build_data(config_of(*overrides, more)).prepare_data()


def test_the_time_since_the_row_before_is_no_value_of_a_series(caplog):
    series = Series("a", np.array([[np.nan, 0.0], [np.nan, 2.0]]), ["a:2", "a:3"])
    warn_of_nothing(series, ["x", TIME_GAP])
    assert "a:2: series a has no value" in caplog.text
    caplog.clear()
    warn_of_nothing(Series("a", np.array([[np.nan, 0.0], [1.0, 2.0]]), ["a:2", "a:3"]), ["x", TIME_GAP])
    assert not caplog.text
