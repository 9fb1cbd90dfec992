"""Sweeps: what is complete is skipped, what was interrupted goes on, and each job's end is told."""

import math
import os
import signal

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from seqlab import cli
from seqlab.commands import jobs, train
from seqlab.run.folder import start_run
from seqlab.run.layout import RECORD_NAME
from seqlab.run.record import read_record
from seqlab.run.start import Start
from tests.sweep.jobs_here import TINY, complete, complete_but_for_two, interrupt, seed_of


def test_repeating_the_command_runs_only_what_had_not_completed(sweep_here):
    assert sweep_here(complete_but_for_two, "seed=1,2,3") == (1, [(1, "begun"), (2, "begun"), (3, "begun")])
    assert sweep_here(complete_but_for_two, "seed=1,2,3") == (1, [(2, "begun")])
    assert sweep_here(complete, "seed=1,2,3") == (0, [(2, "begun")])
    assert sweep_here(complete, "seed=1,2,3") == (0, [])


def test_a_changed_setting_runs_all_anew_and_where_it_runs_counts_for_nothing(sweep_here):
    assert sweep_here(complete, "seed=1,2") == (0, [(1, "begun"), (2, "begun")])
    assert sweep_here(complete, "seed=1,2", "logger=none") == (0, [])
    assert sweep_here(complete, "seed=1,2", "optimizer.lr=0.5") == (0, [(1, "begun"), (2, "begun")])
    assert sweep_here(complete, "seed=1,2") == (0, [])  # the first are still there


def test_the_flag_of_a_sweep_may_stand_between_its_overrides(sweep_here):
    assert sweep_here(complete, "seed=1,2", "-m", "optimizer.lr=0.5") == (0, [(1, "begun"), (2, "begun")])


def test_every_job_ends_in_a_line_with_the_best_so_far_and_what_is_left(sweep_here, capfd):
    sweep_here(complete_but_for_two, "seed=3,2,1")
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("[")]
    assert [line.partition("] ")[0] + "]" for line in lines] == [f"[{n}/3]" for n in (1, 1, 2, 2, 3, 3)]
    assert lines[1].startswith("[1/3] completed  val/loss 3  the best so far  2 to go, about ")
    assert lines[3].startswith("[2/3] failed: broken  best so far 3 (seed=3)  1 to go, about ")
    assert lines[5] == "[3/3] completed  val/loss 1  the best so far"
    sweep_here(complete, "seed=3,2,1")
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("[")]
    assert lines[0].startswith("[1/3] completed before, skipped: runs/depths/seed=3-")
    assert lines[1].startswith("[3/3] completed before, skipped: ")
    assert lines[3] == "[2/3] completed  val/loss 2  best so far 1 (seed=1)"


def test_the_end_of_a_sweep_names_what_did_not_complete_and_why(sweep_here, capfd):
    sweep_here(complete_but_for_two, "seed=1,2,3")
    assert "2 completed, 1 failed\n  failed: runs/depths/seed=2-" in capfd.readouterr().out
    sweep_here(complete_but_for_two, "seed=1,2,3,4")
    out = capfd.readouterr().out
    assert "1 completed, 2 skipped, 1 failed\n" in out and ": broken\n" in out


def test_fail_fast_ends_a_sweep_with_its_first_failure(sweep_here, capfd):
    assert sweep_here(complete_but_for_two, "seed=1,2,3", "fail_fast=true") == (1, [(1, "begun"), (2, "begun")])
    out, err = capfd.readouterr()
    assert "1 completed, 1 failed" in out and out.splitlines()[-1] == "runs/depths"
    assert "fail_fast=true ends the sweep with its first failure" in err
    assert sweep_here(complete, "seed=1,2,3") == (0, [(2, "begun"), (3, "begun")])  # the option is no part of a job


def test_a_finished_sweep_is_known_without_composing_its_jobs(sweep_here, monkeypatch):
    seeds = f"seed={','.join(map(str, range(4)))}"
    assert len(sweep_here(complete, seeds)[1]) == 4
    composed = []
    original = ConfigLoaderImpl.load_sweep_config
    counted = lambda *given, **named: composed.append(1) or original(*given, **named)  # noqa: E731
    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counted)
    assert sweep_here(complete, seeds) == (0, []) and not composed
    assert sweep_here(complete, seeds, "optimizer.lr=0.5")[0] == 0 and len(composed) >= 4


def test_what_is_complete_is_replaced_on_request(sweep_here, tmp_path, capfd):
    assert sweep_here(complete, "seed=1,2") == (0, [(1, "begun"), (2, "begun")])
    capfd.readouterr()
    assert sweep_here(complete_but_for_two, "seed=1,2", "overwrite=true") == (1, [(1, "begun"), (2, "begun")])
    assert "1 completed, 1 failed\n" in capfd.readouterr().out  # though what was to be replaced has completed
    assert {read_record(path)["status"] for path in tmp_path.rglob(f"seed*/{RECORD_NAME}")} == {"completed"}
    assert sweep_here(complete, "seed=1,2") == (0, [])


@pytest.mark.parametrize(
    ("overrides", "jobs", "checked"),
    [(["seed=range(1,4)"], 3, 1), (["seed=1,2", "model/cell=gru,rnn"], 4, 2), (["optimizer=adam,sgd"], 2, 2)],
)
def test_each_configuration_is_composed_once(sweep_here, monkeypatch, overrides, jobs, checked):
    composed = []
    load = ConfigLoaderImpl.load_sweep_config

    def counting(self, *arguments, **options):
        composed.append(arguments)
        return load(self, *arguments, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counting)
    assert len(sweep_here(complete, *overrides)[1]) == jobs
    assert len(composed) == jobs + checked


def test_the_best_job_is_the_one_with_the_highest_accuracy(sweep_here, capfd):
    def accurate(claim):
        claim.complete({"val/accuracy": float(seed_of(claim))})

    assert sweep_here(accurate, "seed=1,3,2", "optimize.metric=val/accuracy")[0] == 0
    assert "best so far 3 (seed=3)" in capfd.readouterr().out


def test_a_glob_over_a_groups_choices_is_counted(sweep_here, capfd):
    assert sweep_here(complete, "optimizer=glob(adam*)")[0] == 0
    assert "\n[2/2] completed" in capfd.readouterr().out


def test_a_stored_sweep_is_counted_too(sweep_here, capfd):
    sweep_here(complete, "sweep=seeds", "optimizer.lr=0.1,0.2")
    assert "\n[6/6] completed  val/loss 3" in capfd.readouterr().out


def test_an_interrupted_job_is_continued(sweep_here):
    assert sweep_here(interrupt, "seed=1")[0] == 1
    assert sweep_here(complete, "seed=1") == (0, [(1, "resumed")])


def test_a_sweep_that_is_stopped_starts_no_further_job(sweep_here, tmp_path, monkeypatch, capfd):
    def stopped(start, attempt):
        attempt.claim.interrupt()
        start.was_stopped = True
        return attempt.note_end(1)

    monkeypatch.setattr(Start, "carry_out", stopped)
    assert cli.main(["train", "-m", *TINY, "seed=1,2,3"]) == 1
    assert len(list(tmp_path.rglob(RECORD_NAME))) == 1
    assert "the same command goes on with it" in capfd.readouterr().err


def test_a_sweeper_is_given_the_judged_metric_and_nan_for_a_failure(tmp_path):
    with start_run(tmp_path / "done", {"seed": 1}) as claim:
        claim.complete({"val/loss": 2.5})
    assert jobs.metric_of(tmp_path / "done", "val/loss") == 2.5
    assert math.isnan(jobs.metric_of(tmp_path / "done", "val/other"))
    with start_run(tmp_path / "broken", {"seed": 1}) as claim:
        claim.fail("broken", metrics={"val/loss": 2.5})
    assert math.isnan(jobs.metric_of(tmp_path / "broken", "val/loss"))
    assert math.isnan(jobs.metric_of(tmp_path / "absent", "val/loss"))


def test_a_stored_sweep_names_its_own_keys(sweep_here, tmp_path):
    assert sweep_here(complete, "sweep=seeds") == (0, [(1, "begun"), (2, "begun"), (3, "begun")])
    names = sorted(path.parent.name for path in (tmp_path / "runs" / "depths").glob(f"*/{RECORD_NAME}"))
    assert [name.rpartition("-")[0] for name in names] == ["seed=1", "seed=2", "seed=3"]


def test_a_sweep_that_is_stopped_tells_how_its_jobs_ended(sweep_here, capfd):
    def stop(claim):
        claim.interrupt("stopped by SIGINT")
        os.kill(os.getpid(), signal.SIGINT)
        return 1

    assert sweep_here(stop, "seed=1,2,3") == (1, [(1, "begun")])
    out, err = capfd.readouterr()
    assert "1 interrupted, 2 not begun\n  interrupted: runs/depths/seed=1-" in out
    assert "the same command goes on with it" in err and "Traceback" not in err


def test_a_dry_run_that_is_stopped_is_one_line(sweep_here, monkeypatch, capfd):
    monkeypatch.setattr(train, "estimate", lambda jobs: os.kill(os.getpid(), signal.SIGINT))
    assert sweep_here(complete, "seed=1,2", "dry_run=true") == (1, [])
    assert capfd.readouterr().err == "seqlab: stopped\n"
