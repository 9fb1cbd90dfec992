"""Initial weights taken from another run."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import lightning.pytorch as pl

from seqlab.data import Spec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.run import load
from seqlab.run.folder import RunFolder
from seqlab.run.parents import INIT_FROM, checkpoint_hash, final_checkpoint

_MAX_NAMED: Final = 8

log = logging.getLogger("seqlab")


def load_initial_weights(
    task: pl.LightningModule, parent: Mapping[str, str], vocabularies: Mapping[str, Vocabulary], spec: Spec
) -> None:
    """Loads the weights of another run's best checkpoint where names and shapes agree, and logs the others.

    What the data decides is no weight: each module names such buffers in ``data_buffers``, as ``Standardize`` does its
    statistics. Those of this run stay.

    Args:
        task: the task, with its model.
        parent: ``run`` and ``checkpoint``, as :mod:`seqlab.run.parents` resolves them.
        vocabularies: the vocabularies of the data to train on.
        spec: the sizes and classes of that data.

    Raises:
        InputError: the checkpoint has changed, none of its tensors fits, or the vocabularies differ: the rows of an
            embedding would belong to other tokens.
    """
    run_dir = Path(parent["run"])
    checkpoint = final_checkpoint(RunFolder(run_dir))
    if checkpoint_hash(checkpoint) != parent["checkpoint"]:
        raise InputError(f"{INIT_FROM}: {checkpoint} has changed since the run began; begin a new run")
    run = load.load_run(run_dir)
    _check_vocabularies(run, vocabularies)
    warn_of_other_classes(run.spec, spec)
    theirs, ours = load.load_checkpoint(checkpoint)["state_dict"], task.state_dict()
    own = _data_buffers(task).intersection(ours)
    weights = ours.keys() - own
    fitting = {name: value for name, value in theirs.items() if name in weights and ours[name].shape == value.shape}
    if not fitting:
        raise InputError(f"{INIT_FROM}={run_dir}: none of its {len(theirs)} tensors fits this model")
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


_OF_INPUTS: Final = ("features", "covariates", "known")


def warn_of_other_classes(theirs: Spec, ours: Spec) -> None:
    """Warns if the classes differ although their number agrees, so that the output layer's weights fit."""
    here = ours.data_arguments()
    for what, there in theirs.data_arguments().items():
        if isinstance(there, list) and len(there) == len(here.get(what) or ()) and there != here[what]:
            log.warning(
                "init_from: its %s are %s, but here they are %s: the %s layer begins with weights for the former",
                what,
                ", ".join(map(str, there[:_MAX_NAMED])),
                ", ".join(map(str, here[what][:_MAX_NAMED])),
                "input" if what in _OF_INPUTS else "output",
            )


def _check_vocabularies(run: load.SavedRun, vocabularies: Mapping[str, Vocabulary]) -> None:
    theirs, run_dir = run.vocabularies, run.run_dir
    for name, vocabulary in vocabularies.items():
        if name in theirs and theirs[name].tokens != vocabulary.tokens:
            raise InputError(
                f"{INIT_FROM}={run_dir}: its {name} vocabulary ({len(theirs[name].tokens)} tokens) differs from "
                f"that of the data ({len(vocabulary.tokens)}), so its embeddings would belong to other tokens: give "
                f"data.vocabulary={run_dir}"
            )
