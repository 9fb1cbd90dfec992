"""The configuration of ``seqlab train``, for scripts that run beside the command. Torch is not needed."""

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.config.hints import explain
from seqlab.errors import InputError


def compose_config(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What ``seqlab train OVERRIDES`` would run, resolved, as plain values.

    Raises:
        InputError: an override is wrong, or a value has no environment variable that it needs.

    Example:
        >>> compose_config(["experiment=hello", "seed=3"])["seed"]
        3
    """
    try:
        with initialize_config_module("seqlab.conf", version_base="1.3"):
            found = OmegaConf.to_container(compose("train", overrides=list(overrides)), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain(error)) from error
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
