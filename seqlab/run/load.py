"""Reads a run back from its folder, even when the data is gone and the folder has moved."""

import json
import logging
import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from seqlab.config import build
from seqlab.config.overrides import override
from seqlab.config.paths import moved_paths
from seqlab.config.trust import check_definitions
from seqlab.data import Spec, read_spec
from seqlab.data.core.batch import spec_kinds
from seqlab.data.vocabulary.base import Vocabulary, load_vocabulary
from seqlab.errors import InputError
from seqlab.files import DamagedFileError, check_seal, copy_file, write_atomically
from seqlab.nn import NextTokenModel
from seqlab.run.events import COMPLETED
from seqlab.run.layout import checkpoint_folder
from seqlab.run.record import read_record

SPEC_NAME: Final = "data_spec.json"
"""The file with the sizes and classes of a run's data."""

_ARCHIVE_END_SIZE: Final = 22  # bytes of a ZIP archive's last record

log = logging.getLogger("seqlab")


@dataclass
class SavedRun:
    """A run, read back from its folder.

    Attributes:
        run_dir: the run's folder.
        record: the fields of its ``run.json``.
        config: the resolved configuration.
        vocabularies: the vocabularies by name, the main one first.
        spec: the sizes and classes of its data.
        checkpoint: its best checkpoint.
        moved: messages about data files that are not where they were, and where they were found.
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
            InputError: the run's data has no vocabulary: it may consist of numbers.
        """
        if not self.vocabularies:
            raise InputError(f"{self.run_dir} was trained on data without a vocabulary, which this command needs")
        return next(iter(self.vocabularies.values()))

    def model(self) -> torch.nn.Module:
        """The model with the best checkpoint's weights, in evaluation mode, on the CPU. It is read once."""
        if self._model is None:
            self._model = self.fresh_model()
        return self._model

    def fresh_model(self) -> torch.nn.Module:
        """The same, read anew: it may be changed."""
        model = build.build_model(self.config, self.spec)
        weights = load_checkpoint(self.checkpoint)["state_dict"]
        prefix = "model."
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if any(value.dtype == torch.float64 for value in weights.values()):
            _make_double(model, weights)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                f"{self.checkpoint} does not fit the run's configuration: {' '.join(str(error).split())}"
            ) from error
        return model.eval()

    def language_model(self) -> NextTokenModel:
        """The model of a run that trained a language model.

        Raises:
            InputError: the run trained another kind of model.
        """
        model = self.model()
        if not isinstance(model, NextTokenModel):
            raise InputError(f"{self.run_dir} holds a {type(model).__name__}, and this command needs a language model")
        return model


def _make_double(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Converts a model to float64 where its weights are, as after ``trainer.precision=64-true``: none is rounded.

    It then takes numbers of float32 as well, such as frames, as the run's Trainer does.
    """
    own = model.state_dict()
    if all(value.dtype == own[name].dtype for name, value in weights.items() if name in own):
        return
    model.double()
    for module in (model, *model.children()):  # a task may ask a part of the model alone
        module.register_forward_pre_hook(_double_inputs, with_kwargs=True)


def _double_inputs(
    module: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Converts the inputs of float32 among those of a module that is of float64."""
    if {parameter.dtype for parameter in module.parameters()} != {torch.float64}:
        return inputs, named  # a part without parameters gets what the model was given, and gives its type on

    def double(value: Any) -> Any:
        return value.double() if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value

    return tuple(map(double, inputs)), {name: double(value) for name, value in named.items()}


def load_run(run_dir: Path, overrides: list[str] | None = None) -> SavedRun:
    """Reads a run from its folder.

    Args:
        run_dir: the run's folder.
        overrides: changes of the stored configuration, each as ``key=value``.

    Raises:
        InputError: the folder holds no run, the run has no checkpoint yet, or an override names no key of the
            configuration.
    """
    record = read_record(run_dir)
    if not (run_dir / SPEC_NAME).exists():
        best_checkpoint(run_dir)  # raises if the run has not come this far
    config, moved = moved_paths(record["config"], record.get("places"), run_dir)
    config = override(config, overrides or [])
    spec = _load_spec(run_dir / SPEC_NAME, config)
    vocabularies = {name: load_vocabulary(folder) for name, folder in vocabulary_folders(run_dir, spec).items()}
    return SavedRun(run_dir, record, config, vocabularies, spec, best_checkpoint(run_dir), moved)


def _load_spec(path: Path, config: Mapping[str, Any]) -> Spec:
    try:
        fields = json.loads(path.read_text())
        if fields.get("kind") not in spec_kinds():
            check_definitions({"data": config["data"]})  # imports the user's module that defines this kind
        return read_spec(fields)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is missing or broken: {error}") from error


def vocabulary_folders(run_dir: Path, spec: Spec) -> dict[str, Path]:
    """The folder of each vocabulary: the run's folder for the main one, a subfolder of its name for any other.

    Data that consists of numbers has no vocabulary.
    """
    return {name: run_dir / name if position else run_dir for position, name in enumerate(spec.vocabularies)}


def save_data(run_dir: Path, vocabularies: Mapping[str, Vocabulary], spec: Spec) -> None:
    """Saves the vocabularies, sizes and classes of the data in the run's folder."""
    for name, folder in vocabulary_folders(run_dir, spec).items():
        folder.mkdir(exist_ok=True)
        vocabularies[name].save(folder)
    write_atomically(run_dir / SPEC_NAME, json.dumps({"kind": spec.kind, **asdict(spec)}, indent=1).encode())


def best_checkpoint(run_dir: Path) -> Path:
    """``best.ckpt``, or ``last.ckpt`` if no validation has chosen a best checkpoint.

    Raises:
        InputError: there is neither, or the best checkpoint is gone.
    """
    best, last = (checkpoint_folder(run_dir) / f"{name}.ckpt" for name in ("best", "last"))
    if best.exists():
        return best
    if not last.exists():
        ended = read_record(run_dir)["status"] == COMPLETED
        why = "a baseline's record has none, or they are gone" if ended else "it has not reached its first validation"
        raise InputError(f"{run_dir} has no checkpoint: {why}")
    if load_checkpoint(last).get("run", {}).get("best_position") is not None:
        raise InputError(f"{best} is gone, and {last.name} has other weights: restore it from a copy, or train again")
    return last


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint, after a comparison with its checksum; nothing in the file is executed.

    Raises:
        InputError: the file is missing or damaged, or holds more than plain types.
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
            f"{path} is not a readable checkpoint: it holds more than plain values, which are not loaded"
        ) from error
    except Exception as error:  # torch.load may raise anything over a broken file
        cause = str(error).partition("\n")[0]
        raise InputError(f"{path} is damaged, or no checkpoint: {cause or type(error).__name__}") from error
    return checkpoint


def _check_archive(path: Path) -> None:
    """Checks a file that torch.save wrote without our checksum: the checksum of each part, which torch.load ignores.

    Raises:
        DamagedFileError: a checksum differs, or the file does not end as an archive.
    """
    with open(path, "rb") as file:
        file.seek(-min(_ARCHIVE_END_SIZE, path.stat().st_size), os.SEEK_END)
        if not file.read().startswith(b"PK\x05\x06"):
            raise DamagedFileError("it is cut off, or its checksum is damaged")
    with zipfile.ZipFile(path) as archive:
        if (part := archive.testzip()) is not None:
            raise DamagedFileError(f"the checksum of {part} does not match its content")


@dataclass
class Resumption:
    """The checkpoint that a run continues from.

    Attributes:
        path: the checkpoint's file; None: there is none, and the run begins at step 0.
        checkpoint: its contents.
        warning: a message about damaged checkpoints.
        replaces: damaged checkpoints that this one has to replace.
    """

    path: Path | None = None
    checkpoint: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None
    replaces: tuple[Path, ...] = ()

    @property
    def step(self) -> int:
        """The number of optimizer steps in the checkpoint."""
        return int(self.checkpoint.get("global_step", 0))

    def repair(self) -> None:
        """Replaces damaged checkpoints by this one."""
        for damaged in self.replaces:
            assert self.path is not None
            copy_file(self.path, damaged)


def find_resumption(run_dir: Path) -> Resumption:
    """Finds the latest undamaged checkpoint that an exact resume can begin from; nothing is written.

    That is ``last.ckpt``. If it is damaged, it is the one before it: ``previous.ckpt`` or ``best.ckpt``. A damaged
    ``best.ckpt`` is restored from the checkpoint that was saved with it, or by training again from an earlier one.

    Raises:
        InputError: ``best.ckpt`` is lost and no other checkpoint can restore it, or all are of another version.
    """
    last, previous, best = (checkpoint_folder(run_dir) / f"{name}.ckpt" for name in ("last", "previous", "best"))
    checkpoints, damage = _load_all([last, previous, best])
    if any("run" not in checkpoint for checkpoint in checkpoints.values()):
        raise InputError(
            f"{last.parent} is from an earlier version of seqlab, from which this one can't resume: begin the run again"
        )
    # last.ckpt first, then from the latest to the earliest.
    for path in sorted(checkpoints, key=lambda path: (path != last, -checkpoints[path]["run"]["position"])):
        run = checkpoints[path]["run"]
        restores_best = best not in checkpoints and run["best_position"] is not None
        if restores_best and run["best_position"] != run["position"]:
            continue  # the best was chosen before this checkpoint: training from here would not choose it again
        replaces = [last] if path != last else []
        resumption = Resumption(path, checkpoints[path], replaces=(*replaces, *([best] if restores_best else [])))
        if damage:
            resumption.warning = f"{'; '.join(damage)}: using {path.name} of step {resumption.step} instead"
        return resumption
    if checkpoints:
        lost = "; ".join(damage) or f"{best} is gone"
        raise InputError(
            f"{lost}, and no other checkpoint can restore the best weights; begin the run again, under another name"
        )
    return Resumption(warning=f"{'; '.join(damage)}: no other is left, so the run begins anew" if damage else None)


def _load_all(paths: Sequence[Path]) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """The undamaged checkpoints among these files, by path, and what is wrong with the others."""
    checkpoints: dict[Path, dict[str, Any]] = {}
    damage: list[str] = []
    for path in paths:
        if path.exists():
            try:
                checkpoints[path] = load_checkpoint(path)
            except InputError as error:
                damage.append(str(error))
    return checkpoints, damage


def last_step(run_dir: Path) -> int:
    """The optimizer steps of the checkpoint that a run would continue from; 0 if there is none."""
    try:
        return find_resumption(run_dir).step
    except InputError:
        return 0


def select(config: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None if there is no such key."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
