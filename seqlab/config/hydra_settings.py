"""Hydra's own settings: those that the user must not change, and the folder that it writes to. Torch is not needed."""

import errno
import os
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from seqlab.errors import InputError

FIXED: Final = {
    "hydra.sweep.subdir": "a job's folder is named by its configuration, so that each job of a sweep has its own",
    "hydra.output_subdir": "a run's files lie where the other commands look for them",
    "hydra.job.chdir": "a run works in the folder that the command is given in",
    "hydra.callbacks.summary": "it reports how a sweep ends",
}
"""The settings that the user must not change, with the reasons."""


def check_typed(overrides: Sequence[str]) -> None:
    """Refuses overrides that set a key of `FIXED`, to whatever value.

    Raises:
        InputError: names the override and the reason.
    """
    for text in overrides:
        key = text.partition("=")[0].lstrip("+~")
        for fixed, reason in FIXED.items():
            if key == fixed or key.startswith(fixed + ".") or (fixed.startswith(key + ".") and text.startswith("~")):
                raise InputError(f"{text}: {fixed} is not to be set: {reason}; leave it out")


def check_hydra(composed: DictConfig, varied: Collection[str] = ()) -> None:
    """Checks Hydra's section of a composed configuration, and makes the folder of the run or the sweep.

    Args:
        composed: the configuration with its section ``hydra``.
        varied: the keys that a sweep varies; none for a single run.

    Raises:
        InputError: a file sets a key of `FIXED`, or the folder can't be made.
        OSError: there is no room for the folder.
    """
    shipped = _shipped_values()
    for key, reason in FIXED.items():
        if (value := _raw(composed, key)) != shipped[key]:
            raise InputError(
                f"{key}={value}, by a file of the configuration: it is not to be set: {reason}; leave it out"
            )
    is_sweep = str(composed.hydra.mode).rpartition(".")[2] == "MULTIRUN"
    key = "hydra.sweep.dir" if is_sweep else "hydra.run.dir"
    if is_sweep and (shared := sorted(set(varied) & set(_references(composed, key)))):
        raise InputError(
            f"{shared[0]} is varied, and {key}={_raw(composed, key)} goes by it: the jobs of a sweep lie in one "
            f"folder; give one value for {shared[0]}"
        )
    check_folder(key, OmegaConf.select(composed, key), make=not composed.get("dry_run"))


@cache
def _shipped_values() -> dict[str, Any]:
    """The values of `FIXED` that seqlab ships with, as they are written."""
    shipped = OmegaConf.merge(
        {"hydra": OmegaConf.structured(HydraConf)},
        {"hydra": OmegaConf.load(str(files("seqlab.conf").joinpath("train.yaml"))).hydra},
    )
    return {key: _raw(shipped, key) for key in FIXED}


def pin_sweep_folder(composed: DictConfig) -> None:
    """Gives all jobs of a sweep the sweep's folder, even if files that they choose set another.

    Args:
        composed: the sweep's configuration, from which Hydra makes that of each job.
    """
    # Between quotes Hydra takes a backslash literally, except before a quote.
    folder = re.sub(r"(\\*)('|\Z)", lambda match: match[1] * 2 + match[2].replace("'", "\\'"), composed.hydra.sweep.dir)
    composed.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")


def check_folder(key: str, folder: Any, make: bool = True) -> None:
    """Checks that a folder can be written to, and makes it.

    Args:
        key: the key of the folder, for errors.
        folder: the folder's path.
        make: whether to make it.

    Raises:
        InputError: names the ``key``, and the file or folder that is in the way.
        OSError: there is no room for it.
    """
    if not isinstance(folder, str) or not folder.strip():
        raise InputError(f"{key} is {folder!r}; expected the path of a folder, such as {key}=runs/mine")
    path = Path(folder)
    try:
        nearest = next(above for above in (path, *path.absolute().parents) if os.path.lexists(above))
        if not nearest.is_dir():
            kind = "a link to nothing" if not nearest.exists() else "a file"
            raise InputError(f"{key}={folder}: {nearest} is {kind}; expected a folder, or a path that is free")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise InputError(f"{key}={folder}: {nearest} can't be written to; give another folder")
        if make:
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"{key}={folder} can't be made: {error.strerror}; give another folder") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{key}={folder!r} is not a path ({error}); give another folder") from error


def _raw(config: Any, key: str) -> Any:
    """The value at a dotted key as it is written, with its interpolations."""
    above, _, name = key.rpartition(".")
    parent = OmegaConf.select(config, above)
    node = parent._get_node(name) if isinstance(parent, DictConfig) else None
    if isinstance(node, DictConfig):
        return OmegaConf.to_container(node)
    return None if node is None else node._value()


def _references(config: DictConfig, key: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The keys that a value refers to, and the keys that these refer to in turn."""
    for name in re.findall(r"\$\{([\w.]+)\}", str(_raw(config, key))):
        if name not in seen:
            yield name
            yield from _references(config, name, seen | {name})
