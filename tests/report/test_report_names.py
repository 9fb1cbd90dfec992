"""Labels of a user's own: what they name, and that none is lost in silence."""

import pytest

from seqlab import cli
from seqlab.report import compare, render
from seqlab.report.names import find_names


@pytest.fixture
def cells(tmp_path, write_run):
    for name, biases in {"a": (True, False), "b": (False, False)}.items():
        kinds = ("LSTMCell", "GRUCell")
        cell = [{"_target_": f"seqlab.nn.{kind}", "bias": bias} for kind, bias in zip(kinds, biases, strict=True)]
        config = {"model.cell": cell, "optimize.metric": "val/loss"}
        write_run(tmp_path / name, metrics={"test/perplexity": 2.0, "val/loss": 1.0}, config=config)
    return tmp_path


def shown(capsys, folder, *texts):
    options = [word for text in texts for word in ("--label", text)]
    assert cli.main(["report", str(folder), "--by", "model.cell", *options]) == 0
    return capsys.readouterr()


def test_a_label_names_a_metric(cells, capsys):
    out = shown(capsys, cells, "test/perplexity=PPL", "val/loss=Validation loss").out
    assert "PPL" in out and "Validation loss" in out
    assert "test/perplexity" not in out and "val/loss" not in out


def test_a_label_names_a_value_with_equals_signs(cells, capsys):
    text = "[LSTMCell(bias=true), GRUCell(bias=false)]"
    assert text in shown(capsys, cells).out
    out = shown(capsys, cells, f"{text}=LSTM, GRU (b=1)").out
    assert "LSTM, GRU (b=1)" in out and text not in out


def test_a_label_names_a_key_as_it_was_swept_and_a_value_by_its_whole_text(tmp_path, write_run):
    for cell in ("GRUCell", "LSTMCell"):
        write_run(tmp_path / cell, metrics=2.0, config={"model.cell._target_": f"seqlab.nn.{cell}"})
    report = compare([tmp_path], by=["model.cell._target_"])
    report.names, unused = find_names(report, ["model/cell/_target_=Cell", "seqlab.nn.GRUCell=GRU"])
    assert report.names == {"model.cell._target_": "Cell", "GRUCell": "GRU"} and not unused
    assert {"Cell", "GRU", "LSTMCell"} <= set(render(report).split())


def test_a_label_of_what_is_not_shown_is_said(cells, capsys):
    captured = shown(capsys, cells, "optimizer.lr=Rate", "model.cell=Cell")
    assert captured.err == "--label optimizer.lr: not shown in this report\n" and "Cell" in captured.out


def test_a_label_may_name_the_metric_of_curves(cells):
    report = compare([cells], by=["model.cell"])
    assert find_names(report, ["train/loss=T"], ["train/loss"]) == ({"train/loss": "T"}, [])
