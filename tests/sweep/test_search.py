"""A search by Optuna, its runs replaced: failed trials are tolerated, and the same command goes on with the study."""

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest
from filelock import FileLock

from seqlab import cli
from seqlab.report.searches import read_search
from seqlab.run.comparison import Differences
from seqlab.sweep import study_checks
from tests.command import prepare_here
from tests.sweep.test_tuned import Runs

optuna = pytest.importorskip("optuna", minversion="5", reason="pip install 'seqlab[optuna]'")

SEARCH = ("experiment=hello", "name=s", "sweep=optuna", "model.num_layers=1", "logger=none")


class Searches(Runs):
    """Searches in this process; a run's loss is its learning rate, unless ``loss`` says otherwise."""

    def __init__(self, patch):
        super().__init__(patch)
        self.loss = lambda config, share: config["optimizer"]["lr"]

    def __call__(self, trials: int, *overrides: str) -> tuple[int, list[float]]:
        """The exit code of a search of so many trials, and the learning rates of its runs, as they were trained."""
        code, trained = self.trained(trials, *overrides)
        return code, [rate for rate, _, _ in trained]

    def trained(self, trials: int, *overrides: str) -> tuple[int, list[tuple[float, int, float]]]:
        """The exit code, and what was trained: learning rate, seed and share of the steps."""
        self._trained.clear()
        seed = "hydra.sweeper.sampler.seed=1"
        return cli.main(["train", *SEARCH, seed, f"hydra.sweeper.n_trials={trials}", *overrides]), list(self._trained)


@pytest.fixture
def search(tmp_path, monkeypatch):
    prepare_here(tmp_path, monkeypatch)
    return Searches(monkeypatch)


def stored(storage: str = "sqlite:///runs/s/study.db"):
    return optuna.load_study(study_name="s", storage=storage)


def states() -> list[str]:
    return [trial.state.name for trial in stored().trials]


def test_failed_trials_are_noted_and_the_same_command_makes_up_for_them(search, capfd):
    search.before = lambda config, share: "fail" if config["optimizer"]["lr"] < 0.003 else None
    code, first = search(4)
    noted = states()
    assert noted == ["FAIL" if rate < 0.003 else "COMPLETE" for rate in first] and set(noted) == {"FAIL", "COMPLETE"}
    assert code == 1
    search.before = lambda *_: None
    code, second = search(4)
    assert (code, len(second)) == (0, noted.count("FAIL"))
    assert not set(first) & set(second)  # though the sampler's seed is given
    assert search(4) == (0, [])
    out = capfd.readouterr().out
    best = min(trial.value for trial in stored().trials if trial.value is not None)
    assert f"study s: the best of all its trials has {best:.4g}, with optimizer.lr={best}" in out
    assert "study s: 4 of 4 trials done before" in out and "no job was begun" in out


def test_a_search_of_failures_alone_ends_in_a_summary(search, capfd):
    search.before = lambda *_: "fail"
    code, tried = search(2)
    assert (code, len(tried)) == (1, 2) and states() == ["FAIL", "FAIL"]
    said = capfd.readouterr()
    assert "2 failed" in said.out and "study: no trial has completed" in said.out and "Traceback" not in said.err


@pytest.mark.parametrize(("rate", "tried"), [("0", 1), ("0.4", 2)])
def test_a_search_ends_once_more_trials_have_failed_than_may(search, capfd, rate, tried):
    search.before = lambda *_: "fail"
    code, trained = search(4, f"hydra.sweeper.max_failure_rate={rate}")
    assert (code, len(trained)) == (1, tried)
    assert f"{tried} of 4 trials have failed, more than hydra.sweeper.max_failure_rate" in capfd.readouterr().err


def test_a_value_that_is_no_number_is_a_failed_trial_and_an_infinite_one_is_not(search):
    search.loss = lambda config, share: float("nan") if search.count == 1 else float("inf")
    assert search(2)[0] == 0
    assert states() == ["FAIL", "COMPLETE"] and stored().trials[1].value == float("inf")
    assert json.loads(Path("runs/s/search.json").read_text())["trials"][1]["value"] == "inf"
    assert read_search(Path("runs/s")).trials[1].value == float("inf")


@pytest.mark.parametrize("place", ["set_trial_param", "set_trial_user_attr", "set_trial_state_values", "its run"])
def test_a_trial_that_was_cut_short_anywhere_comes_first(search, monkeypatch, place):
    def stop(*_, **__):
        raise KeyboardInterrupt

    search(1)
    if place == "its run":
        search.before = stop
        assert search(3)[0] == 1
    else:
        with monkeypatch.context() as patch:
            patch.setattr(f"optuna.storages._cached_storage._CachedStorage.{place}", stop)
            with contextlib.suppress(KeyboardInterrupt):  # that of the second time, at the command's end
                search(3)
    assert states() == ["COMPLETE", "RUNNING"]
    search.before = lambda *_: None
    cut = stored().trials[1].params
    code, tried = search(3)
    if cut:
        assert stored().trials[1].params == cut and states() == ["COMPLETE"] * 3
        assert place == "set_trial_state_values" or tried[0] == cut["optimizer.lr"]
    else:
        assert states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert code == 0 and len(set(tried)) == (1 if place == "set_trial_state_values" else 2)
    drawn = [trial for trial in read_search(Path("runs/s")).trials if trial.state == "complete"]
    assert {trial.sampler for trial in drawn} == {"TPESampler"} and all(trial.run for trial in drawn)


def test_runs_that_have_ended_count_though_the_sweep_was_stopped_among_its_batch(search):
    def stop(*_):
        if search.count == 2:
            raise KeyboardInterrupt

    search.before = stop
    assert search(3, "hydra.sweeper.n_jobs=3")[0] == 1
    assert states() == ["COMPLETE", "RUNNING", "RUNNING"]
    search.before = lambda *_: None
    assert len(search(3, "hydra.sweeper.n_jobs=3")[1]) == 2 and states() == ["COMPLETE"] * 3


def test_values_that_were_drawn_before_are_not_trained_again(search):
    code, tried = search(4, "optimizer.lr=0.1,0.2", "hydra.sweeper.n_jobs=2")
    assert code == 0 and sorted(set(tried)) == sorted(tried)
    assert [trial.value for trial in stored().trials] == [trial.params["optimizer.lr"] for trial in stored().trials]
    assert states() == ["COMPLETE"] * 4


def test_values_that_somebody_enqueued_come_next(search):
    search(1)
    stored().enqueue_trial({"optimizer.lr": 0.01})
    assert search(2) == (0, [0.01]) and read_search(Path("runs/s")).trials[1].sampler == "queued"


@pytest.mark.parametrize(("metric", "direction"), [("val/loss", "MINIMIZE"), ("val/accuracy", "MAXIMIZE")])
def test_the_direction_is_that_of_the_judged_metric(search, metric, direction):
    search.metric = metric
    search(1, f"optimize.metric={metric}")
    assert stored().direction.name == direction and read_search(Path("runs/s")).mode == direction[:3].lower()


def test_two_sweeps_do_not_search_in_one_study(search, capfd):
    os.makedirs("runs/s")
    os.makedirs("shared")
    elsewhere = "hydra.sweeper.storage=sqlite:///shared/x.db"
    for lock, where, storage in (
        ("runs/s/.study.lock", "runs/s", "seed=1"),
        ("shared/.x.db.lock", "shared", elsewhere),
    ):
        with FileLock(lock):
            assert search(1, storage) == (2, [])
        assert f"{where}: another sweep searches in this study; wait for it" in capfd.readouterr().err
    assert search(1, elsewhere)[0] == 0


def test_a_study_is_of_one_configuration_and_searches_the_way_that_its_metric_says(search, capfd):
    search(1)
    for override, words in (
        ("trainer.max_epochs=77", ["trainer.max_epochs (100, 77)", "name=ANOTHER"]),
        ("+hydra.sweeper.params={model.dropout:0.5}", ["model.dropout", "0.5", "name=ANOTHER"]),
        ("optimize.metric=val/perplexity", ["optimize.metric", "name=ANOTHER"]),
        ("optimize.metric=val/accuracy", ["minimize", "maximize val/accuracy", "name=ANOTHER"]),
        ("hydra.sweeper.direction=maximize", ["hydra.sweeper.direction=maximize", "val/loss", "minimize"]),
        ("optimizer.lr=interval(1,2)", ["optimizer.lr=interval(1,2)", "log=True", "name=ANOTHER"]),
    ):
        capfd.readouterr()
        assert search(2, override) == (2, [])
        err = capfd.readouterr().err
        assert all(word in err for word in words) and err.count("\n") == 1, err
    assert len(stored().trials) == 1


def test_a_study_goes_on_where_only_the_interval_is_other_and_drops_what_it_cut_short_outside(search, capfd):
    search(1)
    stored().ask({"optimizer.lr": optuna.distributions.FloatDistribution(0.0003, 0.03, log=True)})
    code, tried = search(2, "optimizer.lr=tag(log, interval(0.1,0.2))")
    assert code == 0 and len(tried) == 1 and 0.1 <= tried[0] <= 0.2
    assert states() == ["COMPLETE", "FAIL", "COMPLETE"] and "trial 1 was cut short" in capfd.readouterr().out


def test_trials_of_other_code_are_told_before_the_study_goes_on(search, monkeypatch, capfd):
    search(1)
    monkeypatch.setattr(study_checks, "compare", lambda *_, **__: Differences(["cells.py has changed"]))
    for more in ("seed=1", "rerun_changed=true"):
        assert search(2, more) == (2, [])
        err = capfd.readouterr().err
        assert "cells.py has changed" in err and "keep_changed=true" in err and "name=ANOTHER" in err
    code, tried = search(2, "keep_changed=true")
    assert (code, len(tried)) == (0, 1)


def test_a_dry_run_draws_and_stores_nothing(search, monkeypatch):
    planned = []
    monkeypatch.setattr("seqlab.commands.train.estimate", lambda jobs: planned.extend(jobs) or 0)
    assert search(3, "dry_run=true") == (0, [])
    assert len({job["config"]["optimizer"]["lr"] for job in planned}) == 3 and not Path("runs").exists()


def test_a_grid_ends_when_every_combination_is_drawn_and_tries_failed_ones_again(search, capfd):
    grid = ("hydra/sweeper/sampler=grid", "optimizer.lr=0.1,0.2", "hydra.sweeper.n_jobs=2")
    search.before = lambda config, share: "fail" if config["optimizer"]["lr"] == 0.1 else None
    code, tried = search(9, *grid)
    out = capfd.readouterr().out
    assert code == 1 and sorted(tried) == [0.1, 0.2] and "every combination has been drawn" in out
    assert "1 completed, 1 failed" in out and "not begun" not in out
    search.before = lambda *_: None
    assert search(9, *grid) == (0, [0.1]) and search(9, *grid) == (0, [])


def test_a_sampler_that_can_not_draw_ends_the_search_in_one_line(search, capfd):
    assert search(1, "hydra/sweeper/sampler=grid", "+hydra.sweeper.sampler.search_space={x:[1,2]}") == (2, [])
    err = capfd.readouterr().err
    assert "hydra.sweeper.sampler can't draw a trial" in err and "optimizer.lr" in err and err.count("\n") == 1


def test_fail_fast_ends_a_batch_and_the_study_knows_what_has_ended(search):
    search.before = lambda *_: "fail" if search.count == 2 else None
    assert search(3, "fail_fast=true", "hydra.sweeper.n_jobs=3")[0] == 1
    assert states() == ["COMPLETE", "FAIL", "RUNNING"]


def test_a_study_in_memory_begins_anew_and_finds_its_runs(search):
    for trained in (2, 0):
        code, tried = search(2, "hydra.sweeper.storage=null")
        assert (code, len(tried)) == (0, trained) and not Path("runs/s/study.db").exists()
        assert [trial.state for trial in read_search(Path("runs/s")).trials] == ["complete"] * 2


def test_a_report_shows_the_expected_best_of_random_trials_alone(search, capfd):
    _, tried = search(2, "hydra/sweeper/sampler=random")
    capfd.readouterr()
    assert cli.main(["report", "runs/s", "--expected", "--format", "csv"]) == 0
    first = capfd.readouterr().out.splitlines()[1].split(",")
    assert first[:3] == ["runs/s", "val/loss", "1"] and float(first[3]) == pytest.approx(sum(tried) / 2)
    search(3)  # by TPE
    assert cli.main(["report", "runs/s", "--expected"]) == 2
    assert "1 of 3 trials were not drawn at random (TPESampler)" in capfd.readouterr().err


def test_the_storage_breaks_in_one_line_and_the_next_command_finds_the_runs(search, monkeypatch, capfd):
    def fail(*_, **__):
        raise optuna.exceptions.StorageInternalError from sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("optuna.storages._cached_storage._CachedStorage.set_trial_state_values", fail)
        code, first = search(2)
    assert code == 2 and len(first) == 1
    err = capfd.readouterr().err
    assert "disk is full" in err and "the same command goes on" in err and "Traceback" not in err
    code, second = search(2)
    assert code == 0 and len(second) == 1 and first != second and states() == ["COMPLETE"] * 2
