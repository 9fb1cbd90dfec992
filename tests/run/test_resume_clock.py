"""Checkpoints by the clock come at any moment, and change nothing of what is trained."""

import itertools
import random
from types import SimpleNamespace

import pytest

from seqlab.callbacks import RunCheckpoint
from seqlab.errors import InputError
from seqlab.run.checkpoints import load_checkpoint
from seqlab.run.record import read_record
from tests.conftest import made_up_lines
from tests.run import test_exact_resume as exact_resume
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, overrides_of, stop_at

ACCUMULATED = ("model.dropout=0.3", "scheduler=cosine", "trainer.accumulate_grad_batches=3")


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    """A text whose epoch has 80 windows: 27 steps."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(made_up_lines(600)))
    return path


@pytest.fixture
def clock(monkeypatch):
    """Seconds run on by themselves, now fewer, now more, at each look; what it returns sets how fast."""
    draw, now = random.Random(3), SimpleNamespace(seconds=0.0, most=7.0)

    def monotonic() -> float:
        now.seconds += draw.uniform(0.0, now.most)
        return now.seconds

    monkeypatch.setattr("seqlab.callbacks.checkpoint.time", SimpleNamespace(monotonic=monotonic))
    return now


@pytest.fixture
def saved(monkeypatch):
    """The steps that were saved, and whether gradients were being accumulated then."""
    steps, save = [], RunCheckpoint._save

    def noted(self, trainer, name):
        steps.append((trainer.global_step, trainer.fit_loop.epoch_loop._should_accumulate()))
        return save(self, trainer, name)

    monkeypatch.setattr(RunCheckpoint, "_save", noted)
    return steps


def carry_out(run_dir, text_file, minutes, resume=False):
    clocked = overrides_of(text_file, *ACCUMULATED, f"callbacks.checkpoint.every_n_minutes={minutes}")
    exact_resume.carry_out(run_dir, clocked, resume=resume)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, text_file):
    folder = tmp_path_factory.mktemp("alone")
    carry_out(folder, text_file, "null")
    return folder


def test_they_come_at_optimizer_steps_alone_and_leave_the_run_as_it_was(tmp_path, text_file, alone, clock, saved):
    carry_out(tmp_path, text_file, 1)
    steps = [step for step, _ in saved]
    assert len(steps) > 5 and len({b - a for a, b in itertools.pairwise(steps)}) > 2  # irregular
    assert not any(accumulating for _, accumulating in saved)
    assert_the_same_end(alone, tmp_path)


@pytest.mark.parametrize("step", [13, 40])
def test_a_run_resumed_from_one_ends_as_one_left_alone(tmp_path, text_file, alone, clock, monkeypatch, step):
    stop_at(monkeypatch, step)
    with pytest.raises(StoppedError):
        carry_out(tmp_path, text_file, 1)
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    kept = checkpoint["global_step"]
    assert 0 < kept <= step and kept % 27  # of the clock: validation comes at steps 27 and 54
    carry_out(tmp_path, text_file, 1, resume=True)
    assert_the_same_end(alone, tmp_path)
    # What was lost to the kill counts for nothing, what was kept counts on.
    times = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["callbacks"]["TrainingMetrics"]
    record = read_record(tmp_path)
    assert record["train_seconds"] > checkpoint["callbacks"]["TrainingMetrics"]["train_seconds"] > 0
    assert record["tokens_per_second"] == times["tokens"] / times["seconds"]


def test_a_clock_that_has_not_come_so_far_saves_nothing(tmp_path, text_file, clock, saved):
    clock.most = 0.5
    carry_out(tmp_path, text_file, 1)
    assert [step for step, _ in saved] == [27, 54]


@pytest.mark.parametrize("value", [0, -1, True, "often", float("nan")])
def test_what_is_no_time_is_refused(value):
    for name in ("every_n_minutes", "every_n_steps"):
        with pytest.raises(
            InputError, match=rf"callbacks\.checkpoint\.{name} is .*; expected a positive number or null"
        ):
            RunCheckpoint(**{name: value})
    with pytest.raises(InputError, match=r"every_n_steps is 1\.5"):
        RunCheckpoint(every_n_steps=1.5)  # type: ignore[arg-type]
    assert RunCheckpoint(every_n_minutes=0.5).every_n_minutes == 0.5
