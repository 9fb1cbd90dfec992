"""``seqlab export``: from a run to a folder, and what it refuses."""

import builtins
import json
import os

import numpy as np
import pytest

import seqlab
from seqlab.cli import main
from seqlab.commands import export as command
from seqlab.errors import InputError
from seqlab.export import folder as export_folder
from seqlab.export.programs import Export
from tests.conftest import run_here

needs_onnx = pytest.mark.skipif(
    not all(map(__import__("importlib.util").util.find_spec, ("onnx", "onnxscript", "onnxruntime"))),
    reason="exports need pip install 'seqlab[export]'",
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "run"
    run_here(path, "experiment=hello", "logger=none", "trainer.max_epochs=50")
    return path


@needs_onnx
def test_a_run_becomes_a_folder_that_says_how_it_is_used(run_dir, capsys):
    assert main(["export", str(run_dir), "--int8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    folder = run_dir / "export" / "onnx"
    assert lines[-1] == str(folder)
    about = json.loads((folder / "export.json").read_text())
    assert set(os.listdir(folder)) == {
        *("export.json", "initial_state.npz", "tokens.json", "tokens.tokenizer.json"),
        *(f"{name}{end}" for name in ("forward", "step") for end in (".onnx", ".int8.onnx")),
    }
    measured = about["int8"]["metrics"]
    record = seqlab.load(run_dir).metrics
    for name, values in measured.items():
        assert values["float32"] == pytest.approx(record[name], rel=1e-3), name
        assert any(line.split()[0] == name and f"{values['int8']:.6g}" in line for line in lines)
    assert measured["val/loss"]["int8"] != measured["val/loss"]["float32"]
    vocabulary = json.loads((folder / "tokens.json").read_text())
    assert vocabulary["tokens"] == list(seqlab.load(run_dir).vocabulary.tokens)
    assert np.load(folder / "initial_state.npz")["state_layer0_h"].shape == (1, 16)
    assert about["programs"]["step"]["state"] == [{"input": "state_layer0_h", "output": "new_layer0_h"}]
    assert main(["export", str(run_dir)]) == 2
    assert "holds an export already; give --overwrite" in capsys.readouterr().err


@pytest.fixture
def writes_nothing_slow(monkeypatch):
    """Spares a test the files of programs, which others are about."""
    monkeypatch.setattr(command, "plan", lambda model, sizes: Export("language_model", []))


@pytest.fixture
def run(run_dir, writes_nothing_slow):
    return seqlab.load(run_dir)


def test_an_export_is_replaced_only_when_asked(run, tmp_path):
    folder = run.export(tmp_path / "new" / "out", "torch")
    before = (folder / "export.json").stat().st_ino
    with pytest.raises(InputError, match="give --overwrite to replace it"):
        run.export(folder, "torch")
    (folder / "notes.txt").write_text("mine")
    run.export(folder, "torch", overwrite=True)
    assert (folder / "export.json").stat().st_ino != before
    assert os.listdir(folder.parent) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_anything_else_are_never_replaced(run, tmp_path, overwrite):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, words in (("mine", "files that are no export"), ("file", "is there, and no folder")):
        with pytest.raises(InputError, match=words):
            run.export(tmp_path / name, "torch", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"


def test_an_export_that_fails_leaves_what_was_there(run, tmp_path, monkeypatch):
    folder = run.export(tmp_path / "out", "torch")
    text = (folder / "export.json").read_text()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(export_folder, "write_metadata", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.export(folder, "torch", overwrite=True)
    assert (folder / "export.json").read_text() == text and os.listdir(tmp_path) == ["out"]


def test_a_wrong_option_is_one_line(run, tmp_path, capsys):
    assert main(["export", str(run.run_dir), "--format", "torch", "--int8"]) == 2
    assert "--int8 quantises ONNX files" in capsys.readouterr().err
    with pytest.raises(InputError, match="--format tflite: expected one of onnx, torch"):
        run.export(tmp_path / "out", "tflite")


def test_a_missing_package_names_the_extra(run, tmp_path, monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        command.formats.importlib,
        "import_module",
        lambda name: real("no_such_package_" + name),  # as if missing
    )
    with pytest.raises(InputError, match=r"needs the package onnx, .*pip install 'seqlab\[export\]'"):
        run.export(tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


def test_tokens_of_any_characters_are_plain_json(run, tmp_path):
    class Odd:
        unit, unknown_id, tokens = "character", None, ('"', "\n", "\ud800", "\u2028", "é", "𝄞")
        settings = run.vocabulary.settings

        def save(self, path):
            path.write_text("{}")

    files = export_folder.write_vocabularies(tmp_path, {"tokens": Odd()})
    assert json.loads((tmp_path / files["tokens"]["plain"]).read_text())["tokens"] == list(Odd.tokens)
