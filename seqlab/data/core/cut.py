"""The shares of three splits, and how rows in memory are cut by them."""

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.summary import agree, counted
from seqlab.errors import InputError

Row = TypeVar("Row")

DEFAULT_SPLIT = (0.9, 0.05, 0.05)
"""The shares of train, validation and test of a text or of sentence pairs."""
LABELLED_SPLIT = (0.8, 0.1, 0.1)
"""The shares of train, validation and test of rows with labels or tags."""


def check_fractions(split: Sequence[float]) -> tuple[float, float, float]:
    """Checks that ``data.split`` is three positive shares that add up to one, and returns them as floats.

    Raises:
        InputError: it is not.
    """
    try:
        shares = tuple(float(share) for share in split)
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or not all(share > 0 for share in shares) or not abs(sum(shares) - 1) <= 1e-6:  # true for NaN
        shown = split if isinstance(split, str) or not isinstance(split, Sequence) else list(split)
        raise InputError(
            f"data.split={shown} must be three positive fractions (train, validation, test) that add up to 1, "
            "such as [0.9,0.05,0.05]"
        )
    return shares[0], shares[1], shares[2]


@dataclass(frozen=True)
class Cut:
    """How rows of one set are shuffled and cut into three splits.

    Args:
        split: the shares of train, validation and test.
        split_seed: of the shuffling, which runs of different seeds share.
        split_unique: whether equal rows stay in one split.

    Raises:
        InputError: ``split`` is not three shares, or ``split_unique`` neither true nor false.
    """

    split: Sequence[float] = LABELLED_SPLIT
    split_seed: int = 0
    split_unique: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "split", check_fractions(self.split))
        if not isinstance(self.split_unique, bool):
            raise InputError(f"data.split_unique={self.split_unique} must be true or false")

    def check_use(self, is_cut: bool) -> None:
        """Refuses ``split_unique`` where nothing is cut.

        Args:
            is_cut: whether rows are cut.

        Raises:
            InputError: ``split_unique`` is true, and each split has rows of its own.
        """
        if self.split_unique and not is_cut:
            raise InputError(
                "data.split_unique=true is for rows that are cut, and each split has its own: leave it out"
            )


def cut_rows(
    rows: Sequence[Row],
    fractions: Sequence[float],
    seed: int,
    name: str,
    unit: str = "rows",
    same: Callable[[Row], Hashable] | None = None,
    stratum: Callable[[Row], Hashable] | None = None,
    splits: Sequence[str] = SPLITS,
) -> dict[str, list[Row]]:
    """Shuffles and cuts rows, the same on every machine and Python.

    Args:
        rows: the rows to cut.
        fractions: the share of each split.
        seed: of the shuffling.
        name: where the rows come from, for messages.
        unit: what the rows are, in the plural, for messages.
        same: a key of a row; rows with equal keys stay in one split (``data.split_unique=true``). None: each row is
            alone.
        stratum: another key of a row; the rows with each key are cut by ``fractions`` too, as evenly as whole rows
            allow. At least one goes to the first split, so that no class is missing from training. None: no strata.
        splits: the names of the splits.

    Returns:
        The rows of each split.

    Raises:
        InputError: a split would be empty.

    Example:
        >>> cut_rows(range(8), (0.5, 0.25, 0.25), seed=0, name="numbers")
        {'train': [4, 1, 5, 2], 'validation': [0, 3], 'test': [7, 6]}
        >>> cut_rows("aaaabbbb", (0.5, 0.25, 0.25), seed=0, name="letters", stratum=str)
        {'train': ['b', 'a', 'b', 'a'], 'validation': ['a', 'b'], 'test': ['a', 'b']}
    """
    groups: list[list[Row]] = [[row] for row in rows]
    if same is not None:
        together: dict[Hashable, list[Row]] = {}
        for row in rows:
            together.setdefault(same(row), []).append(row)
        groups = list(together.values())
    if stratum is not None:
        parts = _cut_strata(groups, fractions, seed, [stratum(group[0]) for group in groups], splits)
        if all(parts.values()):
            return parts
    parts = _cut_in_order(groups, fractions, seed, splits)
    if len(groups) < len(rows) and len(splits) <= len(rows) and not all(parts.values()):
        mend = "; give the smallest splits larger shares by data.split=" if len(splits) <= len(groups) else ""
        raise InputError(
            f"{name}: {len(rows)} {unit}, of which {len(groups)} differ, are too few to cut into "
            f"{_listed(splits)} with data.split_unique=true{mend}"
        )
    return _without_empty_split(parts, name, unit)


def few(count: int, unit: str) -> str:
    """For a message: that this number of things, whose name is in the plural, is too small."""
    return f"{counted(count, unit)} {agree(count, 'is', 'are')} too few"


def cut_groups(
    groups: Sequence[Sequence[Row]],
    fractions: Sequence[float],
    seed: int,
    name: str,
    unit: str = "rows",
    splits: Sequence[str] = SPLITS,
) -> dict[str, list[Row]]:
    """Shuffles groups of rows and cuts them so that the splits have these ``fractions`` of the rows.

    Args:
        groups: groups of rows; each stays whole.
        fractions, seed, name, unit, splits: see :func:`cut_rows`.

    Returns:
        The rows of each split.

    Raises:
        InputError: a split would be empty.
    """
    return _without_empty_split(_cut_in_order(groups, fractions, seed, splits), name, unit)


def _cut_in_order(
    groups: Sequence[Sequence[Row]], fractions: Sequence[float], seed: int, splits: Sequence[str]
) -> dict[str, list[Row]]:
    """The splits, each with its share of the shuffled rows. A split can be empty."""
    shuffled = list(groups)
    random.Random(seed).shuffle(shuffled)
    total = sum(map(len, groups))
    bounds = [round(sum(fractions[: i + 1]) * total) for i in range(len(splits) - 1)]
    parts: dict[str, list[Row]] = {split: [] for split in splits}
    taken = 0
    for group in shuffled:  # a group goes to the split in which its middle lies
        middle = taken + len(group) / 2
        parts[splits[sum(middle > bound for bound in bounds)]] += group
        taken += len(group)
    return parts


def _without_empty_split(parts: dict[str, list[Row]], name: str, unit: str) -> dict[str, list[Row]]:
    if not all(parts.values()):
        total = sum(map(len, parts.values()))
        raise InputError(f"{name}: {few(total, unit)} to cut into {_listed(list(parts))}")
    return parts


def _listed(splits: Sequence[str]) -> str:
    return f"{', '.join(splits[:-1])} and {splits[-1]}"


def _cut_strata(
    groups: Sequence[Sequence[Row]],
    fractions: Sequence[float],
    seed: int,
    strata: Sequence[Hashable],
    splits: Sequence[str],
) -> dict[str, list[Row]]:
    """The splits, each with its share of each stratum. A split can be empty.

    Smaller strata come first. Where their whole rows exceed a split's share, the larger strata give it fewer rows.
    """
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)
    members: dict[Hashable, list[int]] = {}
    for number in order:
        members.setdefault(strata[number], []).append(number)
    split_of: dict[int, int] = {}
    lack = [0.0] * len(splits)  # the rows that each split still lacks of its share of the strata so far
    for numbers in sorted(members.values(), key=lambda stratum: sum(len(groups[number]) for number in stratum)):
        size = sum(len(groups[number]) for number in numbers)
        lack = [before + size * share for before, share in zip(lack, fractions, strict=True)]
        counts = _whole(lack, size)
        bounds = [sum(counts[: i + 1]) for i in range(len(splits) - 1)]
        taken = 0
        for number in numbers:
            middle = taken + len(groups[number]) / 2
            at = 0 if taken == 0 else sum(middle > bound for bound in bounds)
            split_of[number] = at
            lack[at] -= len(groups[number])
            taken += len(groups[number])
    parts: dict[str, list[Row]] = {split: [] for split in splits}
    for number in order:
        parts[splits[split_of[number]]] += groups[number]
    return parts


def _whole(shares: Sequence[float], size: int) -> list[int]:
    """Whole numbers as near as possible to the ``shares``, whose sum is ``size``; the first is at least 1."""
    counts = [max(int(share + 1e-9), 0) for share in shares]
    counts[0] = max(counts[0], 1)
    while sum(counts) != size:
        step = 1 if sum(counts) < size else -1
        able = [i for i, count in enumerate(counts) if step > 0 or count > (i == 0)]
        counts[max(able, key=lambda i: step * (shares[i] - counts[i]))] += step
    return counts
