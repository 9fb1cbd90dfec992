"""The parent of a run: the run that it continues, or whose weights it begins with. Torch is not needed.

A run's configuration names its parent and the hash of the parent's checkpoint. Runs with different parents, or without
one, are therefore different runs::

    continues: {run: /runs/x/..., checkpoint: 0123456789abcdef}
    init_from: {run: /runs/x/..., checkpoint: 0123456789abcdef}

The folder of the parent does not count for the identity of the run.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from seqlab.config.hash import deciding_values
from seqlab.config.paths import without_places
from seqlab.errors import InputError
from seqlab.files import DamagedFileError, check_seal, replacing
from seqlab.run.events import COMPLETED
from seqlab.run.folder import RunFolder
from seqlab.run.state import State

CONTINUES: Final = "continues"
INIT_FROM: Final = "init_from"
MAY_CHANGE: Final = ("trainer.max_epochs", "trainer.max_steps")
"""The configuration keys that may change in a run that continues a completed one."""


def checkpoint_hash(path: Path) -> str:
    """The first sixteen hexadecimal digits of a checkpoint's SHA-256.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise InputError(f"no checkpoint at {path}: {error.strerror}") from error


def continued_config(run_dir: Path, state: State, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a new run that continues where a completed one ended.

    Args:
        run_dir: the completed run's folder.
        state: its state.
        config: its configuration with the new values.

    Raises:
        InputError: a value outside of :data:`MAY_CHANGE` differs, or there is nothing more to train.
    """
    before, after = (deciding_values(without_places(each)) for each in (state.record["config"], config))
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    others = [key for key in changed if key not in MAY_CHANGE]
    if others:
        raise InputError(
            f"{', '.join(others)}: only {' and '.join(MAY_CHANGE)} may change when a completed run continues; to "
            f"begin a run with other settings from its weights: seqlab train ... init_from={run_dir}"
        )
    for key in changed:
        if 0 <= float(after[key] if after[key] is not None else -1) <= float(before[key] or 0):
            raise InputError(f"{key}={after[key]}: the completed run had {before[key]}; give a larger value")
    last = RunFolder(run_dir).checkpoints / "last.ckpt"
    return {**config, CONTINUES: {"run": str(run_dir.resolve()), "checkpoint": checkpoint_hash(last)}}


def continued_folder(run_dir: Path, overrides: Sequence[str], config: Mapping[str, Any]) -> Path:
    """The folder of a run that continues another, beside it; the same values name the same folder.

    Args:
        run_dir: the completed run's folder.
        overrides: the overrides; those of :data:`MAY_CHANGE` name the folder.
        config: the new configuration, which has their values.

    Example:
        >>> config = {"trainer": {"max_epochs": 60}}
        >>> continued_folder(Path("runs/x/seed=1-abc"), ["trainer.max_epochs=60"], config).as_posix()
        'runs/x/seed=1-abc+max_epochs=60'
    """
    given = {text.partition("=")[0] for text in overrides}
    names = [key.removeprefix("trainer.") for key in MAY_CHANGE if key in given]
    return run_dir.with_name("+".join([run_dir.name, *(f"{name}={config['trainer'][name]}" for name in names)]))


def copy_checkpoints(config: Mapping[str, Any], run_dir: Path) -> None:
    """Copies the checkpoints of the parent into the folder of a run that continues it and has none yet.

    Raises:
        InputError: the parent's checkpoints are gone, have changed or are damaged: the run would begin anew or earlier.
    """
    parent = config[CONTINUES]
    source, target = RunFolder(parent["run"]).checkpoints, RunFolder(run_dir).checkpoints
    if (target / "last.ckpt").exists():
        return
    if checkpoint_hash(source / "last.ckpt") != parent["checkpoint"]:
        raise InputError(f"{source / 'last.ckpt'} is not the checkpoint that {run_dir} continues: it has changed since")
    try:
        check_seal(source / "last.ckpt")
    except DamagedFileError as error:
        raise InputError(
            f"{source / 'last.ckpt'} is damaged ({error}), so no run can continue from it: restore it from a "
            "copy, or train the longer run from scratch"
        ) from error
    target.mkdir(exist_ok=True)
    for name in ("best.ckpt", "last.ckpt"):  # last.ckpt last: with it, the run counts as one that can continue
        if (source / name).exists():
            with open(source / name, "rb") as original, replacing(target / name) as copy:
                shutil.copyfileobj(original, copy)


def remove_unused(folder: Path, config: Mapping[str, Any]) -> None:
    """Removes the folder of a run that was to continue another and was refused before it had trained.

    What has trained beyond its parent stays, and so does what another command is at work on: it may have begun the same
    run in the meantime.

    Args:
        folder: the folder, which was not there before.
        config: the configuration of the run.
    """
    run = RunFolder(folder)
    if not folder.is_dir():
        return
    try:
        claim = run.claim(patience=0)
    except (InputError, OSError):
        return
    with claim:
        last = run.checkpoints / "last.ckpt"
        if not last.exists() or is_parent_checkpoint(config, last):
            shutil.rmtree(folder)


def is_parent_checkpoint(config: Mapping[str, Any], checkpoint: Path | None) -> bool:
    """Whether a checkpoint is still that of the parent: the run has saved none of its own."""
    return checkpoint is not None and checkpoint_hash(checkpoint) == config[CONTINUES]["checkpoint"]


def resolve_init_from(config: dict[str, Any]) -> dict[str, Any]:
    """Resolves ``init_from``: from a run's folder to the folder and the hash of the run's best checkpoint.

    Raises:
        InputError: the folder holds no completed run.
    """
    parent = config.get(INIT_FROM)
    if parent is None or isinstance(parent, Mapping):
        return config
    run = RunFolder(Path(str(parent)))
    status = run.state().status
    if status != COMPLETED:
        raise InputError(
            f"init_from={parent}: expected the folder of a completed run"
            + ("; there is none" if not run.path.exists() else f"; this one is {status}")
        )
    digest = checkpoint_hash(final_checkpoint(run))
    return {**config, INIT_FROM: {"run": str(run.path.resolve()), "checkpoint": digest}}


def final_checkpoint(run: RunFolder) -> Path:
    """A completed run's best checkpoint, or its last one if no validation has chosen a best one."""
    if (name := run.state().record["checkpoint"]) is not None:
        return run.path / str(name)  # even if it is gone: another checkpoint has other weights
    best = run.checkpoints / "best.ckpt"
    return best if best.exists() else run.checkpoints / "last.ckpt"
