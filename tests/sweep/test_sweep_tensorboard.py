"""At its end a sweep is written for TensorBoard as a whole, which can fail without consequence."""

from pathlib import Path

import pytest

from seqlab.commands import dry_run
from seqlab.commands.resume import resume
from seqlab.report import compare
from seqlab.report import tensorboard as board
from seqlab.run.folder import start_run
from tests.command import prepare_here, replace_training
from tests.conftest import config_of
from tests.report.tensorboard_sweep import ask_in_this_process, columns_in, rows_in
from tests.sweep.jobs_here import complete, complete_but_for_two

SWEEP = Path("runs", "depths")


def test_a_sweep_ends_with_its_rows_and_the_same_command_brings_them_up_to_date(sweep_here, capfd):
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


def test_without_the_logger_nothing_is_written(sweep_here, capfd):
    assert sweep_here(complete, "seed=1,2", "logger=none")[0] == 0
    assert "tensorboard" not in capfd.readouterr().out
    assert not list(SWEEP.rglob("events.out.*"))


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(28, "No space left on device"), "No space left on device"), (ValueError("odd\nvalue"), "odd value")],
)
def test_a_sweep_does_not_fail_with_what_it_writes_for_tensorboard(sweep_here, capfd, monkeypatch, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(board, "write_events", fail)
    assert sweep_here(complete, "seed=1,2")[0] == 0
    shown = capfd.readouterr()
    (line,) = [line for line in shown.err.splitlines() if "TensorBoard" in line]
    assert line.startswith("seqlab: the sweep as a whole could not be written for TensorBoard: ") and said in line
    assert shown.out.splitlines()[-1] == "runs/depths" and "see them with" not in shown.out


def test_a_dry_run_writes_nothing(sweep_here, monkeypatch):
    monkeypatch.setattr(dry_run.subprocess, "run", lambda *_, **__: dry_run.subprocess.CompletedProcess([], 0))
    assert sweep_here(complete, "seed=1,2", "dry_run=true")[0] == 0
    assert not SWEEP.exists()


def test_a_run_of_a_sweep_that_is_resumed_loses_the_row_of_its_failure_and_gets_another(tmp_path, monkeypatch, capsys):
    sweep = tmp_path / "sweep"
    for seed in (1, 2):
        with start_run(sweep / str(seed), config_of("experiment=hello", f"seed={seed}"), [f"seed={seed}"]) as claim:
            claim.fail("broken")
    rows = []

    def train(claim):
        rows.extend(path.parent.name for path in sweep.glob(f"*/{board.FILE_NAME}"))
        claim.complete({"test/loss": 1.0})

    prepare_here(tmp_path, monkeypatch)
    replace_training(monkeypatch, train)
    assert resume(sweep / "1", [], []) == 0  # before there is any row: none is made
    assert rows == [] and not list(sweep.glob(f"*/{board.FILE_NAME}"))
    board.save_for_tensorboard(compare([sweep]), sweep)
    assert rows_in(ask_in_this_process(sweep))["2"][1] == "STATUS_FAILURE"
    capsys.readouterr()
    assert resume(sweep / "2", [], []) == 0
    assert rows == ["1"]
    found = {name: status for name, (_, status, _) in rows_in(ask_in_this_process(sweep)).items()}
    assert found == {"1": "STATUS_SUCCESS", "2": "STATUS_SUCCESS"}
    assert capsys.readouterr().out.splitlines()[-1] == str(sweep / "2")
