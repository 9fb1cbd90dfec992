"""Labelled sequences of FASTA files: the label stands in a header, or in a table of names and labels."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.data.classification.sources import cut_reading
from seqlab.data.core.cut import Cut
from seqlab.data.core.folds import Folds
from seqlab.data.core.inputs import flat
from seqlab.data.core.labels import LabelNames, strip_label
from seqlab.data.core.reading import Reading
from seqlab.data.core.summary import counted
from seqlab.data.formats.bases import BaseReading, strand_key
from seqlab.data.formats.fasta import FastaRecord, read_fasta
from seqlab.data.formats.ids import read_ids
from seqlab.data.formats.number_columns import read_columns
from seqlab.data.formats.paths import Files, Paths, expand_paths
from seqlab.data.formats.sources import FileRows
from seqlab.data.formats.tables import LabelledText
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_SHOWN = 60  # characters of a header in a message


@dataclass(frozen=True)
class FastaLabels:
    """Where the classes of FASTA records stand: in their headers, or in a table.

    Args:
        label_pattern: a regular expression that is searched for in a header; its group ``label``, or its only group, is
            the class.
        label_table: a table (csv, tsv or parquet) with a row for each record.
        id: the column of the records' names in that table; a name is the first word of a header.
        label: the column of the classes in that table.
        skip_unlabelled: whether records without a class are left out and counted, instead of refused.

    Raises:
        InputError: both or neither of ``label_pattern`` and ``label_table`` are given, or the pattern is wrong.

    Example:
        >>> FastaLabels(label_pattern=r"class=(\\w+)").in_header("seq1 class=promoter length=57")
        'promoter'
    """

    label_pattern: str | None = None
    label_table: str | Path | None = None
    id: str = "id"
    label: str = "label"
    skip_unlabelled: bool = False

    def __post_init__(self) -> None:
        if (self.label_pattern is None) == (self.label_table is None):
            given = "neither is" if self.label_pattern is None else "both are"
            raise InputError(
                f"data.label_pattern and data.label_table: {given} given; the class of a sequence stands in its header "
                "(data.label_pattern='class=(\\w+)') or in a table of names and classes (data.label_table=FILE)"
            )
        if self.label_pattern is not None:
            groups = self._compiled().groups
            if groups != 1 and "label" not in self._compiled().groupindex:
                raise InputError(
                    f"data.label_pattern={self.label_pattern!r} has {counted(groups, 'groups')}; it needs one, in "
                    "parentheses, or one with the name label: (?P<label>\\w+)"
                )

    def _compiled(self) -> re.Pattern[str]:
        try:
            return re.compile(str(self.label_pattern))
        except re.error as error:
            raise InputError(f"data.label_pattern={self.label_pattern!r} is no regular expression: {error}") from error

    def in_header(self, header: str) -> str | None:
        """The class that ``label_pattern`` finds in a header; None where it finds none."""
        pattern = self._compiled()
        match = pattern.search(header)
        return None if match is None else match["label"] if "label" in pattern.groupindex else match[1]


class FastaFiles(FileRows[LabelledText]):
    """Labelled sequences of FASTA files.

    Files of one set are cut so that each split has its share of every class, or dealt into folds. With ``split_unique``
    of ``cut``, and in folds always, sequences that are read alike, on either strand, stay in one split.

    Args:
        files: the files of each split; or those of one set (``path``), which is cut.
        labels: where the classes stand.
        cut: how one set is cut.
        folds: a cross-validation in place of the cut.
        reading: which letters are bases.
        skip_empty: whether records without a base are left out and counted, instead of refused.
        encoding: the files' encoding, and that of the table.
        separator: of the table, if it is text: what stands between two values; None: by its ending.

    Raises:
        InputError: both or neither of ``path`` and the three splits are given, folds where each split has its files, or
            an option is wrong; on first use: a file is broken, or a record lacks its bases or its class.
    """

    def __init__(
        self,
        files: Files | Paths,
        labels: FastaLabels,
        cut: Cut = Cut(),
        folds: Folds = Folds(),
        reading: BaseReading = BaseReading(),
        skip_empty: bool = False,
        encoding: str = "utf-8",
        separator: str | None = None,
    ) -> None:
        self._files: dict[str, list[Path]] = Files.of(files).expanded("labelled sequences")
        table = labels.label_table
        self._table = None if table is None else expand_paths(table, "data.label_table")[0]
        self._labels, self._cut, self._folds, self._reading = labels, cut, folds, reading
        self._skip_empty, self.encoding, self._separator = skip_empty, encoding, separator
        cut.check_use("path" in self._files)
        if folds.folds is not None and self._files.keys() != {"path"}:
            raise InputError(f"data.folds={folds.folds} is for rows that are cut, and each split has its own files")

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files) + ([] if self._table is None else [self._table])

    def _read_files(self) -> dict[str, Reading[LabelledText]]:
        names = LabelNames(self._labels.label_pattern or self._labels.label)
        table = None if self._table is None else self._read_table(self._table, names)
        readings = {split: self._read(files, names, table) for split, files in self._files.items()}
        if table is not None:
            self._tell_of_unused(table)
        return readings

    def _cut_set(self, whole: Reading[LabelledText]) -> dict[str, Reading[LabelledText]]:
        if self._folds.folds is None:
            return cut_reading(whole, self._cut, str(self), self._same(whole))
        parts = self._folds.cut(whole.rows, str(self), self._same(whole), lambda row: row.label)
        cut = {split: Reading(rows) for split, rows in parts.items()}
        cut["train"].left_out = whole.before_the_cut()
        return cut

    def _same(self, whole: Reading[LabelledText]) -> Callable[[LabelledText], str]:
        """A key that is equal for rows that must stay together."""
        keys = {row.place: strand_key(self.as_read(self._reading.read(row.text, row.place))) for row in whole.rows}
        return lambda row: keys[row.place]

    def _read(
        self, files: Sequence[Path], names: LabelNames, table: "Mapping[str, _Labelled] | None"
    ) -> Reading[LabelledText]:
        reading = Reading[LabelledText]()
        for file in files:
            for record in read_fasta(file, self._reading, self.encoding):
                if not record.sequence:
                    if not self._skip_empty:
                        mend = "leave the record out, or give data.skip_empty=true"
                        raise InputError(f"{record.place}: {record.name} has no base; {mend}")
                    reading.left_out["records without a base"] += 1
                    continue
                label = self._label_of(record, names, table)
                if label is None:
                    reading.left_out["records without a class"] += 1
                else:
                    reading.rows.append(LabelledText(record.sequence, label, record.place))
        return reading

    def _label_of(self, record: FastaRecord, names: LabelNames, table: "Mapping[str, _Labelled] | None") -> str | None:
        """The class of a record; None for one that is to be left out."""
        if table is not None:
            if (labelled := table.get(strip_label(record.name))) is not None:
                labelled.records += 1
                return labelled.label
            where = f"{record.name!r} is not in the column {self._labels.id} of {self._table}"
        else:
            if (label := self._labels.in_header(record.header)) is not None:
                return names.name(label, record.place, written=True)
            where = f"data.label_pattern={self._labels.label_pattern!r} finds nothing in {record.header[:_SHOWN]!r}"
        if self._labels.skip_unlabelled:
            return None
        mend = "give the record a class, or data.skip_unlabelled=true to leave such records out"
        raise InputError(f"{record.place}: {where}; {mend}")

    def _read_table(self, file: Path, names: LabelNames) -> "dict[str, _Labelled]":
        columns = read_columns(file, self.encoding, self._separator)
        ids = read_ids(columns, self._labels.id, "data.id", "every row names a record")
        labels = columns.column(self._labels.label, "data.label")
        table: dict[str, _Labelled] = {}
        for name, value, place in zip(ids, labels, columns.places, strict=True):
            plain: Any = value.item() if isinstance(value, np.generic) else value
            label = names.name(plain, place, written=isinstance(plain, str))
            if (other := table.setdefault(name, _Labelled(label, place))).label != label:
                raise InputError(
                    f"{place}: {name!r} is {label} here and {other.label} at {other.place}; give it one class"
                )
        return table

    def _tell_of_unused(self, table: "Mapping[str, _Labelled]") -> None:
        """Logs rows of the table without a record, and records that share a name and so a row."""
        unused = [name for name, labelled in table.items() if not labelled.records]
        if unused:
            log.warning(
                "%s: %s of %d without a record, such as %s",
                *(self._table, counted(len(unused), "rows"), len(table), ", ".join(unused[:3])),
            )
        repeats = Counter({name: labelled.records for name, labelled in table.items() if labelled.records > 1})
        if repeats:
            log.warning(
                "%s: %s for several records each, such as %s for %d",
                *(self._table, counted(len(repeats), "rows"), *repeats.most_common(1)[0]),
            )


@dataclass
class _Labelled:
    """A row of the table: its class, its place, and how many records have it."""

    label: str
    place: str
    records: int = 0
