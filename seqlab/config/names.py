"""The names of a sweep's folders."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seqlab.config.compose import plain_values
from seqlab.config.hash import located_hash

_LONGEST_NAME = 100
_MOST_BYTES = 200  # of it; file systems take 255


def job_name(typed: frozenset[str], *, _root_: DictConfig) -> str:
    """A sweep's folder for a job: what the sweep varies, to be read, and the hash of the job's configuration, in which
    the data's files count by their names.

    A folder that ends in the hash already is the job's own, whatever the sweep varied when it was made. Of several, as
    where one was copied, it is the one of the name that the job would be given now.
    """
    digest = located_hash(plain_values(_root_))[:8]
    varied = varied_by(_root_, typed)
    overrides = [text for text in overrides_of(_root_.hydra) if text.partition("=")[0].lstrip("+~") in varied]
    readable = re.sub(r"[^\w.=,+-]+", "-", ",".join(overrides))[:_LONGEST_NAME]
    readable = readable.encode()[:_MOST_BYTES].decode(errors="ignore").strip(",-")
    name = f"{readable}-{digest}" if readable else digest
    earlier = sorted(path.name for path in Path(_root_.hydra.sweep.dir).glob(f"*{digest}"))
    return name if name in earlier or not earlier else min(earlier, key=len)


def varied_by(composed: DictConfig, typed: Collection[str]) -> set[str]:
    """The keys that the sweep of a composed configuration varies: those ``typed`` on the command line, and those of its
    sweeper's list."""
    return {*typed, *map(str, composed.hydra.sweeper.get("params") or {})}


def overrides_of(hydra_config: Any) -> list[str]:
    """The job's overrides as they were typed: one may hold an interpolation, which reading it would resolve."""
    return OmegaConf.to_container(hydra_config.overrides.task)  # type: ignore[return-value]
