"""Tagging from the configuration to the record: what is learned, measured, shown, and kept."""

import csv
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.commands.evaluate import evaluate
from seqlab.config import build
from seqlab.data import Grammar
from seqlab.data.core.batch import SPLITS
from seqlab.errors import InputError
from seqlab.run import checkpoints, load
from seqlab.run.record import read_record
from seqlab.tasks import TaggingTask
from seqlab.tasks.tag_metrics import EntityMetrics
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

GRAMMAR = (
    "experiment=grammar_tagger",
    "data.sizes=[60,20,20]",
    "trainer.max_epochs=2",
    "runtime.num_threads=1",
    "runtime.keep_freed_memory=false",
)


def columns(path: Path, layer: str, split: str, count: int) -> Path:
    """The first sentences of the grammar as a file of columns."""
    sentences = Grammar(layer, grammar_seed=3).read(split)[:count]
    rows = ("".join(map("{} {}\n".format, one.words, one.tags)) for one in sentences)
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("columns")
    sizes = {"train": 60, "validation": 20, "test": 21}
    return [f"data.{split}={columns(folder / split, 'entities', split, size)}" for split, size in sizes.items()]


def of_files(files: list[str], *overrides: str) -> list[str]:
    kept = [text for text in GRAMMAR if "data." not in text]
    return [*kept, "data=tagging", "~data.layer", *files, "data.entities=true", "data.batch_size=8", *overrides]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The preset as it stands."""
    folder = tmp_path_factory.mktemp("whole")
    run_here(folder, "experiment=grammar_tagger")
    return folder


def test_the_preset_finds_the_entities_also_of_words_that_training_never_saw(whole):
    metrics = read_record(whole)["metrics"]
    assert metrics["test/entity_f1"] > 0.95 and metrics["test/unseen_accuracy"] > 0.95


def test_each_tag_and_type_of_entity_has_its_line_in_the_folder(whole):
    metrics = read_record(whole)["metrics"]
    pairs, tags, types = (
        list(csv.DictReader((whole / f"{name}.csv").read_text().splitlines()))
        for name in ("confusion", "classes", "entities")
    )
    words = sum(int(row["count"]) for row in pairs)
    right = sum(int(row["count"]) for row in pairs if row["true"] == row["predicted"])
    assert right / words == pytest.approx(metrics["test/accuracy"])
    assert sum(int(row["correct"]) for row in tags) == right and sum(int(row["true"]) for row in tags) == words
    for row in types:
        assert float(row["f1"]) == pytest.approx(metrics[f"test/entity_f1_{row['type']}"], rel=1e-5)
    true, correct = (sum(int(row[name]) for row in types) for name in ("true", "correct"))
    assert types and correct / true == pytest.approx(metrics["test/entity_recall"])
    assert {f"test/entity_f1_{kind}" for kind in ("PER", "ORG", "LOC")} <= metrics.keys()


def test_without_letters_words_that_training_never_saw_are_not_told_apart(tmp_path, whole):
    blind = run_here(
        tmp_path, "experiment=grammar_tagger", "data.characters=false", "logger=none", "trainer.max_epochs=3"
    ).fields["metrics"]
    assert blind["test/unseen_accuracy"] < read_record(whole)["metrics"]["test/unseen_accuracy"] - 0.1


@pytest.mark.parametrize("decoder", ["greedy", "crf"])
def test_the_loss_is_the_mean_over_the_words_of_a_batch(decoder):
    config = config_of(*GRAMMAR, f"model.decoder={decoder}")
    data = build.build_data(config)
    torch.manual_seed(0)
    model = build.build_model(config, data.spec).eval()
    batch = data.collate("train", [0, 1, 2])
    found = build.build_task(config, data.spec, model).training_step(batch, 0)
    words = int(batch.lengths.sum())
    assert found["tokens"] == words and found["nll"].item() == pytest.approx(words * found["loss"].item())
    emissions = model(batch.words, batch.characters, batch.lengths, batch.word_lengths)
    if decoder == "greedy":
        valid = torch.arange(batch.words.size(1)) < batch.lengths[:, None]
        assert found["loss"].item() == pytest.approx(F.cross_entropy(emissions[valid], batch.targets[valid]).item())
    else:
        total = sum(
            model.head.crf(emissions[row : row + 1, :length], batch.targets[row : row + 1, :length]).item()
            for row, length in enumerate(batch.lengths.tolist())
        )
        assert found["nll"].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("decoder", ["greedy", "crf"])
def test_evaluation_is_over_every_word_whatever_the_batches(tmp_path, files, decoder):
    overrides = of_files(files, f"model.decoder={decoder}", "data.eval_batch_size=6", "logger=none")
    metrics = run_here(tmp_path, *overrides).fields["metrics"]
    run = load.load_run(tmp_path)
    data, model = build.build_data(run.config), run.model()
    assert run.spec == data.spec and run.spec.entities and data.spec.num_sentences["test"] == 21
    for split, name in (("validation", "val"), ("test", "test")):
        nll, right, words, entities = 0.0, 0, 0, EntityMetrics(data.tags)
        for number in range(data.spec.num_sentences[split]):
            one = data.collate(split, [number])  # by itself, without padding
            with torch.no_grad():
                emissions = model(one.words, one.characters, one.lengths, one.word_lengths).double()
                predicted = model.decode(emissions)
                nll += model.double().nll(emissions, one.targets).item()
                model.float()
            right += int((predicted == one.targets).sum())
            words += one.targets.numel()
            entities.update(predicted.tolist(), one.targets.tolist())
        assert words == data.spec.num_words[split]
        assert metrics[f"{name}/loss"] == pytest.approx(nll / words, abs=1e-5)
        assert metrics[f"{name}/accuracy"] == pytest.approx(right / words)
        assert metrics[f"{name}/entity_f1"] == pytest.approx(float(entities.compute()["entity_f1"]))
    best = checkpoints.load_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["run"]["best_score"]
    assert best == pytest.approx(metrics["val/entity_f1"])


def test_a_crf_over_entities_keeps_to_bio_unless_it_is_told_not_to():
    config = config_of(*GRAMMAR)
    data = build.build_data(config)
    tags = data.spec.tags
    assert build.build_model(config, data.spec).head.crf.allowed[tags.index("O")].tolist() == [
        tag[0] != "I" for tag in tags
    ]
    assert build.build_model(config_of(*GRAMMAR, "model.constrained=false"), data.spec).head.crf.allowed is None
    speech = config_of(*GRAMMAR, "data.layer=pos", "optimize.metric=val/accuracy")
    assert build.build_model(speech, build.build_data(speech).spec).head.crf.allowed is None
    assert build.build_model(config_of(*GRAMMAR, "model.decoder=greedy"), data.spec).head.crf is None


def test_parts_of_speech_are_scored_without_entities(tmp_path):
    record = run_here(tmp_path, *GRAMMAR, "data.layer=pos", "optimize.metric=val/accuracy", "model.decoder=greedy")
    metrics = record.fields["metrics"]
    assert "test/accuracy_NOUN" in metrics and not [name for name in metrics if "entity" in name]
    with pytest.raises(InputError, match=r"optimize\.metric=val/entity_f1 is not logged by validation"):
        run_here(tmp_path / "other", *GRAMMAR, "data.layer=pos", "logger=none")


def test_a_run_is_evaluated_on_other_data_by_its_own_words_and_tags(tmp_path, files):
    run_here(tmp_path / "run", *of_files(files, "logger=none"))
    first = evaluate(tmp_path / "run", [])
    assert evaluate(tmp_path / "run", ["data.vectors=null"]) == first
    with pytest.raises(InputError, match=r"data\.vectors=\['x'\]: a run is evaluated with that of its training; leave"):
        evaluate(tmp_path / "run", ["data.vectors=x"])
    with pytest.raises(InputError, match=r"data\.tags=\['X'\]: a run is evaluated with that of its training"):
        evaluate(tmp_path / "run", ["data.tags=[X]"])
    assert first == read_record(tmp_path / "run")["metrics"]
    other = columns(tmp_path / "other.conll", "entities", "validation", 7)
    found = evaluate(tmp_path / "run", [f"data.test={other}"])
    assert {name: value for name, value in found.items() if name.startswith("val/")} == {
        name: value for name, value in first.items() if name.startswith("val/")
    }
    assert found["test/loss"] != first["test/loss"]
    (tmp_path / "new.conll").write_text("".join(f"new{number % 3} B-PER\n\nat O\n\n" for number in range(60)))
    new = evaluate(tmp_path / "run", [f"data.{split}=null" for split in SPLITS] + [f"data.path={tmp_path}/new.conll"])
    assert new["test/unseen_accuracy"] == new["test/accuracy_B-PER"], "unseen by the model, not by these data"
    (tmp_path / "wrong.conll").write_text("Zara B-PER\n\nat O\nnoon B-TIME\n")
    unseen = evaluate(tmp_path / "run", [f"data.test={tmp_path / 'wrong.conll'}"])
    assert 0 < unseen["test/loss"] < 100 and unseen["test/accuracy"] <= 2 / 3, "noon can't be tagged rightly"
    assert unseen["test/entity_recall"] <= 1 / 2 and unseen["test/entity_f1_TIME"] == 0


def test_pretrained_vectors_are_where_training_begins_and_not_needed_afterwards(tmp_path, files):
    file = tmp_path / "glove.txt"
    file.write_text("the " + "0.5 " * 32 + "\nand " + "-0.5 " * 32 + "\n")
    overrides = of_files(files, f"data.vectors={file}", "logger=none")
    config = config_of(*overrides)
    data = build.build_data(config)
    model = build.build_model(config, data.spec)
    row = data.vocabulary.index["the"]
    assert model.input.embedding.weight[row].tolist() == [0.5] * 32
    run_here(tmp_path / "run", *overrides)
    file.unlink()
    learned = load.load_run(tmp_path / "run").model().input.embedding.weight[row]
    assert not torch.equal(learned, model.input.embedding.weight[row]), "it is a weight like others"
    assert evaluate(tmp_path / "run", []) == read_record(tmp_path / "run")["metrics"]
    narrow = config_of(*overrides, "model.embedding_size=16", "data.vectors_size=null")
    with pytest.raises(InputError, match=r"vectors: expected 16 numbers a word, got 32; give embedding_size=32"):
        build.build_model(narrow, data.spec)


def test_tensorboard_gets_the_confusion_of_the_test_and_sentences_with_their_tags(tmp_path, capsys):
    shown = (
        "callbacks.examples.num_examples=2",
        "callbacks.examples.print_test=true",
        "trainer.log_every_n_steps=1",
    )
    run_here(tmp_path, *GRAMMAR, *shown)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert tags["images"] == ["test/confusion"]
    assert {"val/accuracy", "val/entity_f1", "val/entity_f1_PER", "train/loss", "test/entity_f1"} <= set(
        tags["scalars"]
    )
    tables = events.Tensors("predictions/text_summary")
    rows = tables[-1].tensor_proto.string_val[0].decode().splitlines()
    sentences = Grammar("entities", (60, 20, 20)).read("validation")[:2]
    assert len(tables) == 2 and rows[0] == "| word | true | predicted |"
    assert len(rows) == 2 + sum(len(sentence.words) + 1 for sentence in sentences)
    assert rows[2].startswith(f"| {sentences[0].words[0]} | {sentences[0].tags[0]} | ")
    printed = [line for line in capsys.readouterr().out.splitlines() if "/O" in line]
    first = Grammar("entities", (60, 20, 20)).read("test")[0]
    assert len(printed) == 2 and [part.split("/")[0] for part in printed[0].split() if "/" in part] == list(first.words)


STOCHASTIC = (
    "model.embedding_dropout=0.3",
    "model.output_dropout=0.3",
    "scheduler=cosine",
    "trainer.val_check_interval=0.5",
    "callbacks.checkpoint.every_n_steps=2",
    "trainer.log_every_n_steps=5",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("alone")
    carry_out(folder, of_files(files, *STOCHASTIC))
    return folder


@pytest.mark.parametrize("steps", [[3, 8, 13]], ids=str)  # an epoch has 8 batches
def test_stopped_anywhere_and_resumed_it_ends_as_if_left_alone(tmp_path, alone, files, monkeypatch, steps):
    original = TaggingTask.training_step
    for number, step in enumerate(steps):

        def stopping(self, batch, batch_idx, step=step):
            if self.trainer.global_step == step:
                raise StoppedError
            return original(self, batch, batch_idx)

        monkeypatch.setattr(TaggingTask, "training_step", stopping)
        with pytest.raises(StoppedError):
            carry_out(tmp_path, of_files(files, *STOCHASTIC), resume=number > 0)
        torch.rand(5)
    monkeypatch.setattr(TaggingTask, "training_step", original)
    carry_out(tmp_path, [], resume=True)
    assert_the_same_end(alone, tmp_path)


def test_answers_shown_leave_training_bit_for_bit_as_it_was(tmp_path, alone, files):
    off = ("callbacks.examples=null", "callbacks.confusion=null")
    carry_out(tmp_path, of_files(files, *STOCHASTIC, *off))
    one, other = (
        checkpoints.load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (alone, tmp_path)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_budget_is_met_with_words_letters_and_tags_counted():
    config = config_of(*GRAMMAR, "model.match_parameters=60000")
    model = build.build_model(config, build.build_data(config).spec)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(60_000, rel=0.01)
