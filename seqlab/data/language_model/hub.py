"""Text of a Hugging Face data set."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import DEFAULT_SPLIT
from seqlab.data.core.pieces import Piece
from seqlab.data.formats.hub_rows import HubRows, HubSource, check_text_column
from seqlab.data.formats.hub_sets import HubDataset

log = logging.getLogger("seqlab")


class Hub(HubSource):
    """A text column of a Hugging Face data set.

    Each row is a document and ends with a newline, which is added where it is missing. Rows without a value are left
    out, with a log line. A split that the data set lacks is cut from the end of its training split, by row.

    Args:
        data_set: the data set, or its name.
        column: the column of texts.
        split: the shares of train, validation and test, for the splits that are cut.

    Raises:
        InputError: an option is wrong; on first use: the data set or a split is missing or cannot be read, or there is
            no such column of text.
    """

    cached = True

    def __init__(
        self,
        data_set: HubDataset | str = HubDataset(),
        column: str = "text",
        split: Sequence[float] = DEFAULT_SPLIT,
    ) -> None:
        self._column = column
        files = "as data.path=text data.data_files=FILE"
        self._hub = HubRows(data_set, self._choose, files=files, split=split)
        self._left_out: dict[str, int] = {}

    def fingerprint(self) -> str:
        """A digest of all rows, in their splits."""
        digest = hashlib.blake2b(digest_size=16)
        for split in SPLITS:
            for text, begins in self.read(split):
                digest.update(f"|{split}{begins}{len(text)}|{text}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def read(self, split: str) -> Iterator[Piece]:
        """The rows of a split, each a document."""
        empty, first = 0, ""
        for number, (text,) in enumerate(self._hub.read(split, self._column)):
            if text is None:
                empty, first = empty + 1, first or self._hub.place(split, number)
            else:
                if "\n" in text:
                    self._hub.check_swallowed(self._hub.place(split, number), text)
                yield text if text.endswith("\n") else text + "\n", True
        if empty and split not in self._left_out:
            log.warning(
                "%s: rows without a value in %r are left out: %d, the first is %s", split, self._column, empty, first
            )
        self._left_out[split] = empty

    def left_out(self, split: str) -> dict[str, int]:
        """How many rows of a split have no value; 0 before it has been read."""
        return {"rows without a value": self._left_out.get(split, 0)}

    def _choose(self, rows: Any) -> Any:
        check_text_column(rows, "data.column", self._column, self)
        return rows.select_columns([self._column])
