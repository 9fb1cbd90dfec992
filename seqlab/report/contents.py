"""What runs were the result of beside their configurations: the user's own code, and the content of the data.

Runs of one configuration can be of two codes, where a cell was edited while its sweep ran, and of two data, where a
file changed. They are no sample of one thing. So what conflicts is given to the runs as if it were a key of their
configurations, :data:`CODE` or :data:`DATA`, by which groups are kept apart. Where nothing conflicts there is no key.
"""

import marshal
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from seqlab.config.paths import Kind, PathValue, declared_keys, map_paths, path_values
from seqlab.report.configs import Section

if TYPE_CHECKING:
    from seqlab.report.collect import Run

CODE: Final = "code"
DATA: Final = "data_hash"

_DIGITS: Final = 6  # of a hash, in a group's key


def tell_apart(runs: Sequence["Run"]) -> None:
    """Gives each run of code or data that conflicts with another's the keys `CODE` and `DATA`, in words."""
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
    """By run, which versions it has of the modules that several runs have different versions of."""
    versions: dict[str, set[str | None]] = {}
    for modules in {id(run.modules): run.modules for run in runs}.values():
        for module, sha256 in modules.items():
            versions.setdefault(module, set()).add(sha256)
    # What is unknown is not even equal to itself.
    several = {module for module, found in versions.items() if len(found) > 1 or None in found}
    return {
        run.path: ", ".join(_version(run, module) for module in sorted(several & run.modules.keys()))
        for run in runs
        if not several.isdisjoint(run.modules)
    }


def _version(run: "Run", module: str) -> str:
    return f"{module} {(run.modules[module] or '')[:_DIGITS] or f'unknown, of {run.path}'}"


def _contents(runs: Sequence["Run"]) -> dict[str, str]:
    """By run, the content of its data, where one and the same choice of data had several."""
    contents: dict[Any, set[str]] = {}
    choices: dict[int, Any] = {}
    for run in runs:
        if run.data and (section := run.config.get("data")) is not None:
            if id(section) not in choices:
                choices[id(section)] = _choice(section)
            contents.setdefault(choices[id(section)], set()).add(run.data)
    return {
        run.path: run.data[:_DIGITS]
        for run in runs
        if run.data and "data" in run.config and len(contents[choices[id(run.config["data"])]]) > 1
    }


def _choice(section: Section) -> frozenset[tuple[str, Any]]:
    """The settings that decide what the data is. The seed of what ships is of its order in training alone."""
    ships = declared_keys(str(section.flat.get("data._target_"))) is not None
    return frozenset((key, section.identity(key)) for key in section.counted if not (ships and key == "data.seed"))


class Places:
    """Shows paths as they were given, and makes those equal that data of the same content was read from: a folder that
    has moved holds the same data."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], list[str]] = {}
        self._known: dict[tuple[str, str, bytes], Any] = {}

    def unified(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration of a record with the paths that the first run of the same data had, as seen from the
        folder that it was started in."""
        config, content = record["config"], record["data_hash"] or ""
        if not isinstance(config.get("data"), Mapping):
            return config  # type: ignore[no-any-return]
        folder = str((record["places"] or {}).get("working_folder") or "")
        stamp = (content, folder, marshal.dumps(config["data"], 2))
        if stamp not in self._known:
            shown = map_paths(config, lambda value: _as_given(value, folder)) if folder else config
            self._known[stamp] = (self._unified(shown, content) if content else shown)["data"]
        return {**config, "data": self._known[stamp]}

    def _unified(self, config: Mapping[str, Any], content: str) -> Mapping[str, Any]:
        texts: dict[str, list[str]] = {}
        for value in path_values(config):
            if value.kind is not Kind.PLACE:
                texts.setdefault(value.key, []).append(value.text)
        first = {key: self._first.setdefault((content, key), found) for key, found in texts.items()}
        if first == texts or any(len(first[key]) != len(found) for key, found in texts.items()):
            return config
        remaining = {key: iter(found) for key, found in first.items()}

        def replaced(value: PathValue) -> str:
            return value.text if value.kind is Kind.PLACE else next(remaining[value.key])

        return map_paths(config, replaced)


def _as_given(value: PathValue, folder: str) -> str:
    below = value.text.removeprefix(f"{folder}/")
    return value.text if value.kind is Kind.PLACE or not below else below
