"""Regression from the configuration to the record: loss and metrics by hand, exact resume, predictions from a file."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch

from seqlab.cli import main
from seqlab.config import build
from seqlab.data import RegressionSpec
from seqlab.errors import InputError
from seqlab.run import load
from seqlab.run.record import read_record
from seqlab.tasks import RegressionTask
from seqlab.tasks.regression import RegressionMetrics
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

ONE = ("runtime.num_threads=1", "runtime.keep_freed_memory=false", "logger=none")
ADDING = ("experiment=adding", "data.length=8", "data.sizes=[64,16,16]", "data.batch_size=16", *ONE)


def test_metrics_are_in_the_users_units_whatever_the_batches():
    draw = torch.Generator().manual_seed(0)
    targets = torch.randn(30, 2, generator=draw) * torch.tensor([10.0, 0.1]) + torch.tensor([1000.0, 0.0])
    numbers = targets + torch.randn(30, 2, generator=draw)
    stds, means = torch.tensor([10.0, 0.1]), torch.tensor([990.0, 1.0])
    metrics = RegressionMetrics(["load", "wind"])
    for part in (slice(0, 4), slice(4, 5), slice(5, 30)):
        metrics.update(numbers[part], targets[part], stds, means)
    found = {name: float(value) for name, value in metrics.compute().items()}
    error, y = (numbers.double() - targets.double()).numpy(), targets.double().numpy()
    for column, name in enumerate(("load", "wind")):
        mse = np.square(error[:, column]).mean()
        assert found[f"mse_{name}"] == pytest.approx(mse) and found[f"rmse_{name}"] == pytest.approx(mse**0.5)
        assert found[f"mae_{name}"] == pytest.approx(np.abs(error[:, column]).mean())
        assert found[f"r2_{name}"] == pytest.approx(1 - mse / y[:, column].var(), rel=1e-9)
    assert found["loss"] == pytest.approx(np.square(error / stds.double().numpy()).mean())
    lone = RegressionMetrics(["y"])
    lone.update(numbers[:, :1], torch.full((30, 1), 3.0), stds[:1], means[:1])
    assert set(lone.compute()) == {"loss", "mse", "rmse", "mae"}  # R^2 of a constant means nothing


@pytest.fixture(scope="module")
def scales(tmp_path_factory):
    """Sixty series whose weight is 3 times the mean of x plus 500, in tons and metres; and a run on them."""
    folder = tmp_path_factory.mktemp("scales")
    draw, rows = np.random.default_rng(0), ["id,x,weight,spread"]
    for number in range(60):
        level = draw.normal(100, 20)
        for _ in range(draw.integers(4, 9)):
            rows.append(f"b{number},{level + draw.normal(0, 1):.6g},{3 * level + 500:.8g},{level / 1000:.6g}")
    (folder / "beams.csv").write_text("\n".join(rows) + "\n")
    overrides = ["experiment=regression", f"data.path={folder / 'beams.csv'}", "data.id=id", "data.batch_size=8"]
    overrides += ["data.targets=[weight,spread]", "data.missing=mask", "model.hidden_size=16", "optimizer.lr=0.01"]
    run_here(folder / "run", *overrides, "trainer.max_epochs=25", *ONE)
    return folder


def test_the_loss_is_the_mean_over_targets_in_units_of_training(scales):
    run = load.load_run(scales / "run")
    data = build.build_data(run.config)
    task = build.build_task(run.config, data.spec, run.model())
    batch = data.collate("train", list(range(11)))
    errors = (task.model(batch.inputs, batch.lengths) - batch.targets).double().detach().numpy()
    terms = np.square(errors / np.array(data.spec.target_stds))
    step = task.training_step(batch, 0)
    assert step["loss"].item() == pytest.approx(terms.mean(), rel=1e-4)
    assert int(step["tokens"]) == 22 and float(step["nll"]) == pytest.approx(terms.sum(), rel=1e-4)
    rows, lengths = task.loss_terms(batch)
    assert rows.tolist() == pytest.approx(terms.mean(1).tolist(), rel=1e-3) and torch.equal(lengths, batch.lengths)


def test_it_is_far_better_than_the_mean_and_its_record_has_the_users_units(scales):
    metrics = read_record(scales / "run")["metrics"]
    assert metrics["test/r2_weight"] > 0.8 and metrics["test/r2_spread"] > 0.8
    assert metrics["test/rmse_weight"] < 30 and metrics["test/rmse_spread"] < 0.01  # deviations: 60 and 0.02


def test_new_series_are_answered_from_a_file_without_the_targets(scales, capsys):
    (scales / "new.csv").write_text("id,x\n" + "".join(f"p,{x}\n" for x in (99, 101, 100)) + "q,140\nq,\nq,139\n")
    assert main(["predict", str(scales / "run"), str(scales / "new.csv"), "--json"]) == 0
    p, q = map(json.loads, capsys.readouterr().out.splitlines())
    assert (
        p["series"] == "p" and p["weight"] == pytest.approx(800, abs=40) and p["spread"] == pytest.approx(0.1, abs=0.02)
    )
    assert q["weight"] > p["weight"] + 60
    run = load.load_run(scales / "run")
    (series, _) = run.spec.read_inputs(scales / "new.csv")
    expected = run.model()(torch.from_numpy(series.values.astype(np.float32))[None], torch.tensor([3]))
    assert p["weight"] == pytest.approx(expected[0, 0].item(), rel=1e-5)


def test_files_that_cannot_be_answered_are_refused_in_one_line(scales, capsys, tmp_path):
    for name, content, error in (
        ("other.csv", "id,y\np,1\n", "x"),
        ("word.csv", "id,x\np,long\n", "word.csv:2: x is 'long'"),
        ("none.csv", "id,x\n", "has no row"),
    ):
        (tmp_path / name).write_text(content)
        assert main(["predict", str(scales / "run"), str(tmp_path / name)]) == 2
        line = capsys.readouterr().err.strip()
        assert len(line.splitlines()) == 1 and error in line, line


def test_evaluation_on_other_files_keeps_the_units_of_training(scales, tmp_path, capsys):
    rows = (scales / "beams.csv").read_text().splitlines()
    turned = [",".join([*row.split(",")[::-1], "0"]) for row in rows[1:150]]  # another order, and a column more
    (tmp_path / "some.csv").write_text("spread,weight,x,id,more\n" + "\n".join(turned) + "\n")
    assert main(["evaluate", str(scales / "run"), f"data.path={tmp_path / 'some.csv'}"]) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("test/"))
    stds = load.load_run(scales / "run").model().target_stds.tolist()
    expected = np.mean(
        [float(lines[f"test/mse_{name}"]) / s**2 for name, s in zip(("weight", "spread"), stds, strict=True)]
    )
    assert float(lines["test/loss"]) == pytest.approx(expected, rel=1e-3)


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_left_alone(tmp_path, monkeypatch):
    overrides = [*ADDING, "trainer.max_epochs=3", "trainer.val_check_interval=2", "model.output_dropout=0.2"]
    carry_out(tmp_path / "alone", overrides)
    original = RegressionTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 7:
            monkeypatch.setattr(RegressionTask, "training_step", original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(RegressionTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "continued", overrides)
    carry_out(tmp_path / "continued", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "continued")


def test_the_adding_problem_is_learned_at_a_short_length_and_judged_at_a_longer_one(tmp_path, capsys):
    overrides = ["experiment=adding", "data.length=10", "data.sizes=[1000,100,100]", "trainer.max_epochs=12"]
    metrics = run_here(tmp_path, *overrides, "model.cell.memory=10", *ONE).fields["metrics"]
    assert metrics["test/mse"] == pytest.approx(metrics["test/loss"]) and metrics["test/mse"] < 0.05  # 1/6 by chance
    assert main(["evaluate", str(tmp_path), "data.length=20"]) == 0
    assert "20 steps each" in capsys.readouterr().err


class Answered(RegressionSpec):
    """Numbers that are asked of a model which is for classes."""

    def model_arguments(self):
        return {"vocab_size": 3, "num_classes": 2}

    def statistics(self):
        return None


def test_a_model_whose_head_takes_no_statistics_is_told():
    config = config_of(*ADDING)
    spec = build.build_data(config).spec
    assert build.build_model(config, spec).target_stds.tolist() == [1.0]
    answered = Answered(**{field.name: getattr(spec, field.name) for field in fields(spec)})
    with pytest.raises(InputError, match=r"a model whose head has load_statistics, as NumberHead has, got Labeller"):
        build.build_model(config_of("experiment=parity"), answered)
