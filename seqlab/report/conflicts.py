"""The user's own code and the content of the data: what a run is the result of beside its configuration.

Runs of one configuration can have different code, if a cell was edited during their sweep, and different data, if a
file has changed. They are no sample of one thing. So a conflict becomes a key of the runs' configurations, `CODE` or
`DATA`, by which groups are kept apart. Without a conflict there is no such key.
"""

import marshal
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from seqlab.config.paths import PathKind, PathValue, declared_keys, map_paths, path_values
from seqlab.report.configs import Section

if TYPE_CHECKING:
    from seqlab.report.collect import Run

CODE: Final = "code"
DATA: Final = "data_hash"

_HASH_DIGITS: Final = 6  # in a group's key


def mark_conflicts(runs: Sequence["Run"]) -> None:
    """Gives the keys `CODE` and `DATA` to each run whose code or data conflicts with another run's."""
    for name, words in ((CODE, _codes(runs)), (DATA, _contents(runs))):
        sections = {text: Section(name, text) for text in set(words.values())}
        for run in runs if sections else ():
            if run.path in words:
                run.config[name] = sections[words[run.path]]


def conflicting_keys(groups: Iterable[Sequence["Run"]]) -> list[str]:
    """Which of `CODE` and `DATA` differ within a group."""
    groups = list(groups)
    return [key for key in (CODE, DATA) if any(len({run.identity(key) for run in group}) > 1 for group in groups)]


def _codes(runs: Sequence["Run"]) -> dict[str, str]:
    """By path of each run, its versions of the modules that have several versions among the runs."""
    versions: dict[str, set[str | None]] = {}
    for modules in {id(run.modules): run.modules for run in runs}.values():
        for module, sha256 in modules.items():
            versions.setdefault(module, set()).add(sha256)
    # An unknown version is not even equal to itself.
    several = {module for module, hashes in versions.items() if len(hashes) > 1 or None in hashes}
    return {
        run.path: ", ".join(_version(run, module) for module in sorted(several & run.modules.keys()))
        for run in runs
        if not several.isdisjoint(run.modules)
    }


def _version(run: "Run", module: str) -> str:
    return f"{module} {(run.modules[module] or '')[:_HASH_DIGITS] or f'unknown, of {run.path}'}"


def _contents(runs: Sequence["Run"]) -> dict[str, str]:
    """By path of each run, the content of its data, where the same settings of the data gave several contents."""
    contents: dict[Any, set[str]] = {}
    settings: dict[int, Any] = {}
    for run in runs:
        if run.data and (section := run.config.get("data")) is not None:
            if id(section) not in settings:
                settings[id(section)] = _settings(section)
            contents.setdefault(settings[id(section)], set()).add(run.data)
    return {
        run.path: run.data[:_HASH_DIGITS]
        for run in runs
        if run.data and "data" in run.config and len(contents[settings[id(run.config["data"])]]) > 1
    }


def _settings(section: Section) -> frozenset[tuple[str, Any]]:
    """The settings that decide the content of the data. In shipped data, the seed is only of the order in training."""
    ships = declared_keys(str(section.flat.get("data._target_"))) is not None
    return frozenset(
        (key, section.written_identity(key)) for key in section.deciding if not (ships and key == "data.seed")
    )


class Places:
    """Rewrites paths of data: as the user gave them, and equal where the content is, as after a folder has moved."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], list[str]] = {}
        self._rewritten: dict[tuple[str, str, bytes], Any] = {}

    def rewrite(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration of a record with the paths of the first run that read the same data.

        A path is relative to the folder that the run was started in.
        """
        config, content = record["config"], record["data_hash"] or ""
        if not isinstance(config.get("data"), Mapping):
            return config  # type: ignore[no-any-return]
        folder = str((record["places"] or {}).get("working_folder") or "")
        stamp = (content, folder, marshal.dumps(config["data"], 2))
        if stamp not in self._rewritten:
            relative = map_paths(config, lambda value: _relative(value, folder)) if folder else config
            self._rewritten[stamp] = (self._first_paths(relative, content) if content else relative)["data"]
        return {**config, "data": self._rewritten[stamp]}

    def _first_paths(self, config: Mapping[str, Any], content: str) -> Mapping[str, Any]:
        """The configuration with the paths of the first run that read this content."""
        texts: dict[str, list[str]] = {}
        for value in path_values(config):
            if value.kind is not PathKind.PLACE:
                texts.setdefault(value.key, []).append(value.text)
        first = {key: self._first.setdefault((content, key), paths) for key, paths in texts.items()}
        if first == texts or any(len(first[key]) != len(paths) for key, paths in texts.items()):
            return config
        remaining = {key: iter(paths) for key, paths in first.items()}

        def first_path(value: PathValue) -> str:
            return value.text if value.kind is PathKind.PLACE else next(remaining[value.key])

        return map_paths(config, first_path)


def _relative(value: PathValue, folder: str) -> str:
    """A path as the user gave it: relative if it is below the folder that the run was started in."""
    below = value.text.removeprefix(f"{folder}/")
    return value.text if value.kind is PathKind.PLACE or not below else below
