"""Whether data that a run was trained on come into a test, cut into other splits or among other files.

Torch is not needed.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from seqlab.config.paths import PathKind, path_values, without_places
from seqlab.files import matches
from seqlab.run.inputs import ContentHashes, data_differences

BY_TIME: Final = ("test_steps", "validation_steps")
"""The options that cut each series by time: a later cut has no row of training in its test."""

_CHOICES: Final = ("_target_", "path", "train", "validation", "test", "hub", "root", "name")  # which data are read
_CUTS: Final = (  # which of their rows are in which split; a row that is left out moves all others
    *("split", "split_seed", "split_unique", "folds", "fold", "validation_share"),
    *("ignore_label", "skip_empty", "skip_unlabelled", "max_words"),
)
_CUTS_OF: Final = {"seqlab.data.spoken_digits_data": ("speaker",)}  # elsewhere a column's name
_CUT: Final = "cut"  # in place of the name of a data set's split
_NO_ROWS: Final = (None, "data.vocabulary", "data.vectors")  # keys of files without rows to cut; None: by no key


def other_cut(record: Mapping[str, Any], config: Mapping[str, Any], hashes: ContentHashes | None = None) -> list[str]:
    """The ``data`` options by which the data of a run are cut into other splits; none for other data.

    Data are the same where their files have the same content, wherever these are. Rows that were shuffled are taken for
    the same in a file that has changed, too: most of them are. A series that has grown is later data. A user's own data
    have options of their own, about which nothing is known, and so has a run of a version that lacked an option.

    Args:
        record: the fields of the run's ``run.json``.
        config: another configuration, with absolute paths.
        hashes: the hashes of what files hold.
    """
    config = _without_own_test(record, config)
    one, other = record["config"]["data"], config["data"]
    target = str(one.get("_target_"))
    rows = (*_CUTS, *_CUTS_OF.get(target, ()))
    names = [name for name in (*rows, *BY_TIME) if name in one and name in other and one[name] != other[name]]
    new_cuts = [name for name in ("validation", "test") if other.get(name) == _CUT and one.get(name) != _CUT]
    if new_cuts:  # from the training split of a data set that has such a split, or was cut by default
        rows, names = (*rows, *new_cuts), [*names, *new_cuts]
        config = {**config, "data": {**other, **{name: one.get(name) for name in new_cuts}}}
    if not names or not target.startswith("seqlab.data."):
        return []
    if _choices(without_places(record["config"])) != _choices(without_places(config)):
        return []
    has_same_paths = _choices(record["config"]) == _choices(config)
    if not _files_of_rows(record):
        return names if has_same_paths else []
    if _has_same_content(record, config, hashes or ContentHashes()):
        return names
    return [name for name in names if name in rows and has_same_paths]


def files_of_training(record: Mapping[str, Any], config: Mapping[str, Any], hashes: ContentHashes) -> list[str]:
    """The files of a test, or of rows to be cut, with rows of a run's training; or the split of a data set.

    They have the content of a file that it read, or are that file, changed: other rows beside them move the cut.
    Series, which are cut by time one by one, may be the training's own.

    Args:
        record: the fields of the run's ``run.json``.
        config: another configuration, with absolute paths.
        hashes: the hashes of what files hold.
    """
    one, other = record["config"]["data"], config["data"]
    if _data_set(one) is not None and _data_set(one) == _data_set(other):
        trained = one.get("train") or "train"
        return [f"the split {trained}"] if other.get("test") == trained else []
    entries = [entry for entry in _contents(record) if _is_of(entry["key"], "path", "train")]
    as_cut = _without_own_test(record, config)
    is_same = _choices(without_places(record["config"])) == _choices(without_places(as_cut))
    is_same = is_same and _has_same_content(record, as_cut, hashes)
    if BY_TIME[0] in config["data"] or (is_same and as_cut is config):
        return []
    paths = {os.path.realpath(entry["path"]) for entry in entries}
    tests = ("test",) if is_same else ("path", "test")  # of the same set, all that is tested is the test of its own
    given = [value for value in path_values(config) if _is_of(value.key, *tests)]
    files = [str(file) for value in given if value.kind is PathKind.FILES for file in matches(value.path)]
    there = [file for file in files if entries and os.path.isfile(file)]
    return [file for file in there if os.path.realpath(file) in paths or _is_copy(file, entries, record, hashes)]


def _is_copy(file: str, entries: list[Mapping[str, Any]], record: Mapping[str, Any], hashes: ContentHashes) -> bool:
    """Whether a file has the content of one of a run's.

    Of a table of files, such as clips, the files count that it names, where they lie beside it as they did then: one of
    them has the content of then, or is that file, changed.
    """
    named = [entry for entry in _contents(record) if entry["key"] is None]
    for original in entries:
        if original["sha256"] != hashes.sha256(file):
            continue
        there, here = os.path.dirname(original["path"]), os.path.dirname(file)
        beside = [(entry, os.path.join(here, os.path.relpath(entry["path"], there))) for entry in named]
        found = [(entry, path) for entry, path in beside if os.path.isfile(path)]
        if not found or any(
            os.path.realpath(path) == os.path.realpath(entry["path"]) or hashes.sha256(path) == entry["sha256"]
            for entry, path in found
        ):
            return True
    return False


def _without_own_test(record: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration in which a set has no other test beside it than the run had: so it is cut as the run's.

    Where there is no such test, it is the configuration itself.
    """
    one, other = record["config"]["data"], config["data"]
    if other.get("path") is None or other.get("test") in (None, one.get("test")) or _data_set(other) is not None:
        return config
    return {**config, "data": {**other, "test": one.get("test")}}


def _is_of(key: str | None, *names: str) -> bool:
    """Whether a dotted key is of an option of ``data`` with one of these names, such as data.path.source of "path".

    A file that another names, such as a recording of a table, has no key.
    """
    return (key or "").split(".")[1:2] in [[name] for name in names]


def _data_set(data: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What names a data set of the Hub; None for data of files."""
    is_hub = data.get("_target_") == "seqlab.data.hub_data"
    name = data.get("path" if is_hub else "hub")
    return (name, data.get("name"), data.get("data_files")) if isinstance(name, str) else None


def _has_same_content(record: Mapping[str, Any], config: Mapping[str, Any], hashes: ContentHashes) -> bool:
    return not data_differences({**record, "data_files": _files_of_rows(record)}, hashes, config)


def _files_of_rows(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in _contents(record) if entry["key"] not in _NO_ROWS]


def _contents(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The files that a run read, each with the hash of what it holds, as :class:`ContentHashes` has it."""
    return [{**entry, "sha256": entry.get("unpacked", entry["sha256"])} for entry in record.get("data_files") or ()]


def _choices(config: Mapping[str, Any]) -> list[Any]:
    return [config["data"].get(name) for name in _CHOICES]
