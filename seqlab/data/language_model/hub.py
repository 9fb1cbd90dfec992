"""Text from a Hugging Face data set, by name, configuration and column."""

import hashlib
import logging
from collections.abc import Iterator
from typing import Any

from seqlab.data.core.batch import SPLITS
from seqlab.data.formats.hub_rows import HubRows, check_text_column
from seqlab.data.language_model.sources import Piece

log = logging.getLogger("seqlab")


class Hub:
    """A text column of a data set that ``datasets.load_dataset`` finds: on the Hub, in its cache, or in local files.

    Each row is a document, and ends with a newline (one is added where there is none); rows without a value are left
    out, with a log line. Splits that the data set lacks are cut from the end of its training split, by row.

    Args:
        path: the data set's name or folder, or a format ("text", "csv", "json", "parquet") with ``data_files``.
        name: its configuration, where it has several.
        column: the column that holds the text.
        options: further ones of ``HubRows``.

    Raises:
        InputError: as ``HubRows``; on first use: there is no such column, or it holds no text.
    """

    cached = True

    def __init__(self, path: str, name: str | None = None, column: str = "text", **options: Any) -> None:
        self._column = column
        files = "as data.path=text data.data_files=FILE"
        self._rows = HubRows(path, self._choose, files=files, name=name, **options)
        self._left_out: dict[str, int] = {}

    def __str__(self) -> str:
        return str(self._rows)

    def files(self) -> list[str]:
        """The files that the data set is read from."""
        return self._rows.files()

    def fingerprint(self) -> str:
        """A digest of all rows and of where the splits lie."""
        digest = hashlib.blake2b(digest_size=16)
        for split in SPLITS:
            for text, begins in self.read(split):
                digest.update(f"|{split}{begins}{len(text)}|{text}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def read(self, split: str) -> Iterator[Piece]:
        """The rows of a split."""
        empty, first = 0, ""
        for number, (text,) in enumerate(self._rows.read(split, self._column)):
            if text is None:
                empty, first = empty + 1, first or self._rows.place(split, number)
            else:
                if "\n" in text:
                    self._rows.check_swallowed(self._rows.place(split, number), text)
                yield text if text.endswith("\n") else text + "\n", True
        if empty and split not in self._left_out:
            log.warning(
                "%s: rows without a value in %r are left out: %d, the first is %s", split, self._column, empty, first
            )
        self._left_out[split] = empty

    def left_out(self, split: str) -> dict[str, int]:
        """How many rows without a value a split has, once it has been read."""
        return {"rows without a value": self._left_out.get(split, 0)}

    def _choose(self, rows: Any) -> Any:
        check_text_column(rows, "data.column", self._column, self)
        return rows.select_columns([self._column])
