"""Letters to sounds: error rates worked out by hand, what a run logs, and answers to new words."""

import json
import random

import pytest
import torch

from seqlab.cli import main
from seqlab.config import build
from seqlab.errors import InputError
from seqlab.run import checkpoints, load
from seqlab.tasks import PronunciationTask
from seqlab.tasks.scores import pronunciation_scores
from tests.conftest import config_of, run_here
from tests.numbers_language import of_numbers, write_numbers
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out
from tests.spelled_words import SOUNDS, of_words


def distance(one, other):
    """Levenshtein's distance, by its recursion."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return distance(one[1:], other[1:])
    return 1 + min(distance(one[1:], other), distance(one, other[1:]), distance(one[1:], other[1:]))


def test_a_word_is_right_if_it_meets_any_pronunciation_and_phonemes_count_against_the_nearest():
    written = ["K AE T", "R EH D", "AA", "", "HH AH L OW W"]
    known = [["K AE T"], ["R IY D", "R EH D"], ["B IY", "AA B"], ["Z"], ["HH AH L OW", "HH EH L OW"]]
    # edits 0, 0, 1 of 2, 1 of 1 and 1 of 4, in references of 3, 3, 2, 1 and 4 phonemes
    assert pronunciation_scores(written, known) == {"wer": pytest.approx(3 / 5), "per": pytest.approx(3 / 13)}
    assert pronunciation_scores(["A B"], [["A B"]]) == {"wer": 0.0, "per": 0.0}
    assert pronunciation_scores(["AB"], [["A B"]]) == {"wer": 1.0, "per": 1.0}  # phonemes are words, not letters


def test_the_rates_are_those_of_an_edit_distance_written_again():
    draw = random.Random(3)
    phonemes = ["AH", "A", "H", "K", "S"]

    def word():
        return " ".join(draw.choices(phonemes, k=draw.randint(1, 5)))

    written = [word() for _ in range(40)]
    known = [[word() for _ in range(draw.randint(1, 3))] for _ in range(40)]
    nearest = [min(known[n], key=lambda each, n=n: distance(written[n].split(), each.split())) for n in range(40)]
    edits = sum(distance(a.split(), b.split()) for a, b in zip(written, nearest, strict=True))
    found = pronunciation_scores(written, known)
    assert found["per"] == pytest.approx(edits / sum(len(each.split()) for each in nearest))
    assert found["wer"] == pytest.approx(sum(a not in b for a, b in zip(written, known, strict=True)) / 40)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    plain = ("model.embedding_dropout=0", "model.output_dropout=0", "task.label_smoothing=0", "logger=none")
    run_here(folder / "run", *of_words(folder, *plain, "trainer.max_epochs=12", "optimizer.lr=0.02"))
    return folder / "run"


def test_a_run_logs_the_rates_of_each_validation_and_of_the_test_by_beams(run_dir):
    run = load.load_run(run_dir)
    metrics, data = run.record["metrics"], build.build_data(run.config)
    assert {"val/wer", "val/per", "val/loss", "test/wer", "test/per", "test/accuracy"} <= metrics.keys()
    words = data.source.read("test")
    answers = PronunciationTask.predict(run.model(), run.spec, run.vocabularies, [word.word for word in words])
    written = [answer.values["pronunciation"] for answer in answers]
    expected = pronunciation_scores(written, [word.pronunciations for word in words])
    assert {name: metrics[f"test/{name}"] for name in expected} == pytest.approx(expected)
    assert expected["wer"] < 0.6, "most letters have one sound: without learning hardly any word is right"
    best = checkpoints.load_checkpoint(run_dir / "checkpoints" / "best.ckpt")["run"]["best_score"]
    assert best == pytest.approx(metrics["val/wer"])


def test_new_words_are_pronounced_and_letters_that_training_never_saw_are_told(run_dir, capsys, caplog):
    assert main(["predict", str(run_dir), "abba", "deed", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["word"] for answer in answers] == ["abba", "deed"]
    assert all(set(answer["pronunciation"].split()) <= set(SOUNDS.values()) for answer in answers)
    assert main(["predict", str(run_dir), "abba", "zz"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"abba  {answers[0]['pronunciation']}"
    assert "zz: training has no word with 'z'" in caplog.text and "abba: training" not in caplog.text
    assert "text 2: the model's vocabulary of 6 has none of its characters: 'z'" in caplog.text


def test_the_words_that_are_shown_have_all_their_pronunciations(run_dir):
    run = load.load_run(run_dir)
    data = build.build_data(run.config)
    task = build.build_task(run.config, data.spec, run.model())
    shown = task.examples(data, "test", 40, torch.Generator())
    assert shown.text.splitlines()[0] == "| word | pronunciation | data |"
    words = data.source.read("test")
    several = next(n for n, word in enumerate(words) if len(word.pronunciations) > 1)
    assert shown.lines[several].endswith(f"(data: {' | '.join(words[several].pronunciations)})")


def test_a_task_for_other_pairs_is_refused(tmp_path):
    words, sentences = config_of(*of_words(tmp_path)), config_of(*of_numbers(write_numbers(tmp_path)))
    for config, task in ((words, sentences["task"]), (sentences, words["task"])):
        mixed = {**config, "task": task, "optimize": sentences["optimize"]}
        spec = build.build_data(config).spec
        with pytest.raises(InputError, match=rf"is of kind {spec.kind}: choose a task and data of one kind"):
            build.build_task(mixed, spec, build.build_model(config, spec))


def test_validation_scores_when_asked_to_and_a_metric_that_is_not_logged_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"optimize\.metric=val/wer is needed .*: give task\.wer_every_n_validations=1"
    ):
        config_of(*of_words(tmp_path, "task.wer_every_n_validations=2"))
    seldom = of_words(tmp_path, "task.wer_every_n_validations=null", "optimize.metric=val/loss", "logger=none")
    record = run_here(tmp_path / "run", *seldom, "trainer.max_steps=2").fields
    assert "val/wer" not in record["metrics"] and "test/wer" in record["metrics"]


def test_stopped_and_resumed_it_ends_as_if_left_alone(tmp_path, monkeypatch):
    overrides = of_words(tmp_path, "logger=none", "callbacks.checkpoint.every_n_steps=4", "callbacks.examples=null")
    carry_out(tmp_path / "alone", overrides)
    original = PronunciationTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 9:
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(PronunciationTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "run", overrides)
    monkeypatch.setattr(PronunciationTask, "training_step", original)
    carry_out(tmp_path / "run", [], resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")
