"""Where labelled texts come from: an example, tables, a file a class. ``hub`` has Hugging Face data sets."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import Cut, cut_rows, few
from seqlab.data.core.labels import LabelNames
from seqlab.data.core.reading import EmbeddedSource, Reading, RowSource
from seqlab.data.core.summary import counted
from seqlab.data.formats.paths import Files, Paths, expand_paths
from seqlab.data.formats.sources import FileRows, FileSource
from seqlab.data.formats.tables import (
    LabelledText,
    TableFormat,
    is_separated,
    read_table,
    warn_of_surrogates,
    without_surrogates,
)
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

Ignored = str | int | float | Sequence[str | int | float] | None
"""A label or several whose rows are left out; None: no row is."""


class LabelledSource(Protocol):
    """The contract of a source of labelled texts.

    A source may also have ``files()``, the files that it reads, and ``left_out(split)``, how many rows it left out, by
    reason.
    """

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[LabelledText]:
        """The rows of "train", "validation" or "test"."""


class TinySentiment(EmbeddedSource):
    """Four plain sentences, two of each class, and two test sentences of words that occur in the four.

    They stand for a lecture's example of that size; the wording is this project's own. Validation repeats training,
    because there is nothing else to choose a checkpoint by.

    Example:
        >>> [(row.text, row.label) for row in TinySentiment().read("test")]
        [('I love this story', 'positive'), ('what a boring film', 'negative')]
    """

    train = (
        ("I love this film", "positive"),
        ("what a wonderful story", "positive"),
        ("I hate this film", "negative"),
        ("what a boring story", "negative"),
    )
    test = (("I love this story", "positive"), ("what a boring film", "negative"))

    def __str__(self) -> str:
        return "the four sentences"

    def read(self, split: str) -> Sequence[LabelledText]:
        """The four sentences, or the two of "test"."""
        rows = self.test if split == "test" else self.train
        return [LabelledText(text, label, f"sentence {i + 1}") for i, (text, label) in enumerate(rows)]


class LabelledTables(FileRows[LabelledText]):
    """Tables with a column of texts and a column of labels: csv, tsv, jsonl or parquet, by the file's ending.

    Unless ``form`` says otherwise, csv and tsv begin with a line of column names, and values may stand in double quotes
    as in spreadsheets. Their values are text as written. All files but parquet may be in any encoding, and all may be
    packed by gzip. A lone surrogate of jsonl reads as U+FFFD, with a log line.

    Args:
        files: the tables of each split; or those of one set (``path``), which is cut so that each split has its share
            of every class.
        form: the columns, and how the tables are written.
        cut: how one set is cut; equal rows are rows with equal texts.
        ignore_label: rows with this label, or one of these labels, are left out and counted; None: no row is.

    Raises:
        InputError: both or neither of ``path`` and the three splits are given, or an option is wrong; on first use: a
            file is broken, a row has too many or too few columns, or lacks its text or label.
    """

    def __init__(
        self,
        files: Files | Paths = Files(),
        form: TableFormat = TableFormat(),
        cut: Cut = Cut(),
        ignore_label: Ignored = None,
    ) -> None:
        self._files = Files.of(files).expanded("labelled texts", ", or data.hub=NAME")
        self._form, self._cut = form, cut
        cut.check_use("path" in self._files)
        self._ignored = ignored_labels(ignore_label)
        options = [name for name, value in form.of_separated().items() if value is not None]
        if options and not any(is_separated(file, form) for file in self.files()):
            raise InputError(f"data.{options[0]} is for csv, tsv and their like, and {self} is none of them")

    def _cut_set(self, whole: Reading[LabelledText]) -> dict[str, Reading[LabelledText]]:
        return cut_reading(whole, self._cut, str(self), same_text(self.as_read))

    def _read_files(self) -> dict[str, Reading[LabelledText]]:
        names = LabelNames(self._form.label)
        surrogates: list[tuple[str, int]] = []  # places, and how many each has
        readings = {name: self._read(files, names, surrogates) for name, files in self._files.items()}
        warn_of_surrogates(str(self), surrogates)
        warn_of_unused(self._ignored, [reading.left_out for reading in readings.values()])
        return readings

    def _read(
        self, files: Sequence[Path], names: LabelNames, surrogates: list[tuple[str, int]]
    ) -> Reading[LabelledText]:
        reading = Reading[LabelledText]()
        for file in files:
            for row in read_table(file, self._form, names):
                (text, in_text), (label, in_label) = map(without_surrogates, (row.text, row.label))
                if in_text or in_label:
                    surrogates.append((row.place, in_text + in_label))
                    row = LabelledText(text, label, row.place)
                if row.label in self._ignored:
                    reading.left_out[f"rows labelled {row.label}"] += 1
                else:
                    reading.rows.append(row)
        return reading


def ignored_labels(value: Ignored) -> frozenset[str]:
    """The names of the classes that ``data.ignore_label`` leaves out.

    Example:
        >>> sorted(ignored_labels([-1, "unknown"])), ignored_labels(None)
        (['-1', 'unknown'], frozenset())
    """
    labels = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
    return frozenset(LabelNames("ignore_label").name(label, "data.ignore_label", written=True) for label in labels)


def warn_of_unused(ignored: Collection[str], left_out: Sequence[Mapping[str, int]]) -> None:
    """Warns of each ignored label that no row has."""
    for label in sorted(ignored):
        if not any(f"rows labelled {label}" in counts for counts in left_out):
            log.warning("data.ignore_label: no row is labelled %r", label)


def same_text(as_read: Callable[[str], str]) -> Callable[[LabelledText], str]:
    """A key of rows: their texts as they are read, however spaced. Rows that share it are equal to a reader."""
    return lambda row: " ".join(as_read(row.text).split())


def cut_reading(
    whole: Reading[LabelledText],
    cut: Cut,
    name: str,
    same: Callable[[LabelledText], str],
    shares: Mapping[str, float] | None = None,
) -> dict[str, Reading[LabelledText]]:
    """Shuffles and cuts rows, so that each split has its share of every class.

    Args:
        whole: the rows to cut.
        cut: how they are cut.
        name: where the rows come from, for messages.
        same: a key that is equal for rows that ``cut.split_unique`` keeps together.
        shares: the share of each split, training first; None: those of ``cut``, for all three.

    Returns:
        The rows of each split. The first also has what was left out before the cut.

    Raises:
        InputError: there are too few rows.
    """
    shares = shares or dict(zip(SPLITS, cut.split, strict=True))
    splits = list(shares)
    if len(whole.rows) < len(splits) and whole.left_out:
        omitted = ", ".join(counted(count, reason) for reason, count in whole.left_out.items())
        into = f"{', '.join(splits[:-1])} and {splits[-1]}"
        reason = f"data.ignore_label or hidden labels left out {omitted}"
        raise InputError(f"{name}: {few(len(whole.rows), 'rows')} to cut into {into}, for {reason}")
    parts = cut_rows(
        whole.rows,
        list(shares.values()),
        cut.split_seed,
        name,
        same=same if cut.split_unique else None,
        stratum=lambda row: row.label,
        splits=splits,
    )
    readings = {split: Reading(rows) for split, rows in parts.items()}
    readings[splits[0]].left_out = whole.before_the_cut()
    return readings


class LabelledLines(FileSource, RowSource[LabelledText]):
    """Plain or gzip text files, one text a line, one file a class; shuffled, then cut into three splits.

    The cut ignores the classes, so that the test texts are those of published figures.

    Args:
        files: the file of each class, by the class's name.
        cut: how the texts are cut; equal rows are rows with equal texts.
        encoding: the files' encoding.

    Raises:
        InputError: a file is missing, or two classes have the same one; on first use: a file is broken.
    """

    def __init__(self, files: Mapping[str, str | Path], cut: Cut = Cut(), encoding: str = "utf-8") -> None:
        self._cut, self._encoding = cut, encoding
        self._files = {label: expand_paths(file, f"the file of {label}")[:1] for label, file in files.items()}
        if len({file.resolve() for file in self.files()}) < len(self._files):
            raise InputError(f"{self}: two labels have the same file; give each its own")

    def __str__(self) -> str:
        return ", ".join(map(str, self.files()))

    def _read_splits(self) -> dict[str, Reading[LabelledText]]:
        rows = [
            LabelledText(line, label, f"{file}:{number}")
            for label, (file,) in self._files.items()
            for number, line in enumerate(read_lines(file, self._encoding), start=1)
        ]
        same = same_text(self.as_read) if self._cut.split_unique else None
        parts = cut_rows(rows, self._cut.split, self._cut.split_seed, str(self), same=same)
        return {split: Reading(part) for split, part in parts.items()}
