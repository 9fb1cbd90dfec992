"""Differences from the best group or a named one, paired by seed."""

import csv
import io
import json
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from seqlab import cli
from seqlab.errors import InputError
from seqlab.report import compare, render
from seqlab.report.command import _baseline
from seqlab.report.means import mean_of, t_quantile
from seqlab.report.significance import detectable, p_value


def difference_of(report, depth):
    return next(group for group in report.groups if group.key["model.num_layers"] == depth).difference


def test_differences_are_over_common_seeds_from_the_best(tmp_path, depths):
    # The seeds move both depths alike: the difference is far sharper than the means are.
    report = compare([depths(tmp_path, {1: [10.0, 20.0, 30.0, 99.0], 2: [8.0, 17.0, 29.0]})])
    assert [group.baseline for group in report.groups] == [False, True]
    found = difference_of(report, 1)
    pairs = [2.0, 3.0, 1.0]
    half = t_quantile(2) * statistics.stdev(pairs) / math.sqrt(3)
    assert (found.n, found.mean) == (3, pytest.approx(2.0))
    assert found.interval == pytest.approx((2 - half, 2 + half))
    assert difference_of(report, 2) is None
    assert report.groups[1].interval[0] < 0 < found.interval[0] + half


def test_a_named_baseline_takes_the_place_of_the_best(tmp_path, depths):
    sweep = depths(tmp_path, {1: [10.0, 12.0], 2: [8.0, 9.0], 3: [7.0, 6.0]})
    report = compare([sweep], baseline={"model.num_layers": "1"})
    assert [difference_of(report, depth) and difference_of(report, depth).mean for depth in (1, 2, 3)] == [
        None,
        -2.5,
        -4.5,
    ]
    assert "difference: from the baseline (model.num_layers=1)" in render(report)
    assert "difference: from the best mean (model.num_layers=3)" in render(compare([sweep]))


def test_intervals_hold_together_and_p_values_are_holms(tmp_path, depths):
    values = {
        1: [10.0, 12.0, 11.5, 10.5],
        2: [8.0, 9.0, 9.5, 8.1],
        3: [9.9, 12.2, 11.2, 10.6],
        4: [9.0, 11.4, 10.4, 9.8],
    }
    report = compare([depths(tmp_path, values)], baseline={"model.num_layers": "1"})
    tests = [stats.ttest_rel(values[depth], values[1]) for depth in (2, 3, 4)]
    smallest, middle, largest = sorted(test.pvalue for test in tests)
    adjusted = {smallest: 3 * smallest, middle: max(3 * smallest, 2 * middle), largest: max(2 * middle, largest)}
    for depth, test in zip((2, 3, 4), tests, strict=True):
        found = difference_of(report, depth)
        bounds = test.confidence_interval(1 - 0.05 / 3)
        assert found.interval == pytest.approx((bounds.low, bounds.high))
        assert found.p_value == pytest.approx(min(1, adjusted[test.pvalue]))
        pairs = [one - other for one, other in zip(values[depth], values[1], strict=True)]
        assert found.detectable == pytest.approx(detectable(mean_of(pairs), comparisons=3))
    text = render(report, "markdown")
    assert "| difference | 95 % interval | p | detectable | pairs |" in text and "by Holm" in text
    unnamed = compare([tmp_path])
    assert all(group.difference is None or group.difference.p_value is None for group in unnamed.groups)
    assert "Name a baseline beforehand" in " ".join(render(unnamed).split())


@pytest.mark.parametrize(("pairs", "comparisons"), [(2, 1), (3, 1), (3, 12), (5, 3), (10, 2)])
def test_a_detectable_difference_is_shown_four_times_in_five(pairs, comparisons):
    sample = mean_of([*range(pairs)])
    shift = detectable(sample, comparisons) / sample.sd
    draws = np.random.default_rng(0).normal(shift, 1, (100_000, pairs))
    t = draws.mean(1) / draws.std(1, ddof=1) * math.sqrt(pairs)
    assert (abs(t) > stats.t.ppf(1 - 0.025 / comparisons, pairs - 1)).mean() == pytest.approx(0.8, abs=0.006)


def test_pairs_without_scatter_are_no_error():
    assert (p_value(mean_of([1.0, 1.0])), p_value(mean_of([0.0, 0.0])), detectable(mean_of([1.0, 1.0]), 1)) == (0, 1, 0)
    assert (p_value(mean_of([1.0])), detectable(mean_of([1.0]), 1)) == (None, None)


def test_higher_is_better_sets_out_from_the_highest(tmp_path, write_run):
    for depth, results in {1: [0.5, 0.6], 2: [0.75, 0.75]}.items():
        for seed, result in enumerate(results):
            config = {"model.num_layers": depth}
            write_run(tmp_path / f"{depth}{seed}", seed=seed, metrics={"test/accuracy": result}, config=config)
    assert difference_of(compare([tmp_path]), 1).mean == pytest.approx(-0.2)


def test_a_diverged_seed_is_no_pair(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [10.0, math.nan, 12.0], 2: [8.0, 1.0, 9.0]})])
    assert (difference_of(report, 1).n, difference_of(report, 1).mean) == (2, 2.5)


def test_one_common_seed_has_no_interval_and_none_no_difference(tmp_path, write_run):
    for depth, seeds in {1: [1, 2], 2: [2, 3], 3: [4]}.items():
        for seed in seeds:
            config = {"model.num_layers": depth}
            write_run(tmp_path / f"{depth}{seed}", seed=seed, metrics=10.0 - depth + seed, config=config)
    report = compare([tmp_path], baseline={"model.num_layers": "1"})
    assert (difference_of(report, 2).n, difference_of(report, 2).mean, difference_of(report, 2).interval) == (
        1,
        -1,
        None,
    )
    assert difference_of(report, 3) is None
    text = render(report)
    assert "pairs" in text and text.count("95 % interval") == 2  # of the means, in the table and its caption


def test_groups_that_mix_settings_have_their_name_and_no_number(tmp_path, write_run):
    for depth, offset in ((1, 0.0), (2, 2.0)):
        for rate, base in ((0.1, 10.0), (0.5, 50.0)):
            for seed in (1, 2):
                config = {"model.num_layers": depth, "optimizer.lr": rate}
                write_run(tmp_path / f"{depth}{rate}{seed}", seed=seed, metrics=base + offset + seed, config=config)
    report = compare([tmp_path], by=["model.num_layers"])
    for group in report.groups:
        assert group.mixed == ("optimizer.lr",) and len(group.values) == 4
        assert (group.mean, group.sd, group.interval, group.difference, group.best) == (None, None, None, None, False)
    assert report.command is None
    for format in ("table", "markdown", "html"):
        assert render(report, format).count("mixed: optimizer.lr") == 2
    assert [entry["mixed"] for entry in json.loads(render(report, "json"))["groups"]] == [["optimizer.lr"]] * 2
    assert [row["mixed"] for row in csv.DictReader(io.StringIO(render(report, "csv-groups")))] == ["optimizer.lr"] * 2


def test_the_names_of_many_mixed_keys_push_no_column_out_of_the_terminal(tmp_path, write_run):
    keys = [f"model.a_key_with_a_long_name_{number}" for number in range(4)]
    for depth, value in ((1, 0), (2, 0), (2, 1)):
        config = {"model.num_layers": depth, **dict.fromkeys(keys, value if depth == 2 else 0)}
        write_run(tmp_path / f"{depth}{value}", metrics=2.5, config=config)
    lines = [line.split() for line in render(compare([tmp_path], by=["model.num_layers"])).splitlines()]
    assert lines[1][:2] == ["model.num_layers", "n"] and lines[3][:2] == ["1", "1"] and "2.500" in lines[3]
    assert lines[4] == ["2", "2", "mixed:", f"{keys[0]},"]
    assert lines[5:8] == [[f"{keys[1]},"], [f"{keys[2]},"], [keys[3]]]


def test_csv_and_json_have_the_differences(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [10.0, 12.0], 2: [8.0, 9.0]})])
    found = difference_of(report, 1)
    first, second = csv.DictReader(io.StringIO(render(report, "csv-groups")))
    assert (float(first["difference"]), first["pairs"]) == (found.mean, "2")
    assert (float(first["difference_low"]), float(first["difference_high"])) == found.interval
    assert {second[name] for name in ("difference", "difference_low", "difference_high", "pairs")} == {""}
    one, two = json.loads(render(report, "json"))["groups"]
    difference = {"mean": found.mean, "interval": list(found.interval), "pairs": 2, "p": None, "detectable": None}
    assert one["difference"] == difference  # no test: the baseline was not named
    assert (one["baseline"], two["baseline"], two["difference"]) == (False, True, None)


def test_a_baseline_that_is_not_one_group_is_refused(tmp_path, write_run):
    for cell in ("LSTMCell", "GRUCell"):
        for size in (1, 2):
            config = {"model.cell._target_": f"seqlab.nn.{cell}", "model.hidden_size": size}
            write_run(tmp_path / f"{cell}{size}", metrics=1.0, config=config)
    by = ["model.cell._target_", "model.hidden_size"]
    for name in ("GRUCell", "seqlab.nn.GRUCell"):
        named = compare([tmp_path], by=by, baseline={"model.cell._target_": name, "model.hidden_size": "2"})
        assert named.baseline.key == {"model.cell._target_": "seqlab.nn.GRUCell", "model.hidden_size": 2}
    for wished, message in [
        ({"model.hidden_size": "2"}, "model.hidden_size=2 fits 2 of 4 groups; expected just one"),
        ({"model.hidden_size": "3"}, "fits 0 of 4 groups"),
        ({"optimizer.lr": "0.5"}, "'optimizer.lr' is no key of the groups"),
    ]:
        with pytest.raises(InputError, match=f"^--baseline: .*{message}"):
            compare([tmp_path], by=by, baseline=wished)


@pytest.mark.parametrize("doubled", [1, 2])
def test_runs_that_nothing_tells_apart_are_no_pairs(tmp_path, depths, write_run, doubled):
    depths(tmp_path, {1: [10.0, 12.0], 2: [8.0, 9.0]})
    # The same config under another hash, as from a version that made it otherwise.
    config = {"model.num_layers": doubled}
    write_run(tmp_path / "again", seed=1, metrics=11.0, config=config, written={"config_hash": "of old"})
    report = compare([tmp_path])
    assert [len(group.values) for group in report.groups] == [3 if depth == doubled else 2 for depth in (1, 2)]
    assert [group.difference for group in report.groups] == [None, None]


def test_runs_that_no_seed_changes_are_no_sample(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [9.1, 9.1, 9.1], 2: [8.0, 8.1, 8.2]})], baseline={"model.num_layers": "2"})
    (note,) = (note for note in report.notes if "exactly the same" in note)
    assert "test/perplexity (model.num_layers=1)" in note


def test_a_baseline_that_is_the_best_too_is_called_the_baseline(tmp_path, depths):
    folder = depths(tmp_path, {1: [8.0, 8.5], 2: [10.0, 12.0]})
    assert "difference: from the baseline (" in render(compare([folder], baseline={"model.num_layers": "1"}))
    assert "difference: from the best mean (" in render(compare([folder]))


def test_a_key_of_the_baseline_that_is_given_twice_is_refused(tmp_path, depths, capsys):
    folder = str(depths(tmp_path, {1: [1.0], 2: [2.0]}))
    with pytest.raises(InputError, match=r"model\.num_layers is given twice"):
        _baseline(["model.num_layers=1", "model/num_layers=2"])
    assert cli.main(["report", folder, "--by", "model.num_layers", "--by", "seed", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("model.num_layers,seed,")


def test_a_key_that_is_mixed_whole_is_not_told_by_its_parts_too(tmp_path, write_run):
    cells = [{"_target_": "nn.A"}, [{"_target_": "nn.A"}, {"_target_": "nn.B"}], {"_target_": "nn.B", "bias": False}]
    for number, cell in enumerate(cells):
        write_run(tmp_path / str(number), metrics=float(number), config={"model.cell": cell})
    report = compare([tmp_path], by=["model.num_layers"])
    assert report.groups[0].mixed == ("model.cell",)
    assert not [note for note in report.notes if "model.cell._target_" in note]
