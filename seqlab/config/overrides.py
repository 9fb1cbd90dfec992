"""Values of a stored configuration, changed from the command line. Torch is not needed."""

import difflib
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.errors import InputError


def override(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """``config`` with ``key=value`` overrides, values in YAML; keys must exist.

    Raises:
        InputError: for a malformed override or an unknown key; names the nearest one.

    Example:
        >>> override({"data": {"batch_size": 20}}, ["data.batch_size=10"])
        {'data': {'batch_size': 10}}
    """
    changed = OmegaConf.create(config)
    known = list(_keys(config))
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InputError(f"{text!r} is not an override; expected key=value, such as data.batch_size=10")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise InputError(f"the run's configuration has no {key}" + (f"; did you mean {near[0]}?" if near else ""))
        try:
            OmegaConf.update(changed, key, OmegaConf.select(OmegaConf.create(f"value: {value}"), "value"))
        except (OmegaConfBaseException, ValueError) as error:
            raise InputError(f"{text}: {' '.join(str(error).split())}") from error
    plain = OmegaConf.to_container(changed)  # what a part refers to is found when it is built
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _keys(config: Mapping[str, Any], prefix: str = "") -> Any:
    for name, value in config.items():
        key = f"{prefix}{name}"
        yield key
        if isinstance(value, Mapping):
            yield from _keys(value, key + ".")
