"""The sampler and the pruner of a search, built from the sweeper's configuration."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hydra.errors import HydraException
from hydra.utils import instantiate

from seqlab.config.trust import check_definitions
from seqlab.errors import InputError
from seqlab.sweep.space import Space

_HERE: Final = "hydra.sweeper"
_MAX_SEED: Final = 2**32
_KEEP_THEIR_SEED: Final = ("GridSampler", "QMCSampler")
"""Samplers that find their place in a sequence by what the study holds: with another seed it is another sequence."""
_HALVING: Final = ("SuccessiveHalvingPruner", "HyperbandPruner")


def build_sampler(settings: Any, space: Space, num_trials: int) -> Any:
    """Builds the sampler of a search.

    Args:
        settings: its class and arguments.
        space: what is drawn.
        num_trials: how many trials the study has. With the same seed, a sampler would draw its first trials again;
            so the number is added to the seed.

    Raises:
        InputError: the class is not allowed, or an argument is wrong.
    """
    settings = _checked("sampler", settings)
    name = str(settings["_target_"]).rpartition(".")[2]
    seed = settings.get("seed")
    if seed is not None:
        if type(seed) is not int or not 0 <= seed < _MAX_SEED:
            raise InputError(f"{_HERE}.sampler.seed={seed}: expected a whole number from 0, or null")
        if name not in _KEEP_THEIR_SEED:
            settings["seed"] = (seed + num_trials) % _MAX_SEED
    if name == "GridSampler" and "search_space" not in settings:
        settings["search_space"] = _grid(space)
    return _build("sampler", settings)


def _grid(space: Space) -> dict[str, list[Any]]:
    grid: dict[str, list[Any]] = {}
    for key, each in space.drawn.items():
        if each.values is None:
            raise InputError(
                f"{key}={each.text}: a grid needs a list of values or a range; give one, or another sampler"
            )
        grid[key] = each.values
    return grid


def step_of(share: float) -> int:
    """A rung as the step that a pruner sees: in percent of the training.

    Example:
        >>> step_of(0.25)
        25
    """
    return round(100 * share)


def build_pruner(settings: Any, rungs: Sequence[float]) -> Any:
    """Builds the pruner of a search; None where there are no rungs.

    Args:
        settings: its class and arguments; None: the median pruner.
        rungs: the shares of the training at which it decides.

    Raises:
        InputError: there is a pruner without rungs, its class is not allowed, or it does not fit the rungs.
    """
    if settings is not None:
        settings = _checked("pruner", settings)
    if not rungs:
        if settings is not None:
            raise InputError(
                f"{_HERE}.pruner: nothing is pruned without rungs; give the shares of the training at which trials are "
                f"compared, as {_HERE}.rungs=[0.25,0.5], or leave the pruner out"
            )
        return None
    steps = [step_of(share) for share in rungs]
    if len(set(steps)) < len(steps) or 0 in steps:
        raise InputError(f"{_HERE}.rungs: expected shares that differ by a percent of the training or more")
    settings = settings or {"_target_": "optuna.pruners.MedianPruner"}
    if str(settings["_target_"]).rpartition(".")[2] in _HALVING:
        _check_halving(settings, rungs)
    return _build("pruner", settings)


def _check_halving(settings: Mapping[str, Any], rungs: Sequence[float]) -> None:
    """Checks that a pruner that halves does so at the rungs: any other rung would train up to it for nothing."""
    least, factor = settings.get("min_resource"), settings.get("reduction_factor", 4)
    if type(least) is not int or not 0 < least < 100 or type(factor) is not int or factor < 2:
        raise InputError(
            f"{_HERE}.pruner: expected min_resource, the first rung in percent of the training, and reduction_factor "
            f"as whole numbers, as {_HERE}.pruner.min_resource={step_of(rungs[0])} {_HERE}.pruner.reduction_factor=2"
        )
    places = [least * factor**rung for rung in range(8) if least * factor**rung < 100]
    if any(step_of(share) not in places for share in rungs):
        fitting = ",".join(f"{place / 100:g}" for place in places)
        raise InputError(
            f"{_HERE}.rungs=[{','.join(map(str, rungs))}]: with min_resource={least} and reduction_factor={factor} the "
            f"pruner compares at [{fitting}] of the training; give these, or other numbers to the pruner"
        )


def _checked(part: str, settings: Any) -> dict[str, Any]:
    """The settings of a part whose classes are allowed."""
    if isinstance(settings, str):
        raise InputError(
            f"{_HERE}.{part}={settings}: expected the keys of a {part}; did you mean {_GROUP}{part}={settings}?"
        )
    if not isinstance(settings, Mapping) or not isinstance(settings.get("_target_"), str):
        raise InputError(f"{_HERE}.{part}={settings}: expected a {part}, as by {_GROUP}{part}={_EXAMPLES[part]}")
    check_definitions({"hydra": {"sweeper": {part: settings}}})
    return dict(settings)


_GROUP: Final = "hydra/sweeper/"
_EXAMPLES: Final = {"sampler": "tpe", "pruner": "median"}


def _build(part: str, settings: Mapping[str, Any]) -> Any:
    from optuna.exceptions import ExperimentalWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return instantiate(dict(settings), _convert_="all")
    except (HydraException, ValueError, TypeError, ImportError) as error:
        cause = error.__cause__ or error
        raise InputError(f"{_HERE}.{part}: {settings['_target_']}: {' '.join(str(cause).split())}") from error
