"""Rungs: the moments at which a sweep compares runs that have not ended, to go on with the better ones alone.

A run is paused at the end of the first validation at or after a share of its steps. Its checkpoint and its record keep
what a rung needs: where it was, and the judged metric there. Torch is not needed.
"""

from collections.abc import Mapping
from typing import Any

from seqlab.errors import InputError
from seqlab.run.folder import RunFolder
from seqlab.run.state import State


class Paused(BaseException):
    """The run has reached a rung. Not an :class:`Exception`, so no ``except Exception`` takes it for an error.

    Args:
        rung: ``share`` of the training that the rung is at, ``step`` of ``steps`` that the run has trained, and
            ``value`` of the judged metric at the validation there.
    """

    def __init__(self, rung: Mapping[str, Any]) -> None:
        super().__init__(f"step {rung['step']} of {rung['steps']}")
        self.rung = dict(rung)


def unsteady(place: str, share: float, *, changed: int | None = None, warms_up: bool = False) -> InputError:
    """The error of a schedule that does not suit a rung, at ``place`` in the training.

    Args:
        place: where the rung is, such as "at step 10".
        share: the share of the training that the last rung is at.
        changed: the step, from 0, at which the rate first differs from that after the warm-up; None: unknown.
        warms_up: whether the warm-up is not over there; else the rate has changed before.
    """
    if warms_up:
        return InputError(
            f"hydra.sweeper.rungs: {place}, where runs are compared, the warm-up of the rate is not over: give a "
            "smaller scheduler.warmup_steps, or a later first rung"
        )
    return InputError(
        f"hydra.sweeper.rungs: {place}, where runs are compared, the schedule has changed the rate"
        f"{'' if changed is None else f', from step {changed + 1} on'}, and runs in the middle of a decay are no guide "
        f"to how they end: take scheduler=wsd with a scheduler.decay_from of {share:g} or more, whose rate is constant "
        "until then, or scheduler=constant"
    )


def late(step: int, share: float) -> InputError:
    """The error of a rung whose first validation, at ``step``, comes after the rate has begun to fall."""
    return InputError(
        f"hydra.sweeper.rungs: the first validation after {100 * share:g} % of the steps is at step {step}, where the "
        "rate has begun to fall: validate more often, by trainer.val_check_interval, or begin the decay later, by "
        "scheduler.decay_from"
    )


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


def find_rung(run: RunFolder, share: float) -> tuple[State, dict[str, Any]] | None:
    """The state of a run that has come to a rung, and where it was there; None if it has not.

    A run and the one that is to replace it are two: they may be of different code, so neither stands for the other.

    Raises:
        InputError: the run cannot be read.
    """
    state = run.state()
    rung = rung_at(state.record, share)
    return None if rung is None else (state, rung)
