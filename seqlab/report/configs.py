"""The configs of many runs, equal parts held once, and the keys in which the runs differ."""

import difflib
import itertools
import marshal
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seqlab.config.hash import canonical_json, comparable, deciding_values, flatten
from seqlab.config.parts import referred_key
from seqlab.errors import InputError

if TYPE_CHECKING:
    from seqlab.report.collect import Run

MISSING = "-"
"""The value of a config key that a run does not have."""


class Section:
    """A top-level part of a config as dotted keys and values. Runs with an equal part share one object."""

    __slots__ = ("_below", "_identities", "deciding", "flat", "name")

    def __init__(self, name: str, content: Any) -> None:
        self.name = name
        self.flat = {sys.intern(key): value for key, value in flatten({name: content})}
        self.deciding = frozenset(map(sys.intern, deciding_values({name: content})))
        self._below: dict[str, Any] = {}
        self._identities: dict[str, Any] = {}

    def value(self, key: str) -> Any:
        """The value of a key; for a key above others, the mapping of those below it; else `MISSING`.

        Of a list, as of a cell for each layer, ``_target_`` is the list of the entries'. An option of a part that
        refers to a key of the model has that key's value.
        """
        value, passed = self._written(key), {key}
        while (referred := referred_key(key, value)) is not None and referred not in passed:
            target = self._written(referred)
            if target == MISSING:  # a size that the data gives
                break
            key, value = referred, target
            passed.add(key)
        return value

    def _written(self, key: str) -> Any:
        """The same, without following a reference."""
        if key in self.flat:
            return self.flat[key]
        above, _, last = key.rpartition(".")
        entries = self.flat.get(above)
        if last == "_target_" and isinstance(entries, list) and any(isinstance(each, dict) for each in entries):
            return [each.get(last) if isinstance(each, dict) else each for each in entries]
        if key not in self._below:
            below = {name[len(key) + 1 :]: value for name, value in self.flat.items() if name.startswith(key + ".")}
            self._below[key] = below or MISSING
        return self._below[key]

    def identity(self, key: str) -> Any:
        """`identity` of the key's value, computed once."""
        if key not in self._identities:
            self._identities[key] = identity(comparable(key, self.value(key)))
        return self._identities[key]

    def written_identity(self, key: str) -> Any:
        """The identity of a key's value as it stands, a reference as it is written; else `MISSING`."""
        value = self.flat.get(key, MISSING)
        return value if value == MISSING or referred_key(key, value) else self.identity(key)


class Sections:
    """Makes the sections of configs: ten thousand configs of a sweep have a few dozen different ones."""

    def __init__(self) -> None:
        self._sections: dict[bytes, Section] = {}

    def of(self, config: Mapping[str, Any]) -> dict[str, Section]:
        """The sections of one config by their names."""
        sections = {}
        for name, content in config.items():
            # Version 2 of marshal has no references between objects, so equal content gives equal bytes. It is ten
            # times as fast as flattening.
            stamp = marshal.dumps((name, content), 2)
            section = self._sections.get(stamp)
            if section is None:
                section = self._sections[stamp] = Section(name, content)
            sections[sys.intern(name)] = section
        return sections


def identity(value: Any) -> Any:
    """A hashable stand-in for a config value: 1 equals 1.0, but not ``true``.

    Example:
        >>> identity(1) == identity(1.0), identity(1) == identity(True)
        (True, False)
    """
    if value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool)):
        return value
    return (canonical_json(value),)


def check_keys(option: str, keys: Sequence[str], runs: Sequence["Run"]) -> None:
    """Refuses keys that no run has.

    Raises:
        InputError: The line names the nearest keys of the runs.
    """
    keys_of_runs = config_keys(runs)
    for key in keys:
        if key not in keys_of_runs:
            raise InputError(f"{option}: no run has the config key {key!r}{near_hint(key, keys_of_runs)}")


def config_keys(runs: Sequence["Run"]) -> set[str]:
    """All keys of the runs' configs, with those above others."""
    keys: set[str] = set()
    for section in _distinct(runs):
        for key in section.flat:
            while key and key not in keys:
                keys.add(key)
                key = key.rpartition(".")[0]
    return keys


def near_hint(name: str, names: Iterable[str]) -> str:
    """``; near: a, b`` with the ``names`` most like ``name``; empty where there are none."""
    names = sorted(names)
    last = name.rpartition(".")[2]
    close = [each for each in names if each.rpartition(".")[2] == last]
    close += [each for each in difflib.get_close_matches(name, names, n=3, cutoff=0.5) if each not in close]
    return f"; near: {', '.join(close[:5])}" if close else ""


def differing_keys(runs: Sequence["Run"]) -> list[str]:
    """The config keys whose values differ among the runs, except the seed and keys that do not decide the result."""
    differing = []
    by_name: dict[str, list[Section | None]] = {}
    for section in _distinct(runs):
        by_name.setdefault(section.name, []).append(section)
    some_lack = any(len(run.config) < len(by_name) for run in runs)
    for name, sections in by_name.items():
        if some_lack and any(name not in run.config for run in runs):
            sections.append(None)
        if len(sections) < 2:
            continue
        for key in dict.fromkeys(key for section in sections if section for key in section.flat):
            if not any(section and key in section.deciding for section in sections):
                continue
            values = {section.written_identity(key) if section else MISSING for section in sections}
            if len(values) > 1 and not _is_seed(key, runs):
                differing.append(key)
    return differing


def is_below(key: str, above: Iterable[str]) -> bool:
    """Whether a dotted key is one of ``above``, or below one."""
    return any(key == name or key.startswith(name + ".") for name in above)


def _distinct(runs: Sequence["Run"]) -> list[Section]:
    """The different sections of the runs' configs, in order of appearance."""
    return list(dict.fromkeys(itertools.chain.from_iterable(run.config.values() for run in runs)))


def _is_seed(key: str, runs: Sequence["Run"]) -> bool:
    """Whether a key is the seed, or a copy of it by interpolation."""
    last = key.rpartition(".")[2]
    return key == "seed" or ("seed" in last and all(run.value(key) in (run.seed, MISSING) for run in runs))
