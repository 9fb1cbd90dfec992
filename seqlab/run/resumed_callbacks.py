"""Callbacks of a user's own in a run that goes on."""

import logging
from collections.abc import Sequence
from typing import Final

import lightning.pytorch as pl

log = logging.getLogger("seqlab")

_OTHERS: Final = ("seqlab.", "lightning.", "pytorch_lightning.")


def warn_of_forgetful(callbacks: Sequence[pl.Callback]) -> None:
    """Warns of callbacks with attributes that no checkpoint keeps: what they have counted begins anew.

    Args:
        callbacks: those of a run that goes on from a checkpoint.
    """
    names = [
        type(each).__name__
        for each in callbacks
        if vars(each)
        and type(each).state_dict is pl.Callback.state_dict
        and not f"{type(each).__module__}.".startswith(_OTHERS)
    ]
    for name in names:
        log.warning(
            "the callback %s goes on as it was made, for it has no state_dict: if it counts, draws or averages, define "
            "state_dict and load_state_dict, and begin the run anew",
            name,
        )
