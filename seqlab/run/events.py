"""The events of a run, the table of its transitions, and the fold that makes the run's record.

Each line of a run's ``events.jsonl`` is one event. :func:`fold` makes the run's record from the events; ``run.json``
shows that record. :data:`TRANSITIONS` says which event may follow which status.

=============  ==========================================================================================
event          meaning
=============  ==========================================================================================
``begin``      the run begins from scratch, with this configuration
``resume``     the run continues from its last checkpoint, or from scratch if it has none yet
``note``       facts that the run's process reports: sizes, data, device
``complete``   the run was trained and evaluated
``fail``       an error of the run itself ended it
``interrupt``  something from outside ended the run
``pause``      the run has reached a rung, where its sweep compares it with others
``prune``      a search stopped the run
``abandon``    the run's process died without noting an end; written by the next process that claims the run
``withdraw``   the attempt could not start: the status is again what it was before the attempt
=============  ==========================================================================================
"""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

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
"""In :data:`TRANSITIONS`: the status before the attempt that ``withdraw`` takes back."""

TRANSITIONS: Final[Mapping[tuple[str, str], str]] = {
    (ABSENT, "begin"): RUNNING,
    (FAILED, "begin"): RUNNING,  # only without a checkpoint: open_attempt sees to it
    (INTERRUPTED, "begin"): RUNNING,  # likewise
    (PRUNED, "begin"): RUNNING,  # likewise
    (FAILED, "resume"): RUNNING,
    (INTERRUPTED, "resume"): RUNNING,
    (PRUNED, "resume"): RUNNING,
    (RUNNING, "note"): RUNNING,
    (RUNNING, "complete"): COMPLETED,
    (RUNNING, "fail"): FAILED,
    (RUNNING, "interrupt"): INTERRUPTED,
    (RUNNING, "pause"): INTERRUPTED,
    (RUNNING, "prune"): PRUNED,
    (INTERRUPTED, "prune"): PRUNED,  # one that is paused
    (RUNNING, "abandon"): INTERRUPTED,
    (RUNNING, "withdraw"): BEFORE,
}
"""From (status, event) to the next status. What is not listed cannot happen: a completed run stays completed."""

ORIGIN: Final = ("versions", "process")
"""Fields that describe an attempt: the record holds those of the last attempt, ``attempts`` those of all."""

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
    "reads": None,
    "peak_memory_bytes": None,
    "started_at": None,
    "ended_at": None,
    "train_seconds": None,
    "checkpoint": None,
    "data": None,
    "error": None,
    "rungs": [],
    "trains": False,
    "metrics": {},
}
INTERNAL: Final = ("trains",)
"""Fields that ``run.json`` does not show; ``trains`` says whether the attempt has come as far as training."""

SETTABLE: Final = (
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
    "reads",
    "peak_memory_bytes",
    "train_seconds",
    "checkpoint",
    "metrics",
)
"""The fields that a run's process may set with ``note``."""
MEASURED: Final = ("metrics", "num_parameters", "tokens_per_second", "peak_memory_bytes", "train_seconds")
"""The settable fields with measured numbers, which may be infinite or NaN."""


class TransitionError(RuntimeError):
    """An event cannot follow the run's status."""


def next_status(status: str, event: str, before: str = ABSENT) -> str:
    """The status after an event.

    Args:
        status: the run's status.
        event: what happens to it.
        before: the status before the present attempt.

    Raises:
        TransitionError: ``event`` cannot follow ``status``.

    Example:
        >>> next_status("running", "complete"), next_status("running", "withdraw", before="interrupted")
        ('completed', 'interrupted')
    """
    try:
        following = TRANSITIONS[status, event]
    except KeyError:
        raise TransitionError(f"{event!r} cannot follow the status {status!r}") from None
    return before if following == BEFORE else following


def fold(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The record that a sequence of events makes.

    Raises:
        TransitionError: an event cannot follow the ones before it.

    Example:
        >>> fold([])["status"]
        'absent'
    """
    record = dict(_EMPTY)
    previous = record  # the record before the present attempt
    for event in events:
        record, previous = apply(record, previous, event)
    return record


def apply(
    record: dict[str, Any], previous: dict[str, Any], event: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Applies one event to a record.

    Args:
        record: the record before the event.
        previous: the record before the present attempt.
        event: the event.

    Returns:
        The record after the event, and the record before the attempt that the event belongs to.

    Raises:
        TransitionError: the event cannot follow the record's status.
    """
    kind = event["event"]
    status = next_status(record["status"], kind, previous["status"])
    if kind == "withdraw":
        return _withdrawn(record, previous, event), previous
    if kind in ("begin", "resume"):
        return _new_attempt(record, event, status), record
    return _updated(record, event, status), previous


def _new_attempt(record: dict[str, Any], event: Mapping[str, Any], status: str) -> dict[str, Any]:
    is_resume = event["event"] == "resume"
    base = record if is_resume else _EMPTY
    origin = {name: event[name] for name in ORIGIN if name in event}
    return {
        **base,
        **{name: value for name, value in event.items() if name in _EMPTY},
        "status": status,
        "resumes": record["resumes"] + 1 if is_resume else 0,
        "attempts": [*record["attempts"], {"started_at": event.get("time"), **origin}],
        "started_at": base["started_at"] or event.get("time"),
        "ended_at": None,
        "error": None,
        "trains": False,
    }


def _withdrawn(record: dict[str, Any], previous: dict[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    attempt = {**record["attempts"][-1], "ended_at": event.get("time"), "withdrawn": event.get("error")}
    return {**previous, "attempts": [*record["attempts"][:-1], attempt]}


def _updated(record: dict[str, Any], event: Mapping[str, Any], status: str) -> dict[str, Any]:
    record = {**record, **{name: event[name] for name in SETTABLE if name in event}, "status": status}
    if event["event"] == "pause":
        record["rungs"] = [*record["rungs"], event["rung"]]
    if status != RUNNING:
        end = {"ended_at": event.get("time"), "status": status}
        record.update(ended_at=end["ended_at"], error=event.get("error"))
        record["attempts"] = [*record["attempts"][:-1], {**record["attempts"][-1], **end}]
    return record


def now() -> str:
    """The time of day, for readers. No decision is based on it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def to_json_values(value: Any) -> Any:
    """Plain values that strict JSON can express: NaN and infinity become ``"nan"``, ``"inf"`` and ``"-inf"``."""
    if isinstance(value, Mapping):
        return {str(key): to_json_values(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_values(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_json_values(value: Any) -> Any:
    """The inverse of :func:`to_json_values`, for measured numbers."""
    if isinstance(value, dict):
        return {name: from_json_values(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [from_json_values(entry) for entry in value]
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value
