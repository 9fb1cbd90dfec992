"""A sweep as a whole in TensorBoard, as TensorBoard's own plugins see it."""

import math
import shutil
import subprocess
import sys

import pytest

from seqlab import cli
from seqlab.errors import InputError
from seqlab.report import compare
from seqlab.report import tensorboard as board
from seqlab.report.curves import read_scalars
from seqlab.report.hparams import start_time
from seqlab.report.tensorboard import FILE_NAME, MAX_POINTS, remove_row
from seqlab.run.folder import RunFolder
from tests.report.tensorboard_sweep import (
    ask_in_this_process,
    columns_in,
    layout_in,
    rows_in,
    save,
    write_scalars,
    write_sweep,
)

BANDS = "by group: mean ± sample sd over seeds"


@pytest.fixture
def sweep(tmp_path, write_run):
    """Three depths, two seeds each; the second of depth 3 has failed."""
    return write_sweep(tmp_path / "sweep", write_run, {1: [10.0, 12.0], 2: [8.0, 9.0], 3: [7.0, None]})


def run_of(folder, depth, seed):
    return next(folder.glob(f"model.num_layers={depth},seed={seed}-*"))


def test_every_run_is_one_row_with_what_the_sweep_varies_and_its_results(sweep):
    assert save(sweep) == "6 runs in the HParams tab, curves of 3 groups in Custom Scalars"
    ask = ask_in_this_process(sweep)
    columns, metrics = columns_in(ask)
    # The runs' own records name another column: optimizer.lr, the same in all of them, and of another value.
    assert list(columns) == ["model.num_layers", "seed", "status"]
    assert columns["model.num_layers"]["domainDiscrete"] == [1.0, 2.0, 3.0]
    assert columns["model.num_layers"]["displayName"] == "num_layers"
    assert columns["model.num_layers"]["type"] == "DATA_TYPE_FLOAT64"
    assert columns["status"]["domainDiscrete"] == ["completed", "failed"]
    assert metrics == ["test/perplexity", "best/val/loss", "test/loss"]
    rows = rows_in(ask)
    assert sorted(rows) == sorted(path.name for path in sweep.iterdir() if path.name != "groups")
    for name, (values, status, results) in rows.items():
        depth, seed = values["model.num_layers"], values["seed"]
        assert name.startswith(f"model.num_layers={depth:.0f},seed={seed:.0f}-") and set(values) == set(columns)
        failed = (depth, seed) == (3, 2)
        assert (status, values["status"]) == (
            ("STATUS_FAILURE", "failed") if failed else ("STATUS_SUCCESS", "completed")
        )
        assert set(results) == (set() if failed else set(metrics))
    assert rows[run_of(sweep, 2, 1).name][2] == {"test/perplexity": 8.0, "best/val/loss": 1.5, "test/loss": 1.0}


def test_groups_have_their_mean_and_a_band_of_one_deviation(sweep):
    save(sweep)
    ask = ask_in_this_process(sweep)

    def curve(run, tag):
        return [(step, value) for _, step, value in ask(f"scalars/scalars?run={run}&tag={tag}".replace("+", "%2B"))]

    of_first = "groups/num_layers=1"
    assert curve(of_first, "mean/val/loss") == [(0, 5.5), (10, 4.5), (20, 3.5)]
    lower, upper = curve(of_first, "mean-sd/val/loss"), curve(of_first, "mean+sd/val/loss")
    assert [value for _, value in lower] == pytest.approx([mean - math.sqrt(0.5) for mean in (5.5, 4.5, 3.5)])
    assert [value for _, value in upper] == pytest.approx([mean + math.sqrt(0.5) for mean in (5.5, 4.5, 3.5)])
    assert curve("groups/num_layers=3", "mean-sd/val/loss") == [(0, 3.0), (10, 2.0), (20, 1.0)]
    times = [time for time, _, _ in ask(f"scalars/scalars?run={of_first}&tag=mean/val/loss")]
    assert times[0] == min(start_time(run) for run in compare([sweep]).groups[0].runs)
    assert [time - times[0] for time in times] == pytest.approx([0, 30, 60], abs=0.01)
    assert {tag.partition("/")[2] for tag in ask("scalars/tags")[of_first]} == {"val/loss", "train/tokens_per_second"}
    speed = "train/tokens_per_second"
    assert layout_in(ask) == {
        BANDS: [speed, "val/loss"],  # which TensorBoard shows last to first
        "validation": ["val/loss"],
        "test": ["test/loss", "test/perplexity"],
        "speed": [speed],
    }
    # What a chart asks for is what there is: its series are tags, or regular expressions for them.
    charts = {part["title"]: part["chart"] for part in ask("custom_scalars/layout")["category"]}
    assert charts[BANDS][-1]["margin"]["series"] == [
        {"value": "mean/val/loss", "lower": "mean-sd/val/loss", "upper": "mean+sd/val/loss"}
    ]
    (pattern,) = charts["validation"][0]["multiline"]["tag"]
    found = ask(f"custom_scalars/scalars?run={run_of(sweep, 1, 1).name}&tag={pattern}")
    assert list(found["tag_to_events"]) == ["val/loss"] and found["regex_valid"]


def test_a_second_writing_replaces_the_first(sweep, write_run):
    save(sweep)
    before = {path: path.stat().st_ino for path in sweep.rglob(FILE_NAME)}
    save(sweep)
    assert {path: path.stat().st_ino for path in sweep.rglob(FILE_NAME)} == before  # the same is not written again
    write_sweep(sweep, write_run, {3: [7.0, 6.0], 4: [5.0]})
    save(sweep)
    ask = ask_in_this_process(sweep)
    rows = rows_in(ask)
    assert len(rows) == 7 and {status for _, status, _ in rows.values()} == {"STATUS_SUCCESS"}
    assert columns_in(ask)[0]["model.num_layers"]["domainDiscrete"] == [1.0, 2.0, 3.0, 4.0]
    assert "status" not in columns_in(ask)[0]
    points = ask("scalars/scalars?run=groups/num_layers=3&tag=mean/val/loss")
    assert [(step, value) for _, step, value in points] == [(0, 3.5), (10, 2.5), (20, 1.5)]


def test_other_groups_take_the_place_of_the_earlier_ones_and_of_nothing_else(sweep):
    save(sweep)
    (sweep / "groups" / "num_layers=1" / "notes.txt").write_text("mine")
    save(sweep, by=["seed"])
    assert sorted(path.name for path in (sweep / "groups").iterdir()) == ["num_layers=1", "seed=1", "seed=2"]
    assert [path.name for path in (sweep / "groups" / "num_layers=1").iterdir()] == ["notes.txt"]
    save(sweep, by=["model.num_layers", "seed"])  # one run each: their curves would be the runs'
    assert [path.name for path in (sweep / "groups").iterdir()] == ["num_layers=1"]
    shutil.rmtree(sweep / "groups")
    assert save(sweep, by=["model.num_layers", "seed"]) == "6 runs in the HParams tab"
    assert not (sweep / "groups").exists()
    assert list(layout_in(ask_in_this_process(sweep))) == ["validation", "test", "speed"]


def test_what_reads_a_folder_of_runs_sees_the_same_as_before(sweep):
    def seen():
        report = compare([sweep])
        scalars = {run.path: read_scalars(run.path) for run in report.runs}
        return [run.path for run in report.runs], scalars, RunFolder(run_of(sweep, 1, 1)).state()

    before = seen()
    save(sweep)
    assert seen() == before and len(before[0]) == 6


def test_the_layout_has_what_any_run_tells(sweep):
    write_scalars(run_of(sweep, 2, 2), 3, {"val/f1/macro": {0: 0.5, 10: 0.75}})
    save(sweep)
    assert layout_in(ask_in_this_process(sweep))["validation"] == ["val/loss", "val/f1/macro"]


def test_long_curves_are_thinned_to_what_a_chart_can_show(sweep):
    long = {step: float(step) for step in range(5000)}
    for seed in (1, 2):
        write_scalars(run_of(sweep, 1, seed), 3, {"train/loss": long})
    save(sweep)
    mean = read_scalars(str(sweep / "groups" / "num_layers=1"))["mean/train/loss"]
    assert len(mean) == MAX_POINTS and (min(mean), max(mean)) == (0, 4999)
    assert all(step == value for step, value in mean.items())


def test_a_run_that_goes_on_has_no_row_and_one_that_begins_again_loses_it(sweep, write_run):
    write_run(sweep / "goes-on", end="running")
    save(sweep)
    assert "goes-on" not in rows_in(ask_in_this_process(sweep))
    failed = run_of(sweep, 3, 2)
    assert (failed / FILE_NAME).exists()
    remove_row(failed)
    remove_row(failed)
    assert not (failed / FILE_NAME).exists()


def test_names_of_groups_are_names_of_folders(tmp_path, write_run):
    for number, value in enumerate(("a/../b", "a:..:b", "x" * 300, "x" * 301)):
        for seed in (1, 2):
            run = write_run(tmp_path / f"{number}-{seed}", seed=seed, metrics=1.0, config={"data.path": value})
            write_scalars(run, 1, {"val/loss": {0: 1.0, 1: 1.0}})
    save(tmp_path)
    names = sorted(path.name for path in (tmp_path / "groups").iterdir())
    assert len(names) == 4 and names[:2] == ["path=a-..-b", "path=a-..-b-2"] and len(names[-1]) < 110


def test_very_many_groups_have_no_curves_which_is_said(sweep, monkeypatch):
    monkeypatch.setattr(board, "MAX_GROUPS", 3)
    assert save(sweep) == "6 runs in the HParams tab, curves of 3 groups in Custom Scalars"
    monkeypatch.setattr(board, "MAX_GROUPS", 2)
    assert save(sweep) == "6 runs in the HParams tab, no curves of the 3 groups: too many, take fewer keys with --by"
    assert not (sweep / "groups").exists()


def test_where_runs_share_no_two_steps_there_is_no_mean(sweep):
    write_scalars(run_of(sweep, 1, 1), 3, {"train/apart": {0: 1.0, 1: 1.0}, "train/once": {5: 1.0}})
    write_scalars(run_of(sweep, 1, 2), 3, {"train/apart": {2: 1.0, 3: 1.0}, "train/once": {5: 1.0}})
    save(sweep)
    ask = ask_in_this_process(sweep)
    assert set(read_scalars(str(sweep / "groups" / "num_layers=1"))) == {
        f"{kind}/{tag}" for kind in ("mean", "mean-sd", "mean+sd") for tag in ("val/loss", "train/tokens_per_second")
    }
    assert layout_in(ask)["training"] == ["train/apart", "train/once"]  # which the runs have by themselves


def test_runs_without_events_leave_the_others_their_curves(sweep):
    for path in run_of(sweep, 1, 1).glob("events.*"):
        path.unlink()
    for path in run_of(sweep, 3, 1).glob("events.*"):
        path.unlink()
    assert save(sweep) == "6 runs in the HParams tab, curves of 2 groups in Custom Scalars"
    assert read_scalars(str(sweep / "groups" / "num_layers=1"))["mean/val/loss"] == {0: 6.0, 10: 5.0, 20: 4.0}
    save(sweep, by=["model.num_layers", "seed"])
    assert list(layout_in(ask_in_this_process(sweep))) == ["validation", "test", "speed"]


def test_a_folder_whose_runs_all_go_on_has_no_rows(tmp_path, write_run):
    write_run(tmp_path / "a", end="running", written={"process": {"pid": 1, "host": "elsewhere", "started": None}})
    assert save(tmp_path) == "0 runs in the HParams tab"
    assert list(tmp_path.rglob(FILE_NAME)) == []


def test_the_command_says_how_to_see_it(sweep, capsys, monkeypatch):
    monkeypatch.chdir(sweep.parent)
    assert cli.main(["report", "sweep", "--tensorboard"]) == 0
    shown = capsys.readouterr()
    assert "model.num_layers" in shown.out
    assert shown.err.splitlines()[-1] == (
        "written: 6 runs in the HParams tab, curves of 3 groups in Custom Scalars; "
        "see them with: tensorboard --logdir sweep"
    )


def test_what_cannot_be_written_is_told_in_one_line(sweep, capsys):
    run = run_of(sweep, 1, 1)
    assert cli.main(["report", str(sweep), str(run), "--tensorboard"]) == 2
    assert capsys.readouterr().err == "seqlab: --tensorboard: expected one DIR to write into, got 2\n"
    assert cli.main(["report", str(run), "--tensorboard"]) == 2
    assert "expected a folder with several runs, got a run" in capsys.readouterr().err
    (sweep / "groups" / "num_layers=1" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(InputError, match=rf"^--tensorboard: cannot write .*/{FILE_NAME} \(Is a directory\)$"):
        save(sweep)
    shutil.rmtree(sweep / "groups")
    (sweep / "groups").write_text("in the way")
    with pytest.raises(InputError, match=r"^--tensorboard: cannot write .*groups.* \((File exists|Not a directory)\)$"):
        save(sweep)


def test_it_is_written_without_torch_and_tensorflow(sweep):
    code = (
        "import sys; from seqlab.cli import main; "
        f"code = main(['report', {str(sweep)!r}, '--tensorboard']); "
        "print(code, [name for name in ('torch', 'lightning', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []" and (sweep / "groups").is_dir()
