"""Which way each shipped metric is better, and what the validation of each shipped task logs. Torch is not needed."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from seqlab.errors import InputError

DIRECTIONS: Final[Mapping[str, str]] = {
    "loss": "min",
    "perplexity": "min",
    "bits_per_character": "min",
    "accuracy": "max",
    "last_accuracy": "max",
    "sequence_accuracy": "max",
    "bayes_accuracy": "max",
    "unseen_accuracy": "max",
    "macro_f1": "max",
    "entity_precision": "max",
    "entity_recall": "max",
    "entity_f1": "max",
    "bleu": "max",
    "chrf": "max",
    "note_f1": "max",
    "wer": "min",
    "cer": "min",
    "per": "min",
    "exact_match": "max",
    "mae": "min",
    "rmse": "min",
    "crps": "min",
    "mase": "min",
    "mse": "min",
    "r2": "max",
}
"""Whether the lowest or the highest value of a metric is best, by its name behind ``val/`` or ``test/``."""

UNDIRECTED: Final[Mapping[str, str]] = {"coverage": "crps"}
"""Metrics of which neither the lowest nor the highest value is best, and what decides instead."""

PER_CLASS: Final = (
    *("accuracy", "entity_f1", "mae", "rmse", "crps", "mse", "r2"),
    *("loss", "last_accuracy", "sequence_accuracy"),
)
"""Metrics that are also logged for each tag, type, target or length: ``accuracy_NOUN``, ``entity_f1_PER``,
``mae_wind``, ``accuracy_1024``."""

_TOKENS: Final = ("loss", "perplexity", "accuracy")
_CLASSES: Final = ("loss", "accuracy", "macro_f1")
_ENTITIES: Final = ("entity_precision", "entity_recall", "entity_f1", "entity_f1_*")
_ERRORS: Final = ("mae", "rmse", "crps")  # of one target; of several, one for each target
_OF_NUMBERS: Final = ("mse", "rmse", "mae", "r2")  # likewise
_OF_TARGETS: Final = (*_ERRORS, "mse", "r2")
_ONE_TARGET: Final = ("seqlab.data.adding_data", "seqlab.data.sine_data", "seqlab.data.threshold_data")
LOGGED: Final[Mapping[str, Sequence[str]]] = {
    "LanguageModelTask": (*_TOKENS, "bits_per_character"),
    "CountingTask": (*_TOKENS, "bits_per_character"),
    "ClassificationTask": _CLASSES,
    "DnaTask": (*_CLASSES, "bayes_accuracy"),
    "AnswerTask": _CLASSES,
    "TaggingTask": ("loss", "accuracy", "unseen_accuracy", "accuracy_*", *_ENTITIES),
    "TranslationTask": (*_TOKENS, "bleu", "chrf"),
    "PronunciationTask": (*_TOKENS, "wer", "per"),
    "TranscriptionTask": ("loss", "wer", "cer", "exact_match"),
    "CaptionTask": (*_TOKENS, "bleu", "exact_match"),
    "MusicTask": ("loss", "note_f1"),
    "LabellingTask": ("loss", "accuracy", "last_accuracy", "sequence_accuracy"),
    "RegressionTask": ("loss", *_OF_NUMBERS, *(f"{name}_*" for name in _OF_NUMBERS)),
    "SeriesClassificationTask": _CLASSES,
    "ForecastTask": ("loss", "mase", *_ERRORS, *(f"{name}_*" for name in _ERRORS), "coverage"),
}
"""The metrics that the validation of each shipped task may log; ``*`` stands for a tag or a type of entities."""

_SCORED: Final[Mapping[str, Sequence[str]]] = {
    "bleu_every_n_validations": ("bleu", "chrf"),
    "wer_every_n_validations": ("wer", "per"),
}
"""Scores that not every validation logs, by the key of the task that says which ones do."""

_REQUIRE_METRIC: Final = (".EarlyStopping", ".RunCheckpoint")
_SHIPPED: Final = ("seqlab.", "lightning.", "torch.", "torchmetrics.")


def direction_of(metric: str) -> str | None:
    """``min`` or ``max``, whichever is best for a metric that ships; None for any other metric.

    Example:
        >>> direction_of("val/loss"), direction_of("test/accuracy_NOUN"), direction_of("val/mine")
        ('min', 'max', None)
    """
    name = metric.rpartition("/")[2]
    if name in DIRECTIONS:
        return DIRECTIONS[name]
    return next((DIRECTIONS[each] for each in PER_CLASS if name.startswith(each + "_")), None)


def resolve_mode(metric: Any, mode: Any, key: str = "optimize.mode", metric_key: str = "optimize.metric") -> str:
    """``min`` or ``max``: the ``mode``, or the metric's own direction where the mode is null.

    Args:
        metric: the metric's name.
        mode: min, max or None.
        key: the mode's key, for errors.
        metric_key: the metric's key, for errors.

    Raises:
        InputError: the mode is neither, contradicts the metric's direction, or is needed for an unknown metric.

    Example:
        >>> resolve_mode("val/accuracy", None), resolve_mode("val/mine", "min")
        ('max', 'min')
    """
    if mode not in ("min", "max", None):
        raise InputError(f"{key} is {mode!r}; expected min or max, or null for the metric's own direction")
    name = str(metric).rpartition("/")[2]
    if name in UNDIRECTED:
        raise InputError(
            f"{metric_key}={metric}: neither its lowest nor its highest value is best; give one that decides, such as "
            f"{str(metric).removesuffix(name)}{UNDIRECTED[name]}"
        )
    direction = direction_of(str(metric))
    if mode is None and direction is None:
        raise InputError(
            f"{metric_key}={metric}: seqlab does not know whether its lowest or its highest value is best; give "
            f"{key}=min or {key}=max"
        )
    if direction is not None and mode not in (direction, None):
        best = "lowest" if direction == "min" else "highest"
        raise InputError(f"{key}={mode}: of {metric_key}={metric} the {best} value is best; give {key}={direction}")
    return str(mode or direction)


def check_metrics(config: Mapping[str, Any]) -> None:
    """Refuses a deciding metric that validation won't log, or whose mode is wrong.

    Deciding metrics are ``optimize.metric`` and the ``metric`` or ``monitor`` of a callback. What a user's own task or
    callback logs is not known before it runs.

    Raises:
        InputError: names the key, the metrics that are logged, and the nearest of them.
    """
    optimize = config["optimize"]
    _check_logged("optimize.metric", optimize.get("metric"), config)
    resolve_mode(optimize["metric"], optimize.get("mode"))
    for name, callback in config["callbacks"].items():
        for option in ("metric", "monitor"):
            if not isinstance(callback, Mapping) or option not in callback:
                continue
            if callback[option] is not None or str(callback.get("_target_")).endswith(_REQUIRE_METRIC):
                key = f"callbacks.{name}.{option}"
                _check_logged(key, callback[option], config)
                if "mode" in callback:
                    resolve_mode(callback[option], callback["mode"], f"callbacks.{name}.mode", key)


def _check_logged(key: str, metric: Any, config: Mapping[str, Any]) -> None:
    if not isinstance(metric, str) or not metric:
        raise InputError(f"{key}={metric}: expected the name of a metric, such as val/loss")
    names = logged_by(config)
    if names is None or _is_one_of(metric, names):
        return
    lowered = metric.lower()
    near = difflib.get_close_matches(lowered, names, n=1) or difflib.get_close_matches(f"val/{lowered}", names, n=1)
    hint = f"did you mean {near[0]}? It" if near else "it"
    logs = f"{hint} logs {', '.join(names)}"
    for every, scores in _SCORED.items():
        if metric in (f"val/{score}" for score in scores) and every in config["task"]:
            raise InputError(f"{key}={metric} is needed at every validation: give task.{every}=1")
    raise InputError(f"{key}={metric} is not logged by validation, which decides; {logs}")


def logged_by(config: Mapping[str, Any]) -> list[str] | None:
    """The metrics that validation logs; ``*`` stands for a tag or a type of entities.

    None where a user's own task or callback may log more.

    Example:
        >>> logged_by({"task": {"_target_": "seqlab.tasks.AnswerTask"}, "callbacks": {}})
        ['val/loss', 'val/accuracy', 'val/macro_f1']
    """
    target = str(config["task"].get("_target_"))
    names = LOGGED.get(target.rpartition(".")[2]) if target.startswith("seqlab.tasks.") else None
    callbacks = config["callbacks"].values()
    if names is None or any(isinstance(callback, Mapping) and _is_own(callback) for callback in callbacks):
        return None
    if _has_entities(config.get("data", {})) is False:
        names = [name for name in names if name not in _ENTITIES]
    if (several := _has_several_targets(config.get("data", {}))) is not None:
        names = [name for name in names if name not in _OF_TARGETS] if several else _without_stars(names, _OF_TARGETS)
    if config["task"].get("bleu_every_n_validations") != 1:
        names = [name for name in names if name not in ("bleu", "chrf")]
    for every, scores in _SCORED.items():
        if every in config["task"] and config["task"][every] != 1:
            names = [name for name in names if name not in scores]
    return [f"val/{name}" for name in names]


def _is_own(callback: Mapping[str, Any]) -> bool:
    return not str(callback.get("_target_")).startswith(_SHIPPED)


def _has_entities(data: Mapping[str, Any]) -> bool | None:
    """Whether the tags of the data mark entities; None where its configuration doesn't say."""
    if "entities" in data:
        return bool(data["entities"])
    if "layer" in data:
        return bool(data["layer"] == "entities")
    return {"seqlab.data.ewt_data": False, "seqlab.data.wnut17_data": True}.get(str(data.get("_target_")))


def _has_several_targets(data: Mapping[str, Any]) -> bool | None:
    """Whether several targets are forecast or answered; None where the configuration doesn't say."""
    targets = data.get("targets")
    if isinstance(targets, list):
        return len(targets) > 1
    return False if targets is not None or data.get("_target_") in _ONE_TARGET else None


def _without_stars(names: Sequence[str], starred: Sequence[str]) -> list[str]:
    return [name for name in names if name.removesuffix("_*") not in starred or name in starred]


def _is_one_of(metric: str, names: Sequence[str]) -> bool:
    return any(metric == name or (name.endswith("*") and metric.startswith(name[:-1])) for name in names)
