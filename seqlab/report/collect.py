"""Find the runs below some folders, and read from each what a comparison needs."""

import difflib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.fingerprint import canonical_json, config_hash, flatten, is_left_out
from seqlab.record import RECORD_NAME, read_record

MISSING = "-"
"""Stands for the value of a config key that a run does not have."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its record tells it. ``config`` is flat: dotted key to value."""

    path: str
    status: str
    config: dict[str, Any]
    config_hash: str
    overridden: tuple[str, ...]
    seed: int | None
    metrics: dict[str, float]
    num_parameters: float | None
    tokens_per_second: float | None
    train_seconds: float | None
    started_at: str
    device: str
    code: str
    host: str
    error: str

    def value(self, key: str) -> Any:
        """The config's value under a dotted key; for a key that stands above others, the mapping of those below."""
        if key in self.config:
            return self.config[key]
        below = {name[len(key) + 1 :]: value for name, value in self.config.items() if name.startswith(key + ".")}
        return below or MISSING


def collect(folders: Iterable[str | os.PathLike[str]]) -> tuple[list[Run], int]:
    """Every run below the folders, in order of path, and the number of copies of one and the same run left out.

    A file that cannot be read becomes a run of status ``unreadable``: one damaged file must not hide a whole sweep.

    Raises:
        InputError: A folder does not exist, holds no record, or holds unreadable ones alone.
    """
    runs: dict[Any, Run] = {}
    copies = 0
    for path in _record_paths(folders):
        run = _read_run(path)
        # A copied folder is the same run: the same config, begun in the same microsecond.
        same = (run.config_hash, run.started_at) if run.started_at else path
        known = runs.get(same)
        copies += known is not None
        if known is None or (known.status != "completed" and run.status == "completed"):
            runs[same] = run
    found = sorted(runs.values(), key=lambda run: run.path)
    if all(run.status == "unreadable" for run in found):
        raise InputError(found[0].error)
    return found, copies


def identity(value: Any) -> Any:
    """A hashable stand-in for a config value: 1 equals 1.0, but not ``true``."""
    if value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool)):
        return value
    return (canonical_json(value),)


def check_keys(keys: Sequence[str], runs: Sequence[Run]) -> None:
    """Refuse keys that no run has.

    Raises:
        InputError: With the nearest keys that there are.
    """
    known = _all_keys(runs)
    for key in keys:
        if key not in known:
            raise InputError(f"--by: no run has the config key {key!r}{near(key, known)}")


def near(name: str, known: Iterable[str]) -> str:
    """``; near: a, b`` with the known names most like ``name``, or nothing."""
    known = sorted(known)
    last = name.rpartition(".")[2]
    close = [key for key in known if key.rpartition(".")[2] == last]
    close += [key for key in difflib.get_close_matches(name, known, n=3, cutoff=0.5) if key not in close]
    return f"; near: {', '.join(close[:5])}" if close else ""


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """The config keys whose values differ among the runs, save the seed and what does not change results."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    seen = {key: {identity(run.config.get(key, MISSING)) for run in runs} for key in keys if not is_left_out(key)}
    return [key for key, values in seen.items() if len(values) > 1 and not _is_seed(key, runs)]


def _is_seed(key: str, runs: Sequence[Run]) -> bool:
    """The seed itself, or a copy of it that another part of the config received by interpolation."""
    last = key.rpartition(".")[2]
    return key == "seed" or ("seed" in last and all(run.config.get(key, run.seed) == run.seed for run in runs))


def _all_keys(runs: Sequence[Run]) -> set[str]:
    known: set[str] = set()
    for key in dict.fromkeys(key for run in runs for key in run.config):
        while key and key not in known:
            known.add(key)
            key = key.rpartition(".")[0]
    return known


def _record_paths(folders: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()
    for folder in folders:
        root = Path(folder)
        if root.name == RECORD_NAME and root.is_file():
            root = root.parent
        if not root.is_dir():
            raise InputError(f"DIR: expected a folder of runs, got {os.fspath(folder)!r}, which is not a folder")
        found = False
        # Links are followed, since runs often live on another disk; `visited` ends cycles and overlaps.
        for place, folders_below, files in os.walk(root, followlinks=True, onerror=_complain):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in visited:
                folders_below.clear()
                found = True
                continue
            visited.add((status.st_dev, status.st_ino))
            if RECORD_NAME in files:
                found = True
                yield Path(place, RECORD_NAME)
        if not found:
            raise InputError(f"no {RECORD_NAME} below DIR: {os.fspath(folder)}")


def _complain(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror})")


def _read_run(path: Path) -> Run:
    folder = os.path.relpath(path.parent) if not path.is_absolute() else os.fspath(path.parent)
    try:
        record = read_record(path)
    except InputError as error:
        return Run(folder, "unreadable", {}, "", (), None, {}, None, None, None, "", "", "", "", str(error))
    git = record["git"]
    code = (git.get("commit") or "unknown")[:10] + (" with uncommitted changes" if git.get("dirty") else "")
    return Run(
        path=folder,
        status=record["status"],
        # Ten thousand configs have the same few keys and words: one copy of each keeps the memory flat.
        config={sys.intern(key): _shared(value) for key, value in flatten(record["config"])},
        config_hash=record["config_hash"] or config_hash(record["config"]),
        overridden=tuple(_overridden(override) for override in record["overrides"] or ()),
        seed=record["seed"],
        metrics={sys.intern(name): value for name, value in record["metrics"].items() if value is not None},
        num_parameters=record["num_parameters"],
        tokens_per_second=record["tokens_per_second"],
        train_seconds=record["train_seconds"],
        started_at=record["started_at"] or "",
        device=sys.intern(_device(record["device"])),
        code=code,
        host=sys.intern(str(record["process"].get("host"))),
        error=_last_line(record["error"]),
    )


def _overridden(override: Any) -> str:
    """The config key, or the group as a key, that an override sets: ``+model/cell=gru`` sets ``model.cell``."""
    return sys.intern(str(override).partition("=")[0].lstrip("+~").partition("@")[0].replace("/", "."))


def _shared(value: Any) -> Any:
    return sys.intern(value) if isinstance(value, str) else value


def _device(device: Any) -> str:
    return device if isinstance(device, str) else "unknown" if device is None else canonical_json(device)


def _last_line(error: Any) -> str:
    """In printable characters alone: a terminal's control codes in a traceback must not act on another terminal."""
    lines = str(error or "").strip().splitlines()
    return "".join(filter(str.isprintable, lines[-1])).strip() if lines else ""
