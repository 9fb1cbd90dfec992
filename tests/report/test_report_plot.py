"""The plot: the right numbers at the right places, and labels that say what they are."""

import math
import struct
from pathlib import Path

import pytest

from seqlab.report import compare, save_plot


def pixels(path: Path) -> bytes:
    from matplotlib.image import imread

    return imread(path).tobytes()


def test_the_plot_is_a_png_that_shows_the_data(tmp_path, depths):
    pictures = []
    for name, third in (("a", 6.0), ("same", 6.0), ("b", 6.6)):
        sweep = depths(tmp_path / name, {1: [10.0, 11.0], 2: [8.0, 8.5], 3: [third, 7.0]})
        save_plot(compare([sweep]), tmp_path / f"{name}.png")
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (1200, 750)
        pictures.append(pixels(tmp_path / f"{name}.png"))
    assert pictures[0] == pictures[1] != pictures[2]


def drawn(report):
    """The figure of the plot, and its axes."""
    from seqlab.report.plot import draw

    figure = draw(report)
    return figure, figure.axes[0]


def test_a_numeric_key_stands_at_its_values_with_the_deviation_of_two_seeds(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [10.0, 12.0], 2: [8.0, 8.5], 4: [7.0, 7.5]})])
    _, axes = drawn(report)
    assert list(axes.get_xticks()) == [1, 2, 4]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4"]
    line = axes.lines[0]
    assert (list(line.get_xdata()), list(line.get_ydata()), line.get_linestyle()) == (
        [1, 2, 4],
        [11.0, 8.25, 7.25],
        "-",
    )
    assert axes.get_xlabel() == "model.num_layers"
    assert axes.get_ylabel() == "test/perplexity (lower is better)"
    low, high = axes.collections[0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((11 - math.sqrt(2), 11 + math.sqrt(2)))
    assert any("± sample sd" in text.get_text() for text in axes.texts)
    seeds = [value for line in axes.lines if line.get_marker() == "o" for value in line.get_ydata()]
    assert {10.0, 12.0, 8.0, 8.5, 7.0, 7.5} <= set(seeds)


def test_three_seeds_show_the_interval(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [10.0, 12.0, 17.0], 2: [8.0, 8.5, 9.0]})])
    _, axes = drawn(report)
    assert tuple(axes.collections[0].get_segments()[0][:, 1]) == pytest.approx(report.groups[0].interval)
    assert any("95 % interval of the mean (Student t)" in text.get_text() for text in axes.texts)


def test_a_group_of_runs_with_other_settings_is_not_drawn_and_the_picture_says_so(tmp_path, depths, write_run):
    sweep = depths(tmp_path, {1: [10.0, 12.0], 2: [8.0, 8.5]})
    _, axes = drawn(compare([sweep]))
    assert not any("not drawn" in text.get_text() for text in axes.texts)
    write_run(tmp_path / "other", metrics=9.0, config={"model.num_layers": 2, "optimizer.lr": 0.7})
    _, axes = drawn(compare([tmp_path], by=["model.num_layers"]))
    assert any("1 group is not drawn: other settings differ" in text.get_text() for text in axes.texts)


def test_wide_ranges_are_drawn_on_log_axes_and_say_so(tmp_path, write_run):
    for number, (rate, result) in enumerate([(0.001, 9000.0), (0.01, 300.0), (1, 100.0)]):
        write_run(tmp_path / str(number), metrics=result, config={"optimizer.lr": rate})
    _, axes = drawn(compare([tmp_path]))
    assert list(axes.get_xticks()) == [-3, -2, 0]
    assert axes.get_xlabel() == "optimizer.lr (log scale)"
    assert axes.get_yscale() == "log"
    assert "log scale" in axes.get_ylabel()


def test_categories_are_not_joined_and_a_second_key_has_a_legend(tmp_path, write_run):
    for cell in ("LSTMCell", "GRUCell", "RNNCell"):
        for size in (100, 200):
            config = {"model.cell._target_": f"seqlab.nn.{cell}", "model.hidden_size": size}
            write_run(tmp_path / f"{cell}{size}", metrics={"test/accuracy": size / 1000}, config=config)
    report = compare([tmp_path], by=["model.cell._target_", "model.hidden_size"])
    figure, axes = drawn(report)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["GRUCell", "LSTMCell", "RNNCell"]
    assert [line.get_linestyle() for line in axes.lines] == ["None", "None"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["100", "200"]
    assert legend.get_title().get_text() == "model.hidden_size"
    assert axes.get_ylabel() == "test/accuracy (fraction, higher is better)"


def test_a_diverged_run_is_written_into_the_plot(tmp_path, depths):
    _, axes = drawn(compare([depths(tmp_path, {1: [10.0], 2: [math.nan]})]))
    assert any(text.get_text() == "1 diverged" and text.get_position()[0] == 2 for text in axes.texts)


def test_a_mean_alone_is_told_in_digits_and_several_are_not(tmp_path, depths, write_run):
    alone = compare([depths(tmp_path / "one", {1: [10.25]})])
    assert [text.get_text() for text in drawn(alone)[1].texts if text.get_text() == "10.25"] == ["10.25"]
    for depth, rate in ((1, 0.1), (1, 0.5), (2, 0.5)):
        config = {"model.num_layers": depth, "optimizer.lr": rate}
        write_run(tmp_path / "two" / f"{depth}{rate}", metrics=10.25, config=config)
    several = compare([tmp_path / "two"], by=["model.num_layers"], columns=["optimizer.lr"])
    assert not any("10.25" in text.get_text() for text in drawn(several)[1].texts)


def test_a_key_of_which_all_drawn_groups_have_one_value_names_no_line(tmp_path, write_run):
    from seqlab.report.curves import Curves
    from seqlab.report.plot_curves import draw_curves

    for depth in (1, 2):
        for rate in (0.1, 10.0):
            end = "completed" if rate < 1 else "failed"
            config = {"model.num_layers": depth, "optimizer.lr": rate}
            write_run(tmp_path / f"{depth}-{rate}", metrics=float(depth), end=end, config=config)
    report = compare([tmp_path])
    assert report.by == ["model.num_layers", "optimizer.lr"]
    figure, _ = drawn(report)
    assert figure.legends == []
    curves = Curves("val/loss", [(group, [{0: 2.0, 1: 1.0}]) for group in report.groups], None)
    figure = draw_curves(report, curves)
    assert figure.legends[0].get_title().get_text() == "model.num_layers"
    assert figure.axes[0].get_title(loc="left") == "val/loss by model.num_layers"


def test_of_very_many_lines_the_legend_names_some_and_no_two_look_alike(tmp_path, write_run):
    for size in range(25):
        for depth in (1, 2):
            config = {"model.num_layers": depth, "model.cell": f"{size:02}{'x' * 30}"}
            write_run(tmp_path / f"{size}-{depth}", metrics=1.0 + size, config=config)
    figure, axes = drawn(compare([tmp_path], by=["model.num_layers", "model.cell"]))
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "model.cell\n(20 of 25)"
    assert [text.get_text() for text in legend.get_texts()] == [f"{size:02}{'x' * 25}…" for size in range(20)]
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 25
