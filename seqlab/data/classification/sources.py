"""Where labelled texts come from: an embedded example, tables, a file a class, and the Hugging Face hub."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import LABELLED_SPLIT, check_fractions, check_split_unique, cut_rows, few
from seqlab.data.core.examples import read_lines
from seqlab.data.core.inputs import flat
from seqlab.data.core.labels import LabelNames
from seqlab.data.core.summary import counted
from seqlab.data.formats.hub_rows import HubRows, check_text_column, select_columns
from seqlab.data.formats.tables import (
    LabelledText,
    TableFormat,
    is_separated,
    labelled_row,
    read_table,
    without_surrogates,
)
from seqlab.data.formats.text import Paths, expand_paths, files_of_splits
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

Ignored = str | int | float | Sequence[str | int | float] | None


class LabelledSource(Protocol):
    """Three splits of labelled texts. One that leaves rows out says how many by ``left_out(split)``."""

    def __str__(self) -> str:
        """What the source is, for messages."""

    def read(self, split: str) -> Sequence[LabelledText]:
        """The examples of "train", "validation" or "test"."""


class TinySentiment:
    """Four plain sentences, two of each kind, and two test sentences of words that occur in the four.

    They stand for a lecture's example of that size; the wording is this project's own. Validation repeats training, as
    there is nothing else to choose by.

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

    def files(self) -> list[Path]:
        """None: it is made here, or comes with a package."""
        return []

    def read(self, split: str) -> Sequence[LabelledText]:
        """The four sentences, or the two of "test"."""
        rows = self.test if split == "test" else self.train
        return [LabelledText(text, label, f"sentence {i + 1}") for i, (text, label) in enumerate(rows)]


@dataclass
class Reading:
    """What a source gave for a split: its rows, and how many it left out, by reason."""

    rows: list[LabelledText] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


class LabelledTables:
    """Tables with a column of texts and a column of labels: csv, tsv, jsonl or parquet, by the file's ending.

    Csv and tsv begin with a line of column names and may have double quotes around values, as spreadsheets write them;
    ``separator``, ``header`` and ``quoting`` say otherwise. All but parquet may be in any encoding, all may be gzip.
    What csv and tsv hold is text as written. A lone surrogate of jsonl reads as U+FFFD, with a log line.

    Args:
        path: a file, a pattern or a list of these; shuffled, then cut into the three splits, each with its share of
            every class.
        train: the same for the training split; then ``validation`` and ``test`` are needed too.
        validation: the same for the validation split.
        test: the same for the test split.
        text: the column of texts.
        label: the column of labels.
        split: shares of train, validation and test when ``path`` is given.
        split_seed: of the shuffling before the cut.
        encoding: the files' encoding (parquet has none).
        separator, header, quoting: of separated values; see :class:`~seqlab.data.formats.tables.TableFormat`.
        ignore_label: rows with this label, or one of a list of these, are left out and counted; None: none is.
        split_unique: rows of equal texts stay in one split when ``path`` is given.

    Raises:
        InputError: both or neither of ``path`` and the three are given, or an option is wrong; on first use: a file is
            broken, a row has too many or too few columns, or lacks its text or label.
    """

    def __init__(
        self,
        path: Paths | None = None,
        train: Paths | None = None,
        validation: Paths | None = None,
        test: Paths | None = None,
        text: str | int = "text",
        label: str | int = "label",
        split: Sequence[float] = LABELLED_SPLIT,
        split_seed: int = 0,
        encoding: str = "utf-8",
        separator: str | None = None,
        header: bool = True,
        quoting: str | None = None,
        ignore_label: Ignored = None,
        split_unique: bool = False,
    ) -> None:
        self._files = files_of_splits("labelled texts", path, train, validation, test)
        self._fractions, self._split_seed = check_fractions(split), split_seed
        self._format = TableFormat(text, label, encoding, separator, header, quoting)
        self._ignored, self._split_unique = ignored_labels(ignore_label), check_split_unique(split_unique, path)
        every = [file for files in self._files.values() for file in files]
        if (options := self._format.of_separated()) and not any(is_separated(file, self._format) for file in every):
            raise InputError(f"data.{options[0]} is for csv, tsv and their like, and {self} is none of them")

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files)

    def read(self, split: str) -> Sequence[LabelledText]:
        """The rows of a split."""
        return self._splits[split].rows

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many rows a split lacks, by reason; of rows that are cut, "train" tells what was left out before."""
        return self._splits[split].left_out

    @cached_property
    def _splits(self) -> dict[str, Reading]:
        names = LabelNames(self._format.label)
        replaced: list[tuple[str, int]] = []
        found = {name: self._read(files, names, replaced) for name, files in self._files.items()}
        if replaced:
            log.warning(
                "%s: lone surrogates are read as U+FFFD: %d, in rows: %d, the first at %s",
                self,
                sum(count for _, count in replaced),
                len(replaced),
                replaced[0][0],
            )
        warn_of_unused(self._ignored, [reading.left_out for reading in found.values()])
        if "path" not in found:
            return found
        return cut_reading(found["path"], self._fractions, self._split_seed, str(self), self._split_unique)

    def _read(self, files: Sequence[Path], names: LabelNames, replaced: list[tuple[str, int]]) -> Reading:
        found = Reading()
        for file in files:
            for row in read_table(file, self._format, names):
                (text, in_text), (label, in_label) = map(without_surrogates, (row.text, row.label))
                if in_text or in_label:
                    replaced.append((row.place, in_text + in_label))
                    row = LabelledText(text, label, row.place)
                if row.label in self._ignored:
                    found.left_out[f"rows labelled {row.label}"] += 1
                else:
                    found.rows.append(row)
        return found


def ignored_labels(given: Ignored) -> frozenset[str]:
    """The names of the classes that ``data.ignore_label`` leaves out.

    Example:
        >>> sorted(ignored_labels([-1, "unknown"])), ignored_labels(None)
        (['-1', 'unknown'], frozenset())
    """
    labels = [] if given is None else given if isinstance(given, (list, tuple)) else [given]
    return frozenset(LabelNames("ignore_label").name(label, "data.ignore_label", written=True) for label in labels)


def warn_of_unused(ignored: Collection[str], left_out: Sequence[Mapping[str, int]]) -> None:
    """Says which of the labels to leave out no row has."""
    for label in sorted(ignored):
        if not any(f"rows labelled {label}" in found for found in left_out):
            log.warning("data.ignore_label: no row is labelled %r", label)


def same_text(row: LabelledText) -> str:
    """What two rows share that are one to a reader: the text, however it is spaced."""
    return " ".join(row.text.split())


def cut_reading(
    whole: Reading,
    fractions: Sequence[float],
    seed: int,
    name: str,
    unique: bool = False,
    splits: Sequence[str] = SPLITS,
) -> dict[str, Reading]:
    """Rows shuffled and cut into ``splits``, each with its share of every class.

    Raises:
        InputError: there are too few rows.
    """
    if len(whole.rows) < len(splits) and whole.left_out:
        omitted = ", ".join(counted(count, reason) for reason, count in whole.left_out.items())
        into = f"{', '.join(splits[:-1])} and {splits[-1]}"
        reason = f"data.ignore_label or hidden labels left out {omitted}"
        raise InputError(f"{name}: {few(len(whole.rows), 'rows')} to cut into {into}, for {reason}")
    parts = cut_rows(
        whole.rows,
        fractions,
        seed,
        name,
        same=same_text if unique else None,
        stratum=lambda row: row.label,
        splits=splits,
    )
    found = {split: Reading(rows) for split, rows in parts.items()}
    found[splits[0]].left_out.update({f"{reason} (before the cut)": count for reason, count in whole.left_out.items()})
    return found


class LabelledLines:
    """Plain or gzip text files, one text a line, a file a class; shuffled, then cut into the three splits.

    The cut takes no heed of the classes, so that published figures of such files keep their test texts.

    Args:
        files: the file of each label.
        split: shares of train, validation and test.
        split_seed: of the shuffling: runs of different seeds share their test texts.
        encoding: the files' encoding.

    Raises:
        InputError: a file is missing; on first use: a file is broken or a line empty.
    """

    def __init__(
        self,
        files: Mapping[str, str | Path],
        split: Sequence[float] = LABELLED_SPLIT,
        split_seed: int = 0,
        encoding: str = "utf-8",
    ) -> None:
        self._fractions, self._split_seed, self._encoding = check_fractions(split), split_seed, encoding
        self._files = {label: expand_paths(file, f"the file of {label}")[0] for label, file in files.items()}
        if len({file.resolve() for file in self._files.values()}) < len(self._files):
            raise InputError(f"{self}: two labels have one file; each needs its own")

    def __str__(self) -> str:
        return ", ".join(map(str, self._files.values()))

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files)

    def read(self, split: str) -> Sequence[LabelledText]:
        """The lines of a split."""
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[str, list[LabelledText]]:
        rows = [
            LabelledText(line, label, f"{file}:{number}")
            for label, file in self._files.items()
            for number, line in enumerate(read_lines(file, self._encoding), start=1)
        ]
        return cut_rows(rows, self._fractions, self._split_seed, str(self))


class LabelledHub:
    """Two columns of a data set that ``datasets.load_dataset`` finds; a class number reads as the class's name.

    Splits that it lacks are cut from its training split, which is shuffled first (many such sets stand sorted by
    label), each with its share of every class. Where the labels have names, a number below 0 marks a hidden label: such
    rows are left out and counted.

    Args:
        path: the data set's name or folder.
        text: the column of texts.
        label: the column of labels.
        split: shares of train, validation and test, for the splits that are cut.
        split_seed: of the shuffling.
        ignore_label: rows with this label, or one of a list of these, are left out and counted; None: none is.
        split_unique: rows of equal texts stay in one split of those that are cut.
        options: further ones of ``HubRows``.

    Raises:
        InputError: as ``HubRows``; on first use: there is no such column, or a row lacks its text or label.
    """

    def __init__(
        self,
        path: str,
        text: str | int = "text",
        label: str | int = "label",
        split_seed: int = 0,
        split: Sequence[float] = LABELLED_SPLIT,
        ignore_label: Ignored = None,
        split_unique: bool = False,
        **options: Any,
    ) -> None:
        self._text, self._label = str(text), str(label)
        TableFormat(self._text, self._label)  # refuses one column as both
        self._fractions, self._split_seed = check_fractions(split), split_seed
        self._ignored, self._split_unique = ignored_labels(ignore_label), check_split_unique(split_unique, True)
        files = "as data.path=FILE in place of data.hub"
        self._hub = HubRows(path, self._choose, files=files, as_text=(self._label,), cuts=False, **options)

    def __str__(self) -> str:
        return str(self._hub)

    def files(self) -> list[str]:
        """The files that the data set is read from."""
        return self._hub.files()

    def read(self, split: str) -> Sequence[LabelledText]:
        """The rows of a split."""
        return self._splits[split].rows

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many rows a split lacks, by reason; where it is cut, "train" tells what was left out before."""
        return self._splits[split].left_out

    @cached_property
    def _splits(self) -> dict[str, Reading]:
        names = LabelNames(self._label)
        found = {split: self._read(split, names) for split in SPLITS if split not in self._hub.missing}
        warn_of_unused(self._ignored, [reading.left_out for reading in found.values()])
        if missing := self._hub.missing:
            parts = ("train", *missing)
            shares = dict(zip(SPLITS, self._fractions, strict=True))
            whole = sum(shares[split] for split in parts)
            fractions = [shares[split] / whole for split in parts]
            if len(found["train"].rows) < len(parts) and not found["train"].left_out:
                raise self._hub.too_few(len(found["train"].rows))
            cut = cut_reading(found["train"], fractions, self._split_seed, str(self), self._split_unique, parts)
            for split in missing:
                self._hub.warn_of_cut(split, len(cut[split].rows), "drawn from train")
            found.update(cut)
        elif self._split_unique:
            check_split_unique(True, False)
        return found

    def _read(self, split: str, names: LabelNames) -> Reading:
        feature = self._hub.features(split)[self._label]
        classes, short = getattr(feature, "names", None), getattr(feature, "dtype", None) in ("float16", "float32")
        found = Reading()
        long: list[LabelledText] = []
        for number, (content, given) in enumerate(self._hub.read(split, self._text, self._label)):
            if classes is not None and given is not None:
                if given < 0:  # the hub's mark of a hidden label
                    found.left_out[f"rows with a hidden label ({given})"] += 1
                    continue
                given = classes[given]
            elif short and given is not None:
                given = float(str(np.float32(given)))  # by its shortest digits: 0.1, not 0.10000000149
            row = labelled_row(content, given, self._hub.place(split, number), self._text, self._label, names)
            if "\n" in row.text:
                long.append(row)
            if row.label in self._ignored:
                found.left_out[f"rows labelled {row.label}"] += 1
            else:
                found.rows.append(row)
        names_found = {row.label for row in found.rows}
        for row in long:
            self._hub.check_swallowed(row.place, row.text, names_found)
        return found

    def _choose(self, rows: Any) -> Any:
        check_text_column(rows, "data.text", self._text, self)
        return select_columns(rows, {"data.text": self._text, "data.label": self._label}, self)
