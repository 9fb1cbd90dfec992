"""Initial weights taken from another run."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl

from seqlab.data import Spec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.run import checkpoints, load
from seqlab.run.code import short_path
from seqlab.run.cuts import files_of_training, other_cut
from seqlab.run.folder import RunFolder
from seqlab.run.inputs import ContentHashes
from seqlab.run.parents import INIT_FROM, checkpoint_hash, final_checkpoint

_MAX_NAMED: Final = 8

log = logging.getLogger("seqlab")


def load_initial_weights(
    task: pl.LightningModule, config: Mapping[str, Any], vocabularies: Mapping[str, Vocabulary], spec: Spec
) -> None:
    """Loads the weights of another run's best checkpoint where names and shapes agree, and logs the others.

    What the data decides is no weight: each module names such buffers in ``data_buffers``, as ``Standardize`` does its
    statistics. Those of this run stay.

    Args:
        task: the task, with its model.
        config: the configuration; its ``init_from`` has ``run`` and ``checkpoint``, as :mod:`seqlab.run.parents`
            resolves them.
        vocabularies: the vocabularies of the data to train on.
        spec: the sizes and classes of that data.

    Raises:
        InputError: the checkpoint has changed, none of its tensors fits, or the vocabularies differ: the rows of an
            embedding would belong to other tokens.
    """
    parent = config[INIT_FROM]
    run_dir = Path(parent["run"])
    checkpoint = final_checkpoint(RunFolder(run_dir))
    if checkpoint_hash(checkpoint) != parent["checkpoint"]:
        raise InputError(f"{INIT_FROM}: {checkpoint} has changed since the run began; begin a new run")
    run = load.load_run(run_dir)
    theirs, ours = checkpoints.load_checkpoint(checkpoint)["state_dict"], task.state_dict()
    own = _data_buffers(task).intersection(ours)
    weights = ours.keys() - own
    fitting = {name: value for name, value in theirs.items() if name in weights and ours[name].shape == value.shape}
    if not fitting:
        raise InputError(f"{INIT_FROM}={run_dir}: none of its {len(theirs)} tensors fits this model")
    _check_vocabularies(run, vocabularies, _INPUT_VECTORS in fitting)
    warn_of_other_classes(run.spec, spec)
    hashes = ContentHashes()
    if known := files_of_training(run.record, config, hashes):
        log.warning(
            "init_from %s was trained on %s: rows of its training may be in this run's test",
            *(run_dir, ", ".join(map(short_path, known[:_MAX_NAMED]))),
        )
    if changed := other_cut(run.record, config, hashes):
        log.warning(
            "init_from %s was trained on the same data cut otherwise (other data.%s): it may have been trained on rows "
            "of this run's test",
            *(run_dir, ", data.".join(changed)),
        )
    task.load_state_dict(fitting, strict=False)
    log.info("init_from %s: %d of this model's %d tensors", run_dir, len(fitting), len(weights))
    lists = {
        "of another shape, initialised anew": [
            f"{name} {tuple(theirs[name].shape)} there, {tuple(ours[name].shape)} here"
            for name in ours
            if name in theirs and name in weights and name not in fitting
        ],
        "not in that run, initialised anew": [name for name in ours if name in weights and name not in theirs],
        "statistics and facts of the data, not taken": [name for name in ours if name in own],
        "not in this model, left out": [name for name in theirs if name not in ours],
    }
    for what, names in lists.items():
        if names:
            more = f" and {len(names) - _MAX_NAMED} more" if names[_MAX_NAMED:] else ""
            log.info("    %s: %s%s", what, ", ".join(names[:_MAX_NAMED]), more)


def _data_buffers(task: pl.LightningModule) -> set[str]:
    """The names of the buffers that the data decides, by each module's ``data_buffers``."""
    return {f"{path}.{name}" for path, module in task.named_modules() for name in getattr(module, "data_buffers", ())}


_INPUT_VECTORS: Final = "model.input.embedding.weight"  # of the tokens of the main vocabulary
_ANSWERS: Final = ("labels", "answers", "tags", "targets")
_LIMITS: Final = ("max_length", "max_word_length", "max_sentences", "context")  # how much is read, not what it means


def warn_of_other_classes(theirs: Spec, ours: Spec) -> None:
    """Warns if a layer means other columns or classes although their number agrees, so that its weights fit."""
    layers = (("input", ("features",)), ("input", ("pitches",)), ("output", _ANSWERS))
    for layer, names in layers:
        (what, there), (other, here) = (_first_list(spec, names) for spec in (theirs, ours))
        if len(there) == len(here) and there != here:
            log.warning(
                "init_from: its %s are %s, but here %s are %s: the %s layer begins with weights for the former",
                what,
                ", ".join(map(str, there[:_MAX_NAMED])),
                "they" if other == what else f"the {other}",
                ", ".join(map(str, here[:_MAX_NAMED])),
                layer,
            )
    _warn_of_other_reading(theirs.read_by(), ours.read_by())


def _warn_of_other_reading(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Warns if files became numbers by other options, such as the rate of sound."""
    shared = [name for name in theirs if name in ours and name not in (*_LIMITS, "lowest", *_ANSWERS)]  # told above
    if changed := [name for name in shared if theirs[name] != ours[name]]:
        there, here = (", ".join(f"{name} {each[name]}" for name in changed) for each in (theirs, ours))
        log.warning(
            "init_from: its data were read with %s, but here with %s: the model begins with weights for the former",
            *(there, here),
        )


def _first_list(spec: Spec, names: Sequence[str]) -> tuple[str, list[Any]]:
    """The first of some names by which a spec says what numbers stand for, with its list; an empty one if none is."""
    meanings = spec.output_names()
    return next(((name, list(meanings[name])) for name in names if name in meanings), ("", []))


def _check_vocabularies(run: load.SavedRun, vocabularies: Mapping[str, Vocabulary], takes_vectors: bool) -> None:
    """Refuses weights of other tokens.

    Args:
        run: the run whose weights are taken.
        vocabularies: the vocabularies of the data to train on, the main one first.
        takes_vectors: whether the vectors of the main vocabulary's tokens are among these weights.
    """
    theirs, run_dir = run.vocabularies, run.run_dir
    pairs = {name: name for name in vocabularies if name in theirs}
    if takes_vectors and vocabularies and theirs:
        pairs[next(iter(vocabularies))] = next(iter(theirs))  # a translator's "source" for a language model's "tokens"
    for name, other in pairs.items():
        if theirs[other].tokens != vocabularies[name].tokens:
            raise InputError(
                f"{INIT_FROM}={run_dir}: its {other} vocabulary ({len(theirs[other].tokens)} tokens) differs from "
                f"that of the data ({len(vocabularies[name].tokens)}), so its embeddings would belong to other tokens: "
                f"give data.vocabulary={run_dir}"
            )
