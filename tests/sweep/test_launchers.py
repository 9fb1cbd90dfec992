"""Sweeps under each launcher, really run: the same jobs as one after another, and none that outlives its sweep."""

import os
import re
import signal
import subprocess
import time
from importlib import util
from pathlib import Path

import pytest

from seqlab.run.provenance import may_be_alive
from seqlab.run.record import RECORD_NAME, read_record
from tests.command import command_line, environment, seqlab, shadow_all_modules

TINY = (
    *("experiment=hello", "trainer=cpu", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1"),
    "callbacks.state_figure=null",  # drawing it takes longer than the one step
)
OWN_CELL = """\
import os

import torch
from seqlab.nn import RNNCell


class MyCell(RNNCell):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        print("made with threads:", torch.get_num_threads(), flush=True)
"""

pytestmark = pytest.mark.slow


def needs(extra: str, plugin: str):
    """A parameter that is skipped where the extra is not installed."""
    absent = util.find_spec("hydra_plugins") is None or util.find_spec(f"hydra_plugins.{plugin}") is None
    return pytest.mark.skipif(absent, reason=f"pip install 'seqlab[{extra}]'")


JOBLIB = needs("joblib", "hydra_joblib_launcher")
OPTUNA = needs("optuna", "hydra_optuna_sweeper")
LAUNCHERS = [
    pytest.param("joblib", ["hydra.launcher.n_jobs=2"], marks=JOBLIB),
    pytest.param("submitit_local", [], marks=needs("submitit", "hydra_submitit_launcher")),
    pytest.param("ray", ["hydra.launcher.ray.init.num_cpus=2"], marks=needs("ray", "hydra_ray_launcher")),
]


@pytest.mark.parametrize(("launcher", "settings"), LAUNCHERS)
def test_jobs_are_the_same_under_each_launcher(tmp_path, launcher, settings):
    """With a cell of the user's own, so that the allow-list and the path of modules must reach the jobs, too."""
    shadow_all_modules(tmp_path)  # of which no process of a launcher may import one
    (tmp_path / "my_cells.py").write_text(OWN_CELL)
    (tmp_path / "conf" / "model" / "cell").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "cell" / "my_cell.yaml").write_text("_target_: my_cells.MyCell\n_partial_: true\n")
    command = ["train", "-m", "--config-dir", "conf", "model/cell=my_cell", *TINY, "name=x", "model.num_layers=1,0"]
    alone = {name: value for name, value in environment().items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        command_line(*command, f"launcher={launcher}", *settings),
        cwd=tmp_path,
        env={**alone, "SEQLAB_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "2 jobs at once" in done.stdout and "1 completed, 1 failed" in done.stdout
    assert re.search(r"^\[1/2\] model.num_layers=1  completed  val/loss \d", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^\[2/2\] model.num_layers=0  failed: .*num_layers=0: expected", done.stdout, flags=re.MULTILINE)
    assert done.stdout.splitlines()[-1] == "runs/x"
    records = {path.parent.name: read_record(path) for path in (tmp_path / "runs" / "x").glob(f"*/{RECORD_NAME}")}
    assert {record["status"] for record in records.values()} == {"completed", "failed"}
    for name, record in records.items():
        depth = record["config"]["model"]["num_layers"]
        assert name == f"model.num_layers={depth}-{record['config_hash'][:8]}"
    cores = len(os.sched_getaffinity(0))
    (one,) = (name for name in records if name.startswith("model.num_layers=1"))
    threads = 1 if launcher == "ray" else max(1, cores // 2)
    assert f"made with threads: {threads}\n" in (tmp_path / "runs" / "x" / one / "output.log").read_text()
    again = seqlab(*command, folder=tmp_path)
    assert f"[1/2] completed before, skipped: runs/x/{one}" in again.stdout
    assert "1 skipped, 1 failed" in again.stdout


@JOBLIB
def test_no_job_begins_at_once_with_others_after_a_failure(tmp_path):
    command = [
        "train",
        "-m",
        *TINY,
        "name=x",
        "model.num_layers=0,1",
        "seed=1,2,3",
        "fail_fast=true",
        "launcher=joblib",
    ]
    done = seqlab(*command, "hydra.launcher.n_jobs=2", folder=tmp_path)
    assert done.returncode == 1
    assert "fail_fast=true ends the sweep with its first failure" in done.stderr
    begun = sorted(path.parent.name.rpartition("-")[0] for path in (tmp_path / "runs" / "x").glob(f"*/{RECORD_NAME}"))
    assert len(begun) in (1, 2)  # the first, and perhaps the second at once with it
    assert not any(name.startswith("model.num_layers=1") for name in begun)
    assert all("num_layers=0" in path.name for path in (tmp_path / "runs" / "x").glob("model*"))


def start(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            command_line(*arguments),
            cwd=folder,
            env=environment(SEQLAB_CACHE=str(folder / "cache"), SEQLAB_TEST_MARK=str(folder)),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def wait_for(condition, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def left_of(folder: Path) -> list[int]:
    """The processes that a sweep in this folder has started and that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"SEQLAB_TEST_MARK={folder}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@JOBLIB
def test_no_job_outlives_a_sweep_that_is_killed_and_any_launcher_continues_it(tmp_path):
    command = ["train", "-m", *TINY, "runtime.num_threads=1", "name=x", "seed=1,2", "trainer.max_epochs=1500"]
    command += ["trainer.check_val_every_n_epoch=500", "callbacks.checkpoint.every_n_steps=100"]
    process = start(tmp_path, *command, "launcher=joblib", "hydra.launcher.n_jobs=2")
    runs = tmp_path / "runs" / "x"
    wait_for(lambda: len(list(runs.glob("*/checkpoints/last.ckpt"))) == 2)
    assert len(left_of(tmp_path)) >= 5  # the sweep, two supervisors, two runs
    process.kill()
    process.wait(30)
    wait_for(lambda: not left_of(tmp_path), 20)
    records = [read_record(path) for path in runs.glob(f"*/{RECORD_NAME}")]
    assert {record["status"] for record in records} == {"interrupted"}
    assert not any(may_be_alive(record["process"]) for record in records)
    done = seqlab(*command, folder=tmp_path)  # one after another
    assert done.returncode == 0 and "2 completed" in done.stdout, done.stderr
    assert {read_record(path)["resumes"] for path in runs.glob(f"*/{RECORD_NAME}")} == {1}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("launcher", "settings"), LAUNCHERS)
def test_a_signal_to_the_command_alone_has_the_jobs_save_and_stop(tmp_path, launcher, settings):
    command = ["train", "-m", *TINY, "runtime.num_threads=1", "name=x", "seed=1,2", "trainer.max_epochs=20000"]
    command += ["trainer.check_val_every_n_epoch=20000", "callbacks.checkpoint.every_n_steps=50"]
    process = start(tmp_path, *command, f"launcher={launcher}", *settings)
    runs = tmp_path / "runs" / "x"
    wait_for(lambda: len(list(runs.glob("*/checkpoints/last.ckpt"))) == 2)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 1
    wait_for(lambda: not left_of(tmp_path), 20)
    said = (tmp_path / "said.txt").read_text()
    assert said.count("  interrupted: stopped by SIGTERM") == 2 and "\n2 interrupted\n" in said, said
    assert "the same command goes on with it" in said and "Traceback" not in said
    assert {read_record(path)["status"] for path in runs.glob(f"*/{RECORD_NAME}")} == {"interrupted"}
    assert not list(runs.glob(".sweep-*"))


@OPTUNA
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_the_same_command_goes_on_with_a_search_that_was_killed(tmp_path):
    command = ["train", *TINY, "sweep=optuna", "name=x", "hydra.sweeper.n_trials=2", "runtime.num_threads=1"]
    command += ["trainer.max_epochs=200", "trainer.check_val_every_n_epoch=100", "model.num_layers=1"]
    command += ["callbacks.checkpoint.every_n_steps=20"]
    process = start(tmp_path, *command)
    runs = tmp_path / "runs" / "x"
    wait_for(lambda: list(runs.glob("*/checkpoints/last.ckpt")))
    process.kill()
    process.wait(30)
    wait_for(lambda: not left_of(tmp_path), 20)
    (first,) = (path.parent for path in runs.glob(f"*/{RECORD_NAME}"))
    done = seqlab(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "study x: 0 of 2 trials completed before" in done.stdout and "2 completed" in done.stdout
    assert len(list(runs.glob(f"*/{RECORD_NAME}"))) == 2
    assert (read_record(first)["status"], read_record(first)["resumes"]) == ("completed", 1)
    done = seqlab(*command, folder=tmp_path)
    assert done.returncode == 0 and "study x: 2 of 2 trials completed before\nno job was begun" in done.stdout
