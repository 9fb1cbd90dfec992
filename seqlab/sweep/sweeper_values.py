"""Values of ``hydra.sweeper`` that the sweepers of grids and of searches share."""

from collections.abc import Sequence
from typing import Any, Final

from seqlab.errors import InputError

_HERE: Final = "hydra.sweeper"


def check_rungs(rungs: Sequence[Any]) -> list[float]:
    """The shares of the training at which a sweep compares runs.

    Raises:
        InputError: they are no rising shares.

    Example:
        >>> check_rungs([0.25, 0.5])
        [0.25, 0.5]
    """
    shares = list(rungs)
    if not all(is_share(share) for share in shares) or shares != sorted(set(shares)):
        text = f"[{','.join(map(str, shares))}]"
        raise InputError(
            f"{_HERE}.rungs={text}: expected rising shares of the training, above 0 and below 1, as in [0.25,0.5]"
        )
    return shares


def is_share(value: Any) -> bool:
    """Whether a value is a number above 0 and below 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1


def listed(name: str, value: Any) -> list[Any]:
    """A list of the sweeper's configuration.

    Raises:
        InputError: it is a single value.
    """
    if value is None:
        return []
    if isinstance(value, (str, int, float)):
        raise InputError(f"{_HERE}.{name}={value}: expected a list, as in [{value}]")
    return list(value)
