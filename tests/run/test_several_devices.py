"""``trainer=ddp``: runs of two processes, alone and in a sweep, fail, are killed, and go on with another number."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seqlab.run.checkpoints import find_resumption, load_checkpoint
from seqlab.run.record import read_record
from tests.command import seqlab, seqlab_started, wait_for
from tests.conftest import run_here, small
from tests.run.test_exact_resume import curves, identical

pytestmark = pytest.mark.slow

TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
ONE = ("trainer=cpu",)
RAISING = """
import lightning.pytorch as pl

class Raising(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_rank == 1 and trainer.global_step == 3:
            raise RuntimeError("the second device alone can't go on")
"""


@pytest.fixture(scope="module")
def run(text_file) -> list[str]:
    """A run of sixty steps with dropout off, in float64, with a checkpoint every third step."""
    return [
        *small(text_file, "callbacks.examples=null", "trainer.max_steps=60", "trainer.max_epochs=-1"),
        "trainer.precision=64-true",
        "trainer.val_check_interval=20",
        "callbacks.checkpoint.every_n_steps=3",
        "runtime.num_threads=1",
        "logger=none",
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run) -> Path:
    """The run on one device, left alone."""
    folder = tmp_path_factory.mktemp("whole")
    run_here(folder, *run)
    return folder


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run_dir / "checkpoints" / "last.ckpt")["state_dict"]


def test_a_sweep_of_runs_on_two_devices_measures_what_one_device_measures(tmp_path, run):
    done = seqlab("train", "-m", *run, *TWO, "name=two", "seed=1,2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 completed" in done.stdout and done.stdout.count("2 x cpu") == 2
    assert done.stdout.count("  step 20  ") == 2  # a line each, not one from each device
    again = seqlab("train", "-m", *run, *ONE, "name=two", "seed=1", folder=tmp_path)
    assert "completed before, skipped" in again.stdout  # where it runs is not what it computes
    found = sorted((tmp_path / "runs" / "two").glob("*/run.json"))
    assert sorted(read_record(two)["config"]["seed"] for two in found) == [1, 2]
    for two in found:
        one = tmp_path / "one" / two.parent.name
        run_here(one, *run, f"seed={read_record(two)['config']['seed']}")
        assert read_record(two)["metrics"] == pytest.approx(read_record(one)["metrics"], rel=1e-9)
        torch.testing.assert_close(weights(two.parent), weights(one), rtol=1e-6, atol=1e-9)


def has_saved(run_dir: Path, later_than: int) -> Callable[[], bool]:
    """A condition: whether the last checkpoint is of a later step. It reads the file only where that is a new one."""
    path, seen = run_dir / "checkpoints" / "last.ckpt", [0]

    def condition() -> bool:
        before, seen[0] = seen[0], path.stat().st_mtime_ns if path.exists() else 0
        return seen[0] != before and load_checkpoint(path)["global_step"] > later_than

    return condition


def kill_after(step: int, run_dir: Path, *arguments: str) -> None:
    """Starts a command and kills all its processes once the run has a checkpoint of this step or later."""
    with seqlab_started(*arguments, folder=run_dir.parent) as process:
        wait_for(has_saved(run_dir, step - 1), limit=100)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    wait_for(lambda: read_record(run_dir)["status"] == "interrupted")  # a process takes its time to go


@pytest.mark.parametrize("first", [TWO, ONE], ids=["two", "one"])
def test_a_run_that_was_killed_goes_on_with_another_number_of_devices(tmp_path, run, whole, first):
    where = (
        ["trainer.devices=2", "trainer.strategy=ddp"]
        if first is ONE
        else ["trainer.devices=1", "trainer.strategy=auto"]
    )
    kill_after(20, tmp_path / "run", "train", *run, *first, "hydra.run.dir=run")
    refused = seqlab("resume", "run", *where, "data.batch_size=2", folder=tmp_path)
    assert refused.returncode == 2 and "computes what it began with" in refused.stderr
    done = seqlab("resume", "run", *where, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resumed from step" in done.stdout
    assert read_record(tmp_path / "run")["metrics"] == pytest.approx(read_record(whole)["metrics"], rel=1e-9)
    torch.testing.assert_close(weights(tmp_path / "run"), weights(whole), rtol=1e-6, atol=1e-9)


def test_what_one_device_alone_raises_is_in_the_record_and_ends_them_all(tmp_path, run):
    (tmp_path / "conf" / "callbacks").mkdir(parents=True)
    (tmp_path / "raising.py").write_text(RAISING)
    options = ("--config-dir", "conf", "--allow", "raising", "+callbacks.raising._target_=raising.Raising")
    done = seqlab("train", *options, *run, *TWO, "hydra.run.dir=run", folder=tmp_path)
    assert done.returncode == 1
    record = read_record(tmp_path / "run")
    assert record["status"] == "failed" and record["error"].endswith("the second device alone can't go on")
    assert "the second device alone can't go on" in done.stderr


def test_a_run_of_which_one_process_is_killed_is_interrupted(tmp_path, run):
    long = [*run, *TWO, "trainer.max_steps=20000", "hydra.run.dir=run"]
    with seqlab_started("train", *long, folder=tmp_path, alone=True) as process:
        wait_for((tmp_path / "run" / "checkpoints" / "last.ckpt").exists, limit=100)
        first = read_record(tmp_path / "run")["process"]["pid"]
        (second,) = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        os.kill(int(second), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert read_record(tmp_path / "run")["status"] == "interrupted"
    # Said by the first process, or by its supervisor where Lightning has killed that one for it.
    assert "SIGKILL ended" in err and "continue with: seqlab resume" in err and "Traceback" not in err


def test_a_batch_that_the_devices_cannot_share_is_refused_before_they_start(tmp_path, run):
    done = seqlab("train", *run, *TWO, "data.batch_size=5", "hydra.run.dir=run", folder=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "data.batch_size=5" in done.stderr and "multiple of 2" in done.stderr


ACCUMULATED = (
    "model.output_dropout=0.5",
    "trainer.accumulate_grad_batches=3",
    "trainer.val_check_interval=10",
    "trainer.limit_val_batches=18",  # the devices agree on a stop at each 16th
    "trainer.max_steps=70",
    "callbacks.checkpoint.every_n_steps=null",
    "trainer.gradient_clip_val=1.0",
    "logger=tensorboard",
)


def test_two_devices_that_are_killed_and_stopped_inside_accumulations_end_bit_for_bit(tmp_path, run):
    limits = ("trainer.max_steps=60", "trainer.val_check_interval=20", "callbacks.checkpoint.every_n_steps=3")
    settings = [text for text in run if text not in (*limits, "logger=none")]
    settings = [*settings, *TWO, *ACCUMULATED]
    whole = seqlab("train", *settings, "hydra.run.dir=whole", folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    generators = load_checkpoint(tmp_path / "whole" / "checkpoints" / "last.ckpt")["seqlab"]["rng"]
    assert len(generators) == 2 and not torch.equal(generators[0]["torch"], generators[1]["torch"])  # dropout differs
    kill_after(10, tmp_path / "run", "train", *settings, "hydra.run.dir=run")
    killed = find_resumption(tmp_path / "run").checkpoint
    assert killed["seqlab"]["gradients"] is None or len(killed["seqlab"]["gradients"]) == 2
    for signum in (signal.SIGTERM, signal.SIGINT):
        before = find_resumption(tmp_path / "run").step
        with seqlab_started("resume", "run", folder=tmp_path) as process:
            wait_for(has_saved(tmp_path / "run", before), limit=100)
            # A terminal tells all processes, others the command alone.
            (os.killpg if signum == signal.SIGINT else os.kill)(process.pid, signum)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"stopped by {signum.name}; it continues from step" in err and "Traceback" not in err, err
        assert read_record(tmp_path / "run")["status"] == "interrupted"
    done = seqlab("train", *settings, "hydra.run.dir=run", folder=tmp_path)  # the same command goes on, too
    assert done.returncode == 0 and "resumed from step" in done.stdout, done.stderr
    one, other = (load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("run", "whole"))
    for key in ("state_dict", "optimizer_states", "seqlab", "run"):
        assert identical(one[key], other[key]), key
    assert read_record(tmp_path / "run")["metrics"] == read_record(tmp_path / "whole")["metrics"]
    assert curves(tmp_path / "run") == curves(tmp_path / "whole")
