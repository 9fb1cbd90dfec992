"""What happened to a run, and what that amounts to: one table of transitions, one fold.

A run's events are lines of its ``events.jsonl``. :func:`fold` makes the record of a run from them, the content of its
``run.json``; :data:`TRANSITIONS` says which event may follow which status.

=============  ==========================================================================================
event          what it says
=============  ==========================================================================================
``begin``      the run starts, with this configuration, from nothing
``resume``     the run goes on from its last checkpoint, or from nothing where it has none yet
``note``       what the run's process found out: sizes, data, device
``complete``   trained and evaluated
``fail``       it ended by an error of its own
``interrupt``  something from outside ended it
``prune``      a search stopped it
``abandon``    its process was found gone, without a word; noted by the next that claims the run
``withdraw``   the attempt could not start; the run is what it was before the attempt
=============  ==========================================================================================
"""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError

SCHEMA: Final = 2

ABSENT, RUNNING, COMPLETED, FAILED, INTERRUPTED, PRUNED = STATUSES = (
    "absent",
    "running",
    "completed",
    "failed",
    "interrupted",
    "pruned",
)

BEFORE: Final = "before"
"""Stands for the status before the attempt that a ``withdraw`` takes back."""

TRANSITIONS: Final[Mapping[tuple[str, str], str]] = {
    (ABSENT, "begin"): RUNNING,
    (FAILED, "begin"): RUNNING,  # only without a checkpoint, see RunFolder
    (INTERRUPTED, "begin"): RUNNING,  # likewise
    (PRUNED, "begin"): RUNNING,  # likewise
    (FAILED, "resume"): RUNNING,
    (INTERRUPTED, "resume"): RUNNING,
    (PRUNED, "resume"): RUNNING,
    (RUNNING, "note"): RUNNING,
    (RUNNING, "complete"): COMPLETED,
    (RUNNING, "fail"): FAILED,
    (RUNNING, "interrupt"): INTERRUPTED,
    (RUNNING, "prune"): PRUNED,
    (RUNNING, "abandon"): INTERRUPTED,
    (RUNNING, "withdraw"): BEFORE,
}
"""(status, event) to the status that follows. What is not here cannot happen: a completed run stays completed."""

ORIGIN: Final = ("versions", "process")
"""What an attempt says of itself; the record has that of the last one, and a list of all in ``attempts``."""

_EMPTY: Final[dict[str, Any]] = {
    "schema": SCHEMA,
    "status": ABSENT,
    "config": {},
    "config_hash": None,
    "overrides": None,
    "seed": None,
    "places": None,
    "composed_from": None,
    "code": None,
    "data_hash": None,
    "data_files": None,
    "parent": None,
    "git": {},
    "seqlab_git": {},
    "versions": {},
    "device": None,
    "process": {},
    "resumes": 0,
    "attempts": [],
    "num_parameters": None,
    "tokens_per_second": None,
    "peak_memory_bytes": None,
    "started_at": None,
    "ended_at": None,
    "train_seconds": None,
    "checkpoint": None,
    "data": None,
    "error": None,
    "trains": False,
    "metrics": {},
}
INTERNAL: Final = ("trains",)
"""Fields that only those who hold the claim read: whether the attempt has come to training."""

NOTED: Final = (
    "process",
    "config",
    "code",
    "git",
    "seqlab_git",
    "data_hash",
    "data_files",
    "data",
    "device",
    "trains",
    "num_parameters",
    "tokens_per_second",
    "peak_memory_bytes",
    "train_seconds",
    "checkpoint",
    "metrics",
)
"""The fields that a run's process may set."""
MEASURED: Final = ("metrics", "num_parameters", "tokens_per_second", "peak_memory_bytes", "train_seconds")
"""Those of them that hold measured numbers, which need not be finite."""


class TransitionError(RuntimeError):
    """An event that cannot follow the status that a run has."""


def after(status: str, event: str, before: str = ABSENT) -> str:
    """The status that follows ``event``; ``before`` is the status before the present attempt.

    Raises:
        TransitionError: ``event`` cannot follow ``status``.

    Example:
        >>> after("running", "complete"), after("running", "withdraw", before="interrupted")
        ('completed', 'interrupted')
    """
    try:
        found = TRANSITIONS[status, event]
    except KeyError:
        raise TransitionError(f"{event!r} cannot follow the status {status!r}") from None
    return before if found == BEFORE else found


def fold(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The record that events amount to.

    Raises:
        TransitionError: an event cannot follow those before it.

    Example:
        >>> fold([])["status"]
        'absent'
    """
    record = dict(_EMPTY)
    previous = record  # as it was before the present attempt
    for event in events:
        record, previous = step(record, previous, event)
    return record


def step(
    record: dict[str, Any], previous: dict[str, Any], event: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record after one more event, and the record before the attempt that it belongs to."""
    kind = event["event"]
    status = after(record["status"], kind, previous["status"])
    if kind == "withdraw":
        withdrawn = {**record["attempts"][-1], "ended_at": event.get("time"), "withdrawn": event.get("error")}
        return {**previous, "attempts": [*record["attempts"][:-1], withdrawn]}, previous
    if kind in ("begin", "resume"):
        base = record if kind == "resume" else _EMPTY
        origin = {name: event[name] for name in ORIGIN if name in event}
        return {
            **base,
            **{name: value for name, value in event.items() if name in _EMPTY},
            "status": status,
            "resumes": record["resumes"] + 1 if kind == "resume" else 0,
            "attempts": [*record["attempts"], {"started_at": event.get("time"), **origin}],
            "started_at": base["started_at"] or event.get("time"),
            "ended_at": None,
            "error": None,
            "trains": False,
        }, record
    record = {**record, **{name: event[name] for name in NOTED if name in event}, "status": status}
    if status != RUNNING:
        end = {"ended_at": event.get("time"), "status": status}
        record.update(ended_at=end["ended_at"], error=event.get("error"))
        record["attempts"] = [*record["attempts"][:-1], {**record["attempts"][-1], **end}]
    return record, previous


def read_lines(path: Path) -> bytes:
    """The whole lines of a file: its writer may be at work on a further one, or have been killed in it.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return content[: content.rfind(b"\n") + 1]


class History:
    """What the lines of a run's events amount to, taken in bit by bit.

    Attributes:
        record: the record after the last line.
        previous: the record before the attempt that the last line belongs to.
        num_lines: how many lines were taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record, self.previous = fold([]), fold([])
        self.num_lines = 0

    def take_lines(self, content: bytes) -> list[str | None]:
        """Takes whole lines; returns the claim by which each was written.

        Raises:
            InputError: a line is no event, or cannot follow those before it: the file was damaged or edited.
        """
        claims = []
        for line in content.split(b"\n")[:-1]:
            try:
                event = parse(line)
                self.record, self.previous = step(self.record, self.previous, event)
            except (ValueError, RecursionError, TransitionError) as error:
                raise InputError(
                    f"{self.path}, line {self.num_lines + 1}: {error}; the file was damaged or edited: take it back "
                    "from a copy, or move the folder away and train anew"
                ) from None
            self.num_lines += 1
            claims.append(event.get("claim"))
        return claims


def parse(line: bytes) -> dict[str, Any]:
    """The event in a line.

    Raises:
        ValueError: it holds none.
    """
    try:
        event = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("not an event of a run")
    if event["event"] == "begin" and "config" not in event:
        raise ValueError("a run without a configuration")
    for name in ("config", "metrics", "git", "process", "versions"):
        if not isinstance(event.get(name, {}), dict):
            raise ValueError(f"{name}: expected an object, got {event[name]!r:.40}")
    for name in MEASURED:
        if name in event:
            event[name] = finite_or_not(event[name])
    return event


def now() -> str:
    """The time of day for a reader; nothing is decided by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def strict(value: Any) -> Any:
    """Plain values that JSON has words for: NaN and infinity become ``"nan"``, ``"inf"`` and ``"-inf"``."""
    if isinstance(value, Mapping):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def finite_or_not(value: Any) -> Any:
    """The inverse of :func:`strict`, for measured numbers."""
    if isinstance(value, dict):
        return {name: finite_or_not(entry) for name, entry in value.items()}
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value
