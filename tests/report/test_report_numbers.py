"""The numbers of a report, in every format."""

import csv
import io
import json
import math

import pytest

from seqlab.report import compare, render
from seqlab.report.labels import decimals_of, number_text
from seqlab.report.means import t_quantile


def test_mean_spread_interval_and_the_other_columns(tmp_path, write_run):
    for seed, (result, speed, seconds) in enumerate([(10, 100, 1), (12, 300, 2), (17, 900, 6)], start=1):
        write_run(
            tmp_path / str(seed),
            seed=seed,
            metrics=result,
            num_parameters=1000,
            tokens_per_second=speed,
            train_seconds=seconds,
        )
    (group,) = compare([tmp_path]).groups
    assert group.mean == pytest.approx(13)
    assert group.sd == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    half = 4.3027 * math.sqrt(13) / math.sqrt(3)
    assert group.interval == pytest.approx((13 - half, 13 + half), rel=1e-6)
    assert (group.num_parameters, group.tokens_per_second, group.train_seconds) == (1000, 300, 3)
    assert (group.seeds, group.values, group.diverged, group.best) == ([1, 2, 3], [10, 12, 17], 0, False)


def test_one_seed_has_no_spread(tmp_path, write_run):
    report = compare([write_run(tmp_path / "run", metrics=121.25)])
    assert (report.groups[0].mean, report.groups[0].sd, report.groups[0].interval) == (121.25, None, None)
    text = render(report)
    assert "±" not in text
    assert "interval" not in text


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [
        (1, 12.70620),
        (2, 4.30265),
        (4, 2.77645),
        (9, 2.26216),
        (30, 2.04227),
        (31, 2.03951),
        (60, 2.00030),
        (1000, 1.96234),
    ],
)
def test_t_quantiles_are_those_of_the_printed_tables(degrees, quantile):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=6e-5)


def test_t_quantiles_fall_towards_the_normal_one():
    quantiles = [t_quantile(degrees) for degrees in range(1, 300)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert quantiles[-1] > 1.959964


def test_groups_are_in_the_order_of_their_numbers(tmp_path, depths):
    report = compare([depths(tmp_path, {10: [5.0], 2: [4.0], 1: [6.0]})])
    assert [group.key for group in report.groups] == [{"model.num_layers": depth} for depth in (1, 2, 10)]


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("test/perplexity", 1),
        ("test/loss", 1),
        ("test/bits_per_character", 1),
        ("test/word_error_rate", 1),
        ("test/accuracy", 3),
        ("val/f1_macro", 3),
        ("test/bleu", 3),
        ("test/oddness", 1),
    ],
)
def test_the_best_group_is_marked_in_the_metric_s_direction(tmp_path, metric, best, write_run):
    for depth in (3, 1, 2):
        write_run(tmp_path / str(depth), metrics={metric: depth / 4}, config={"model.num_layers": depth})
    report = compare([tmp_path], metric=metric)
    assert [group.key["model.num_layers"] for group in report.groups if group.best] == [best]
    assert ("is not a metric seqlab knows: lower is taken" in render(report)) == (metric == "test/oddness")
    marked = [line for line in render(report).splitlines() if line.endswith(" *") or " *  " in line]
    assert [line.split()[0] for line in marked] == [str(best)]


def test_the_speed_of_runs_that_read_frames_is_in_frames(tmp_path, depths, write_run):
    depths(tmp_path, {1: [10.0], 2: [8.1]}, tokens_per_second=10.5, reads="frames")
    for format_name in ("table", "markdown", "html"):
        text = render(compare([tmp_path]), format_name)
        assert "frames/s: median" in text and "tokens/s" not in text
    assert "frames/s" not in render(compare([tmp_path]), "latex")
    write_run(tmp_path / "3", metrics=1.0, config={"model.num_layers": 3})  # a baseline
    assert "frames/s: median" in render(compare([tmp_path]))
    write_run(tmp_path / "3", metrics=1.0, tokens_per_second=2.0, config={"model.num_layers": 3})
    assert "frames/s, tokens/s: median" in render(compare([tmp_path]))


def test_runs_that_were_too_short_for_a_speed_say_what_they_read(tmp_path, depths, write_run):
    depths(tmp_path, {1: [10.0], 2: [8.1]}, reads="frames")
    write_run(tmp_path / "3", metrics=1.0, config={"model.num_layers": 3})
    assert "frames/s: median" in render(compare([tmp_path]))


# Formats


def test_csv_json_and_markdown_tell_the_same_numbers(tmp_path, depths):
    depths(
        tmp_path,
        {1: [10.0, 12.0, 17.0], 2: [8.1, 8.2]},
        num_parameters=1234,
        tokens_per_second=10.5,
        train_seconds=61.0,
    )
    report = compare([tmp_path])
    rows = list(csv.DictReader(io.StringIO(render(report, "csv-groups"))))
    groups = json.loads(render(report, "json"))["groups"]
    table = render(report, "markdown").partition("\n\n")[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert lines[0] == ["model.num_layers", "n", "test/perplexity", "95 % interval", "parameters", "tokens/s", "time"]
    assert "tokens/s: median" in render(report, "markdown")
    for group, row, entry, line in zip(report.groups, rows, groups, lines[2:], strict=True):
        low, high = group.interval
        assert row["model.num_layers"] == str(entry["key"]["model.num_layers"]) == line[0]
        assert int(row["n"]) == entry["n"] == int(line[1]) == len(group.values)
        assert row["seeds"].split() == [str(seed) for seed in entry["seeds"]]
        for name in ("mean", "sd"):
            assert float(row[name]) == entry[name] == getattr(group, name)
        assert [float(row["interval_low"]), float(row["interval_high"])] == entry["interval"] == [low, high]
        assert float(row["num_parameters"]) == entry["num_parameters"] == 1234
        assert (row["best"] == "true") == entry["best"] == line[2].endswith("\\*") == group.best
        mean, sd = line[2].removesuffix(" \\*").split(" ± ")
        assert (float(mean), float(sd)) == pytest.approx((group.mean, group.sd), abs=5e-4)
        assert json.loads(line[3]) == pytest.approx([low, high], abs=5e-4)
        assert line[4:] == ["1,234", "10", "1m 01s"]


def test_values_of_another_type_and_the_same_letters_are_two_in_every_format(tmp_path, write_run):
    for number, value in enumerate((None, "null", 1, "1")):
        for seed in (1, 2):
            write_run(tmp_path / f"{number}{seed}", seed=seed, metrics=number, config={"data.name": value})
    report = compare([tmp_path], by=["data.name"])
    texts = ['"1"', '"null"', "1", "null"]
    for format in ("csv-groups", "csv"):
        rows = csv.DictReader(io.StringIO(render(report, format)))
        assert sorted({row["data.name"] for row in rows}) == texts, format
    assert sorted(report.labels_of("data.name")) == texts


def test_the_table_fits_a_hundred_columns_and_is_plain(tmp_path, write_run):
    for cell in ("LSTMCell", "GRUCell"):
        for size in (100, 1500):
            for seed in (1, 2):
                config = {"model.cell._target_": f"seqlab.nn.{cell}", "model.hidden_size": size}
                write_run(
                    tmp_path / f"{cell}{size}{seed}",
                    seed=seed,
                    metrics=100.25 + seed,
                    config=config,
                    num_parameters=12_345_678,
                    tokens_per_second=25_000,
                    train_seconds=5000,
                )
    text = render(compare([tmp_path]))
    assert max(map(len, text.splitlines())) <= 100
    assert "101.8 ± 0.7" in text.replace("\n", " ")
    assert "[95.4, 108.1]" in text
    assert "1h 23m" in text
    assert "\x1b" not in text
    assert "\x1b[1;32m" in render(compare([tmp_path]), color=True)


def test_markdown_keeps_bars_out_of_cells(tmp_path, write_run):
    for number, name in enumerate(["a|b", "c"]):
        write_run(tmp_path / str(number), metrics=1.0 + number, config={"data.text": name})
    table = render(compare([tmp_path]), "markdown").partition("\n\n")[0].splitlines()
    assert len(table) == 4
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (133.9134, [133.9134, 98.1], "133.91"),
        (0.5, [0.9, 0.5], "0.5000"),
        (4.60512, [4.6, 14.2], "4.605"),
        (12345.6, [12345.6], "12346"),
        (2.5e9, [2.5e9, 3.0], "2.5e+09"),
        (0.0, [0.0], "0.000"),
    ],
)
def test_numbers_show_four_digits_of_the_smallest(value, column, text):
    assert number_text(value, decimals_of(column)) == text


# The command


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 1)])
def test_a_metric_of_ones_own_is_best_as_its_runs_were_judged(tmp_path, write_run, mode, best):
    for depth, value in ((1, 0.25), (2, 0.75)):
        config = {"model.num_layers": depth, "optimize.metric": "val/oddness", "optimize.mode": mode}
        write_run(tmp_path / str(depth), metrics={"test/oddness": value}, config=config)
    report = compare([tmp_path], by=["model.num_layers"], metric="test/oddness")
    assert [group.key["model.num_layers"] for group in report.groups if group.best] == [best]
    assert not any("is not a metric seqlab knows" in note for note in report.notes)
