"""Labelling from the configuration to the record: loss and metrics by hand, longer sequences, exact resume, answers."""

import json

import pytest
import torch

from seqlab.cli import main
from seqlab.config import build
from seqlab.data import IGNORE_INDEX
from seqlab.errors import InputError
from seqlab.run import checkpoints
from seqlab.run.record import read_record
from seqlab.tasks import LabellingTask
from seqlab.tasks.labelling import LabelMetrics
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

ONE = ("runtime.num_threads=1", "runtime.keep_freed_memory=false", "model.backend=native", "logger=none")
SMALL = ("experiment=parity", "data.length=10", "data.sizes=[96,24,24]", "data.batch_size=16", *ONE)


def task_of(*overrides):
    config = config_of(*overrides)
    data = build.build_data(config)
    torch.manual_seed(0)
    return build.build_task(config, data.spec, build.build_model(config, data.spec)), data


def test_the_loss_is_the_mean_over_the_labels_that_are_asked():
    task, data = task_of(*SMALL, "data=dyck", "data.test_length=[10,17]")
    batch = data.collate("test", [3, 25, 30])
    assert batch.lengths.tolist() == [10, 17, 17] and (batch.targets == IGNORE_INDEX).any()
    log_p = task.model(batch.inputs, batch.lengths).log_softmax(-1)
    terms = [
        -log_p[row, step, label].item()
        for row, labels in enumerate(batch.targets.tolist())
        for step, label in enumerate(labels)
        if label != IGNORE_INDEX
    ]
    step = task.training_step(batch, 0)
    assert step["loss"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert (int(step["tokens"]), int(step["steps"])) == (len(terms), 44)
    by_step, lengths = task.loss_terms(batch)
    assert by_step.shape == batch.targets.shape and by_step.sum().item() == pytest.approx(sum(terms), rel=1e-5)
    assert torch.equal(lengths, batch.lengths) and (by_step[batch.targets == IGNORE_INDEX] == 0).all()


def test_metrics_are_those_of_all_labels_whatever_the_batches_and_of_each_length():
    draw = torch.Generator().manual_seed(0)
    asked = torch.rand(40, 6, generator=draw) < 0.5
    asked[0] = False
    right = torch.rand(40, 6, generator=draw) < 0.7
    nll = torch.rand(40, 6, generator=draw).masked_fill(~asked, 0.0)
    lengths = torch.tensor([6, 9])[torch.randint(2, (40,), generator=draw)]
    metrics = LabelMetrics([9, 6])
    for part in (slice(0, 7), slice(7, 8), slice(8, 40)):
        metrics.update(nll[part], right[part], asked[part], lengths[part])
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert len(found) == 12
    for suffix, rows in (
        ("", range(40)),
        ("_9", (lengths == 9).nonzero()[:, 0]),
        ("_6", (lengths == 6).nonzero()[:, 0]),
    ):
        answers = [[bool(right[row, step]) for step in range(6) if asked[row, step]] for row in rows]
        answers = [row for row in answers if row]
        flat = [answer for row in answers for answer in row]
        assert found[f"accuracy{suffix}"] == pytest.approx(sum(flat) / len(flat))
        assert found[f"last_accuracy{suffix}"] == pytest.approx(sum(row[-1] for row in answers) / len(answers))
        assert found[f"sequence_accuracy{suffix}"] == pytest.approx(sum(map(all, answers)) / len(answers))
        assert found[f"loss{suffix}"] == pytest.approx(sum(float(nll[row].sum()) for row in rows) / len(flat), rel=1e-6)


def test_a_run_that_is_stopped_and_resumed_draws_and_ends_as_one_that_was_left_alone(tmp_path, monkeypatch):
    overrides = [*SMALL, "trainer.max_epochs=3", "trainer.val_check_interval=2", "model.output_dropout=0.2"]
    carry_out(tmp_path / "alone", overrides)
    original = LabellingTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 9:
            monkeypatch.setattr(LabellingTask, "training_step", original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(LabellingTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "continued", overrides)
    carry_out(tmp_path / "continued", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "continued")


@pytest.fixture(scope="module")
def parity(tmp_path_factory):
    """A GRU that has learned parity, tested at its own length and at one four times as long."""
    folder = tmp_path_factory.mktemp("parity") / "run"
    overrides = ["experiment=parity", "data.length=16", "data.test_length=[16,64]", "data.sizes=[3200,64,64]"]
    run_here(folder, *overrides, "model.hidden_size=32", "optimizer.lr=0.01", "trainer.max_epochs=20", *ONE)
    return folder


def test_a_gru_learns_parity_stops_once_it_is_solved_and_is_right_at_longer_sequences(parity, capsys):
    record = read_record(parity)
    metrics = record["metrics"]
    assert metrics["val/loss"] < 0.001 and metrics["test/sequence_accuracy_16"] == 1.0
    assert metrics["test/accuracy_64"] > 0.99 and metrics["test/last_accuracy_64"] > 0.95  # chance is 1/2
    checkpoint = checkpoints.load_checkpoint(parity / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] < 1000
    assert main(["evaluate", str(parity)]) == 0
    assert f"{metrics['test/loss']:.6g}" in capsys.readouterr().out
    assert main(["evaluate", str(parity), "data.length=128", "data.test_length=null"]) == 0
    out, err = capsys.readouterr()
    longer = dict(line.split() for line in out.splitlines() if "/" in line)
    assert "128 steps each" in err and float(longer["test/accuracy"]) > 0.99 and "test/accuracy_64" not in longer


def test_answers_are_the_labels_of_each_step(parity, capsys):
    assert main(["predict", str(parity), "0 1 1 0 1", " 1 ", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["labels"] == ["0", "1", "0", "0", "1"] and first["tokens"] == ["0", "1", "1", "0", "1"]
    assert second["labels"] == ["1"]
    for text, error in (("0 2 1", "text 1 has '2'; give tokens with spaces between, of 0, 1"), ("", "empty")):
        assert main(["predict", str(parity), text]) == 2
        line = capsys.readouterr().err.strip()
        assert error in line and len(line.splitlines()) == 1


def test_what_a_trained_network_holds_is_drawn_over_a_sequence(parity, tmp_path):
    assert main(["states", str(parity), "0 1 1 0", "--output", str(tmp_path / "states.png")]) == 0
    assert (tmp_path / "states.png").stat().st_size > 1000


def test_examples_show_the_last_steps_and_what_was_right():
    task, data = task_of(*SMALL, "data=copy", "data.length=40", "data.sizes=[96,24,24]")
    shown = task.examples(data, "test", 2, torch.Generator())
    head, _, *rows = shown.text.splitlines()
    assert head == "| last tokens | true | predicted | right |" and len(rows) == len(shown.lines) == 2
    assert (
        rows[0].startswith("| `... ")
        and rows[0].count(" . ") > 5
        and " of 10 |" in rows[0]
        and "of 10 right)" in shown.lines[0]
    )


def test_a_model_for_other_data_is_refused_by_name():
    config = config_of(*SMALL, "model=classifier")
    spec = build.build_data(config).spec
    build.build_model(config, spec)  # it takes tokens and classes too; its task is another
    with pytest.raises(InputError, match=r"model .*Tagger"):
        build.build_model(config_of(*SMALL, "model=tagger"), spec)
