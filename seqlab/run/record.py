"""``run.json``: written from a run's events, and read by reports and commands.

:class:`RecordFile` always replaces the whole file, so a reader never meets half a record. Only the standard library is
needed: a report that reads thousands of records needs no torch.

The keys, in order:

===========================  ================================================================================
``schema``                   2
``status``                   ``running``, ``completed``, ``failed``, ``interrupted`` or ``pruned``
``config``                   the resolved configuration
``config_hash``              its hash
``overrides``                the overrides of the command line
``seed``                     the seed
``places``                   ``run_folder`` and ``working_folder`` at the time when the paths in ``config`` were right
``composed_from``            the files that the configuration was composed from
``code``                     the user's own code: ``hash``, and of each file ``module``, ``path`` and ``sha256``
``data_hash``                a hash of the data's content, order and labels
``data_files``               of each file that was read ``path``, ``size``, ``sha256`` and ``key``; of gzip ``unpacked``
``parent``                   the run that this one continues, or whose weights it began with
``git``                      ``commit`` and ``dirty`` of the working folder
``seqlab_git``               the same for seqlab's own checkout
``versions``                 of Python and the main packages
``device``                   the device that trained
``process``                  ``pid``, ``host``, ``boot`` and ``started`` of the run's process
``resumes``                  how often the run was resumed
``attempts``                 of each attempt its versions, its process and how it ended
``num_parameters``           the model's size
``tokens_per_second``        the speed of training
``reads``                    what is counted there: ``tokens``, or ``frames`` of numbers
``peak_memory_bytes``        the most memory used
``started_at``, ``ended_at`` ISO 8601, UTC
``train_seconds``            the time spent in training
``checkpoint``               path relative to the run's folder
``data``                     by split: counts, what was left out and why, classes
``error``                    the last lines of the error
``rungs``                    ``share``, ``step``, ``steps`` and ``value`` where the run was paused
``metrics``                  from name to number
===========================  ================================================================================

An unknown value is null. JSON has no NaN and no infinity, so the file has ``"nan"``, ``"inf"`` and ``"-inf"``.
:func:`read_record` turns them back into floats in ``metrics`` and the other measured numbers, but not in ``config``.
"""

import functools
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import seqlab
from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.events import ABSENT, INTERNAL, INTERRUPTED, MEASURED, RUNNING, SCHEMA, STATUSES, from_json_values
from seqlab.run.fields import record_json
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME
from seqlab.run.ownership import owner_lives
from seqlab.run.provenance import may_be_alive
from seqlab.run.state import owner_gone, read_state

__all__ = ["RECORD_NAME", "RecordFile", "read_record"]

_SCHEMAS: Final = (1, SCHEMA)  # 1: runs from before there were events


class RecordFile:
    """The ``run.json`` of a run, as the owner of the run writes it."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / RECORD_NAME
        self._has_warned = False

    def write(self, record: Mapping[str, Any]) -> None:
        """Replaces the file by one for ``record``; a run that is absent has none.

        A full disk is not an error here: the events have everything, and the next claim writes the file. The first
        failure is printed.
        """
        try:
            if record["status"] == ABSENT:
                self.path.unlink(missing_ok=True)
            else:
                write_atomically(self.path, record_json(record))
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                print(
                    f"seqlab: {self.path} could not be written ({error.strerror}); nothing is lost: {EVENTS_NAME} has "
                    f"all of it, and the next command in this folder writes {RECORD_NAME}",
                    file=sys.stderr,
                    flush=True,
                )

    def is_stale(self, record: Mapping[str, Any]) -> bool:
        """Whether the file differs from ``record``: its writer was killed after the event and before this file."""
        try:
            return self.path.read_bytes() != record_json(record)
        except OSError:
            return bool(record["status"] != ABSENT)


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a ``run.json``. It never waits.

    If the file says ``running`` but the run's owner is gone, the events decide: they have the end if the disk was full
    or the writer was killed before it wrote the file. Without an end the run is ``interrupted``. An owner on another
    machine cannot be looked up and is taken to be alive.

    Of a file that is damaged, the events have all fields; a line on standard error says that they are read.

    Args:
        path: the file, or the run's folder.

    Returns:
        The fields of the record.

    Raises:
        InputError: there is no such file, or it has another schema, or it is not the record of a run and there are no
            whole events that could make it.
    """
    path = _record_path(path)
    try:
        fields = _read_fields(path)
    except _DamagedError as error:
        return _fields_instead(path, error)
    if fields["status"] == RUNNING and not _owner_lives(path, fields):
        fields.update(status=INTERRUPTED, error=fields["error"] or owner_gone(fields["process"]))
        if fields["schema"] == SCHEMA:
            fields.update(_fields_from_events(path))
    return fields


class _DamagedError(InputError):
    """A ``run.json`` is not the record of a run."""


def _fields_instead(path: Path, damage: _DamagedError) -> dict[str, Any]:
    """The fields of a damaged file, made from the run's events as the file was."""
    try:
        state = read_state(path.parent)
    except InputError as error:
        raise InputError(f"{damage}; {EVENTS_NAME}, which could make it anew, is damaged too: {error}") from None
    if state.status == ABSENT:
        raise InputError(
            f"{damage}; restore it from a copy: there is no {EVENTS_NAME} that could make it anew"
        ) from None
    fields = {name: value for name, value in state.record.items() if name not in INTERNAL}
    _check_fields(path, fields)
    folder = path.parent
    _warn(f"{damage}; its fields are read from {EVENTS_NAME}, and seqlab resume {folder} writes {RECORD_NAME} anew")
    return fields


@functools.cache
def _warn(text: str) -> None:
    """Says something on standard error, once."""
    print(f"seqlab: {text}", file=sys.stderr, flush=True)


def _fields_from_events(path: Path) -> dict[str, Any]:
    """The fields that the run's events make; if the events are damaged, ``error`` says so."""
    try:
        record = read_state(path.parent).record
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
        return True  # unknown: the record was copied without its events


def _read_fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected the folder of a run, or its {RECORD_NAME}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise _DamagedError(f"{path}: not valid JSON ({error}); the file was damaged or edited") from None
    if not isinstance(fields, dict) or "schema" not in fields:
        raise _DamagedError(f"{path}: not a run record (no 'schema')")
    if fields["schema"] not in _SCHEMAS:
        raise InputError(
            f"{path}: record of schema {fields['schema']!r}, but seqlab {seqlab.__version__} reads schemas 1 to "
            f"{SCHEMA}; read it with the version that wrote it"
        )
    _check_fields(path, fields)
    return fields


def _check_fields(path: Path, fields: dict[str, Any]) -> None:
    if fields.get("status") not in STATUSES[1:]:
        raise _DamagedError(f"{path}: status: expected one of {', '.join(STATUSES[1:])}, got {fields.get('status')!r}")
    for name in ("config", "metrics", "git", "process", "versions"):
        if not isinstance(fields.setdefault(name, {}), dict):
            raise _DamagedError(f"{path}: {name}: expected an object, got {type(fields[name]).__name__}")
    fields.setdefault("resumes", 0)
    fields.setdefault("device", None)
    for name in ("config_hash", "started_at", "ended_at", "checkpoint", "data_hash", "error", "reads"):
        _check_kind(path, name, fields.setdefault(name, None), str, "a text")
    for name in ("code", "data_files", "places", "seqlab_git"):
        _check_kind(path, name, fields.setdefault(name, None), list if name == "data_files" else dict, "an object")
    _check_kind(path, "seed", fields.setdefault("seed", None), int, "a whole number")
    _check_kind(path, "overrides", fields.setdefault("overrides", None), list, "a list")
    _check_kind(path, "git: commit", fields["git"].get("commit"), str, "a text")
    for name in MEASURED[1:]:
        fields[name] = _number(path, name, fields.get(name))
    fields["rungs"] = from_json_values(fields.get("rungs") or [])
    fields["metrics"] = {name: _number(path, f"metrics: {name}", value) for name, value in fields["metrics"].items()}


def _check_kind(path: Path, name: str, value: Any, kind: type, words: str) -> None:
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise _DamagedError(f"{path}: {name}: expected {words} or null, got {value!r}")


def _number(path: Path, name: str, value: Any) -> Any:
    value = from_json_values(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise _DamagedError(f"{path}: {name}: expected a number, got {value!r}")


def _record_path(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path if path.name == RECORD_NAME else path / RECORD_NAME
