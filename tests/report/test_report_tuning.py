"""Values that are tuned within each group: some seeds choose them on validation, the others judge."""

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from seqlab.errors import InputError
from seqlab.report import compare, render

DEPTH, RATE = "model.num_layers", "optimizer.lr"
BEST_RATE = {1: 0.01, 2: 0.003, 4: 0.001}
LEVEL = {1: 4.0, 2: 3.8, 4: 3.6}


@pytest.fixture
def write(write_run) -> Callable[..., None]:
    """Writes a run of a depth, a rate and a seed; test/perplexity is that of validation unless it is given."""

    def write_one(
        folder: Path, depth: int, rate: float, seed: int, validation: float, test: float | None = None, **more: object
    ) -> None:
        metrics = {"val/perplexity": validation, "test/perplexity": validation if test is None else test}
        config = {DEPTH: depth, RATE: rate, "optimize.metric": "val/perplexity", **more.pop("config", {})}
        overrides = (f"{DEPTH}={depth}", f"{RATE}={rate}", f"seed={seed}")
        run = folder / "-".join(map(str, (depth, rate, seed, *more)))
        run.mkdir(parents=True)
        (run / "best.ckpt").touch()
        more = {"checkpoint": run / "best.ckpt", **more} if "end" not in more else more
        write_run(run, seed=seed, metrics=metrics, config=config, overrides=overrides, **more)

    return write_one


def tuned(folder: Path, **more: object):
    return compare([folder], by=[DEPTH], tune=[RATE], **more)


@pytest.fixture
def planted(tmp_path, write) -> Path:
    """Deeper is better at each depth's own rate; of one seed, tests of the wrong rates are luckily good."""
    noise = random.Random(0)
    for depth, best in BEST_RATE.items():
        for rate in BEST_RATE.values():
            for seed in range(1, 9 if rate == best else 4):
                validation = LEVEL[depth] + 0.3 * depth * (rate != best) + noise.gauss(0, 0.02)
                luck = 3.0 if rate != best and seed == 1 else 0.0
                write(tmp_path, depth, rate, seed, validation, validation + 0.1 - luck)
    return tmp_path


def test_the_planted_order_is_found(planted):
    report = tuned(planted, baseline={DEPTH: "1"})
    means = [group.mean for group in report.groups]
    assert means == sorted(means, reverse=True)
    for group in report.groups:
        depth = group.key[DEPTH]
        assert group.choice.values == {RATE: BEST_RATE[depth]}
        assert group.choice.seeds == (1, 2, 3) and group.seeds == [4, 5, 6, 7, 8]
        assert group.mean == pytest.approx(LEVEL[depth] + 0.1, abs=0.05)
        assert group.choice.validation.mean == pytest.approx(LEVEL[depth], abs=0.05)
    assert [group.best for group in report.groups] == [False, False, True]
    assert all(group.difference.p_value < 0.05 for group in report.groups if not group.baseline)
    assert report.command.line == f"seqlab train -m {DEPTH}=4 {RATE}=0.001 seed=4,5,6,7,8"


def test_pooled_or_chosen_on_the_test_the_order_would_be_another(planted):
    pooled = compare([planted], by=[DEPTH])
    assert [group.mixed for group in pooled.groups] == [(RATE,)] * 3
    means = [sum(group.values) / len(group.values) for group in pooled.groups]
    assert means != sorted(means, reverse=True)
    by_test = compare([planted], by=[DEPTH, RATE], metric="test/perplexity")
    luckiest = min(by_test.groups, key=lambda group: group.mean)
    assert luckiest.key[RATE] != BEST_RATE[luckiest.key[DEPTH]]
    (best,) = [group for group in by_test.groups if group.best]
    assert best.key == {DEPTH: 4, RATE: 0.001}  # by validation


def test_every_format_shows_the_choice(planted):
    report = tuned(planted, baseline={DEPTH: "1"})
    table = render(report)
    assert max(map(len, table.splitlines()[:20])) <= 100
    rows = [line.split() for line in table.splitlines()]
    assert ["1", "0.01", "^", "3", "3", f"{report.groups[0].validation.mean:.3f}"] in rows
    assert ["4", "0.001", "^", "3", "3", f"{report.groups[2].validation.mean:.3f}", "*"] in rows
    assert "at the edge of the values tried" in table
    markdown = render(report, "markdown")
    assert f"| {DEPTH} | chosen {RATE} | tried | choosing seeds | val/perplexity |" in markdown
    choices = [entry["choice"] for entry in json.loads(render(report, "json"))["groups"]]
    assert [choice["values"][RATE] for choice in choices] == [0.01, 0.003, 0.001]
    assert [choice["at_edge"] for choice in choices] == [[RATE], [], [RATE]]
    lines = [*csv.DictReader(io.StringIO(render(report, "csv-groups")))]
    assert [line[f"chosen {RATE}"] for line in lines] == ["0.01", "0.003", "0.001"]
    assert {line["choosing_seeds"] for line in lines} == {"1 2 3"}
    assert f"chosen {RATE}".replace(".", ".<wbr>") in render(report, "html")


def test_only_seeds_with_every_value_choose(tmp_path, write):
    for seed in (1, 2):
        write(tmp_path, 1, 0.1, seed, 5.0)
        write(tmp_path, 1, 0.2, seed, 6.0)
    for seed in (3, 4):  # with which 0.2 looks better
        write(tmp_path, 1, 0.1, seed, 9.0)
    write(tmp_path, 1, 0.2, 5, 1.0)
    (group,) = tuned(tmp_path).groups
    assert group.choice.values == {RATE: 0.1} and group.choice.seeds == (1, 2)
    assert group.seeds == [3, 4] and group.mean == 9.0


@pytest.mark.parametrize("end", ["failed", "interrupted", "running"])
def test_a_value_that_did_not_complete_with_a_choosing_seed_is_not_chosen(tmp_path, write, end):
    for seed in (1, 2):
        write(tmp_path, 1, 0.1, seed, 5.0)
    write(tmp_path, 1, 0.2, 1, 4.0)
    write(tmp_path, 1, 0.2, 2, 4.0, end=end)
    report = tuned(tmp_path)
    (group,) = report.groups
    assert group.choice.values == {RATE: 0.1} and group.choice.seeds == (1, 2) and len(group.choice.tried) == 2
    assert group.incomplete == {end: 1} and f"1 {end}" in render(report)


def test_a_value_that_diverged_with_a_choosing_seed_is_not_chosen(tmp_path, write):
    for seed, validation in ((1, 4.0), (2, float("nan"))):
        write(tmp_path, 1, 0.1, seed, 5.0)
        write(tmp_path, 1, 0.2, seed, validation)
    assert tuned(tmp_path).groups[0].choice.values == {RATE: 0.1}


def test_without_other_seeds_every_figure_says_so_and_nothing_is_compared(tmp_path, write):
    for depth in (1, 2):
        for seed in (1, 2):
            for rate, offset in ((0.1, 0.0), (0.2, 1.0)):
                write(tmp_path, depth, rate, seed, 5.0 - depth + offset + seed / 10)
    report = tuned(tmp_path, baseline={DEPTH: "1"})
    assert [group.choice.judged for group in report.groups] == [False, False]
    assert [(group.interval, group.difference) for group in report.groups] == [(None, None)] * 2
    for format in ("table", "markdown", "html"):
        text = render(report, format)
        assert text.count("± 0.071 #") == 2 and "of the seeds that chose" in text


def test_one_value_needs_no_choice_and_all_its_seeds_judge(tmp_path, write):
    for seed in (1, 2, 3):
        write(tmp_path, 1, 0.1, seed, 5.0 + seed)
        for rate in (0.1, 0.2):
            write(tmp_path, 2, rate, seed, 4.0 + rate + seed)
    write(tmp_path, 2, 0.1, 4, 4.5)
    one, two = tuned(tmp_path).groups
    assert (one.choice.judged, one.seeds, one.choice.at_edge) == (True, [1, 2, 3], frozenset())
    assert (two.choice.judged, two.seeds) == (True, [4])
    text = render(tuned(tmp_path))
    assert "1 ~" in text and "less tuned" in text  # beside a group that tried two


def test_a_group_where_nothing_can_be_chosen_says_why(tmp_path, write):
    write(tmp_path, 1, 0.1, 1, 5.0)
    write(tmp_path, 1, 0.2, 2, 5.0)
    for rate in (0.1, 0.2):
        write(tmp_path, 2, rate, 1, 5.0, end="failed")
    report = tuned(tmp_path)
    assert [group.choice.problem for group in report.groups] == [
        "no seed has every value",
        "no value completed with every seed",
    ]
    assert all(group.mean is None and not group.best for group in report.groups) and report.command is None
    for format in ("table", "markdown", "latex", "html", "json"):
        assert "no seed has every value" in render(report, format)


def test_another_key_that_varies_has_its_name_and_no_number(tmp_path, write):
    for rate in (0.1, 0.2):
        for size in (8, 16):
            for seed in (1, 2):
                write(tmp_path / str(size), 1, rate, seed, 5.0 + rate, config={"data.batch_size": size})
    report = tuned(tmp_path)
    assert report.groups[0].mixed == ("data.batch_size",) and report.groups[0].mean is None
    assert "mixed: data.batch_size" in render(report)


def test_a_key_in_step_with_the_tuned_one_is_not_mixed(tmp_path, write):
    for rate in (0.1, 0.2):
        for seed in (1, 2):
            write(tmp_path, 1, rate, seed, 5.0 + rate, config={"scheduler.min_lr": rate / 10})
    report = tuned(tmp_path)
    assert report.groups[0].mixed == () and report.groups[0].choice.values == {RATE: 0.1}


def test_several_keys_are_tuned_together(tmp_path, write):
    for rate in (0.1, 0.2, 0.3):
        for size in (8, 16):
            for seed in (1, 2):
                value = 5.0 + abs(rate - 0.2) + (size == 8)
                write(tmp_path / str(size), 1, rate, seed, value, config={"data.batch_size": size})
    report = compare([tmp_path], by=[DEPTH], tune=[RATE, "data.batch_size"])
    choice = report.groups[0].choice
    assert choice.values == {RATE: 0.2, "data.batch_size": 16} and len(choice.tried) == 6
    assert choice.at_edge == {"data.batch_size"}


def test_by_default_the_tuned_keys_group_nothing(planted):
    assert compare([planted], tune=[RATE]).by == [DEPTH]


def test_higher_may_be_better(tmp_path, write_run):
    for rate, accuracy in ((0.1, 0.5), (0.2, 0.7)):
        for seed in (1, 2):
            config = {DEPTH: 1, RATE: rate, "optimize.metric": "val/accuracy"}
            metrics = {"val/accuracy": accuracy, "test/accuracy": 1 - accuracy}
            write_run(tmp_path / f"{rate}{seed}", seed=seed, metrics=metrics, config=config)
    report = tuned(tmp_path)
    assert report.groups[0].choice.values == {RATE: 0.2} and report.groups[0].mean == pytest.approx(0.3)


def test_a_group_without_a_finite_validation_is_not_the_best_by_its_test(tmp_path, write_run):
    for depth, loss in {1: 9.0, 2: float("nan")}.items():
        for seed in (1, 2):
            metrics = {"val/loss": loss if seed == 1 else 9.0, "test/loss": 5.0 + seed}
            config = {"model.num_layers": depth, "optimize.metric": "val/loss"}
            write_run(tmp_path / f"{depth}-{seed}", seed=seed, metrics=metrics, config=config)
    report = compare([tmp_path], by=["model.num_layers"], metric="test/loss")
    assert [group.best for group in report.groups] == [True, False]
    assert "val/loss is not finite in a run of model.num_layers=2: it is never the best." in render(report)


def test_seeds_are_not_tuned(tmp_path, write_run):
    write_run(tmp_path / "1", metrics=1.0)
    with pytest.raises(InputError, match="--tune: seed"):
        compare([tmp_path], tune=["seed"])


def test_without_tuning_the_best_is_by_validation_and_the_test_stands_beside(tmp_path, write):
    for depth, validation, test in ((1, 4.0, 9.0), (2, 5.0, 3.0)):
        write(tmp_path, depth, 0.1, 1, validation, test)
    report = compare([tmp_path])
    assert [group.best for group in report.groups] == [True, False] and report.metric == "test/perplexity"
    assert report.groups[0].baseline and report.command.line.endswith("seed=1") and f"{DEPTH}=1" in report.command.line
    assert ["1", "1", "4.000", "*", "9.000"] in [line.split()[:5] for line in render(report).splitlines()]
    assert "best mean val/perplexity" in render(report)
    by_name = compare([tmp_path], metric="val/perplexity")
    assert by_name.deciding == "val/perplexity" and "val/perplexity" in render(by_name)


@pytest.mark.parametrize(
    ("by", "tune", "words"),
    [
        ([DEPTH], [DEPTH], "--tune: model.num_layers groups the runs"),
        (["optimizer"], [RATE], "--tune: optimizer.lr groups the runs"),
        ([DEPTH], ["optimizer.rate"], "--tune: "),
    ],
)
def test_wrong_keys_are_refused(planted, by, tune, words):
    with pytest.raises(InputError, match=words):
        compare([planted], by=by, tune=tune)


def test_runs_that_decide_by_several_metrics_are_refused(tmp_path, write):
    write(tmp_path, 1, 0.1, 1, 5.0)
    write(tmp_path, 1, 0.2, 1, 5.0, config={"optimize.metric": "val/loss"})
    with pytest.raises(InputError, match=r"--tune: the runs have several optimize.metric \(val/loss, val/perplexity\)"):
        tuned(tmp_path)
