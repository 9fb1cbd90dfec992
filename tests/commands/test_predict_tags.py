"""``seqlab predict`` of a tagger: a tag for each word, when the data is gone and the folder has moved."""

import json
import shutil

import pytest

from seqlab.cli import main
from seqlab.commands.predict import predict
from seqlab.data import Grammar
from seqlab.run.load import load_run
from seqlab.tasks import tagging
from tests.conftest import run_here


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    shorter = ("data.sizes=[600,20,20]", "data.max_word_length=12")
    run_here(folder / "first", "experiment=grammar_tagger", "logger=none", *shorter)
    shutil.move(folder / "first", folder / "moved")
    return folder / "moved"


def test_words_that_nobody_has_seen_get_their_tags_by_their_letters_and_neighbours(run_dir):
    sentences = Grammar("entities", grammar_seed=9).read("test")[:50]  # other stems
    found = predict(load_run(run_dir), [" ".join(sentence.words) for sentence in sentences])
    known = load_run(run_dir).vocabularies["tokens"].index
    pairs = [
        (tag == answer)
        for sentence, prediction in zip(sentences, found, strict=True)
        for word, tag, answer in zip(sentence.words, sentence.tags, prediction.values["tags"], strict=True)
        if word not in known
    ]
    assert len(pairs) > 150 and sum(pairs) / len(pairs) > 0.9
    assert [prediction.values["words"] for prediction in found] == [list(sentence.words) for sentence in sentences]


def test_an_answer_does_not_depend_on_the_other_sentences(run_dir):
    texts = [" ".join(sentence.words) for sentence in Grammar("entities").read("test")[:40]]
    together = predict(load_run(run_dir), texts)
    assert [predict(load_run(run_dir), [text])[0] for text in texts[:3] + texts[-3:]] == together[:3] + together[-3:]


def test_the_command_prints_word_and_tag_or_an_object_for_each_sentence(run_dir, tmp_path, capsys):
    (tmp_path / "more.txt").write_text("Dafi  toko Rile\tSara Union fakoly !\n")  # of training
    assert main(["predict", str(run_dir), "a kilaness", "--file", str(tmp_path / "more.txt")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "a/O kilaness/O"
    assert second == "Dafi/B-PER toko/O Rile/B-ORG Sara/I-ORG Union/I-ORG fakoly/O !/O"
    assert main(["predict", str(run_dir), "a kilaness", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"text": "a kilaness", "words": ["a", "kilaness"], "tags": ["O", "O"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([" "], "text 1 is empty; give it at least one word"), (["a", ""], "text 2 is empty"), ([], "nothing to predict")],
    ids=str,
)
def test_wrong_input_is_one_line(run_dir, capsys, arguments, words):
    assert main(["predict", str(run_dir), *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and words in shown.err and not shown.out


def test_the_folder_keeps_words_and_letters_apart(run_dir):
    vocabularies = load_run(run_dir).vocabularies
    assert list(vocabularies) == ["tokens", "characters"]
    assert "the" in vocabularies["tokens"].index and "t" in vocabularies["characters"].index
    assert load_run(run_dir).spec.max_word_length == 12


def test_long_words_are_read_as_in_training(run_dir, monkeypatch):
    seen = []
    original = tagging.likeliest
    monkeypatch.setattr(tagging, "likeliest", lambda model, batch: seen.append(batch) or original(model, batch))
    predict(load_run(run_dir), ["Dafi donaudampfschifffahrt ."])
    assert seen[0].word_lengths.tolist() == [[4, 12, 1]]


def test_words_with_spaces_are_given_as_a_list_and_a_no_break_space_belongs_to_its_word(run_dir, caplog):
    listed, spaced = predict(load_run(run_dir), ['["New York", "toko"]', "10\u00a0000 zzz"])
    assert listed.values["words"] == ["New York", "toko"] and spaced.values["words"] == ["10\u00a0000", "zzz"]
    told = [record.getMessage() for record in caplog.records if "has none of its words" in record.getMessage()]
    assert len(told) == 1 and told[0].startswith("text 2: ") and repr("10\u00a0000") in told[0]


def test_a_long_sentence_among_many_is_read_with_those_of_its_length(run_dir, monkeypatch):
    seen = []
    original = tagging.likeliest
    monkeypatch.setattr(tagging, "likeliest", lambda model, batch: seen.append(batch) or original(model, batch))
    texts = ["Dafi toko"] * 40 + ["Dafi toko " * 30_000] + ["Dafi"] * 40
    assert [len(found.values["tags"]) for found in predict(load_run(run_dir), texts)] == [2] * 40 + [60_000] + [1] * 40
    assert max(batch.words.numel() for batch in seen) == 60_000 and len(seen) == 4
