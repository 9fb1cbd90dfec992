"""Which of Hydra's own settings a run and a sweep rest on, and what is refused of them. Torch is not needed."""

import errno
import os
import re
from collections.abc import Collection, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from seqlab.errors import InputError

FIXED: Final = {
    "hydra.sweep.subdir": "a job's folder is named by what it computes, which keeps the jobs of a sweep apart",
    "hydra.output_subdir": "what a run keeps beside its results lies where the other commands look for it",
    "hydra.job.chdir": "a run works in the folder that the command is given in",
    "hydra.callbacks.summary": "it tells how a sweep ends",
}
"""Settings that are not the user's, and what each is for."""


def check_typed(overrides: Sequence[str]) -> None:
    """Refuses overrides of a command line that set what is `FIXED`, whatever they set it to.

    Raises:
        InputError: naming the override and what it would break.
    """
    for text in overrides:
        key = text.partition("=")[0].lstrip("+~")
        for fixed, reason in FIXED.items():
            if key == fixed or key.startswith(fixed + ".") or (fixed.startswith(key + ".") and text.startswith("~")):
                raise InputError(f"{text}: {fixed} is not to be set: {reason}; leave it out")


def check_hydra(composed: DictConfig, varied: Collection[str] = ()) -> None:
    """Refuses Hydra's part of a composed configuration, wherever it was set, and makes the folder of the run or sweep.

    Args:
        composed: with the node ``hydra``.
        varied: the keys that a sweep varies; none for a run.

    Raises:
        InputError: what is `FIXED` is set otherwise, or the folder can't be one.
        OSError: there is no room for the folder.
    """
    shipped = OmegaConf.merge(
        {"hydra": OmegaConf.structured(HydraConf)},
        {"hydra": OmegaConf.load(str(files("seqlab.conf").joinpath("train.yaml"))).hydra},
    )
    for key, reason in FIXED.items():
        if (value := _raw(composed, key)) != _raw(shipped, key):
            raise InputError(f"{key}={value}, by a file of the configuration: it is not to be set: {reason}")
    is_sweep = str(composed.hydra.mode).rpartition(".")[2] == "MULTIRUN"
    key = "hydra.sweep.dir" if is_sweep else "hydra.run.dir"
    if is_sweep and (shared := sorted(set(varied) & set(_references(composed, key)))):
        raise InputError(
            f"{shared[0]} is varied, and {key}={_raw(composed, key)} goes by it: the jobs of a sweep lie in one "
            f"folder; give one value for {shared[0]}"
        )
    check_folder(key, OmegaConf.select(composed, key), make=not composed.get("dry_run"))


def pin_sweep_folder(composed: DictConfig) -> None:
    """Has all jobs of a sweep lie in its folder, whatever the files that they choose from say of it.

    Args:
        composed: the sweep's configuration, of which Hydra makes that of each job.
    """
    # In quotes Hydra takes a backslash for itself, but where it stands before a quote.
    folder = re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), composed.hydra.sweep.dir)
    composed.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")


def check_folder(key: str, folder: Any, make: bool = True) -> None:
    """Refuses what can't be a folder to write to; makes it.

    Raises:
        InputError: naming the ``key``, and what stands in the way.
        OSError: there is no room for it.
    """
    if not isinstance(folder, str) or not folder.strip():
        raise InputError(f"{key} is {folder!r}; expected the path of a folder, such as {key}=runs/mine")
    path = Path(folder)
    try:
        there = next(above for above in (path, *path.absolute().parents) if os.path.lexists(above))
        if not there.is_dir():
            kind = "a link to nothing" if not there.exists() else "a file"
            raise InputError(f"{key}={folder}: {there} is {kind}; expected a folder, or a path that is free")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"{key}={folder}: {there} can't be written to; give another folder")
        if make:
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"{key}={folder} can't be made: {error.strerror}; give another folder") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{key}={folder!r} is no path: {error}") from error


def _raw(config: Any, key: str) -> Any:
    """The value at a dotted key as it is written, interpolations and all."""
    above, _, name = key.rpartition(".")
    node = OmegaConf.select(config, above)
    found = node._get_node(name) if isinstance(node, DictConfig) else None
    if isinstance(found, DictConfig):
        return OmegaConf.to_container(found)
    return None if found is None else found._value()


def _references(config: DictConfig, key: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The keys that a value refers to, and those that they refer to."""
    for name in re.findall(r"\$\{([\w.]+)\}", str(_raw(config, key))):
        if name not in seen:
            yield name
            yield from _references(config, name, seen | {name})
