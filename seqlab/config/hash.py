"""Which config keys count, and one short hash of those that do."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from seqlab.config.paths import without_places

LEFT_OUT: Final = (
    # How a sweep goes, and what its runs are called.
    "name",
    "hydra",
    "dry_run",
    "fail_fast",
    "launcher",
    "overwrite",
    "continues.run",
    "init_from.run",
    "rerun_changed",
    "keep_changed",
    # Where a run works. A corpus that was published is the same wherever it lies.
    "paths",
    "runtime.keep_freed_memory",
    "runtime.gpu_per_job",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.num_nodes",
    "trainer.default_root_dir",
    # What it shows, and how often it is kept.
    "logger",
    "trainer.logger",
    "trainer.profiler",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "callbacks.checkpoint.every_n_steps",
    "callbacks.checkpoint.every_n_minutes",
)
"""Config keys (each with all below it) that say where a run works, what it displays and how often it is kept, but not
what it computes."""

LEFT_OUT_OF_SHIPPED: Final = ("data.root", "data.cache_dir", "data.num_workers", "data.pin_memory")
"""The same of data that ships; what these keys mean to a class of a user's own is not known, so there they count."""

SHARES_OR_COUNTS: Final = frozenset(
    f"trainer.{name}"
    for name in (
        "limit_train_batches",
        "limit_val_batches",
        "limit_test_batches",
        "limit_predict_batches",
        "overfit_batches",
        "val_check_interval",
    )
)
"""Keys of which ``1`` is one batch, and ``1.0`` all of them."""

OBSERVERS: Final = (
    "seqlab.callbacks.AnswerAttention",
    "seqlab.callbacks.AttentionMaps",
    "seqlab.callbacks.ConfusionMatrix",
    "seqlab.callbacks.ProgressLines",
    "seqlab.callbacks.ShowExamples",
    "seqlab.callbacks.StateFigure",
    "lightning.pytorch.callbacks.DeviceStatsMonitor",
    "lightning.pytorch.callbacks.LearningRateMonitor",
    "lightning.pytorch.callbacks.ModelSummary",
    "lightning.pytorch.callbacks.RichModelSummary",
    "lightning.pytorch.callbacks.RichProgressBar",
    "lightning.pytorch.callbacks.TQDMProgressBar",
)
"""Callbacks that look at a run and change nothing of it: those of :class:`seqlab.callbacks.Observer`, and Lightning's
that log or print. A callback of a user's own may do anything, and counts."""


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that are equal for two configs if, and only if, they ask for the same computation.

    The order of keys does not count, nor whether a whole number is written ``1`` or ``1.0`` but for
    `SHARES_OR_COUNTS`, nor what :func:`counted` leaves out, nor where the data's files lie: their content is compared
    by itself. A config that was read back from a ``run.json`` has the hash that it had before.

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
    return hashlib.sha256(canonical_json(counted(config)).encode()).hexdigest()[:12]


def counted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a config that decide what is computed: without `LEFT_OUT`, `OBSERVERS` and callbacks of null.

    Example:
        >>> shown = {"_target_": "seqlab.callbacks.ShowExamples", "num_tokens": 200}
        >>> counted({"name": "x", "seed": 1, "callbacks": {"examples": shown, "mine": {"_target_": "my.Callback"}}})
        {'seed': 1, 'callbacks.mine._target_': 'my.Callback'}
    """
    callbacks = config.get("callbacks")
    if isinstance(callbacks, Mapping):
        config = {**config, "callbacks": {name: node for name, node in callbacks.items() if not _only_observes(node)}}
    data = config.get("data")
    ships = isinstance(data, Mapping) and str(data.get("_target_")).startswith("seqlab.")
    left_out: tuple[str, ...] = LEFT_OUT + LEFT_OUT_OF_SHIPPED if ships else LEFT_OUT
    model = config.get("model")
    if isinstance(model, Mapping) and model.get("match_parameters") is not None:
        left_out += ("model.hidden_size",)  # it is solved for, and in a run's record it is what came out
    return {key: told_apart(key, value) for key, value in flatten(config) if not _is_below(key, left_out)}


def told_apart(key: str, value: Any) -> Any:
    """A value as it is compared: a count of `SHARES_OR_COUNTS` as a text, which no share is.

    Example:
        >>> told_apart("trainer.limit_val_batches", 1), told_apart("optimizer.lr", 1)
        ('1', 1)
    """
    is_count = key in SHARES_OR_COUNTS and isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_count else value


def _only_observes(callback: Any) -> bool:
    return callback is None or (isinstance(callback, Mapping) and callback.get("_target_") in OBSERVERS)


def _is_below(key: str, above: Iterable[str]) -> bool:
    return any(key == name or key.startswith(name + ".") for name in above)


def differing_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys that count whose values differ, with both values.

    Example:
        >>> differing_values({"seed": 1, "model": {"num_layers": 2}}, {"seed": 2, "model": {"num_layers": 2}})
        ['seed (1, 2)']
    """
    first, second = (
        {key: canonical_json(value) for key, value in counted(without_places(config)).items()}
        for config in (one, other)
    )
    keys = [*first, *(key for key in second if key not in first)]
    nothing = "not there"
    return [
        f"{key} ({first.get(key, nothing)}, {second.get(key, nothing)})"
        for key in keys
        if first.get(key) != second.get(key)
    ]


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
