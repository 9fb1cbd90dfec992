"""What data modules ask their trainer, and what loaders check before they resume."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl

from seqlab.errors import InputError


def device_of(trainer: pl.Trainer | None) -> tuple[int, int]:
    """The rank of this process and the number of devices; (0, 1) without a trainer."""
    return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)


def batches_trained(trainer: pl.Trainer | None, num_batches: int) -> int:
    """How many batches of an epoch the trainer takes, by its ``limit_train_batches``."""
    limit: Any = None if trainer is None else trainer.limit_train_batches
    if limit is None:
        return num_batches
    return int(num_batches * limit) if isinstance(limit, float) else min(num_batches, limit)


def check_geometry(saved: Mapping[str, Any], geometry: Mapping[str, Any]) -> None:
    """Refuses to resume in the middle of an epoch over other data, or in other batches.

    Args:
        saved: the loader's state in the checkpoint.
        geometry: what the position counts in: sizes of the data and of its batches, by name.

    Raises:
        InputError: a size differs; names each.
    """
    changes = [f"{key} {saved[key]} -> {value}" for key, value in geometry.items() if saved[key] != value]
    if changes:
        raise InputError(
            f"the checkpoint stands in the middle of other data ({', '.join(changes)}): "
            "resume with the data settings that it was trained with"
        )
