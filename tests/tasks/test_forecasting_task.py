"""Forecasting from the configuration to the record: loss and metrics by hand, exact resume, predictions from a file."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

from seqlab.cli import main
from seqlab.config import build
from seqlab.data import ForecastBatch
from seqlab.data.forecasting.batch import ForecastSpec
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.errors import InputError
from seqlab.nn import Encoder, Forecaster, FrameInput, GRUCell, QuantileHead
from seqlab.run import load
from seqlab.run.record import read_record
from seqlab.tasks import ForecastTask
from seqlab.tasks.forecasting import ForecastMetrics
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

ONE = ("runtime.num_threads=1", "runtime.keep_freed_memory=false")
SMALL = (
    "experiment=sine_forecast",
    "data.steps=300",
    "model.hidden_size=12",
    "data.horizon=3",
    "data.context=20",
    *ONE,
)
PROBABILITIES = (0.1, 0.5, 0.9)


def by_hand(quantiles, targets, std):
    """The terms of the loss, one by one."""
    terms = []
    for q, y in zip(quantiles.reshape(-1, 3).tolist(), targets.flatten().tolist(), strict=True):
        if not math.isnan(y):
            terms.append(sum(2 * max(p * (y - v), (p - 1) * (y - v)) for p, v in zip(PROBABILITIES, q, strict=True)))
    return [term / 3 / std for term in terms]


def test_the_loss_is_the_mean_pinball_loss_over_the_targets_that_are_there():
    config = config_of(*SMALL)
    data = build.build_data(config)
    torch.manual_seed(0)
    model = build.build_model(config, data.spec)
    task = build.build_task(config, data.spec, model)
    batch = data.collate("train", list(range(40)))
    assert batch.targets.isnan().any()
    quantiles = model(batch.inputs, batch.lengths, batch.future)
    terms = by_hand(quantiles.detach(), batch.targets, data.spec.stds[0])
    step = task.training_step(batch, 0)
    assert step["loss"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert int(step["tokens"]) == len(terms) and float(step["nll"]) == pytest.approx(sum(terms), rel=1e-5)
    rows, lengths = task.loss_terms(batch)
    assert rows[0].item() == pytest.approx(
        np.mean(by_hand(quantiles[:1].detach(), batch.targets[:1], data.spec.stds[0]))
    )
    assert torch.equal(lengths, batch.lengths)


def test_metrics_are_in_the_users_units_whatever_the_batches():
    draw = torch.Generator().manual_seed(0)
    quantiles = torch.randn(9, 2, 2, 3, generator=draw).sort(-1).values * 10
    targets = torch.randn(9, 2, 2, generator=draw) * 10
    targets[0, 1, 0] = targets[5, :, 1] = float("nan")
    scales = torch.rand(9, 2, generator=draw) + 0.5
    scales[3, 0] = float("nan")
    stds = torch.tensor([10.0, 20.0])
    metrics = ForecastMetrics(["load", "wind"], PROBABILITIES)
    for part in (slice(0, 4), slice(4, 5), slice(5, 9)):
        metrics.update(quantiles[part], targets[part], scales[part], stds)
    found = {name: float(value) for name, value in metrics.compute().items()}
    error = (targets - quantiles[..., 1]).double()
    for number, name in enumerate(("load", "wind")):
        there = error[..., number][~error[..., number].isnan()]
        assert found[f"mae_{name}"] == pytest.approx(float(there.abs().mean()))
        assert found[f"rmse_{name}"] == pytest.approx(float(there.square().mean().sqrt()))
        crps = by_hand(quantiles[:, :, number], targets[..., number], 1.0)
        assert found[f"crps_{name}"] == pytest.approx(sum(crps) / len(crps), rel=1e-6)
    assert found["mase"] == pytest.approx(float((error.abs() / scales.unsqueeze(1)).nanmean()), rel=1e-6)
    inside = (targets >= quantiles[..., 0]) & (targets <= quantiles[..., 2])
    assert found["coverage"] == pytest.approx(float(inside[~targets.isnan()].double().mean()))
    losses = [*by_hand(quantiles[:, :, 0], targets[..., 0], 10.0), *by_hand(quantiles[:, :, 1], targets[..., 1], 20.0)]
    assert found["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    lone = ForecastMetrics(["y"], PROBABILITIES)
    lone.update(quantiles[..., :1, :], targets[..., :1], torch.full((9, 1), float("nan")), stds[:1])
    assert set(lone.compute()) == {"loss", "mae", "rmse", "crps", "coverage"}


def test_the_preset_is_nearer_to_the_sine_than_the_seasonal_naive_forecast(tmp_path):
    short = ("data.context=50", "trainer.max_epochs=6", *ONE)
    metrics = run_here(tmp_path, "experiment=sine_forecast", *short).fields["metrics"]
    assert metrics["test/mase"] < 0.95 and metrics["test/mae"] < 0.11  # the noise alone makes 0.08


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_left_alone(tmp_path, monkeypatch):
    overrides = [*SMALL, "trainer.max_epochs=2", "trainer.val_check_interval=2", "data.batch_size=32"]
    overrides += ["model.output_dropout=0.2", "logger=none"]
    carry_out(tmp_path / "alone", overrides)
    original = ForecastTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 9:
            monkeypatch.setattr(ForecastTask, "training_step", original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(ForecastTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "continued", overrides)
    carry_out(tmp_path / "continued", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "continued")


@pytest.fixture(scope="module")
def monthly(tmp_path_factory):
    """Two shops' sales by month, of very different sizes, with a holiday that doubles them; and a run on them."""
    folder = tmp_path_factory.mktemp("monthly")
    draw = np.random.default_rng(0)
    rows = ["shop,month,sales,holiday"]
    for shop, size in (("small", 10.0), ("large", 1000.0)):
        for month in range(120):
            date = f"{2010 + month // 12}-{month % 12 + 1:02d}-01"
            holiday = int(month % 12 in (5, 11))
            last = month >= 117  # to be forecast
            sales = "" if last else f"{size * (1 + holiday + 0.05 * draw.standard_normal()):.4f}"
            rows.append(f"{shop},{date},{sales},{holiday}")
    (folder / "sales.csv").write_text("\n".join(rows) + "\n")
    overrides = [
        *("experiment=forecasting", f"data.path={folder / 'sales.csv'}", "data.time=month", "data.id=shop"),
        *("data.known=holiday", "data.horizon=3", "data.season=12", "data.missing=mask", "data.context=24"),
        *("model.normalize=window", "model.hidden_size=16", "optimizer.lr=0.01", "trainer.max_epochs=25", *ONE),
    ]
    run_here(folder / "run", *overrides)
    return folder


def test_series_of_different_sizes_are_forecast_from_a_file_in_its_own_units(monthly, capsys):
    assert main(["predict", str(monthly / "run"), str(monthly / "sales.csv"), "--json"]) == 0
    small, large = map(json.loads, capsys.readouterr().out.splitlines())
    assert small["times"] == large["times"] == ["2019-10-01", "2019-11-01", "2019-12-01"]
    assert small["sales"]["0.5"] == pytest.approx([10, 10, 20], rel=0.25)
    assert large["sales"]["0.5"] == pytest.approx([1000, 1000, 2000], rel=0.25)
    assert all(low <= high for low, high in zip(large["sales"]["0.1"], large["sales"]["0.9"], strict=True))


def test_a_forecast_from_a_file_is_the_models_own(monthly):
    run = load.load_run(monthly / "run")
    series = run.spec.read_inputs(monthly / "sales.csv")[1]
    model = run.model()
    values = torch.from_numpy(series.values.astype(np.float32))
    batch = ForecastBatch(values[None, 93:117], torch.tensor([24]), values[None, 117:, 1:], *2 * (torch.zeros(()),))
    expected = model(batch.inputs, batch.lengths, batch.future)[0, :, 0, 1]
    (answer,) = ForecastTask.predict(model, run.spec, {}, [series])
    assert answer.values["sales"]["0.5"] == pytest.approx(expected.tolist(), rel=1e-5)


def test_files_that_cannot_be_forecast_are_refused_in_one_line(monthly, capsys, tmp_path):
    text = (monthly / "sales.csv").read_text()
    for name, content, error in (
        ("short.csv", "\n".join(text.splitlines()[:120]), r"series small has 2 rows after its last target; give 3"),
        ("other.csv", "shop,month,sold,holiday\n", "has no row"),
        ("blank.csv", "shop,month,sales,holiday\nsmall,2010-01-01,,0\n", "0 rows|no step with a target|1 rows"),
    ):
        (tmp_path / name).write_text(content)
        assert main(["predict", str(monthly / "run"), str(tmp_path / name)]) == 2
        line = capsys.readouterr().err.strip()
        assert len(line.splitlines()) == 1 and any(part in line for part in error.split("|")), line
    for inputs, error in ((["hello"], "hello is not there; give a file"), ([], "there is nothing to predict")):
        assert main(["predict", str(monthly / "run"), *inputs]) == 2
        assert error in capsys.readouterr().err


def test_evaluation_measures_other_series_by_the_models_own_scale(monthly, tmp_path, capsys):
    record = read_record(monthly / "run")
    assert main(["evaluate", str(monthly / "run")]) == 0
    assert f"{record['metrics']['test/loss']:.6g}" in capsys.readouterr().out
    rows = (monthly / "sales.csv").read_text().splitlines()
    (tmp_path / "small.csv").write_text("\n".join([rows[0], *(row for row in rows if row.startswith("small"))]))
    assert main(["evaluate", str(monthly / "run"), f"data.path={tmp_path / 'small.csv'}"]) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("test/"))
    std = float(load.load_run(monthly / "run").model().target_stds[0])
    assert float(lines["test/loss"]) == pytest.approx(float(lines["test/crps"]) / std, rel=1e-3)


def test_a_later_part_of_the_runs_own_test_may_be_measured_alone_and_an_earlier_one_not(monthly, capsys):
    run = str(monthly / "run")
    assert main(["evaluate", run, "data.test_steps=6"]) == 0  # of 12, a tenth
    assert "test: 6 windows, 2 series, 12 steps" in capsys.readouterr().err
    for earlier in (["data.test_steps=13"], ["data.test_steps=6", "data.validation_steps=19"]):
        assert main(["evaluate", run, *earlier]) == 2
        assert "would have rows in the test that the model was trained on" in capsys.readouterr().err


def test_another_kind_of_data_is_refused_by_name():
    with pytest.raises(InputError, match="model"):
        build.build_model(config_of(*SMALL, "model=classifier"), build.build_data(config_of(*SMALL)).spec)


def test_what_is_to_be_known_at_the_steps_to_forecast_may_be_missing_only_where_the_model_is_told():
    head = partial(QuantileHead, num_targets=1, horizon=2, num_known=1)
    values = np.array([[1.0, 0.0], [2.0, 1.0], [np.nan, 0.0], [np.nan, np.nan]])
    series = Series("a", values, ["a:2", "a:3", "a:4", "a:5"])
    for missing in ("refuse", "mask"):
        spec = ForecastSpec(
            *(("y",), (), ("holiday",), 2, 4, 1, missing, (0.0, 0.0), (1.0, 1.0), SeriesFormat().plain())
        )
        input = partial(FrameInput, 2, observed=missing == "mask")
        model = Forecaster(input, partial(Encoder, GRUCell, hidden_size=3), head)
        if missing == "mask":
            (answer,) = ForecastTask.predict(model, spec, {}, [series])
            assert np.isfinite(answer.values["y"]["0.5"]).all()
            continue
        with pytest.raises(InputError, match="a:5: holiday is missing in a row to forecast"):
            ForecastTask.predict(model, spec, {}, [series])
