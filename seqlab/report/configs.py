"""The configs of many runs, held once where they are equal, and which of their keys tell runs apart."""

import difflib
import itertools
import marshal
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seqlab.config.hash import canonical_json, counted, flatten, told_apart
from seqlab.errors import InputError

if TYPE_CHECKING:
    from seqlab.report.collect import Run

MISSING = "-"
"""Stands for the value of a config key that a run does not have."""


class Section:
    """A top-level part of a config, flat: dotted key to value. Runs that have it word for word share one."""

    __slots__ = ("_below", "_identities", "counted", "flat", "name")

    def __init__(self, name: str, content: Any) -> None:
        self.name = name
        self.flat = {sys.intern(key): value for key, value in flatten({name: content})}
        self.counted = frozenset(map(sys.intern, counted({name: content})))
        self._below: dict[str, Any] = {}
        self._identities: dict[str, Any] = {}

    def value(self, key: str) -> Any:
        """The value of a key; for one that stands above others, the mapping of those below; else `MISSING`."""
        if key in self.flat:
            return self.flat[key]
        if key not in self._below:
            below = {name[len(key) + 1 :]: value for name, value in self.flat.items() if name.startswith(key + ".")}
            self._below[key] = below or MISSING
        return self._below[key]

    def identity(self, key: str) -> Any:
        """`identity` of the key's value, worked out once."""
        if key not in self._identities:
            self._identities[key] = identity(told_apart(key, self.value(key)))
        return self._identities[key]


class Sections:
    """Makes the sections of configs. Ten thousand configs of a sweep have a few dozen different ones."""

    def __init__(self) -> None:
        self._known: dict[bytes, Section] = {}

    def of(self, config: Mapping[str, Any]) -> dict[str, Section]:
        """The sections of one config by their names."""
        sections = {}
        for name, content in config.items():
            # Version 2 of marshal has no references between objects: equal content, equal bytes, ten times as fast
            # as flattening it.
            stamp = marshal.dumps((name, content), 2)
            section = self._known.get(stamp)
            if section is None:
                section = self._known[stamp] = Section(name, content)
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
    """Refuse keys that no run has.

    Raises:
        InputError: With the nearest keys that there are.
    """
    known: set[str] = set()
    for section in _distinct(runs):
        for key in section.flat:
            while key and key not in known:
                known.add(key)
                key = key.rpartition(".")[0]
    for key in keys:
        if key not in known:
            raise InputError(f"{option}: no run has the config key {key!r}{near(key, known)}")


def near(name: str, known: Iterable[str]) -> str:
    """``; near: a, b`` with the known names most like ``name``, or nothing."""
    known = sorted(known)
    last = name.rpartition(".")[2]
    close = [key for key in known if key.rpartition(".")[2] == last]
    close += [key for key in difflib.get_close_matches(name, known, n=3, cutoff=0.5) if key not in close]
    return f"; near: {', '.join(close[:5])}" if close else ""


def differing_keys(runs: Sequence["Run"]) -> list[str]:
    """The config keys whose values differ among the runs, save the seed and what does not change results."""
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
            if not any(section and key in section.counted for section in sections):
                continue
            found = {section.identity(key) if section and key in section.flat else MISSING for section in sections}
            if len(found) > 1 and not _is_seed(key, runs):
                differing.append(key)
    return differing


def is_below(key: str, above: Iterable[str]) -> bool:
    """Whether a dotted key is one of ``above``, or below one."""
    return any(key == name or key.startswith(name + ".") for name in above)


def _distinct(runs: Sequence["Run"]) -> list[Section]:
    """The different sections of the runs' configs, in the order that they come in."""
    return list(dict.fromkeys(itertools.chain.from_iterable(run.config.values() for run in runs)))


def _is_seed(key: str, runs: Sequence["Run"]) -> bool:
    """The seed itself, or a copy of it that another part of the config received by interpolation."""
    last = key.rpartition(".")[2]
    return key == "seed" or ("seed" in last and all(run.value(key) in (run.seed, MISSING) for run in runs))
