"""The command that trains the best again."""

import json
import shlex

import pytest

from seqlab.config.hash import config_hash
from seqlab.report import compare, render
from seqlab.run.record import RECORD_NAME
from tests.conftest import config_of


@pytest.fixture
def trained(tmp_path, write_run):
    """Write a completed run of some overrides, with a checkpoint."""

    def write(name, *overrides, seed=1, result=5.0, **more):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "best.ckpt").touch()
        return write_run(
            folder, seed=seed, metrics=result, overrides=overrides, checkpoint=folder / "best.ckpt", **more
        )

    return write


def test_the_command_composes_the_best_run_s_config(trained, tmp_path):
    """What the shell makes of the line gives Hydra the very config, comma, quotes and spaces included."""
    for layers, result in ((1, 9.0), (2, 8.0)):
        overrides = ["data=text", "data.path='my \"odd\" text, one.txt'", "data.split=[0.5,0.25,0.25]"]
        overrides += [f"model.num_layers={layers}", "model.cell.bias=false", "optimizer.lr=1e-3"]
        folder = trained(str(layers), *overrides, result=result)
        record = json.loads((folder / RECORD_NAME).read_text())
        record["config"] = config_of(*overrides)
        record["config_hash"] = config_hash(record["config"])
        (folder / RECORD_NAME).write_text(json.dumps(record))
    report = compare([tmp_path / "runs"])
    program, train, *words = shlex.split(report.command.line)
    assert (program, train) == ("seqlab", "train")
    again = config_of(*words)
    assert again["model"]["num_layers"] == 2
    assert config_hash(again) == record["config_hash"]


def test_seeds_that_alone_differ_are_trained_together(trained, tmp_path):
    trained("a", "seed=3", "name='x y'", seed=3, result=7.0)
    trained("b", "seed=1", "name='x y'", seed=1, result=8.0)
    report = compare([tmp_path / "runs"])
    assert shlex.split(report.command.line) == ["seqlab", "train", "-m", "name='x y'", "seed=1,3"]
    assert "Train it again:" in render(report)
    assert "add name=ANOTHER" in report.command.remarks[0]
    for format in ("table", "markdown"):
        assert f"  {report.command.line}\n" in render(report, format) or f"\n{report.command.line}\n" in render(
            report, format
        )
    assert json.loads(render(report, "json"))["command"]["line"] == report.command.line


def test_of_a_mixed_group_the_best_run_is_named(trained, tmp_path):
    trained("a", "optimizer.lr=1", seed=1, result=7.0, config={"optimizer.lr": 1})
    trained("b", "optimizer.lr=2", seed=2, result=6.0, config={"optimizer.lr": 2})
    command = compare([tmp_path / "runs"], by=["model.num_layers"]).command
    assert command.line == "seqlab train optimizer.lr=2"
    assert command.remarks[0] == "It trains the group's best run, seed 2, of 2."


def test_a_job_of_a_named_sweep_does_not_start_the_sweep(trained, tmp_path):
    trained("a", "sweep=seeds", "seed=1", seed=1, result=7.0)
    trained("b", "sweep=seeds", "seed=2", seed=2, result=6.0)
    assert compare([tmp_path / "runs"]).command.line == "seqlab train sweep=seeds seed=2 hydra.mode=RUN"


def test_what_the_command_needs_beside_itself_is_told(trained, tmp_path):
    config = {"model._target_": "mine.nets.Big", "task._target_": "seqlab.tasks.LanguageModelTask"}
    versions = {"python": "3.11", "torch": "2.13"}
    trained("a", "model=big", config=config, written={"versions": versions})
    remarks = compare([tmp_path / "runs"]).command.remarks
    assert remarks[0] == "It needs --allow mine.nets, or the --config-dir beside that code."
    assert remarks[1] == "It needs the --config-dir that holds model/big.yaml."
    assert remarks[2] == "Code of the best run: aaaaaaaaaa; python 3.11, torch 2.13."


def test_files_that_ship_and_values_ask_for_no_folder_of_the_user_s(trained, tmp_path):
    trained("a", "experiment=hello", "model/cell=gru", "optimizer=null", "sweep=seeds", "+model=window")
    assert not any("--config-dir" in remark for remark in compare([tmp_path / "runs"]).command.remarks)


def test_a_record_that_no_training_left_has_no_command(tmp_path, write_run):
    report = compare([write_run(tmp_path / "run", metrics=5.0, overrides=("experiment=x",))])
    assert report.command is None
    assert "seqlab train" not in render(report)
    assert json.loads(render(report, "json"))["command"] is None


def test_the_command_does_not_ask_for_the_launcher_that_a_sweep_had(trained, tmp_path):
    for seed in (1, 2):
        trained(str(seed), "experiment=hello", "launcher=joblib", f"seed={seed}", seed=seed)
    assert compare([tmp_path / "runs"]).command.line == "seqlab train -m experiment=hello seed=1,2"
