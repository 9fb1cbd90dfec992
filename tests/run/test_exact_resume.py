"""A run that was killed and continued ends as one that was left alone, bit for bit."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.run import training
from seqlab.run.checkpoints import find_resumption, load_checkpoint
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.record import read_record
from seqlab.run.signals import StopRequest
from seqlab.tasks import LanguageModelTask
from tests.command import ONE_THREAD, ForkedCommand, seqlab, seqlab_started, wait_for
from tests.conftest import config_of, made_up_lines, small

COSINE = (
    "scheduler=cosine",
    "model.dropout=0.3",
    "model.output_dropout=0.2",
    "trainer.gradient_clip_val=1.0",
    "callbacks.checkpoint.every_n_steps=6",
)
PLATEAU = (
    "scheduler=plateau",
    "scheduler.threshold=0.07",  # the rate falls where a validation improves by less than 7 %
    "optimizer.lr=0.02",
    "model.dropout=0.2",
    "callbacks/early_stopping=plateau",
    "callbacks.early_stopping.patience=2",
    "callbacks.early_stopping.min_delta=0.05",
    "trainer.val_check_interval=9",
    "callbacks.checkpoint.every_n_steps=4",
)
RISING = (  # the rate rises without end: an early validation stays the best
    "optimizer.lr=1.0",
    "scheduler.warmup_steps=100",
    "trainer.val_check_interval=9",
)
# An epoch of 40 windows is 14 steps; of its validations after each seven windows two thirds are inside an accumulation.
ACCUMULATED = (
    "trainer.accumulate_grad_batches=3",
    "trainer.val_check_interval=7",
    "model.dropout=0.2",
    "trainer.gradient_clip_val=1.0",
    "scheduler=plateau",
    "scheduler.threshold=0.05",
    "callbacks.examples=null",
    "trainer.log_every_n_steps=4",
)
SETTINGS = {"cosine": COSINE, "plateau": PLATEAU, "rising": RISING, "accumulated": ACCUMULATED}


@pytest.fixture(scope="module")
def text_file(tmp_path_factory) -> Path:
    """A text whose epoch has 40 windows."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(made_up_lines(300)))
    return path


def overrides_of(text_file: Path, *overrides: str) -> list[str]:
    shared = ["trainer.max_epochs=2", "data.batch_size=16", *ONE_THREAD]
    return [text for text in small(text_file) if text != "data.batch_size=4"] + [*shared, *overrides]


def identical(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(identical, one, other))
    return one == other


def assert_the_same_end(alone: Path, continued: Path) -> None:
    """Weights, optimizer, schedule, carried state, generators, loops and callbacks of both checkpoints, and metrics."""
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (load_checkpoint(run_dir / "checkpoints" / name) for run_dir in (alone, continued))
        for checkpoint in (one, other):
            checkpoint["callbacks"].pop("TrainingMetrics")  # times
            checkpoint.pop("events")  # files by the time
            for how in ("moment", "before_validation"):  # how it was taken, not what is trained
                checkpoint["run"].pop(how)
            (loader,) = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
            if "num_windows" in loader:
                loader["cursor"] %= loader["num_windows"]  # an epoch's end is the next one's beginning
        for key in one:
            assert identical(one[key], other[key]), f"{name}: {key}"
    assert read_record(alone)["metrics"] == read_record(continued)["metrics"]
    assert read_record(continued)["status"] == "completed"


def curves(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Each curve of TensorBoard, point by point; without the speed."""
    events = EventAccumulator(str(run_dir), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.endswith("_per_second")
    }


def carry_out(run_dir: Path, overrides: list[str], resume: bool = False, stop: StopRequest | None = None) -> None:
    with RunFolder(run_dir).claim() if resume else start_run(run_dir, config_of(*overrides), overrides) as claim:
        if resume:
            claim.resume()
        training.execute(claim, stop)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, text_file):
    """The folders of the runs that are left alone."""
    folder = tmp_path_factory.mktemp("alone")
    for name, settings in SETTINGS.items():
        carry_out(folder / name, overrides_of(text_file, f"data.cache_dir={folder / 'cache'}", *settings))
    return folder


class StoppedError(RuntimeError):
    pass


def stop_at(monkeypatch, step: int, where: str = "training_step") -> None:
    """Ends training where a kill might: once, after ``step`` optimizer steps, in ``where`` of the task."""
    original = getattr(LanguageModelTask, where)

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == step:
            monkeypatch.setattr(LanguageModelTask, where, original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(LanguageModelTask, where, stopping)


def test_the_runs_that_are_left_alone_show_what_is_to_be_kept(alone):
    cosine, plateau, rising, accumulated = (
        load_checkpoint(alone / name / "checkpoints" / "last.ckpt") for name in SETTINGS
    )
    assert cosine["global_step"] == 80 and cosine["lr_schedulers"][0]["_last_lr"] == [0.0]
    assert 0 < plateau["seqlab"]["plateau"]["_last_lr"][0] < 0.02
    assert 40 < plateau["global_step"] < 80  # stopped early, in the second epoch
    assert accumulated["global_step"] == 28 and 0 < accumulated["seqlab"]["plateau"]["_last_lr"][0] < 0.002
    best = load_checkpoint(alone / "rising" / "checkpoints" / "best.ckpt")
    assert best["global_step"] < 40 < rising["global_step"]


# An epoch has 40 windows. "cosine" is validated at its end and saved every 6 steps. "plateau" is validated at windows
# 9, 18, 27 and 36 and saved every 4 steps, so at 36 both are due; it stops early at step 67. What a stop finds depends
# on its step alone, so a run is stopped more than once; neighbours are stops of different runs.
@pytest.mark.parametrize(
    ("name", "steps"),
    [
        *[("cosine", steps) for steps in ([5, 15, 30, 39, 41, 79], [6, 40, 50])],
        *[("plateau", steps) for steps in ([8, 19, 40, 66], [15, 18, 30, 50])],
        ("rising", [30, 40, 70]),
        *[("accumulated", steps) for steps in ([4, 7, 14], [2, 5, 10, 17, 22])],
    ],
    ids=str,
)
def test_stopped_anywhere_and_resumed(tmp_path, alone, text_file, monkeypatch, name, steps):
    for number, step in enumerate(steps):
        stop_at(monkeypatch, step)
        with pytest.raises(StoppedError):
            carry_out(tmp_path, overrides_of(text_file, *SETTINGS[name]), resume=number > 0)
        torch.rand(7)  # another process would have another generator
    carry_out(tmp_path, [], resume=True)
    assert_the_same_end(alone / name, tmp_path)
    assert read_record(tmp_path)["resumes"] == len(steps)
    assert curves(tmp_path) == curves(alone / name)


@pytest.mark.parametrize(
    ("name", "step"), [("cosine", 40), ("plateau", 36), ("plateau", 49), ("rising", 27), ("accumulated", 7)]
)
def test_stopped_in_validation_and_resumed(tmp_path, alone, text_file, monkeypatch, name, step):
    stop_at(monkeypatch, step, "validation_step")
    with pytest.raises(StoppedError):
        carry_out(tmp_path, overrides_of(text_file, *SETTINGS[name]))
    carry_out(tmp_path, [], resume=True)
    assert_the_same_end(alone / name, tmp_path)


def untrained(self, batch, batch_idx):
    raise AssertionError("it trains")


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_in_the_final_evaluation_a_run_only_evaluates(tmp_path, alone, text_file, monkeypatch, name):
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(training, "evaluate_splits", Mock(side_effect=StoppedError))
        carry_out(tmp_path, overrides_of(text_file, *SETTINGS[name]))
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelTask, "training_step", untrained)
        carry_out(tmp_path, [], resume=True)
    assert_the_same_end(alone / name, tmp_path)
    assert curves(tmp_path) == curves(alone / name)


def test_a_run_of_max_steps_killed_in_the_final_evaluation_only_evaluates(tmp_path, text_file, monkeypatch):
    limited = overrides_of(text_file, "trainer.max_steps=30", "trainer.val_check_interval=20")
    carry_out(tmp_path / "alone", limited)
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(training, "evaluate_splits", Mock(side_effect=StoppedError))
        carry_out(tmp_path / "run", limited)
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelTask, "training_step", untrained)
        carry_out(tmp_path / "run", [], resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")


@pytest.mark.parametrize("killed_in", ["the next epoch", "the final evaluation"])
def test_lightnings_own_early_stopping_looks_at_an_epochs_end(tmp_path, text_file, monkeypatch, killed_in):
    stopping = "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss, patience: 1, min_delta: 9.0}"
    overrides = overrides_of(text_file, f"+callbacks.mine={stopping}", "trainer.limit_train_batches=6")
    overrides = [*(text for text in overrides if text != "trainer.max_epochs=2"), "trainer.max_epochs=4"]
    carry_out(tmp_path / "alone", overrides)
    assert load_checkpoint(tmp_path / "alone" / "checkpoints" / "last.ckpt")["global_step"] == 12
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        if killed_in == "the next epoch":
            stop_at(patch, 6)
        else:
            patch.setattr(training, "evaluate_splits", Mock(side_effect=StoppedError))
        carry_out(tmp_path / "run", overrides)
    with monkeypatch.context() as patch:
        if killed_in == "the final evaluation":
            patch.setattr(LanguageModelTask, "training_step", untrained)
        carry_out(tmp_path / "run", [], resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")


def test_a_checkpoint_due_at_the_end_of_an_epoch_without_validation(tmp_path, text_file, monkeypatch):
    seldom = ("trainer.max_epochs=4", "trainer.check_val_every_n_epoch=4", "callbacks.checkpoint.every_n_steps=40")
    overrides = [text for text in overrides_of(text_file) if text != "trainer.max_epochs=2"] + [*seldom]
    carry_out(tmp_path / "alone", overrides)
    for first in (40, 50):
        run_dir = tmp_path / f"from-{first}"
        for number, at in enumerate((first, 40 * 2 + 5, 40 * 3 + 20)):  # Lightning's counts may be off after one
            stop_at(monkeypatch, at)
            with pytest.raises(StoppedError):
                carry_out(run_dir, overrides, resume=number > 0)
        carry_out(run_dir, overrides, resume=True)
        assert_the_same_end(tmp_path / "alone", run_dir)


REAL = ("SIGINT to all", "SIGKILL")  # signals that commands with interpreters of their own get


def wait_for_checkpoints(process: "ForkedCommand | subprocess.Popen[str]", run_dir: Path, count: int) -> None:
    """Returns once ``last.ckpt`` was written ``count`` times anew."""
    path, seen, deadline = run_dir / "checkpoints" / "last.ckpt", set(), time.monotonic() + 240
    before = path.stat().st_mtime_ns if path.exists() else None
    while len(seen) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"{len(seen)} of {count} checkpoints came: {process.communicate()}")
        if path.exists() and path.stat().st_mtime_ns != before:
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.005)


def wait_for_status(run_dir: Path, status: str) -> None:
    """Returns once the record reads so: a process that was killed takes a moment to be gone."""
    deadline = time.monotonic() + 120
    while read_record(run_dir)["status"] != status:
        assert time.monotonic() < deadline, read_record(run_dir)["status"]
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "moments"), [("cosine", [2, 7]), ("plateau", [9])])
def test_killed_in_the_middle_of_an_epoch_and_resumed_by_the_command(tmp_path, alone, text_file, name, moments):
    run_dir = tmp_path / "run"
    arguments = ["train", f"hydra.run.dir={run_dir}", *overrides_of(text_file, *SETTINGS[name])]
    for count in moments:
        with seqlab_started(*arguments, folder=tmp_path) as process:
            wait_for_checkpoints(process, run_dir, count)
            os.killpg(process.pid, signal.SIGKILL)
        wait_for_status(run_dir, "interrupted")
        arguments = ["resume", str(run_dir)]
    done = seqlab(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_the_same_end(alone / name, run_dir)
    assert read_record(run_dir)["resumes"] == len(moments)
    assert not list(run_dir.rglob(".*ckpt*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGINT to all", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"])
def test_a_command_that_is_told_to_stop_saves_and_says_how_to_go_on(tmp_path, text_file, name):
    if name == "SIGKILL" and sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent was killed")
    run_dir = tmp_path / "run"
    endless = overrides_of(text_file, "trainer.max_epochs=1000", "trainer.check_val_every_n_epoch=1000")
    arguments = ["train", f"hydra.run.dir={run_dir}", *endless, "callbacks.checkpoint.every_n_steps=100"]
    # The others reach a command alone and take one way: forked commands show that each is heard.
    start = functools.partial(seqlab_started, alone=True) if name in REAL else seqlab_started
    with start(*arguments, folder=tmp_path) as process:
        wait_for_checkpoints(process, run_dir, 1)
        # A terminal tells its whole group, others tell the command alone; and killed, it can tell its run nothing.
        (os.killpg if name.endswith("all") else os.kill)(process.pid, signal.Signals[name.split()[0]])
        _, err = process.communicate(timeout=240)
    assert process.returncode == (-signal.SIGKILL if name == "SIGKILL" else 1)
    wait_for_status(run_dir, "interrupted")
    step = find_resumption(run_dir).step
    assert step > 100 and f"it continues from step {step}; continue with: seqlab resume {run_dir}" in err
    assert err.count("\n") == 1  # nothing else is said


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while its process imports", "in training"])
def test_a_second_request_ends_a_run_at_once(tmp_path, text_file, moment):
    run_dir = tmp_path / "run"
    arguments = ["train", f"hydra.run.dir={run_dir}", *overrides_of(text_file, "trainer.max_epochs=1000")]
    if moment == "in training":
        process = seqlab_started(*arguments, folder=tmp_path)
        wait_for_checkpoints(process, run_dir, 1)
    else:
        process = seqlab_started(*arguments, folder=tmp_path, alone=True)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(lambda: (run_dir / "run.json").exists() and (not children.exists() or children.read_text()))
    with process:
        for _ in range(4):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.2)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 1 and "Traceback" not in err and "continue with: seqlab resume" in err
    wait_for_status(run_dir, "interrupted")
    assert find_resumption(run_dir).step > 0 or moment != "in training"
