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
from tests.command import ForkedCommand, seqlab, seqlab_started, wait_for
from tests.conftest import config_of
from tests.run.test_exact_resume import COSINE, assert_the_same_end, overrides_of


def kill(process: "ForkedCommand | subprocess.Popen[str]") -> None:
    with process:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def by_seed(folder: Path) -> dict[int, Path]:
    return {read_record(path)["seed"]: path.parent for path in folder.glob(f"*/{RECORD_NAME}")}


def saved_at(run_dir: Path, later_than: int = 0) -> int | None:
    """When a job's last checkpoint was written, if it was later."""
    path = run_dir / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() and path.stat().st_mtime_ns > later_than else None


@pytest.mark.slow
def test_killed_while_it_starts_trains_saves_and_between_its_jobs(tmp_path, text_file):
    overrides = [*overrides_of(text_file, *COSINE), "trainer.max_epochs=3", "callbacks.checkpoint.every_n_steps=3"]
    sweep = tmp_path / "sweep"
    command = ["train", "-m", *overrides, "seed=1,2", f"hydra.sweep.dir={sweep}"]

    process = seqlab_started(*command, folder=tmp_path, alone=True)
    wait_for(lambda: by_seed(sweep).get(1))  # claimed, and its process only begins to import
    kill(process)
    first = by_seed(sweep)[1]
    assert read_record(first)["status"] == "interrupted"

    process = seqlab_started(*command, folder=tmp_path)
    saved = wait_for(lambda: saved_at(first))
    wait_for(lambda: saved_at(first, later_than=saved))
    kill(process)

    left = set(first.glob("checkpoints/.*.tmp"))  # the kill before may have met the writing of one, too
    process = seqlab_started(*command, folder=tmp_path)
    wait_for(lambda: set(first.glob("checkpoints/.*.tmp")) - left, pause=0.001)
    kill(process)

    process = seqlab_started(*command, folder=tmp_path)
    wait_for(lambda: read_record(first)["status"] == "completed", limit=120, pause=0.1)
    kill(process)

    process = seqlab_started(*command, folder=tmp_path)
    second = wait_for(lambda: by_seed(sweep).get(2))
    wait_for(lambda: saved_at(second))
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
    assert read_record(first)["resumes"] >= 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")
def test_a_job_whose_supervisor_is_killed_while_it_starts_does_not_train_on(tmp_path, text_file):
    sweep = tmp_path / "sweep"
    command = ["train", "-m", *overrides_of(text_file, *COSINE), "seed=1", f"hydra.sweep.dir={sweep}"]
    process = seqlab_started(*command, folder=tmp_path, alone=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: by_seed(sweep).get(1) and children.read_text())
    os.kill(process.pid, signal.SIGKILL)  # and not its group: what the job is to be forked from goes on importing
    process.communicate(timeout=60)  # until all processes, which hold the pipe as well, have ended
    assert read_record(by_seed(sweep)[1])["status"] == "interrupted"
    assert not list(sweep.glob("*/checkpoints"))
