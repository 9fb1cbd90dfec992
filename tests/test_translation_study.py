"""The scripts of the study: the copy baseline beside the runs, and the drawing of attention."""

import importlib.util
from pathlib import Path

import pytest
from sacrebleu import CHRF, corpus_bleu

import seqlab
from seqlab.commands.predict import predict
from seqlab.run.load import load_run
from seqlab.run.record import read_record
from tests.conftest import run_here
from tests.numbers_language import of_numbers, write_numbers

STUDY = Path(seqlab.__file__).parents[1] / "experiments" / "translation"


def script(name: str):
    if not STUDY.is_dir():
        pytest.skip("experiments/ is not beside the package")
    spec = importlib.util.spec_from_file_location(f"translation_{name}", STUDY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_copy_is_scored_as_a_run_is_and_stands_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    folder = write_numbers(tmp_path / "data")
    (folder / "test.en").write_text((folder / "test.de").read_text().replace("Eins", "One"))
    overrides = of_numbers(folder, "name=copied", "task.lowercase_scores=true")
    assert script("baseline").main(overrides) == 0
    record = read_record(tmp_path / "runs" / "copied" / "copy")
    assert record["status"] == "completed" and record["num_parameters"] == 0
    assert (record["config"]["model"]["_target_"], record["config"]["model"]["attention"]) == ("copy", None)
    sources, references = ((folder / f"test.{ending}").read_text().splitlines() for ending in ("de", "en"))
    metrics = record["metrics"]
    assert metrics["test/bleu"] == pytest.approx(corpus_bleu(sources, [references], lowercase=True).score)
    assert metrics["test/chrf"] == pytest.approx(CHRF(lowercase=True).corpus_score(sources, [references]).score)
    assert 20 < metrics["test/bleu"] < 90 and metrics["val/bleu"] < 20
    assert "case:lc" in capsys.readouterr().out
    assert script("baseline").main(["data=parallel", "task=translation"]) == 2
    assert "no file given" in capsys.readouterr().err


def test_attention_is_drawn_for_a_run_that_has_it(tmp_path, capsys):
    one_batch = ("logger=none", "trainer.max_epochs=1", "trainer.limit_train_batches=1")
    folder = write_numbers(tmp_path)
    run_here(tmp_path / "with", *of_numbers(folder, *one_batch))
    run_here(tmp_path / "without", *of_numbers(folder, *one_batch, "model.attention=null"))
    drawn = tmp_path / "map.png"
    answer = predict(load_run(tmp_path / "with"), ["Eins zwei."])[0].line
    capsys.readouterr()
    assert script("attention").main([str(tmp_path / "with"), "Eins zwei.", str(drawn)]) == 0
    assert capsys.readouterr().out == f"{answer}\n"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    for run, text, words in (("without", "Eins", "holds no translator with attention"), ("with", " ", "is empty")):
        assert script("attention").main([str(tmp_path / run), text, str(drawn)]) == 2
        assert words in capsys.readouterr().err
