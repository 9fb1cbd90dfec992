"""The fields of a run's record: checked and made plain when they are set, written as JSON in ``run.json``."""

import json
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.run.events import INTERNAL, SETTABLE, to_json_values

_ERROR_LINES: Final = 30
_ERROR_CHARACTERS: Final = 4000


def check_fields(fields: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    """The fields that a run's process sets, checked and as plain values.

    Raises:
        TypeError: a field is not one of :data:`seqlab.run.events.SETTABLE`, or a value has the wrong type.
        ValueError: ``checkpoint`` (absolute, or relative to the run's folder) does not exist or is elsewhere.
    """
    unknown = sorted(set(fields) - set(SETTABLE))
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: not a field to set; expected some of {', '.join(SETTABLE)}")
    values = {name: plain(value) for name, value in fields.items()}
    if "metrics" in values:
        _check_metrics(values["metrics"])
    if values.get("checkpoint") is not None:
        values["checkpoint"] = _relative_path(run_dir, values["checkpoint"])
    return values


def plain(value: Any) -> Any:
    """Plain containers and numbers; 0-d tensors and NumPy scalars (they have ``item``) become Python numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if hasattr(value, "item") else value


def _check_metrics(metrics: Any) -> None:
    if not isinstance(metrics, dict):
        raise TypeError(f"metrics: expected a mapping of names to numbers, got {type(metrics).__name__}")
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"metrics: {name}: expected a number, got {value!r}")


def _relative_path(run_dir: Path, checkpoint: str) -> str:
    """The path of a checkpoint relative to the run's folder."""
    root = run_dir.resolve()
    path = (root / checkpoint).resolve()
    if not path.is_relative_to(root) or not path.exists():
        raise ValueError(
            f"checkpoint: expected an existing path below the run folder {root} (absolute, or relative to that "
            f"folder), got {checkpoint}"
        )
    return path.relative_to(root).as_posix()


def record_json(record: Mapping[str, Any]) -> bytes:
    """The content of ``run.json`` for a record."""
    fields = {name: value for name, value in record.items() if name not in INTERNAL}
    text = json.dumps(to_json_values(fields), indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def last_lines(error: str | BaseException) -> str:
    """The last lines of a message, or of an exception's traceback."""
    if isinstance(error, BaseException):
        error = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return "\n".join(error.strip().splitlines()[-_ERROR_LINES:])[-_ERROR_CHARACTERS:]
