"""The names of a sweep's folders."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seqlab.config.compose import plain_values
from seqlab.config.hash import located_hash

_MAX_CHARACTERS = 100
_MAX_BYTES = 200  # file systems allow 255 in a name, which ends in the hash


def job_name(typed: frozenset[str], *, _root_: DictConfig) -> str:
    """The name of a job's folder in its sweep: the overrides that the sweep varies, and the hash of the configuration.

    The hash includes the paths of the data's files. A folder that ends in the same hash is the job's own, whatever the
    sweep varied when the folder was made. Of several, as after a copy, the one with the present name is.
    """
    digest = located_hash(plain_values(_root_))[:8]
    varied = varied_by(_root_, typed)
    overrides = [text for text in overrides_of(_root_.hydra) if text.partition("=")[0].lstrip("+~") in varied]
    readable = re.sub(r"[^\w.=,+-]+", "-", ",".join(overrides))[:_MAX_CHARACTERS]
    readable = readable.encode()[:_MAX_BYTES].decode(errors="ignore").strip(",-")
    name = f"{readable}-{digest}" if readable else digest
    earlier = sorted(path.name for path in Path(_root_.hydra.sweep.dir).glob(f"*{digest}"))
    return name if name in earlier or not earlier else min(earlier, key=len)


def varied_by(composed: DictConfig, typed: Collection[str]) -> set[str]:
    """The keys that a sweep varies: those ``typed`` on the command line, and those in the sweeper's ``params``."""
    sweeper = composed.hydra.sweeper
    seed = {"seed"} if sweeper.get("fresh_seeds") else set()
    return {*typed, *map(str, sweeper.get("params") or {}), *seed}


def overrides_of(hydra_config: Any) -> list[str]:
    """The job's overrides as they were typed, with their interpolations unresolved."""
    return OmegaConf.to_container(hydra_config.overrides.task)  # type: ignore[return-value]
