"""``seqlab predict``: a run's answers to new input, when its data is gone and its folder has moved."""

import json
import shutil
from dataclasses import dataclass
from typing import ClassVar

import pytest

from seqlab.cli import main
from seqlab.data.batch import Spec, read_spec
from seqlab.errors import InputError
from seqlab.predict import inputs_of, predict
from seqlab.saved import SPEC_NAME, load_run
from tests.conftest import run_here, small


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    run_here(folder / "first", "experiment=tiny_sentiment", "logger=none")
    shutil.move(folder / "first", folder / "moved")
    return folder / "moved"


def test_each_text_gets_its_class_and_the_probabilities_of_all(run_dir):
    texts = ["I love this story", "what a boring film", "boring"]
    found = predict(run_dir, texts)
    assert [answer.values["text"] for answer in found] == texts
    assert [answer.values["label"] for answer in found[:2]] == ["positive", "negative"]
    for answer in found:
        chances = answer.values["probabilities"]
        assert list(chances) == ["negative", "positive"] and sum(chances.values()) == pytest.approx(1.0)
        assert answer.values["label"] == max(chances, key=chances.get)
    alone = [predict(run_dir, [text])[0].values["probabilities"] for text in texts]
    for one, together in zip(alone, found, strict=True):
        assert one == pytest.approx(together.values["probabilities"], abs=1e-6)


def test_a_word_that_training_never_saw_is_read_as_unknown(run_dir):
    one, other = predict(run_dir, ["what a splendid film", "what a <unk> film"])
    assert one.values["probabilities"] == other.values["probabilities"]


def test_the_command_prints_a_line_or_an_object_for_each_text(run_dir, tmp_path, capsys):
    (tmp_path / "more.txt").write_text("what a wonderful film\n")
    assert main(["predict", str(run_dir), "I love this story", "--file", str(tmp_path / "more.txt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit("  ", 1)[1] for line in lines] == ["I love this story", "what a wonderful film"]
    assert all(line.startswith("positive 0.") for line in lines)
    assert main(["predict", str(run_dir), "boring", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == predict(run_dir, ["boring"])[0].values


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is nothing to predict"),
        ([" "], "text 1 is empty"),
        (["boring", ""], "text 2 is empty"),
        (["--file", "none.txt"], "none.txt cannot be read: No such file"),
    ],
    ids=str,
)
def test_wrong_input_is_one_line(run_dir, capsys, arguments, words):
    assert main(["predict", str(run_dir), *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and words in shown.err and not shown.out


def test_an_empty_line_of_a_file_is_told_with_its_number(tmp_path):
    (tmp_path / "f.txt").write_text("one\n \n")
    with pytest.raises(InputError, match=r"f\.txt:2: the text is empty"):
        inputs_of([], tmp_path / "f.txt")


def test_each_command_says_which_runs_it_is_for(run_dir, tmp_path, text_file, capsys):
    assert main(["generate", str(run_dir), "--prompt", "boring"]) == 2
    assert "holds a Classifier, and this command needs a language model" in capsys.readouterr().err
    run_here(tmp_path, *small(text_file, "trainer.max_steps=2", "logger=none"))
    assert main(["predict", str(tmp_path), "abc"]) == 2
    assert "trained a LanguageModelTask, which continues text: use seqlab generate" in capsys.readouterr().err


def test_a_spec_is_read_back_by_its_kind_and_without_one_as_a_language_models(run_dir, tmp_path, text_file):
    assert json.loads((run_dir / SPEC_NAME).read_text())["kind"] == "classification"
    assert load_run(run_dir).spec.labels == ("negative", "positive")
    run_here(tmp_path, *small(text_file, "trainer.max_steps=2", "logger=none"))
    fields = json.loads((tmp_path / SPEC_NAME).read_text())
    assert fields.pop("kind") == "language_model"
    spec = load_run(tmp_path).spec
    (tmp_path / SPEC_NAME).write_text(json.dumps(fields))  # as runs had it before there were kinds
    assert load_run(tmp_path).spec == spec and spec.model_arguments() == {"vocab_size": spec.vocab_size}


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"kind": "weather"}', "no kind of data 'weather'"), ('{"labels": []}', "missing or broken"), ("[", "broken")],
)
def test_a_broken_spec_is_one_line(run_dir, tmp_path, content, words):
    shutil.copytree(run_dir, tmp_path / "copy")
    (tmp_path / "copy" / SPEC_NAME).write_text(content)
    with pytest.raises(InputError, match=words):
        load_run(tmp_path / "copy")


def test_a_kind_of_ones_own_needs_no_registration():
    @dataclass(frozen=True)
    class Weather(Spec):
        kind: ClassVar[str] = "weather of a test"
        winds: tuple[str, ...] = ()

    assert read_spec({"kind": "weather of a test", "winds": ["north"]}) == Weather(("north",))
    assert Weather().data_arguments() == {}
