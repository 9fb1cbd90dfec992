"""A sweep that is killed as a whole, again and again, ends as one that was left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seqlab.run.folder import start_run
from seqlab.run.record import RECORD_NAME, read_record
from seqlab.run.training import execute
from tests.command import seqlab, seqlab_started, wait_for
from tests.conftest import config_of
from tests.run.test_exact_resume import COSINE, assert_the_same_end, overrides_of


def kill(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def by_seed(folder: Path) -> dict[int, Path]:
    return {read_record(path)["seed"]: path.parent for path in folder.glob(f"*/{RECORD_NAME}")}


def checkpoint_of(sweep: Path, seed: int, later_than: int = 0) -> int | None:
    """When a job's last checkpoint was written, if it was later."""
    path = by_seed(sweep).get(seed, sweep) / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() and path.stat().st_mtime_ns > later_than else None


@pytest.mark.slow
def test_killed_while_it_starts_trains_saves_and_between_its_jobs(tmp_path, text_file):
    overrides = [*overrides_of(text_file, *COSINE), "trainer.max_epochs=4", "callbacks.checkpoint.every_n_steps=3"]
    sweep = tmp_path / "sweep"
    command = ["train", "-m", *overrides, "seed=1,2", f"hydra.sweep.dir={sweep}"]

    process = seqlab_started(*command, folder=tmp_path)
    wait_for(lambda: by_seed(sweep).get(1))  # claimed, and its process only begins to import
    kill(process)
    assert read_record(by_seed(sweep)[1])["status"] == "interrupted"

    process = seqlab_started(*command, folder=tmp_path)
    saved = wait_for(lambda: checkpoint_of(sweep, 1))
    wait_for(lambda: checkpoint_of(sweep, 1, later_than=saved))
    kill(process)

    left = set(sweep.glob("*/checkpoints/.*.tmp"))  # the kill before may have met the writing of one, too
    process = seqlab_started(*command, folder=tmp_path)
    wait_for(lambda: set(sweep.glob("*/checkpoints/.*.tmp")) - left, pause=0.001)
    kill(process)

    process = seqlab_started(*command, folder=tmp_path)
    wait_for(lambda: read_record(by_seed(sweep)[1])["status"] == "completed", limit=120)
    kill(process)

    process = seqlab_started(*command, folder=tmp_path)
    wait_for(lambda: checkpoint_of(sweep, 2))
    kill(process)

    done = seqlab(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 completed, 1 skipped" in done.stdout
    assert not list(sweep.rglob(".*.tmp"))
    for seed, run_dir in by_seed(sweep).items():
        alone = tmp_path / f"alone-{seed}"
        config = config_of(*overrides, f"seed={seed}")
        with start_run(alone, config) as claim:
            execute(claim)
        assert_the_same_end(alone, run_dir)
    assert read_record(by_seed(sweep)[1])["resumes"] >= 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")
def test_a_job_whose_supervisor_is_killed_while_it_starts_does_not_train_on(tmp_path, text_file):
    sweep = tmp_path / "sweep"
    command = ["train", "-m", *overrides_of(text_file, *COSINE), "seed=1", f"hydra.sweep.dir={sweep}"]
    process = seqlab_started(*command, folder=tmp_path)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: by_seed(sweep).get(1) and children.read_text())
    os.kill(process.pid, signal.SIGKILL)  # and not its group: what the job is to be forked from goes on importing
    process.communicate(timeout=60)  # until all processes, which hold the pipe as well, have ended
    assert read_record(by_seed(sweep)[1])["status"] == "interrupted"
    assert not list(sweep.glob("*/checkpoints"))
