"""The configuration keys that decide a run's result, and one short hash of them."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from seqlab.config.paths import without_places

LEFT_OUT: Final = (
    # How a sweep goes, and the names of its runs.
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
    # Where a run works. A published corpus is the same in every folder.
    "paths",
    "runtime.keep_freed_memory",
    # What is said of a size, not the size.
    "model.match_tolerance",
    "runtime.gpu_per_job",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.num_nodes",
    "trainer.default_root_dir",
    # What a run shows, and how often it is saved.
    "logger",
    "trainer.logger",
    "trainer.profiler",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "callbacks.checkpoint.every_n_steps",
    "callbacks.checkpoint.every_n_minutes",
)
"""Keys, each with all keys below it, that do not decide the result."""

LEFT_OUT_OF_SHIPPED: Final = ("data.root", "data.cache_dir", "data.num_workers", "data.pin_memory")
"""Further such keys for data that ships. In a user's own class these keys may mean anything, so there they count."""

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
"""Keys where ``1`` is one batch and ``1.0`` is all batches."""

OBSERVERS: Final = (
    "seqlab.callbacks.AnswerAttention",
    "seqlab.callbacks.AnswersOverTime",
    "seqlab.callbacks.AttentionMaps",
    "seqlab.callbacks.ConfusionMatrix",
    "seqlab.callbacks.DescriptionFigures",
    "seqlab.callbacks.ForecastFigures",
    "seqlab.callbacks.GradientsByLag",
    "seqlab.callbacks.PianoRollFigures",
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
"""Callbacks that change nothing of a run's result. A user's own callback may do anything, and counts."""


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits, equal for two configurations if and only if they ask for the same computation.

    The order of keys does not matter, nor whether a whole number is written ``1`` or ``1.0`` (except for
    `SHARES_OR_COUNTS`), nor the keys that :func:`deciding_values` leaves out, nor the paths of the data's files, whose
    content is compared on its own. A configuration that is read back from a ``run.json`` has the same hash as before.

    Example:
        >>> one = config_hash({"optimizer": {"lr": 1.0}, "seed": 1, "trainer": {"accelerator": "gpu"}})
        >>> one == config_hash({"seed": 1, "optimizer": {"lr": 1}, "trainer": {"accelerator": "cpu"}})
        True
        >>> one == config_hash({"seed": 2, "optimizer": {"lr": 1}})
        False
    """
    return located_hash(without_places(config))


def located_hash(config: Mapping[str, Any]) -> str:
    """The same with the paths of the data's files included: the jobs of a sweep differ in it.

    Example:
        >>> one, other = ({"data": {"_target_": "seqlab.data.text_data", "path": name}} for name in ("a.txt", "b.txt"))
        >>> config_hash(one) == config_hash(other), located_hash(one) == located_hash(other)
        (True, False)
    """
    return hashlib.sha256(canonical_json(deciding_values(config)).encode()).hexdigest()[:12]


def deciding_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that decide the result, by their dotted keys: without `LEFT_OUT`, `OBSERVERS` and null callbacks.

    Example:
        >>> callbacks = {"examples": {"_target_": "seqlab.callbacks.ShowExamples"}, "mine": {"_target_": "my.Callback"}}
        >>> deciding_values({"name": "x", "seed": 1, "callbacks": callbacks})
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
        left_out += ("model.hidden_size",)  # follows from the budget; a record has the solution
    return {key: comparable(key, value) for key, value in flatten(config) if not _is_below(key, left_out)}


def comparable(key: str, value: Any) -> Any:
    """A value for comparison: of `SHARES_OR_COUNTS` a count becomes a text, and so differs from the equal share.

    Example:
        >>> comparable("trainer.limit_val_batches", 1), comparable("optimizer.lr", 1)
        ('1', 1)
    """
    is_count = key in SHARES_OR_COUNTS and isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_count else value


def _only_observes(callback: Any) -> bool:
    return callback is None or (isinstance(callback, Mapping) and callback.get("_target_") in OBSERVERS)


def _is_below(key: str, above: Iterable[str]) -> bool:
    return any(key == name or key.startswith(name + ".") for name in above)


def differing_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The deciding keys whose values differ, with both values.

    Example:
        >>> differing_values({"seed": 1, "model": {"num_layers": 2}}, {"seed": 2, "model": {"num_layers": 2}})
        ['seed (1, 2)']
    """
    first, second = (
        {key: canonical_json(value) for key, value in deciding_values(without_places(config)).items()}
        for config in (one, other)
    )
    keys = [*first, *(key for key in second if key not in first)]
    missing = "not there"
    return [
        f"{key} ({first.get(key, missing)}, {second.get(key, missing)})"
        for key in keys
        if first.get(key) != second.get(key)
    ]


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested configuration by their dotted keys; a list or an empty mapping is one value.

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
