"""The numbers logged in training are those of the windows that were trained on."""

import math

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab import tasks
from seqlab.callbacks import TrainingMetrics
from seqlab.callbacks.metrics import DivergedError
from seqlab.config import build
from seqlab.config.trainer import build_trainer
from seqlab.errors import InputError
from seqlab.run.record import read_record
from seqlab.tasks import SequenceTask
from tests.conftest import config_of, run_here, small
from tests.shipped import shipped_tasks


def fitted(tmp_path, text_file, *overrides):
    """A run's trainer after training, its log by step, and the task and data of another that has not begun."""
    config = config_of(*small(text_file, "trainer=cpu", "logger=none", "callbacks.examples=null", *overrides))
    data = build.build_data(config)

    def task_of():
        torch.manual_seed(0)
        return build.build_task(config, data.spec, build.build_model(config, data.spec))

    trainer = build_trainer(config, tmp_path)
    log = {}
    trainer.loggers = [Log(tmp_path, log)]
    trainer.fit(task_of(), datamodule=data)
    return trainer, log, task_of(), data


class Log(CSVLogger):
    def __init__(self, folder, log):
        super().__init__(folder)
        self.log = log

    def log_metrics(self, metrics, step=None):
        if any(name.startswith("train/") for name in metrics):
            self.log[step] = metrics

    def save(self):
        pass


STILL = ("optimizer=sgd", "optimizer.lr=0.0")  # the weights stay, so each window's loss can be computed again


def test_the_loss_covers_all_tokens_since_the_last_record(tmp_path, text_file):
    _, log, task, data = fitted(tmp_path, text_file, *STILL, "trainer.max_steps=9", "trainer.log_every_n_steps=3")
    windows = [batch for batch, _ in zip(data.train_dataloader(), range(9), strict=False)]
    steps = [task.training_step(batch, 0) for batch in windows]  # with its carried state
    for end in (3, 6, 9):
        nll = sum(float(step["nll"]) for step in steps[end - 3 : end])
        tokens = sum(int(step["tokens"]) for step in steps[end - 3 : end])
        assert log[end]["train/loss"] == pytest.approx(nll / tokens, rel=1e-6)
        assert log[end]["train/perplexity"] == pytest.approx(math.exp(nll / tokens), rel=1e-6)
    assert log.keys() == {3, 6, 9}


@pytest.mark.parametrize("clip", ["null", "0.001", "1000.0"])
def test_the_gradients_norm_is_measured_before_clipping(tmp_path, text_file, clip):
    _, log, task, data = fitted(
        tmp_path,
        text_file,
        *STILL,
        "trainer.max_steps=2",
        "trainer.log_every_n_steps=2",
        f"trainer.gradient_clip_val={clip}",
    )
    windows = iter(data.train_dataloader())
    task.training_step(next(windows), 0)
    task.training_step(next(windows), 0)["loss"].backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in task.parameters()]).norm()
    assert log[2]["train/gradient_norm"] == pytest.approx(float(norm), rel=1e-5)


def test_accumulated_windows_are_one_step_in_the_log(tmp_path, text_file):
    _, log, task, data = fitted(
        tmp_path,
        text_file,
        *STILL,
        "trainer.max_steps=2",
        "trainer.log_every_n_steps=1",
        "trainer.accumulate_grad_batches=3",
    )
    steps = [task.training_step(batch, 0) for batch, _ in zip(data.train_dataloader(), range(6), strict=False)]
    assert log.keys() == {1, 2}
    assert log[1]["train/loss"] == pytest.approx(sum(float(s["nll"]) for s in steps[:3]) / 192, rel=1e-6)
    assert log[2]["train/loss"] == pytest.approx(sum(float(s["nll"]) for s in steps[3:]) / 192, rel=1e-6)


def test_the_rate_leaves_validation_out(tmp_path, text_file, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("seqlab.callbacks.metrics.time.perf_counter", lambda: clock[0])
    original = TrainingMetrics.on_train_batch_end

    def one_second_later(self, *arguments):
        clock[0] += 1.0
        original(self, *arguments)

    def long_validation(self, *arguments):
        clock[0] += 1000.0

    monkeypatch.setattr(TrainingMetrics, "on_train_batch_end", one_second_later)
    monkeypatch.setattr(TrainingMetrics, "on_validation_end", long_validation)
    trainer, log, _, _ = fitted(
        tmp_path,
        text_file,
        "trainer.max_steps=12",
        "trainer.log_every_n_steps=4",
        "trainer.val_check_interval=6",
    )
    assert {step: values["train/tokens_per_second"] for step, values in log.items()} == {4: 64, 8: 64, 12: 64}
    (metrics,) = [callback for callback in trainer.callbacks if isinstance(callback, TrainingMetrics)]
    assert metrics.tokens_per_second == 64 and metrics.train_seconds == pytest.approx(12 + 2 * 1000)


def test_a_classifiers_rate_counts_the_tokens_it_reads_and_it_has_no_perplexity(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("seqlab.callbacks.metrics.time.perf_counter", lambda: clock[0])
    original = TrainingMetrics.on_train_batch_end

    def one_second_later(self, *arguments):
        clock[0] += 1.0
        original(self, *arguments)

    monkeypatch.setattr(TrainingMetrics, "on_train_batch_end", one_second_later)
    config = config_of(
        "experiment=tiny_sentiment", "logger=none", "callbacks.confusion=null", "callbacks.examples=null"
    )
    trainer, log = build_trainer(config, tmp_path), {}
    trainer.loggers = [Log(tmp_path, log)]
    data = build.build_data(config)
    trainer.fit(build.build_task(config, data.spec, build.build_model(config, data.spec)), datamodule=data)
    # Batches of two sentences of four words.
    assert log and all(values["train/tokens_per_second"] == 8 for values in log.values())
    assert all("train/loss" in values and "train/perplexity" not in values for values in log.values())


def test_where_the_data_are_numbers_the_speed_is_of_frames(tmp_path, capsys):
    overrides = ("experiment=waveforms", "data.sizes=[64,16,16]", "model.hidden_size=4", "trainer.max_epochs=1")
    run_here(tmp_path, *overrides, "trainer.log_every_n_steps=1", "callbacks.examples=null", "callbacks.confusion=null")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 1  ")]
    assert line.endswith(" frames/s") and "tokens" not in line
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    assert [tag for tag in tags if "per_second" in tag] == ["train/frames_per_second"]
    record = read_record(tmp_path)
    assert record["reads"] == "frames" and record["tokens_per_second"] > 0


def test_the_tasks_of_numbers_read_frames():
    numbers = {"ForecastTask", "MusicTask", "RegressionTask", "SeriesClassificationTask", "TranscriptionTask"}
    assert {name: getattr(tasks, name).reads for name in shipped_tasks()} == {
        name: "frames" if name in numbers else "tokens" for name in shipped_tasks()
    }


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e30])
def test_a_loss_beyond_measure_ends_training(tmp_path, text_file, monkeypatch, loss):
    def diverged(self, batch, batch_idx):
        nll = (self.model.head.output.bias * 0).sum() + 1.0
        return {"loss": nll, "nll": nll.detach() * loss, "tokens": torch.tensor(1)}

    monkeypatch.setattr("seqlab.tasks.LanguageModelTask.training_step", diverged)
    with pytest.raises(DivergedError, match=r"training diverged: train/loss is .* at step 5; lower optimizer\.lr"):
        fitted(tmp_path, text_file, "trainer.max_steps=10")


def test_a_validation_loss_beyond_measure_ends_training_before_it_is_kept(tmp_path, text_file):
    overrides = ("optimizer=sgd", "optimizer.lr=1e30", "trainer.max_steps=1")  # one step, and only its validation
    with pytest.raises(DivergedError, match=r"training diverged: val/loss is .* at step 1"):
        fitted(tmp_path, text_file, *overrides)
    assert not list(tmp_path.rglob("best.ckpt"))


def test_a_resumed_run_keeps_its_measured_speed_before_it_records_again():
    callback = TrainingMetrics()
    callback.load_state_dict({**callback.state_dict(), "tokens": 600, "seconds": 2.0, "train_seconds": 5.0})
    assert (callback.tokens_per_second, callback.train_seconds) == (300.0, 5.0)


@pytest.mark.parametrize("outputs", [None, {"loss": torch.ones(())}])
def test_a_step_without_its_sums_is_one_line_that_names_the_task(outputs):
    task = SequenceTask(torch.nn.Linear(1, 1), None)
    with pytest.raises(InputError, match=r"SequenceTask\.training_step gave (nothing|loss); the log needs nll and tok"):
        TrainingMetrics().on_train_batch_end(None, task, outputs, None, 0)
