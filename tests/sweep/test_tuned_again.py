"""A sweep that tunes, in a folder that has runs already: of other code, other rungs or other values."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from seqlab import cli
from seqlab.report import compare, render
from seqlab.run.comparison import Differences
from seqlab.sweep.plan import plan_jobs
from seqlab.sweep.progress import Job
from seqlab.sweep.tuning import Tuning
from seqlab.sweep.tuning_options import Options
from tests.command import prepare_here
from tests.sweep.test_tuned import Runs, loss_of

ONCE = ("seed=1", "hydra.sweeper.rungs=[0.25]", "hydra.sweeper.fresh_seeds=[]")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    prepare_here(tmp_path, monkeypatch)
    return Runs(monkeypatch)


@contextmanager
def other_code() -> Iterator[None]:
    """Within the block, the runs that are there are of other code."""
    changed = Differences(blocking=("own.py has changed",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqlab.sweep.existing_runs.compare", lambda *_, **__: changed)
        patch.setattr("seqlab.run.supervisor.refusal", lambda *_: "other code")
        yield


def reported(*tune: str) -> dict:
    """The values that the report chooses."""
    (group,) = compare(["runs/t"], by=["model.num_layers"], tune=tune or ["optimizer.lr"], metric="test/loss").groups
    return dict(group.choice.values)


@pytest.mark.parametrize(("how", "words"), [("fail", "failed: broken"), ("interrupt", "interrupted: stopped")])
def test_a_run_that_was_pruned_before_does_not_stand_for_the_new_one_in_its_place(sweep, capfd, how, words):
    sweep(*ONCE)
    sweep.before = lambda config, _: how if config["optimizer"]["lr"] == 0.4 else None
    capfd.readouterr()
    with other_code():
        assert sweep(*ONCE, "rerun_changed=true")[0] == 1
    out = capfd.readouterr().out
    assert f"[3/3] {words}" in out and "[3/3] pruned" not in out
    assert ("failed optimizer.lr=0.4" if how == "fail" else "nothing is pruned, since optimizer.lr=0.4 is") in out


def test_what_becomes_of_runs_of_other_code_is_told_once(sweep, capfd):
    sweep()
    capfd.readouterr()
    with other_code():
        sweep("rerun_changed=true")
    lines = capfd.readouterr().err.splitlines()
    assert [re.findall(r"lr=(\S+),seed=(\d)|and (2) more|(2) runs that are pruned", line) for line in lines] == [
        [*((rate, seed, "", "") for rate in ("0.1", "0.2") for seed in "12"), ("", "", "2", "")],  # before the first
        *[[("", "", "", "2")]] * 2,  # at each rung, of what it prunes
        [("0.2", "7", "", "")],  # with the fresh seed
    ]
    assert "a report still reads them" in lines[1]


def test_a_new_run_beside_the_old_one_decides_nothing_once_the_old_code_is_back(sweep):
    def stop(*_):
        if sweep.count == 4:  # when all new runs are paused
            raise KeyboardInterrupt

    sweep(*ONCE)
    with other_code():
        sweep.loss = lambda config, share: -loss_of(config, share)  # the best are the worst
        sweep.before = stop
        sweep(*ONCE, "rerun_changed=true")
    sweep.before = lambda *_: None
    assert sweep(*ONCE) == (0, [])


@pytest.mark.parametrize("again", ["hydra.sweeper.keep=0.3", "optimizer.lr=0.05,0.1,0.2,0.4"])
def test_a_setting_that_has_completed_can_be_chosen_whatever_its_rung_says_now(sweep, again):
    ends = {0.05: (1.5, 4), 0.1: (1, 3), 0.2: (2, 1), 0.4: (5, 5)}  # at the rung, and at the end
    sweep.loss = lambda config, share: ends[config["optimizer"]["lr"]][share == 1] + config["seed"] / 1000
    sweep("hydra.sweeper.rungs=[0.25]", "seed=1")
    assert reported() == {"optimizer.lr": 0.2}
    code, trained = sweep("hydra.sweeper.rungs=[0.25]", "seed=1", again)
    assert code == 0 and not any(run[:2] == (0.1, 7) for run in trained) and reported() == {"optimizer.lr": 0.2}


def test_a_value_that_the_report_takes_for_diverged_is_not_chosen(sweep, capfd):
    sweep.loss = lambda config, share: 1e150
    sweep("hydra.sweeper.rungs=[]", "seed=1")
    assert "nothing can be chosen" in capfd.readouterr().out
    (group,) = compare(["runs/t"], by=["model.num_layers"], tune=["optimizer.lr"], metric="test/loss").groups
    assert group.choice.values is None


@pytest.mark.parametrize("tune", [("optimizer.lr", "model.hidden_size"), ("model.hidden_size", "optimizer.lr")])
def test_of_equal_settings_of_several_keys_the_sweep_and_the_report_choose_the_same(sweep, tune):
    best = [(0.1, 8), (0.2, 4)]
    sweep.loss = lambda config, _: float((config["optimizer"]["lr"], config["model"]["hidden_size"]) not in best)
    values = ("model.hidden_size=4,8", "optimizer.lr=0.1,0.2", "seed=1", "hydra.sweeper.rungs=[]")
    _, trained = sweep(*values, f"hydra.sweeper.tune=[{','.join(tune)}]")
    assert trained[-1] == (reported(*tune)["optimizer.lr"], 7, 1)


def test_of_equal_choices_of_a_group_both_take_the_same_and_say_so(sweep, capfd):
    sweep.loss = lambda config, share: 1.0
    tune = ("hydra.sweeper.tune=[model/cell]", "hydra.sweeper.rungs=[]", "hydra.sweeper.fresh_seeds=[]")
    # By their names ind_rnn is the first; by what they hold, as a report knows them, it is IRNNCell.
    sweep("model/cell=ind_rnn,irnn", "optimizer.lr=0.1", "seed=1", *tune)
    assert "chosen model/cell=irnn, mean val/loss 1, as is that of model/cell=ind_rnn: the first is taken" in (
        capfd.readouterr().out
    )
    report = compare(["runs/t"], by=["seed"], tune=["model.cell"])
    assert report.groups[0].choice.values["model.cell"]["_target_"] == "seqlab.nn.IRNNCell"
    text = render(report, "table")
    assert re.search(r"irnn =\s", text) and "= others have the same mean" in text


def test_of_equal_settings_at_a_rung_a_line_names_those_that_are_pruned(sweep, capfd):
    sweep.loss = lambda config, share: 1.0
    sweep("seed=1", "hydra.sweeper.rungs=[0.5]")
    out = capfd.readouterr().out
    assert "pruned optimizer.lr=0.4 (as good as the last that goes on: optimizer.lr=0.4)" in out
    assert "chosen optimizer.lr=0.1, mean val/loss 1, as is that of optimizer.lr=0.2: the first is taken" in out


def test_the_seed_of_jobs_that_are_given_none_is_no_fresh_one(sweep, capfd):
    tune = ("hydra.sweeper.tune=[optimizer.lr]", "hydra.sweeper.fresh_seeds=[1,7]")
    assert cli.main(["train", "-m", "experiment=hello", "name=t", "optimizer.lr=0.1,0.2", *tune]) == 2
    assert "fresh_seeds: 1 is among the seeds that choose" in capfd.readouterr().err


def test_the_share_that_is_kept_is_not_raised_by_rounding():
    jobs = plan_jobs([f"optimizer.lr={','.join(map(str, range(20)))}"])
    tuning = Tuning(jobs, Options(tune=["optimizer.lr"], keep=0.55))
    paused = {job.number: Job(job.number, "", status="paused") for job in jobs}
    rungs = {job.number: {"step": 1, "steps": 4, "value": float(job.number)} for job in jobs}
    assert len(tuning.close_rung(paused, rungs)[0].kept) == 11


@pytest.mark.parametrize(
    ("group", "options"),
    [
        ("optimizer=sgd,adam", "--by optimizer --tune optimizer.lr"),
        ("experiment=hello,tiny_sentiment", "--tune optimizer.lr"),
    ],
)
def test_the_report_that_the_sweep_names_can_be_made(sweep, capfd, group, options):
    assert sweep(group, "optimizer.lr=0.1,0.2", "seed=1", "hydra.sweeper.rungs=[]")[0] == 0
    assert f"seqlab report runs/t {options}\n" in capfd.readouterr().out
    assert cli.main(["report", "runs/t", *options.split()]) == 0
    table = capfd.readouterr().out.splitlines()
    assert sum(" 0.2" in line for line in table) == 2  # a rate for each group
