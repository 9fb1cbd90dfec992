"""The paths in the ``data`` group: which values name files, made absolute in a run and left out of its hash.

Which keys name files is declared for each class or function that a node instantiates: for those that ship in
`DECLARED`, for a user's own in the node itself, as ``_files_: [KEY, ...]``. Nothing is guessed from the working folder:
the name of a data set stays a name, even beside a folder of that name. The one exception is the name of a data set of
the hub, which ``datasets`` itself takes for a folder where there is one: it is kept as that folder.

A run is the result of its files' content, wherever they are. So a stored configuration has absolute paths, its hash has
no paths, and the content is compared on its own (:mod:`seqlab.run.inputs`). Torch is not needed.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from seqlab.files import matches

FILES_KEY: Final = "_files_"
"""The key by which a node declares which of its keys name files."""

PACKAGED: Final = frozenset(
    {"arrow", "audiofolder", "csv", "imagefolder", "json", "pandas", "parquet", "sql", "text", "webdataset", "xml"}
)
"""Names of file formats of ``datasets``: it takes them for the format, even beside a folder of the same name."""


class PathKind(Enum):
    """The kinds of paths."""

    FILES = "a file, a pattern or a folder"
    HUB = "a data set's name, or its folder"
    PLACE = "a folder to write to, such as a cache: no input"


@dataclass(frozen=True)
class PathKeys:
    """The keys of a node that name files; nested keys are dotted.

    Attributes:
        files: keys of a path, a pattern, or a list or mapping of these.
        hub: the key of a data set of the hub.
        names: those of ``files`` that name splits of the data set where ``hub`` is set.
        hub_files: the key of the files to read where ``hub`` is a file format; otherwise they are the data set's own.
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
_NONE: Final = PathKeys()
_EVERYWHERE: Final = ("vocabulary", "vectors")  # keys that name files for every shipped target
_PLACES: Final = ("cache_dir",)

DECLARED: Final[Mapping[str, PathKeys]] = {
    "seqlab.data.answer_data": PathKeys(_SPLITS, hub="hub", names=_SPLITS),
    "seqlab.data.babi_data": _FOLDER,
    "seqlab.data.clips_data": _FILES,
    "seqlab.data.dialogues_data": _FILES,
    "seqlab.data.ewt_data": _FOLDER,
    "seqlab.data.fasta_data": PathKeys((*_FILES.files, "label_table")),
    "seqlab.data.hub_data": PathKeys(hub="path", hub_files="data_files"),
    "seqlab.data.labelled_data": PathKeys(("path", *_SPLITS), hub="hub", names=_SPLITS),
    "seqlab.data.labelled_series_data": _FILES,
    "seqlab.data.midi_data": _FILES,
    "seqlab.data.mr_data": _FOLDER,
    "seqlab.data.multi30k_data": _FOLDER,
    "seqlab.data.numbered_series_data": _FILES,
    "seqlab.data.parallel_data": PathKeys(("path", *_SPLITS), hub="hub.path", hub_files="hub.data_files"),
    "seqlab.data.pictures_data": PathKeys(("path", *_SPLITS, "folder")),
    "seqlab.data.pronunciation_data": _FILES,
    "seqlab.data.ptb_data": _FOLDER,
    "seqlab.data.recordings_data": _FILES,
    "seqlab.data.rolls_data": _FOLDER,
    "seqlab.data.series_data": PathKeys(("path",)),
    "seqlab.data.splice_data": _FOLDER,
    "seqlab.data.spoken_digits_data": _FOLDER,
    "seqlab.data.tagged_data": PathKeys(("path", *_SPLITS), hub="hub", names=_SPLITS),
    "seqlab.data.text_data": _FILES,
    "seqlab.data.wnut17_data": _FOLDER,
    # The parts of these, for a configuration that combines them itself.
    "seqlab.data.AnswerHub": _SET,
    "seqlab.data.BabiFiles": _SOURCE,
    "seqlab.data.ClipFiles": _SOURCE,
    "seqlab.data.Dialogues": _SOURCE,
    "seqlab.data.FastaFiles": _SOURCE,
    "seqlab.data.FastaLabels": PathKeys(("label_table",)),
    "seqlab.data.Files": _FILES,
    "seqlab.data.Hub": _SET,
    "seqlab.data.HubDataset": PathKeys(hub="path", hub_files="data_files"),
    "seqlab.data.LabelledHub": _SET,
    "seqlab.data.LabelledLines": _SOURCE,
    "seqlab.data.LabelledSeriesFiles": _SOURCE,
    "seqlab.data.LabelledTables": _SOURCE,
    "seqlab.data.MidiFiles": _SOURCE,
    "seqlab.data.NumberedSeriesFiles": _SOURCE,
    "seqlab.data.ParallelFiles": _SOURCE,
    "seqlab.data.ParallelHub": _SET,
    "seqlab.data.ParallelTables": _SOURCE,
    "seqlab.data.PianoRolls": _SOURCE,
    "seqlab.data.Pictures": PathKeys(("files", "folder")),
    "seqlab.data.PronunciationFiles": _SOURCE,
    "seqlab.data.Recordings": _SOURCE,
    "seqlab.data.SeriesFiles": _SOURCE,
    "seqlab.data.SpliceJunctions": PathKeys(("file",)),
    "seqlab.data.SpokenDigits": PathKeys(("archive",)),
    "seqlab.data.TaggedFiles": _SOURCE,
    "seqlab.data.TaggedHub": _SET,
    "seqlab.data.TextFiles": _SOURCE,
}


def declared_keys(target: str) -> PathKeys | None:
    """The keys of a shipped class or function that name files; None for a user's own.

    Example:
        >>> declared_keys("seqlab.data.mr_data").files, declared_keys("seqlab.data.hello_data").files
        (('root',), ())
        >>> declared_keys("my_data.Songs") is None
        True
    """
    return DECLARED.get(target, _NONE if target.startswith("seqlab.data.") else None)


@dataclass(frozen=True)
class PathValue:
    """A text of a configuration that names files: its dotted key, shared by the entries of a list, and its kind."""

    key: str
    kind: PathKind
    text: str

    @property
    def path(self) -> Path:
        """The path that the text stands for."""
        return Path(self.text).expanduser()


def path_values(config: Mapping[str, Any]) -> list[PathValue]:
    """The texts of a configuration's ``data`` group that name files, in its order.

    Example:
        >>> paths = path_values({"data": {"_target_": "seqlab.data.text_data", "path": ["a.txt", "b*.txt"]}})
        >>> [(path.key, path.text) for path in paths]
        [('data.path', 'a.txt'), ('data.path', 'b*.txt')]
    """
    values: list[PathValue] = []

    def collect(value: PathValue) -> str:
        values.append(value)
        return value.text

    map_paths(config, collect)
    return values


def absolute_paths(config: Mapping[str, Any], folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The configuration with its relative paths made absolute, below ``folder`` (default: the working folder).

    Example:
        >>> config = {"data": {"_target_": "seqlab.data.hub_data", "path": "text", "data_files": "a.txt"}}
        >>> absolute_paths(config, "/project")["data"]["data_files"]
        '/project/a.txt'
    """
    base = os.path.abspath(folder or os.getcwd())

    def absolute(value: PathValue) -> str:
        if "://" in value.text or not value.text:
            return value.text
        # Not normalised: ".." after a link leads above the link's target, not above the link.
        path = os.path.join(base, os.path.expanduser(value.text.removeprefix("./")))
        return value.text if value.kind is PathKind.HUB and not os.path.isdir(path) else path

    return map_paths(config, absolute)


def without_places(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration with each value that names files replaced by a mark, wherever the files are.

    A list and a pattern get the same mark: how files are named is no part of what is read.
    """
    if not isinstance(config.get("data"), Mapping):
        return config
    keys = {value.key for value in path_values(config) if value.kind is not PathKind.HUB or os.path.isabs(value.text)}
    plain = {name: value for name, value in config.items() if name != "data"}
    return {**plain, "data": _marked(config["data"], "data", keys)}


def moved_paths(
    config: Mapping[str, Any], places: Mapping[str, str] | None, run_dir: str | os.PathLike[str]
) -> tuple[dict[str, Any], list[str]]:
    """A stored configuration with the new paths of files that have moved together with the run.

    A file that is gone is looked for at the same place relative to the run's folder, then to the working folder.

    Args:
        config: with absolute paths.
        places: the ``run_folder`` and the ``working_folder`` when the paths were stored.
        run_dir: the run's folder now.

    Returns:
        The configuration, and a sentence for each path that has changed.
    """
    notices: list[str] = []

    def moved(value: PathValue) -> str:
        if value.kind is PathKind.PLACE or not os.path.isabs(value.text) or matches(value.path):
            return value.text
        for name, folder in (("run_folder", os.path.abspath(run_dir)), ("working_folder", os.getcwd())):
            if places and name in places:
                path = os.path.normpath(os.path.join(folder, os.path.relpath(value.text, places[name])))
                if matches(Path(path)):
                    notices.append(f"{value.key}: {value.text} is not there, so {path} is read")
                    return path
        return value.text

    return map_paths(config, moved), notices


def map_paths(config: Mapping[str, Any], function: Callable[[PathValue], str]) -> dict[str, Any]:
    """The configuration with each text that names files replaced by the result of ``function``."""
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
    value: Any, key: str, within: tuple[str, ...], kinds: Mapping[str, PathKind], function: Callable[[PathValue], str]
) -> Any:
    """A value below a node with a target; ``within`` is its path of keys from that node."""
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


def _mapped_texts(value: Any, key: str, kind: PathKind, function: Callable[[PathValue], str]) -> Any:
    if isinstance(value, (str, os.PathLike)):
        return function(PathValue(key, kind, os.fspath(value)))
    if isinstance(value, (list, tuple)):
        return [_mapped_texts(entry, key, kind, function) for entry in value]
    if isinstance(value, Mapping):
        return {name: _mapped_texts(entry, f"{key}.{name}", kind, function) for name, entry in value.items()}
    return value


def _kinds(node: Mapping[str, Any]) -> Iterator[tuple[str, PathKind]]:
    """The dotted keys of a node that name files, with their kinds."""
    own_keys = node.get(FILES_KEY)
    for name in own_keys if isinstance(own_keys, (list, tuple)) else [own_keys] if isinstance(own_keys, str) else []:
        yield str(name), PathKind.FILES
    declared = declared_keys(str(node.get("_target_")))
    if declared is None:
        return
    hub = _value(node, declared.hub) if declared.hub else None
    if isinstance(hub, Mapping):  # a part, whose own class declares its keys
        return
    if declared.hub and hub not in PACKAGED:
        yield declared.hub, PathKind.HUB
    if declared.hub_files and hub in PACKAGED:
        yield declared.hub_files, PathKind.FILES
    for name in declared.files:
        value = _value(node, name)
        is_part = isinstance(value, Mapping) and "_target_" in value
        if not is_part and (hub is None or name not in declared.names):
            yield name, PathKind.FILES
    yield from ((name, PathKind.FILES) for name in _EVERYWHERE)
    yield from ((name, PathKind.PLACE) for name in _PLACES)


def _value(node: Mapping[str, Any], key: str) -> Any:
    value: Any = node
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _marked(node: Any, key: str, keys: set[str]) -> Any:
    """A node with a mark in place of the values under ``keys``."""
    if key in keys and not isinstance(node, Mapping):
        return "<files>"
    if not isinstance(node, Mapping):
        return node
    return {name: _marked(value, f"{key}.{name}", keys) for name, value in node.items() if name != FILES_KEY}
