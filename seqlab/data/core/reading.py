"""What a source reads: the rows of each split, and what it left out of them."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass
class Reading(Generic[Row]):
    """The rows of a split, and how many were left out of it, by reason."""

    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def before_the_cut(self) -> Counter[str]:
        """What was left out of rows that are cut afterwards, for the first of their splits to tell."""
        return Counter({f"{reason} (before the cut)": count for reason, count in self.left_out.items()})


class RowSource(ABC, Generic[Row]):
    """A source that reads all its splits at once, on first use."""

    @abstractmethod
    def _read_splits(self) -> Mapping[str, Reading[Row]]:
        """What "train", "validation" and "test" hold."""

    @cached_property
    def _splits(self) -> Mapping[str, Reading[Row]]:
        return self._read_splits()

    def read(self, split: str) -> Sequence[Row]:
        """The rows of "train", "validation" or "test"."""
        return self._splits[split].rows

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many rows or lines a split lacks, by reason; of what was cut, "train" tells what was left out before."""
        return self._splits[split].left_out
