"""What a sweeper is told of tuning: which keys, by which seeds, and where settings are pruned. Torch is not needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.sweep.sweeper_values import check_rungs, is_share, listed

SEED: Final = "seed"
HERE: Final = "hydra.sweeper"


@dataclass(frozen=True)
class Options:
    """What a sweeper is told of tuning.

    Args:
        tune: the keys whose values are chosen within each group.
        fresh_seeds: the seeds with which a chosen setting is trained anew.
        rungs: the shares of the training after which settings are compared, rising.
        keep: the share of the settings that goes on at each rung.

    Raises:
        InputError: a value is wrong, or belongs to tuning where nothing is tuned.
    """

    tune: Sequence[str] = ()
    fresh_seeds: Sequence[int] = ()
    rungs: Sequence[float] = ()
    keep: float = 0.5

    def __post_init__(self) -> None:
        for name in ("fresh_seeds", "rungs"):
            if getattr(self, name) and not self.tune:
                raise InputError(
                    f"{HERE}.{name}={_text(getattr(self, name))}: nothing is tuned; name the keys whose values are to "
                    f"be chosen, as in {HERE}.tune=[optimizer.lr]"
                )
        if SEED in self.tune:
            raise InputError(f"{HERE}.tune: a seed is not tuned; the seeds of the sweep choose among the other keys")
        seeds = list(self.fresh_seeds)
        if not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds) or len(set(seeds)) < len(seeds):
            raise InputError(f"{HERE}.fresh_seeds={_text(seeds)}: expected different whole numbers, as in [4,5,6]")
        check_rungs(self.rungs)
        if not is_share(self.keep):
            raise InputError(f"{HERE}.keep={self.keep}: expected the share of the settings that goes on, as in 0.5")


def _text(values: Sequence[Any]) -> str:
    return f"[{','.join(map(str, values))}]"


def read_options(sweeper: Mapping[str, Any]) -> Options | None:
    """What a sweeper's configuration says of tuning; None if it tunes nothing.

    Raises:
        InputError: as :class:`Options`.
    """
    lists: dict[str, list[Any]] = {name: listed(name, sweeper.get(name)) for name in ("tune", "fresh_seeds", "rungs")}
    options = Options(**lists, keep=sweeper.get("keep", 0.5))
    return options if options.tune else None
