"""Where labelled sequences come from: a user's own series, or a user's own clips."""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from seqlab.data.core.cut import Cut, cut_rows
from seqlab.data.core.fingerprint import same_numbers
from seqlab.data.core.labels import LabelNames
from seqlab.data.core.reading import Reading
from seqlab.data.formats.clips import Clip, ClipFormat, frame_files, read_clip, value_type, warn_of_two_scales
from seqlab.data.formats.labelled_series import LabelledSeries, number_names, read_labelled, read_numbers
from seqlab.data.formats.named_files import NamedFile, check_named_once, read_named_files
from seqlab.data.formats.paths import Files, Paths, check_distinct, expand_paths
from seqlab.data.formats.series import TIME_GAP, SeriesFormat, warn_of_equal_ids
from seqlab.data.formats.sources import FileRows
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_SHARE = ", or data.train= and data.test= with data.validation_share=0.2, which cuts validation from train"


class LabelledRow(Protocol):
    """One sequence and its class: :class:`LabelledSeries` or :class:`Clip`."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def label(self) -> str:
        """The name of its class."""

    @property
    def place(self) -> str:
        """Where it stands, for messages."""

    @property
    def values(self) -> NDArray[Any]:
        """``(T, F)``, with NaN for what is missing; or ``(T, C, H, W)``."""

    def __len__(self) -> int:
        """T."""


class LabelledSource(Protocol):
    """The contract of a source of labelled sequences.

    A source may also have ``files()``, the files that it reads, and ``left_out(split)``.
    """

    features: Sequence[str]
    """The names of the numbers of a step; empty where steps are pictures."""
    format: SeriesFormat | ClipFormat
    """How files hold further sequences of this kind."""

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[LabelledRow]:
        """The rows of "train", "validation" or "test"."""


R = TypeVar("R", bound=LabelledRow)


def same_values(row: LabelledRow) -> Hashable:
    """A key that two sequences share if their numbers are equal as they are read."""
    return same_numbers(row.values)


def cut_validation(rows: Sequence[R], share: float, seed: int, name: str) -> dict[str, list[R]]:
    """Training and validation, cut from the training rows so that each has its share of every class.

    Args:
        rows: the rows to cut.
        share: that of validation.
        seed: of the shuffling.
        name: where the rows come from, for messages.

    Raises:
        InputError: there are too few rows.
    """
    splits = ("train", "validation")
    return cut_rows(rows, (1 - share, share), seed, name, stratum=lambda row: row.label, splits=splits)


class _LabelledFiles(FileRows[R]):
    """What both kinds of files share: which files there are, and how the splits are cut."""

    def __init__(self, what: str, files: Files | Paths, cut: Cut, validation_share: float | None) -> None:
        self._cut, self._validation_share = cut, validation_share
        named = Files.of(files).named()
        if validation_share is None:
            self._files = Files.of(files).expanded(what, _SHARE)
        else:
            if set(named) != {"train", "test"}:
                given = " and ".join(f"data.{name}" for name in named) or "no file"
                raise InputError(
                    f"data.validation_share={validation_share} cuts validation from train: it is for data.train= and "
                    f"data.test=, got {given}; leave it out, or give these two"
                )
            if not 0 < validation_share < 1:
                raise InputError(f"data.validation_share={validation_share} must be above 0 and below 1")
            self._files = {name: expand_paths(value, f"data.{name}") for name, value in named.items()}
            check_distinct(self._files)
        cut.check_use("path" in self._files)

    def _read_tables(self, file: str, label: str, encoding: str, separator: str | None) -> dict[str, list[NamedFile]]:
        """The rows of tables that name files."""
        names = LabelNames(label)
        rows = {
            name: [row for table in tables for row in read_named_files(table, file, label, names, encoding, separator)]
            for name, tables in self._files.items()
        }
        check_named_once([row for each in rows.values() for row in each])
        return rows

    def _cut_set(self, whole: Reading[R]) -> dict[str, Reading[R]]:
        cut = self._cut
        same: Callable[[R], Hashable] | None = same_values if cut.split_unique else None
        parts = cut_rows(
            whole.rows, list(cut.split), cut.split_seed, str(self), same=same, stratum=lambda row: row.label
        )
        return {split: Reading(rows) for split, rows in parts.items()}

    def _with_validation(self, rows: Mapping[str, Sequence[R]]) -> dict[str, Reading[R]]:
        """The rows of each name, and of validation where that is a share of train."""
        parts: dict[str, list[R]] = {name: list(each) for name, each in rows.items()}
        if self._validation_share is not None:
            parts |= cut_validation(parts["train"], self._validation_share, self._cut.split_seed, str(self))
        return {name: Reading(each) for name, each in parts.items()}


class LabelledSeriesFiles(_LabelledFiles[LabelledSeries]):
    """Series with a class each, in files of one of three kinds.

    - csv, tsv or parquet with a row a step, and a column of labels. With ``form.id`` a file holds many series (the
      long form), else each file is one.
    - .ts, the format of the archives of time series classification; each line has its label.
    - With ``file``, tables with a row a series: the name of its file (csv, tsv, parquet or npy), and its label.

    Args:
        files: the files of each split; those of ``train`` and ``test`` with ``validation_share``; or those of one set
            (``path``), which is cut so that each split has its share of every class.
        form: how they hold series.
        label: the column of labels.
        file: the column of files' names; None: the files hold the series themselves.
        features: the columns of numbers; empty: all that have no other use.
        cut: how one set is cut; equal rows are series with equal numbers.
        validation_share: the share of train that is cut off for validation.

    Raises:
        InputError: the files or an option are wrong; on first use: a file is broken, lacks a column, or a series has no
            label or two.
    """

    def __init__(
        self,
        files: Files | Paths = Files(),
        form: SeriesFormat = SeriesFormat(),
        label: str = "label",
        file: str | None = None,
        features: Sequence[str] | str | None = None,
        cut: Cut = Cut(),
        validation_share: float | None = None,
    ) -> None:
        super().__init__("labelled series", files, cut, validation_share)
        if file is not None and form.id is not None:
            raise InputError(
                f"data.file={file} and data.id={form.id}: where a table names a file a series, a file has no ids"
            )
        self.format, self._label, self._file = form, label, file
        names = () if features is None else (features,) if isinstance(features, (str, int)) else tuple(features)
        self._chosen = tuple(map(str, names))
        for option, name in (("data.label", label), ("data.time", form.time), ("data.id", form.id)):
            if name in self._chosen and not (file is not None and option == "data.label"):
                raise InputError(f"data.features and {option} both name the column {name!r}; a column has one use")

    @cached_property
    def _named(self) -> dict[str, list[NamedFile]]:
        """With a column of files: the rows of each table."""
        assert self._file is not None
        return self._read_tables(self._file, self._label, self.format.encoding, self.format.separator)

    def files(self) -> list[Path]:
        """The files that are read, those that tables name among them."""
        further = [] if self._file is None else [row.path for rows in self._named.values() for row in rows]
        return [*super().files(), *further]

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        """The columns of numbers, by the first file where the user names none."""
        if self._chosen:
            return self._chosen
        if self._file is None:
            return tuple(number_names(super().files()[0], self.format, self._label))
        first = next(row for rows in self._named.values() for row in rows)
        _check_file(first)
        return tuple(number_names(first.path, self.format))

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers of a step."""
        return (*self._columns, *((TIME_GAP,) if self.format.time_gaps else ()))

    def _read_files(self) -> dict[str, Reading[LabelledSeries]]:
        if self._file is not None:
            named = {name: [self._one(row) for row in rows] for name, rows in self._named.items()}
            _warn_of_value_types([row for rows in self._named.values() for row in rows])
            return self._with_validation(named)
        names = LabelNames(self._label)
        return self._with_validation({name: self._read_all(files, names) for name, files in self._files.items()})

    def _read_all(self, files: Sequence[Path], names: LabelNames) -> list[LabelledSeries]:
        no_others = None if self._chosen else "data.features"
        read = {file: read_labelled(file, self.format, self._label, self._columns, names, no_others) for file in files}
        warn_of_equal_ids(self.format, {file: [each.name for each in rows] for file, rows in read.items()})
        return [each for rows in read.values() for each in rows]

    def _one(self, row: NamedFile) -> LabelledSeries:
        """The series of a file that a table names."""
        _check_file(row)
        series = read_numbers(row.path, self.format, self._columns, no_others=None if self._chosen else "data.features")
        if len(series) > 1:
            raise InputError(f"{row.place}: {row.path} holds {len(series)} series; each file that a table names is one")
        return LabelledSeries(series[0], row.label, row.place)


def _check_file(row: NamedFile) -> None:
    if row.path.is_dir():
        raise InputError(f"{row.place}: {row.path} is a folder; a series has a file (for pictures give data=clips)")


def _warn_of_value_types(rows: Sequence[NamedFile]) -> None:
    """Warns where some arrays hold integers, as a recorder writes them, and some floats, as of -1 to 1."""
    kinds: dict[str, NamedFile] = {}
    for row in rows:
        if row.path.suffix.lower() == ".npy" and row.path.is_file():
            kinds.setdefault(value_type(row.path), row)
    if len(kinds) > 1:
        (kind, first), (other, row) = [*kinds.items()][:2]
        log.warning(
            "%s: the values of %s are %s, and those of %s %s: both are read as they are; if their scales differ, save "
            "all with values of one type",
            *(row.place, row.path.name, other, first.path.name, kind),
        )


class ClipFiles(_LabelledFiles[Clip]):
    """Clips with a class each. A table names them, a row a clip: its file or folder, and its label.

    A clip is a ``.npy`` file ``(T, H, W)`` or ``(T, C, H, W)``, or a folder of pictures in the order of their names.
    All clips are held in memory, a byte a value where they are of bytes.

    Args:
        files: the tables (csv, tsv or parquet) of each split; those of ``train`` and ``test`` with
            ``validation_share``; or those of one set (``path``), which is cut so that each split has its share of every
            class.
        form: how clips are read.
        label: the column of labels.
        file: the column of names of files and folders, seen from the table's folder.
        cut: how one set is cut; equal rows are clips with equal frames.
        validation_share: the share of train that is cut off for validation.
        encoding: of csv and tsv.
        separator: what stands between two values of a table; None: by the file's ending.

    Raises:
        InputError: the files or an option are wrong; on first use: a table or a clip cannot be read.
    """

    features: Sequence[str] = ()

    def __init__(
        self,
        files: Files | Paths = Files(),
        form: ClipFormat = ClipFormat(),
        label: str = "label",
        file: str = "file",
        cut: Cut = Cut(),
        validation_share: float | None = None,
        encoding: str = "utf-8",
        separator: str | None = None,
    ) -> None:
        super().__init__("clips", files, cut, validation_share)
        self.format, self._label, self._file = form, label, file
        self._encoding, self._separator = encoding, separator

    @cached_property
    def _named(self) -> dict[str, list[NamedFile]]:
        return self._read_tables(self._file, self._label, self._encoding, self._separator)

    def files(self) -> list[Path]:
        """The tables, and all files of the clips."""
        named = [row.path for rows in self._named.values() for row in rows]
        inner = [frame_files(path) if path.is_dir() else [path] for path in named]
        return [*super().files(), *(file for files in inner for file in files)]

    def _read_files(self) -> dict[str, Reading[Clip]]:
        clips = {name: [self._one(row) for row in rows] for name, rows in self._named.items()}
        _check_value_types([row for rows in self._named.values() for row in rows])
        warn_of_two_scales(clip for rows in clips.values() for clip in rows)
        return self._with_validation(clips)

    def _one(self, row: NamedFile) -> Clip:
        return Clip(row.path.stem, read_clip(row.path, self.format), row.label, row.place)


def _check_value_types(rows: Sequence[NamedFile]) -> None:
    """Refuses clips whose values have different types: white may be 255 in one, and 1 in the other.

    Raises:
        InputError: naming two of them.
    """
    first, kind = rows[0], value_type(rows[0].path)
    for row in rows[1:]:
        if (other := value_type(row.path)) != kind:
            raise InputError(
                f"{row.place}: the values of {row.path.name} are {other}, and those of {first.path.name} {kind}: save "
                "all clips with values of one type and scale"
            )
