"""The fields of a run's record: what may be set, made plain and checked, and how ``run.json`` shows them."""

import json
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.run.events import INTERNAL, NOTED, strict

_ERROR_LINES: Final = 30
_ERROR_CHARACTERS: Final = 4000


def checked(fields: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    """The fields that a run's process sets, as plain values.

    Raises:
        TypeError: a field is not one of :data:`seqlab.run.events.NOTED`, or a value is of the wrong type.
        ValueError: ``checkpoint`` (absolute, or relative to the run's folder) does not exist or lies elsewhere.
    """
    unknown = sorted(set(fields) - set(NOTED))
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: not a field to set; expected some of {', '.join(NOTED)}")
    found = {name: plain(value) for name, value in fields.items()}
    if "metrics" in found:
        _check_metrics(found["metrics"])
    if found.get("checkpoint") is not None:
        found["checkpoint"] = _below(run_dir, found["checkpoint"])
    return found


def plain(value: Any) -> Any:
    """Plain containers and numbers; 0-d tensors and NumPy scalars, which have ``item``, become Python's."""
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


def _below(run_dir: Path, checkpoint: str) -> str:
    root = run_dir.resolve()
    path = (root / checkpoint).resolve()
    if not path.is_relative_to(root) or not path.exists():
        raise ValueError(
            f"checkpoint: expected an existing path below the run folder {root} (absolute, or relative to that "
            f"folder), got {checkpoint}"
        )
    return path.relative_to(root).as_posix()


def shown(record: Mapping[str, Any]) -> bytes:
    """The content of ``run.json`` for a record."""
    fields = {name: value for name, value in record.items() if name not in INTERNAL}
    text = json.dumps(strict(fields), indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def error_text(error: str | BaseException) -> str:
    """The last lines of a message, or of an exception's traceback."""
    if isinstance(error, BaseException):
        error = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return "\n".join(error.strip().splitlines()[-_ERROR_LINES:])[-_ERROR_CHARACTERS:]
