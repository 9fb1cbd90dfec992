"""The notebook of the documents: its cells run from top to bottom, and what they end in has a rich display."""

import ast
import contextlib
import io
import json
from functools import partial
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import seqlab
from seqlab.report import compare
from seqlab.run.record import read_record
from tests.conftest import run_here

NOTEBOOK = Path(__file__).parents[2] / "docs" / "guides" / "notebook.ipynb"


def run_cell(source, names):
    """What a notebook shows of a cell: the value of its last line, if that is an expression."""
    *before, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        before, last = [*before, last], None
    exec(compile(ast.Module(before, []), str(NOTEBOOK), "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_the_notebook_runs_and_every_cell_shows_something(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(seqlab, "train", partial(seqlab.train, process=False))
    notebook, names, shown = json.loads(NOTEBOOK.read_text()), {"__name__": "notebook"}, []
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None  # kept without results
            with contextlib.redirect_stdout(io.StringIO()):
                shown.append(run_cell("".join(cell["source"]), names))
    assert len(shown) >= 6
    for value in shown:
        assert isinstance(value, Figure) or value._repr_html_().startswith("<")
    run, states, _, ranking, _, report, _ = shown
    assert f"{run.metrics['test/loss']:.6g}" in run._repr_html_() and "completed" in run._repr_html_()
    assert "<td>(10, 16)</td>" in states._repr_html_()
    assert "reads an l: AUC" in ranking._repr_html_() and "untrained" in ranking._repr_html_()
    assert "test/" in report._repr_html_() and "<table" in report._repr_html_()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    run_here(
        folder / "a", "experiment=hello", "logger=none", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1"
    )
    return folder


def test_a_run_without_results_and_with_an_error_is_shown_escaped(folder):
    run = seqlab.load(folder / "a")
    run.record.update(status="failed", error="a <b> & c", num_parameters=None, metrics={})
    shown = run._repr_html_()
    assert "failed" in shown and "a &lt;b&gt; &amp; c" in shown and "<b>" not in shown and "parameters" not in shown


def test_a_report_as_a_part_of_a_page_has_no_scripts_and_says_what_is_left_out(folder):
    report = compare([str(folder)])
    shown = report._repr_html_()
    assert "<script" not in shown and "<style" not in shown and shown.count("<div") == shown.count("</div")
    value = read_record(folder / "a")["metrics"]["test/perplexity"]
    assert f"{value:.4g}"[:4] in shown
