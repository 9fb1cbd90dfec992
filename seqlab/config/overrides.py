"""Overrides of a stored configuration. Torch is not needed."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.config.parts import is_late
from seqlab.config.values import GROUPS
from seqlab.errors import InputError


def override(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """``config`` with ``key=value`` overrides applied; values are YAML, and keys must exist.

    Raises:
        InputError: an override is malformed, its key does not exist (the line names the nearest one), or it sets a
            group to a single value.

    Example:
        >>> override({"data": {"batch_size": 20}}, ["data.batch_size=10"])
        {'data': {'batch_size': 10}}
    """
    overridden = OmegaConf.create(_escaped(config))
    keys = list(_keys(config))
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InputError(f"{text!r} is not an override; expected key=value, such as data.batch_size=10")
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            raise InputError(f"the run's configuration has no {key}" + (f"; did you mean {near[0]}?" if near else ""))
        try:
            OmegaConf.update(overridden, key, OmegaConf.select(OmegaConf.create(f"value: {value}"), "value"))
        except (OmegaConfBaseException, ValueError) as error:
            raise InputError(f"{text}: {' '.join(str(error).split())}") from error
        if key in GROUPS and not OmegaConf.is_dict(OmegaConf.select(overridden, key)):
            raise InputError(f"{text}: expected a key of the group, such as {_override_of(key, keys)}")
    plain = OmegaConf.to_container(overridden, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _escaped(node: Any) -> Any:
    """A node whose parts' references to the group around them stay as text, for they are resolved with the model."""
    if isinstance(node, dict):
        return {key: _escaped(value) for key, value in node.items()}
    return f"\\{node}" if is_late(node) else node


def _override_of(group: str, keys: list[str]) -> str:
    """An override of a key in ``group``; a stored configuration has no choice of files for a group."""
    if group == "logger":
        return "logger._target_=null, which turns the logger off"
    return next((f"{key}=..." for key in keys if key.startswith(f"{group}.")), f"{group}._target_=...")


def _keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a configuration, groups included."""
    for name, value in config.items():
        key = f"{prefix}{name}"
        yield key
        if isinstance(value, Mapping):
            yield from _keys(value, key + ".")
