"""Which values of the ``data`` group name files, kept absolute in a run, and left out of what makes two runs the same.

What a value means is declared, by the class or function that its node instantiates: for what ships in `DECLARED`, for a
user's own in the node itself, as ``_files_: [KEY, ...]``. Nothing is guessed from what lies in the working folder: the
name of a data set stays a name beside a folder of that name. The one exception is what ``datasets`` itself decides that
way, a data set's name that may be a folder (``hub``): once it was a folder, it is kept as that folder.

A run is the result of its files' content, wherever they lie. So a stored configuration has absolute paths, its hash has
none, and the content is compared by itself (:mod:`seqlab.run.inputs`). Torch is not needed.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from seqlab.files import matches

FILES_KEY: Final = "_files_"
"""The key of a node that declares which of its keys name files."""

PACKAGED: Final = frozenset(
    {"arrow", "audiofolder", "csv", "imagefolder", "json", "pandas", "parquet", "sql", "text", "webdataset", "xml"}
)
"""Formats that ``datasets`` reads files of, which it prefers to a folder of the same name."""


class Kind(Enum):
    """What a value names."""

    FILES = "a file, a pattern or a folder"
    HUB = "a data set's name, or its folder"
    PLACE = "a folder for what is kept, which is no input"


@dataclass(frozen=True)
class PathKeys:
    """The keys of a node that name files; nested keys are dotted.

    Attributes:
        files: each a path, a pattern, a list or a mapping of these.
        hub: the key of a data set of the hub.
        names: of ``files``, those that name splits instead where ``hub`` is given.
        hub_files: the key of the files that a format of ``datasets`` reads; of another data set they are its own.
    """

    files: tuple[str, ...] = ()
    hub: str | None = None
    names: tuple[str, ...] = ()
    hub_files: str | None = None


_SPLITS: Final = ("train", "validation", "test")
_FILES: Final = PathKeys(("path", *_SPLITS))
_SOURCE: Final = PathKeys(("files",))
_SET: Final = PathKeys(hub="data_set")
_FOLDER: Final = PathKeys(("root",))
_NOTHING: Final = PathKeys()
_EVERYWHERE: Final = ("vocabulary", "vectors")  # of what ships, whatever the target
_PLACES: Final = ("cache_dir",)

DECLARED: Final[Mapping[str, PathKeys]] = {
    "seqlab.data.answer_data": PathKeys(_SPLITS, hub="hub", names=_SPLITS),
    "seqlab.data.babi_data": _FOLDER,
    "seqlab.data.ewt_data": _FOLDER,
    "seqlab.data.hub_data": PathKeys(hub="path", hub_files="data_files"),
    "seqlab.data.labelled_data": PathKeys(("path", *_SPLITS), hub="hub", names=_SPLITS),
    "seqlab.data.mr_data": _FOLDER,
    "seqlab.data.multi30k_data": _FOLDER,
    "seqlab.data.parallel_data": PathKeys(("path", *_SPLITS), hub="hub.path", hub_files="hub.data_files"),
    "seqlab.data.ptb_data": _FOLDER,
    "seqlab.data.tagged_data": PathKeys(("path", *_SPLITS), hub="hub", names=_SPLITS),
    "seqlab.data.text_data": _FILES,
    "seqlab.data.wnut17_data": _FOLDER,
    # The parts that these are made of, for a configuration that puts them together itself.
    "seqlab.data.AnswerHub": _SET,
    "seqlab.data.BabiFiles": _SOURCE,
    "seqlab.data.Files": _FILES,
    "seqlab.data.Hub": _SET,
    "seqlab.data.HubDataset": PathKeys(hub="path", hub_files="data_files"),
    "seqlab.data.LabelledHub": _SET,
    "seqlab.data.LabelledLines": _SOURCE,
    "seqlab.data.LabelledTables": _SOURCE,
    "seqlab.data.ParallelFiles": _SOURCE,
    "seqlab.data.ParallelHub": _SET,
    "seqlab.data.ParallelTables": _SOURCE,
    "seqlab.data.TaggedFiles": _SOURCE,
    "seqlab.data.TaggedHub": _SET,
    "seqlab.data.TextFiles": _SOURCE,
}


def declared_keys(target: str) -> PathKeys | None:
    """The keys that name files of a class or function that ships, none where nothing is declared; None of a user's own.

    Example:
        >>> declared_keys("seqlab.data.mr_data").files, declared_keys("seqlab.data.hello_data").files
        (('root',), ())
        >>> declared_keys("my_data.Songs") is None
        True
    """
    return DECLARED.get(target, _NOTHING if target.startswith("seqlab.data.") else None)


@dataclass(frozen=True)
class PathValue:
    """A text of a configuration that names files: its dotted key (a list's entries share it), and what it names."""

    key: str
    kind: Kind
    text: str

    @property
    def path(self) -> Path:
        """The path that the text stands for."""
        return Path(self.text).expanduser()


def path_values(config: Mapping[str, Any]) -> list[PathValue]:
    """The texts of a configuration's ``data`` group that name files, in its order.

    Example:
        >>> found = path_values({"data": {"_target_": "seqlab.data.text_data", "path": ["a.txt", "b*.txt"]}})
        >>> [(value.key, value.text) for value in found]
        [('data.path', 'a.txt'), ('data.path', 'b*.txt')]
    """
    found: list[PathValue] = []

    def note(value: PathValue) -> str:
        found.append(value)
        return value.text

    map_paths(config, note)
    return found


def absolute_paths(config: Mapping[str, Any], folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The configuration with its relative paths seen from ``folder``, by default the working folder.

    Example:
        >>> config = {"data": {"_target_": "seqlab.data.hub_data", "path": "text", "data_files": "a.txt"}}
        >>> absolute_paths(config, "/project")["data"]["data_files"]
        '/project/a.txt'
    """
    base = os.path.abspath(folder or os.getcwd())

    def absolute(value: PathValue) -> str:
        if "://" in value.text or not value.text:
            return value.text
        # Joined, not normalised: ".." after a link is above what the link points to.
        path = os.path.join(base, os.path.expanduser(value.text.removeprefix("./")))
        return value.text if value.kind is Kind.HUB and not os.path.isdir(path) else path

    return map_paths(config, absolute)


def without_places(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of what is computed, wherever its files lie: what names files says no more than that.

    Of lists and patterns alike: how the files were named is no part of what is read.
    """
    if not isinstance(config.get("data"), Mapping):
        return config
    keys = {value.key for value in path_values(config) if value.kind is not Kind.HUB or os.path.isabs(value.text)}
    plain = {name: value for name, value in config.items() if name != "data"}
    return {**plain, "data": _marked(config["data"], "data", keys)}


def moved_paths(
    config: Mapping[str, Any], places: Mapping[str, str] | None, run_dir: str | os.PathLike[str]
) -> tuple[dict[str, Any], list[str]]:
    """A stored configuration with what is gone from its place looked for where run and data may have moved together.

    Args:
        config: with absolute paths.
        places: ``run_folder`` and ``working_folder`` where these paths were right.
        run_dir: the run's folder now.

    Returns:
        The configuration, and a sentence for each path that is another now.
    """
    told: list[str] = []

    def found(value: PathValue) -> str:
        if value.kind is Kind.PLACE or not os.path.isabs(value.text) or matches(value.path):
            return value.text
        for before, now in (("run_folder", os.path.abspath(run_dir)), ("working_folder", os.getcwd())):
            if before in (places or {}):
                other = os.path.normpath(os.path.join(now, os.path.relpath(value.text, places[before])))  # type: ignore[index]
                if matches(Path(other)):
                    told.append(f"{value.key}: {value.text} is not there, so {other} is read")
                    return other
        return value.text

    return map_paths(config, found), told


def map_paths(config: Mapping[str, Any], function: Callable[[PathValue], str]) -> dict[str, Any]:
    """The configuration with each text that names files replaced by what ``function`` makes of it."""
    if not isinstance(config.get("data"), Mapping):
        return dict(config)
    return {**config, "data": _mapped_node(config["data"], "data", function)}


def _mapped_node(node: Any, key: str, function: Callable[[PathValue], str]) -> Any:
    if not isinstance(node, Mapping):
        return node
    kinds = dict(_kinds(node))
    return {
        name: _mapped_value(value, f"{key}.{name}", (str(name),), kinds, function)
        if "_target_" in node
        else _mapped_node(value, f"{key}.{name}", function)
        for name, value in node.items()
    }


def _mapped_value(
    value: Any, key: str, within: tuple[str, ...], kinds: Mapping[str, Kind], function: Callable[[PathValue], str]
) -> Any:
    """A value below a node with a target: ``within`` leads from the node to it."""
    kind = kinds.get(".".join(within))
    if kind is not None:
        return _mapped_texts(value, key, kind, function)
    if not isinstance(value, Mapping):
        return value
    if "_target_" in value:
        return _mapped_node(value, key, function)
    return {
        name: _mapped_value(below, f"{key}.{name}", (*within, str(name)), kinds, function)
        for name, below in value.items()
    }


def _mapped_texts(value: Any, key: str, kind: Kind, function: Callable[[PathValue], str]) -> Any:
    if isinstance(value, (str, os.PathLike)):
        return function(PathValue(key, kind, os.fspath(value)))
    if isinstance(value, (list, tuple)):
        return [_mapped_texts(entry, key, kind, function) for entry in value]
    if isinstance(value, Mapping):
        return {name: _mapped_texts(entry, f"{key}.{name}", kind, function) for name, entry in value.items()}
    return value


def _kinds(node: Mapping[str, Any]) -> Iterator[tuple[str, Kind]]:
    """The dotted keys of a node that name files, with what they name."""
    own = node.get(FILES_KEY)
    for name in own if isinstance(own, (list, tuple)) else [own] if isinstance(own, str) else []:
        yield str(name), Kind.FILES
    declared = declared_keys(str(node.get("_target_")))
    if declared is None:
        return
    hub = _value(node, declared.hub) if declared.hub else None
    if isinstance(hub, Mapping):  # a part with a class of its own, which declares its keys
        return
    if declared.hub and hub not in PACKAGED:
        yield declared.hub, Kind.HUB
    if declared.hub_files and hub in PACKAGED:
        yield declared.hub_files, Kind.FILES
    for name in declared.files:
        value = _value(node, name)
        is_part = isinstance(value, Mapping) and "_target_" in value
        if not is_part and (hub is None or name not in declared.names):
            yield name, Kind.FILES
    yield from ((name, Kind.FILES) for name in _EVERYWHERE)
    yield from ((name, Kind.PLACE) for name in _PLACES)


def _value(node: Mapping[str, Any], key: str) -> Any:
    value: Any = node
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _marked(node: Any, key: str, keys: set[str]) -> Any:
    """A node in which what stands under the ``keys`` only says that it names files."""
    if key in keys and not isinstance(node, Mapping):
        return "<files>"
    if not isinstance(node, Mapping):
        return node
    return {name: _marked(value, f"{key}.{name}", keys) for name, value in node.items() if name != FILES_KEY}
