"""The most frequent tag of each word: worked out by hand, and in the same report as a run."""

import importlib.util
from pathlib import Path

import pytest

import seqlab
from seqlab.data import tagged_data
from seqlab.run.record import read_record

SCRIPT = Path(seqlab.__file__).parents[1] / "experiments" / "tagging" / "baseline.py"


@pytest.fixture(scope="module")
def baseline():
    if not SCRIPT.is_file():
        pytest.skip("experiments/ is not beside the package")
    spec = importlib.util.spec_from_file_location("tagging_baseline", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / split).write_text(
            "Ann B-PER\nsaw O\nAnn B-PER\nLee I-PER\n\nann O\nbe O\nin O\nRome B-LOC\nbe B-PER\n"
        )
    (tmp_path / "test").write_text("Ann B-PER\nLee I-PER\nis O\nin O\nBonn B-LOC\n\nLee B-PER\n\nRome B-LOC\n")
    return {split: tmp_path / split for split in ("train", "validation", "test")}


def test_a_word_gets_its_commonest_tag_a_tie_the_first_and_an_unknown_word_the_commonest_of_all(baseline, files):
    words, overall = baseline.most_frequent(tagged_data(**files))
    assert overall == "O" and words["Ann"] == "B-PER" and words["ann"] == "O" and words["be"] == "B-PER"
    lowered, _ = baseline.most_frequent(tagged_data(**files, lowercase=True))
    assert lowered["ann"] == "B-PER" and "Ann" not in lowered


def test_its_scores_are_those_worked_out_by_hand(baseline, files):
    data = tagged_data(**files, entities=True)
    found = baseline.score(data, "test", *baseline.most_frequent(data))
    # Ann and Lee are right, so are is, in and Rome; Bonn reads as O; Lee alone as I-PER, which still begins an entity.
    assert found["accuracy"] == pytest.approx(5 / 7) and found["unseen_accuracy"] == pytest.approx(1 / 2)
    assert (found["entity_precision"], found["entity_recall"]) == (1.0, 0.75) and "loss" not in found


def test_the_command_leaves_a_record_beside_the_runs(baseline, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert baseline.main(["experiment=grammar_tagger", "data.sizes=[200,20,50]"]) == 0
    record = read_record(tmp_path / "runs" / "grammar_tagger" / "most_frequent_tag")
    assert record["status"] == "completed" and record["config"]["model"]["_target_"] == "most_frequent_tag"
    assert record["config"]["model"]["unknown"] == "O" and 0.0 < record["metrics"]["test/entity_f1"] < 0.5
    assert "test/entity_f1" in capsys.readouterr().out
    assert baseline.main(["experiment=grammar_tagger", "data.sizes=[200,20,50]"]) == 0
    assert "is there already" in capsys.readouterr().out
    assert baseline.main(["experiment=grammar_tagger", "data.sizes=[200,20,60]"]) == 2
    assert "was measured on other data (data.sizes)" in capsys.readouterr().err
    assert baseline.main(["data=tagging", "data.path=none.conll"]) == 2
    assert "there is no such file" in capsys.readouterr().err
