"""The names of a sweep's folders."""

import os
import re
from pathlib import Path
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf

from seqlab.config.hash import located_hash

VARIED_VARIABLE: Final = "SEQLAB_VARIED_KEYS"  # in the environment, for a launcher may name its jobs in other processes
_LONGEST_NAME = 100


def job_name(*, _root_: DictConfig) -> str:
    """A sweep's folder for a job: what the sweep varies, to be read, and the hash of the job's configuration, in which
    the data's files count by their names.

    A folder that ends in the hash already is the job's own, whatever the sweep varied when it was made.
    """
    config = OmegaConf.create({key: value for key, value in _root_.items_ex(resolve=False) if key != "hydra"})
    digest = located_hash(OmegaConf.to_container(config, resolve=True))[:8]  # type: ignore[arg-type]
    for earlier in sorted(Path(_root_.hydra.sweep.dir).glob(f"*{digest}")):
        return earlier.name
    varied = {*os.environ.get(VARIED_VARIABLE, "").split(","), *(_root_.hydra.sweeper.get("params") or {})}
    overrides = [text for text in overrides_of(_root_.hydra) if text.partition("=")[0].lstrip("+~") in varied]
    readable = re.sub(r"[^\w.=,+-]+", "-", ",".join(overrides))[:_LONGEST_NAME].strip(",-")
    return f"{readable}-{digest}" if readable else digest


def overrides_of(hydra_config: Any) -> list[str]:
    """The job's overrides as they were typed: one may hold an interpolation, which reading it would resolve."""
    return OmegaConf.to_container(hydra_config.overrides.task)  # type: ignore[return-value]
