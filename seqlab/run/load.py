"""A run's folder, written and read back: everything that is needed when the data is gone and the folder has moved."""

import json
import logging
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from seqlab.config import build
from seqlab.config.overrides import override
from seqlab.config.paths import moved_paths
from seqlab.config.trust import check_definitions
from seqlab.data import Spec, read_spec
from seqlab.data.vocabulary.base import Vocabulary, load_vocabulary
from seqlab.errors import InputError
from seqlab.files import DamagedFileError, check_seal, copy_file, write_atomically
from seqlab.nn import NextTokenModel
from seqlab.run.record import read_record

SPEC_NAME = "data_spec.json"
_ARCHIVE_END_SIZE = 22  # of a ZIP archive's last record

log = logging.getLogger("seqlab")


@dataclass
class SavedRun:
    """A run read back: its record, resolved configuration, vocabularies, data facts and best checkpoint.

    ``moved`` tells which of its data's files are not where they were, and where they have been found.
    """

    run_dir: Path
    record: dict[str, Any]
    config: dict[str, Any]
    vocabularies: dict[str, Vocabulary]
    spec: Spec
    checkpoint: Path
    moved: list[str] = field(default_factory=list)
    _model: torch.nn.Module | None = field(default=None, repr=False, compare=False)

    @property
    def vocabulary(self) -> Vocabulary:
        """The main vocabulary.

        Raises:
            InputError: the run's data has none, such as data of numbers.
        """
        if not self.vocabularies:
            raise InputError(f"{self.run_dir} was trained on data without a vocabulary, which this command needs")
        return next(iter(self.vocabularies.values()))

    def model(self) -> torch.nn.Module:
        """The model with the best checkpoint's weights, in evaluation mode, on the CPU; read once."""
        if self._model is None:
            self._model = self._read_model()
        return self._model

    def _read_model(self) -> torch.nn.Module:
        model = build.build_model(self.config, self.spec)
        weights = load_checkpoint(self.checkpoint)["state_dict"]
        prefix = "model."
        try:
            model.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})
        except RuntimeError as error:
            raise InputError(
                f"{self.checkpoint} does not fit the run's configuration: {' '.join(str(error).split())}"
            ) from error
        return model.eval()

    def language_model(self) -> NextTokenModel:
        """The same, of a run that trained a language model.

        Raises:
            InputError: where it trained another model.
        """
        model = self.model()
        if not isinstance(model, NextTokenModel):
            raise InputError(f"{self.run_dir} holds a {type(model).__name__}, and this command needs a language model")
        return model


def load_run(run_dir: Path, overrides: list[str] | None = None) -> SavedRun:
    """Reads a run's folder; ``overrides`` (``key=value``) change values of its stored configuration.

    Raises:
        InputError: where the folder is no run, has no checkpoint yet, or an override names no key of the configuration.
    """
    record = read_record(run_dir)
    if not (run_dir / SPEC_NAME).exists():
        best_checkpoint(run_dir)  # tells of a run that has not come as far
    config, moved = moved_paths(record["config"], record.get("places"), run_dir)
    config = override(config, overrides or [])
    spec = _load_spec(run_dir / SPEC_NAME, config)
    vocabularies = {name: load_vocabulary(folder) for name, folder in vocabulary_folders(run_dir, spec).items()}
    return SavedRun(run_dir, record, config, vocabularies, spec, best_checkpoint(run_dir), moved)


def _load_spec(path: Path, config: Mapping[str, Any]) -> Spec:
    try:
        fields = json.loads(path.read_text())
        if fields.get("kind") not in {found.kind for found in Spec.__subclasses__()}:
            check_definitions({"data": config["data"]})  # imports the user's module, which defines this kind
        return read_spec(fields)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is missing or broken: {error}") from error


def vocabulary_folders(run_dir: Path, spec: Spec) -> dict[str, Path]:
    """Where each vocabulary lies: the main one in the run's folder, a further one in a folder of its name.

    Data of numbers has none.
    """
    return {name: run_dir / name if position else run_dir for position, name in enumerate(spec.vocabularies)}


def save_data(run_dir: Path, vocabularies: Mapping[str, Vocabulary], spec: Spec) -> None:
    """Keeps what the run needs to know of its data beside its checkpoints."""
    for name, folder in vocabulary_folders(run_dir, spec).items():
        folder.mkdir(exist_ok=True)
        vocabularies[name].save(folder)
    write_atomically(run_dir / SPEC_NAME, json.dumps({"kind": spec.kind, **asdict(spec)}, indent=1).encode())


def best_checkpoint(run_dir: Path) -> Path:
    """``checkpoints/best.ckpt``, or ``last.ckpt`` where no validation has chosen a best one.

    Raises:
        InputError: where there is neither, or the best one is gone.
    """
    best, last = (run_dir / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    if best.exists():
        return best
    if not last.exists():
        raise InputError(f"{run_dir} has no checkpoint: the run has not come to its first validation")
    if load_checkpoint(last).get("run", {}).get("best_position") is not None:
        raise InputError(f"{best} is gone, and {last.name} has other weights: take it back from a copy, or train anew")
    return last


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's plain contents, compared with their checksum first; nothing in the file is executed.

    Raises:
        InputError: where the file is missing, damaged or holds more than plain types.
    """
    try:
        if not check_seal(path):
            _check_archive(path)
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except DamagedFileError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise InputError(f"no checkpoint at {path}: {error.strerror}") from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is not a readable checkpoint: it holds more than plain values, of which nothing is run"
        ) from error
    except Exception as error:  # torch.load raises whatever its reader meets in a broken file
        cause = str(error).partition("\n")[0]
        raise InputError(f"{path} is damaged, or no checkpoint: {cause or type(error).__name__}") from error
    return checkpoint


def _check_archive(path: Path) -> None:
    """Compares the parts of a file that torch.save wrote by itself with their checksums, which torch.load does not.

    Raises:
        DamagedFileError: they differ, or the file ends in anything but an archive.
    """
    with open(path, "rb") as file:
        file.seek(-min(_ARCHIVE_END_SIZE, path.stat().st_size), os.SEEK_END)
        if not file.read().startswith(b"PK\x05\x06"):
            raise DamagedFileError("it is cut off, or its checksum is damaged")
    with zipfile.ZipFile(path) as archive:
        if (part := archive.testzip()) is not None:
            raise DamagedFileError(f"the checksum of {part} is not that of its content")


@dataclass
class Resumption:
    """Where a run goes on: its checkpoint with the contents, None at the start, and what to say of damaged ones."""

    path: Path | None = None
    checkpoint: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None
    replaces: tuple[Path, ...] = ()

    @property
    def step(self) -> int:
        """The optimizer steps that the checkpoint has."""
        return int(self.checkpoint.get("global_step", 0))

    def repair(self) -> None:
        """Puts the checkpoint in the place of damaged ones, so that the next one is not kept beside them."""
        for damaged in self.replaces:
            assert self.path is not None
            copy_file(self.path, damaged)


def find_resumption(run_dir: Path) -> Resumption:
    """The latest whole checkpoint of a run that an exact resume can begin from; nothing is written.

    That is ``last.ckpt``, and where it is damaged the one before it, ``previous.ckpt`` or ``best.ckpt``. A damaged
    ``best.ckpt`` is made anew from the checkpoint that was saved with it, or by training again from an earlier one.

    Raises:
        InputError: ``best.ckpt`` is lost and no checkpoint that is left makes it anew, or all are of another version.
    """
    last, previous, best = (run_dir / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous", "best"))
    whole: dict[Path, dict[str, Any]] = {}
    damage: list[str] = []
    for path in (last, previous, best):
        if path.exists():
            try:
                whole[path] = load_checkpoint(path)
            except InputError as error:
                damage.append(str(error))
    if any("run" not in checkpoint for checkpoint in whole.values()):
        raise InputError(
            f"{last.parent} is of an earlier version of seqlab, which this one can't go on from: begin it anew"
        )
    # The last one first, then from the latest to the earliest.
    for path in sorted(whole, key=lambda path: (path != last, -whole[path]["run"]["position"])):
        run = whole[path]["run"]
        makes_best = best not in whole and run["best_position"] is not None
        if makes_best and run["best_position"] != run["position"]:
            continue  # it was chosen before this checkpoint, and training from here would not come by it again
        replaces = [last] if path != last else []
        found = Resumption(path, whole[path], replaces=tuple(replaces + ([best] if makes_best else [])))
        if damage:
            found.warning = f"{'; '.join(damage)}: taken instead is {path.name}, of step {found.step}"
        return found
    if whole:
        lost = "; ".join(damage) or f"{best} is gone"
        raise InputError(
            f"{lost}: the best weights were chosen before every checkpoint that is left; begin the run anew, under "
            "another name"
        )
    return Resumption(warning=f"{'; '.join(damage)}: no other is left, the run begins anew" if damage else None)


def last_step(run_dir: Path) -> int:
    """The optimizer steps of the checkpoint that a run goes on from; 0 where there is none, or none is whole."""
    try:
        return find_resumption(run_dir).step
    except InputError:
        return 0


def select(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, None where there is none."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
