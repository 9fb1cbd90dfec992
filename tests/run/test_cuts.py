"""Whether the data of a run are cut anew: by their content, wherever their files are."""

import gzip
import shutil

import pytest

from seqlab.run.cuts import files_of_training, other_cut
from seqlab.run.inputs import ContentHashes, describe_files

LABELLED = {"_target_": "seqlab.data.labelled_data", "split": [0.8, 0.1, 0.1], "split_seed": 0, "ignore_label": None}
SERIES = {"_target_": "seqlab.data.series_data", "test_steps": 40, "validation_steps": None}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\na b,yes\n")
    (tmp_path / "link.csv").symlink_to("rows.csv")
    shutil.copy(tmp_path / "rows.csv", tmp_path / "copy.csv")
    (tmp_path / "other.csv").write_text("text,label\nb a,no\n")
    return tmp_path


def record_of(data, **fields):
    config = {"data": data}
    return {"config": config, "data_files": describe_files([data["path"]], config, ContentHashes()), **fields}


@pytest.mark.parametrize("name", ["rows.csv", "link.csv", "copy.csv", "r*s.csv"])
def test_the_same_rows_are_known_by_their_content(folder, name):
    record = record_of({**LABELLED, "path": str(folder / "rows.csv")})
    given = {**LABELLED, "path": str(folder / name)}
    assert other_cut(record, {"data": given}) == []
    assert other_cut(record, {"data": {**given, "split_seed": 5}}) == ["split_seed"]
    assert other_cut(record, {"data": {**given, "ignore_label": "x", "split_seed": 5}}) == [
        "split_seed",
        "ignore_label",
    ]


def test_the_same_rows_are_known_packed_and_unpacked(folder):
    for name in ("rows", "other"):
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress((folder / f"{name}.csv").read_bytes(), mtime=1))
    plain, packed = (str(folder / f"rows.csv{end}") for end in ("", ".gz"))
    for trained, given in ((plain, packed), (packed, plain), (packed, packed)):
        record = record_of({**LABELLED, "path": trained})
        assert other_cut(record, {"data": {**LABELLED, "path": given, "split_seed": 5}}) == ["split_seed"]
        among = {"data": {**LABELLED, "path": [given, str(folder / "other.csv.gz")]}}
        assert files_of_training(record, among, ContentHashes()) == [given]
    (folder / "cut.csv.gz").write_bytes((folder / "rows.csv.gz").read_bytes()[:-9])
    cut = {"data": {**LABELLED, "path": str(folder / "cut.csv.gz"), "split_seed": 5}}
    assert other_cut(record_of({**LABELLED, "path": plain}), cut) == []  # its reader refuses it


def test_other_data_are_cut_as_one_likes(folder):
    record = record_of({**LABELLED, "path": str(folder / "rows.csv")})
    for path in (folder / "other.csv", [str(folder / "rows.csv"), str(folder / "other.csv")]):
        assert other_cut(record, {"data": {**LABELLED, "path": path, "split_seed": 5}}) == []
    own = {**record["config"]["data"], "_target_": "my_data.Rows"}
    assert other_cut(record_of(own), {"data": {**own, "split_seed": 5}}) == []


def test_rows_of_a_file_that_has_changed_are_taken_for_the_same_and_a_series_that_has_grown_is_not(folder):
    record = record_of({**LABELLED, "path": str(folder / "rows.csv")})
    series = record_of({**SERIES, "path": str(folder / "rows.csv")})
    later = {"data": {**series["config"]["data"], "test_steps": 20}}
    assert other_cut(series, later) == ["test_steps"]
    with open(folder / "rows.csv", "a") as stream:
        stream.write("c d,no\n")
    assert other_cut(record, {"data": {**record["config"]["data"], "split_seed": 5}}) == ["split_seed"]
    assert other_cut(series, later) == []


def test_an_option_that_the_runs_version_lacked_and_files_that_it_did_not_note_are_no_other_cut(folder):
    old = {name: value for name, value in LABELLED.items() if name != "ignore_label"} | {"path": "/a.csv"}
    record = {"config": {"data": old}}  # nothing noted of its files
    assert other_cut(record, {"data": {**old, "ignore_label": "x"}}) == []
    assert other_cut(record, {"data": {**old, "split_seed": 5}}) == ["split_seed"]
    assert other_cut(record, {"data": {**old, "split_seed": 5, "path": "/b.csv"}}) == []


def test_who_speaks_in_the_test_is_a_cut_of_the_digits_alone():
    for target, changed in (("spoken_digits_data", ["speaker"]), ("recordings_data", [])):
        data = {"_target_": f"seqlab.data.{target}", "speaker": None}
        assert other_cut({"config": {"data": data}}, {"data": {**data, "speaker": "theo"}}) == changed


def test_files_of_the_training_among_other_data_are_named(folder):
    rows, copy, other = (str(folder / f"{name}.csv") for name in ("rows", "copy", "other"))
    record = record_of({**LABELLED, "path": rows})

    def named(**data):
        return files_of_training(record, {"data": {**LABELLED, **data}}, ContentHashes())

    assert named(path=[copy, other]) == named(train=other, validation=other, test=copy) == [copy]
    assert named(path=copy) == named(path=other) == named(train=rows, test=other) == []
    with open(rows, "a") as stream:
        stream.write("c d,no\n")
    assert named(path=rows) == [rows] and named(train=rows, validation=copy, test=other) == []
    series = {"data": {**SERIES, "path": [rows, other]}}
    assert files_of_training(record_of({**SERIES, "path": rows}), series, ContentHashes()) == []
    record["data_files"].append({**record["data_files"][0], "key": None})  # one that the table names has no key
    assert named(path=[copy, other]) == [copy]


def test_a_table_of_files_is_the_trainings_where_a_file_that_it_names_is(tmp_path):
    def table(name, *clips):
        (tmp_path / name).mkdir()
        for number, clip in enumerate(clips):
            (tmp_path / name / f"{number}.npy").write_text(clip)
        (tmp_path / name / "index.csv").write_text("file,label\n0.npy,a\n1.npy,b\n")
        return str(tmp_path / name / "index.csv")

    first, second, copied, alone = (
        table("first", "x", "y"), table("second", "v", "w"), table("copied", "x", "w"), table("alone")
    )  # fmt: skip
    data = {"_target_": "seqlab.data.clips_data", "path": first, "test": None}
    clips = [str(tmp_path / "first" / f"{number}.npy") for number in (0, 1)]
    record = {"config": {"data": data}, "data_files": describe_files([first, *clips], {"data": data}, ContentHashes())}
    assert [entry["key"] for entry in record["data_files"]] == ["data.path", None, None]
    # Of the files that "alone" names, nothing is known.
    for path, named in ((second, []), (copied, [copied]), (alone, [alone]), (first, [first])):
        assert files_of_training(record, {"data": {**data, "test": path}}, ContentHashes()) == named


def test_a_test_of_its_own_beside_the_set_leaves_its_cut_as_it_is(folder):
    rows, copy, other = (str(folder / f"{name}.csv") for name in ("rows", "copy", "other"))
    record = record_of({**LABELLED, "path": rows, "test": None})
    given = {**LABELLED, "path": rows, "test": other}
    assert other_cut(record, {"data": given}) == []
    assert other_cut(record, {"data": {**given, "split_seed": 5}}) == ["split_seed"]
    assert files_of_training(record, {"data": given}, ContentHashes()) == []
    assert files_of_training(record, {"data": {**given, "test": copy}}, ContentHashes()) == [copy]
    assert files_of_training(record, {"data": {**given, "path": copy}}, ContentHashes()) == []
    assert files_of_training(record, {"data": {**given, "path": [copy, other]}}, ContentHashes()) == [copy]


def test_a_side_of_parallel_text_is_a_file_of_the_training(folder):
    rows, copy, other = (str(folder / f"{name}.csv") for name in ("rows", "copy", "other"))
    data = {"_target_": "seqlab.data.parallel_data", "path": {"source": rows, "target": other}, "test": None}
    record = {"config": {"data": data}, "data_files": describe_files([rows, other], {"data": data}, ContentHashes())}
    config = {"data": {**data, "path": {"source": other, "target": copy}}}
    assert files_of_training(record, config, ContentHashes()) == [other, copy]


def test_a_split_that_is_cut_from_the_training_split_of_a_data_set_is_a_cut_and_another_split_is_none():
    data = {"_target_": "seqlab.data.labelled_data", "hub": "imdb", "train": None, "test": None, "split_seed": 0}
    record = {"config": {"data": data}}
    for test, cut, named in (("cut", ["test"], []), ("unsupervised", [], []), ("train", [], ["the split train"])):
        config = {"data": {**data, "test": test}}
        assert other_cut(record, config) == cut
        assert files_of_training(record, config, ContentHashes()) == named
        assert files_of_training(record, {"data": {**config["data"], "hub": "other"}}, ContentHashes()) == []
