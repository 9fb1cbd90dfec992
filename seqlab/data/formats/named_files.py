"""Tables that name a file in each row, with its label: of series or clips that have a file each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from seqlab.data.core.labels import LabelNames
from seqlab.data.formats.number_columns import read_columns
from seqlab.errors import InputError

_TYPED: Final = (".parquet",)  # tables whose values have types


@dataclass(frozen=True)
class NamedFile:
    """A file, or a folder, that a row of a table names.

    Attributes:
        path: where it is.
        label: the name of its class.
        place: the row, for messages.
    """

    path: Path
    label: str
    place: str


def read_named_files(
    table: Path, file: str, label: str, names: LabelNames, encoding: str = "utf-8", separator: str | None = None
) -> list[NamedFile]:
    """Reads a table of files and labels. Relative names are seen from the table's folder.

    Args:
        table: csv, tsv or parquet.
        file: the column of names.
        label: the column of labels.
        names: makes the names of the classes.
        encoding: of csv and tsv.
        separator: what stands between two values; None: by the table's ending.

    Raises:
        InputError: the table is broken or lacks a column, a file is not there, or a file is named twice; names the
            row.
    """
    columns = read_columns(table, encoding, separator)
    if not len(columns):
        raise InputError(f"{table} has no row; give it at least one")
    written = not table.name.lower().endswith(_TYPED)
    files, labels = columns.column(file, "data.file"), columns.column(label, "data.label")
    rows: list[NamedFile] = []
    for name, value, place in zip(files, labels, columns.places, strict=True):
        text = str(name).strip()
        if not text or text in ("nan", "None"):
            raise InputError(f"{place}: {file} is empty; every row names a file")
        path = table.parent / Path(text).expanduser()
        if not path.exists():
            raise InputError(f"{place}: there is no file {text}, seen from {table.parent.resolve()}")
        plain: Any = value.item() if isinstance(value, np.generic) else value
        rows.append(NamedFile(path, names.name(plain, place, written), place))
    return rows


def check_named_once(rows: Sequence[NamedFile]) -> None:
    """Refuses a file that two rows name, of one table or of two splits' tables.

    Raises:
        InputError: naming both rows.
    """
    seen: dict[Path, NamedFile] = {}
    for row in rows:
        first = seen.setdefault(row.path.resolve(), row)
        if first is not row:
            raise InputError(f"{row.place}: {row.path.name} stands in {first.place} too; name each file once")
