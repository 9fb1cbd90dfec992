"""Learning curves: what is read from event files, how seeds are averaged, and what is drawn."""

import math
import struct
import subprocess
import sys

import pytest

from seqlab import cli
from seqlab.errors import InputError
from seqlab.report import Curves, compare, save_curves
from seqlab.report.curves import band_of, read_curves, read_scalars
from seqlab.report.events import read_events
from seqlab.report.plot_curves import draw_curves


def test_a_resumed_run_is_read_as_one_curve(tmp_path, write_events):
    write_events(tmp_path, {"val/loss": {10: 3.0, 20: 2.5, 30: 2.0}, "lr": {10: 0.5}}, begun=99)
    # The later process went back to step 15: what the earlier one told beyond that did not lead to the result.
    write_events(tmp_path, {"val/loss": {15: 2.75, 25: 2.25}}, begun=100)
    assert read_scalars(str(tmp_path)) == {"val/loss": {10: 3.0, 15: 2.75, 25: 2.25}, "lr": {10: 0.5}}
    # Also where it diverged at a step that had been finite.
    write_events(tmp_path, {"val/loss": {15: math.nan}}, begun=101)
    assert read_scalars(str(tmp_path))["val/loss"] == {10: 3.0}


def test_one_process_may_tell_of_its_steps_in_any_order(tmp_path, write_events):
    path = write_events(tmp_path, {"val/loss": {20: 2.0, 10: 3.0, 30: 1.0}})
    path.rename(tmp_path / "events.out.tfevents.of-another-tool")
    assert list(read_scalars(str(tmp_path))["val/loss"].items()) == [(10, 3.0), (20, 2.0), (30, 1.0)]


def test_a_file_cut_short_is_read_up_to_there_and_what_diverged_is_left_out(tmp_path, write_events):
    path = write_events(tmp_path, {"val/loss": {1: 3.0, 2: math.nan, 3: math.inf, 4: 2.0, 5: 1.0}})
    path.write_bytes(path.read_bytes()[:-7])
    assert read_scalars(str(tmp_path)) == {"val/loss": {1: 3.0, 4: 2.0}}


def test_scalars_of_the_newer_format_are_read_too(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.summary.writer.record_writer import RecordWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    with (tmp_path / "events.out.tfevents.1.host").open("wb") as file:
        for plugin, value in (("scalars", 0.5), ("text", b"words")):
            metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))
            entry = Summary.Value(tag=plugin, metadata=metadata, tensor=make_tensor_proto(value))
            RecordWriter(file).write(Event(step=3, summary=Summary(value=[entry])).SerializeToString())
    assert read_scalars(str(tmp_path)) == {"scalars": {3: 0.5}}


def test_the_band_is_over_the_steps_that_all_seeds_reached():
    band = band_of([{0: 4.0, 10: 2.0, 20: 1.0}, {0: 6.0, 5: 5.0, 10: 4.0}])
    assert list(band.steps) == [0, 5, 10]
    assert list(band.means) == [5.0, 4.0, 3.0]
    assert band.deviations == pytest.approx([math.sqrt(2)] * 3)
    assert list(band_of([{1: 2.0}]).deviations) == [0.0]
    assert band_of([{1: 1.0, 2: 1.0}, {3: 1.0}]) is None
    assert band_of([]) is None


@pytest.fixture
def sweep(tmp_path, depths, write_events):
    """Two depths, two seeds each; seed 2 of depth 2 has no events."""
    folder = depths(tmp_path / "sweep", {1: [10.0, 12.0], 2: [8.0, 9.0]})
    for name, offset in (("1-1", 0.0), ("1-2", 1.0), ("2-1", -2.0)):
        points = {step: 5.0 - step / 10 + offset for step in (0, 10, 20)}
        write_events(folder / name, {"val/loss": points, "train/loss": {0: 1.0}})
    return folder


def test_groups_have_their_runs_curves_and_the_others_are_told(sweep):
    report = compare([sweep])
    curves = read_curves(report)
    assert curves.metric == "val/loss"
    assert [[list(points.values()) for points in of_group] for _, of_group in curves.groups] == [
        [[5.0, 4.0, 3.0], [6.0, 5.0, 4.0]],
        [[3.0, 2.0, 1.0]],
    ]
    assert curves.note == f"No TensorBoard events of val/loss in 1 run of 4: {sweep / '2-2'}."
    assert read_curves(report, "train/loss").metric == "train/loss"
    assert read_curves(compare([sweep / "1-1", sweep / "1-2"])).note is None


def test_of_many_runs_without_events_two_are_named(tmp_path, depths, write_events):
    folder = depths(tmp_path, {1: [1.0, 2.0, 3.0, 4.0]})
    write_events(folder / "1-1", {"val/loss": {0: 1.0}})
    note = read_curves(compare([folder])).note
    assert note == (f"No TensorBoard events of val/loss in 3 runs of 4: {folder / '1-2'}, {folder / '1-3'} and 1 more.")


def test_the_metric_of_the_report_comes_first(sweep, write_events):
    write_events(sweep / "1-1", {"val/perplexity": {0: 9.0}}, begun=1_700_000_001)
    assert read_curves(compare([sweep])).metric == "val/perplexity"


def test_the_picture_shows_mean_band_and_seeds(sweep, tmp_path):
    report = compare([sweep])
    figure = draw_curves(report, read_curves(report))
    axes = figure.axes[0]
    named = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(named) == ["1", "2"]
    assert (list(named["1"].get_xdata()), list(named["1"].get_ydata())) == ([0, 10, 20], [5.5, 4.5, 3.5])
    (band,) = axes.collections
    low, high = band.get_datalim(axes.transData).intervaly
    assert (low, high) == pytest.approx((3.5 - math.sqrt(0.5), 5.5 + math.sqrt(0.5)))
    thin = [list(line.get_ydata()) for line in axes.lines if line.get_linewidth() < 1]
    assert thin == [[5.0, 4.0, 3.0], [6.0, 5.0, 4.0]]
    assert axes.get_ylabel() == "val/loss (nats)"
    assert figure.legends[0].get_title().get_text() == "model.num_layers"
    save_curves(report, tmp_path / "curves.png")
    content = (tmp_path / "curves.png").read_bytes()
    assert (content[:4], struct.unpack(">II", content[16:24])) == (b"\x89PNG", (1200, 750))
    assert report.notes[-1].startswith("No TensorBoard events of val/loss in 1 run of 4")


def test_a_group_without_events_is_not_in_the_picture(sweep, write_run):
    write_run(sweep / "0", metrics=1.0, config={"model.num_layers": 0})
    report = compare([sweep])
    axes = draw_curves(report, read_curves(report)).axes[0]
    assert [line.get_label() for line in axes.lines if line.get_linewidth() > 1] == ["1", "2"]
    assert "3 runs. Band: mean ± sample sd over seeds" in axes.texts[0].get_text()


def test_a_group_alone_has_its_key_in_the_title_and_no_legend(sweep):
    report = compare([sweep / "1-1"], by=["model.num_layers"])
    figure = draw_curves(report, read_curves(report))
    assert figure.legends == []
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "val/loss by model.num_layers"
    assert [text.get_text() for text in axes.texts] == ["1 run"]
    assert [list(line.get_ydata()) for line in axes.lines] == [[5.0, 4.0, 3.0]]
    assert list(axes.collections) == []  # no band of one seed
    assert axes.lines[0].get_marker() == "o"  # of few points, each is shown
    report = compare([sweep / "1-1"])
    assert draw_curves(report, read_curves(report)).axes[0].get_title(loc="left") == "val/loss while training"


def drawn(report, *of_groups):
    """The axes of curves of the report's groups."""
    groups = [(group, list(of_group)) for group, of_group in zip(report.groups, of_groups, strict=True)]
    return draw_curves(report, Curves("val/loss", groups, None)).axes[0]


def test_more_groups_than_colours_differ_in_their_lines(tmp_path, depths):
    report = compare([depths(tmp_path, {depth: [1.0] for depth in range(8)})])
    lines = drawn(report, *([{0: 1.0, 1: 2.0}] for _ in range(8))).lines
    looks = [(line.get_color(), line.get_linestyle()) for line in lines]
    assert len(set(looks)) == 8 and {style for _, style in looks[:7]} == {"-"}


@pytest.mark.parametrize(
    ("values", "scale"), [((20.0, 1.0), "log"), ((19.0, 1.0), "linear"), ((20.0, 0.0), "linear"), ((-1, -40), "linear")]
)
def test_a_wide_range_has_a_log_scale_which_is_said(tmp_path, depths, values, scale):
    axes = drawn(compare([depths(tmp_path, {1: [1.0]})]), [dict(enumerate(values))])
    assert axes.get_yscale() == scale
    assert axes.get_ylabel() == ("val/loss (nats, log scale)" if scale == "log" else "val/loss (nats)")


def test_the_axes_have_whole_numbers(tmp_path, depths):
    steps = {0: 1000.01, 2_000_000: 1000.02}
    axes = drawn(compare([depths(tmp_path, {1: [1.0]})]), [steps])
    axes.figure.canvas.draw()
    assert [axis.get_offset_text().get_text() for axis in (axes.xaxis, axes.yaxis)] == ["", ""]
    assert "2000000" in [text.get_text() for text in axes.get_xticklabels()]
    assert axes.get_xlabel() == "optimizer step"


def test_many_seeds_and_many_points_are_a_band_and_a_line_alone(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [float(seed) for seed in range(11)]})])
    for count, lines in ((10, 11), (11, 1)):
        axes = drawn(report, [dict.fromkeys(range(21), float(seed)) for seed in range(count)])
        assert (len(axes.lines), len(axes.collections)) == (lines, 1)
        assert axes.lines[-1].get_marker() == "None"
        assert axes.texts[0].get_text().endswith("Thin lines: seeds.") == (count == 10)


def test_seeds_that_have_no_step_in_common_are_lines_without_a_mean(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [1.0, 2.0], 2: [1.0]})])
    axes = drawn(report, [{0: 1.0, 1: 2.0}, {5: 1.0, 6: 2.0}], [{0: 3.0, 1: 3.0}])
    assert [list(line.get_ydata()) for line in axes.lines] == [[1.0, 2.0], [1.0, 2.0], [], [3.0, 3.0]]
    assert [line.get_label() for line in axes.lines][2:] == ["1", "2"]  # in the legend all the same


def test_what_cannot_be_drawn_is_refused_in_one_line(sweep, tmp_path, depths):
    report = compare([sweep])
    with pytest.raises(
        InputError, match=r"^--curves: no counted run has TensorBoard events of 'val/los'; near: val/loss"
    ):
        save_curves(report, tmp_path / "curves.png", "val/los")
    with pytest.raises(
        InputError, match=r"^--curves: expected a file name that ends in one of \.png, .*, got 'x\.jpg'"
    ):
        save_curves(report, "x.jpg")
    bare = compare([depths(tmp_path / "bare", {1: [1.0]})])
    with pytest.raises(InputError, match=r"'val/perplexity'; they have no events at all: was logger=none set\?"):
        save_curves(bare, tmp_path / "curves.png")


def test_an_event_file_that_cannot_be_read_is_told_in_one_line(sweep, capsys):
    path = sweep / "1-1" / "events.out.tfevents.1.host"
    path.mkdir()
    for wish in (["--curves", str(sweep / "c.png")], ["--tensorboard"]):
        assert cli.main(["report", str(sweep), *wish]) == 2
        assert capsys.readouterr().err == f"seqlab: {path}: cannot be read (Is a directory)\n"


def test_where_no_run_is_counted_no_curve_is_missed(tmp_path, write_run):
    write_run(tmp_path / "a", end="failed")
    with pytest.raises(InputError, match=r"^--curves: nothing to draw, since no run is counted$"):
        read_curves(compare([tmp_path]))


def test_curves_are_read_without_torch(sweep, tmp_path):
    code = (
        "import sys; from seqlab.cli import main; "
        f"code = main(['report', {str(sweep)!r}, '--curves', {str(tmp_path / 'c.png')!r}]); "
        "print(code, [name for name in ('torch', 'lightning', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_file_that_is_damaged_is_read_up_to_there(tmp_path, write_events):
    begin = len(write_events(tmp_path, {"val/loss": {1: 3.0, 2: 2.0}}).read_bytes())
    path = write_events(tmp_path, {"val/loss": {1: 3.0, 2: 2.0, 3: 1.0}})
    content = path.read_bytes()
    assert list(read_scalars(str(tmp_path))["val/loss"]) == [1, 2, 3]
    path.write_bytes(content[:begin] + bytes([content[begin] - 1]) + content[begin + 1 :])  # the length of the third
    assert list(read_scalars(str(tmp_path))["val/loss"]) == [1, 2]
    path.write_bytes(content[: begin + 12] + b"\xff" * (len(content) - begin - 12))  # its content
    assert list(read_scalars(str(tmp_path))["val/loss"]) == [1, 2]
    for end in range(begin, len(content)):
        path.write_bytes(content[:end])  # a writer that was killed: never half an event
        assert [event.step for event in read_events(path)] == [0, 1, 2]
    for rest in (b"no event, and long enough for a length", bytes(64)):
        path.write_bytes(content + rest)
        assert [event.step for event in read_events(path)] == [0, 1, 2, 3]


def test_events_are_what_tensorboards_own_reader_finds(tmp_path, write_events):
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    path = write_events(tmp_path, {f"val/{number}" * (number + 1): {1: 1.0, 2: math.nan} for number in range(30)})
    assert [event.SerializeToString() for event in read_events(path)] == [
        event.SerializeToString() for event in LegacyEventFileLoader(str(path)).Load()
    ]
