"""The jobs of a sweep: every combination of the values of its overrides. Nothing is composed; torch is not needed."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from seqlab.config.hash import canonical_json, comparable, deciding_values
from seqlab.errors import InputError


@dataclass(frozen=True)
class PlannedJob:
    """One job of a sweep, before it is composed.

    Attributes:
        number: its place in the sweep, from 0.
        overrides: all its overrides, as Hydra's launchers take them.
        varied: those of its overrides that differ from job to job.
    """

    number: int
    overrides: tuple[str, ...]
    varied: tuple[str, ...]


def plan_jobs(
    arguments: Sequence[str], params: Mapping[str, Any] | None = None, loader: ConfigLoader | None = None
) -> list[PlannedJob]:
    """The jobs of a sweep, in the order of Hydra's own sweeper.

    Args:
        arguments: the overrides of the command line, without those of Hydra itself.
        params: the sweeper's list of keys and values; the command line overrides it.
        loader: resolves a glob over the choices of a group.

    Raises:
        InputError: two values of a key are the same, so that two jobs would be one.
        HydraException: an override can't be read, or names an interval, from which only a search draws.

    Example:
        >>> [job.varied for job in plan_jobs(["name=x", "model.num_layers=1,2", "seed=1,2"])][:3]
        [('model.num_layers=1', 'seed=1'), ('model.num_layers=1', 'seed=2'), ('model.num_layers=2', 'seed=1')]
    """
    texts = [*(f"{key}={value}" for key, value in (params or {}).items()), *arguments]
    values_by_key: dict[str, list[str]] = {}
    varied_keys: set[str] = set()
    for override in OverridesParser.create(config_loader=loader).parse_overrides(texts):
        key = override.get_key_element()
        values_by_key[key] = list(single_overrides(override))
        varied_keys.discard(key)
        if override.is_sweep_override():
            varied_keys.add(key)
    is_varied = [key in varied_keys for key in values_by_key]
    return [
        PlannedJob(number, overrides, tuple(itertools.compress(overrides, is_varied)))
        for number, overrides in enumerate(itertools.product(*values_by_key.values()))
    ]


def single_overrides(override: Override) -> Iterator[str]:
    """One override for each value of an override."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        yield str(override.input_line) if override.is_delete() else f"{key}={override.get_value_element_as_str()}"
        return
    if not override.is_discrete_sweep():
        raise InputError(f"{override.input_line}: only a search draws from an interval; give sweep=optuna")
    text_by_value: dict[str, str] = {}
    for text in override.sweep_string_iterator():
        plain_value = OverridesParser.create().parse_override(f"key={text}").value()
        value = canonical_json(comparable(key.lstrip("+"), plain_value))
        if value in text_by_value:
            same = "given twice" if text_by_value[value] == text else f"the same as {text_by_value[value]}"
            raise InputError(f"{override.input_line}: {text} is {same}: two jobs would be one; drop one")
        text_by_value[value] = text
        yield f"{key}={text}"
    if not text_by_value:
        raise InputError(f"{override.input_line} matches no value, so there would be no job; give one that matches")


def check_varied(jobs: Sequence[PlannedJob], config: Mapping[str, Any]) -> None:
    """Refuses a sweep over a key that changes no result: all its jobs would be one and the same run.

    Args:
        jobs: the jobs of the sweep.
        config: the plain, resolved configuration that they share.

    Raises:
        InputError: a key that is varied changes no result.

    Example:
        >>> check_varied(plan_jobs(["trainer.devices=1,2"]), {"trainer": {"devices": 1}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        seqlab.errors.InputError: trainer.devices is varied, but changes no result: ...
    """
    counting = deciding_values(config)
    for text in jobs[0].varied if jobs else ():
        key = text.partition("=")[0].lstrip("+").replace("/", ".")
        if _has_key(config, key) and not any(name == key or name.startswith(key + ".") for name in counting):
            raise InputError(f"{key} is varied, but changes no result: its jobs would be one run; give it one value")


def _has_key(config: Mapping[str, Any], key: str) -> bool:
    first, _, rest = key.partition(".")
    return first in config and (not rest or (isinstance(config[first], Mapping) and _has_key(config[first], rest)))
