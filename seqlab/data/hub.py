"""Text from a Hugging Face data set, by name, configuration and column."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from seqlab.data.batch import SPLITS
from seqlab.data.sources import DEFAULT_SPLIT, Piece, check_fractions
from seqlab.errors import InputError

log = logging.getLogger(__name__)

_ROWS = 1_000  # rows read at once


class Hub:
    """A text column of a data set that ``datasets.load_dataset`` finds: on the Hub, in its cache, or in local files.

    Each row is a document, and ends with a newline (one is added where there is none); rows without a value are left
    out. Splits that the data set lacks are cut from the end of its training split, by row.

    Args:
        path: the data set's name or folder, or a format ("text", "csv", "json", "parquet") with ``data_files``.
        name: its configuration, where it has several.
        column: the column that holds the text.
        train: the name of its training split.
        validation: the name of its validation split.
        test: the name of its test split.
        split: shares of train, validation and test, for the splits that are cut.
        data_files: files to read, as in ``datasets.load_dataset``.
        revision: branch, tag or commit of the data set.

    Raises:
        InputError: ``split`` is no split; on first use: the data set, configuration or column is not there, cannot be
            reached, or needs a loading script.
    """

    cached = True

    def __init__(
        self,
        path: str,
        name: str | None = None,
        column: str = "text",
        train: str = "train",
        validation: str = "validation",
        test: str = "test",
        split: Sequence[float] = DEFAULT_SPLIT,
        data_files: str | Sequence[str] | Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> None:
        self._fractions = check_fractions(split)
        self._path, self._name, self._column = path, name, column
        self._names = dict(zip(SPLITS, (train, validation, test), strict=True))
        self._data_files, self._revision = data_files, revision

    def __str__(self) -> str:
        return self._path if self._name is None else f"{self._path} ({self._name})"

    def fingerprint(self) -> str:
        """A digest of all rows and of where the splits lie."""
        digest = hashlib.blake2b(digest_size=16)
        for split in SPLITS:
            for text, begins in self.read(split):
                digest.update(f"|{split}{begins}{len(text)}|{text}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def read(self, split: str) -> Iterator[Piece]:
        """The rows of a split."""
        rows = self._splits[split]
        for start in range(0, len(rows), _ROWS):
            for text in rows[start : start + _ROWS][self._column]:
                if text is not None:
                    yield text if text.endswith("\n") else text + "\n", True

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """A ``datasets.Dataset`` of the one column for each split."""
        loaded = self._load()
        if self._names["train"] not in loaded:
            raise InputError(
                f"the data set {self} has no split {self._names['train']!r} but {', '.join(map(repr, loaded))}: "
                "give data.train=SPLIT"
            )
        found = {split: self._text_column(loaded[name]) for split, name in self._names.items() if name in loaded}
        return self._cut(found)

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
                "parquet, csv, json or text, or give such files as data.path=parquet data.data_files=FILE"
            )
        if isinstance(error, ConnectionError) or "offline" in reason.lower():
            return (
                f"the data set {self} is not on this machine and the Hub cannot be reached ({reason}): "
                "connect, or give local files as data.path=text data.data_files=FILE"
            )
        return f"the data set {self} cannot be loaded: {reason}"

    def _text_column(self, rows: Any) -> Any:
        features = {name: getattr(feature, "dtype", "a nested type") for name, feature in rows.features.items()}
        texts = [name for name, dtype in features.items() if dtype in ("string", "large_string", "string_view")]
        if self._column not in features:
            raise InputError(
                f"the data set {self} has no column {self._column!r} but {', '.join(map(repr, features))}: "
                f"give data.column={texts[0] if texts else 'NAME'}"
            )
        if self._column not in texts:
            raise InputError(
                f"the column {self._column!r} of the data set {self} holds {features[self._column]}, not text; "
                f"columns with text: {', '.join(map(repr, texts)) or 'none'}"
            )
        return rows.select_columns([self._column])

    def _cut(self, found: dict[str, Any]) -> dict[str, Any]:
        """The three splits, those that are missing cut from the end of the training split."""
        shares = dict(zip(SPLITS, self._fractions, strict=True))
        missing = [split for split in SPLITS if split not in found]
        if not missing:
            return found
        rows = found["train"]
        whole = shares["train"] + sum(shares[split] for split in missing)
        sizes = {split: max(1, round(len(rows) * shares[split] / whole)) for split in missing}
        stop = len(rows) - sum(sizes.values())
        if stop < 1:
            raise InputError(
                f"the data set {self} has {len(rows)} training rows, too few to cut {' and '.join(missing)} from: "
                f"give {' and '.join(f'data.{split}=SPLIT' for split in missing)}"
            )
        found["train"] = rows.select(range(stop))
        for split, size in sizes.items():
            log.warning("%s has no split %r: %d rows from the end of train serve", self, self._names[split], size)
            found[split] = rows.select(range(stop, stop + size))
            stop += size
        return found
