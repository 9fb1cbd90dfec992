"""What the jobs of a sweep were composed to, remembered so that most need not be composed again.

Hydra takes some 0.1 s to compose a configuration. A sweep of 200 completed jobs is recognised by a digest of everything
that composing reads, and by each job's overrides. Nothing is composed here; torch is not needed.
"""

import hashlib
import importlib.metadata
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf

from seqlab.config.hash import config_hash
from seqlab.config.own_files import search_packages, search_path
from seqlab.config.paths import path_values

_SHIPPED: Final = ("hydra.conf", "seqlab.conf")

_ENVIRONMENT: Final = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)['\"]?\s*[,}]")
"""An interpolation of an environment variable whose name is not an interpolation itself."""

_RESOLVER: Final = re.compile(r"\$\{\s*([\w.]+)\s*:")
_DETERMINISTIC: Final = frozenset(
    {"oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select", "seqlab.direction"}
)
"""Resolvers whose value depends on the configuration alone. Any other may give another value each time."""

_OF_HYDRA: Final = re.compile(r"\$\{[^}]*\bhydra\b")
"""Interpolations of Hydra's own node, which includes the job's number."""

_MAX_FILES: Final = 2000
"""The most files of the user's own: more are not a configuration, but a working folder with everything in it."""


def places_hash(config: Mapping[str, Any]) -> str:
    """A hash of the places of a configuration's data files."""
    text = "\0".join(f"{value.key}={value.text}" for value in path_values(config))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ComposedJob:
    """What a job was composed to.

    Attributes:
        key: see :func:`job_key`.
        folder: the name of the job's folder.
        config_hash: the hash of its configuration.
        places: the hash of the places of its data files.
    """

    key: str
    folder: str
    config_hash: str
    places: str

    @classmethod
    def of(cls, key: str, folder: str, config: Mapping[str, Any]) -> "ComposedJob":
        """That of a resolved configuration with absolute paths."""
        return cls(key, folder, config_hash(config), places_hash(config))


class Memo:
    """What the jobs of a sweep were composed to, in a file of the sweep's folder: a line a job, the last line counts.

    A line that was cut short by a kill is skipped.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> Memo(Path(folder.name)).remember(ComposedJob("0a", "seed=1-0b", "0b1c", "0b1d"))
        >>> Memo(Path(folder.name)).recall("0a").folder
        'seed=1-0b'
        >>> folder.cleanup()
    """

    NAME: Final = "jobs.jsonl"

    def __init__(self, sweep_dir: Path) -> None:
        self._path = sweep_dir / self.NAME
        self._jobs = {composed.key: composed for composed in self._read()}

    def recall(self, key: str) -> ComposedJob | None:
        """What the job of a :func:`job_key` was composed to; None if it is not remembered."""
        return self._jobs.get(key)

    def remember(self, composed: ComposedJob) -> None:
        """Adds what a job was composed to."""
        if self._jobs.get(composed.key) == composed:
            return
        self._jobs[composed.key] = composed
        # One write, so that no other process writes in between. It begins with a newline: the last line may be cut.
        with self._path.open("ab", buffering=0) as file:
            file.write(f"\n{json.dumps(asdict(composed))}\n".encode())

    def _read(self) -> Iterator[ComposedJob]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in filter(None, lines):
            try:
                yield ComposedJob(**json.loads(line))
            except (ValueError, TypeError):
                continue


def job_key(digest: str, overrides: Iterable[str]) -> str:
    """A key that two jobs share only if they are composed to the same configuration."""
    return hashlib.sha256("\0".join([digest, *overrides]).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ConfigSources:
    """Everything that composing a job reads, apart from the job's overrides. It can be read again in any process.

    That is: the packaged files, those of ``--config-dir`` and ``hydra.searchpath``, the environment variables that are
    named in one of them or in an override, and the code that computes the hash of a configuration.

    Attributes:
        folders: folders with the user's own configuration files.
        packages: packages of the user's with such files.
        overrides: the overrides of the command line and of the sweeper's list, and those of Hydra itself.
        hydra_overrides: those of Hydra itself.
        config_name: the name of the primary configuration.
        working_folder: the command's working folder.
    """

    folders: tuple[str, ...]
    packages: tuple[str, ...]
    overrides: tuple[str, ...]
    hydra_overrides: tuple[str, ...]
    config_name: str
    working_folder: str

    @classmethod
    def of(cls, config: DictConfig) -> "ConfigSources":
        """Those of a sweep's composed configuration, with the node ``hydra``."""
        hydra_overrides = _texts_of(config.hydra.overrides.hydra)
        params = OmegaConf.to_container(config.hydra.sweeper, resolve=False).get("params") or {}  # type: ignore[union-attr]
        overrides = (*hydra_overrides, *_texts_of(config.hydra.overrides.task), *map(str, params.values()))
        paths: dict[str, list[str]] = {"file": [], "pkg": []}
        for source in config.hydra.runtime.config_sources:
            paths.get(source.schema, []).append(source.path)
        folders = map(os.path.abspath, [*paths["file"], *search_path(hydra_overrides)])
        packages = [*(path for path in paths["pkg"] if path not in _SHIPPED), *search_packages(hydra_overrides)]
        return cls(
            tuple(dict.fromkeys(folders)),
            tuple(dict.fromkeys(packages)),
            overrides,
            tuple(hydra_overrides),
            str(config.hydra.job.config_name),
            os.getcwd(),
        )

    def digest(self) -> str | None:
        """A digest of the present content; None if a configuration may differ each time, or from job to job."""
        if any("env_set" in text for text in self.hydra_overrides):  # only a job itself sees these variables
            return None
        texts = self._own_texts()
        if texts is None or any(map(_may_vary, [*self.overrides, *texts.values()])):
            return None
        for package in _SHIPPED:
            texts |= _yaml_texts(str(files(package)))
        variables = {name for text in [*self.overrides, *texts.values()] for name in _ENVIRONMENT.findall(text)}
        parts = [
            *(f"{name}\n{text}" for name, text in sorted(texts.items())),
            *(f"{name}={os.environ.get(name)!r}" for name in sorted(variables)),
            *(path.read_text("utf-8") for path in sorted(Path(str(files("seqlab.config"))).glob("*.py"))),
            *(f"{name} {importlib.metadata.version(name)}" for name in ("hydra-core", "omegaconf")),
            *(text for text in self.hydra_overrides if "hydra.searchpath" in text),
            *(sys.version, self.working_folder, self.config_name),
        ]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def _own_texts(self) -> dict[str, str] | None:
        """The texts of the user's own files by path; None if they cannot be found, or are too many."""
        try:
            roots = [*self.folders, *(str(files(package)) for package in self.packages)]
        except (ImportError, TypeError):
            return None
        texts: dict[str, str] = {}
        for root in dict.fromkeys(roots):
            texts |= itertools.islice(_yaml_texts(root), _MAX_FILES + 1)
        return texts if len(texts) <= _MAX_FILES else None


def _may_vary(text: str) -> bool:
    """Whether an interpolation in a text may have another value each time, or in each job.

    Example:
        >>> [_may_vary(f"{{ {text} }}") for text in ("${seed}", "${oc.env:LR, 1}", "${oc.env:${name}}", "${now:%H}")]
        [False, False, True, True]
    """
    if _OF_HYDRA.search(text):
        return True
    return any(
        not (_ENVIRONMENT.match(text, match.start()) if match[1] == "oc.env" else match[1] in _DETERMINISTIC)
        for match in _RESOLVER.finditer(text)
    )


def _texts_of(overrides: Any) -> list[str]:
    return list(map(str, OmegaConf.to_container(overrides, resolve=False) or []))


def _yaml_texts(root: str) -> Iterator[tuple[str, str]]:
    """The path and text of each YAML file below a folder, also behind links, except in hidden folders."""
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__")))
        for name in names:
            if name.endswith(".yaml"):
                path = Path(folder, name)
                yield str(path), path.read_text("utf-8", errors="surrogateescape")
