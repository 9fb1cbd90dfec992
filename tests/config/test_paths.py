"""Which values of a configuration name files: kept absolute, and no part of what a run is."""

import inspect
import os
from importlib.resources import files

import pytest
from omegaconf import OmegaConf

import seqlab.data
from seqlab.config.build import build
from seqlab.config.hash import config_hash, located_hash
from seqlab.config.paths import (
    _EVERYWHERE,
    _PLACES,
    PathKeys,
    PathKind,
    absolute_paths,
    declared_keys,
    moved_paths,
    path_values,
    without_places,
)
from tests.conftest import config_of

NO_FILES = {
    "batch_size",
    "seed",
    "unit",
    "split",
    "name",
    "revision",
    "encoding",
    "column",
    "answers",
    "labels",
    "tags",
}


def data(target: str, /, **options: object) -> dict:
    return {"seed": 1, "data": {"_target_": f"seqlab.data.{target}", **options}}


def values(config: dict) -> dict[str, str]:
    return {value.key: value.text for value in path_values(config)}


def test_each_choice_of_data_that_ships_is_declared_with_keys_that_it_has():
    for file in files("seqlab.conf").joinpath("data").iterdir():
        if file.name.endswith(".yaml") and not file.name.startswith("_"):
            node = OmegaConf.create(config_of(f"data={file.name.removesuffix('.yaml')}")["data"])
            declared = declared_keys(node._target_)
            assert declared != PathKeys() or not {"path", "root", "train"} & set(node), file.name
            for key in (*declared.files, *filter(None, (declared.hub, declared.hub_files))):
                assert OmegaConf.select(node, key, default="absent") != "absent", (file.name, key)


@pytest.mark.parametrize("name", seqlab.data.__all__)
def test_each_argument_of_the_data_that_is_typed_as_a_path_is_declared(name):
    found = getattr(seqlab.data, name)
    if not callable(found) or name in ("load_vocabulary",):
        return
    parameters = inspect.signature(found).parameters.values()
    typed = {each.name for each in parameters if any(word in str(each.annotation) for word in ("Path", "Sides"))}
    if typed:
        keys = declared_keys(f"seqlab.data.{name}")
        assert typed <= {*keys.files, *_EVERYWHERE, *_PLACES, keys.hub}


def test_a_name_is_a_name_beside_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("kjv", "train", "text", "de"):
        (tmp_path / name).mkdir()
    config = data("hub_data", path="text", name="kjv", train="train", data_files=["de.txt", "https://a.b/c.txt"])
    assert absolute_paths(config)["data"] == {
        **config["data"],
        "data_files": [str(tmp_path / "de.txt"), "https://a.b/c.txt"],
    }
    config = data("labelled_data", hub="rotten_tomatoes", train="train", name="kjv")
    assert absolute_paths(config) == config
    config = data("multi30k_data", root="corpora", source="de", target="en")
    assert absolute_paths(config)["data"]["root"] == str(tmp_path / "corpora")
    assert values(config) == {"data.root": "corpora"}


def test_a_data_set_of_the_hub_that_is_a_folder_stays_that_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = data("hub_data", path="mine", data_files="a.csv")
    assert absolute_paths(config) == config  # a name: its files are the data set's own
    (tmp_path / "mine").mkdir()
    assert absolute_paths(config)["data"] == {**config["data"], "path": str(tmp_path / "mine")}
    assert config_hash(absolute_paths(config)) != config_hash(config)


def test_nested_paths_lists_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sides = {"source": ["a.txt", "b/*.txt"], "target": "./c.txt"}
    config = data("parallel_data", train=sides, path={"source": None, "target": None}, hub={"path": None})
    found = absolute_paths(config)["data"]["train"]
    assert found == {"source": [str(tmp_path / "a.txt"), str(tmp_path / "b/*.txt")], "target": str(tmp_path / "c.txt")}
    assert absolute_paths(absolute_paths(config), "/") == absolute_paths(config)
    assert absolute_paths(data("text_data", path="~/a.txt"))["data"]["path"] == os.path.expanduser("~/a.txt")
    assert absolute_paths(data("text_data", path=2024))["data"]["path"] == 2024


def test_parts_that_a_configuration_puts_together_and_declarations_of_the_users_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = {"_target_": "seqlab.data.TextFiles", "files": "a.txt"}
    assert values(data("LanguageModelData", source=one)) == {"data.source.files": "a.txt"}
    three = {"_target_": "seqlab.data.Files", "train": "a.txt", "validation": "b.txt", "test": "c.txt"}
    source = {"_target_": "seqlab.data.TaggedFiles", "files": three}
    assert set(values(data("TaggingData", source=source)).values()) == {"a.txt", "b.txt", "c.txt"}
    absolute = absolute_paths(data("TaggingData", source=source))["data"]["source"]["files"]
    assert absolute["_target_"] == three["_target_"] and absolute["test"] == str(tmp_path / "c.txt")
    csv = {"_target_": "seqlab.data.HubDataset", "path": "csv", "data_files": "a.csv"}
    source = {"_target_": "seqlab.data.LabelledHub", "data_set": csv}
    assert values(data("ClassificationData", source=source)) == {"data.source.data_set.data_files": "a.csv"}
    own = {"data": {"_target_": "my_data.Songs", "folder": "songs", "mode": "major", "more": {"lexicon": "l.txt"}}}
    assert absolute_paths(own) == own
    own["data"]["_files_"] = ["folder", "more.lexicon"]
    assert values(own) == {"data.folder": "songs", "data.more.lexicon": "l.txt"}
    assert "_files_" not in without_places(own)["data"]
    declared = {"data": {"_target_": "seqlab.data.hello_data", "_files_": ["path"]}}
    assert build(declared, "data").batch_size == 32  # the declaration is no argument


def test_where_files_lie_is_no_part_of_the_hash_and_what_they_are_called_tells_jobs_apart():
    one, other = data("text_data", path="a.txt", unit="word"), data("text_data", path="/b/c.txt", unit="word")
    assert config_hash(one) == config_hash(other) == config_hash(absolute_paths(one))
    assert located_hash(one) != located_hash(other)
    three = data("text_data", path=None, unit="word", train="a", validation="b", test="c")
    assert len({config_hash(one), config_hash(three), config_hash(data("text_data", path="a.txt", unit="char"))}) == 3


def test_what_moved_together_with_the_run_is_found_again(tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "texts").mkdir(parents=True)
    for name in ("a.txt", "b1.txt"):
        (old / "texts" / name).touch()
    monkeypatch.chdir(old)
    config = absolute_paths(data("text_data", path=["texts/a.txt", "texts/b*.txt"]))
    places = {"run_folder": str(old / "runs" / "x"), "working_folder": str(old)}
    assert moved_paths(config, places, old / "runs" / "x") == (config, [])
    old.rename(new)
    monkeypatch.chdir("/")
    found, told = moved_paths(config, places, new / "runs" / "x")
    assert found["data"]["path"] == [str(new / "texts" / "a.txt"), str(new / "texts" / "b*.txt")]
    assert len(told) == 2 and "data.path" in told[0] and str(new / "texts" / "a.txt") in told[0]
    monkeypatch.chdir(new)  # the run lies elsewhere, the data in the folder that one works in
    assert moved_paths(config, places, tmp_path / "x")[0] == found
    assert moved_paths(config, None, new)[0] == config


def test_kinds(tmp_path):
    config = data("text_data", path="a", vocabulary="b", cache_dir="c")
    assert [value.kind for value in path_values(config)] == [PathKind.FILES, PathKind.FILES, PathKind.PLACE]
