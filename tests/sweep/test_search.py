"""A search by Optuna, its runs replaced: failed trials are tolerated, and the same command goes on with the study."""

import os

import pytest
from filelock import FileLock

from seqlab import cli
from seqlab.run.comparison import Differences
from seqlab.sweep import search as study
from tests.command import prepare_here, replace_training

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="pip install 'seqlab[optuna]'")

SEARCH = ("experiment=hello", "name=s", "sweep=optuna", "model.num_layers=1", "hydra.sweeper.sampler.seed=1")


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Searches in this process, where a run's loss is what ``loss(learning rate)`` says, None for a failure."""
    prepare_here(tmp_path, monkeypatch)

    def run(loss, *overrides: str) -> tuple[int, list[float]]:
        """The exit code, and the learning rates of the runs."""
        tried = []

        def train(claim):
            tried.append(claim.fields["config"]["optimizer"]["lr"])
            value = loss(tried[-1])
            claim.fail("broken") if value is None else claim.complete({"val/loss": value})
            return 1 if value is None else 0

        replace_training(monkeypatch, train)
        return cli.main(["train", *SEARCH, *overrides]), tried

    return run


def stored():
    import optuna

    return optuna.load_study(study_name="s", storage="sqlite:///runs/s/study.db")


def test_failed_trials_are_noted_and_the_same_command_makes_up_for_them(search, capfd):
    code, first = search(lambda rate: None if rate < 0.003 else rate, "hydra.sweeper.n_trials=4")
    states = [trial.state.name for trial in stored().trials]
    assert states == ["FAIL" if rate < 0.003 else "COMPLETE" for rate in first] and set(states) == {"FAIL", "COMPLETE"}
    assert code == 1
    code, second = search(lambda rate: rate, "hydra.sweeper.n_trials=4")
    assert (code, len(second)) == (0, states.count("FAIL"))
    assert not set(first) & set(second)  # though the sampler's seed is given
    assert search(lambda rate: rate, "hydra.sweeper.n_trials=4") == (0, [])
    out = capfd.readouterr().out
    best = min(trial.value for trial in stored().trials if trial.value is not None)
    assert f"study s: the best of all its trials has {best:.4g}, with optimizer.lr={best}" in out


def test_a_search_of_failures_alone_ends_in_a_summary(search, capfd):
    code, tried = search(lambda rate: None, "hydra.sweeper.n_trials=2")
    assert (code, len(tried)) == (1, 2)
    said = capfd.readouterr()
    assert "2 failed" in said.out and "study: no trial has completed" in said.out and "Traceback" not in said.err


def test_trials_that_a_kill_cut_short_come_first(search):
    from optuna.distributions import LogUniformDistribution

    search(lambda rate: rate, "hydra.sweeper.n_trials=1")
    cut = stored().ask({"optimizer.lr": LogUniformDistribution(0.0003, 0.03)})
    _, tried = search(lambda rate: rate, "hydra.sweeper.n_trials=3")
    assert tried[0] == cut.params["optimizer.lr"] and len(tried) == 2
    assert [trial.state.name for trial in stored().trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize(("metric", "direction"), [("val/loss", "MINIMIZE"), ("val/accuracy", "MAXIMIZE")])
def test_the_direction_is_that_of_the_judged_metric(search, metric, direction):
    search(lambda rate: rate, "hydra.sweeper.n_trials=1", f"optimize.metric={metric}")
    assert stored().direction.name == direction


def test_two_sweeps_do_not_search_in_one_study(search, capfd):
    os.makedirs("runs/s")
    with FileLock("runs/s/.study.lock"):
        assert search(lambda rate: rate, "hydra.sweeper.n_trials=1") == (2, [])
    assert "runs/s: another sweep searches in this study; wait for it" in capfd.readouterr().err
    assert search(lambda rate: rate, "hydra.sweeper.n_trials=1")[0] == 0


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.max_epochs=77", ["trainer.max_epochs (100, 77)", "name=ANOTHER"]),
        ("optimize.metric=val/perplexity", ["optimize.metric", "name=ANOTHER"]),
        ("hydra.sweeper.direction=maximize", ["hydra.sweeper.direction=maximize", "val/loss", "minimize"]),
    ],
)
def test_a_study_is_of_one_configuration_and_searches_the_way_that_its_metric_says(search, capfd, override, words):
    search(lambda rate: rate, "hydra.sweeper.n_trials=1")
    capfd.readouterr()
    assert search(lambda rate: rate, "hydra.sweeper.n_trials=2", override) == (2, [])
    err = capfd.readouterr().err
    assert all(word in err for word in words) and err.count("\n") == 1
    assert len(stored().trials) == 1


def test_a_study_goes_on_where_only_what_it_varies_or_does_not_count_is_other(search, capfd):
    search(lambda rate: rate, "hydra.sweeper.n_trials=1")
    more = ("hydra.sweeper.n_trials=2", "logger=none")
    assert search(lambda rate: rate, *more, "optimizer.lr=interval(1,2)") == (2, [])
    err = capfd.readouterr().err
    assert "name=ANOTHER" in err and err.count("\n") == 1
    code, tried = search(lambda rate: rate, *more, "optimizer.lr=tag(log, interval(0.1,0.2))")
    assert code == 0 and 0.1 <= tried[0] <= 0.2


def test_trials_of_other_code_are_told_before_the_study_goes_on(search, monkeypatch, capfd):
    search(lambda rate: rate, "hydra.sweeper.n_trials=1")
    monkeypatch.setattr(study, "compare", lambda *_, **__: Differences(["cells.py has changed"]))
    for more in ("seed=1", "rerun_changed=true"):
        assert search(lambda rate: rate, "hydra.sweeper.n_trials=2", more) == (2, [])
        err = capfd.readouterr().err
        assert "cells.py has changed" in err and "keep_changed=true" in err and "name=ANOTHER" in err
    code, tried = search(lambda rate: rate, "hydra.sweeper.n_trials=2", "keep_changed=true")
    assert (code, len(tried)) == (0, 1)
