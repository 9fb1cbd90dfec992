"""``run.json``: what a run was, how it went, and what it measured.

Every run folder holds one. It is written when the run starts and again at each change, always as a whole file that
replaces the old one, so that a reader never meets half a record. Standard library only: a report that reads thousands
of them needs no torch.

The keys, in order: ``schema`` (1), ``status`` (``running``, ``completed``, ``failed`` or ``interrupted``), ``config``
(resolved), ``config_hash``, ``places`` (``run_folder`` and ``working_folder`` when the paths in ``config`` were
right), ``overrides``, ``seed``, ``git`` (``commit``, ``dirty``; of the working folder),
``seqlab_git`` (the same of seqlab's own checkout), ``versions``, ``device``, ``process`` (``pid``, ``host``,
``started``), ``resumes``, ``num_parameters``, ``tokens_per_second``, ``peak_memory_bytes``, ``started_at`` and
``ended_at`` (ISO 8601, UTC), ``train_seconds``, ``checkpoint`` (path below the run folder), ``code`` (the user's own:
``hash``, and of each file ``module``, ``path``, ``sha256``), ``data_hash`` (of content, order and labels),
``data_files`` (of each file that was read ``path``, ``size``, ``sha256``), ``data`` (by split: counts, what was left
out and why, classes), ``error`` (its last lines) and ``metrics`` (name to number). What is not known is null.

JSON has no word for NaN and infinity, so the file says ``"nan"``, ``"inf"`` and ``"-inf"``. `read_record` turns them
back into floats in ``metrics`` and the other measured numbers; in ``config`` they stay strings.
"""

import json
import math
import os
import socket
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import seqlab
from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.files import remove_leftovers, write_atomically
from seqlab.run.provenance import git_state, may_be_alive, package_versions, this_process

RECORD_NAME: Final = "run.json"
SCHEMA: Final = 1
SILENCE: Final = 600
"""Seconds; whoever supervises a run touches its record far more often."""
STATUSES: Final = ("running", "completed", "failed", "interrupted")

_MEASURED: Final = ("num_parameters", "tokens_per_second", "peak_memory_bytes", "train_seconds")
_PROVENANCE: Final = ("code", "data_hash", "data_files", "git", "seqlab_git")
_UPDATABLE: Final = ("config", "device", *_MEASURED, "checkpoint", "data", "metrics", *_PROVENANCE)
_NON_FINITE: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_ERROR_LINES: Final = 30
_ERROR_CHARACTERS: Final = 4000


class RunRecord:
    """The ``run.json`` of a run that this process carries out.

    Each method that changes the record writes it at once, atomically. Only one process of a run may hold it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> record = RunRecord.start(folder.name, {"model": {"num_layers": 2}, "seed": 1}, ["seed=1"], seed=1)
        >>> read_record(folder.name)["status"]
        'running'
        >>> record.update(num_parameters=4096, device="cpu")
        >>> record.complete({"val/loss": 1.25, "test/loss": float("inf")}, train_seconds=3.5)
        >>> read_record(folder.name)["metrics"]
        {'val/loss': 1.25, 'test/loss': inf}
        >>> folder.cleanup()
    """

    def __init__(self, run_dir: Path, fields: dict[str, Any]) -> None:
        self.run_dir = run_dir
        self._fields = fields

    @classmethod
    def start(
        cls, run_dir: str | os.PathLike[str], config: dict[str, Any], overrides: Sequence[str], seed: int | None
    ) -> "RunRecord":
        """Open the record of a new run, status ``running``; an older record in the folder is replaced.

        Args:
            run_dir: The run's folder; created if need be.
            config: The resolved config as plain containers.
            overrides: The command-line overrides, as given.
            seed: The run's seed.

        Raises:
            InputError: A live process is at work in this folder.
            TypeError: ``config`` is not a plain dict, or holds what JSON cannot.
        """
        if not isinstance(config, dict):
            kind = type(config).__name__
            raise TypeError(f"config: expected a plain dict (OmegaConf.to_container(config, resolve=True)), got {kind}")
        run_dir = Path(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        if (run_dir / RECORD_NAME).exists():
            _refuse_live(run_dir)
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "status": "running",
            "config": config,
            "config_hash": config_hash(config),
            "places": _places(run_dir),
            "overrides": list(overrides),
            "seed": seed,
            "git": git_state(),
            "seqlab_git": None,
            "versions": package_versions(),
            "device": None,
            "process": this_process(),
            "resumes": 0,
            "num_parameters": None,
            "tokens_per_second": None,
            "peak_memory_bytes": None,
            "started_at": _now(),
            "ended_at": None,
            "train_seconds": None,
            "checkpoint": None,
            "code": None,
            "data_hash": None,
            "data_files": None,
            "data": None,
            "error": None,
            "metrics": {},
        }
        return cls(run_dir, fields)._cleaned()

    @classmethod
    def load(cls, run_dir: str | os.PathLike[str]) -> "RunRecord":
        """Open a record without claiming the run: for a supervisor that must note how its child ended.

        Raises:
            InputError: There is no readable record in ``run_dir``.
        """
        return cls(Path(run_dir), _read_fields(_record_path(run_dir)))

    @classmethod
    def resume(cls, run_dir: str | os.PathLike[str]) -> "RunRecord":
        """Claim a run that stopped: ``running`` again, ``resumes`` one higher, ``started_at`` and measurements kept.

        ``process``, ``git`` and ``versions`` become those of this process, which will write the results.

        Raises:
            InputError: There is no readable record in ``run_dir``, or a live process is still at work there.
        """
        record = cls.load(run_dir)
        _refuse_live(record.run_dir)
        record._fields.update(
            status="running",
            git=git_state(),
            versions=package_versions(),
            process=this_process(),
            resumes=record._fields["resumes"] + 1,
            ended_at=None,
            error=None,
        )
        return record._cleaned()

    @classmethod
    def take_over(
        cls, run_dir: str | os.PathLike[str], supervisor: int | None, config: dict[str, Any] | None = None
    ) -> "RunRecord":
        """Open the record of a run that this process, or the process ``supervisor``, has claimed: it is ours now.

        ``config`` takes the place of the record's where the two ask for the same computation: it may say otherwise
        where to compute.

        Raises:
            InputError: There is no readable record in ``run_dir``, or nobody claimed the run for this process.
        """
        record = cls.load(run_dir)
        fields = record._fields
        if fields["status"] != "running" or fields["process"].get("pid") not in (os.getpid(), supervisor):
            raise InputError(f"{run_dir} was not prepared by seqlab train or seqlab resume, which start this process")
        fields["process"] = this_process()
        if config is not None and config_hash(config) == fields["config_hash"]:
            fields["config"] = config
            fields["places"] = _places(record.run_dir)
        return record._cleaned()

    @property
    def fields(self) -> dict[str, Any]:
        """A copy of the record's fields as they stand."""
        return dict(self._fields)

    def update(self, **fields: Any) -> None:
        """Replace some of ``device``, ``num_parameters``, ``tokens_per_second``, ``peak_memory_bytes``,
        ``train_seconds``, ``checkpoint``, ``data_hash``, ``metrics`` and ``config``, whose hash stays that of the
        start.

        Raises:
            TypeError: Another field is named, or a value is of the wrong type.
            ValueError: ``checkpoint`` (absolute, or relative to the run folder) does not exist, or lies elsewhere.
        """
        self._set(fields)
        self._write()

    def complete(
        self, metrics: Mapping[str, float], checkpoint: str | os.PathLike[str] | None = None, **fields: Any
    ) -> None:
        """End the run well, with its metrics, the checkpoint they belong to, and any field that `update` takes.

        Raises:
            TypeError, ValueError: As `update` does.
        """
        self._set({**fields, "metrics": metrics, "checkpoint": checkpoint})
        self._end("completed", None)

    def fail(self, error: str | BaseException, **fields: Any) -> None:
        """End the run with an error: the last lines of the message, or of the exception's traceback, are kept."""
        self._set(fields)
        if isinstance(error, BaseException):
            error = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        last_lines = "\n".join(error.strip().splitlines()[-_ERROR_LINES:])
        self._end("failed", last_lines[-_ERROR_CHARACTERS:])

    def interrupt(self, error: str | None = None, **fields: Any) -> None:
        """End the run because it was told to stop, or something from outside ended it; `resume` takes it up again."""
        self._set(fields)
        self._end("interrupted", error)

    def _end(self, status: str, error: str | None) -> None:
        self._fields.update(status=status, error=error, ended_at=_now())
        self._write()

    def _set(self, fields: Mapping[str, Any]) -> None:
        unknown = sorted(set(fields) - set(_UPDATABLE))
        if unknown:
            raise TypeError(f"{', '.join(unknown)}: not a field to set; expected some of {', '.join(_UPDATABLE)}")
        plain = {name: _plain(value) for name, value in fields.items()}
        if "metrics" in plain:
            plain["metrics"] = _checked_metrics(plain["metrics"])
        if plain.get("checkpoint") is not None:
            plain["checkpoint"] = self._below_run_dir(plain["checkpoint"])
        self._fields.update(plain)

    def _below_run_dir(self, checkpoint: str) -> str:
        root = self.run_dir.resolve()
        path = (root / checkpoint).resolve()
        if not path.is_relative_to(root) or not path.exists():
            raise ValueError(
                f"checkpoint: expected an existing path below the run folder {root} (absolute, or relative to that "
                f"folder), got {checkpoint}"
            )
        return path.relative_to(root).as_posix()

    def _cleaned(self) -> "RunRecord":
        """Write the claimed record, and remove what a writer that was killed in the middle of a write has left."""
        for folder in (self.run_dir, self.run_dir / "checkpoints", self.run_dir / ".hydra"):
            remove_leftovers(folder)
        self._write()
        return self

    def _write(self) -> None:
        text = json.dumps(_strict(self._fields), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(self.run_dir / RECORD_NAME, (text + "\n").encode())


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a ``run.json``, given that file or its folder.

    A record that says ``running`` though its process is gone reads as ``interrupted``. A process on another host cannot
    be looked up: such a record is taken at its word for `SILENCE` seconds after it was last touched.

    Raises:
        InputError: No such file, not JSON, not a record, or a record of another schema.
    """
    path = _record_path(path)
    fields = _read_fields(path)
    if fields["status"] == "running":
        owner = fields["process"]
        gone = None
        if not may_be_alive(owner):
            gone = f"process {owner.get('pid')} is gone and wrote no end"
        elif owner.get("host") != socket.gethostname() and time.time() - path.stat().st_mtime > SILENCE:
            gone = f"process {owner.get('pid')} on {owner.get('host')} has shown no life for {SILENCE} s"
        if gone:
            fields.update(status="interrupted", error=fields["error"] or gone)
    return fields


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
    if fields["schema"] != SCHEMA:
        raise InputError(
            f"{path}: record of schema {fields['schema']!r}, but seqlab {seqlab.__version__} reads schema {SCHEMA}; "
            "read it with the version that wrote it"
        )
    _check_fields(path, fields)
    return fields


def _check_fields(path: Path, fields: dict[str, Any]) -> None:
    if fields.get("status") not in STATUSES:
        raise InputError(f"{path}: status: expected one of {', '.join(STATUSES)}, got {fields.get('status')!r}")
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
    for name in _MEASURED:
        fields[name] = _number(path, name, fields.get(name))
    fields["metrics"] = {name: _number(path, f"metrics: {name}", value) for name, value in fields["metrics"].items()}


def _check_kind(path: Path, name: str, value: Any, kind: type, words: str) -> None:
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise InputError(f"{path}: {name}: expected {words} or null, got {value!r}")


def _number(path: Path, name: str, value: Any) -> Any:
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise InputError(f"{path}: {name}: expected a number, got {value!r}")


def _record_path(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path if path.name == RECORD_NAME else path / RECORD_NAME


def _checked_metrics(metrics: Any) -> dict[str, float]:
    if not isinstance(metrics, dict):
        raise TypeError(f"metrics: expected a mapping of names to numbers, got {type(metrics).__name__}")
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"metrics: {name}: expected a number, got {value!r}")
    return metrics


def _plain(value: Any) -> Any:
    """Plain containers and numbers; 0-d tensors and NumPy scalars, which have ``item``, become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if hasattr(value, "item") else value


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _places(run_dir: Path) -> dict[str, str]:
    """Where the run and the working folder lie, from which its data is found again should all move together."""
    return {"run_folder": os.path.abspath(run_dir), "working_folder": os.getcwd()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _refuse_live(run_dir: Path) -> None:
    """One folder, one process. One on another host can't be looked up, and must not keep its run from being resumed."""
    try:
        fields = _read_fields(_record_path(run_dir))
    except InputError:
        return
    owner = fields["process"]
    another_here = owner.get("host") == socket.gethostname() and owner.get("pid") != os.getpid()
    if fields["status"] == "running" and another_here and may_be_alive(owner):
        raise InputError(f"{run_dir}: process {owner['pid']} is still at work in this run; wait for it, or stop it")
