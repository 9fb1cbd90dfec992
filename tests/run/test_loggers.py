"""Loggers beside TensorBoard: what they are given, that a resumed run goes on in them, and what they lack."""

import csv
import importlib.util
import json
import logging
import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from seqlab.callbacks.writer import Writer
from seqlab.commands.evaluate import evaluate
from seqlab.config import checks, loggers
from seqlab.errors import InputError
from seqlab.run import replacement, training
from tests.conftest import config_of, interrupted_here, resumed_here, run_here

HELLO = (
    "experiment=hello",
    "name=greeting",
    "trainer.max_epochs=6",
    "trainer.check_val_every_n_epoch=2",
    "trainer.log_every_n_steps=1",
    "trainer=cpu",
    "runtime.num_threads=1",
    "runtime.keep_freed_memory=false",
)


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """No logger of these tests reaches a network or the user's own files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("SECRET_TOKEN", "sEcReT-of-the-environment")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def rows_of(run_dir):
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_a_table_has_what_tensorboard_has_and_says_once_what_it_lacks(tmp_path, caplog):
    caplog.set_level(logging.INFO, "seqlab")
    metrics = run_here(tmp_path / "run", *HELLO, "logger=csv").fields["metrics"]
    rows = rows_of(tmp_path / "run")
    assert [int(row["step"]) for row in rows if "train/loss" in row] == [1, 2, 3, 4, 5, 6]
    assert len([row for row in rows if "val/loss" in row]) == 3
    assert float(rows[-1]["test/loss"]) == metrics["test/loss"] and "best/val/loss" in rows[-1]
    assert "model.hidden_size: 16" in (tmp_path / "run" / "hparams.yaml").read_text()
    assert caplog.text.count("CSVLogger takes no texts and figures: they are left out") == 1


def test_a_resumed_table_has_each_row_once(tmp_path):
    config = config_of(*HELLO, "logger=csv")
    interrupted_here(tmp_path / "run", config)  # after its last row was logged
    before = rows_of(tmp_path / "run")
    path = tmp_path / "run" / "metrics.csv"
    path.write_text(path.read_text() + "later,than,the,checkpoint\r\n")
    with resumed_here(tmp_path / "run") as claim:
        training.execute(claim)
    assert claim.fields["status"] == "completed"
    assert rows_of(tmp_path / "run") == before and not (tmp_path / "run" / ".metrics.csv").exists()


def test_a_table_survives_a_kill_while_it_is_taken_over(tmp_path):
    """Lightning deletes the earlier file when its logger begins; until its rows are written again they are kept."""
    interrupted_here(tmp_path / "run", config_of(*HELLO, "logger=csv"))
    before = rows_of(tmp_path / "run")
    (tmp_path / "run" / "metrics.csv").replace(tmp_path / "run" / ".metrics.csv")
    with resumed_here(tmp_path / "run") as claim:
        training.execute(claim)
    assert rows_of(tmp_path / "run") == before


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_extra_is_one_line_with_the_command_before_anything_begins(monkeypatch, name):
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(InputError, match=rf"logger={name}: {name} is not installed.*pip install 'seqlab\[{name}\]'"):
        config_of(*HELLO, f"logger={name}")
    config = {**config_of(*HELLO), "logger": {"_target_": f"x.{'WandbLogger' if name == 'wandb' else 'MLFlowLogger'}"}}
    checks.check_settings(config)  # an evaluation logs nothing, and needs no extra


def test_a_new_run_in_the_place_of_an_old_one_has_a_table_and_an_id_of_its_own(tmp_path):
    run_here(tmp_path / "run", *HELLO, "logger=csv")
    loggers.save_id(tmp_path / "run", loggers.WANDB, "old")
    assert {"metrics.csv", "logger.json"} <= set(replacement.unowned_files(tmp_path / "run"))
    config = config_of(*HELLO)
    made = {"logger": {"_target_": "lightning.pytorch.loggers.WandbLogger"}}
    (tmp_path / "run" / ".replacement").mkdir()
    settings = loggers.logger_settings({**config, **made}, tmp_path / "run" / ".replacement", None)
    assert settings["id"] != "old" and settings["name"] == "greeting/run"


def test_only_the_first_of_several_devices_names_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    config = {**config_of(*HELLO), "logger": {"_target_": "lightning.pytorch.loggers.WandbLogger"}}
    assert loggers.logger_settings(config, tmp_path, None)["id"] is None
    assert not (tmp_path / loggers.ID_NAME).exists()


def test_an_id_of_another_logger_is_not_taken_and_a_broken_one_is_refused(tmp_path):
    loggers.save_id(tmp_path, loggers.WANDB, "abc")
    assert loggers.read_id(tmp_path, loggers.WANDB) == "abc" and loggers.read_id(tmp_path, loggers.MLFLOW) is None
    (tmp_path / loggers.ID_NAME).write_text("{")
    with pytest.raises(InputError, match=r"logger\.json can't be read"):
        loggers.read_id(tmp_path, loggers.WANDB)


def contents(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def needs(name):
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing, reason=f"{name} is not installed (pip install 'seqlab[{name}]')")


@needs("wandb")
def test_wandb_gets_all_and_a_resumed_run_goes_on_under_its_id(tmp_path):
    run_dir = tmp_path / "run"
    interrupted_here(run_dir, config_of(*HELLO, "logger=wandb", "callbacks.examples.num_tokens=3"))
    run_id = json.loads((run_dir / "logger.json").read_text())["id"]
    (first,) = run_dir.glob("wandb/offline-run-*")
    written = contents(first)
    assert b"train/loss" in written and b"test/loss" in written and b"model.hidden_size" in written
    assert b"greeting/run" in written and b"SECRET" not in written and b"sEcReT" not in written
    assert list(first.glob("files/media/images/state_*.png")) and list(first.glob("files/media/table/*.json"))
    with resumed_here(run_dir) as claim:
        training.execute(claim)
    assert claim.fields["status"] == "completed"
    assert {path.name.rpartition("-")[2] for path in run_dir.glob("wandb/offline-run-*")} == {run_id}
    assert set(evaluate(run_dir, [])) >= {"test/loss"}


@needs("mlflow")
@pytest.mark.slow
def test_mlflow_gets_all_and_a_resumed_run_goes_on_under_its_id(tmp_path):
    from mlflow.tracking import MlflowClient

    run_dir = tmp_path / "run"
    interrupted_here(run_dir, config_of(*HELLO, "logger=mlflow", "callbacks.examples.num_tokens=3"))
    with resumed_here(run_dir) as claim:
        training.execute(claim)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("seqlab").experiment_id])
    assert run.info.run_id == json.loads((run_dir / "logger.json").read_text())["id"]
    assert run.info.status == "FINISHED" and run.info.run_name == "greeting/run"
    assert run.data.params["model.hidden_size"] == "16"
    assert run.data.metrics["test/loss"] == pytest.approx(claim.fields["metrics"]["test/loss"])
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert "state" in names and len(names) == 2
    assert os.environ["SECRET_TOKEN"] not in str(run.to_dictionary())


def test_figures_and_texts_reach_each_logger_that_takes_them(tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    boards = [TensorBoardLogger(tmp_path, name="", version=name) for name in ("a", "b")]
    figure = Figure()
    figure.subplots().plot([1, 2])
    writer = Writer(boards)
    writer.add_figure("figure", figure, 1)
    writer.add_text("text", "words", 1)
    writer.add_scalar("number", 2.5, 1)
    for board in boards:
        board.experiment.close()
        written = contents(Path(board.log_dir))
        assert b"figure" in written and b"words" in written and b"number" in written
