"""Data of numbers has no vocabulary: it trains, is saved, evaluated, resumed and asked about like any other."""

import importlib
import json
from pathlib import Path

import pytest
import torch

import seqlab as front_door
from seqlab.errors import InputError
from seqlab.run.load import SavedRun
from seqlab.run.record import read_record
from tests.command import ONE_THREAD, seqlab

SERIES = '''
"""The next value of a sine with noise."""

from dataclasses import dataclass
from typing import ClassVar

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError

from seqlab.data import Spec
from seqlab.nn import Encoder, GRUCell
from seqlab.tasks import SequenceTask


@dataclass(frozen=True)
class SeriesSpec(Spec):
    kind: ClassVar[str] = "series"
    vocabularies: ClassVar[tuple[str, ...]] = ()
    num_features: int

    def model_arguments(self):
        return {"input_size": self.num_features}


class SeriesData(pl.LightningDataModule):
    def __init__(self, num_rows=48, num_steps=12, noise=0.05, batch_size=16, eval_batch_size=None):
        super().__init__()
        self.shape, self.noise, self.batch_size = (num_rows, num_steps + 1), noise, batch_size
        self.spec, self.vocabularies = SeriesSpec(num_features=1), {}

    def fingerprint(self):
        return f"sine {self.shape} {self.noise}"

    def prepare_data(self):
        pass

    def setup(self, stage):
        draw = torch.Generator().manual_seed(0)
        rows, steps = self.shape
        self.series = {}
        for split in ("train", "val", "test"):
            phase = torch.rand(rows, 1, generator=draw) * 6.28
            values = torch.sin(0.7 * torch.arange(steps) + phase)
            self.series[split] = values + self.noise * torch.randn(rows, steps, generator=draw)

    def loader(self, split):
        values = self.series[split].unsqueeze(-1)  # (rows, T + 1, 1)
        return DataLoader(TensorDataset(values[:, :-1], values[:, 1:]), self.batch_size)

    def train_dataloader(self):
        return self.loader("train")

    def val_dataloader(self):
        return self.loader("val")

    def test_dataloader(self):
        return self.loader("test")


class SeriesModel(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.encoder = Encoder(GRUCell, input_size=input_size, hidden_size=hidden_size)
        self.head = nn.Linear(hidden_size, input_size)

    def forward(self, inputs):
        return self.head(self.encoder(inputs)[0])


class SeriesTask(SequenceTask):
    def __init__(self, model, spec, **options):
        super().__init__(model, **options)
        self.eval_metrics = nn.ModuleDict(
            {split: nn.ModuleDict({"loss": MeanSquaredError()}) for split in ("val", "test")}
        )

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.model(inputs), targets)
        number = torch.tensor(targets.numel())
        return {"loss": loss, "nll": loss.detach() * number, "tokens": number}

    def evaluate(self, batch, split):
        inputs, targets = batch
        self.metrics_of(split)["loss"].update(self.model(inputs), targets)

    def finish(self, split):
        metric = self.metrics_of(split)["loss"]
        self.log(f"{split}/loss", metric.compute())
        metric.reset()
'''
YAMLS = {
    "data/waves": "_target_: series.SeriesData\nnum_rows: 48\nnum_steps: 12\nnoise: 0.05\nbatch_size: 16\n",
    "model/waves": "_target_: series.SeriesModel\nhidden_size: 12\n",
    "task/waves": "_target_: series.SeriesTask\n",
}
TRAIN = (
    *("train", "--config-dir", "conf", "data=waves", "model=waves", "task=waves"),
    *("optimizer.lr=0.02", "logger=none", "trainer.val_check_interval=1.0", *ONE_THREAD),
)


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    (folder / "series.py").write_text(SERIES)
    for name, text in YAMLS.items():
        path = folder / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def trained(user) -> Path:
    done = seqlab(*TRAIN, "trainer.max_epochs=30", "hydra.run.dir=run", folder=user)
    assert done.returncode == 0, done.stderr
    return user / "run"


def test_it_learns_and_its_record_says_so(trained):
    record = read_record(trained)
    assert record["status"] == "completed" and record["data_hash"]
    assert record["metrics"]["test/loss"] < 0.1  # the variance of the series is one half
    assert not list(trained.rglob("tokenizer.json"))


def test_it_is_read_back_from_python_and_its_loss_is_that_of_its_predictions(trained, user, monkeypatch):
    monkeypatch.syspath_prepend(user)
    run = front_door.load(trained, allow=["series"])
    assert run.vocabularies == {} and run.spec.num_features == 1
    data = importlib.import_module("series").SeriesData()
    data.setup("test")
    values = data.series["test"].unsqueeze(-1)
    inputs, targets = values[:, :-1], values[:, 1:]
    with torch.no_grad():
        errors = (run.model(inputs) - targets).square()
    assert read_record(trained)["metrics"]["test/loss"] == pytest.approx(float(errors.mean()), abs=1e-6)
    last_value_again = float((inputs - targets).square().mean())
    assert errors.mean() < last_value_again / 2


def test_it_is_evaluated_to_the_same_digits_and_on_other_data_to_others(trained, user):
    metrics = read_record(trained)["metrics"]
    evaluated = evaluation(user)
    assert evaluated["test/loss"] == metrics["test/loss"] and evaluated["val/loss"] == metrics["val/loss"]
    assert evaluation(user, "data.noise=0.5")["test/loss"] > metrics["test/loss"] + 0.2  # of a variance of 0.25


def evaluation(user: Path, *overrides: str) -> dict[str, float]:
    done = seqlab("evaluate", "run", "--allow", "series", "--json", *overrides, folder=user)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_goes_on_for_longer(trained, user):
    done = seqlab("resume", "run", "--allow", "series", "trainer.max_epochs=31", folder=user)
    assert done.returncode == 0, done.stderr
    assert read_record(user / "run+max_epochs=31")["status"] == "completed"


@pytest.mark.parametrize(
    "command", [("generate", "run", "--prompt", "h"), ("complete", "run", "h"), ("predict", "run", "h")]
)
def test_what_is_for_texts_says_so_in_one_line(trained, user, command):
    done = seqlab(*command, "--allow", "series", folder=user)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr


def test_a_vocabulary_that_is_asked_for_is_told_to_be_missing(tmp_path):
    run = SavedRun(tmp_path, {}, {}, {}, None, tmp_path)
    with pytest.raises(InputError, match="without a vocabulary"):
        run.vocabulary  # noqa: B018
