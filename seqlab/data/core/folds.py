"""Folds of cross-validation: each in turn is the test, of rows in memory."""

import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import cut_rows, few
from seqlab.data.core.options import check_whole_number
from seqlab.errors import InputError

Row = TypeVar("Row")


@dataclass(frozen=True)
class Folds:
    """Which fold of a cross-validation is the test; validation is cut from the others, and training has the rest.

    Args:
        folds: how many folds there are; None: no cross-validation.
        fold: the fold that is the test, from 0.
        validation_share: the share of the other folds' rows that validation gets.
        split_seed: of the dealing, which runs of different seeds and folds share.

    Raises:
        InputError: an option is out of range, or ``fold`` is given without ``folds``.
    """

    folds: int | None = None
    fold: int | None = None
    validation_share: float = 0.1
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.folds is None:
            if self.fold is not None:
                raise InputError(f"data.fold={self.fold} is for a cross-validation: give data.folds too, such as 10")
            return
        check_whole_number("data.folds", self.folds, 2)
        if self.fold is None:
            raise InputError(
                f"data.folds={self.folds}: give data.fold too, the fold that is the test, from 0 to {self.folds - 1}"
            )
        if check_whole_number("data.fold", self.fold, 0) >= self.folds:
            raise InputError(f"data.fold={self.fold} must be from 0 to {self.folds - 1}, for data.folds={self.folds}")
        share = self.validation_share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise InputError(f"data.validation_share={share} must be a share above 0 and below 1")

    def cut(
        self,
        rows: Sequence[Row],
        name: str,
        same: Callable[[Row], Hashable] | None,
        stratum: Callable[[Row], Hashable],
    ) -> dict[str, list[Row]]:
        """Deals rows into folds and gives the three splits; every fold has its share of each stratum.

        Args:
            rows: the rows.
            name: where they come from, for messages.
            same: a key of a row; rows with equal keys stay in one fold and in one split. None: each row is alone.
            stratum: another key of a row, such as its class.

        Returns:
            The rows of "train", "validation" and "test".

        Raises:
            InputError: there are too few rows.
        """
        assert self.folds is not None and self.fold is not None
        numbers = deal(rows, self.folds, self.split_seed, same, stratum)
        test = [row for row, number in zip(rows, numbers, strict=True) if number == self.fold]
        others = [row for row, number in zip(rows, numbers, strict=True) if number != self.fold]
        if not test or len(others) < 2:
            raise InputError(f"{name}: {_few(rows, same)} for data.folds={self.folds}")
        share = self.validation_share
        try:
            parts = cut_rows(
                others, (1 - share, share), self.split_seed, name, same=same, stratum=stratum, splits=SPLITS[:2]
            )
        except InputError as error:
            mend = "give another share, or more rows"
            raise InputError(
                f"{name}: {_few(others, same)} beside fold {self.fold} for train and validation with "
                f"data.validation_share={share}; {mend}"
            ) from error
        return {**parts, "test": test}


def _few(rows: Sequence[Row], same: Callable[[Row], Hashable] | None) -> str:
    return few(len(rows) if same is None else len(set(map(same, rows))), "different rows")


def deal(
    rows: Sequence[Row],
    folds: int,
    seed: int,
    same: Callable[[Row], Hashable] | None,
    stratum: Callable[[Row], Hashable],
) -> list[int]:
    """The fold of each row, the same on every machine.

    Groups of rows with equal keys are shuffled, larger ones first, and each goes to the fold that has the fewest rows
    of its stratum so far; of several to the one with the fewest rows. The stratum of a group is its commonest.

    Args:
        rows: the rows.
        folds: how many folds there are.
        seed: of the shuffling.
        same: a key of a row; None: each row is alone.
        stratum: another key of a row.

    Example:
        >>> deal("aAbBcd", 2, seed=0, same=str.lower, stratum=str.isalpha)
        [0, 0, 1, 1, 0, 1]
    """
    groups: dict[Hashable, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(number if same is None else same(row), []).append(number)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    order.sort(key=len, reverse=True)  # stable, so that groups of a size stay shuffled
    of_stratum: dict[Hashable, list[int]] = {}
    totals = [0] * folds
    fold_of = [0] * len(rows)
    for members in order:
        commonest = Counter(stratum(rows[number]) for number in members).most_common(1)[0][0]
        counts = of_stratum.setdefault(commonest, [0] * folds)
        fold = min(range(folds), key=lambda each: (counts[each], totals[each], each))
        for number in members:
            fold_of[number] = fold
        counts[fold] += len(members)
        totals[fold] += len(members)
    return fold_of
