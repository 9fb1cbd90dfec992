"""Sweeps under each launcher, really run: the same jobs as one after another, and none that outlives its sweep."""

import os
import re
import signal
import subprocess
import time
from importlib import util
from pathlib import Path

import pytest

from seqlab.report.searches import read_search
from seqlab.run.provenance import may_be_alive
from seqlab.run.record import RECORD_NAME, read_record
from tests.command import command_line, environment, seqlab, seqlab_started, shadow_all_modules

# Drawing the state's figure takes longer than the one step.
HELLO = ("experiment=hello", "trainer=cpu", "callbacks.state_figure=null")
TINY = (*HELLO, "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1")
OWN_CELL = """\
import os

import torch
from seqlab.nn import RNNCell


class MyCell(RNNCell):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        print("made with threads:", torch.get_num_threads(), flush=True)
"""
UNTIL = """\
from pathlib import Path

import lightning.pytorch as pl


class Until(pl.Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        if Path("enough").exists():
            trainer.should_stop = True
"""

pytestmark = pytest.mark.slow


def needs(extra: str, plugin: str):
    """A parameter that is skipped where the extra is not installed."""
    absent = util.find_spec("hydra_plugins") is None or util.find_spec(f"hydra_plugins.{plugin}") is None
    return pytest.mark.skipif(absent, reason=f"pip install 'seqlab[{extra}]'")


JOBLIB = needs("joblib", "hydra_joblib_launcher")
OPTUNA = pytest.mark.skipif(util.find_spec("optuna") is None, reason="pip install 'seqlab[optuna]'")
LAUNCHERS = [
    pytest.param("joblib", ["hydra.launcher.n_jobs=3"], marks=JOBLIB),
    pytest.param("submitit_local", [], marks=needs("submitit", "hydra_submitit_launcher")),
    pytest.param("ray", ["hydra.launcher.ray.init.num_cpus=3"], marks=needs("ray", "hydra_ray_launcher")),
]


JOBS = {
    "short": "trainer: {max_epochs: 1, check_val_every_n_epoch: 1}",
    "wrong": "model: {num_layers: 0}",
    "long": "trainer: {max_epochs: 20000, check_val_every_n_epoch: 20000}\n"
    "callbacks: {checkpoint: {every_n_steps: 50}}\n",
}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("launcher", "settings"), LAUNCHERS)
def test_jobs_are_the_same_under_each_launcher_and_a_signal_to_the_command_has_them_save(tmp_path, launcher, settings):
    """With a cell of the user's own, so that the allow-list and the path of modules must reach the jobs, too."""
    shadow_all_modules(tmp_path)  # of which no process of a launcher may import one
    (tmp_path / "my_cells.py").write_text(OWN_CELL)
    (tmp_path / "conf" / "model" / "cell").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "cell" / "my_cell.yaml").write_text("_target_: my_cells.MyCell\n_partial_: true\n")
    (tmp_path / "conf" / "job").mkdir()
    for name, text in JOBS.items():
        (tmp_path / "conf" / "job" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    command = ["train", "-m", "--config-dir", "conf", "model/cell=my_cell", *HELLO, "name=x"]
    runs = tmp_path / "runs" / "x"
    process = start(tmp_path, *command, "+job=short,wrong,long", f"launcher={launcher}", *settings)
    wait_for(lambda: sorted(status_by_job(runs).values()) == ["completed", "failed", "running"], process=process)
    wait_for(lambda: list(runs.glob("+job=long-*/checkpoints/last.ckpt")), process=process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 1
    wait_for(lambda: not left_of(tmp_path), 20)
    out, err = said(tmp_path)
    assert "3 jobs at once" in out and "\n1 completed, 1 failed, 1 interrupted\n" in out, out + err
    assert re.search(r"^\[1/3\] \+job=short  completed  val/loss \d", out, flags=re.MULTILINE)
    assert re.search(r"^\[2/3\] \+job=wrong  failed: .*num_layers=0: expected", out, flags=re.MULTILINE)
    assert out.count("  interrupted: stopped by SIGTERM") == 1
    assert "the same command goes on with it" in err and "Traceback" not in out + err
    assert status_by_job(runs) == {"short": "completed", "wrong": "failed", "long": "interrupted"}
    assert not list(runs.glob(".sweep-*"))
    records = {path.parent.name: read_record(path) for path in runs.glob(f"*/{RECORD_NAME}")}
    for name, record in records.items():
        assert name.rpartition("-")[2] == record["config_hash"][:8]
    cores = len(os.sched_getaffinity(0))
    (short,) = (name for name in records if name.startswith("+job=short"))
    threads = 1 if launcher == "ray" else max(1, cores // 3)
    assert f"made with threads: {threads}\n" in (runs / short / "output.log").read_text()
    again = seqlab(*command, "+job=short,wrong", folder=tmp_path)
    assert f"[1/2] completed before, skipped: runs/x/{short}" in again.stdout
    assert "1 skipped, 1 failed" in again.stdout and again.stdout.splitlines()[-1] == "runs/x"


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
    """A command whose processes can be told by a variable; launchers decide on the threads of its jobs."""
    variables = environment(SEQLAB_CACHE=str(folder / "cache"), SEQLAB_TEST_MARK=str(folder))
    del variables["OMP_NUM_THREADS"]
    with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
        return subprocess.Popen(
            command_line(*arguments), cwd=folder, env=variables, stdout=out, stderr=err, start_new_session=True
        )


def said(folder: Path) -> tuple[str, str]:
    return (folder / "out.txt").read_text(), (folder / "err.txt").read_text()


def wait_for(condition, seconds: float = 100, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Waits as long as the process lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        assert process is None or process.poll() is None, "the command has ended"
        time.sleep(0.1)


def status_by_job(runs: Path) -> dict[str, str]:
    """The status of each job by what it varies."""
    records = {path.parent.name: read_record(path) for path in runs.glob(f"*/{RECORD_NAME}")}
    return {name.partition("=")[2].rpartition("-")[0]: record["status"] for name, record in records.items()}


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
    (tmp_path / "conf").mkdir()
    (tmp_path / "until.py").write_text(UNTIL)
    command = ["train", "-m", "--config-dir", "conf", "+callbacks.until._target_=until.Until", *HELLO, "name=x"]
    command += ["seed=1,2", "trainer.max_epochs=100000", "trainer.check_val_every_n_epoch=100000"]
    command += ["callbacks.checkpoint.every_n_steps=50", "runtime.num_threads=1"]
    process = start(tmp_path, *command, "launcher=joblib", "hydra.launcher.n_jobs=2")
    runs = tmp_path / "runs" / "x"
    wait_for(lambda: len(list(runs.glob("*/checkpoints/last.ckpt"))) == 2, process=process)
    assert len(left_of(tmp_path)) >= 5  # the sweep, two supervisors, two runs
    process.kill()
    process.wait(30)
    wait_for(lambda: not left_of(tmp_path), 20)
    records = [read_record(path) for path in runs.glob(f"*/{RECORD_NAME}")]
    assert {record["status"] for record in records} == {"interrupted"}
    assert not any(may_be_alive(record["process"]) for record in records)
    (tmp_path / "enough").touch()
    done = seqlab(*command, folder=tmp_path)  # one after another
    assert done.returncode == 0 and "2 completed" in done.stdout, done.stderr
    assert {read_record(path)["resumes"] for path in runs.glob(f"*/{RECORD_NAME}")} == {1}


@OPTUNA
def test_the_same_command_goes_on_with_a_search_that_was_killed(tmp_path):
    command = ["train", *TINY, "sweep=optuna", "name=x", "hydra.sweeper.n_trials=2", "runtime.num_threads=1"]
    command += ["trainer.max_epochs=300", "trainer.check_val_every_n_epoch=150", "model.num_layers=1"]
    command += ["callbacks.checkpoint.every_n_steps=20"]
    runs = tmp_path / "runs" / "x"
    with seqlab_started(*command, folder=tmp_path) as process:
        wait_for(lambda: list(runs.glob("*/checkpoints/last.ckpt")))
        os.kill(process.pid, signal.SIGKILL)
    (first,) = (path.parent for path in runs.glob(f"*/{RECORD_NAME}"))
    wait_for(lambda: read_record(first)["status"] == "interrupted")
    done = seqlab(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "study x: 0 of 2 trials done before" in done.stdout and "2 completed" in done.stdout
    assert len(list(runs.glob(f"*/{RECORD_NAME}"))) == 2
    assert (read_record(first)["status"], read_record(first)["resumes"]) == ("completed", 1)
    done = seqlab(*command, folder=tmp_path)
    assert done.returncode == 0 and "study x: 2 of 2 trials done before\nno job was begun" in done.stdout


@JOBLIB
@OPTUNA
def test_a_search_prunes_runs_that_a_launcher_carries_out_batch_by_batch(tmp_path):
    command = ["train", *HELLO, "sweep=optuna", "name=x", "runtime.num_threads=1", "model.num_layers=1"]
    command += ["trainer.max_epochs=20", "trainer.check_val_every_n_epoch=5", "launcher=joblib", "logger=none"]
    command += ["hydra.launcher.n_jobs=2"]
    # Of a batch, whose rates depend on which job ends first, both may be the best so far; of three batches, hardly.
    command += ["hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=2", "hydra.sweeper.rungs=[0.25]"]
    command += ["optimizer.lr=interval(0.0,0.00001)", "hydra/sweeper/pruner=percentile"]
    command += ["hydra.sweeper.pruner.percentile=0.0", "hydra.sweeper.pruner.n_startup_trials=2"]
    done = seqlab(*command, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = read_search(tmp_path / "runs" / "x").trials
    assert [trial.state for trial in trials[:2]] == ["complete", "complete"]
    assert "pruned" in {trial.state for trial in trials[2:]}, done.stdout
    for trial in trials:
        record = read_record(tmp_path / "runs" / "x" / trial.run / RECORD_NAME)
        assert record["status"] == {"complete": "completed"}.get(trial.state, trial.state)
        assert ("test/loss" in record["metrics"]) == (trial.state == "complete")
