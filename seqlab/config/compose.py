"""From overrides to the plain values of a run's configuration. Torch is not needed."""

import contextlib
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.config.checks import check_config
from seqlab.config.hints import explain, is_of_composition
from seqlab.config.layers import SHIPPED, Sources, complete_model, list_overrides
from seqlab.config.metrics import resolve_mode
from seqlab.config.paths import absolute_paths
from seqlab.config.values import TOP, VALUES
from seqlab.errors import InputError


def compose_config(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration of ``seqlab train OVERRIDES``, resolved and checked, as plain values.

    Raises:
        InputError: an override is wrong, or an environment variable that a value needs is not set.

    Example:
        >>> config = compose_config(["experiment=hello", "seed=3"])
        >>> config["seed"], config["optimize"]
        (3, {'metric': 'val/loss', 'mode': 'min'})
    """
    try:
        with initialize_config_module("seqlab.conf", version_base="1.3"):
            composed = compose("train", overrides=list_overrides(overrides), return_hydra_config=True)
    except Exception as error:
        if not is_of_composition(error):
            raise
        raise InputError(explain(error)) from error
    return plain_config(composed)


def plain_config(composed: DictConfig) -> dict[str, Any]:
    """The plain values of a composed configuration, checked, with absolute paths.

    Raises:
        InputError: a value is missing, can't be resolved, or is refused by :mod:`seqlab.config.checks`.
    """
    try:
        config = _without_hydra(composed)
        missing = sorted(_missing(OmegaConf.to_container(config)))
        if missing:
            raise InputError(f"{', '.join(missing)}: a value is needed; give it on the command line")
        plain = _resolved(config, composed)
    except OmegaConfBaseException as error:
        raise InputError(explain(error)) from error
    check_config(plain)
    _check_read(composed)
    return absolute_paths(plain)


def _missing(values: Any, above: str = "") -> Iterator[str]:
    """The dotted keys of the values that are still ``???``."""
    if values == "???":
        yield above
    elif isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            place = f"[{key}]" if isinstance(values, list) else f".{key}"
            yield from _missing(value, f"{above}{place}".lstrip("."))


def _check_read(composed: DictConfig) -> None:
    """Refuses keys outside of classes' arguments that nothing reads: they are unknown, and no value refers to them.

    Raises:
        InputError: there is one; names it.
    """
    unknown = [str(key) for key in composed if key not in {"hydra", *TOP}]
    for group, others in (("optimize", {"metric", "mode"}), ("runtime", set())):
        known = others | {key.partition(".")[2] for key in VALUES if key.startswith(f"{group}.")}
        unknown += [f"{group}.{name}" for name in composed.get(group) or () if name not in known]
    if not unknown:
        return
    texts = [OmegaConf.to_yaml(composed)]
    if HydraConfig.initialized():
        texts.append(OmegaConf.to_yaml(HydraConfig.get()))
    for key in unknown:
        if not any(re.search(rf"\$\{{[^}}]*(?<!\w){re.escape(key)}(?!\w)", text) for text in texts):
            near = difflib.get_close_matches(key, [*TOP, *VALUES], n=1)
            hint = f"did you mean {near[0]}?" if near else "leave it out, or refer to it as ${" + key + "}"
            raise InputError(f"{key}: nothing reads this key; {hint}")


def judged_by(composed: DictConfig) -> tuple[str, str]:
    """The metric that a composed configuration is judged by, and its mode; ``min`` where no mode is known."""
    optimize = composed.optimize
    try:
        return str(optimize.metric), resolve_mode(optimize.metric, optimize.mode)
    except InputError:
        return str(optimize.metric), "min"


def plain_values(composed: DictConfig) -> dict[str, Any]:
    """The plain values of a composed configuration, resolved, without Hydra's section.

    An ``optimize.mode`` of null becomes the metric's own direction, also where a value refers to it. A wrong one stays
    as it is, for :func:`~seqlab.config.checks.check_config` to refuse.
    """
    return _resolved(_without_hydra(composed), composed)


def _resolved(config: DictConfig, composed: DictConfig) -> dict[str, Any]:
    """The plain values of ``config``, which is ``composed`` without Hydra's section."""
    optimize = config.get("optimize")
    if isinstance(optimize, DictConfig) and "metric" in optimize and "mode" in optimize:
        with contextlib.suppress(InputError):
            optimize.mode = resolve_mode(optimize.metric, optimize.mode)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    for callback in (plain.get("callbacks") or {}).values():
        if isinstance(callback, dict) and callback.get("mode", "") is None:
            with contextlib.suppress(InputError):
                callback["mode"] = resolve_mode(callback.get("metric") or callback.get("monitor"), None)
    if isinstance(plain.get("model"), dict):
        plain["model"] = complete_model(plain["model"], *_origin(composed))
    return {str(key): value for key, value in plain.items()}


def _without_hydra(composed: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def _origin(composed: DictConfig) -> tuple[Sources, list[str]]:
    """Where Hydra looked for the files of a configuration, also in the user's own folders, and its overrides."""
    if "hydra" in composed:
        settings: Any = composed.hydra
    elif HydraConfig.initialized():  # a task's configuration comes without Hydra's section
        settings = HydraConfig.get()
    else:
        return SHIPPED, []
    places = settings.runtime.config_sources
    sources = tuple((str(place.provider), f"{place.schema}://{place.path}") for place in places)
    return sources, [str(text) for text in settings.overrides.task]
