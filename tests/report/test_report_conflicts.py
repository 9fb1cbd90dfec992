"""Runs of different code or data are no sample of one thing: groups keep them apart."""

import pytest

from seqlab.report import compare, render
from seqlab.report.groups import Report


def code(**modules: str | None) -> dict:
    files = [{"module": name, "path": f"/x/{name}.py", "sha256": sha256} for name, sha256 in modules.items()]
    return {"hash": "-".join(map(str, modules.values())), "files": files}


def values(report: Report) -> list[list[float]]:
    return [group.values for group in report.groups]


@pytest.fixture
def edited(tmp_path, write_run):
    """A sweep over three seeds whose cell was edited once the first had started."""
    for seed, version in enumerate(["a" * 64, "b" * 64, "b" * 64], start=1):
        write_run(tmp_path / str(seed), seed=seed, metrics=float(seed), written={"code": code(my_cells=version)})
    return tmp_path


def test_a_cell_that_was_edited_while_its_sweep_ran_is_two_groups(edited):
    """Pooled, they were three seeds, and an interval over two codes."""
    report = compare([edited])
    assert report.by == ["code"] and values(report) == [[1.0], [2.0, 3.0]]
    assert [group.key["code"] for group in report.groups] == ["my_cells aaaaaa", "my_cells bbbbbb"]
    assert report.groups[0].interval is None
    assert any("kept apart by code" in note for note in report.notes)
    assert "my_cells bbbbbb" in render(report, "csv-groups")


def test_so_it_is_where_the_groups_keys_are_given(tmp_path, write_run):
    for number, (depth, version) in enumerate([(1, "a"), (1, "b"), (1, "b"), (2, "b")]):
        config = {"model.num_layers": depth}
        run = {"seed": number, "metrics": float(number), "config": config}
        write_run(tmp_path / str(number), written={"code": code(my_cells=version * 64)}, **run)
    report = compare([tmp_path], by=["model.num_layers"])
    assert report.by == ["model.num_layers", "code"]
    assert values(report) == [[0.0], [1.0, 2.0], [3.0]]


def test_groups_of_other_modules_or_of_other_code_from_group_to_group(tmp_path, write_run):
    for number, cell in enumerate(["gru", "gru", "lstm", "lstm"]):
        config, written = {"model.cell": cell}, {"code": code(**{f"my_{cell}": cell * 20, "shared": "c" * 64})}
        write_run(tmp_path / str(number), seed=number % 2, metrics=1.0, config=config, written=written)
    report = compare([tmp_path])
    assert report.by == ["model.cell"] and report.notes == []
    for number in (2, 3):  # edited between the two
        config, written = {"model.cell": "lstm"}, {"code": code(my_lstm="lstm" * 20, shared="d" * 64)}
        write_run(tmp_path / str(number), seed=number % 2, metrics=1.0, config=config, written=written)
    report = compare([tmp_path])
    assert report.by == ["model.cell"]
    assert report.notes == ["Differing in step with model.cell: code."]


def test_code_that_is_unknown_equals_nothing(tmp_path, write_run):
    for seed in (1, 2):
        write_run(tmp_path / str(seed), seed=seed, metrics=float(seed), written={"code": code(my_cells=None)})
    assert values(compare([tmp_path])) == [[1.0], [2.0]]


def test_runs_of_an_earlier_version_which_recorded_no_code_stay_together(tmp_path, write_run):
    for seed in (1, 2):
        write_run(tmp_path / str(seed), seed=seed, metrics=float(seed))
    assert values(compare([tmp_path])) == [[1.0, 2.0]]


TEXT = {"data._target_": "seqlab.data.text_data"}


def test_data_that_changed_while_a_sweep_ran_is_kept_apart_whatever_the_seed_of_its_order(tmp_path, write_run):
    for seed, content in enumerate(["1" * 12, "1" * 12, "2" * 12], start=1):
        config = {**TEXT, "data.path": "/x/a.txt", "data.seed": seed}
        write_run(tmp_path / str(seed), seed=seed, metrics=float(seed), config=config, written={"data_hash": content})
    report = compare([tmp_path])
    assert report.by == ["data_hash"] and values(report) == [[1.0, 2.0], [3.0]]


def test_a_seed_that_decides_what_the_data_is_makes_no_conflict(tmp_path, write_run):
    for seed in (1, 2):
        config = {**TEXT, "data.path": "/x/a.txt", "data.split_seed": seed}
        written = {"data_hash": str(seed) * 12}
        write_run(tmp_path / str(seed), seed=seed, metrics=float(seed), config=config, written=written)
    assert values(compare([tmp_path])) == [[1.0, 2.0]]


def test_data_that_has_moved_is_the_same_data(tmp_path, write_run):
    for seed, folder in enumerate(["old", "new", "new"], start=1):
        config = {**TEXT, "data.path": [f"/{folder}/a.txt", f"/{folder}/b.txt"]}
        write_run(tmp_path / str(seed), seed=seed, metrics=float(seed), config=config, written={"data_hash": "1" * 12})
    report = compare([tmp_path])
    assert report.by == [] and values(report) == [[1.0, 2.0, 3.0]] and report.notes == []


def test_paths_are_shown_as_they_were_given(tmp_path, write_run):
    for name in "ab":
        config, written = {**TEXT, "data.path": f"/project/{name}.txt"}, {"places": {"working_folder": "/project"}}
        write_run(tmp_path / name, metrics=1.0, config=config, written=written)
    assert [group.key["data.path"] for group in compare([tmp_path]).groups] == ["a.txt", "b.txt"]


def test_two_files_of_one_sweep_are_two_runs_though_their_hash_leaves_places_out(tmp_path, write_run):
    for name, content in (("a", "1" * 12), ("b", "2" * 12)):
        config = {**TEXT, "data.path": f"/x/{name}.txt"}
        write_run(tmp_path / name, metrics=1.0, config=config, written={"data_hash": content})
    assert len(compare([tmp_path]).groups) == 2
    assert values(compare([tmp_path], by=["model.num_layers"])) == [[1.0, 1.0]]


def test_which_commit_of_seqlab_trained_is_told_where_it_differs(tmp_path, write_run):
    for seed, commit in enumerate(["a" * 40, "b" * 40], start=1):
        git = {"commit": commit, "dirty": False}
        write_run(tmp_path / str(seed), seed=seed, metrics=1.0, written={"seqlab_git": git})
    assert compare([tmp_path]).notes == [
        f"The runs used different versions: seqlab-commit {'a' * 10} (1 run), {'b' * 10} (1 run)."
    ]
