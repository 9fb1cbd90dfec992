"""Which runs the report counts, how it groups them, and what it warns of."""

import json
import math
import shutil

import pytest

from seqlab.errors import InputError
from seqlab.report import compare, render, save_plot
from seqlab.report.labels import labels
from seqlab.run.record import RECORD_NAME


def test_only_completed_runs_count_and_the_others_are_listed(tmp_path, depths, write_run):
    depths(tmp_path, {1: [10.0, 12.0], 2: [8.0]})
    write_run(tmp_path / "failed", seed=9, end="failed", metrics=1e9, config={"model.num_layers": 3})
    write_run(tmp_path / "stopped", seed=9, end="interrupted")
    write_run(tmp_path / "going", seed=9, end="running")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / RECORD_NAME).write_text("{")
    report = compare([tmp_path])
    assert [(group.key, group.mean) for group in report.groups] == [
        ({"model.num_layers": 1}, 11.0),
        ({"model.num_layers": 2}, 8.0),
    ]
    for text in (render(report), render(report, "markdown")):
        assert "Not counted: 1 unreadable, 1 failed, 1 running, 1 interrupted:" in text
        failed = next(line for line in text.splitlines() if str(tmp_path / "failed") in line)
        assert "model.num_layers=3 seed=9" in failed
        assert failed.endswith("RuntimeError: [31mout of memory")
    by_seed = render(compare([tmp_path], by=["seed"]))
    assert f"failed {tmp_path / 'failed'} seed=9: RuntimeError" in by_seed  # once
    listed = json.loads(render(report, "json"))["not_counted"]
    assert [entry["status"] for entry in listed] == ["unreadable", "failed", "running", "interrupted"]


def test_a_sweep_without_a_completed_run_still_tells_what_happened(tmp_path, write_run):
    write_run(tmp_path / "a", end="failed")
    report = compare([tmp_path])
    for format in ("table", "markdown", "csv", "json"):
        assert render(report, format)
    assert "No completed run to compare." in render(report)
    assert "RuntimeError" in render(report)
    with pytest.raises(InputError, match="nothing to draw"):
        save_plot(report, tmp_path / "plot.png")


def test_a_diverged_seed_is_told_and_its_group_is_not_the_best(tmp_path, depths):
    depths(tmp_path, {1: [10.0, 12.0], 2: [4.0, math.nan], 3: [math.inf, 1e200]})
    report = compare([tmp_path])
    assert [(group.mean, group.diverged, group.best) for group in report.groups] == [
        (11.0, 0, True),
        (4.0, 1, False),
        (None, 2, False),
    ]
    assert "diverged" in next(line for line in render(report).splitlines() if line.startswith(" 3 "))
    content = json.loads(render(report, "json"), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert content["groups"][1]["values"] == [4.0, "nan"]
    assert content["groups"][2]["mean"] is None
    save_plot(report, tmp_path / "plot.png")


def test_a_run_found_twice_counts_once(tmp_path, depths):
    sweep = depths(tmp_path / "sweep", {1: [10.0], 2: [8.0]})
    (tmp_path / "link").symlink_to(sweep)
    (sweep / "loop").symlink_to(sweep)
    report = compare([tmp_path, sweep, sweep / "1-1", sweep / "1-1" / RECORD_NAME, tmp_path / "link"])
    assert [group.values for group in report.groups] == [[10.0], [8.0]]
    assert not report.notes
    shutil.copytree(sweep / "1-1", tmp_path / "copy")
    report = compare([tmp_path])
    assert [group.values for group in report.groups] == [[10.0], [8.0]]
    assert "found in other folders: 1" in report.notes[0]


@pytest.mark.parametrize("copy", ["a", "z"])
def test_of_a_run_and_a_copy_made_before_its_end_the_ended_one_counts(tmp_path, write_run, copy):
    write_run(tmp_path / "m", metrics=10.0)
    shutil.copytree(tmp_path / "m", tmp_path / copy)
    path = tmp_path / copy / RECORD_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "running", "metrics": {}}))
    report = compare([tmp_path])
    assert ([group.values for group in report.groups], report.not_counted) == ([[10.0]], [])


def test_runs_behind_a_link_are_found(tmp_path, depths):
    depths(tmp_path / "disk", {1: [10.0]})
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sweep").symlink_to(tmp_path / "disk")
    assert compare([tmp_path / "runs"]).groups[0].values == [10.0]


def test_a_seed_that_ran_again_counts_once_with_its_latest_result(tmp_path, write_run):
    for number, result in enumerate([9.0, 7.0, 8.0]):
        write_run(tmp_path / f"{9 - number}", seed=1, metrics=result)
    write_run(tmp_path / "other", seed=2, metrics=4.0)
    report = compare([tmp_path])
    assert report.groups[0].values == [8.0, 4.0]
    assert "2 runs repeated later with the same config and seed" in report.notes[0]


# Keys and metrics


def test_any_key_or_subtree_groups(tmp_path, write_run):
    for number, (cell, bias) in enumerate([("LSTMCell", True), ("LSTMCell", False), ("GRUCell", True)]):
        config = {"model.cell": {"_target_": f"seqlab.nn.{cell}", "_partial_": True, "bias": bias}, "optimizer.lr": 0.5}
        for seed in (1, 2):
            write_run(tmp_path / f"{number}-{seed}", seed=seed, metrics=10.0 * (number + 1) + seed, config=config)
    by_target = compare([tmp_path], by=["model.cell._target_"])
    assert [len(group.values) for group in by_target.groups] == [2, 4]
    assert "GRUCell" in render(by_target) and "seqlab.nn" not in render(by_target)
    by_cell = compare([tmp_path], by=["model.cell"])
    assert {
        label: group.mean
        for label, group in zip(
            labels("model.cell", [group.key["model.cell"] for group in by_cell.groups]), by_cell.groups, strict=True
        )
    } == {"LSTMCell(bias=true)": 11.5, "LSTMCell(bias=false)": 21.5, "GRUCell(bias=true)": 31.5}
    both = compare([tmp_path], by=["model.cell._target_", "model.cell.bias"])
    assert [len(group.values) for group in both.groups] == [2, 2, 2]


def test_labels_that_would_look_alike_stay_long():
    assert labels("model.cell._target_", ["mine.LSTMCell", "seqlab.nn.LSTMCell"]) == [
        "mine.LSTMCell",
        "seqlab.nn.LSTMCell",
    ]
    assert labels("a.b", ["x.y", 1, True, None, [1, 2]]) == ["x.y", "1", "true", "null", "[1,2]"]


def test_numbers_are_grouped_by_value_and_apart_from_truth(tmp_path, write_run):
    for number, value in enumerate([1, 1.0, True, "1"]):
        write_run(tmp_path / str(number), seed=number, metrics=2.0, config={"model.depth": value})
    groups = compare([tmp_path], by=["model.depth"]).groups
    assert sorted(len(group.values) for group in groups) == [1, 1, 2]


def test_by_default_the_keys_that_tell_the_runs_apart(tmp_path, write_run):
    for depth, size, rate in [(1, 100, 0.5), (2, 70, 0.5), (1, 100, 0.1), (2, 70, 0.1)]:
        for seed in (1, 2):
            write_run(
                tmp_path / f"{depth}-{rate}-{seed}",
                seed=seed,
                metrics=2.0,
                overrides=("optimizer.lr=1", f"seed={seed}"),
                config={
                    "model.num_layers": depth,
                    "model.hidden_size": size,
                    "optimizer.lr": rate,
                    "data.shuffle_seed": seed,
                    "paths.run": f"{depth}-{rate}-{seed}",
                    "trainer.accelerator": f"gpu{seed}",
                },
            )
    report = compare([tmp_path])
    # Set on the command line: first. The size goes with the depth; seeds, paths and devices are none of it.
    assert report.by == ["optimizer.lr", "model.hidden_size"]
    assert [len(group.values) for group in report.groups] == [2, 2, 2, 2]
    assert report.notes == ["Differing in step with optimizer.lr, model.hidden_size: model.num_layers."]


def test_a_group_that_was_swept_is_told_by_its_class(tmp_path, write_run):
    for name, more in {
        "RNNCell": {"nonlinearity": "tanh"},
        "GRUCell": {"bias": True},
        "LSTMCell": {"bias": True},
    }.items():
        config = {"model.cell": {"_target_": f"seqlab.nn.{name}", **more}}
        write_run(tmp_path / name, metrics=2.0, config=config, overrides=(f"model/cell={name}",))
    report = compare([tmp_path])
    assert report.by == ["model.cell._target_"]
    # In the order of the runs' paths, where GRU comes first.
    assert report.notes == ["Differing in step with model.cell._target_: model.cell.bias, model.cell.nonlinearity."]


def test_more_than_three_independent_keys_are_remarked_on(tmp_path, write_run):
    for number in range(16):
        bits = {f"model.k{place}": number >> place & 1 for place in range(4)}
        write_run(tmp_path / str(number), metrics=2.0, config=bits)
    assert any(note.startswith("4 config keys differ independently") for note in compare([tmp_path]).notes)


def test_what_is_mixed_in_a_group_is_pointed_out(tmp_path, write_run):
    first, second = {"commit": "a" * 40, "dirty": False}, {"commit": "b" * 40, "dirty": False}
    third = {**second, "dirty": True}
    write_run(tmp_path / "a", seed=1, metrics=1.0, config={"optimizer.lr": 10}, git=first)
    write_run(tmp_path / "b", seed=2, metrics=2.0, config={"optimizer.lr": 9}, git=second, device="A100")
    write_run(tmp_path / "c", seed=3, metrics=2.0, config={"optimizer.lr": 9}, git=third, device="A100")
    text = " ".join(render(compare([tmp_path], by=["model.num_layers"])).split())
    assert "Mixed within a group: optimizer.lr (9, 10)." in text
    assert "from 3 states of the code" in text and "bbbbbbbbbb with uncommitted changes (1 run)" in text
    assert "2 devices (A100, unknown)" in text
    assert "Mixed" not in render(compare([tmp_path], by=["optimizer.lr"]))
    assert "Mixed" not in render(compare([tmp_path], by=["optimizer"]))


def test_the_default_metric(tmp_path, write_run):
    both = {"test/perplexity": 1.0, "val/perplexity": 2.0, "test/loss": 3.0}
    write_run(tmp_path / "p" / "a", seed=1, metrics=both)
    assert compare([tmp_path / "p"]).metric == "test/perplexity"
    write_run(tmp_path / "p" / "b", seed=2, metrics={"val/perplexity": 2.0, "test/loss": 3.0})
    assert compare([tmp_path / "p"]).metric == "val/perplexity"
    goal = {"optimize.metric": "val/accuracy"}
    write_run(tmp_path / "c" / "a", seed=1, metrics={"val/accuracy": 0.5, "test/loss": 3.0}, config=goal)
    assert compare([tmp_path / "c"]).metric == "val/accuracy"
    write_run(tmp_path / "c" / "a", seed=1, metrics={"val/accuracy": 0.5, "test/accuracy": 0.4}, config=goal)
    assert compare([tmp_path / "c"]).metric == "test/accuracy"
    write_run(tmp_path / "l" / "a", metrics={"test/loss": 3.0}, config={"optimize.metric": ["val/loss"]})
    assert compare([tmp_path / "l"]).metric == "test/loss"
    assert (
        "1 run completed without test/perplexity: not counted."
        in compare([tmp_path / "p"], metric="test/perplexity").notes
    )


def test_unknown_keys_and_metrics_name_near_ones(tmp_path, depths, write_run):
    depths(tmp_path, {1: [1.0], 2: [2.0]})
    with pytest.raises(InputError, match=r"--by: no run has the config key 'num_layers'; near: model\.num_layers"):
        compare([tmp_path], by=["num_layers"])
    with pytest.raises(InputError, match=r"'lr'; near: optimizer\.lr"):
        compare([tmp_path], by=["lr"])
    with pytest.raises(InputError, match=r"'model\.num_layer'; near: model\.num_layers"):
        compare([tmp_path], by=["model.num_layer"])
    with pytest.raises(InputError, match="--metric: no completed run has 'perplexity'; near: test/perplexity"):
        compare([tmp_path], metric="perplexity")
    with pytest.raises(InputError, match="there are: test/perplexity"):
        compare([tmp_path], metric="xyz")
    write_run(tmp_path / "without" / "a", metrics={})
    with pytest.raises(InputError, match=r"^--metric: none of the completed runs has a metric \(1 run\)$"):
        compare([tmp_path / "without"])
    shutil.rmtree(tmp_path / "without")
    write_run(tmp_path / "other", metrics={"test/f1": 1.0})
    with pytest.raises(InputError, match="no metric in common; choose one of: test/f1, test/perplexity"):
        compare([tmp_path])


def test_folders_without_runs_are_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"^no run\.json below DIR: .*empty$"):
        compare([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"DIR: expected a folder of runs, got .*nowhere"):
        compare([tmp_path / "nowhere"])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / RECORD_NAME).write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        compare([tmp_path / "broken"])


def test_a_part_of_the_config_that_a_run_lacks_tells_it_apart(tmp_path, write_run):
    write_run(tmp_path / "a", metrics=1.0)
    lacking = {"config": {"seed": 1, "name": "x", "model": {"num_layers": 1}}, "config_hash": "x"}
    write_run(tmp_path / "b", metrics=2.0, written=lacking)
    report = compare([tmp_path])
    assert [group.key for group in report.groups] == [{"optimizer.lr": 0.5}, {"optimizer.lr": "-"}]
