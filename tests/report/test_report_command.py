"""The command ``seqlab report``: what it prints, writes and refuses."""

import argparse
import io
import json
import os
import sys

import pytest

from seqlab import cli
from seqlab.errors import InputError
from seqlab.report import add_arguments, compare, render, run
from seqlab.report.document import BEGIN, END


def call(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


def test_the_command_prints_writes_and_draws(tmp_path, capsys, depths):
    sweep = depths(tmp_path / "sweep", {1: [10.0, 12.0], 2: [8.0, 8.5]})
    table, plot = tmp_path / "new" / "table.csv", tmp_path / "new" / "plot.png"
    arguments = (sweep, "--by", "model.num_layers, optimizer.lr")
    assert call(*arguments, "--format", "csv-groups", "--output", table, "--plot", plot) == 0
    printed = capsys.readouterr()
    assert "11.000 ± 1.414" in printed.out
    assert printed.err.splitlines() == [f"written: {table}", f"written: {plot}"]
    assert table.read_text() == render(compare([sweep], by=["model.num_layers", "optimizer.lr"]), "csv-groups")
    assert sorted(os.listdir(tmp_path / "new")) == ["plot.png", "table.csv"]
    assert call(sweep, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "test/perplexity"


def test_the_command_fills_a_readme_with_table_and_pictures(tmp_path, capsys, depths, write_events):
    sweep = depths(tmp_path / "sweep", {1: [10.0, 12.0], 2: [8.0, 8.5]})
    for folder in sweep.iterdir():
        write_events(folder, {"val/loss": {1: 2.0, 2: 1.0}})
    readme, plot, curves = tmp_path / "README.md", tmp_path / "my plots" / "depth.png", tmp_path / "curves.png"
    readme.write_text(f"# Study\n{BEGIN}\n{END}\nThe end.\n")
    assert call(sweep, "--into", readme, "--plot", plot, "--curves", curves) == 0
    text = readme.read_text()
    assert text.startswith(f"# Study\n{BEGIN}\n\n| model.num_layers |") and text.endswith(f"\n\n{END}\nThe end.\n")
    assert "![test/perplexity of each group](my%20plots/depth.png)" in text
    assert "![learning curves](curves.png)" in text
    printed = capsys.readouterr()
    assert "11.000 ± 1.414" in printed.out
    assert printed.err.splitlines() == [f"written: {path}" for path in (plot, curves, readme)]


def test_the_command_writes_a_page_with_the_curves_asked_for(tmp_path, capsys, depths, write_events):
    sweep = depths(tmp_path / "sweep", {1: [10.0, 12.0], 2: [8.0, 8.5]})
    write_events(sweep / "1-1", {"val/loss": {1: 2.0}, "train/loss": {1: 3.0}})
    page = tmp_path / "report.html"
    assert call(sweep, "--format", "html", "--output", page, "--curve-metric", "train/loss") == 0
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "learning curves, train/loss" in text
    assert "No TensorBoard events of train/loss in 3 runs of 4" in text
    assert "No TensorBoard events" in " ".join(capsys.readouterr().out.split())
    assert call(sweep, "--format", "html") == 0
    assert "learning curves" not in capsys.readouterr().out


def test_the_command_takes_columns_and_a_baseline(tmp_path, capsys, write_run):
    for cell in ("LSTMCell", "GRUCell"):
        for size in (1, 2):
            config = {"model.cell._target_": f"seqlab.nn.{cell}", "model.hidden_size": size}
            write_run(tmp_path / f"{cell}{size}", metrics=1.0 + size, config=config)
    baseline = ("--baseline", "model.cell._target_=GRUCell", "--baseline", "model.hidden_size=2")
    arguments = ("--by", "model.hidden_size", "--columns", "model.cell._target_", *baseline)
    assert call(tmp_path, *arguments, "--format", "json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["by"], content["columns"]) == (
        ["model.hidden_size", "model.cell._target_"],
        ["model.cell._target_"],
    )
    assert [group["difference"] and group["difference"]["mean"] for group in content["groups"]] == [-1, -1, None, 0]


def test_the_command_takes_a_metric_and_values_with_signs_and_spaces(tmp_path, capsys, write_run):
    for seed, path in enumerate(["a=b", "c"]):
        metrics = {"test/accuracy": seed / 4, "test/loss": 1.0}
        write_run(tmp_path / str(seed), metrics=metrics, config={"data.path": path})
    arguments = ("--metric", "test/accuracy", "--by", "data.path", "--baseline", " data.path = a=b ")
    assert call(tmp_path, *arguments, "--format", "json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["metric"], content["better"]) == ("test/accuracy", "higher")
    assert [group["baseline"] for group in content["groups"]] == [True, False]


def test_beside_csv_the_notes_go_to_standard_error(tmp_path, capsys, depths, write_run):
    depths(tmp_path, {1: [10.0], 2: [8.0]}, device="a")
    write_run(tmp_path / "b", seed=2, metrics=9.0, config={"model.num_layers": 2}, device="b")
    report = compare([tmp_path])
    assert report.notes and call(tmp_path, "--format", "csv-groups") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()) == (render(report, "csv-groups"), report.notes)
    assert call(tmp_path, "--format", "json") == 0
    assert capsys.readouterr().err == ""


def test_a_page_on_standard_output_has_the_curves_too(tmp_path, capsys, depths, write_events):
    sweep = depths(tmp_path / "sweep", {1: [10.0]})
    write_events(sweep / "1-1", {"val/loss": {1: 2.0}})
    assert call(sweep, "--format", "html", "--curve-metric", "val/loss") == 0
    assert "learning curves, val/loss" in capsys.readouterr().out
    assert call(sweep, "--curves", tmp_path / "curves.png", "--curve-metric", "val/loss") == 0


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_has_its_own_width_and_colors_unless_they_are_not_wanted(tmp_path, monkeypatch, depths, no_color):
    sweep = depths(tmp_path / "sweep", {1: [10.0, 12.0], 2: [8.0, 9.0]})

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((60, 40)))
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout", Terminal())
    assert call(sweep) == 0
    text = sys.stdout.getvalue()
    assert (
        text == render(compare([sweep]), width=60, color=not no_color) != render(compare([sweep]), color=not no_color)
    )
    assert ("\x1b[1;32m" in text) == (not no_color)


def test_a_terminal_that_knows_ascii_alone_gets_ascii(tmp_path, monkeypatch, depths):
    sweep = depths(tmp_path / "sweep", {1: [10.0, 12.0]})
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert call(sweep) == 0
    out.seek(0)
    assert "11.00 +- 1.41" in out.read()


def test_what_no_picture_can_be_called_is_told_before_anything_is_written(tmp_path, depths):
    sweep = depths(tmp_path / "sweep", {1: [10.0]})
    table = tmp_path / "table.csv"
    for option in ("--plot", "--curves"):
        with pytest.raises(InputError, match=rf"^{option}: expected a file name that ends in one of"):
            call(sweep, "--output", table, option, tmp_path / "x.jpg")
    assert not table.exists()


def test_an_unknown_format_is_refused_in_one_line(capsys):
    assert cli.main(["report", ".", "--format", "pdf"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("seqlab: argument --format: invalid choice: 'pdf'") and told.count("\n") == 1


def test_wrong_arguments_are_refused_in_one_line(tmp_path, depths):
    sweep = depths(tmp_path / "sweep", {1: [10.0]})
    (tmp_path / "file").touch()
    for arguments, message in [
        (("--by", " , "), "--by: expected config keys"),
        (("--columns", ","), "--columns: expected config keys"),
        (("--baseline", "model.num_layers"), "--baseline: expected KEY=VALUE"),
        (("--curve-metric", "val/loss"), "--curve-metric: draws nothing without --curves FILE or --format html"),
        (("--curves", tmp_path / "plot.jpg"), r"--curves: expected a file name that ends in one of"),
        (("--into", tmp_path / "file"), "--into: expected the lines"),
        (("--plot", tmp_path / "plot.jpg"), r"--plot: expected a file name that ends in one of"),
        (("--output", tmp_path), "--output: expected the name of a file"),
        (("--output", tmp_path / "file" / "x"), r"--output: cannot write .*file/x.* \(File exists\)"),
    ]:
        with pytest.raises(InputError, match=message):
            call(sweep, *arguments)
    with pytest.raises(
        InputError, match="--format: expected one of table, csv, csv-groups, json, markdown, latex, html, got"
    ):
        render(compare([sweep]), "pdf")
