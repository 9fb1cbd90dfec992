"""``seqlab.load`` and ``seqlab.runs``: runs from Python."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from types import ModuleType

import pytest
import torch

import seqlab
from seqlab.commands.evaluate import evaluate
from seqlab.commands.generate import complete
from seqlab.errors import InputError
from seqlab.nn import NextTokenModel
from seqlab.run import checkpoints, load
from seqlab.run.load import load_run
from seqlab.run.loaded import hash_of, record_imports
from seqlab.tasks import LanguageModelTask
from tests.conftest import run_here

HELLO = ("experiment=hello", "logger=none")
EACH = ("trainer.check_val_every_n_epoch=1",)  # which leaves a best.ckpt


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of other sizes, the first of which knows its word."""
    folder = tmp_path_factory.mktemp("runs")
    run_here(folder / "a", *HELLO, "seed=1")
    run_here(folder / "b", *HELLO, "seed=1", "model.hidden_size=5", "trainer.max_epochs=1")
    return folder


def test_a_run_is_its_record_its_model_and_what_that_says(folder):
    run = seqlab.load(folder / "a")
    assert run.config["seed"] == 1 and run.metrics["test/loss"] == run.record["metrics"]["test/loss"]
    assert set(run.vocabulary.tokens) >= set("helo")
    assert isinstance(run.model, NextTokenModel) and not run.model.training
    assert isinstance(run.task, LanguageModelTask) and run.task.model is run.model
    assert run.generate("h", 4, greedy=True) == ["hello"]
    assert run.complete("hell", count=1) == complete(load_run(folder / "a"), "hell", 1)
    assert run.evaluate() == evaluate(folder / "a", [])
    with pytest.raises(InputError, match="seqlab generate"):
        run.predict("h")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.generate("h", -3), "max_new_tokens=-3 must be a whole number, 1 or more"),
        (lambda run: run.generate("h", 2.5), r"max_new_tokens=2\.5 must be"),
        (lambda run: run.generate("h", 4, num_samples=0), "num_samples=0 must be"),
        (lambda run: run.generate("h", 4, seed=10**30), "seed=1000.* must be a whole number below"),
        (lambda run: run.generate("h", 4, seed=-1), "seed=-1 must be"),
        (lambda run: run.generate("h", 4, top_k=2.5), r"top_k is 2\.5"),
        (lambda run: run.complete("h", count=0), "count=0 must be"),
        (lambda run: run.complete("h", num_words=-1), "num_words=-1 must be"),
    ],
)
def test_numbers_out_of_range_are_named_as_in_the_shell(folder, ask, message):
    with pytest.raises(InputError, match=message):
        ask(seqlab.load(folder / "a"))


def test_a_run_is_read_once(folder, monkeypatch):
    read = []
    original = checkpoints.load_checkpoint
    monkeypatch.setattr(load, "load_checkpoint", lambda path: read.append(path) or original(path))
    run = seqlab.load(folder / "a")
    assert not read
    first = run.generate("h", 4, seed=3)
    assert run.generate("h", 4, seed=3) == first
    assert run.complete("hell", count=1) and run.task.model is run.model
    assert read == [folder / "a" / "checkpoints" / "best.ckpt"]


def test_a_run_with_another_checkpoint_is_read_again_and_says_so(tmp_path, caplog):
    caplog.set_level("INFO", "seqlab")
    run_here(tmp_path / "run", *HELLO, "trainer.max_epochs=1", *EACH)
    run = seqlab.load(tmp_path / "run")
    before, task, loss = run.model, run.task, run.metrics["test/loss"]
    assert "read again" not in caplog.text
    run_here(tmp_path / "other", *HELLO, "trainer.max_epochs=2", *EACH)
    for name in ("run.json", "events.jsonl", "checkpoints/best.ckpt"):
        shutil.copy(tmp_path / "other" / name, tmp_path / "new")
        (tmp_path / "new").replace(tmp_path / "run" / name)
    now = seqlab.load(tmp_path / "other")
    assert run.generate("h", 6, seed=1) == now.generate("h", 6, seed=1)
    assert run.model is not before and run.task is not task and run.task.model is run.model
    assert all(map(torch.equal, run.model.state_dict().values(), now.model.state_dict().values()))
    assert run.metrics == now.metrics and run.metrics["test/loss"] != loss
    assert caplog.text.count("read again") == 1


def _take_over(other, run):
    """Puts a run's files in the place of another's, as a replacement that has completed does."""
    for path in [file for file in other.rglob("*") if file.is_file()]:
        (run / path.relative_to(other)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, run / "new")
        (run / "new").replace(run / path.relative_to(other))


def test_a_run_is_one_run_before_and_after_it_is_replaced(folder, tmp_path, caplog):
    shutil.copytree(folder / "a", tmp_path / "run")
    run, now = seqlab.load(tmp_path / "run"), seqlab.load(folder / "b")
    assert run.metrics == seqlab.load(folder / "a").metrics
    shutil.rmtree(tmp_path / "run" / "checkpoints")  # the model has not been asked for
    _take_over(folder / "b", tmp_path / "run")
    assert run.config["model"]["hidden_size"] == 5 and run.metrics == now.metrics
    assert run.model.encoder.hidden_size == 5 and run.evaluate() == now.evaluate()
    assert caplog.text.count("another run by now") == 1


def test_a_run_in_a_relative_folder_is_the_same_from_another_working_folder(folder, tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(folder)
    run, table = seqlab.load("a"), seqlab.runs(".")
    assert list(table["run_dir"]) == [str(folder / "a"), str(folder / "b")]
    shutil.copytree(folder / "b", tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert run.run_dir == folder / "a" and run.generate("h", 4, greedy=True) == ["hello"]
    assert run.evaluate() == evaluate(folder / "a", [])


def test_what_has_changed_since_training_is_said_once(folder, tmp_path, capsys):
    shutil.copytree(folder / "a", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "my_cells.py").write_text("")
    record["status"], record["error"] = "interrupted", "stopped by SIGTERM"
    record["code"] = {"hash": "1", "files": [{"module": "mine", "path": str(tmp_path / "my_cells.py"), "sha256": "1"}]}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    run = seqlab.load(tmp_path / "run")
    assert run.metrics and not capsys.readouterr().err
    run.generate("h", 4)
    said = capsys.readouterr().err
    assert "has not completed its training (interrupted: stopped by SIGTERM)" in said
    assert "since this run was trained: " in said and "my_cells.py has changed" in said
    run.evaluate()
    assert run.model and "has not completed" not in capsys.readouterr().err


def test_other_code_that_this_process_has_imported_is_said(folder, tmp_path, capsys, monkeypatch):
    shutil.copytree(folder / "a", tmp_path / "run")
    path = tmp_path / "edited_cells.py"
    path.write_text("x = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    record_imports()
    importlib.import_module("edited_cells")
    path.write_text("x = 1\n")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    digest = hash_of(str(path), path.read_bytes())
    file = {"module": "edited_cells", "path": str(path), "sha256": digest}
    script = ModuleType("__main__")  # of this process, and not the one that trained
    script.__file__ = str(tmp_path / "script.py")
    (tmp_path / "script.py").write_text("")
    os.utime(tmp_path / "script.py", (1, 1))
    monkeypatch.setitem(sys.modules, "__main__", script)
    record["code"] = {"hash": "1", "files": [{**file, "module": "__main__"}, file]}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    assert seqlab.load(tmp_path / "run").model
    said = capsys.readouterr().err
    assert "imported other code than that of this run" in said and "__main__" not in said


def test_a_run_keeps_to_the_modules_of_the_folder_that_it_was_loaded_in(folder, tmp_path, monkeypatch):
    code = "from seqlab.nn import RNNCell\n\n\nclass Mine(RNNCell):\n    pass\n"
    record = json.loads((folder / "a" / "run.json").read_text())
    record["config"]["model"]["cell"]["_target_"] = "mine_here.Mine"
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("SEQLAB_ALLOW", "")
    loaded = []
    for name in ("first", "second"):
        shutil.copytree(folder / "a", tmp_path / name / "run")
        (tmp_path / name / "run" / "run.json").write_text(json.dumps(record))
        (tmp_path / name / "mine_here.py").write_text(code)
        monkeypatch.chdir(tmp_path / name)
        loaded.append(seqlab.load("run", allow=["mine_here"]))
    assert loaded[0].generate("h", 4, greedy=True) == ["hello"]
    assert sys.modules["mine_here"].__file__ == str(tmp_path / "first" / "mine_here.py")
    with pytest.raises(InputError, match=r"imported mine_here from .*first/.* is .*second/mine_here\.py"):
        loaded[1].evaluate()
    assert loaded[0].evaluate()


def test_weights_of_double_precision_are_not_rounded(tmp_path):
    run_here(tmp_path / "run", *HELLO, "trainer.max_epochs=2", "trainer.precision=64-true")
    run = seqlab.load(tmp_path / "run")
    assert run.evaluate() == run.metrics
    weights = checkpoints.load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(weights[f"model.{name}"], value) for name, value in run.model.state_dict().items())
    assert {value.dtype for value in run.model.parameters()} == {torch.float64}
    assert len(run.generate("h", 4, greedy=True)[0]) == 5


def test_a_model_of_double_precision_takes_frames_of_single(tmp_path):
    small = ("data.steps=300", "data.context=16", "data.horizon=2", "data.season=1", "model.hidden_size=4")
    run_here(
        tmp_path / "run",
        "experiment=sine_forecast",
        "logger=none",
        *small,
        "trainer.max_epochs=1",
        "trainer.precision=64-true",
    )
    run = seqlab.load(tmp_path / "run")
    assert run.evaluate() == run.metrics
    (tmp_path / "series.csv").write_text("y\n" + "".join(f"{number % 7}\n" for number in range(40)))
    assert run.predict(tmp_path / "series.csv")
    program = torch.export.load(run.export(format="torch") / "forward.pt2").module()
    assert {value.dtype for value in program.state_dict().values() if value.is_floating_point()} == {torch.float32}


def test_the_table_has_a_row_a_run_and_what_differs_first(folder):
    table = seqlab.runs(folder)
    assert list(table["run_dir"]) == [str(folder / "a"), str(folder / "b")]
    assert list(table["status"]) == ["completed", "completed"]
    assert list(table["model.hidden_size"]) == [seqlab.load(folder / "a").config["model"]["hidden_size"], 5]
    assert list(table["model.encoder.hidden_size"]) == list(table["model.hidden_size"])  # to which it refers
    assert table["test/loss"].notna().all()
    columns = list(table.columns)
    assert len(set(columns)) == len(columns)
    assert columns.index("model.hidden_size") < columns.index("model.num_layers")


def test_a_damaged_record_is_a_row_that_says_so(folder, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    table = seqlab.runs(folder, tmp_path)
    assert list(table["status"]) == ["completed", "completed", "unreadable"]
    assert str(tmp_path / "bad") in table["error"].iloc[-1]


@pytest.mark.parametrize("read", [seqlab.load, seqlab.runs])
def test_a_folder_without_a_run_is_refused(read, tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        read(tmp_path)


def test_a_record_is_read_without_torch(folder):
    code = (
        f"import sys, seqlab; run = seqlab.load({str(folder / 'a')!r}); run.metrics, seqlab.runs({str(folder)!r}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
