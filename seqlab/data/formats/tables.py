"""Rows of labelled texts from csv, tsv, jsonl and parquet files. Errors name the line.

Python's csv module splits the fields, not pandas or pyarrow. Those guess types ("01" becomes 1, "NA" nothing), fill or
shift ragged rows silently, and have no line numbers for rows that span lines.
"""

import gzip
import json
import logging
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from seqlab.data.core.labels import LabelNames, short_repr
from seqlab.data.formats.kinds import broken_parquet, kind_of_file
from seqlab.data.formats.separated import Separated, read_separated
from seqlab.data.formats.separators import Writing
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

TABLES: Final = ".csv, .tsv, .jsonl or .parquet"
_SEPARATED: Final = {".csv": ",", ".tsv": "\t"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class LabelledText(NamedTuple):
    """A text and its label.

    Attributes:
        text: the text as it stands in the data.
        label: the name of its class.
        place: the row's place, for messages: ``file:line``.
    """

    text: str
    label: str
    place: str


@dataclass(frozen=True)
class TableFormat(Writing):
    """The columns of a table with labelled texts, and how the table is written.

    Args:
        text: the column of texts: its name, or in separated values its number from 0 (or from the last, -1).
        label: the column of labels, likewise.
        encoding, separator, header, quoting: see :class:`~seqlab.data.formats.separators.Writing`. The first line holds
            column names unless ``header`` is false. Without ``separator``, it is a tab in .tsv.

    Raises:
        InputError: an option is wrong.

    Example:
        >>> TableFormat("review", "stars", separator="semicolon").separator
        ';'
    """

    text: str | int = "text"
    label: str | int = "label"
    header: bool | None = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.header is None:
            raise InputError("data.header=null must be true or false, which is for tables that name no columns")
        for option in ("text", "label"):
            self.check_column(option)
        if self.text == self.label:
            raise InputError(f"data.text and data.label are both {self.text}: one column cannot be text and label")

    @property
    def columns(self) -> dict[str, str]:
        """The names of the columns by option."""
        return {"text": str(self.text), "label": str(self.label)}

    def of_separated(self) -> dict[str, object]:
        return {**super().of_separated(), "header": None if self.header else False}


def is_separated(file: Path, form: TableFormat) -> bool:
    """Whether a file holds separated values: by its ending, or because a separator is given."""
    ending = ending_of(file)
    return ending in _SEPARATED or (form.separator is not None and ending not in (".jsonl", ".ndjson", ".parquet"))


def read_table(file: Path, form: TableFormat, names: LabelNames) -> Iterator[LabelledText]:
    """Reads the rows of a table.

    Args:
        file: a table, by its ending: csv, tsv, jsonl or parquet.
        form: its columns, and how it is written.
        names: names the class of each label.

    Raises:
        InputError: the file has another ending or is broken, or a row lacks its text or label; names file and line.
    """
    ending = ending_of(file)
    if is_separated(file, form):
        separator = form.separator or _SEPARATED[ending]
        layout = Separated(form.text, form.label, separator, form.header is not False, form.quoting)
        for line, text, label in read_separated(file, read_lines(file, form.encoding), layout):
            yield labelled_row(text, label, f"{file}:{line}", form, names, written=True)
        return
    if ending in (".jsonl", ".ndjson", ".json"):
        records = json_lines(file, form.encoding, form.columns.values())
    elif ending == ".parquet":
        records = parquet_rows(file, form.columns)
    else:
        kind = kind_of_file(file)
        mend = "for values with a separator between them give data.separator=, such as data.separator=tab"
        raise InputError(f"{file}: expected a file that ends in {TABLES}, got {ending or 'none'}; {kind or mend}")
    for place, record in records:
        check_record(place, record, form.columns)
        text, label = (record[column] for column in form.columns.values())
        yield labelled_row(text, label, place, form, names)


def labelled_row(
    text: Any, label: Any, place: str, form: TableFormat, names: LabelNames, written: bool = False
) -> LabelledText:
    """Makes a row of a table.

    Args:
        text: the value in the column of texts.
        label: the value in the column of labels.
        place: the row's place.
        form: the columns, for messages.
        names: names the class of the label.
        written: whether the label is text from a format without types, such as csv.

    Raises:
        InputError: the text or the label is missing, or of a wrong type.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{place}: expected text in {form.text!r}, got bytes that are not utf-8") from error
    if not isinstance(text, str):
        raise InputError(f"{place}: expected text in {form.text!r}, got {short_repr(text)}")
    return LabelledText(text, names.name(label, place, written), place)


def without_surrogates(text: str) -> tuple[str, int]:
    """The text with U+FFFD for each half of a surrogate pair, which no encoding can hold, and the number of these.

    Example:
        >>> without_surrogates("cut \\ud83d")
        ('cut \ufffd', 1)
    """
    return _SURROGATE.subn("\ufffd", text)


def warn_of_surrogates(source: str, places: Sequence[tuple[str, int]]) -> None:
    """Warns of rows that had lone surrogates, if there are any.

    Args:
        source: where the rows come from.
        places: the place of each row, and how many it had.
    """
    if places:
        log.warning(
            "%s: lone surrogates are read as U+FFFD: %d, in rows: %d, the first at %s",
            *(source, sum(count for _, count in places), len(places), places[0][0]),
        )


def ending_of(file: Path) -> str:
    """The ending of a file's name in lower case, before ``.gz``."""
    return (file.with_suffix("") if file.suffix.lower() == ".gz" else file).suffix.lower()


def json_lines(file: Path, encoding: str, columns: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with its place.

    Args:
        file: the file, plain or gzip.
        encoding: the file's encoding.
        columns: the keys that are read.

    Raises:
        InputError: a line is not an object, or has two values of a key; names file and line.
    """
    for number, line in enumerate(read_lines(file, encoding), start=1):
        if not line.strip():
            continue
        try:
            record, repeated = json_value(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{file}:{number}: expected a JSON object in one line: {error}{_list_hint(line)}"
            ) from error
        if not isinstance(record, dict):
            raise InputError(f"{file}:{number}: expected a JSON object, got {line[:40]}{_list_hint(line)}")
        for column in columns:
            if column in repeated:
                raise InputError(f"{file}:{number}: two values of {column!r}; keep one of them")
        yield f"{file}:{number}", record


def json_value(line: str) -> tuple[Any, list[str]]:
    """What a line of JSON holds, and the keys that it has twice if it is an object; their last values are held.

    Raises:
        ValueError: the line is no JSON.
        RecursionError: it nests too deep.

    Example:
        >>> json_value('{"a": 1, "a": 2, "b": {"c": 0, "c": 0}}')
        ({'a': 2, 'b': {'c': 0}}, ['a'])
    """
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        keys = [key for key, _ in pairs]
        repeated[:] = [] if len(record) == len(keys) else [key for key in record if keys.count(key) > 1]
        return record  # the outermost object comes last, so that ``repeated`` is about it

    return json.loads(line, object_pairs_hook=collect), repeated


def check_record(place: str, names: Collection[str], columns: Mapping[str, str]) -> None:
    """Refuses a row, or a table, that lacks a column.

    Args:
        place: the row's place.
        names: the names of the columns that it has.
        columns: the columns that are read, by option.

    Raises:
        InputError: a column is missing; lists the names.
    """
    for option, column in columns.items():
        if column not in names:
            shown = ", ".join(repr(name[:40]) for name in names) or "none"
            raise InputError(f"{place}: there is no column {column!r} but {shown}: give data.{option}=NAME")


def _list_hint(line: str) -> str:
    begins = line.lstrip()[:1]
    if begins == "[" or line.strip() == "{":
        return "; write a list of objects one object a line"
    return "" if begins == "{" else "; values with a separator between them need a name that ends in .csv or .tsv"


def parquet_rows(file: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a parquet file, each with its place. ``columns`` are those that are read, by option."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        packed = file.suffix.lower() == ".gz"
        with pq.ParquetFile(pa.BufferReader(gzip.decompress(file.read_bytes())) if packed else file) as parquet:
            names = parquet.schema_arrow.names
            for column in columns.values():
                if names.count(column) > 1:
                    raise InputError(f"{file}: {names.count(column)} columns are named {column!r}; rename them")
            check_record(f"{file}, row 1", names, columns)
            for batch in parquet.iter_batches(columns=list(columns.values())):
                for values in zip(*map(_plain_values, batch.columns), strict=True):
                    row += 1
                    yield f"{file}, row {row}", dict(zip(batch.schema.names, values, strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"{file}, after row {row}: text that is not utf-8: {error}") from error
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file} is not a parquet file{broken_parquet(file, error)}") from error


def _plain_values(column: Any) -> list[Any]:
    """The values of a column as Python's; float16 and float32 by their shortest digits (0.1, not 0.10000000149)."""
    import pyarrow as pa

    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        values = column.to_numpy(zero_copy_only=False)
        return [
            None if null else float(str(value))
            for value, null in zip(values, column.is_null().to_pylist(), strict=True)
        ]
    plain: list[Any] = column.to_pylist()
    return plain
