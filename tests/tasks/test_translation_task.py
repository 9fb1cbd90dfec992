"""Translation from the configuration to the record: exact losses, scores of text, and answers to new input."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sacrebleu import CHRF, corpus_bleu
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.cli import main
from seqlab.commands.evaluate import evaluate
from seqlab.commands.predict import predict
from seqlab.config import build
from seqlab.config.trainer import build_evaluator
from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.errors import InputError
from seqlab.run import checkpoints, load
from seqlab.run.load import load_run
from seqlab.run.record import read_record
from seqlab.tasks import TranslationTask, translation
from seqlab.tasks.scores import score
from seqlab.tasks.translation import decode, translate
from tests.conftest import config_of, run_here
from tests.numbers_language import of_numbers, write_numbers


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Path:
    return write_numbers(tmp_path_factory.mktemp("numbers"))


LEARNED = (
    "data.lowercase=true",
    "task.lowercase_scores=true",
    "task.beam_size=4",
    "optimizer.lr=0.01",
    "scheduler=cosine",
    "trainer.max_epochs=4",
    "trainer.check_val_every_n_epoch=2",
    "task.label_smoothing=0.0",
)


@pytest.fixture(scope="module")
def many_numbers(tmp_path_factory) -> Path:
    """So many sentences that any seed, and any rounding of another machine or library, learns the language."""
    return write_numbers(tmp_path_factory.mktemp("many_numbers"), num_train=1200)


@pytest.fixture(scope="module")
def learned(tmp_path_factory, many_numbers) -> Path:
    """A run that has learned the language, in a folder that was moved."""
    folder = tmp_path_factory.mktemp("learned")
    callbacks = ("callbacks.examples.num_examples=3", "callbacks.attention.num_examples=2")
    run_here(folder / "first", *of_numbers(many_numbers, *LEARNED, *callbacks))
    shutil.move(folder / "first", folder / "moved")
    return folder / "moved"


@pytest.fixture
def untrained(numbers):
    """Configuration, data and an untrained model."""
    config = config_of(*of_numbers(numbers))
    data = build.build_data(config)
    torch.manual_seed(0)
    return config, data, build.build_model(config, data.spec)


def one_by_one(model, data, split):
    """Logits and targets of every step of a split, each pair alone, so without padding."""
    logits, targets = [], []
    for number in range(data.spec.num_pairs[split]):
        batch = data.collate(split, [number])
        logits.append(model(batch.source, batch.source_lengths, batch.inputs)[0])
        targets.append(batch.targets[0])
    return torch.cat(logits), torch.cat(targets)


def test_the_loss_is_the_mean_over_the_tokens_that_have_a_target(untrained):
    config, data, model = untrained
    numbers = [3, 11, 5, 8]
    batch = data.collate("train", numbers)
    assert (batch.targets == IGNORE_INDEX).any()
    rows = [data.collate("train", [number]) for number in numbers]
    logits = torch.cat([model(row.source, row.source_lengths, row.inputs)[0] for row in rows])
    targets = torch.cat([row.targets[0] for row in rows])
    for smoothing in (0.0, 0.3):
        settings = {**config, "task": {**config["task"], "label_smoothing": smoothing}}
        outputs = build.build_task(settings, data.spec, model).training_step(batch, 0)
        wanted = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        torch.testing.assert_close(outputs["loss"], wanted, rtol=1e-5, atol=1e-6)
        assert float(outputs["nll"]) == pytest.approx(F.cross_entropy(logits, targets, reduction="sum").item())
        assert int(outputs["tokens"]) == len(targets)
        assert int(outputs["steps"]) == len(targets) + sum(row.source.numel() for row in rows)
        assert not outputs["nll"].requires_grad


def test_the_output_layer_runs_on_valid_steps_alone(untrained, monkeypatch):
    config, data, model = untrained
    batch = data.collate("train", [0, 1, 2, 3, 4])
    seen = []
    original = model.logits
    monkeypatch.setattr(model, "logits", lambda features: seen.append(features.shape) or original(features))
    build.build_task(config, data.spec, model).training_step(batch, 0)
    assert seen == [((batch.targets != IGNORE_INDEX).sum(), model.decoder.feature_size)]


def test_it_learns_to_translate_and_scores_are_sacrebleus_of_the_untouched_text(learned, many_numbers):
    record = read_record(learned)
    assert record["metrics"]["test/accuracy"] > 0.95 and record["metrics"]["test/bleu"] > 90
    sources = (many_numbers / "test.de").read_text().splitlines()
    references = [(many_numbers / "test.en").read_text().splitlines()]
    translations = [answer.values["translation"] for answer in predict(load_run(learned), sources)]
    metrics = record["metrics"]
    assert metrics["test/bleu"] == pytest.approx(corpus_bleu(translations, references, lowercase=True).score)
    assert metrics["test/chrf"] == pytest.approx(CHRF(lowercase=True).corpus_score(translations, references).score)
    assert {"val/loss", "val/perplexity", "val/accuracy", "test/loss", "test/perplexity"} <= metrics.keys()
    assert not {"val/bleu", "val/chrf", "val/bits_per_character"} & metrics.keys()


def test_evaluation_is_over_every_token_whatever_the_batches(learned):
    run = load.load_run(learned)
    data, model, metrics = build.build_data(run.config), run.model(), run.record["metrics"]
    assert run.spec == data.spec and run.spec.kind == "translation"
    for split, name in (("validation", "val"), ("test", "test")):
        with torch.no_grad():
            logits, targets = one_by_one(model, data, split)
        nll = float(F.cross_entropy(logits.double(), targets))
        assert metrics[f"{name}/loss"] == pytest.approx(nll, abs=1e-6)
        assert metrics[f"{name}/perplexity"] == pytest.approx(math.exp(nll), rel=1e-6)
        assert metrics[f"{name}/accuracy"] == pytest.approx(float((logits.argmax(1) == targets).double().mean()))


def test_a_run_is_evaluated_from_its_folder_on_its_data_or_other_and_with_another_search(learned, tmp_path, caplog):
    caplog.set_level("INFO", "seqlab")
    metrics = read_record(learned)["metrics"]
    assert evaluate(learned, []) == metrics
    signature = "nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:"
    assert f"test: bleu {metrics['test/bleu']:.2f} ({signature}" in caplog.text
    short = evaluate(learned, ["task.max_length=1"])
    assert short["test/loss"] == metrics["test/loss"] and short["test/bleu"] < metrics["test/bleu"] / 2
    (tmp_path / "o.de").write_text("Eins zwei.\nneun\n")
    (tmp_path / "o.en").write_text("two One.\nnine\n")
    files = [f"data.test.{side}={tmp_path / name}" for side, name in (("source", "o.de"), ("target", "o.en"))]
    other = evaluate(learned, files)
    assert other["val/loss"] == metrics["val/loss"] and other["test/loss"] > metrics["test/loss"]


def test_scores_can_be_blind_to_case(numbers):
    hypotheses, references = ["one two three four"], ["One two three four"]
    mixed, signatures = score(hypotheses, references, lowercase=False)
    blind, lowered = score(hypotheses, references, lowercase=True)
    assert mixed["bleu"] < blind["bleu"] == pytest.approx(100.0)
    assert mixed["chrf"] < blind["chrf"] == pytest.approx(100.0)
    assert "case:mixed" in signatures["bleu"] and "case:lc" in lowered["bleu"] and "case:lc" in lowered["chrf"]


def test_lowered_data_is_scored_against_the_raw_reference(learned, caplog):
    evaluate(learned, [])
    assert "tell capitals apart" not in caplog.text
    blind, mixed = read_record(learned)["metrics"], evaluate(learned, ["task.lowercase_scores=false"])
    assert "test: what is written is lower-cased (data.lowercase=true), and the scores tell capitals" in caplog.text
    assert mixed["test/bleu"] < blind["test/bleu"] - 5, "the reference keeps its capitals"
    assert mixed["test/loss"] == blind["test/loss"]


def test_validation_is_translated_greedily_at_every_nth_validation(tmp_path, numbers):
    every = ("trainer.max_epochs=2", "task.bleu_every_n_validations=2", "task.beam_size=3")
    record = run_here(tmp_path, *of_numbers(numbers, *every, "optimizer.lr=0.01")).fields
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    validated = [event.step for event in events.Scalars("val/loss")]
    assert len(validated) == 2
    for name in ("val/bleu", "val/chrf"):
        assert [event.step for event in events.Scalars(name)] == validated[1:]
    run = load.load_run(tmp_path)
    data, model = build.build_data(run.config), run.model()
    pairs = data.rows("validation")
    batch = data.collate("validation", list(range(len(pairs))))
    found = model.greedy(batch.source, batch.source_lengths, max_length=50, bos=run.spec.bos, eos=run.spec.eos).best()
    texts = [decode(run.spec, run.vocabularies["target"], tokens) for tokens in found]
    wanted = corpus_bleu(texts, [[pair.target for pair in pairs]]).score
    assert record["metrics"]["val/bleu"] == pytest.approx(wanted)


def test_a_run_can_be_judged_by_its_bleu(tmp_path, numbers):
    judged = ("optimize.metric=val/bleu", "optimize.mode=max")
    record = run_here(tmp_path, *of_numbers(numbers, *judged, "task.bleu_every_n_validations=1", "logger=none")).fields
    best = checkpoints.load_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["run"]["best_score"]
    assert best == pytest.approx(record["metrics"]["val/bleu"])
    with pytest.raises(InputError, match=r"optimize.metric=val/bleu is needed at every validation: give task\.bleu_ev"):
        run_here(tmp_path / "2", *of_numbers(numbers, *judged, "task.bleu_every_n_validations=2"))


def test_a_longer_beam_finds_answers_of_no_lower_score_and_limits_are_kept(untrained):
    _, data, model = untrained
    batch = data.collate("test", list(range(20)))
    found = {
        beam: translate(model, data.spec, batch.source, batch.source_lengths, beam, 0.0, None).scores[:, 0]
        for beam in (1, 6)
    }
    assert (found[6] >= found[1] - 1e-5).double().mean() > 0.9
    free = translate(model, data.spec, batch.source, batch.source_lengths, 2, 0.0, None)
    assert (free.lengths <= 2 * batch.source_lengths[:, None] + 10).all()
    assert int(translate(model, data.spec, batch.source, batch.source_lengths, 2, 0.0, 3).lengths.max()) <= 3


def test_a_second_test_forgets_the_first_and_a_beginning_within_a_translation_is_no_text(learned):
    run = load.load_run(learned)
    data = build.build_data(run.config)
    task = build.build_task(run.config, data.spec, run.model())
    trainer = build_evaluator(run.config)
    for _ in range(2):
        trainer.test(task, datamodule=data, verbose=False)
        assert len(task.hypotheses["test"]) == run.spec.num_pairs["test"]
    word = run.vocabularies["target"].tokens[0]
    assert decode(run.spec, run.vocabularies["target"], [run.spec.bos, 0, run.spec.bos]) == word


def test_the_command_prints_the_best_translation(learned, tmp_path, capsys):
    assert main(["predict", str(learned), "Eins zwei.", "vier"]) == 0
    first, _ = capsys.readouterr().out.splitlines()
    assert first == "two one."
    (tmp_path / "more.txt").write_text("drei zwei.\n")
    assert main(["predict", str(learned), "--json", "--file", str(tmp_path / "more.txt")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"] == "drei zwei." and found["translation"] == "two three." and found["score"] < 0
    assert main(["predict", str(learned), "Eins", " "]) == 2
    assert capsys.readouterr().err == "seqlab: text 2 is empty; give it at least one word\n"


def test_predictions_depend_neither_on_the_other_texts_nor_on_how_many_there_are(learned):
    texts = ["Eins zwei drei vier.", "vier", "zwei zwei."] * 30
    together = predict(load_run(learned), texts)
    assert [answer.values["text"] for answer in together] == texts
    for number in (0, 1, 89):
        alone = predict(load_run(learned), [texts[number]])[0].values
        assert alone["translation"] == together[number].values["translation"]
        assert alone["score"] == pytest.approx(together[number].values["score"], abs=1e-5)


def test_predictions_obey_the_options_of_the_search(learned, monkeypatch):
    run = load.load_run(learned)
    arguments = (run.model(), run.spec, run.vocabularies, ["Eins zwei drei vier."])
    (one,) = TranslationTask.predict(*arguments, max_length=2)
    assert one.line == "four three"
    (normal,), (plain,) = (TranslationTask.predict(*arguments, length_penalty=value) for value in (1.0, 0.0))
    assert normal.values["score"] == pytest.approx(plain.values["score"] / ((5 + 6) / 6))
    with pytest.raises(InputError, match=r"task\.beam_size is 0; expected a whole number, 1 or more"):
        TranslationTask.predict(*arguments, beam_size=0)
    asked = []
    monkeypatch.setattr(translation, "translate", lambda *given: asked.append(given[4:]) or translate(*given))
    predict(load_run(learned), ["vier"])
    assert asked == [(4, 1.0, None)], "those that the run was trained with"


def test_a_word_that_training_never_saw_is_read_as_unknown(learned):
    one, other = predict(load_run(learned), ["neun zwei.", "zehn zwei."])
    assert one.values["translation"] == other.values["translation"]


def test_tensorboard_gets_translations_beside_references_and_maps_of_attention(learned, many_numbers):
    events = EventAccumulator(str(learned), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert sorted(tags["images"]) == ["attention/1", "attention/2"]
    assert {"train/perplexity", "val/accuracy", "test/bleu", "test/chrf"} <= set(tags["scalars"])
    tables = events.Tensors("translations/text_summary")
    rows = tables[-1].tensor_proto.string_val[0].decode().splitlines()
    assert len(tables) == 2 and rows[0] == "| source | translation | reference |" and len(rows) == 5
    source, reference = ((many_numbers / f"val.{ending}").read_text().splitlines()[0] for ending in ("de", "en"))
    cells = rows[2].strip("| ").split(" | ")
    assert (cells[0], cells[2]) == (source, reference)
    assert cells[1] == predict(load_run(learned), [source])[0].line


def test_attention_reads_the_word_that_it_translates(learned):
    """The language is in reverse order: so are the places that are read."""
    run = load.load_run(learned)
    row = run.vocabularies["source"].encode("drei zwei Eins.")
    found = translate(run.model(), run.spec, torch.tensor(row)[None], torch.tensor([4]), 5, 1.0, None)
    assert decode(run.spec, run.vocabularies["target"], found.best()[0]) == "one two three."
    looked_at = found.attention[0, :5]  # three words, the full stop and the end
    torch.testing.assert_close(looked_at.sum(1), torch.ones(5))
    assert looked_at[0, 2] > looked_at[0, 0] and looked_at[2, 0] > looked_at[2, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_smoothing": 1.0}, r"task\.label_smoothing is 1\.0; expected a share in \[0, 1\)"),
        ({"beam_size": 0}, r"task\.beam_size is 0; expected a whole number, 1 or more"),
        ({"beam_size": 2.5}, r"task\.beam_size is 2\.5; expected a whole number"),
        ({"max_length": 0}, r"task\.max_length is 0; expected a whole number, 1 or more"),
        ({"length_penalty": -1}, r"task\.length_penalty is -1; expected 0 or more"),
        ({"bleu_every_n_validations": 0}, r"task\.bleu_every_n_validations is 0; expected 1 or more, or null"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(untrained, options, words):
    config, data, model = untrained
    with pytest.raises(InputError, match=words):
        build.build_task({**config, "task": {**config["task"], **options}}, data.spec, model)
