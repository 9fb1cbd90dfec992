"""What is refused of a configuration before anything slow or lasting begins. Torch is not needed."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from seqlab.config.metrics import check_metrics
from seqlab.errors import InputError

_WHOLE_NUMBERS: Final = {  # and the least that each may be
    "seed": 0,
    "runtime.num_threads": 1,
    "trainer.max_epochs": -1,
    "trainer.max_steps": -1,
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.log_every_n_steps": 1,
}


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses a resolved configuration for what can be told without building anything of it.

    Raises:
        InputError: naming the key, what was expected and what came.
    """
    check_settings(config)
    check_metrics(config)


def check_sweep(config: Mapping[str, Any], varied: Collection[str]) -> None:
    """Refuses a sweep for what is wrong with all of its jobs alike, of which the keys ``varied`` differ.

    Raises:
        InputError: as :func:`check_config` does.
    """
    groups = {re.split(r"[./@]", key)[0] for key in varied}
    if groups & {"experiment", "sweep"}:  # which may set anything
        return
    if not groups & {"optimize", "task", "data", "callbacks"}:
        check_metrics(config)
    check_settings({**config, **{group: {} for group in groups if isinstance(config.get(group), Mapping)}})


def check_settings(config: Mapping[str, Any]) -> None:
    """Refuses numbers out of range where Lightning and PyTorch would, if at all, from their depths.

    Raises:
        InputError: naming the key, what was expected and what came.
    """
    for key, least in _WHOLE_NUMBERS.items():
        group, _, name = key.rpartition(".")
        value = (config[group] if group else config).get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InputError(f"{key}={value}: expected a whole number, {least} or more")
    timeout = (config.get("launcher") or {}).get("job_timeout")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0):
        raise InputError(f"launcher.job_timeout={timeout}: expected seconds, above 0, or null to wait for ever")
    clip = config["trainer"].get("gradient_clip_val")
    if isinstance(clip, (int, float)) and clip < 0:
        raise InputError(f"trainer.gradient_clip_val={clip}: expected a norm of 0 or more, or null")
    if config["optimizer"].get("_target_", "") is None:
        for key, value in (("gradient_clip_val", None), ("accumulate_grad_batches", 1)):
            if (came := config["trainer"].get(key, value)) != value:
                raise InputError(f"trainer.{key}={came} with optimizer=none: there is no gradient; leave it out")
