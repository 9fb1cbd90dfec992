"""Rungs: the moments at which a sweep compares runs that have not ended, to go on with the better ones alone.

A run is paused at the end of the first validation at or after a share of its steps. Its checkpoint and its record keep
what a rung needs: where it was, and the judged metric there. Torch is not needed.
"""

from collections.abc import Mapping
from typing import Any


class Paused(BaseException):
    """The run has reached a rung. Not an :class:`Exception`, so no ``except Exception`` takes it for an error.

    Args:
        share: the share of the training that the rung is at.
        step: the optimizer steps that the run has trained.
        steps: those of its whole training.
        value: the judged metric at the validation there.
    """

    def __init__(self, share: float, step: int, steps: int, value: float) -> None:
        super().__init__(f"step {step} of {steps}")
        self.rung: dict[str, Any] = {"share": share, "step": step, "steps": steps, "value": value}


def find_paused(error: BaseException | None) -> Paused | None:
    """The pause that an exception is, or was raised over; None if there is none."""
    while error is not None and not isinstance(error, Paused):
        error = error.__context__
    return error


def rung_at(record: Mapping[str, Any], share: float) -> dict[str, Any] | None:
    """Where a run was at a rung; None if it was not paused there.

    Args:
        record: the run's record.
        share: the share of the training that the rung is at.

    Example:
        >>> rung = {"share": 0.25, "step": 200, "steps": 800, "value": 1.5}
        >>> rung_at({"rungs": [rung]}, 0.25)["value"], rung_at({"rungs": [rung]}, 0.5)
        (1.5, None)
    """
    rungs: list[dict[str, Any]] = record.get("rungs") or []
    return next((rung for rung in reversed(rungs) if rung["share"] == share), None)
