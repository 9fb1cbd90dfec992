"""Text that a terminal's encoding lacks is printed all the same."""

import io
import json
import sys

import pytest

from seqlab import cli
from seqlab.run.folder import start_run
from seqlab.streams import print_any_text
from tests.conftest import run_here


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A language model and a classifier of letters that ASCII lacks."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text("é è ü ß " * 200, encoding="utf-8")
    (folder / "table.csv").write_text("text,label\n" + "é à,mañana\nü ß,нет\n" * 40, encoding="utf-8")
    few = ("trainer.max_steps=2", "trainer.max_epochs=1", "logger=none", "model.hidden_size=4")
    text = (f"data.path={folder / 'text.txt'}", "data.batch_size=2", "data.tbptt_steps=8")
    run_here(folder / "text", "data=text", *text, *few)
    labelled = ("data=classification", "task=classification", "model=classifier", "callbacks=classification")
    run_here(folder / "classes", *labelled, f"data.path={folder / 'table.csv'}", *few)
    return folder


def printed_in(encoding: str, monkeypatch, *arguments: str) -> str:
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding, write_through=True))
    assert cli.main([*arguments]) == 0
    return bytes_.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_generated_and_completed_text_is_printed_in_every_encoding(runs, monkeypatch, encoding):
    shown = printed_in(encoding, monkeypatch, "generate", str(runs / "text"), "--prompt", "é", "--max-new-tokens", "3")
    assert shown.startswith("\\xe9" if encoding == "ascii" else "é")
    shown = printed_in(encoding, monkeypatch, "complete", str(runs / "text"), "é", "-k", "2")
    assert shown.count("\n") <= 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_predictions_are_printed_in_every_encoding_and_are_json_in_each(runs, monkeypatch, encoding):
    shown = printed_in(encoding, monkeypatch, "predict", str(runs / "classes"), "é à")
    assert ("ma\\xf1ana" if encoding == "ascii" else "mañana") in shown
    shown = printed_in(encoding, monkeypatch, "predict", str(runs / "classes"), "é à", "--json")
    assert set(json.loads(shown)["probabilities"]) == {"mañana", "нет"}
    assert ("нет" in shown) == (encoding == "utf-8")


def test_a_refusal_names_what_the_terminal_lacks(tmp_path, monkeypatch):
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(stream, "ascii", write_through=True))
    assert cli.main(["generate", str(tmp_path / "é\udcff"), "--prompt", "x"]) == 2
    assert b"\\xe9\\udcff" in stream.getvalue()
    claim = start_run(tmp_path / "é", {"seed": 1, "model": {"sizes": "é"}}, ())
    claim.complete({"test/loss": 1.0})
    claim.release()
    assert printed_in("ascii", monkeypatch, "report", str(tmp_path / "é"))


def test_a_stream_that_is_no_text_stream_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    print_any_text()
    print("é", end="")
    assert sys.stdout.getvalue() == "é"
