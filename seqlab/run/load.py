"""Reads a run back from its folder, even when the data is gone and the folder has moved."""

import json
from collections.abc import Mapping
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
from seqlab.files import write_atomically
from seqlab.nn import NextTokenModel
from seqlab.run.checkpoints import best_checkpoint, load_checkpoint
from seqlab.run.record import read_record

SPEC_NAME: Final = "data_spec.json"
"""The file with the sizes and classes of a run's data."""


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


def select(config: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None if there is no such key."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
