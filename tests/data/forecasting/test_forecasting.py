"""Windows of series: what is read before an origin, what is judged after it, and that no split sees a later one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from seqlab.config import build
from seqlab.data import (
    Batching,
    ForecastData,
    ObservedSeries,
    SeriesFiles,
    SeriesFormat,
    Sine,
    Threshold,
    WindowCut,
    series_data,
)
from seqlab.data.forecasting.beginnings import beginning, beginnings
from seqlab.data.formats.series import Series
from seqlab.errors import InputError
from tests.conftest import config_of

CUT = WindowCut(horizon=2, context=4, test_steps=4, validation_steps=3)


def data_of(tmp_path, values, names="y", missing="refuse", cut=CUT, season=1, **columns):
    path = tmp_path / "series.csv"
    rows = "\n".join(",".join("NA" if np.isnan(v) else f"{v:.12g}" for v in row) for row in np.atleast_2d(values))
    path.write_text(f"{names}\n{rows}\n")
    return ForecastData(SeriesFiles(path, **columns), cut, Batching(3), season, missing)


@pytest.fixture
def counted(tmp_path):
    """y = 0, 1, ..., 19, so that a number says where it stands."""
    return data_of(tmp_path, np.arange(20.0)[:, None])


def test_each_split_judges_its_own_steps_alone_and_reads_all_that_came_before(counted):
    for split, (first, end) in {"train": (4, 13), "validation": (13, 16), "test": (16, 20)}.items():
        total = len(counted.lengths(split))
        batch = counted.collate(split, list(range(total)))
        targets = batch.targets[..., 0]
        assert targets.min() == first and targets.max() == end - 1, split
        for row in range(total):
            origin = int(targets[row, 0])
            assert targets[row].tolist() == [origin, origin + 1]
            assert batch.inputs[row, :, 0].tolist() == [origin - 4, origin - 3, origin - 2, origin - 1]


def test_a_short_series_is_read_from_its_first_step_on(tmp_path):
    data = data_of(tmp_path, np.arange(11.0)[:, None], cut=WindowCut(horizon=2, context=9))
    batch = data.collate("train", [0])
    assert batch.lengths.tolist() == [5] and batch.targets[0, :, 0].tolist() == [5, 6]
    assert "1 series shorter than data.context=9" in data.summaries()[0].line()
    with pytest.raises(InputError, match=r"has 6 steps, of which 2 are left for training.*needs 3"):
        data_of(tmp_path, np.arange(6.0)[:, None], cut=WindowCut(horizon=2, context=9)).spec  # noqa: B018


def test_statistics_and_the_naive_error_are_those_of_the_training_part(tmp_path):
    values = np.concatenate([np.tile([1.0, 3.0], 7)[:13], np.full(7, 1000.0)])[:, None]
    data = data_of(tmp_path, values, season=1)
    mean, std = data.spec.statistics()
    assert float(mean) == pytest.approx(values[:13].mean()) and float(std) == pytest.approx(values[:13].std())
    assert data.collate("test", [0]).scales.tolist() == [[2.0]]  # |3 - 1|
    assert data_of(tmp_path, values, season=2).collate("test", [0]).scales.isnan().all()  # a perfect season


def test_what_is_missing_is_refused_carried_on_or_told_and_never_judged(tmp_path):
    values = np.arange(20.0)[:, None]
    values[[0, 5, 6, 17]] = np.nan
    with pytest.raises(InputError, match=r"series.csv:2: y is missing, and 4 of 20 values.*data.missing=forward"):
        data_of(tmp_path, values).spec  # noqa: B018
    forward = data_of(tmp_path, values, missing="forward")
    mean = np.nanmean(values[:13])
    assert forward.collate("train", [0]).inputs[0, :, 0].tolist() == pytest.approx([mean, 1, 2, 3])
    assert forward.collate("train", [2]).inputs[0, :, 0].tolist() == [3, 4, 4, 4]
    told = data_of(tmp_path, values, missing="mask")
    assert told.collate("train", [2]).inputs[0, :, 0].isnan().tolist() == [False, False, True, True]
    assert told.spec.model_arguments()["observed"] and not forward.spec.model_arguments()["observed"]
    for data in (forward, told):
        targets = data.collate("test", [0, 1, 2]).targets[..., 0]
        assert targets.isnan().tolist() == [[False, True], [True, False], [False, False]]
        assert "1 value missing (25 %)" in data.summaries()[2].line()


def test_windows_without_any_target_are_left_out_and_counted(tmp_path):
    values = np.arange(20.0)[:, None]
    values[16:18] = np.nan
    data = data_of(tmp_path, values, missing="mask")
    assert len(data.lengths("test")) == 2
    assert "left out: 1 window without a target" in data.summaries()[2].line()


def test_what_is_known_beforehand_comes_with_the_steps_to_forecast(tmp_path):
    values = np.column_stack([np.arange(20.0), np.arange(20.0) + 100, np.arange(20.0) + 200])
    data = data_of(tmp_path, values, "y,wind,holiday", targets="y", covariates=["wind"], known="holiday")
    batch = data.collate("test", [1])
    assert batch.targets.tolist() == [[[17], [18]]] and batch.future.tolist() == [[[217], [218]]]
    assert batch.inputs[0, -1].tolist() == [16, 116, 216]
    assert data.spec.model_arguments() | {} == {
        "num_features": 3,
        "num_targets": 1,
        "num_known": 1,
        "horizon": 2,
        "observed": False,
    }
    names = {"targets": ["y"], "features": ["y", "wind", "holiday"], "known": ["holiday"]}
    assert data.spec.output_names() == {**names, "horizon": 2, "context": data.spec.context}
    forward = replace(data.spec, missing="forward", means=(1.0, 2.0, 3.0)).output_names()  # for whoever uses a file
    assert (forward["missing"], forward["means"]) == ("forward", [1.0, 2.0, 3.0])


def test_windows_of_steps_that_the_model_was_trained_on_are_counted(tmp_path):
    draw = np.random.default_rng(0)
    values, other = draw.standard_normal((2, 100, 1))

    def noted(rows, trained=None, **options):
        data = data_of(tmp_path, rows, **options)
        data.trained = trained
        return data.spec, ["trained on" in summary.line() for summary in data.summaries()]

    trained, said = noted(values)
    assert said == [False] * 3 and list(trained.beginnings.values()) == [data_of(tmp_path, values)._train_end(values)]
    told = {"as it was": values, "shorter": values[:60], "longer": np.concatenate([values, other]), "another": other}
    assert {name: noted(rows, trained)[1] for name, rows in told.items()} == {
        "as it was": [False] * 3, "shorter": [False, True, True], "longer": [False] * 3, "another": [False] * 3,
    }  # fmt: skip
    data = data_of(tmp_path, values[:60])  # its test is steps 56 to 59, of windows of two
    data.trained = trained
    assert "3 windows of steps that the model was trained on" in data.summaries()[2].line()


def test_a_series_is_known_by_a_beginning_that_no_other_has():
    def of(values):
        return Series("a", np.asarray(values, float).reshape(len(values), -1), [""] * len(values))

    rising = np.arange(40.0)
    assert beginning(of(rising)) == beginning(of(np.concatenate([rising, rising]))) != ""
    assert beginning(of(rising[:31])) == beginning(of(np.zeros(40))) == beginning(of(np.full(40, np.nan))) == ""
    one, other = of(rising), of(rising + 1)
    assert list(beginnings([one, other], [40, 35]).values()) == [40, 35]
    assert list(beginnings([one, of(rising), other], [40, 40, 31]).values()) == []
    assert beginning(of(rising * 0 - 0.0 + [0, *[1] * 39])) == beginning(of(np.array([-0.0, *[1.0] * 39])))


def test_a_series_that_float32_cannot_tell_beside_others_is_told(tmp_path, caplog):
    draw = np.random.default_rng(0)
    small, high = draw.standard_normal(20), 4e8 + 5 * draw.standard_normal(20)
    path = tmp_path / "both.csv"
    path.write_text(
        "id,y\n" + "".join(f"a,{v!r}\n" for v in small.tolist()) + "".join(f"b,{v!r}\n" for v in high.tolist())
    )
    ForecastData(SeriesFiles(path, targets="y", form=SeriesFormat(id="id")), CUT, Batching(3)).spec  # noqa: B018
    (said,) = [record.getMessage() for record in caplog.records if "float32" in record.getMessage()]
    assert "how these change: y of series b; subtract" in said
    caplog.clear()  # a series that never changes has nothing to lose
    path.write_text("id,y\n" + "".join(f"a,{v!r}\n" for v in small.tolist()) + "b,4e8\n" * 20)
    ForecastData(SeriesFiles(path, targets="y", form=SeriesFormat(id="id")), CUT, Batching(3)).spec  # noqa: B018
    assert "float32" not in caplog.text


def test_columns_and_numbers_that_cannot_be_meant_are_refused(tmp_path):
    twenty = np.arange(20.0)
    for options, error in (
        ({"targets": "y", "known": "y"}, "data.targets and data.known both name the column 'y'"),
        ({"known": ["y"]}, "every column has another use"),
        ({"form": SeriesFormat(time="y"), "covariates": "y"}, "data.time and data.covariates both name"),
    ):
        with pytest.raises(InputError, match=error):
            data_of(tmp_path, twenty[:, None], **options).spec  # noqa: B018
    with pytest.raises(InputError, match="which float32 cannot resolve; subtract a constant"):
        data_of(tmp_path, 1e9 + twenty[:, None]).spec  # noqa: B018
    with pytest.raises(InputError, match=r"data.test_steps=1: a forecast of data.horizon=2"):
        WindowCut(horizon=2, context=4, test_steps=1)
    with pytest.raises(InputError, match=r"give data.path=FILE"):
        series_data(horizon=1, context=2)
    with pytest.raises(InputError, match=r"data.missing=drop must be one of"):
        ForecastData(Sine(), CUT, missing="drop")


def test_generated_series_follow_their_formulas_whatever_the_seed_of_a_run():
    (sine,), (same,) = Sine(steps=500).read(), Sine(steps=500).read()
    np.testing.assert_array_equal(sine.values, same.values)
    errors = sine.values[:, 0] - np.sin(2 * np.pi * np.arange(500) / 25)
    assert 0.02 < np.isnan(errors).mean() < 0.09 and np.nanstd(errors) == pytest.approx(0.1, rel=0.1)
    (threshold,) = Threshold(steps=2000).read()
    y = threshold.values[:, 0]
    expected = np.where(y[:-2] <= 0, 0.6 * y[1:-1] + 1.2, -0.8 * y[1:-1] - 0.6)
    errors = y[2:] - expected
    assert errors.std() == pytest.approx(0.2, rel=0.05) and abs(np.corrcoef(errors[1:], errors[:-1])[0, 1]) < 0.07


def test_equal_series_have_one_fingerprint_and_others_another(tmp_path):
    values = np.arange(20.0)[:, None]
    one, other = data_of(tmp_path, values).fingerprint(), data_of(tmp_path, values).fingerprint()
    values[18] += 1
    assert one == other != data_of(tmp_path, values).fingerprint()
    assert isinstance(data_of(tmp_path, values).collate("train", [0]).inputs, torch.FloatTensor)


def test_the_choices_of_a_configuration_make_them(tmp_path):
    for choice, source in (("data=sine", Sine), ("data=threshold", Threshold)):
        data = build.build_data(config_of(choice))
        assert isinstance(data, ForecastData) and isinstance(data.source, source)
    file = tmp_path / "series.csv"
    file.write_text("t,y,x\n" + "".join(f"{t},{t},1\n" for t in range(40)))
    data = build.build_data(config_of("data=series", f"data.path={file}", "data.time=t", "data.targets=y"))
    assert data.spec.targets == ("y",) and data.input_files() == [str(file)]
    with pytest.raises(TypeError, match="neither SeriesFiles nor WindowCut nor ForecastData takes it"):
        series_data(str(file), horizon=1, context=2, colour="red")


def test_observed_series_come_with_their_times():
    pytest.importorskip("statsmodels", reason="the extra `series` is not installed")
    firsts = {"co2": ("1958-03-01", 12), "elnino": ("1950-01-01", 12), "sunspots": ("1700", 1), "nile": ("1871", 1)}
    for name, (first, season) in firsts.items():
        options = (f"data.name={name}", f"data.season={season}", "data.horizon=3")
        data = build.build_data(config_of("data=observed", *options))
        (series,) = data.series
        assert series.when(0) == first and data.spec.targets == (name,) and len(series) >= 100
    with pytest.raises(InputError, match=r"data.name=gold must be one of co2"):
        ObservedSeries("gold")
