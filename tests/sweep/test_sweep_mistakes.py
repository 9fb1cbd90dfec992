"""A mistake in a sweep is told before any job begins, one of a job alone with that job; a failing job ends nothing."""

import errno

import pytest

from seqlab.errors import InputError
from seqlab.run.folder import RunFolder
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME
from seqlab.run.record import read_record
from tests.sweep.jobs_here import complete, interrupt, seed_of


def test_what_is_refused_now_can_still_be_resumed(sweep_here, monkeypatch):
    def refuse(config):
        raise InputError("not on the allow-list")

    sweep_here(interrupt, "seed=1")
    with monkeypatch.context() as patch:
        patch.setattr("seqlab.commands.carry_out.check_targets", refuse)
        assert sweep_here(complete, "seed=1") == (2, [])
    assert sweep_here(complete, "seed=1") == (0, [(1, "resumed")])


def test_a_sweep_whose_jobs_are_all_refused_was_given_wrong_input(sweep_here, capfd):
    assert sweep_here(complete, "seed=-1,-2") == (2, [])
    assert sweep_here(complete, "seed=-1,2") == (1, [(2, "begun")])
    assert sweep_here(complete, "seed=-1,2") == (1, [])  # one is complete


def test_a_damaged_record_is_named_and_the_other_jobs_run(sweep_here, tmp_path, capfd):
    sweep_here(complete, "seed=1,2")
    (damaged,) = (tmp_path / "runs" / "depths").glob(f"seed=1-*/{EVENTS_NAME}")
    damaged.write_text("{\n")
    assert sweep_here(complete, "seed=1,2,3") == (1, [(3, "begun")])
    out, err = capfd.readouterr()
    assert err.count("\n") == 1 and "not valid JSON" in err
    assert "1 completed, 1 skipped, 1 failed" in out and damaged.read_text() == "{\n"


def test_a_job_that_could_not_start_is_noted_and_the_others_run(sweep_here, capfd):
    def too_many(claim):
        if seed_of(claim) == 2:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        complete(claim)

    assert sweep_here(too_many, "seed=1,2,3") == (1, [(1, "begun"), (2, "begun"), (3, "begun")])
    out, err = capfd.readouterr()
    assert "2 completed, 1 failed\n  failed: runs/depths/seed=2-" in out and err.count("Resource temporarily") == 1
    assert sweep_here(complete, "seed=1,2,3") == (0, [(2, "begun")])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=1,2", "optimize.metric=val/los"], ["optimize.metric=val/los", "val/loss"]),
        (["seed=1,2", "optimize.metric=val/accuracy", "optimize.mode=min"], ["give optimize.mode=max"]),
        (["optimizer.lr=0.1,0.2", "seed=-1"], ["seed=-1: expected a whole number"]),
    ],
)
def test_what_is_wrong_with_all_jobs_is_told_before_any(sweep_here, capfd, tmp_path, overrides, words):
    assert sweep_here(complete, *overrides) == (2, [])
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
    assert not list(tmp_path.rglob(RECORD_NAME))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=1,1"], ["seed=1,1: 1 is given twice", "drop one"]),
        (["seed=1,2", "optimizer.lr=0.1,0.10"], ["0.1 is given twice"]),
        (["seed=1,2", "trainer.devices=1,2"], ["trainer.devices is varied, but changes no result"]),
        (["seed="], ["seed='': expected a whole number"]),
        (["seed=1,"], ["seed=1, can't be read"]),
        (["model/cell="], ["model/cell"]),
        (["model/cell=gru,none_such"], ["none_such"]),
        (["modle.num_layers=1,2"], ["there is no configuration key modle.num_layers; did you mean model.num_layers?"]),
        (["seed=interval(1,3)"], ["sweep=optuna"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_sweep_that_is_none_is_told_before_any_job(sweep_here, capfd, tmp_path, overrides, words):
    assert sweep_here(complete, *overrides) == (2, [])
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
    assert not list(tmp_path.rglob(RECORD_NAME))


def test_a_sweep_over_nothing_says_so(sweep_here, capfd):
    assert sweep_here(complete) == (0, [(1, "begun")])
    assert "nothing is varied: a sweep of one job" in capfd.readouterr().out
    assert sweep_here(complete, "seed=1,2") == (0, [(2, "begun")])
    assert "nothing is varied" not in capfd.readouterr().out


def test_what_is_wrong_with_one_job_is_told_of_that_one(sweep_here, capfd):
    assert sweep_here(complete, "optimize.metric=val/loss,val/los") == (1, [(1, "begun")])
    assert "did you mean val/loss?" in capfd.readouterr().err
    assert sweep_here(complete, "seed=-1,2") == (1, [(2, "begun")])


def test_a_job_that_left_no_record_is_not_forgotten(sweep_here, monkeypatch, capfd):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", "runs/depths")

    monkeypatch.setattr("seqlab.commands.carry_out.open_attempt", refuse)
    assert sweep_here(complete, "seed=1,2") == (1, [])
    out, err = capfd.readouterr()
    assert "2 failed\n  failed: runs/depths/seed=1-" in out and out.count(": runs/depths: Read-only file system") == 4
    assert err.count("runs/depths: Read-only file system") == 2


def test_two_jobs_that_are_one_run_are_named(sweep_here, capfd):
    assert sweep_here(complete, "trainer=cpu,gpu") == (0, [(1, "begun")])
    assert "[2/2] is the same run as [1/2]" in capfd.readouterr().err


def test_a_job_that_another_command_is_at_work_in_is_left_alone(sweep_here, tmp_path, capfd):
    sweep_here(interrupt, "seed=1")
    (run_dir,) = (path.parent for path in tmp_path.rglob(RECORD_NAME))
    with RunFolder(run_dir).claim() as claim:
        claim.resume()
        assert sweep_here(complete, "seed=1,2") == (1, [(2, "begun")])
    out, err = capfd.readouterr()
    assert "1 completed, 1 running" in out and "is in use by process" in err


def test_what_could_not_go_on_is_what_it_was_before(sweep_here, tmp_path, capfd):
    def too_many(claim):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    sweep_here(interrupt, "seed=1")
    assert sweep_here(too_many, "seed=1") == (1, [(1, "resumed")])
    assert "1 interrupted" in capfd.readouterr().out
    assert [read_record(path)["status"] for path in tmp_path.rglob(RECORD_NAME)] == ["interrupted"]
    assert sweep_here(complete, "seed=1") == (0, [(1, "resumed")])
