"""Answering from the configuration to the record: exact metrics, exact resume, and what it shows and predicts."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.cli import main
from seqlab.commands.evaluate import evaluate
from seqlab.commands.predict import predict
from seqlab.config import build
from seqlab.data import IGNORE_INDEX, AnswerBatch, World
from seqlab.errors import InputError
from seqlab.run import checkpoints, load
from seqlab.run.load import load_run
from seqlab.run.record import read_record
from seqlab.tasks import AnswerTask
from seqlab.tasks.answer import parse_question
from seqlab.tasks.metrics import OpenClassMetrics
from tests.conftest import config_of, run_here
from tests.data.copies import thrice
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

SMALL = (
    "experiment=world_answers",
    "trainer=cpu",
    "runtime.num_threads=1",
    "runtime.keep_freed_memory=false",
    "data.stories=[20,4,5]",
    "data.questions=3",
    "data.batch_size=8",
    "data.bucket_batches=2",
    "model.hidden_size=8",
)


def test_an_answer_that_training_never_saw_is_wrong_and_has_no_part_in_the_loss():
    metrics = OpenClassMetrics(3)
    metrics.update(torch.tensor(1.0), torch.tensor([0, 1]), torch.tensor([0, 3]))
    metrics.update(torch.tensor(3.0), torch.tensor([2, 0, 1]), torch.tensor([2, 1, 1]))
    found = metrics.compute()
    assert float(found["loss"]) == 1.0 and float(found["accuracy"]) == pytest.approx(3 / 5)


def test_the_loss_is_the_mean_over_the_questions_of_a_batch():
    config = config_of(*SMALL)
    data = build.build_data(config)
    torch.manual_seed(0)
    model = build.build_model(config, data.spec).eval()
    batch = data.collate("train", [0, 1, 2])
    logits = model(*batch.read)
    outputs = {}
    for smoothing in (0.0, 0.3):
        settings = {**config, "task": {**config["task"], "label_smoothing": smoothing}}
        task = build.build_task(settings, data.spec, model)
        outputs[smoothing] = task.eval().training_step(batch, 0)
        assert torch.equal(
            outputs[smoothing]["loss"], F.cross_entropy(logits, batch.targets, label_smoothing=smoothing)
        )
    assert outputs[0.0]["nll"].item() == pytest.approx(3 * outputs[0.0]["loss"].item()) and outputs[0.0]["tokens"] == 3
    rows = data.rows("train")[:3]
    words = sum(len(data.vocabulary.pieces(text)) for row in rows for text in (*row.story, row.question))
    assert outputs[0.0]["steps"] == words
    with pytest.raises(InputError, match=r"task.label_smoothing is -1; expected a share in \[0, 1\)"):
        AnswerTask(model, data.spec, torch.optim.SGD, label_smoothing=-1)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    overrides = ("trainer.max_epochs=2", "trainer.log_every_n_steps=5", "data.eval_batch_size=5")
    run_here(folder, *SMALL, *overrides, "callbacks.examples.num_examples=3")
    return folder


def test_evaluation_is_over_every_question(run_dir):
    run = load.load_run(run_dir)
    data = build.build_data(run.config)
    model = run.model()
    assert run.spec == data.spec
    for split, name in (("validation", "val"), ("test", "test")):
        rows = [data.collate(split, [number]) for number in range(data.spec.num_examples[split])]  # one by one
        logits = torch.cat([model(*row.read) for row in rows]).detach()
        targets = torch.cat([row.targets for row in rows])
        metrics = read_record(run_dir)["metrics"]
        assert metrics[f"{name}/loss"] == pytest.approx(float(F.cross_entropy(logits.double(), targets)), abs=1e-6)
        assert metrics[f"{name}/accuracy"] == pytest.approx(float((logits.argmax(1) == targets).double().mean()))


def test_a_run_is_evaluated_on_other_stories_by_its_own_words_and_answers(run_dir, tmp_path):
    first = evaluate(run_dir, [])
    assert first == read_record(run_dir)["metrics"]
    other = evaluate(run_dir, ["data.world_seed=5"])
    assert other.keys() == first.keys() and other != first
    assert evaluate(run_dir, ["data.stories=[1,4,5]"]) == first, (
        "answers that a smaller training split lacks stay known"
    )


def test_tensorboard_gets_answers_and_what_attention_looked_at_in_the_end(run_dir):
    events = EventAccumulator(str(run_dir), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert sorted(tags["images"]) == ["attention/1", "attention/2", "attention/3"]
    assert {"val/accuracy", "val/macro_f1", "train/loss", "test/accuracy"} <= set(tags["scalars"])
    shown = events.Tensors("answers/text_summary")[-1].tensor_proto.string_val[0].decode().splitlines()
    assert shown[0] == "| story | question | true | answer | probability |" and len(shown) == 5
    row = build.build_data(read_record(run_dir)["config"]).rows("validation")[0]
    assert shown[2].startswith(f"| {' '.join(row.story)} | {row.question} | {row.answer} | ")


def test_it_learns_its_stories_by_heart_and_prints_answers(tmp_path, capsys):
    (tmp_path / "w.txt").write_text(World(stories=(6, 1, 1)).text("train"))
    file = tmp_path / "w.txt"
    files = ("data=answers", *(f"data.{split}={path}" for split, path in thrice(file).items()))
    small = [override for override in SMALL if not override.startswith(("data.stories", "data.questions"))]
    options = ("logger=none", "model.hidden_size=24", "trainer.max_epochs=30", "optimizer.lr=0.01")
    shown = ("callbacks.examples.print_test=true", "callbacks.examples.num_examples=2")
    metrics = run_here(tmp_path / "run", *small, *files, *options, *shown).fields["metrics"]
    assert metrics["val/accuracy"] == 1.0 and metrics["test/loss"] < 0.3
    row = World(stories=(6, 1, 1)).read("train")[1]
    lines = capsys.readouterr().out.splitlines()
    place = lines.index(" ".join(row.story))
    assert lines[place + 1].startswith(f"  {row.question}  {row.answer} 0.")
    assert lines[place + 1].endswith(f"  (true: {row.answer})")
    (answer,) = predict(load_run(tmp_path / "run"), [f"{' '.join(row.story)} {row.question}"])
    assert answer.values["answer"] == row.answer


def test_a_story_of_unknown_words_is_told_though_its_full_stops_are_known(run_dir, caplog):
    (answer,) = predict(load_run(run_dir), ["Zzz qqq. Yyy xxx?"])
    assert answer.values["note"] == "no known word" and "has none of its words: 'zzz', 'qqq'" in caplog.text


def test_each_input_is_a_story_and_its_question(run_dir):
    texts = [
        "Nora walked to the mill. Where is Nora?",
        "Nora walked to the mill. Theo took the key. Hugo ran to the mill. Is Theo in the mill?",
        "Nora walked to the Zoo! Where is Nora?",
    ]
    found = predict(load_run(run_dir), texts)
    spec = load.load_run(run_dir).spec
    for text, answer in zip(texts, found, strict=True):
        chances = answer.values["probabilities"]
        assert tuple(chances) == spec.answers and sum(chances.values()) == pytest.approx(1.0)
        assert answer.values["answer"] == max(chances, key=chances.get) and answer.line.endswith(f"  {text}")
    alone = [predict(load_run(run_dir), [text])[0].values["probabilities"] for text in texts]
    for one, together in zip(alone, found, strict=True):
        assert one == pytest.approx(together.values["probabilities"], abs=1e-6)


def test_the_command_prints_a_line_or_an_object(run_dir, capsys):
    text = "Nora walked to the mill. Where is Nora?"
    assert main(["predict", str(run_dir), text]) == 0
    assert capsys.readouterr().out.endswith(f"  {text}\n")
    assert main(["predict", str(run_dir), text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == text


@pytest.mark.parametrize("text", ["", "Where is Nora?", "Nora ran.", "Who ran? Where is Nora?", "Nora ran. Who? Nora."])
def test_what_is_no_story_with_a_question_is_one_line(run_dir, capsys, text):
    assert main(["predict", str(run_dir), "Nora ran. Who ran?", text]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and not shown.out
    assert "text 2: expected a story's sentences and then one question that ends with ?" in shown.err


def test_a_story_is_cut_at_prediction_as_it_was_in_training():
    config = config_of(*SMALL, "data.max_sentences=2")
    data = build.build_data(config)
    torch.manual_seed(0)
    model = build.build_model(config, data.spec).eval()
    long, short = "Nora ran. Theo ran. Iris ran. Who ran?", "Theo ran. Iris ran. Who ran?"
    one, other = (AnswerTask.predict(model, data.spec, data.vocabularies, [text])[0] for text in (long, short))
    assert one.values["probabilities"] == other.values["probabilities"]
    assert parse_question(long, "").story == ("Nora ran.", "Theo ran.", "Iris ran.")


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
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    carry_out(folder, [*SMALL, *STOCHASTIC])
    return folder


@pytest.mark.parametrize("steps", [[3, 8, 17]], ids=str)  # an epoch has 8 batches
def test_stopped_anywhere_and_resumed_it_ends_as_if_left_alone(tmp_path, undisturbed, monkeypatch, steps):
    original = AnswerTask.training_step
    for number, step in enumerate(steps):

        def stopping(self, batch, batch_idx, step=step):
            if self.trainer.global_step == step:
                raise StoppedError
            return original(self, batch, batch_idx)

        monkeypatch.setattr(AnswerTask, "training_step", stopping)
        with pytest.raises(StoppedError):
            carry_out(tmp_path, [*SMALL, *STOCHASTIC], resume=number > 0)
        torch.rand(5)
    monkeypatch.setattr(AnswerTask, "training_step", original)
    carry_out(tmp_path, [], resume=True)
    assert_the_same_end(undisturbed, tmp_path)


def test_what_is_shown_leaves_training_bit_for_bit_as_it_was(tmp_path, undisturbed):
    carry_out(tmp_path, [*SMALL, *STOCHASTIC, "callbacks.examples=null", "callbacks.attention=null"])
    runs = (undisturbed, tmp_path)
    one, other = (checkpoints.load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_budget_is_met_and_the_words_are_shown_where_attention_is_over_them(tmp_path):
    words = (
        "model.unit=word",
        "model.match_parameters=20000",
        "trainer.max_epochs=1",
        "callbacks.attention.num_examples=1",
    )
    record = run_here(tmp_path, *SMALL, *words).fields
    assert record["num_parameters"] == pytest.approx(20_000, rel=0.01)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["attention/1"]


def test_a_question_whose_answer_is_unknown_counts_as_wrong_in_the_task():
    config = config_of(*SMALL)
    data = build.build_data(config)
    model = build.build_model(config, data.spec).eval()
    task = build.build_task(config, data.spec, model)
    batch = data.collate("test", [0, 1, 2, 3])
    batch.targets = model(*batch.read).argmax(1)
    parts = [batch.targets.clone() for _ in range(2)]
    parts[1][0] = IGNORE_INDEX
    for targets, accuracy in zip(parts, (1.0, 0.75), strict=True):
        task.evaluate(AnswerBatch(*batch.read, targets), "test")
        assert float(task.metrics_of("test").compute()["accuracy"]) == accuracy
        task.metrics_of("test").reset()
