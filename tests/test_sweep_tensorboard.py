"""At its end a sweep is written for TensorBoard as a whole, which can fail without consequence."""

from pathlib import Path

import pytest

from seqlab import launch
from seqlab.record import RunRecord
from seqlab.report import tensorboard as board
from tests.report.tensorboard_sweep import ask_in_this_process, columns_in, rows_in
from tests.test_sweep import complete, complete_but_for_two, sweep_here  # noqa: F401

SWEEP = Path("runs", "depths")


def test_a_sweep_ends_with_its_rows_and_the_same_command_brings_them_up_to_date(sweep_here, capfd):  # noqa: F811
    assert sweep_here(complete_but_for_two, "model.num_layers=1,2,3", "seed=1,2")[0] == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-3:] == [
        "compare them with: seqlab report runs/depths",
        "6 runs in the HParams tab; see them with: tensorboard --logdir runs/depths",
        "runs/depths",
    ]
    ask = ask_in_this_process(SWEEP)
    assert list(columns_in(ask)[0]) == ["model.num_layers", "seed", "status"]
    found = sorted((row["model.num_layers"], row["seed"], status) for row, status, _ in rows_in(ask).values())
    ended = {1: "STATUS_SUCCESS", 2: "STATUS_FAILURE"}
    assert found == [(depth, seed, ended[seed]) for depth in (1, 2, 3) for seed in (1, 2)]
    assert sweep_here(complete, "model.num_layers=1,2,3", "seed=1,2,3")[0] == 0
    ask = ask_in_this_process(SWEEP)
    assert {status for _, status, _ in rows_in(ask).values()} == {"STATUS_SUCCESS"} and len(rows_in(ask)) == 9
    assert "status" not in columns_in(ask)[0]


def test_without_the_logger_nothing_is_written(sweep_here, capfd):  # noqa: F811
    assert sweep_here(complete, "seed=1,2", "logger=none")[0] == 0
    assert "tensorboard" not in capfd.readouterr().out
    assert not list(SWEEP.rglob("events.*"))


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(28, "No space left on device"), "No space left on device"), (ValueError("odd\nvalue"), "odd value")],
)
def test_a_sweep_does_not_fail_with_what_it_writes_for_tensorboard(sweep_here, capfd, monkeypatch, error, said):  # noqa: F811
    def fail(*_):
        raise error

    monkeypatch.setattr(board, "write_events", fail)
    assert sweep_here(complete, "seed=1,2")[0] == 0
    shown = capfd.readouterr()
    (line,) = [line for line in shown.err.splitlines() if "TensorBoard" in line]
    assert line.startswith("seqlab: nothing for TensorBoard was written of the whole sweep: ") and said in line
    assert shown.out.splitlines()[-1] == "runs/depths" and "see them with" not in shown.out


def test_a_dry_run_writes_nothing(sweep_here, monkeypatch):  # noqa: F811
    monkeypatch.setattr(launch.subprocess, "run", lambda *_, **__: launch.subprocess.CompletedProcess([], 0))
    assert sweep_here(complete, "seed=1,2", "dry_run=true")[0] == 0
    assert not SWEEP.exists()


def test_a_run_that_begins_again_loses_the_row_of_its_failure(tmp_path, monkeypatch):
    RunRecord.start(tmp_path, {"seed": 1}, [], 1).fail("broken")
    (tmp_path / board.FILE_NAME).write_bytes(b"failed")
    monkeypatch.setattr(launch, "_wait", lambda process: 0)
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *_: None)
    assert launch.resume(tmp_path, []) == 0
    assert not (tmp_path / board.FILE_NAME).exists()
