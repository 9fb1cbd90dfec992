"""The report of a sweep that has tuned chooses as the sweep has: on the same seeds, by the same metric."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqlab.report import compare
from seqlab.report.groups import Group

DEPTH, RATE = "model.num_layers", "optimizer.lr"


@pytest.fixture
def write(write_run, tmp_path) -> Callable[..., Path]:
    """Writes a run of a seed with its metrics; further words are keys of its configuration."""

    def write_one(seed: int, metrics: dict[str, float], metric: str = "val/loss", **config: Any) -> Path:
        folder = tmp_path / "-".join(map(str, (seed, *config.values())))
        folder.mkdir()
        keys = {name.replace("__", "."): value for name, value in config.items()}
        return write_run(folder, seed=seed, metrics=metrics, config={"optimize.metric": metric, **keys})

    return write_one


def only_group(folder: Path, metric: str) -> Group:
    (group,) = compare([folder], by=[DEPTH], tune=[RATE], metric=metric).groups
    return group


@pytest.mark.parametrize("by", [["optimizer"], None])
def test_a_choice_can_be_compared_with_a_key_below_it_tuned(write, tmp_path, by):
    best = {"torch.optim.SGD": 0.1, "torch.optim.Adam": 0.01}
    for kind, rate in best.items():
        for lr in best.values():
            for seed in (1, 2, *((7, 8) if lr == rate else ())):
                value = abs(lr - rate) + seed / 1000
                more = {"momentum" if kind.endswith("SGD") else "eps": 0.5}
                write(seed, {"val/loss": value, "test/loss": value}, optimizer={"_target_": kind, "lr": lr, **more})
    report = compare([tmp_path], by=by, tune=[RATE])
    (key,) = report.by
    assert key.startswith("optimizer.") and len(report.groups) == 2
    for group in report.groups:
        assert group.choice.values[RATE] == best[group.runs[0].value("optimizer._target_")]
        assert group.seeds == [7, 8] and group.choice.seeds == (1, 2)


@pytest.mark.parametrize("name", ["score", "val/score"])
def test_a_metric_of_the_users_own_chooses_by_its_mode_whatever_its_name(write, tmp_path, name):
    for rate, value in ((0.1, 1.0), (0.2, 2.0)):
        for seed in (1, 2):
            metrics = {name: value, "test/loss": 1.0}
            write(seed, metrics, name, optimizer__lr=rate, optimize__mode="max")
    assert only_group(tmp_path, "test/loss").choice.values == {RATE: 0.2}


@pytest.mark.parametrize("shown", ["test/perplexity", "val/perplexity"])
def test_values_are_chosen_by_the_metric_of_their_sweep_whatever_is_shown(write, tmp_path, shown):
    for rate, losses, perplexity in ((0.1, (1.0, 3.0), 9.0), (0.2, (2.1, 2.1), 8.0)):
        for seed, loss in enumerate(losses, start=1):
            metrics = {"val/loss": loss, "val/perplexity": perplexity, "test/perplexity": perplexity}
            write(seed, metrics, optimizer__lr=rate)
    assert only_group(tmp_path, shown).choice.values == {RATE: 0.1}


def test_a_run_without_the_metric_that_is_shown_chooses_but_does_not_judge(write, tmp_path):
    for rate in (0.1, 0.2):
        for seed in (1, 2, *((7, 8) if rate == 0.1 else ())):
            metrics = {"val/loss": rate + seed / 100, "test/bleu": 30.0}
            if (rate, seed) in ((0.2, 1), (0.1, 8)):
                del metrics["test/bleu"]
            write(seed, metrics, optimizer__lr=rate)
    group = only_group(tmp_path, "test/bleu")
    assert group.choice.seeds == (1, 2) and group.seeds == [7]
