"""The checkpoints in a run's folder: which one is the best, which one a run continues from, and how one is read."""

import os
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from seqlab.errors import InputError
from seqlab.files import DamagedFileError, check_seal, copy_file
from seqlab.run.events import COMPLETED
from seqlab.run.layout import checkpoint_folder
from seqlab.run.record import read_record

_ARCHIVE_END_SIZE: Final = 22  # bytes of a ZIP archive's last record


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
