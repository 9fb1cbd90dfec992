"""Rows in memory, cut into three splits."""

import random
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from seqlab.data.batch import SPLITS
from seqlab.errors import InputError

Row = TypeVar("Row")


def cut_rows(
    rows: Sequence[Row],
    fractions: tuple[float, float, float],
    seed: int,
    name: str,
    unit: str = "rows",
    same: Callable[[Row], Hashable] | None = None,
) -> dict[str, list[Row]]:
    """Rows shuffled by ``seed`` and cut by ``fractions``; equal on every machine and Python.

    With ``same``, rows of which it says the same stay together in one split (``data.split_unique=true``).

    Raises:
        InputError: a split would be empty; says of what, by ``name``, and of how many ``unit``.

    Example:
        >>> cut_rows(range(8), (0.5, 0.25, 0.25), seed=0, name="numbers")
        {'train': [4, 1, 5, 2], 'validation': [0, 3], 'test': [7, 6]}
    """
    if same is not None:
        groups: dict[Hashable, list[Row]] = {}
        for row in rows:
            groups.setdefault(same(row), []).append(row)
        return cut_groups(list(groups.values()), fractions, seed, name, unit)
    return cut_groups([[row] for row in rows], fractions, seed, name, unit)


def cut_groups(
    groups: Sequence[Sequence[Row]], fractions: tuple[float, float, float], seed: int, name: str, unit: str = "rows"
) -> dict[str, list[Row]]:
    """The same of groups of rows that stay together, cut by ``fractions`` of their rows."""
    shuffled = list(groups)
    random.Random(seed).shuffle(shuffled)
    total = sum(map(len, groups))
    bounds = round(fractions[0] * total), round((fractions[0] + fractions[1]) * total)
    parts: dict[str, list[Row]] = {split: [] for split in SPLITS}
    done = 0
    for group in shuffled:  # a group goes where its middle lies
        middle = done + len(group) / 2
        parts[SPLITS[sum(middle > bound for bound in bounds)]] += group
        done += len(group)
    if not all(parts.values()):
        raise InputError(f"{name}: {total} {unit} are too few to cut into train, validation and test")
    return parts
