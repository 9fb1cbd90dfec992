"""What a source reads: the rows of each split, and how many it left out."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


@dataclass
class Reading(Generic[Row]):
    """The rows of a split, and how many were left out of it, by reason."""

    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def before_the_cut(self) -> Counter[str]:
        """How many rows were left out before the others were cut; the summary of the first split reports it."""
        return Counter({f"{reason} (before the cut)": count for reason, count in self.left_out.items()})


class RowSource(ABC, Generic[Row]):
    """A source that reads all its splits at once, on first use: it has ``read`` and ``left_out``.

    A subclass defines ``_read_splits``.

    Attributes:
        as_read: a text as the data module reads it, in its letter case and cut to its length; a data module of texts
            sets it, so that rows which are equal to its model are kept in one split where that is asked for.
    """

    as_read: Callable[[str], str] = staticmethod(str)

    @abstractmethod
    def _read_splits(self) -> Mapping[str, Reading[Row]]:
        """Reads "train", "validation" and "test": for each a :class:`Reading` of its rows."""

    @cached_property
    def _splits(self) -> Mapping[str, Reading[Row]]:
        return self._read_splits()

    def read(self, split: str) -> Sequence[Row]:
        """The rows of "train", "validation" or "test"."""
        return self._splits[split].rows

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many rows or lines were left out of a split, by reason; "train" includes those left out before a cut."""
        return self._splits[split].left_out


class EmbeddedSource:
    """A source that reads no files: its rows are made by a program, or come with a package."""

    def files(self) -> list[Path]:
        """An empty list."""
        return []


def left_out_of(source: Any, split: str) -> Mapping[str, int]:
    """What a source left out of a split, by reason; empty for a user's own source without ``left_out``."""
    return source.left_out(split) if hasattr(source, "left_out") else {}
