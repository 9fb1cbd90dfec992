"""Rows of a Hugging Face data set, in three splits, whatever is made of them."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import DEFAULT_SPLIT, check_fractions
from seqlab.data.core.reading import Reading
from seqlab.data.core.summary import agree, counted
from seqlab.data.formats.hub_sets import HubDataset, LoadedSet, load_set
from seqlab.data.formats.swallowed import rows_within
from seqlab.errors import InputError

log = logging.getLogger(__name__)

CUT = "cut"
"""The name of a split that is cut from the training split even if the data set has it."""

_ROWS = 1_000  # rows read at once


class HubRows:
    """Three splits of a Hugging Face data set.

    A split that the data set lacks is cut from the end of its training split, by row. A split that a user named is not
    cut; it must be there. In csv files "NA", "null" and the like are ordinary values, while ``datasets`` would read
    them as missing.

    Args:
        data_set: the data set, or its name.
        choose: returns the rows of a split (a ``datasets.Dataset``) with only the columns that are read, or refuses
            them.
        options: the prefix of the options ``train``, ``validation`` and ``test``, for messages.
        files: how local files are given instead, for messages, such as "as data.path=FILE".
        split: the shares of train, validation and test, for the splits that are cut; None: the caller cuts those that
            are ``missing``.
        shuffle_seed: of the shuffling of a training split before it is cut; None: it stays in its order.
        as_text: columns that are read as text from csv files, which have no types.
        leave_out: returns the numbers of those of the chosen rows that are left out, and why, as a phrase such as "rows
            without a label". They are left out before a cut. None: no row is.

    Raises:
        InputError: ``split`` is wrong, or two splits have one name; on first use: the data set, its configuration or a
            named split is missing, cannot be reached, needs a loading script, has too few rows to cut, or all its rows
            are left out.
    """

    def __init__(
        self,
        data_set: HubDataset | str,
        choose: Callable[[Any], Any],
        *,
        options: str = "data",
        files: str,
        split: Sequence[float] | None = DEFAULT_SPLIT,
        shuffle_seed: int | None = None,
        as_text: Sequence[str] = (),
        leave_out: Callable[[Any], Mapping[int, str]] | None = None,
    ) -> None:
        self._set = HubDataset.of(data_set)
        self._fractions = None if split is None else check_fractions(split)
        self._choose, self._options, self._files = choose, options, files
        self._shuffle_seed, self._as_text = shuffle_seed, tuple(as_text)
        self._leave_out = leave_out
        self._names = {split: name or split for split, name in self._set.splits.items()}
        for other, later in combinations(SPLITS, 2):
            if self._names[later] == self._names[other] != CUT:
                raise InputError(
                    f"{options}.{other} and {options}.{later} are both {self._names[later]!r}: the same rows in two "
                    f"splits; give another, or {CUT} for one that is to be cut from train"
                )
        self._origins: dict[str, tuple[str, Any]] = {}  # of a split of some rows of one: that one's name, their numbers
        self._left_out: dict[str, Counter[str]] = {}

    def __str__(self) -> str:
        return str(self._set)

    def files(self) -> list[str]:
        """The files that the data set is read from."""
        return self._set.files(self._loaded)

    def rows(self, split: str) -> Any:
        """The rows of a split, as a ``datasets.Dataset``."""
        return self._splits[split]

    def features(self, split: str) -> Mapping[str, Any]:
        """The type of each column of a split, as ``datasets`` holds it."""
        features: Mapping[str, Any] = self._splits[split].features
        return features

    def read(self, split: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        """The values of some columns of a split, row by row."""
        yield from read_columns(self._splits[split], columns)

    def left_out(self, split: str) -> Counter[str]:
        """How many rows of a split were left out, by reason; "train" includes those left out before a cut."""
        counts = Reading[Any](left_out=self._left_out.get(split, Counter()))
        is_cut = self._fractions is not None and bool(self.missing) and split == "train"
        return counts.before_the_cut() if is_cut else counts.left_out

    def place(self, split: str, number: int) -> str:
        """The place of a row in the data set, for messages; rows in messages count from 1.

        Args:
            split: "train", "validation" or "test".
            number: the row's number in the split, from 0.
        """
        name, origins = self._origins.get(split, (self._names[split], None))
        return f"{self}, {name} row {(number if origins is None else int(origins[number])) + 1}"

    def check_swallowed(self, place: str, value: str, classes: Collection[str] | None = None) -> None:
        """Refuses a value of csv that contains rows, because pandas reads on over a quote that is not closed.

        Args:
            place: the value's place.
            value: a value of several lines.
            classes: the labels of other rows; None: the table has no labels.

        Raises:
            InputError: most of its lines would be rows; see :func:`~seqlab.data.formats.swallowed.rows_within`.
        """
        separator = self._loaded.separator
        width = len(self._loaded.splits[self._names["train"]].features)  # with the columns that are not read
        if separator is not None and (rows := rows_within(value, separator, width, classes)):
            raise InputError(
                f"{place}: the value spans {value.count(chr(10)) + 1} lines, {rows} of which would be rows: a quote "
                f"before them is not closed; close it, or give local files {self._files}"
            )

    @property
    def missing(self) -> list[str]:
        """The splits that the data set lacks, which are cut from its training split."""
        return [split for split in SPLITS if split not in self._available]

    @cached_property
    def _loaded(self) -> LoadedSet:
        return load_set(self._set, self._options, self._files, self._as_text)

    @cached_property
    def _available(self) -> dict[str, Any]:
        """A ``datasets.Dataset`` of the chosen columns for each split that the data set has."""
        loaded = self._loaded.splits
        for split, name in self._names.items():
            if name not in loaded and (split == "train" or (self._set.splits[split] is not None and name != CUT)):
                mend = f"give {self._options}.{split}=SPLIT"
                other = "" if split == "train" else f", or {self._options}.{split}={CUT} to have one cut from train"
                raise InputError(
                    f"the data set {self} has no split {name!r} but {', '.join(map(repr, loaded))}: {mend}{other}"
                )
        chosen = {split: self._choose(loaded[name]) for split, name in self._names.items() if name in loaded}
        return {split: self._without_left_out(split, rows) for split, rows in chosen.items()}

    def _without_left_out(self, split: str, rows: Any) -> Any:
        reasons = self._leave_out(rows) if self._leave_out is not None else {}
        if not reasons:
            return rows
        self._left_out[split] = Counter(reasons.values())
        kept = np.array([number for number in range(len(rows)) if number not in reasons], np.int64)
        if not len(kept):
            omitted = ", ".join(counted(count, reason) for reason, count in self._left_out[split].items())
            raise InputError(
                f"the split {self._names[split]!r} of the data set {self} is empty, for {omitted} were left out: "
                f"give {self._options}.{split}=SPLIT"
            )
        self._origins[split] = (self._names[split], kept)
        return rows.select(kept)

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """A ``datasets.Dataset`` of the chosen columns for each split, the missing ones cut."""
        if self._fractions is None or not self.missing:
            return self._available
        return self._cut(dict(self._available), self._fractions)

    def _cut(self, splits: dict[str, Any], fractions: Sequence[float]) -> dict[str, Any]:
        """The three splits; the missing ones are cut from the end of the training split."""
        shares, missing = dict(zip(SPLITS, fractions, strict=True)), self.missing
        rows = splits["train"]
        order = np.arange(len(rows))
        if self._shuffle_seed is not None:
            order = np.random.default_rng(self._shuffle_seed).permutation(len(rows))
        whole = shares["train"] + sum(shares[split] for split in missing)
        sizes = {split: max(1, round(len(rows) * shares[split] / whole)) for split in missing}
        stop = len(rows) - sum(sizes.values())
        if stop < 1:
            raise self.too_few(len(rows))
        parts = {"train": order[:stop]}
        for split, size in sizes.items():
            self.warn_of_cut(split, size, *([] if self._shuffle_seed is None else ["drawn from train"]))
            parts[split] = order[stop : stop + size]
            stop += size
        _, kept = self._origins.get("train", ("", None))
        for split, numbers in parts.items():
            in_order = self._shuffle_seed is None
            splits[split] = rows.select(range(numbers[0], numbers[-1] + 1) if in_order else numbers)
            self._origins[split] = (self._names["train"], numbers if kept is None else kept[numbers])
        return splits

    def too_few(self, count: int) -> InputError:
        """The error where the training split has too few rows, ``count``, to cut the missing splits from."""
        missing = self.missing
        return InputError(
            f"the data set {self} has {counted(count, 'training rows')}, too few to cut {' and '.join(missing)} from: "
            f"give {' and '.join(f'{self._options}.{split}=SPLIT' for split in missing)}"
        )

    def warn_of_cut(self, split: str, size: int, which: str = "from the end of train") -> None:
        """Warns that rows of the training split serve as another split.

        Args:
            split: the other split.
            size: the number of rows.
            which: where they come from.
        """
        rows, serve = counted(size, "rows"), agree(size, "serves", "serve")
        if self._names[split] == CUT:
            log.warning(
                "%s: %s %s %s as %s, as %s.%s=%s asks",
                *(self, rows, which, serve, split, self._options, split, CUT),
            )
        else:
            log.warning("%s has no split %r: %s %s %s", self, self._names[split], rows, which, serve)


class HubSource:
    """A source of rows of a Hugging Face data set. A subclass sets ``_hub``."""

    _hub: HubRows

    def __str__(self) -> str:
        return str(self._hub)

    def files(self) -> list[str]:
        """The files that the data set is read from."""
        return self._hub.files()


def read_columns(rows: Any, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of some columns of a ``datasets.Dataset``, row by row."""
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        yield from zip(*(part[column] for column in columns), strict=True)


def select_columns(rows: Any, columns: Mapping[str, str], data_set: object) -> Any:
    """The rows with some columns alone.

    Args:
        rows: a ``datasets.Dataset``.
        columns: the columns, by the options that name them.
        data_set: the data set, for messages.

    Raises:
        InputError: there is no such column.
    """
    for option, column in columns.items():
        if column not in rows.features:
            names = ", ".join(map(repr, rows.features))
            raise InputError(f"the data set {data_set} has no column {column!r} but {names}: give {option}=NAME")
    return rows.select_columns(list(columns.values()))


def check_text_column(rows: Any, option: str, column: str, data_set: object) -> None:
    """Refuses a column that is not there or holds no text.

    Args:
        rows: a ``datasets.Dataset``.
        option: the option that names the column.
        column: the column.
        data_set: the data set, for messages.

    Raises:
        InputError: the column is missing or holds no text; names the columns with text.
    """
    features = {name: getattr(feature, "dtype", "a nested type") for name, feature in rows.features.items()}
    texts = [name for name, dtype in features.items() if dtype in ("string", "large_string", "string_view")]
    if column not in features:
        raise InputError(
            f"the data set {data_set} has no column {column!r} but {', '.join(map(repr, features))}: "
            f"give {option}={texts[0] if texts else 'NAME'}"
        )
    if column not in texts:
        raise InputError(
            f"the column {column!r} of the data set {data_set} holds {features[column]}, not text; "
            f"columns with text: {', '.join(map(repr, texts)) or 'none'}"
        )
