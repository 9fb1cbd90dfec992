"""A sweep that tunes: rungs, pruning, the choice and its fresh seeds. Its runs are replaced."""

import re
from pathlib import Path

import pytest

from seqlab import cli
from seqlab.report import compare
from seqlab.run.comparison import Differences
from seqlab.run.folder import RunFolder
from seqlab.run.layout import checkpoint_folder
from seqlab.run.process_end import INTERRUPTED_CODE
from seqlab.run.record import read_record
from seqlab.run.rungs import rung_at
from seqlab.run.start import Start
from tests.command import prepare_here, replace_training

STEPS = 100
SWEEP = ("experiment=hello", "name=t", "optimizer.lr=0.1,0.2,0.4", "seed=1,2")
TUNE = ("hydra.sweeper.tune=[optimizer.lr]", "hydra.sweeper.fresh_seeds=[7]", "hydra.sweeper.rungs=[0.25,0.5]")
BEST = {1: 0.2, 2: 0.4}  # the best rate of each depth; the preset has one layer
WHOLE = [
    *((rate, seed, 0.25) for rate in (0.1, 0.2, 0.4) for seed in (1, 2)),
    *((rate, seed, 0.5) for rate in (0.1, 0.2) for seed in (1, 2)),
    *((0.2, seed, 1) for seed in (1, 2, 7)),
]
"""What the sweep trains: rate, seed and share of the steps."""


def loss_of(config: dict, share: float) -> float:
    """The farther from the best rate, the worse; every run gets better with time."""
    depth, rate, seed = config["model"]["num_layers"], config["optimizer"]["lr"], config["seed"]
    return round(abs(rate - BEST[depth]) + depth - share + seed / 1000, 6)


class Runs:
    """Sweeps in this process.

    Attributes:
        loss: the loss of a configuration at a share of its steps.
        before: called with the configuration and the share before a run trains; it may raise, or return "fail" or
            "interrupt".
        metric: the judged metric.
    """

    def __init__(self, patch):
        self.loss, self.before, self.metric = loss_of, lambda config, share: None, "val/loss"
        self._trained, self._share = [], None
        replace_training(patch, self._train)
        carry_out = Start.carry_out

        def noting_share(start, attempt):
            self._share = start.pause_at
            return carry_out(start, attempt)

        patch.setattr(Start, "carry_out", noting_share)

    def __call__(self, *overrides: str) -> tuple[int, list]:
        """The exit code of a sweep, and what it has trained."""
        self._trained.clear()
        return cli.main(["train", "-m", *SWEEP, *TUNE, *overrides]), list(self._trained)

    @property
    def count(self) -> int:
        """How many runs have begun or gone on."""
        return len(self._trained)

    def _train(self, claim) -> int:
        config, share = claim.fields["config"], self._share
        self._trained.append((config["optimizer"]["lr"], config["seed"], share or 1))
        checkpoint = checkpoint_folder(claim.run_dir) / "last.ckpt"
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.touch()
        match self.before(config, share):
            case "fail":
                checkpoint.unlink()
                claim.fail("broken")
                return 1
            case "interrupt":
                claim.interrupt("stopped")
                return INTERRUPTED_CODE
        value = self.loss(config, share or 1)
        if share is None:
            claim.complete({self.metric: value, "test/loss": value})
            return 0
        again = rung_at(claim.fields, share)  # as a run does that an earlier command has paused here
        claim.pause(again or {"share": share, "step": int(share * STEPS), "steps": STEPS, "value": value})
        return INTERRUPTED_CODE


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    prepare_here(tmp_path, monkeypatch)
    return Runs(monkeypatch)


def statuses() -> dict[tuple[float, int], str]:
    """The status of each run, by its rate and seed."""
    states = [RunFolder(path.parent).state() for path in Path("runs/t").glob("*/events.jsonl")]
    configs = [state.record["config"] for state in states]
    return {
        (config["optimizer"]["lr"], config["seed"]): state.status for config, state in zip(configs, states, strict=True)
    }


AT_THE_END = {
    **dict.fromkeys([(rate, seed) for rate in (0.1, 0.4) for seed in (1, 2)], "pruned"),
    **dict.fromkeys([(0.2, seed) for seed in (1, 2, 7)], "completed"),
}


def test_the_better_settings_go_on_and_the_chosen_one_is_trained_with_fresh_seeds(sweep, capfd):
    assert sweep() == (0, WHOLE)
    assert statuses() == AT_THE_END
    out = capfd.readouterr().out
    assert "rung 1 of 2: 6 runs, to 25 % of the steps" in out and "[3/7] paused at step 25 of 100" in out
    assert "goes on with optimizer.lr=0.1, optimizer.lr=0.2; pruned optimizer.lr=0.4" in out
    assert "chosen optimizer.lr=0.2, mean val/loss 0.0015" in out
    # Two runs at a quarter of their steps and two at a half, of six.
    assert "4 of 6 runs were pruned, which saves 42 % of their steps" in out
    assert "compare them with: seqlab report runs/t --tune optimizer.lr" in out and "3 completed, 4 pruned\n" in out
    (path,) = Path("runs/t").glob("optimizer.lr=0.4,seed=1-*/run.json")
    record = read_record(path)
    assert record["error"] == "pruned at step 25 of 100: other settings were better"
    assert [rung["step"] for rung in record["rungs"]] == [25]


def test_each_group_chooses_for_itself_and_the_report_chooses_the_same(sweep, capfd):
    code, trained = sweep("model.num_layers=1,2")
    assert code == 0 and [run for run in trained if run[2] == 1] == [
        *((rate, seed, 1) for rate in (0.2, 0.4) for seed in (1, 2)),
        *((rate, 7, 1) for rate in (0.2, 0.4)),
    ]
    assert "report runs/t --by model.num_layers --tune optimizer.lr" in capfd.readouterr().out
    report = compare(["runs/t"], by=["model.num_layers"], tune=["optimizer.lr"], metric="test/loss")
    for group in report.groups:
        assert group.choice.values == {"optimizer.lr": BEST[group.key["model.num_layers"]]}
        assert [run.seed for run in group.runs] == [7] and group.choice.seeds == (1, 2)
        assert len(group.choice.tried) == 3


def test_the_same_command_trains_nothing_again_and_decides_the_same(sweep, capfd):
    sweep()
    capfd.readouterr()
    assert sweep() == (0, []) and statuses() == AT_THE_END
    out = capfd.readouterr().out
    assert "goes on with optimizer.lr=0.2; pruned optimizer.lr=0.1" in out
    assert "chosen optimizer.lr=0.2, mean val/loss 0.0015" in out and "3 skipped, 4 pruned" in out


@pytest.mark.parametrize("place", [3, 7, 12, 13])
def test_a_sweep_that_is_stopped_anywhere_goes_on_where_it_was(sweep, place):
    def stop(*_):
        if sweep.count == place:
            raise KeyboardInterrupt

    sweep.before = stop
    assert sweep() == (1, WHOLE[:place])
    sweep.before = lambda *_: None
    assert sweep() == (0, WHOLE[place - 1 :]) and statuses() == AT_THE_END


def test_a_setting_with_a_failed_run_is_out_and_its_other_runs_are_pruned(sweep, capfd):
    sweep.before = lambda config, _: "fail" if (config["optimizer"]["lr"], config["seed"]) == (0.2, 2) else None
    code, trained = sweep()
    assert code == 1 and [run for run in trained if run[2] == 1] == [(0.1, seed, 1) for seed in (1, 2, 7)]
    assert (statuses()[0.2, 1], statuses()[0.2, 2]) == ("pruned", "failed")
    out = capfd.readouterr().out
    assert "goes on with optimizer.lr=0.1; pruned optimizer.lr=0.4; failed optimizer.lr=0.2" in out
    sweep.before = lambda *_: None  # mended: the failed one is tried again, and its setting takes part
    code, trained = sweep()
    assert code == 0 and trained[0] == (0.2, 2, 0.25) and trained[-1] == (0.2, 7, 1)


def test_a_group_with_a_run_that_was_cut_short_decides_nothing_until_the_same_command_goes_on(sweep, capfd):
    sweep.before = lambda config, share: "interrupt" if (config["seed"], share) == (2, None) else None
    code, trained = sweep()
    assert code == 1 and trained == WHOLE[:12]
    out = capfd.readouterr().out
    assert "nothing is chosen, since optimizer.lr=0.2 seed=2 is interrupted" in out
    sweep.before = lambda *_: None
    assert sweep() == (0, WHOLE[11:])


def test_what_has_no_finite_value_is_never_chosen(sweep, capfd):
    sweep.loss = lambda config, share: float("nan") if config["optimizer"]["lr"] == 0.2 else loss_of(config, share)
    code, trained = sweep()
    assert code == 0 and {run[0] for run in trained if run[2] == 1} == {0.1} and statuses()[0.2, 1] == "pruned"
    sweep.loss = lambda *_: float("nan")
    code, trained = sweep("name=u")
    assert {run[2] for run in trained} == {0.25} and "nothing can be chosen" in capfd.readouterr().out


def test_a_setting_that_had_completed_without_the_rung_goes_on_for_nothing(sweep):
    sweep("hydra.sweeper.rungs=[0.5]")
    assert statuses()[0.2, 1] == "completed" and statuses()[0.4, 1] == "pruned"
    assert sweep("hydra.sweeper.rungs=[0.25]") == (0, [(0.4, seed, share) for share in (0.25, 1) for seed in (1, 2)])


def test_a_setting_of_which_one_seed_had_completed_without_the_rung_goes_on_with_the_others(sweep):
    def stop(*_):
        if sweep.count == 2:
            raise KeyboardInterrupt

    sweep.before = stop
    assert sweep("hydra.sweeper.rungs=[]")[0] == 1 and statuses()[0.1, 1] == "completed"
    sweep.before = lambda *_: None
    assert sweep("hydra.sweeper.rungs=[0.25]")[0] == 0
    assert statuses()[0.1, 2] == "completed" and statuses()[0.4, 2] == "pruned"


def test_changed_code_trains_all_anew_and_old_results_stay_until_then(sweep, tmp_path, monkeypatch):
    sweep()
    (old,) = (path.parent for path in tmp_path.rglob("events.jsonl") if "lr=0.2,seed=1" in str(path))
    changed = Differences(blocking=("own.py has changed",))
    monkeypatch.setattr("seqlab.sweep.existing_runs.compare", lambda *_, **__: changed)
    monkeypatch.setattr("seqlab.run.supervisor.refusal", lambda *_: "other code")
    seen = []
    sweep.before = lambda *_: seen.append(RunFolder(old).state().status)
    assert sweep("rerun_changed=true") == (0, WHOLE)
    assert seen[:11] == ["completed"] * 11  # paused at both rungs, the new run trains beside the old one


def test_a_metric_where_higher_is_better_is_chosen_by_its_highest_value(sweep):
    sweep.metric, sweep.loss = "val/accuracy", lambda config, share: -loss_of(config, share)
    assert sweep("optimize.metric=val/accuracy") == (0, WHOLE)


def test_without_rungs_the_whole_grid_is_trained(sweep):
    code, trained = sweep("hydra.sweeper.rungs=[]", "hydra.sweeper.fresh_seeds=[]")
    assert code == 0 and [run[2] for run in trained] == [1] * 6
    assert sweep("hydra.sweeper.rungs=[]") == (0, [(0.2, 7, 1)])


def test_a_dry_run_lists_the_jobs_of_fresh_seeds_too(sweep, monkeypatch, capfd):
    planned = []
    monkeypatch.setattr("seqlab.commands.train.estimate", lambda jobs: planned.extend(jobs) or 0)
    assert sweep("dry_run=true") == (0, [])
    assert [job["config"]["seed"] for job in planned] == [1, 2, 1, 2, 1, 2, 7]
    assert "the last 1 run: fresh seeds" in capfd.readouterr().out


def test_fail_fast_ends_before_the_next_rung(sweep):
    sweep.before = lambda config, share: "fail" if config["seed"] == 2 else None
    assert sweep("fail_fast=true") == (1, WHOLE[:2])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("hydra.sweeper.tune=[model.hidden_size]", "gives model.hidden_size no values"),
        ("hydra.sweeper.tune=[seed]", "a seed is not tuned"),
        ("hydra.sweeper.tune=[]", "nothing is tuned"),
        ("hydra.sweeper.tune=optimizer.lr", r"expected a list, as in \[optimizer.lr\]"),
        ("hydra.sweeper.fresh_seeds=[2,9]", "2 is among the seeds that choose"),
        ("hydra.sweeper.fresh_seeds=[9,9]", "different whole numbers"),
        ("hydra.sweeper.fresh_seeds=[a]", "different whole numbers"),
        ("hydra.sweeper.rungs=[0.5,0.25]", "rising shares"),
        ("hydra.sweeper.rungs=[25]", "above 0 and below 1"),
        ("hydra.sweeper.keep=1", "the share of the settings that goes on"),
        ("scheduler=cosine", "at 50 % of the steps.* take scheduler=wsd"),
        ("trainer.max_steps=40 scheduler.warmup_steps=50", "at step 10.* the warm-up of the rate is not over"),
        ("scheduler=wsd scheduler.decay_from=0.4", "a scheduler.decay_from of 0.5 or more"),
    ],
)
def test_wrong_options_are_refused_in_one_line_before_any_run(sweep, capfd, override, words):
    assert sweep(*override.split()) == (2, [])
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and re.search(words, err), err
