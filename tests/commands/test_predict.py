"""``seqlab predict``: a run's answers to new input, when its data is gone and its folder has moved."""

import json
import os
import shutil
from dataclasses import dataclass
from typing import ClassVar

import pytest

import seqlab
from seqlab.cli import main
from seqlab.commands.predict import MOST_CHARACTERS, inputs_of, predict
from seqlab.data.core.batch import Spec, read_spec
from seqlab.errors import InputError
from seqlab.run.load import SPEC_NAME, load_run
from seqlab.tasks.classification import ClassificationTask
from tests.conftest import run_here, small


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    run_here(folder / "first", "experiment=tiny_sentiment", "logger=none")
    shutil.move(folder / "first", folder / "moved")
    return folder / "moved"


def test_each_text_gets_its_class_and_the_probabilities_of_all(run_dir):
    texts = ["I love this story", "what a boring film", "boring"]
    found = predict(load_run(run_dir), texts)
    assert [answer.values["text"] for answer in found] == texts
    assert [answer.values["label"] for answer in found[:2]] == ["positive", "negative"]
    for answer in found:
        chances = answer.values["probabilities"]
        assert list(chances) == ["negative", "positive"] and sum(chances.values()) == pytest.approx(1.0)
        assert answer.values["label"] == max(chances, key=chances.get)
    alone = [predict(load_run(run_dir), [text])[0].values["probabilities"] for text in texts]
    for one, together in zip(alone, found, strict=True):
        assert one == pytest.approx(together.values["probabilities"], abs=1e-6)


def test_a_word_that_training_never_saw_is_read_as_unknown(run_dir):
    one, other = predict(load_run(run_dir), ["what a splendid film", "what a <unk> film"])
    assert one.values["probabilities"] == other.values["probabilities"]


def test_the_command_prints_a_line_or_an_object_for_each_text(run_dir, tmp_path, capsys):
    (tmp_path / "more.txt").write_text("what a wonderful film\n")
    assert main(["predict", str(run_dir), "I love this story", "--file", str(tmp_path / "more.txt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit("  ", 1)[1] for line in lines] == ["I love this story", "what a wonderful film"]
    assert all(line.startswith("positive 0.") for line in lines)
    assert main(["predict", str(run_dir), "boring", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == predict(load_run(run_dir), ["boring"])[0].values


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


def test_a_task_without_predict_is_not_said_to_continue_text(run_dir, monkeypatch):
    monkeypatch.delattr(ClassificationTask, "predict")
    with pytest.raises(InputError, match="trained a ClassificationTask, which has no predict: write that method"):
        predict(load_run(run_dir), ["boring"])


def test_a_spec_is_read_back_by_its_kind(run_dir, tmp_path, text_file):
    assert json.loads((run_dir / SPEC_NAME).read_text())["kind"] == "classification"
    assert load_run(run_dir).spec.labels == ("negative", "positive")
    run_here(tmp_path, *small(text_file, "trainer.max_steps=2", "logger=none"))
    assert json.loads((tmp_path / SPEC_NAME).read_text())["kind"] == "language_model"
    spec = load_run(tmp_path).spec
    assert spec.kind == "language_model" and spec.model_arguments() == {"vocab_size": spec.vocab_size}


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"kind": "weather"}', "no kind of data 'weather'"), ('{"labels": []}', "no kind of data None"), ("[", "broken")],
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


def test_inputs_are_asked_about_in_chunks_of_like_lengths_and_answered_in_their_order(run_dir, monkeypatch, tmp_path):
    (tmp_path / "many.txt").write_text(
        "".join(f"{'film ' * (1 + i % 7)}\n" for i in range(600)) + "film " * 20_000 + "\n"
    )
    sizes = []
    ask = ClassificationTask.predict

    def watched(model, spec, vocabularies, inputs):
        sizes.append(len(inputs) * max(map(len, inputs)))
        return ask(model, spec, vocabularies, inputs)

    monkeypatch.setattr(ClassificationTask, "predict", staticmethod(watched))
    found = predict(load_run(run_dir), ["I love this story"], tmp_path / "many.txt")
    texts = ["I love this story", *(tmp_path / "many.txt").read_text().splitlines()]
    assert [answer.values["text"] for answer in found] == texts
    assert sorted(sizes)[-1] == 100_000 and all(size <= MOST_CHARACTERS for size in sorted(sizes)[:-1])
    alone = predict(load_run(run_dir), [texts[5]])[0].values["probabilities"]
    assert found[5].values["probabilities"] == pytest.approx(alone, abs=1e-6)


def test_an_error_of_a_chunk_names_the_input_by_its_place(run_dir, tmp_path):
    (tmp_path / "f.txt").write_text("a longer text than that\nboring\n")
    with pytest.raises(InputError, match=r"^text 2 is empty"):
        predict(load_run(run_dir), ["what a wonderful film", " ", "boring"], tmp_path / "f.txt")


def test_input_without_a_known_token_is_told_and_noted(run_dir, capsys):
    assert main(["predict", str(run_dir), "boring", "Zorp blik", "--json"]) == 0
    shown = capsys.readouterr()
    first, second = map(json.loads, shown.out.splitlines())
    assert "note" not in first and second["note"] == "no known word"
    assert predict(load_run(run_dir), ["<unk>"])[0].values["note"] == "no known word"


def test_the_line_about_unknown_input_names_it_and_its_tokens(run_dir, tmp_path, caplog):
    (tmp_path / "f.txt").write_text("I hate this\n" + "zorp blik\n" * 12)
    predict(load_run(run_dir), ["plugh"], tmp_path / "f.txt")
    lines = [record.message for record in caplog.records if record.name == "seqlab"]
    assert lines[0].startswith("text 1: the model's vocabulary of 11 has none of its words: 'plugh'")
    assert lines[1].startswith(f"{tmp_path / 'f.txt'}:2: ") and "'zorp', 'blik'" in lines[1]
    assert lines[-1] == "13 inputs in all have no word that the model knows" and len(lines) == 11


def test_an_argument_that_is_not_utf8_is_read_with_replacement_characters_and_told(run_dir, capfd, caplog):
    argument = os.fsdecode(b"what a caf\xe9 film")
    assert main(["predict", str(run_dir), argument, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["text"] == "what a caf\ufffd film"
    assert "text 1: characters that are no UTF-8 are read as U+FFFD: 1" in caplog.text


def test_a_file_is_read_in_the_encoding_of_the_training_data_and_texts_are_cut_as_there(tmp_path):
    table = tmp_path / "a.csv"
    table.write_bytes(b"text,label\n" + "caf\u00e9 gut,x\nth\u00e9 gut,y\n".encode("latin-1") * 10)
    (tmp_path / "f.txt").write_bytes("caf\u00e9 gut und mehr\ncaf\u00e9\n".encode("latin-1"))
    overrides = ("data=classification", f"data.path={table}", "data.encoding=latin-1", "data.max_length=1")
    tiny = ("task=classification", "model=classifier", "model.hidden_size=4", "trainer.max_steps=2", "logger=none")
    run_here(tmp_path / "run", *overrides, *tiny, "callbacks=classification")
    first, second = predict(load_run(tmp_path / "run"), [], tmp_path / "f.txt")
    assert first.values["text"] == "caf\u00e9 gut und mehr"
    assert first.values["probabilities"] == second.values["probabilities"] and "note" not in first.values


def test_a_file_in_another_encoding_than_the_runs_is_refused_with_what_can_be_done(run_dir, tmp_path):
    (tmp_path / "f.txt").write_bytes("gut\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(
        InputError, match=r"f\.txt:2: .* is not utf-8; the run's data is utf-8: convert the file"
    ) as told:
        predict(load_run(run_dir), [], tmp_path / "f.txt")
    assert "data.encoding" not in str(told.value)  # a key of training


@pytest.mark.parametrize("command", [["generate", "--prompt"], ["complete"]])
def test_a_prompt_that_is_not_utf8_is_refused(tmp_path, text_file, capsys, command):
    run_here(
        tmp_path,
        *small(text_file, "data.unit=subword", "data.max_vocab_size=300", "trainer.max_steps=2", "logger=none"),
    )
    name, *option = command
    assert main([name, str(tmp_path), *option, os.fsdecode(b"caf\xe9")]) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_an_argument_is_read_as_a_line_of_a_file_and_what_nobody_sees_is_refused(run_dir, tmp_path, capsys):
    marked, plain = predict(load_run(run_dir), ["\ufeffI love this film", "I love this film"])
    assert marked.values == plain.values
    assert [one.text for one in inputs_of(["\ufeffone\r\ntwo"], None)] == ["one\ntwo"]
    assert main(["predict", str(run_dir), "I love", "\u200b"]) == 2
    assert "text 2 is empty: there is nothing in it that can be seen" in capsys.readouterr().err


def test_a_file_that_is_no_text_or_a_table_is_told(run_dir, tmp_path, caplog):
    (tmp_path / "a.txt").write_bytes(b"PK\x03\x04" + b"[Content_Types].xml xl/workbook.xml")
    with pytest.raises(InputError, match=r"a\.txt is an Excel workbook \(xlsx\)"):
        predict(load_run(run_dir), [], tmp_path / "a.txt")
    (tmp_path / "a.csv").write_text("text,label\nI love this film,positive\n")
    assert len(predict(load_run(run_dir), [], tmp_path / "a.csv")) == 2
    assert "a.csv: each line is one text as it stands" in caplog.text


def test_the_name_of_a_file_is_not_classified_and_a_list_is_not_an_input(run_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_text("I love this film\n")
    (tmp_path / "good").touch()  # without a suffix, it may as well be a word
    assert main(["predict", str(run_dir), "boring", "good.txt"]) == 2
    shown = capsys.readouterr()
    assert "text 2 is 'good.txt', the name of a file; " in shown.err and "give --file good.txt" in shown.err
    assert shown.err.count("\n") == 1 and not shown.out
    run = seqlab.load(run_dir)
    assert len(run.predict("good", "bad.txt", "I saw good.txt" + "x" * 300)) == 3
    with pytest.raises(InputError, match=r"text 1 is .*good\.txt', the name of a file"):
        run.predict(tmp_path / "good.txt")
    with pytest.raises(InputError, match=r"input 1: expected a text .*, got list; .* run\.predict\(\*items\)"):
        run.predict(["I love this film", "boring"])
    assert len(run.predict(*["I love this film", "boring"], file="good.txt")) == 3
