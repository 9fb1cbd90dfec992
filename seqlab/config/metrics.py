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
    "unseen_accuracy": "max",
    "macro_f1": "max",
    "entity_precision": "max",
    "entity_recall": "max",
    "entity_f1": "max",
    "bleu": "max",
    "chrf": "max",
}
"""Of each metric, by its name behind ``val/`` or ``test/``, whether the lowest or the highest value is best."""

OF_ONE: Final = ("accuracy", "entity_f1")
"""Metrics that there are for one tag or type, too: ``accuracy_NOUN``, ``entity_f1_PER``."""

_TOKENS: Final = ("loss", "perplexity", "accuracy")
_CLASSES: Final = ("loss", "accuracy", "macro_f1")
_ENTITIES: Final = ("entity_precision", "entity_recall", "entity_f1", "entity_f1_*")
LOGGED: Final[Mapping[str, Sequence[str]]] = {
    "LanguageModelTask": (*_TOKENS, "bits_per_character"),
    "CountingTask": (*_TOKENS, "bits_per_character"),
    "ClassificationTask": _CLASSES,
    "AnswerTask": _CLASSES,
    "TaggingTask": ("loss", "accuracy", "unseen_accuracy", "accuracy_*", *_ENTITIES),
    "TranslationTask": (*_TOKENS, "bleu", "chrf"),
}
"""What the validation of each shipped task may log; ``*`` stands for a tag or a type of entities."""

_NEED_METRIC: Final = (".EarlyStopping", ".RunCheckpoint")
_SHIPPED: Final = ("seqlab.", "lightning.", "torch.", "torchmetrics.")


def direction_of(metric: str) -> str | None:
    """``min`` or ``max``, whichever is best of a metric that ships; None where nobody here can know.

    Example:
        >>> direction_of("val/loss"), direction_of("test/accuracy_NOUN"), direction_of("val/mine")
        ('min', 'max', None)
    """
    name = metric.rpartition("/")[2]
    if name in DIRECTIONS:
        return DIRECTIONS[name]
    return next((DIRECTIONS[known] for known in OF_ONE if name.startswith(known + "_")), None)


def resolve_mode(metric: Any, mode: Any, key: str = "optimize.mode", metric_key: str = "optimize.metric") -> str:
    """``min`` or ``max``: the ``mode`` that was given, or the metric's own where it is null.

    Raises:
        InputError: the mode is neither, contradicts what is known of the metric, or is needed.

    Example:
        >>> resolve_mode("val/accuracy", None), resolve_mode("val/mine", "min")
        ('max', 'min')
    """
    if mode not in ("min", "max", None):
        raise InputError(f"{key} is {mode!r}; expected min or max, or null for what is known of the metric")
    known = direction_of(str(metric))
    if mode is None and known is None:
        raise InputError(
            f"{metric_key}={metric}: whether its lowest or its highest value is best is not known; give {key}=min or "
            f"{key}=max"
        )
    if known is not None and mode not in (known, None):
        best = "lowest" if known == "min" else "highest"
        raise InputError(f"{key}={mode}: of {metric_key}={metric} the {best} value is best; give {key}={known}")
    return str(mode or known)


def check_metrics(config: Mapping[str, Any]) -> None:
    """Refuses a metric that decides something (``optimize.metric``, a callback's ``metric`` or ``monitor``) and that
    the validation of a shipped task won't log, or whose mode is wrong.

    What a user's own task or callback logs is not known before they run.

    Raises:
        InputError: naming the key, what is logged and the nearest of it.
    """
    optimize = config["optimize"]
    _check_logged("optimize.metric", optimize.get("metric"), config)
    resolve_mode(optimize["metric"], optimize.get("mode"))
    for name, callback in config["callbacks"].items():
        for watched in ("metric", "monitor"):
            if not isinstance(callback, Mapping) or watched not in callback:
                continue
            if callback[watched] is not None or str(callback.get("_target_")).endswith(_NEED_METRIC):
                key = f"callbacks.{name}.{watched}"
                _check_logged(key, callback[watched], config)
                if "mode" in callback:
                    resolve_mode(callback[watched], callback["mode"], f"callbacks.{name}.mode", key)


def _check_logged(key: str, metric: Any, config: Mapping[str, Any]) -> None:
    if not isinstance(metric, str) or not metric:
        raise InputError(f"{key}={metric}: expected the name of a metric, such as val/loss")
    names = logged_by(config)
    if names is None or _is_one_of(metric, names):
        return
    task = str(config["task"]["_target_"]).rpartition(".")[2]
    lowered = metric.lower()
    near = difflib.get_close_matches(lowered, names, n=1) or difflib.get_close_matches(f"val/{lowered}", names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    logs = f"{hint}It logs {', '.join(names)}"
    if metric in ("val/bleu", "val/chrf") and task == "TranslationTask":
        raise InputError(f"{key}={metric} is needed at every validation: give task.bleu_every_n_validations=1")
    raise InputError(f"{key}={metric} is not logged by validation, which decides; {logs}")


def logged_by(config: Mapping[str, Any]) -> list[str] | None:
    """The metrics that validation logs under a configuration, ``*`` standing for a tag or a type of entities; None
    where code of a user's own may log more.

    Example:
        >>> logged_by({"task": {"_target_": "seqlab.tasks.AnswerTask"}, "callbacks": {}})
        ['val/loss', 'val/accuracy', 'val/macro_f1']
    """
    target = str(config["task"].get("_target_"))
    names = LOGGED.get(target.rpartition(".")[2]) if target.startswith("seqlab.tasks.") else None
    own = [callback for callback in config["callbacks"].values() if isinstance(callback, Mapping) and _is_own(callback)]
    if names is None or own:
        return None
    if _has_entities(config.get("data", {})) is False:
        names = [name for name in names if name not in _ENTITIES]
    if config["task"].get("bleu_every_n_validations") != 1:
        names = [name for name in names if name not in ("bleu", "chrf")]
    return [f"val/{name}" for name in names]


def _is_own(callback: Mapping[str, Any]) -> bool:
    return not str(callback.get("_target_")).startswith(_SHIPPED)


def _has_entities(data: Mapping[str, Any]) -> bool | None:
    """Whether the tags of a ``data`` group mark entities; None where it doesn't say."""
    if "entities" in data:
        return bool(data["entities"])
    if "layer" in data:
        return bool(data["layer"] == "entities")
    return {"seqlab.data.ewt_data": False, "seqlab.data.wnut17_data": True}.get(str(data.get("_target_")))


def _is_one_of(metric: str, names: Sequence[str]) -> bool:
    return any(metric == name or (name.endswith("*") and metric.startswith(name[:-1])) for name in names)
