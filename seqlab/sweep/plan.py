"""The jobs of a sweep: what they are, and which have been composed before. Nothing is composed; torch is not needed.

Composing a configuration takes Hydra some 0.1 s. A sweep of 200 jobs that have all completed is recognised by what its
jobs are made from: a digest of all that composing reads, and a job's overrides.
"""

import hashlib
import importlib.metadata
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from seqlab.config.hash import canonical_json, comparable, config_hash, deciding_values
from seqlab.config.own_files import search_packages, search_path
from seqlab.config.paths import path_values
from seqlab.errors import InputError

_SHIPPED: Final = ("hydra.conf", "seqlab.conf")

_ENVIRONMENT: Final = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)['\"]?\s*[,}]")
"""A variable of the environment, by a name that is no interpolation itself."""

_RESOLVER: Final = re.compile(r"\$\{\s*([\w.]+)\s*:")
_REPEATED: Final = frozenset(
    {"oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select", "seqlab.direction"}
)
"""Resolvers whose value goes by the configuration alone. Of all others nobody knows."""

_OF_HYDRA: Final = re.compile(r"\$\{[^}]*\bhydra\b")
"""Interpolations of what Hydra knows of a job, its number among them."""

_MOST_FILES: Final = 2000
"""Of the user's own; more are no configuration, but a working folder with all that is in it."""


@dataclass(frozen=True)
class PlannedJob:
    """One job of a sweep, before it is composed.

    Attributes:
        number: its place in the sweep, from 0.
        overrides: all that it is made from, as Hydra's launchers take it.
        varied: those of them that differ from job to job.
    """

    number: int
    overrides: tuple[str, ...]
    varied: tuple[str, ...]


def plan_jobs(
    arguments: Sequence[str], params: Mapping[str, Any] | None = None, loader: ConfigLoader | None = None
) -> list[PlannedJob]:
    """Every combination of what the overrides of a sweep name, in the order of Hydra's own sweeper.

    Args:
        arguments: the overrides of the command line, those of Hydra itself apart.
        params: those of the sweeper's list, which the command line overrides.
        loader: knows what a glob over a group's choices stands for.

    Raises:
        InputError: two values of a key are the same, so that two jobs would be one.
        HydraException: an override can't be read, or draws from an interval, which only a search does.

    Example:
        >>> [job.varied for job in plan_jobs(["name=x", "model.num_layers=1,2", "seed=1,2"])][:3]
        [('model.num_layers=1', 'seed=1'), ('model.num_layers=1', 'seed=2'), ('model.num_layers=2', 'seed=1')]
    """
    given = [f"{key}={value}" for key, value in (params or {}).items()]
    by_key: dict[str, list[str]] = {}
    several: set[str] = set()
    for override in OverridesParser.create(config_loader=loader).parse_overrides([*given, *arguments]):
        key = override.get_key_element()
        by_key[key] = list(_values(override))
        several.discard(key)
        if override.is_sweep_override():
            several.add(key)
    varied = [key in several for key in by_key]
    return [
        PlannedJob(number, overrides, tuple(itertools.compress(overrides, varied)))
        for number, overrides in enumerate(itertools.product(*by_key.values()))
    ]


def _values(override: Override) -> Iterator[str]:
    """An override for each value that one names."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        yield str(override.input_line) if override.is_delete() else f"{key}={override.get_value_element_as_str()}"
        return
    if not override.is_discrete_sweep():
        raise InputError(f"{override.input_line}: an interval is drawn from by a search alone; give sweep=optuna")
    seen: dict[str, str] = {}
    for text in override.sweep_string_iterator():
        value = canonical_json(
            comparable(key.lstrip("+"), OverridesParser.create().parse_override(f"key={text}").value())
        )
        if value in seen:
            same = "twice" if seen[value] == text else f"the same as {seen[value]}"
            raise InputError(f"{override.input_line}: {text} is there {same}: two jobs would be one; drop one")
        seen[value] = text
        yield f"{key}={text}"
    if not seen:
        raise InputError(f"{override.input_line} names no value, so there would be no job; give one that it finds")


def check_varied(jobs: Sequence[PlannedJob], config: Mapping[str, Any]) -> None:
    """Refuses a sweep over what changes no result: its jobs would be one and the same run.

    Args:
        jobs: of the sweep.
        config: plain and resolved, without what varies.

    Raises:
        InputError: naming the key.

    Example:
        >>> check_varied(plan_jobs(["trainer.devices=1,2"]), {"trainer": {"devices": 1}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        seqlab.errors.InputError: trainer.devices is varied, but changes no result: ...
    """
    counting = deciding_values(config)
    for text in jobs[0].varied if jobs else ():
        key = text.partition("=")[0].lstrip("+").replace("/", ".")
        if _is_in(config, key) and not any(name == key or name.startswith(key + ".") for name in counting):
            raise InputError(f"{key} is varied, but changes no result: its jobs would be one run; give it one value")


def _is_in(config: Mapping[str, Any], key: str) -> bool:
    first, _, rest = key.partition(".")
    return first in config and (not rest or (isinstance(config[first], Mapping) and _is_in(config[first], rest)))


def places_hash(config: Mapping[str, Any]) -> str:
    """A hash of where a configuration says that its data's files lie."""
    return hashlib.sha256("\0".join(f"{value.key}={value.text}" for value in path_values(config)).encode()).hexdigest()[
        :12
    ]


@dataclass(frozen=True)
class Composed:
    """What composing a job once has told.

    Attributes:
        key: of :func:`job_key`.
        folder: the name of the job's folder.
        config_hash: of its configuration.
        places: a hash of where it says that its data's files lie.
    """

    key: str
    folder: str
    config_hash: str
    places: str

    @classmethod
    def of(cls, key: str, folder: str, config: Mapping[str, Any]) -> "Composed":
        """That of a resolved configuration with absolute paths."""
        return cls(key, folder, config_hash(config), places_hash(config))


class Memo:
    """What composing the jobs of a sweep has told, kept in the sweep's folder: a line a job, the last one counts.

    A line that is cut short, as a kill leaves it, is passed over.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> Memo(Path(folder.name)).remember(Composed("0a", "seed=1-0b", "0b1c", "0b1d"))
        >>> Memo(Path(folder.name)).recall("0a").folder
        'seed=1-0b'
        >>> folder.cleanup()
    """

    NAME: Final = "jobs.jsonl"

    def __init__(self, sweep_dir: Path) -> None:
        self._path = sweep_dir / self.NAME
        self._known = {composed.key: composed for composed in self._read()}

    def recall(self, key: str) -> Composed | None:
        """What the job of a :func:`job_key` was when it was composed."""
        return self._known.get(key)

    def remember(self, composed: Composed) -> None:
        """Keeps what a job has been composed to."""
        if self._known.get(composed.key) == composed:
            return
        self._known[composed.key] = composed
        # In one write, which no other process's comes into the middle of; first a newline, for a line may be cut short.
        with self._path.open("ab", buffering=0) as file:
            file.write(f"\n{json.dumps(asdict(composed))}\n".encode())

    def _read(self) -> Iterator[Composed]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in filter(None, lines):
            try:
                yield Composed(**json.loads(line))
            except (ValueError, TypeError):
                continue


def job_key(digest: str, overrides: Iterable[str]) -> str:
    """A key that two jobs have in common only if they are composed to the same configuration."""
    return hashlib.sha256("\0".join([digest, *overrides]).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Sources:
    """All that composing reads beside a job's overrides, wherever a process asks.

    Read are the packaged files, those of ``--config-dir`` and ``hydra.searchpath``, the environment's variables that
    are named in one of them or in an override, and the code that makes a hash of it all.

    Attributes:
        folders: of the user's own files.
        packages: of the user's that hold such files.
        given: the overrides of the command line and of the sweeper's list.
        typed: those of Hydra itself.
        config_name: of the primary configuration.
        working_folder: the command's.
    """

    folders: tuple[str, ...]
    packages: tuple[str, ...]
    given: tuple[str, ...]
    typed: tuple[str, ...]
    config_name: str
    working_folder: str

    @classmethod
    def of(cls, config: DictConfig) -> "Sources":
        """Those of a sweep's composed configuration, with the node ``hydra``."""
        typed = _plain(config.hydra.overrides.hydra)
        params = OmegaConf.to_container(config.hydra.sweeper, resolve=False).get("params") or {}  # type: ignore[union-attr]
        given = (*typed, *_plain(config.hydra.overrides.task), *map(str, params.values()))
        own: dict[str, list[str]] = {"file": [], "pkg": []}
        for source in config.hydra.runtime.config_sources:
            own.get(source.schema, []).append(source.path)
        packages = [path for path in own["pkg"] if path not in _SHIPPED]
        folders = [*map(os.path.abspath, [*own["file"], *search_path(typed)])]
        packages += search_packages(typed)
        return cls(
            tuple(dict.fromkeys(folders)),
            tuple(dict.fromkeys(packages)),
            given,
            tuple(typed),
            str(config.hydra.job.config_name),
            os.getcwd(),
        )

    def digest(self) -> str | None:
        """A digest of what they are now; None where a configuration may be another each time, or in each job."""
        if any("env_set" in text for text in self.typed):  # which a job alone sees
            return None
        try:
            roots = [*self.folders, *(str(files(package)) for package in self.packages)]
        except (ImportError, TypeError):
            return None
        texts: dict[str, str] = {}
        for root in dict.fromkeys(roots):
            texts |= itertools.islice(_texts_below(root), _MOST_FILES + 1)
        if len(texts) > _MOST_FILES or any(map(_may_differ, [*self.given, *texts.values()])):
            return None
        for package in _SHIPPED:
            texts |= _texts_below(str(files(package)))
        variables = sorted({name for text in [*self.given, *texts.values()] for name in _ENVIRONMENT.findall(text)})
        parts = [
            *(f"{name}\n{text}" for name, text in sorted(texts.items())),
            *(f"{name}={os.environ.get(name)!r}" for name in variables),
            *(path.read_text("utf-8") for path in sorted(Path(str(files("seqlab.config"))).glob("*.py"))),
            *(f"{name} {importlib.metadata.version(name)}" for name in ("hydra-core", "omegaconf")),
            *(text for text in self.typed if "hydra.searchpath" in text),
            *(sys.version, self.working_folder, self.config_name),
        ]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _may_differ(text: str) -> bool:
    """Whether an interpolation in a text may have another value each time, or in each job.

    Example:
        >>> [_may_differ(f"{{ {text} }}") for text in ("${seed}", "${oc.env:LR, 1}", "${oc.env:${name}}", "${now:%H}")]
        [False, False, True, True]
    """
    if _OF_HYDRA.search(text):
        return True
    return any(
        not (_ENVIRONMENT.match(text, found.start()) if found[1] == "oc.env" else found[1] in _REPEATED)
        for found in _RESOLVER.finditer(text)
    )


def _plain(overrides: Any) -> list[str]:
    return list(map(str, OmegaConf.to_container(overrides, resolve=False) or []))


def _texts_below(root: str) -> Iterator[tuple[str, str]]:
    """Every YAML file that lies in a group below a folder, or beside the groups, behind links as well; its text."""
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")))
        for name in names:
            if name.endswith(".yaml"):
                path = Path(folder, name)
                yield str(path), path.read_text("utf-8", errors="surrogateescape")
