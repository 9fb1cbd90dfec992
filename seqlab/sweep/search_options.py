"""The options of a search, and whether a sweep is one. Optuna is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf

from seqlab.config.compose import judged_by
from seqlab.config.metrics import resolve_mode
from seqlab.errors import InputError
from seqlab.sweep.sweeper_values import check_rungs, listed

TARGET: Final = "hydra_plugins.seqlab.OptunaSweeper"
"""The name of the sweeper's class in a configuration; see :mod:`seqlab.sweep.sweeper`."""

_HERE: Final = "hydra.sweeper"
_KEYS: Final = (
    *("_target_", "_recursive_", "study_name", "storage", "direction", "n_trials", "n_jobs", "max_failure_rate"),
    *("sampler", "pruner", "rungs", "params"),
)


def is_search(config: DictConfig) -> bool:
    """Whether Optuna decides what the jobs are."""
    return str(config.hydra.sweeper.get("_target_")) == TARGET


def direction(metric: str, mode: str | None) -> str:
    """Optuna's word for the direction of the judged metric.

    Example:
        >>> direction("val/loss", None), direction("val/mine", "max")
        ('minimize', 'maximize')
    """
    return {"min": "minimize", "max": "maximize"}[resolve_mode(metric, mode)]


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search, as in ``conf/hydra/sweeper/optuna.yaml``.

    Raises:
        InputError: a value is wrong.
    """

    study_name: str
    storage: str | None
    direction: str
    n_trials: int
    n_jobs: int
    max_failure_rate: float
    sampler: Any
    pruner: Any
    rungs: list[float]
    params: Mapping[str, Any]

    @classmethod
    def of(cls, config: DictConfig) -> "SearchOptions":
        """Those of a composed configuration."""
        sweeper: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        if unknown := [key for key in sweeper if key not in _KEYS]:
            raise InputError(f"{_HERE}.{unknown[0]}: a search has no such option; it has {', '.join(_KEYS[2:])}")
        rungs = check_rungs(listed("rungs", sweeper.get("rungs")))
        names = [key for key in _KEYS[2:] if key not in ("rungs", "params", "pruner")]
        options = cls(
            **{name: sweeper.get(name) for name in names},
            rungs=rungs,
            pruner=sweeper.get("pruner"),
            params=sweeper.get("params") or {},
        )
        options._check(*judged_by(config))
        return options

    def _check(self, metric: str, mode: str) -> None:
        for name in ("n_trials", "n_jobs"):
            if type(value := getattr(self, name)) is not int or value < 1:
                raise InputError(f"{_HERE}.{name}={value}: expected a whole number from 1")
        rate = self.max_failure_rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise InputError(f"{_HERE}.max_failure_rate={rate}: expected a share of the trials, from 0 to 1")
        if not isinstance(self.study_name, str) or not self.study_name:
            raise InputError(f"{_HERE}.study_name={self.study_name}: expected a name")
        if self.storage is not None and not isinstance(self.storage, str):
            raise InputError(f"{_HERE}.storage={self.storage}: expected the address of a database, or null")
        if self.direction != (expected := direction(metric, mode)):
            raise InputError(
                f"{_HERE}.direction={self.direction}: the search would {self.direction} {metric}, whose mode is "
                f"{mode}; leave it out for {expected}, or give the mode by optimize.mode"
            )
