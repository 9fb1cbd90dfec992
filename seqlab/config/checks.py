"""Checks of a configuration, before anything slow begins and anything is written. Torch is not needed."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from seqlab.config.layers import check_layers
from seqlab.config.loggers import check_extra
from seqlab.config.metrics import check_metrics
from seqlab.config.own_files import GLOBAL
from seqlab.config.values import GROUPS, check_values
from seqlab.errors import InputError

_GROUPS_OF_METRICS: Final = {
    "optimize",
    "task",
    "data",
    "callbacks",
}  # they decide which metrics are logged and watched


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses a resolved configuration with mistakes that show without building anything.

    Raises:
        InputError: names the key, its value, and what was expected.
    """
    check_settings(config)
    check_extra(config)
    check_metrics(config)


def check_sweep(config: Mapping[str, Any], varied: Collection[str]) -> None:
    """Refuses a sweep with a mistake that all its jobs share.

    Args:
        config: the resolved configuration of the sweep.
        varied: the keys that differ from job to job.

    Raises:
        InputError: as :func:`check_config` does.
    """
    groups = {re.split(r"[./@]", key)[0] for key in varied}
    if groups & set(GLOBAL):  # their files may set any key
        return
    check_settings(config, groups)
    if "logger" not in groups:
        check_extra(config)
    if not groups & _GROUPS_OF_METRICS:
        check_metrics(config)


def check_settings(config: Mapping[str, Any], skipped: Collection[str] = ()) -> None:
    """Refuses missing groups and wrong values.

    Args:
        config: a resolved configuration.
        skipped: groups whose values are not checked.

    Raises:
        InputError: names the key, its value, and what was expected.
    """
    for group, example in GROUPS.items():
        if not isinstance(config.get(group), Mapping):
            raise InputError(f"{group} is {config.get(group)!r}; expected a group of keys, as by {example}")
    for group in GLOBAL:
        if isinstance(config.get(group), Mapping) and not set(config[group]) <= {"job_timeout"}:
            raise InputError(f"{group}: its file changes nothing without its first line being '# @package _global_'")
    if "model" not in skipped and isinstance(cell := config["model"].get("cell"), str):
        raise InputError(f"model.cell={cell}: expected the keys of a cell; did you mean model/cell={cell}?")
    check_values(config, skipped)
    if "model" not in skipped:
        check_layers(config["model"])
    trainer = config["trainer"]
    for key in ("max_epochs", "max_steps") if "trainer" not in skipped else ():
        if trainer.get(key) == 0:
            raise InputError(f"trainer.{key}=0: nothing would be trained; give 1 or more")
    if "trainer" not in skipped and trainer.get("max_epochs", 1) is None and trainer.get("max_steps", -1) == -1:
        raise InputError("trainer.max_epochs=null with trainer.max_steps=-1: training would never end; give one")
    if not {"optimizer", "trainer"} & set(skipped) and config["optimizer"].get("_target_") is None:
        for key, value in (("gradient_clip_val", None), ("accumulate_grad_batches", 1)):
            if (setting := config["trainer"].get(key, value)) != value:
                raise InputError(f"trainer.{key}={setting} with optimizer=none: there is no gradient; leave it out")
