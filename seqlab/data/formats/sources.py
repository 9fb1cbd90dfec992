"""Sources that read files, and what they share: which files they are, and how one set is cut into splits."""

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from seqlab.data.core.cut import Cut, cut_rows
from seqlab.data.core.inputs import flat
from seqlab.data.core.reading import Reading, RowSource

Row = TypeVar("Row")


class FileSource:
    """A source that reads files: it has ``__str__`` and ``files()``.

    A subclass sets ``_files``, the files of "path" or of each split, by :meth:`Files.expanded`.
    """

    _files: Mapping[str, Sequence[Any]]

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files)

    @property
    def left_out_for_test(self) -> str | None:
        """What a test of its own takes the place of, in words; None where there is none beside one set."""
        return "the test share of data.path is left out" if {"path", "test"} <= self._files.keys() else None


class FileRows(FileSource, RowSource[Row]):
    """A source of rows in files: those of one set, which is cut, those of a set and of a test, or those of each split.

    A subclass sets ``_files`` and ``_cut``, and defines ``_read_files``; where equal rows can be kept in one split,
    also ``_key``.

    Attributes:
        unit: what the rows are, in the plural, for messages.
    """

    unit: ClassVar[str] = "rows"
    _cut: Cut

    @abstractmethod
    def _read_files(self) -> dict[str, Reading[Row]]:
        """Reads the files of each name in ``_files``."""

    def _key(self, row: Row) -> Hashable:
        """What rows share that ``split_unique`` keeps in one split."""
        raise NotImplementedError

    def _cut_set(self, whole: Reading[Row]) -> dict[str, Reading[Row]]:
        """The three splits of one set; "train" also has what was left out before the cut.

        Raises:
            InputError: there are too few rows.
        """
        cut, same = self._cut, self._key if self._cut.split_unique else None
        parts = cut_rows(whole.rows, cut.split, cut.split_seed, str(self), self.unit, same)
        splits = {split: Reading(rows) for split, rows in parts.items()}
        splits["train"].left_out = whole.before_the_cut()
        return splits

    def _read_splits(self) -> Mapping[str, Reading[Row]]:
        readings = self._read_files()
        if "path" not in readings:
            return readings
        splits = self._cut_set(readings["path"])
        if "test" in readings:
            test = readings["test"]
            test.left_out[f"{self.unit} of the test share of data.path"] = len(splits["test"].rows)
            splits["test"] = test
        return splits
