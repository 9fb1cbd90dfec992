"""Labels of a user's own: what they name, and that none is lost in silence."""

import pytest

from seqlab import cli
from seqlab.errors import InputError
from seqlab.report import compare, render
from seqlab.report.labels import labels
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


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["model.num_layers=a", "model.num_layers=b"], "model.num_layers is given twice, as 'a' and 'b'"),
        (["1=deep", "2=deep"], "1 and 2 of model.num_layers would both be shown as 'deep'"),
        (["1=2"], "1 and 2 of model.num_layers would both be shown as '2'"),
    ],
)
def test_labels_that_hide_what_differs_are_refused(tmp_path, depths, texts, words):
    report = compare([depths(tmp_path, {1: [1.0], 2: [2.0]})], by=["model.num_layers"])
    with pytest.raises(InputError, match=words):
        find_names(report, texts)
    assert find_names(report, ["1=one", "1=one"])[0] == {"1": "one"}


def test_a_text_that_reads_like_a_number_is_told_from_it(tmp_path, write_run):
    for place, value in enumerate(["1", 1, "true", True]):
        write_run(tmp_path / str(place), metrics=float(place), config={"data.column": value})
    report = compare([tmp_path], by=["data.column"])
    assert sorted(report.labels_of("data.column")) == ['"1"', '"true"', "1", "true"]
    for text in ("1", '"1"'):
        assert compare([tmp_path], by=["data.column"], baseline={"data.column": text}).baseline is not None


def test_a_label_may_name_the_metric_of_curves(cells):
    report = compare([cells], by=["model.cell"])
    assert find_names(report, ["train/loss=T"], ["train/loss"]) == ({"train/loss": "T"}, [])


def test_arguments_that_all_cells_have_are_left_out_where_the_values_still_differ():
    lstm, gru = ({"_target_": f"seqlab.nn.{kind}", "bias": True} for kind in ("LSTMCell", "GRUCell"))
    assert labels("model.cell", [[lstm, gru], gru]) == ["[LSTMCell, GRUCell]", "GRUCell"]
    assert labels("model.cell", [gru, {**gru, "bias": False}]) == ["GRUCell(bias=true)", "GRUCell(bias=false)"]
    assert labels("model.cell", [gru, gru]) == ["GRUCell(bias=true)"] * 2


def test_a_cell_for_each_layer_has_a_class_for_each_beside_runs_of_one_cell(cells, write_run):
    write_run(cells / "c", metrics={"test/perplexity": 1.0}, config={"model.cell._target_": "seqlab.nn.GRUCell"})
    report = compare([cells / "a", cells / "c"], by=["model.cell._target_"])
    assert sorted(report.labels_of("model.cell._target_")) == ["GRUCell", "LSTMCell, GRUCell"]


def test_a_baseline_that_fits_no_group_names_those_that_there_are(tmp_path, depths):
    with pytest.raises(InputError, match=r"fits 0 of 2 groups; expected just one; the groups have .*layers: 1, 2"):
        compare([depths(tmp_path, {1: [1.0], 2: [2.0]})], baseline={"model.num_layers": "3"})


def test_code_outside_of_git_is_told_as_such(tmp_path, write_run):
    write_run(tmp_path, metrics=1.0, git={"commit": None, "dirty": None}, written={"checkpoint": "best.ckpt"})
    assert "not recorded (no git repository was found)" in render(compare([tmp_path]))
