"""Classification from the configuration to the record: exact metrics, exact resume, and what it shows."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from seqlab.cli import main
from seqlab.commands.evaluate import evaluate
from seqlab.config import build
from seqlab.data import ClassificationSpec, TinySentiment
from seqlab.errors import InputError
from seqlab.run import checkpoints, load
from seqlab.run.record import read_record
from seqlab.tasks import ClassificationTask
from seqlab.tasks.metrics import ClassMetrics
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

TINY = ("experiment=tiny_sentiment", "runtime.num_threads=1", "runtime.keep_freed_memory=false")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Made-up texts of 1 to 12 words; the class is told by the last word alone."""
    draw = random.Random(0)
    rows = []
    for _ in range(90):
        words = [draw.choice("abcdefgh") for _ in range(draw.randint(1, 12))]
        rows.append(f"{' '.join(words)},{'first' if words[-1] in 'abc' else 'second'}\n")
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text("text,label\n" + "".join(rows))
    return path


def of_table(table: Path, *overrides: str) -> list[str]:
    return [
        *TINY,
        "data=classification",
        f"data.path={table}",
        "data.batch_size=8",
        "data.bucket_batches=4",
        "callbacks.examples.print_test=false",
        *overrides,
    ]


def test_metrics_are_those_of_torchmetrics_over_the_whole_split_whatever_the_batches():
    draw = torch.Generator().manual_seed(0)
    predicted, targets = (torch.randint(0, 4, (50,), generator=draw) for _ in range(2))
    targets[targets == 3] = 0  # a class that is predicted and never true
    metrics = ClassMetrics(6)  # and two that do not occur
    for part in (slice(0, 7), slice(7, 8), slice(8, 50)):
        metrics.update(torch.tensor(float(part.stop - part.start)) * 0.5, predicted[part], targets[part])
    found = metrics.compute()
    assert float(found["loss"]) == pytest.approx(0.5)
    for name, function in (("accuracy", multiclass_accuracy), ("macro_f1", multiclass_f1_score)):
        average = "micro" if name == "accuracy" else "macro"
        assert float(found[name]) == pytest.approx(float(function(predicted, targets, 6, average)), abs=1e-6), name
    assert int(metrics.confusion[0, 1]) == int(((targets == 0) & (predicted == 1)).sum())


def test_the_loss_is_the_mean_over_the_texts_of_a_batch_and_smoothing_is_for_training_alone():
    config = config_of(*TINY)
    data = build.build_data(config)
    torch.manual_seed(0)
    model = build.build_model(config, data.spec)
    batch = data.collate("train", [0, 1, 2])
    logits = model(batch.inputs, batch.lengths)
    outputs = {}
    for smoothing in (0.0, 0.3):
        settings = {**config, "task": {**config["task"], "label_smoothing": smoothing}}
        outputs[smoothing] = build.build_task(settings, data.spec, model).training_step(batch, 0)
    assert torch.equal(outputs[0.0]["loss"], F.cross_entropy(logits, batch.targets))
    assert torch.equal(outputs[0.3]["loss"], F.cross_entropy(logits, batch.targets, label_smoothing=0.3))
    assert outputs[0.0]["nll"].item() == pytest.approx(3 * outputs[0.0]["loss"].item())
    assert torch.equal(outputs[0.3]["nll"], outputs[0.0]["nll"]), "what is logged beside validation's loss"
    assert outputs[0.0]["tokens"] == 3
    with pytest.raises(InputError, match=r"task.label_smoothing is 1; expected a share in \[0, 1\)"):
        ClassificationTask(model, data.spec, torch.optim.SGD, label_smoothing=1)


def test_the_tiny_preset_learns_its_four_sentences_and_prints_two_probabilities(tmp_path, capsys):
    record = run_here(tmp_path, "experiment=tiny_sentiment").fields
    assert record["metrics"]["val/accuracy"] == 1.0, "validation repeats the training sentences"
    assert record["config"]["trainer"]["max_epochs"] == 10 and record["config"]["data"]["batch_size"] == 2
    assert (record["config"]["model"]["embedding_size"], record["config"]["model"]["hidden_size"]) == (16, 8)
    shown = [line for line in capsys.readouterr().out.splitlines() if "(true: " in line]
    assert [line.split("  ", 2)[2] for line in shown] == [
        "I love this story  (true: positive)",
        "what a boring film  (true: negative)",
    ]
    for line in shown:
        negative, positive = float(line.split()[1]), float(line.split()[3])
        assert negative + positive == pytest.approx(1.0, abs=2e-4)
    assert record["metrics"]["test/accuracy"] == 1.0


def test_evaluation_is_over_every_text_and_the_record_keeps_the_best_by_accuracy(tmp_path, table):
    judged = ("optimize.metric=val/accuracy", "optimize.mode=max", "trainer.max_epochs=3")
    record = run_here(tmp_path, *of_table(table, *judged, "data.eval_batch_size=4", "model/cell=gru"))
    run = load.load_run(tmp_path)
    data = build.build_data(run.config)
    model = run.model()
    assert run.spec == data.spec and run.spec.labels == ("first", "second")
    for split, name in (("validation", "val"), ("test", "test")):
        rows = [data.collate(split, [number]) for number in range(data.spec.num_examples[split])]  # one by one
        logits = torch.cat([model(row.inputs) for row in rows]).detach()
        targets = torch.cat([row.targets for row in rows])
        metrics = record.fields["metrics"]
        assert metrics[f"{name}/loss"] == pytest.approx(float(F.cross_entropy(logits.double(), targets)), abs=1e-6)
        assert metrics[f"{name}/accuracy"] == pytest.approx(float((logits.argmax(1) == targets).double().mean()))
    best = checkpoints.load_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["run"]["best_score"]
    assert best == pytest.approx(record.fields["metrics"]["val/accuracy"])


def test_a_run_is_evaluated_on_other_data_by_its_own_classes_and_words(tmp_path, table, capsys):
    run_here(tmp_path / "run", *of_table(table, "trainer.max_epochs=2", "logger=none"))
    first = evaluate(tmp_path / "run", [])
    assert first == read_record(tmp_path / "run")["metrics"]
    for override, trained in (("model.pooling=max", '"last"'), ("task.label_smoothing=0.5", "0.0")):  # they would fit
        with pytest.raises(
            InputError, match=f"{override[:9]}.*: the model is measured as it was trained, with {trained}"
        ):
            evaluate(tmp_path / "run", [override])
    assert evaluate(tmp_path / "run", ["model.backend=loop"]) == pytest.approx(first, rel=1e-5)
    copy = shutil.copy(table, tmp_path / "copy.csv")
    for own in ([], [f"data.path={table}"], [f"data.path={copy}"]):
        with pytest.raises(InputError, match=r"data\.split_seed=5: .* rows in the test that the model was trained on"):
            evaluate(tmp_path / "run", [*own, "data.split_seed=5"])
    (tmp_path / "other.csv").write_text("text,label\n" + "z z,second\nb a,first\n" * 20)
    other = evaluate(tmp_path / "run", [f"data.path={tmp_path / 'other.csv'}", "data.split_seed=5"])
    assert other.keys() == first.keys() and other != first
    assert "rows of its training" not in capsys.readouterr().err
    evaluate(tmp_path / "run", [f"data.path=[{copy},{tmp_path / 'other.csv'}]"])
    assert "copy.csv: rows of its training may be in this test" in capsys.readouterr().err
    beside = evaluate(tmp_path / "run", [f"data.test={tmp_path / 'other.csv'}"])  # the whole file
    assert {name for name in first if beside[name] == first[name]} == {name for name in first if name[:4] == "val/"}
    told = capsys.readouterr().err
    assert "test: 40 rows" in told and "rows of its training" not in told
    with pytest.raises(InputError, match=r"data\.split_seed=5: .* rows in the test that the model was trained on"):
        evaluate(tmp_path / "run", [f"data.test={tmp_path / 'other.csv'}", "data.split_seed=5"])
    (tmp_path / "wrong.csv").write_text("text,label\n" + "b a,third\n" * 20)
    with pytest.raises(InputError, match=r"wrong.csv:\d+: no class of the train split occurs in training"):
        evaluate(tmp_path / "run", [f"data.path={tmp_path / 'wrong.csv'}"])


def test_evaluate_tells_what_it_read_beside_its_figures(tmp_path, table, capsys):
    run_here(tmp_path / "run", *of_table(table, "trainer.max_steps=2", "logger=none"))
    (tmp_path / "other.csv").write_text("text,label\n" + "z z,second\nb a,first\nc,third\n" * 10)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), f"data.path={tmp_path / 'other.csv'}", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["test/accuracy"] <= 2 / 3  # the third class can't be told
    assert "test: 3 rows; 2 classes: first 1, second 1; 1 row of classes that training lacks (third)" in shown.err
    assert (tmp_path / "run" / "run.json").read_text().count('"classes"') == 3


def test_tensorboard_gets_the_confusion_matrix_of_the_test_and_answers_to_single_texts(tmp_path, table):
    overrides = of_table(table, "trainer.max_epochs=2", "callbacks.examples.num_examples=3")
    record = run_here(tmp_path, *overrides).fields
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert tags["images"] == ["test/confusion"]
    assert {"val/accuracy", "val/macro_f1", "train/loss", "test/macro_f1"} <= set(tags["scalars"])
    answers = events.Tensors("predictions/text_summary")
    shown = answers[-1].tensor_proto.string_val[0].decode().splitlines()
    assert len(answers) == 2 and shown[0] == "| text | true | first | second |" and len(shown) == 5
    data = build.build_data(record["config"])
    assert shown[2].split(" | ")[0] == f"| {data.source.read('validation')[0].text}"


STOCHASTIC = (
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=5",
    "model.embedding_dropout=0.3",
    "model.output_dropout=0.3",
    "scheduler=cosine",
    "trainer.val_check_interval=0.5",
    "callbacks.checkpoint.every_n_steps=2",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("alone")
    carry_out(folder, of_table(table, *STOCHASTIC))
    return folder


@pytest.mark.parametrize("steps", [[3, 10, 26], [9, 13]], ids=str)  # an epoch has 9 batches
def test_stopped_anywhere_and_resumed_it_ends_as_if_left_alone(tmp_path, alone, table, monkeypatch, steps):
    original = ClassificationTask.training_step
    for number, step in enumerate(steps):

        def stopping(self, batch, batch_idx, step=step):
            if self.trainer.global_step == step:
                raise StoppedError
            return original(self, batch, batch_idx)

        monkeypatch.setattr(ClassificationTask, "training_step", stopping)
        with pytest.raises(StoppedError):
            carry_out(tmp_path, of_table(table, *STOCHASTIC), resume=number > 0)
        torch.rand(5)
    monkeypatch.setattr(ClassificationTask, "training_step", original)
    carry_out(tmp_path, [], resume=True)
    assert_the_same_end(alone, tmp_path)


def test_answers_shown_leave_training_bit_for_bit_as_it_was(tmp_path, alone, table):
    off = ("callbacks.examples=null", "callbacks.confusion=null")
    carry_out(tmp_path, of_table(table, *STOCHASTIC, *off))
    one, other = (
        checkpoints.load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (alone, tmp_path)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_budget_is_met_with_the_classes_counted():
    config = config_of(*TINY, "model.match_parameters=20000", "model.pooling=attention")
    spec = ClassificationSpec(50, "word", tuple("abcde"))
    model = build.build_model(config, spec)
    assert model.head.output.out_features == 5
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(20_000, rel=0.01)


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(tmp_path, table):
    overrides = of_table(table, "optimizer=sgd", "optimizer.lr=1e38", "trainer.log_every_n_steps=1", "logger=none")
    with pytest.raises(RuntimeError, match="training diverged"):
        run_here(tmp_path, *overrides)


def test_the_sentences_of_the_test_are_made_of_words_of_the_training():
    words = {word for text, _ in TinySentiment.train for word in text.split()}
    assert all(word in words for text, _ in TinySentiment.test for word in text.split())
    assert sorted(label for _, label in TinySentiment.train) == ["negative"] * 2 + ["positive"] * 2
