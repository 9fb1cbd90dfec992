"""Where series come from: a user's files, or generators whose structure is known."""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.series import Series, SeriesFormat, feature_names, read_series, warn_of_equal_ids
from seqlab.data.formats.sources import FileSource
from seqlab.errors import InputError


class SeriesSource(Protocol):
    """The contract of a source of series. A source may also have ``files()``, the files that it reads."""

    targets: Sequence[str]
    covariates: Sequence[str]
    known: Sequence[str]
    format: SeriesFormat

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self) -> Sequence[Series]:
        """The series, each with the features ``targets``, ``covariates`` and ``known`` in this order."""


class SeriesFiles(FileSource):
    """Series in csv, tsv, parquet or npy.

    Without ``form.id`` each file is one series, a row a step. With it a file holds many, in the long form.

    Args:
        files: a file, a pattern or a list of these.
        form: how they hold series.
        targets: the columns to forecast; empty: all that have no other use.
        covariates: further columns, whose values are known up to the origin alone.
        known: columns whose values are known beforehand, such as a holiday or a price that is fixed.

    Raises:
        InputError: no file, a column with two uses, or an option is wrong; on first use: what :func:`read_series`
            refuses.
    """

    def __init__(
        self,
        files: Files | Paths = Files(),
        form: SeriesFormat = SeriesFormat(),
        targets: Sequence[str] | str | None = None,
        covariates: Sequence[str] | str | None = None,
        known: Sequence[str] | str | None = None,
    ) -> None:
        named = Files.of(files)
        if named.path is None or named.train or named.validation or named.test:
            raise InputError("series: give data.path=FILE; each series is cut by time into train, validation and test")
        self._files = named.expanded("series")
        self.format = form
        self._targets, self.covariates, self.known = (
            _names(option, value)
            for option, value in (("targets", targets), ("covariates", covariates), ("known", known))
        )
        uses = [("data.time", form.time), ("data.id", form.id)]
        for option in ("_targets", "covariates", "known"):
            uses += [(f"data.{option.strip('_')}", name) for name in getattr(self, option)]
        for number, (option, name) in enumerate(uses):
            other = next((use for use, earlier in uses[:number] if earlier == name and name is not None), None)
            if other is not None:
                raise InputError(f"{other} and {option} both name the column {name!r}; a column has one use")

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The columns to forecast."""
        if self._targets:
            return self._targets
        first = self.files()[0]
        names = feature_names(first, self.format)
        rest = tuple(name for name in names if name not in (*self.covariates, *self.known))
        if not rest:
            raise InputError(f"{first}: every column has another use, so there is none to forecast; give data.targets=")
        return rest

    def read(self) -> list[Series]:
        """The series of all files, in their order."""
        names = (*self.targets, *self.covariates, *self.known)
        count, no_others = len(self.known), None if self._targets else "data.targets"
        read = {file: read_series(file, self.format, names, count, no_others) for file in self.files()}
        warn_of_equal_ids(self.format, {file: [each.name for each in rows] for file, rows in read.items()})
        return [series for rows in read.values() for series in rows]


def _names(option: str, value: Sequence[str] | str | None) -> tuple[str, ...]:
    names = () if value is None else (value,) if isinstance(value, (str, int)) else tuple(value)
    if not all(isinstance(name, (str, int)) and str(name) for name in names):
        raise InputError(f"data.{option}={value} must be a column's name, or a list of names")
    return tuple(str(name) for name in names)
