"""Where there is no progress bar, lines tell how far a run is."""

import re
from types import SimpleNamespace

import pytest

from seqlab.callbacks import ProgressLines
from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from tests.conftest import config_of, run_here, small


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock takes ``step`` seconds."""
    now = SimpleNamespace(seconds=0.0, step=1.0)

    def monotonic():
        now.seconds += now.step
        return now.seconds

    monkeypatch.setattr("seqlab.callbacks.progress.time", SimpleNamespace(monotonic=monotonic))
    return now


def test_a_line_a_minute_tells_step_loss_rate_and_time_left(tmp_path, text_file, clock, capsys):
    clock.step = 2.0
    run_here(tmp_path, *small(text_file, "trainer.max_steps=100", "trainer.max_epochs=-1", "optimizer.lr=0.003"))
    lines = [line for line in capsys.readouterr().out.splitlines() if " left" in line]
    steps = [int(re.search(r"step (\d+) of 100", line)[1]) for line in lines]
    assert steps == [30, 59, 88]
    form = re.compile(r"epoch 1 of 1  step \d+ of 100  loss \d\.\d+  rate 0\.003  \d+ (s|min) left")
    assert all(map(form.fullmatch, lines))
    assert lines[1].endswith("  85 s left")  # 41 steps of two seconds, and the looks at the clock of two lines


def test_accumulated_windows_count_as_steps_and_epochs_are_told(tmp_path, text_file, clock, capsys):
    clock.step = 30.0
    overrides = ("trainer.max_epochs=2", "trainer.limit_train_batches=20", "trainer.accumulate_grad_batches=4")
    run_here(tmp_path, *small(text_file, *overrides))
    out = capsys.readouterr().out
    assert "  step 0 of 10  loss " in out and "rate nan" not in out  # before the first step there is no rate
    lines = [line for line in out.splitlines() if " left" in line]
    assert lines[0].startswith("epoch 1 of 2  step ") and lines[-1].startswith("epoch 2 of 2  step ")
    assert all(" of 10  loss " in line for line in lines)


def test_a_long_evaluation_tells_how_far_it_is(tmp_path, text_file, clock, capsys):
    clock.step = 61.0
    run_here(
        tmp_path,
        *small(text_file, "trainer.max_steps=2", "trainer.limit_val_batches=3", "trainer.limit_test_batches=2"),
    )
    out = capsys.readouterr().out
    assert out.count("validation  batch 2 of 3\n") == 2 and "test  batch 1 of 2\n" in out


def test_a_counting_run_tells_its_windows(tmp_path, clock, capsys):
    clock.step = 30.0
    run_here(tmp_path, "experiment=kjv_kneser_ney", "data=hello", "data.batch_size=1")
    lines = [line for line in capsys.readouterr().out.splitlines() if "step " in line and "rate" in line]
    assert not lines


def test_nothing_is_said_within_a_minute_beside_a_bar_or_on_request(tmp_path, text_file, clock, capsys):
    clock.step = 0.1
    run_here(tmp_path / "quick", *small(text_file, "trainer.max_steps=20"))
    clock.step = 61.0
    run_here(tmp_path / "none", *small(text_file, "trainer.max_steps=20", "callbacks.progress=null"))
    bar = SimpleNamespace(is_global_zero=True, progress_bar_callback=object())
    assert not ProgressLines()._is_time(bar)
    assert " left" not in capsys.readouterr().out


def test_the_interval_is_configured_counts_for_nothing_and_is_checked(text_file):
    plain, often = (config_of(*small(text_file, f"callbacks.progress.every_n_minutes={n}")) for n in (1, 0.1))
    assert config_hash(plain) == config_hash(often)
    for wrong in (0, -1, True, "often", float("nan")):
        with pytest.raises(InputError, match=r"callbacks\.progress\.every_n_minutes is .*; expected a positive number"):
            ProgressLines(wrong)
