"""Rows of a Hugging Face data set, whatever they are read as: loaded, split and cut."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from seqlab.data.batch import SPLITS
from seqlab.data.sources import DEFAULT_SPLIT, check_fractions
from seqlab.errors import InputError

log = logging.getLogger(__name__)

_ROWS = 1_000  # rows read at once


class HubRows:
    """Three splits of a data set that ``datasets.load_dataset`` finds: on the Hub, in its cache, or in local files.

    Splits that the data set lacks are cut from the end of its training split, by row.

    Args:
        path: the data set's name or folder, or a format ("text", "csv", "json", "parquet") with ``data_files``.
        choose: gives a split's rows (a ``datasets.Dataset``) with the columns that are read alone, or refuses them.
        options: what stands before ``train``, ``validation`` and ``test`` where a user gives them, for messages.
        files: how a user gives local files instead, for messages: such as "as data.path=FILE".
        shuffle_seed: of the shuffling of a training split that is cut from; None: it stays in its order.
        name: its configuration, where it has several.
        train: the name of its training split.
        validation: the name of its validation split.
        test: the name of its test split.
        split: shares of train, validation and test, for the splits that are cut.
        data_files: files to read, as in ``datasets.load_dataset``.
        revision: branch, tag or commit of the data set.

    Raises:
        InputError: ``split`` is no split; on first use: the data set, configuration or training split is not there,
            cannot be reached, needs a loading script, or has too few rows to cut from.
    """

    def __init__(
        self,
        path: str,
        choose: Callable[[Any], Any],
        *,
        options: str = "data",
        files: str,
        shuffle_seed: int | None = None,
        name: str | None = None,
        train: str = "train",
        validation: str = "validation",
        test: str = "test",
        split: Sequence[float] = DEFAULT_SPLIT,
        data_files: str | Sequence[str] | Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> None:
        self._fractions = check_fractions(split)
        self._path, self._name, self._choose = path, name, choose
        self._options, self._files, self._shuffle_seed = options, files, shuffle_seed
        self._names = dict(zip(SPLITS, (train, validation, test), strict=True))
        self._data_files, self._revision = data_files, revision

    def __str__(self) -> str:
        return self._path if self._name is None else f"{self._path} ({self._name})"

    def features(self, split: str) -> Mapping[str, Any]:
        """The type of each column of a split, as ``datasets`` holds it."""
        found: Mapping[str, Any] = self._splits[split].features
        return found

    def read(self, split: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        """The values of these columns, row by row."""
        rows = self._splits[split]
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            yield from zip(*(part[column] for column in columns), strict=True)

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """A ``datasets.Dataset`` of the chosen columns for each split."""
        loaded = self._load()
        if self._names["train"] not in loaded:
            raise InputError(
                f"the data set {self} has no split {self._names['train']!r} but {', '.join(map(repr, loaded))}: "
                f"give {self._options}.train=SPLIT"
            )
        return self._cut({split: self._choose(loaded[name]) for split, name in self._names.items() if name in loaded})

    def _load(self) -> Any:
        import datasets

        try:
            return datasets.load_dataset(
                self._path, name=self._name, data_files=self._data_files, revision=self._revision
            )
        except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
            raise InputError(self._explain(error)) from error

    def _explain(self, error: Exception) -> str:
        reason = " ".join(str(error.__cause__ or error).split())
        if "script" in reason and isinstance(error, RuntimeError):
            return (
                f"the data set {self} needs a loading script, which `datasets` no longer runs: choose a copy of it in "
                f"parquet, csv, json or text, or give local files {self._files}"
            )
        if isinstance(error, ConnectionError) or "offline" in reason.lower():
            return (
                f"the data set {self} is not on this machine and the Hub cannot be reached ({reason}): "
                f"connect, or give local files {self._files}"
            )
        return f"the data set {self} cannot be loaded: {reason}"

    def _cut(self, found: dict[str, Any]) -> dict[str, Any]:
        """The three splits, those that are missing cut from the end of the training split."""
        shares = dict(zip(SPLITS, self._fractions, strict=True))
        missing = [split for split in SPLITS if split not in found]
        if not missing:
            return found
        rows = found["train"] if self._shuffle_seed is None else found["train"].shuffle(seed=self._shuffle_seed)
        whole = shares["train"] + sum(shares[split] for split in missing)
        sizes = {split: max(1, round(len(rows) * shares[split] / whole)) for split in missing}
        stop = len(rows) - sum(sizes.values())
        if stop < 1:
            raise InputError(
                f"the data set {self} has {len(rows)} training rows, too few to cut {' and '.join(missing)} from: "
                f"give {' and '.join(f'{self._options}.{split}=SPLIT' for split in missing)}"
            )
        found["train"] = rows.select(range(stop))
        for split, size in sizes.items():
            log.warning("%s has no split %r: %d rows from the end of train serve", self, self._names[split], size)
            found[split] = rows.select(range(stop, stop + size))
            stop += size
        return found


def select_columns(rows: Any, columns: Mapping[str, str], data_set: object) -> Any:
    """The rows with these columns alone, each beside the option that a user names it by.

    Raises:
        InputError: there is no such column.
    """
    for option, column in columns.items():
        if column not in rows.features:
            names = ", ".join(map(repr, rows.features))
            raise InputError(f"the data set {data_set} has no column {column!r} but {names}: give {option}=NAME")
    return rows.select_columns(list(columns.values()))


def check_text_column(rows: Any, option: str, column: str, data_set: object) -> None:
    """Refuses a column, which a user names by ``option``, that is not there or holds no text.

    Raises:
        InputError: it is so; names the columns with text.
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
