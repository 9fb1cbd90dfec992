"""What a reader is warned of: runs of other code, data, versions, devices and hosts."""

import json

from seqlab.report import compare, render


def test_versions_that_differ_are_named_with_their_packages(tmp_path, write_run):
    for seed, (torch, more) in enumerate([("2.13.0", {}), ("2.13.0", {}), ("2.14.0", {"extra": "1.0"})]):
        versions = {"python": "3.11.7", "torch": torch, **more}
        write_run(tmp_path / str(seed), seed=seed, metrics=1.0, written={"versions": versions})
    report = compare([tmp_path])
    assert report.notes == [
        "The runs used different versions: extra unknown (2 runs), 1.0 (1 run); torch 2.13.0 (2 runs), 2.14.0 (1 run)."
    ]
    counted = json.loads(render(report, "json"))["runs_by"]["versions"]
    assert counted == {"python 3.11.7, torch 2.13.0": 2, "python 3.11.7, torch 2.14.0, extra 1.0": 1}


def test_data_that_differ_from_group_to_group_are_told_beside_a_chosen_key(tmp_path, write_run):
    for depth in (1, 2):
        config = {"model.num_layers": depth, "model.hidden_size": 10 * depth, "data.path": f"{depth}.txt"}
        data = {"data._target_": "seqlab.data.text_data", "data.cache_dir": str(depth)}
        write_run(tmp_path / str(depth), metrics=1.0, config={**config, **data})
    by_depth = compare([tmp_path], by=["model.num_layers"])
    assert by_depth.notes == [
        "Differing in step with model.num_layers: model.hidden_size.",
        "The groups differ in settings of the data as well: data.path (1.txt, 2.txt).",
    ]
    assert compare([tmp_path], by=["model", "data"]).notes == []


def test_one_choice_of_data_that_gave_two_contents_is_told(tmp_path, write_run):
    contents = [("a.txt", "11"), ("a.txt", "22"), ("b.txt", "33")]
    for seed, (path, content) in enumerate(contents):
        config = {"data.path": path}
        write_run(tmp_path / str(seed), seed=seed, metrics=1.0, config=config, written={"data_hash": content})
    report = compare([tmp_path], by=["data.path"])
    assert report.by == ["data.path", "data_hash"]
    assert report.notes == ["Runs of one configuration read different data: kept apart by data_hash."]


def test_hosts_that_differ_are_told(tmp_path, write_run):
    for seed in (1, 2):
        process = {"pid": 1, "host": f"node{seed}", "started": None}
        write_run(tmp_path / str(seed), seed=seed, metrics=1.0, written={"process": process})
    assert compare([tmp_path]).notes == ["The runs ran on 2 hosts (node1, node2): tokens/s and time may not compare."]


def test_runs_alike_in_all_of_that_give_no_warning(tmp_path, depths):
    assert compare([depths(tmp_path, {1: [1.0, 2.0], 2: [2.0, 3.0]})]).notes == []
