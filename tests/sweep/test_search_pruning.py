"""A search with rungs, its runs replaced: what the pruner ends, and that a stopped search goes on where it was."""

from pathlib import Path

import pytest
from filelock import FileLock
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from seqlab.errors import InputError
from seqlab.report.searches import read_search
from seqlab.run.folder import RunFolder
from seqlab.run.record import read_record
from seqlab.sweep.search import Search
from seqlab.sweep.search_options import direction
from tests.command import prepare_here, replace_training
from tests.sweep.test_search import Searches, states, stored

optuna = pytest.importorskip("optuna", minversion="5", reason="pip install 'seqlab[optuna]'")

RATES = (0.1, 0.3, 0.2)
QUEUED = (
    "optimizer.lr=interval(0.1,0.5)",
    "hydra.sweeper.rungs=[0.25,0.5]",
    "hydra.sweeper.sampler.n_startup_trials=9",
)
EAGER = ("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1")


@pytest.fixture
def search(tmp_path, monkeypatch):
    """A search whose first trials have the rates of `RATES`: the second is worse than the first, the third is not."""
    prepare_here(tmp_path, monkeypatch)
    search = Searches(monkeypatch)
    search.loss = lambda config, share: {0.1: 0.5, 0.3: 0.9, 0.2: 0.1}[config["optimizer"]["lr"]] - share / 10
    search.before = enqueue
    return search


def enqueue(config, share):
    if share == 0.25 and config["optimizer"]["lr"] == RATES[0] and len(stored().trials) == 1:
        for rate in RATES[1:]:
            stored().enqueue_trial({"optimizer.lr": rate})


def begin(search, *overrides):
    """Makes the study with the first rate enqueued."""
    Path("runs/s").mkdir(parents=True)
    optuna.create_study(study_name="s", storage="sqlite:///runs/s/study.db").enqueue_trial({"optimizer.lr": RATES[0]})
    return search.trained(3, *QUEUED, *EAGER, *overrides)


WHOLE = [(0.1, 0.25), (0.1, 0.5), (0.1, 1), (0.3, 0.25), (0.2, 0.25), (0.2, 0.5), (0.2, 1)]


def shares(trained):
    return [(rate, share) for rate, _, share in trained]


def test_a_worse_trial_is_pruned_at_its_rung_keeps_its_checkpoint_and_the_others_go_on(search, capfd):
    code, trained = begin(search)
    assert code == 0 and shares(trained) == WHOLE
    assert states() == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert [trial.intermediate_values for trial in stored().trials] == [
        {25: 0.475, 50: 0.45},
        {25: 0.875},
        {25: pytest.approx(0.075), 50: pytest.approx(0.05)},
    ]
    assert [trial.value for trial in stored().trials] == [0.4, 0.875, 0.0]
    out = capfd.readouterr().out
    assert "[2/3] pruned at step 25 of 100" in out and "2 completed, 1 pruned" in out
    assert "1 of 3 runs were pruned, which saves 25 % of their steps" in out
    pruned = Path("runs/s") / read_search(Path("runs/s")).trials[1].run
    record = read_record(pruned / "run.json")
    assert record["status"] == "pruned" and record["error"] == "pruned at step 25 of 100 by MedianPruner"
    assert not record["metrics"] and RunFolder(pruned).state().has_checkpoint
    assert search.trained(3, *QUEUED, *EAGER) == (0, [])  # pruned trials count
    assert "3 of 3 trials done before, 1 of them pruned" in capfd.readouterr().out
    search.loss = lambda config, share: 0.2
    assert len(search.trained(4, *QUEUED, *EAGER)[1]) == 3 and states()[3:] == ["COMPLETE"]


@pytest.mark.parametrize("place", [2, 6])
def test_a_search_that_is_stopped_anywhere_goes_on_where_it_was(search, place):
    def stop(config, share):
        enqueue(config, share)
        if search.count == place:
            raise KeyboardInterrupt

    search.before = stop
    code, first = begin(search)
    assert code == 1 and shares(first) == WHOLE[:place]
    search.before = enqueue
    code, second = search.trained(3, *QUEUED, *EAGER)
    assert code == 0 and shares(second) == WHOLE[place - 1 :]
    assert states() == ["COMPLETE", "PRUNED", "COMPLETE"]


def test_values_of_a_pruned_run_are_pruned_again_without_training(search):
    begin(search)
    stored().enqueue_trial({"optimizer.lr": 0.3})
    assert search.trained(4, *QUEUED, *EAGER) == (0, [])
    trial = stored().trials[3]
    assert trial.state.name == "PRUNED" and trial.intermediate_values == {25: 0.875}


def test_a_failed_run_is_a_failed_trial_and_the_rest_of_its_batch_goes_on(search):
    search.before = lambda config, share: "fail" if config["optimizer"]["lr"] == 0.3 else None
    Path("runs/s").mkdir(parents=True)
    study = optuna.create_study(study_name="s", storage="sqlite:///runs/s/study.db")
    for rate in RATES:
        study.enqueue_trial({"optimizer.lr": rate})
    code, trained = search.trained(3, *QUEUED, "hydra.sweeper.n_jobs=3")
    assert code == 1 and states() == ["COMPLETE", "FAIL", "COMPLETE"]
    assert shares(trained) == [(0.1, 0.25), (0.3, 0.25), (0.2, 0.25), (0.1, 0.5), (0.2, 0.5), (0.1, 1), (0.2, 1)]


def test_a_rate_that_changes_before_the_rung_ends_the_search_at_once(tmp_path, monkeypatch, capfd):
    prepare_here(tmp_path, monkeypatch)
    search = Searches(monkeypatch)

    def fail(claim):
        claim.fail("hydra.sweeper.rungs: at step 25, where runs are compared, the schedule has changed the rate")
        return 2

    monkeypatch.setattr(search, "_train", fail)
    replace_training(monkeypatch, fail)
    assert search.trained(3, "hydra.sweeper.rungs=[0.25]")[0] in (1, 2)
    assert states() == ["FAIL"] and "every trial would fail like that" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["hydra.sweeper.rungs=[0.5,0.25]"], "rising shares"),
        (["hydra.sweeper.rungs=0.5"], r"expected a list, as in \[0.5\]"),
        (["hydra.sweeper.rungs=[0.251,0.252]"], "differ by a percent"),
        (["hydra/sweeper/pruner=median"], "nothing is pruned without rungs"),
        (["hydra/sweeper/pruner=halving", "hydra.sweeper.rungs=[0.3]"], r"compares at \[0.25,0.5\]"),
        (["hydra/sweeper/pruner=median", "hydra.sweeper.rungs=[0.3]", "hydra.sweeper.pruner.n_min_trials=0"], "n_min"),
        (["hydra/sweeper/pruner=median", "hydra.sweeper.pruner._target_=os.system"], "not on the allow-list"),
        (["hydra.sweeper.sampler._target_=os.system"], "not on the allow-list"),
        (["hydra.sweeper.sampler=random"], "did you mean hydra/sweeper/sampler=random"),
        (["hydra.sweeper.sampler.seed=-1"], "whole number from 0"),
        (["+hydra.sweeper.sampler.colour=red"], "TPESampler.*colour"),
        (["hydra/sweeper/sampler=grid"], "a grid needs a list"),
        (["hydra.sweeper.n_jobs=0"], "whole number from 1"),
        (["hydra.sweeper.n_trials=0"], "whole number from 1"),
        (["hydra.sweeper.max_failure_rate=2"], "from 0 to 1"),
        (["hydra.sweeper.study_name=null"], "expected a name"),
        (["+hydra.sweeper.tune=[optimizer.lr]"], "a search has no such option"),
        (["hydra.sweeper.storage=sqlite:///missing/x.db"], "unable to open.*the same command"),
        (["hydra.sweeper.storage=nothing"], "hydra.sweeper.storage=nothing.*address of a database"),
        (["optimizer.lr=0.1", "model.num_layers=1"], "draws no key"),
    ],
)
def test_wrong_options_are_refused_in_one_line_before_any_run(tmp_path, monkeypatch, overrides, words):
    monkeypatch.chdir(tmp_path)
    OmegaConf.register_new_resolver("seqlab.direction", direction, replace=True)
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", ["experiment=hello", "sweep=optuna", *overrides], return_hydra_config=True)
        with pytest.raises(InputError, match=words) as error:
            Search(config, set(config.hydra.sweeper.params)).close()
    assert "\n" not in str(error.value) and not list(tmp_path.rglob("*.db"))
    with FileLock(tmp_path / "runs/train/.study.lock", timeout=0):  # it is not kept locked
        pass


def test_a_wrong_option_ends_the_command_with_its_line(search, capfd):
    assert search.trained(2, "hydra.sweeper.n_jobs=0") == (2, [])
    err = capfd.readouterr().err
    assert err == "seqlab: hydra.sweeper.n_jobs=0: expected a whole number from 1\n"
