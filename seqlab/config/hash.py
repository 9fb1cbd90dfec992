"""Which config keys count, and one short hash of those that do."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from seqlab.config.paths import without_places

LEFT_OUT: Final = (
    "name",
    "hydra",
    "dry_run",
    "fail_fast",
    "rerun_changed",
    "paths",
    "logger",
    "callbacks.progress",
    "callbacks.checkpoint.every_n_steps",
    "callbacks.checkpoint.every_n_minutes",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.num_nodes",
    "trainer.logger",
    "trainer.default_root_dir",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "data.cache_dir",
    "data.num_workers",
    "data.pin_memory",
    "runtime.gpu_per_job",
)
"""Config keys (each with all below it) that say where a run works, what it displays and how often it is kept, but not
what it computes."""


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that are equal for two configs if, and only if, they ask for the same computation.

    The order of keys does not count, nor whether a whole number is written ``1`` or ``1.0``, nor what is in `LEFT_OUT`,
    nor where the data's files lie: their content is compared by itself. A config that was read back from a ``run.json``
    has the hash that it had before.

    Example:
        >>> one = config_hash({"optimizer": {"lr": 1.0}, "seed": 1, "trainer": {"accelerator": "gpu"}})
        >>> one == config_hash({"seed": 1, "optimizer": {"lr": 1}, "trainer": {"accelerator": "cpu"}})
        True
        >>> one == config_hash({"seed": 2, "optimizer": {"lr": 1}})
        False
    """
    return located_hash(without_places(config))


def located_hash(config: Mapping[str, Any]) -> str:
    """The same where the paths of the data's files count as they stand: it tells a sweep's jobs apart.

    Example:
        >>> one, other = ({"data": {"_target_": "seqlab.data.text_data", "path": name}} for name in ("a.txt", "b.txt"))
        >>> config_hash(one) == config_hash(other), located_hash(one) == located_hash(other)
        (True, False)
    """
    kept = {key: value for key, value in flatten(config) if not is_left_out(key)}
    return hashlib.sha256(canonical_json(kept).encode()).hexdigest()[:12]


def is_left_out(key: str) -> bool:
    """Whether a dotted config key is in `LEFT_OUT`, or below one that is.

    Example:
        >>> is_left_out("hydra.run.dir"), is_left_out("data.cache_dir"), is_left_out("data.path")
        (True, True, False)
    """
    return any(key == left_out or key.startswith(left_out + ".") for left_out in LEFT_OUT)


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested config with their dotted keys; lists and empty mappings are leaves.

    Example:
        >>> dict(flatten({"model": {"num_layers": 2, "sizes": [3, 4]}, "logger": {}}))
        {'model.num_layers': 2, 'model.sizes': [3, 4], 'logger': {}}
    """
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def canonical_json(value: Any) -> str:
    """JSON in which equal values have equal text: keys sorted, whole floats as integers, NaN and inf as strings."""
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(entry) for entry in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() else value
    return value
