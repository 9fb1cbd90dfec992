"""``run.json``, read: what a run was, how it went, and what it measured.

:mod:`seqlab.run.folder` makes the file from the run's events, always as a whole file that replaces the old one, so that
a reader never meets half a record. Standard library only: a report that reads thousands of them needs no torch.

The keys, in order: ``schema`` (2), ``status`` (``running``, ``completed``, ``failed``, ``interrupted`` or ``pruned``),
``config`` (resolved), ``config_hash``, ``overrides``, ``seed``, ``places`` (``run_folder`` and ``working_folder`` when
the paths in ``config`` were right), ``composed_from``, ``code`` (the user's own: ``hash``, and of each file ``module``,
``path``, ``sha256``), ``data_hash`` (of content, order and labels), ``data_files`` (of each file that was read
``path``, ``size``, ``sha256``), ``parent``, ``git`` (``commit``, ``dirty`` of the working folder), ``seqlab_git`` (the
same of seqlab's own checkout), ``versions``, ``device``, ``process`` (``pid``, ``host``, ``boot``, ``started``),
``resumes``, ``attempts`` (what each said of itself, and how it ended), ``num_parameters``, ``tokens_per_second``,
``peak_memory_bytes``, ``started_at`` and ``ended_at`` (ISO 8601, UTC), ``train_seconds``, ``checkpoint`` (path below
the run's folder), ``data`` (by split: counts, what was left out and why, classes), ``error`` (its last lines) and
``metrics`` (name to number). What is not known yet is null.

JSON has no word for NaN and infinity, so the file says ``"nan"``, ``"inf"`` and ``"-inf"``. `read_record` turns them
back into floats in ``metrics`` and the other measured numbers; in ``config`` they stay strings.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any, Final

import seqlab
from seqlab.errors import InputError
from seqlab.run.events import INTERNAL, INTERRUPTED, MEASURED, RUNNING, SCHEMA, STATUSES, finite_or_not
from seqlab.run.folder import EVENTS_NAME, RECORD_NAME, RunFolder, gone
from seqlab.run.ownership import owner_lives
from seqlab.run.provenance import may_be_alive

__all__ = ["RECORD_NAME", "read_record"]

_SCHEMAS: Final = (1, SCHEMA)  # 1 is that of the runs before there were events


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a ``run.json``, given that file or its folder; it never waits.

    A record that says ``running`` though its owner is gone is what the run's events say, which have how it ended where
    there was no room for the record or its writer was killed; without an end it reads as ``interrupted``. An owner on
    another machine cannot be looked up: such a record is taken at its word.

    Raises:
        InputError: No such file, not JSON, not a record, or a record of another schema.
    """
    path = _record_path(path)
    fields = _read_fields(path)
    if fields["status"] == RUNNING and not _owner_lives(path, fields):
        fields.update(status=INTERRUPTED, error=fields["error"] or gone(fields["process"]))
        if fields["schema"] == SCHEMA:
            fields.update(_of_events(path))
    return fields


def _of_events(path: Path) -> dict[str, Any]:
    """The fields that a run's events amount to; where they are damaged, why."""
    try:
        record = RunFolder(path.parent).state().record
    except InputError as error:
        return {"error": str(error)}
    return {name: value for name, value in record.items() if name not in INTERNAL}


def _owner_lives(path: Path, fields: dict[str, Any]) -> bool:
    owner = fields["process"]
    if fields["schema"] == 1:
        return owner.get("host") != socket.gethostname() or may_be_alive(owner)
    try:
        with open(path.with_name(EVENTS_NAME), "rb") as events:
            return owner_lives(events.fileno(), owner)
    except OSError:
        return True  # a record that was copied alone: nobody can tell


def _read_fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected the folder of a run, or its {RECORD_NAME}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); the file was damaged or edited") from None
    if not isinstance(fields, dict) or "schema" not in fields:
        raise InputError(f"{path}: not a run record (no 'schema')")
    if fields["schema"] not in _SCHEMAS:
        raise InputError(
            f"{path}: record of schema {fields['schema']!r}, but seqlab {seqlab.__version__} reads schemas 1 to "
            f"{SCHEMA}; read it with the version that wrote it"
        )
    _check_fields(path, fields)
    return fields


def _check_fields(path: Path, fields: dict[str, Any]) -> None:
    if fields.get("status") not in STATUSES[1:]:
        raise InputError(f"{path}: status: expected one of {', '.join(STATUSES[1:])}, got {fields.get('status')!r}")
    for name in ("config", "metrics", "git", "process", "versions"):
        if not isinstance(fields.setdefault(name, {}), dict):
            raise InputError(f"{path}: {name}: expected an object, got {type(fields[name]).__name__}")
    fields.setdefault("resumes", 0)
    fields.setdefault("device", None)
    for name in ("config_hash", "started_at", "ended_at", "checkpoint", "data_hash", "error"):
        _check_kind(path, name, fields.setdefault(name, None), str, "a text")
    for name in ("code", "data_files", "places", "seqlab_git"):
        _check_kind(path, name, fields.setdefault(name, None), list if name == "data_files" else dict, "an object")
    _check_kind(path, "seed", fields.setdefault("seed", None), int, "a whole number")
    _check_kind(path, "overrides", fields.setdefault("overrides", None), list, "a list")
    _check_kind(path, "git: commit", fields["git"].get("commit"), str, "a text")
    for name in MEASURED[1:]:
        fields[name] = _number(path, name, fields.get(name))
    fields["metrics"] = {name: _number(path, f"metrics: {name}", value) for name, value in fields["metrics"].items()}


def _check_kind(path: Path, name: str, value: Any, kind: type, words: str) -> None:
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise InputError(f"{path}: {name}: expected {words} or null, got {value!r}")


def _number(path: Path, name: str, value: Any) -> Any:
    value = finite_or_not(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise InputError(f"{path}: {name}: expected a number, got {value!r}")


def _record_path(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path if path.name == RECORD_NAME else path / RECORD_NAME
