"""Finds the runs below some folders, and reads from each what a comparison needs."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from seqlab.config.hash import canonical_json, config_hash
from seqlab.errors import InputError
from seqlab.report.configs import MISSING, Section, Sections
from seqlab.report.conflicts import Places, mark_conflicts
from seqlab.run.provenance import describe_commit
from seqlab.run.record import RECORD_NAME, read_record

_NO_RUNS_BELOW = frozenset({".hydra", "checkpoints", "code"})
"""Folders of a run that hold no other run: searching them would double the time for thousands of runs. Hidden folders
are not searched either: one may hold the replacement of a run, which is not a run beside it."""


UNREADABLE: Final = "unreadable"
"""The status of a run whose record is damaged."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, from its record.

    ``config`` has the record's config by its top-level keys. ``code``, ``versions``, ``data``, ``device`` and ``host``
    are texts, equal where the code, the versions and so on are. ``reads`` is what ``tokens_per_second`` counts, empty
    where it is unknown. ``modules`` has the hash of each of the user's own modules, None where it is unknown.
    """

    path: str
    status: str
    error: str = ""
    config: dict[str, Section] = field(default_factory=dict)
    config_hash: str = ""
    overrides: tuple[str, ...] = ()
    seed: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    num_parameters: float | None = None
    tokens_per_second: float | None = None
    reads: str = ""
    train_seconds: float | None = None
    peak_memory_bytes: float | None = None
    started_at: str = ""
    trained: bool = False
    code: str = ""
    modules: Mapping[str, str | None] = field(default_factory=dict)
    versions: str = ""
    data: str = ""
    device: str = ""
    host: str = ""

    def value(self, key: str) -> Any:
        """The config's value under a dotted key; for a key above others, the mapping of those below it."""
        section = self.config.get(key.partition(".")[0])
        return MISSING if section is None else section.value(key)

    def identity(self, key: str) -> Any:
        """A hashable stand-in for the value, equal where the values are."""
        section = self.config.get(key.partition(".")[0])
        return MISSING if section is None else section.identity(key)


def speed_unit(runs: Iterable[Run]) -> str:
    """The unit of the runs' speeds: ``tokens/s``, ``frames/s``, or both where there are both."""
    runs = list(runs)
    units = {run.reads or "tokens" for run in runs if run.tokens_per_second is not None}
    units = units or {run.reads for run in runs if run.reads} or {"tokens"}  # too short to be measured; baselines alone
    return ", ".join(f"{unit}/s" for unit in sorted(units))


def collect(folders: Iterable[str | os.PathLike[str]]) -> tuple[list[Run], int]:
    """Every run below the folders, in order of path, and the number of copies that were left out.

    A file that cannot be read becomes a run of status ``unreadable``: one damaged file must not hide a whole sweep.

    Raises:
        InputError: A folder does not exist, holds no record, or holds only unreadable ones.
    """
    runs: dict[Any, Run] = {}
    copies = 0
    reader = _Reader()
    for folder in run_folders(folders):
        run = reader.read(folder)
        # A copied folder is the same run: the same config, begun in the same microsecond.
        identity = (run.config_hash, run.started_at) if run.started_at else folder
        copy = runs.get(identity)
        copies += copy is not None
        if copy is None or (copy.status != "completed" and run.status == "completed"):
            runs[identity] = run
    by_path = sorted(runs.values(), key=lambda run: run.path)
    mark_conflicts(by_path)
    if all(run.status == UNREADABLE for run in by_path):
        raise InputError(by_path[0].error)
    return by_path, copies


def run_folders(folders: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """Each run's folder below the folders, once; links are followed.

    Raises:
        InputError: a folder does not exist, cannot be read, or holds no record.
    """
    visited: set[tuple[int, int]] = set()
    for folder in folders:
        root = Path(folder)
        if root.name == RECORD_NAME and root.is_file():
            root = root.parent
        if not root.is_dir():
            raise InputError(f"DIR: expected a folder of runs, got {os.fspath(folder)!r}, which is not a folder")
        has_run = False
        waiting = [os.fspath(root) if root.is_absolute() else os.path.relpath(root)]
        while waiting:
            place = waiting.pop()
            status = os.stat(place)
            # Links are followed, since runs often live on another disk; `visited` ends cycles and overlaps.
            if (status.st_dev, status.st_ino) in visited:
                has_run = True
                continue
            visited.add((status.st_dev, status.st_ino))
            is_run, below = _scan(place)
            if is_run:
                has_run = True
                yield place
            waiting += below
        if not has_run:
            raise InputError(f"no {RECORD_NAME} below DIR: {os.fspath(folder)}")


def _scan(place: str) -> tuple[bool, list[str]]:
    """Whether a folder is a run's, and the folders in it that may hold runs."""
    is_run, below = False, []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name == RECORD_NAME and entry.is_file():
                    is_run = True
                elif entry.is_dir():
                    below.append(entry.path)
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror})") from None
    if is_run:
        names = ((path, os.path.basename(path)) for path in below)
        below = [path for path, name in names if name not in _NO_RUNS_BELOW and not name.startswith(".")]
    return is_run, below


class _Reader:
    """Reads records; parts that many runs share are held once."""

    def __init__(self) -> None:
        self._sections = Sections()
        self._places = Places()
        self._modules: dict[tuple[tuple[str, str | None], ...], dict[str, str | None]] = {}

    def read(self, folder: str) -> Run:
        """The run in a folder."""
        try:
            record = read_record(os.path.join(folder, RECORD_NAME))
        except InputError as error:
            return Run(folder, UNREADABLE, error=str(error))
        git = record["git"]
        code = (git.get("commit") or "unknown")[:10] + (" with uncommitted changes" if git.get("dirty") else "")
        return Run(
            path=folder,
            status=record["status"],
            error=_last_line(record["error"]),
            config=self._sections.of(self._places.rewrite(record)),
            config_hash=record["config_hash"] or config_hash(record["config"]),
            overrides=tuple(sys.intern(str(override)) for override in record["overrides"] or ()),
            seed=record["seed"],
            metrics={sys.intern(name): value for name, value in record["metrics"].items() if value is not None},
            num_parameters=record["num_parameters"],
            tokens_per_second=record["tokens_per_second"],
            reads=sys.intern(str(record["reads"] or "")),
            train_seconds=record["train_seconds"],
            peak_memory_bytes=record["peak_memory_bytes"],
            started_at=record["started_at"] or "",
            trained=record["checkpoint"] is not None,
            code=sys.intern(code),
            modules=self._modules_of(record["code"] or {}),
            versions=sys.intern(", ".join(_versions(record))),
            data=sys.intern(str(record["data_hash"] or "")),
            device=sys.intern(_device(record["device"])),
            host=sys.intern(str(record["process"].get("host"))),
        )

    def _modules_of(self, code: Mapping[str, Any]) -> Mapping[str, str | None]:
        pairs = tuple((str(entry["module"]), entry["sha256"]) for entry in code.get("files") or ())
        return self._modules.setdefault(pairs, dict(pairs))


def _versions(record: Mapping[str, Any]) -> list[str]:
    """The versions of packages, and seqlab's commit if it ran from a checkout."""
    versions = [f"{name} {number}" for name, number in record["versions"].items()]
    commit = describe_commit(record["seqlab_git"])
    return [*versions, f"seqlab-commit {commit}"] if commit else versions


def _device(device: Any) -> str:
    return device if isinstance(device, str) else "unknown" if device is None else canonical_json(device)


def _last_line(error: Any) -> str:
    """An error's last line, in printable characters: control codes in a traceback must not act on a terminal."""
    lines = str(error or "").strip().splitlines()
    return "".join(filter(str.isprintable, lines[-1])).strip() if lines else ""
