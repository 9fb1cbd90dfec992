"""The files that a run reads its data from: recorded, and compared before any job starts."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from seqlab.config import build
from seqlab.config.paths import absolute_paths
from seqlab.errors import InputError
from seqlab.run import content, inputs
from seqlab.run.inputs import FileHashes, data_differences, describe_files
from tests.conftest import config_of, interrupted_here
from tests.run.test_data_hash import LINES, QUIET, SMALL, columns, hash_of, pairs, stories, tables

TEXT = "".join(f"{line}\n" for line in LINES)


def record_of(*overrides: str) -> dict:
    """What ``run.json`` would say of a run's data."""
    config = absolute_paths(config_of(*overrides))
    data = build.build_data(config)
    data.prepare_data()
    return {"config": config, "data_files": describe_files(content.input_files(data, config), config, FileHashes())}


def names(record: dict) -> list[tuple[str, str | None]]:
    return [(Path(entry["path"]).name, entry["key"]) for entry in record["data_files"]]


def differences(record: dict, **options) -> list[str]:
    return data_differences(record, FileHashes(), **options)


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Two texts that a pattern names, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(TEXT + name)
    return tmp_path


def test_a_file_that_changed_is_gone_or_joined_a_pattern_is_named(texts):
    record = record_of("data=text", "data.path=*.txt", *SMALL)
    written = (texts / "a.txt").read_bytes()
    entry = {"path": str(texts / "a.txt"), "size": len(written), "sha256": hashlib.sha256(written).hexdigest()}
    assert record["data_files"][0] == {**entry, "key": "data.path"}
    assert differences(record) == []
    (texts / "b.txt").write_text("other")
    assert differences(record) == ["b.txt has changed"]
    (texts / "b.txt").write_text(TEXT + "b.txt")
    assert differences(record) == []
    (texts / "c.txt").write_text("more")
    assert differences(record) == ["data.path: 3 files instead of 2; new: c.txt"]
    for name in ("b.txt", "c.txt"):
        (texts / name).unlink()
    assert differences(record) == ["data.path: 1 files instead of 2; gone: b.txt"]


def test_neither_place_nor_name_is_content_and_order_is(texts):
    record = record_of("data=text", "data.path=[a.txt,b.txt]", *SMALL)
    (texts / "new").mkdir()
    (texts / "a.txt").rename(texts / "new" / "one.txt")
    (texts / "b.txt").rename(texts / "new" / "two.txt")
    mend = "(if it has moved, give its new path by data.path)"
    assert differences(record) == [f"{name} is gone, or cannot be read {mend}" for name in ("a.txt", "b.txt")]
    unnamed = {**record, "data_files": [{**record["data_files"][0], "key": None}]}  # by no key of the configuration
    assert differences(unnamed) == ["a.txt is gone, or cannot be read"]
    moved = absolute_paths(config_of("data=text", "data.path=new/*.txt", *SMALL))
    assert differences(record, config=moved) == []
    turned = absolute_paths(config_of("data=text", "data.path=[new/two.txt,new/one.txt]", *SMALL))
    assert differences(record, config=turned) == ["data.path names the same files in another order"]


def test_what_moved_with_the_run_is_the_same(texts, tmp_path_factory, monkeypatch):
    record = record_of("data=text", "data.path=*.txt", *SMALL)
    record["places"] = {"run_folder": str(texts / "runs" / "x"), "working_folder": str(texts)}
    moved = tmp_path_factory.mktemp("moved") / "project"
    texts.rename(moved)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert differences(record, run_dir=moved / "runs" / "x") == []
    (moved / "a.txt").write_text("other")
    assert len(found := differences(record, run_dir=moved / "runs" / "x")) == 1
    assert str(moved / "a.txt") in found[0] and "differs from" in found[0]


@pytest.mark.parametrize("write", [tables, columns, pairs, stories])
def test_each_task_says_which_files_it_reads(write, tmp_path):
    record = record_of(*write(tmp_path, list))
    assert {Path(entry["path"]) for entry in record["data_files"]} == {
        path for path in tmp_path.iterdir() if path.is_file()
    }
    assert None not in [key for _, key in names(record)]
    assert differences(record) == []
    write(tmp_path, lambda rows: rows[::-1])
    assert differences(record)


def test_vectors_vocabularies_and_published_folders_are_read_too(tmp_path):
    (tmp_path / "glove.txt").write_text("word1 0.5 1.0\n")
    record = record_of(*columns(tmp_path, list), f"data.vectors={tmp_path / 'glove.txt'}", "data.vectors_size=2")
    assert names(record)[-1] == ("glove.txt", "data.vectors")
    (tmp_path / "ptb").mkdir()
    for name in ("train", "valid", "test"):
        (tmp_path / "ptb" / f"ptb.{name}.txt.gz").write_bytes(gzip.compress(TEXT.encode(), mtime=0))
    record = record_of("data=ptb", f"data.root={tmp_path}")
    assert names(record) == [(f"ptb.{name}.txt.gz", "data.root") for name in ("test", "train", "valid")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "ptb").rename(elsewhere / "ptb")
    assert ["cannot be read" in text for text in differences(record)] == [True] * 3
    assert differences(record, config=config_of("data=ptb", f"data.root={elsewhere}")) == []

    (tmp_path / "a.txt").write_text(TEXT)
    vocabulary = build.build_data(config_of("data=text", f"data.path={tmp_path / 'a.txt'}", *SMALL)).vocabulary
    vocabulary.save(tmp_path)
    read = record_of("data=text", f"data.path={tmp_path / 'a.txt'}", f"data.vocabulary={tmp_path}", *SMALL)
    assert names(read)[-1] == ("tokenizer.json", "data.vocabulary")


def test_what_ships_with_seqlab_or_a_package_reads_nothing():
    for choice in ("hello", "tiny_sentiment", "grammar", "world", "kjv", "kjv_web"):
        data = build.build_data(config_of(f"data={choice}"))
        assert content.input_files(data, {}) == [], choice


def test_data_sets_of_local_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.txt").write_text(TEXT)
    options = ("data=hub", "data.path=text", "data.data_files=own/train.txt", *SMALL)
    assert names(record_of(*options)) == [("train.txt", "data.data_files")]
    record = record_of("data=hub", "data.path=own", *SMALL)
    assert names(record) == [("train.txt", "data.path")]
    assert differences(record) == []
    (tmp_path / "own" / "train-2.txt").write_text("more")
    assert differences(record) == ["data.path: 2 files instead of 1; new: own/train-2.txt"]
    saved = tmp_path / "saved"
    import datasets

    datasets.Dataset.from_dict({"text": LINES}).save_to_disk(saved)
    read = record_of("data=hub", "data.path=saved", *SMALL)
    assert {name for name, _ in names(read)} == {path.name for path in saved.iterdir()}


class Silent:
    """A source of a user's own, which does not say what it reads."""

    cached = False

    def fingerprint(self) -> str:
        return "silent"

    def read(self, split: str):
        yield TEXT, True


def test_a_source_that_does_not_say_is_unknown():
    from seqlab.data import LanguageModelData

    assert content.input_files(LanguageModelData(Silent()), {}) is None
    assert describe_files(None, {}, FileHashes()) is None
    assert differences({"config": {}, "data_files": None}) == []


def test_each_file_is_hashed_once_a_sweep(texts, monkeypatch):
    records = [record_of("data=text", "data.path=*.txt", *SMALL) for _ in range(3)]
    opened: list[str] = []
    monkeypatch.setattr(
        inputs.hashlib, "sha256", lambda *a: opened.append("") or hashlib.new("sha256", *a), raising=True
    )
    hashes = FileHashes()
    for record in records:
        assert data_differences(record, hashes) == []
    assert len(opened) == 2
    os.utime(texts / "a.txt", ns=(1, 1))  # touched: hashed again, and found to be the same
    assert data_differences(records[0], hashes) == [] and len(opened) == 3


def test_what_is_written_while_it_is_read_is_refused(texts, monkeypatch):
    config = config_of("data=text", "data.path=a.txt", *SMALL, *QUIET)
    build_data = build.build_data

    def with_a_writer(config):
        data = build_data(config)
        prepare = data.prepare_data

        def prepared():
            prepare()
            (texts / "a.txt").write_text(TEXT + "more")

        monkeypatch.setattr(data, "prepare_data", prepared)
        return data

    monkeypatch.setattr(build, "build_data", with_a_writer)
    with pytest.raises(InputError, match=r"a\.txt: written while it was read"):
        interrupted_here(texts / "run", config)


def test_other_order_of_files_is_other_data(texts):
    first = hash_of("data=text", f"data.path=[{texts}/a.txt,{texts}/b.txt]", *SMALL)
    assert first != hash_of("data=text", f"data.path=[{texts}/b.txt,{texts}/a.txt]", *SMALL)


def test_files_that_the_configuration_of_a_users_data_declares_are_compared_where_the_data_does_not_say_them(tmp_path):
    (tmp_path / "lists").mkdir()
    files = [tmp_path / "a.txt", tmp_path / "lists" / "one.csv", tmp_path / "lists" / "two.csv"]
    for file in files:
        file.write_text(file.name)
    node = {"_target_": "mine.Data", "_files_": ["path", "lists"], "path": str(files[0]), "lists": str(files[1].parent)}
    config = {"data": node}
    data = object()  # without input_files()
    assert content.input_files(data, {"data": {**node, "_files_": []}}) is None
    record = {
        "config": config,
        "data_files": describe_files(content.input_files(data, config), config, FileHashes()),
    }
    assert data_differences(record, FileHashes()) == []
    for file in (files[0], files[2]):
        file.write_text("other")
        (difference,) = data_differences(record, FileHashes())
        assert file.name in difference
        file.write_text(file.name)
