"""Rows of labelled texts from csv, tsv, jsonl and parquet files, with the line of whatever is wrong in them.

Python's csv module splits the fields, not pandas or pyarrow: those guess types ("01" becomes 1, "NA" nothing), fill or
shift ragged rows without a word, and know no line numbers of rows whose fields span lines.
"""

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from seqlab.data.core.labels import LabelNames, short_repr
from seqlab.data.formats.kinds import kind_of_file, seems_to_be
from seqlab.data.formats.separated import Separated, read_separated
from seqlab.data.formats.separators import Writing
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

TABLES: Final = ".csv, .tsv, .jsonl or .parquet"
_SEPARATED: Final = {".csv": ",", ".tsv": "\t"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class LabelledText(NamedTuple):
    """A text, its label, and where it stands, for messages: ``file:line``."""

    text: str
    label: str
    place: str


@dataclass(frozen=True)
class TableFormat(Writing):
    """Which columns of a table are read, and how it is written.

    Args:
        text: the column of texts: its name, or in separated values its number, from 0, or from the last by -1.
        label: the same for the labels.
        encoding, separator, header, quoting: see :class:`~seqlab.data.formats.separators.Writing`; a first line names
            the columns unless ``header`` is false, and without ``separator`` a tab stands in .tsv.

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
    """The rows of a csv, tsv, jsonl or parquet file.

    Args:
        file: csv, tsv, jsonl or parquet, by its ending.
        form: its columns, and how it is written.
        names: give labels their classes.

    Raises:
        InputError: another ending, a broken file, or a row that lacks its text or label; names file and line.
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
    """A row of a table.

    Args:
        text: what its column of texts holds.
        label: what its column of labels holds.
        place: where it stands.
        form: names the columns, for messages.
        names: gives the label its class, see :class:`~seqlab.data.core.labels.LabelNames`.
        written: whether the label is text as written, as in csv.

    Raises:
        InputError: the text is none, or there is no label.
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
    """The text with U+FFFD in place of each half of a surrogate pair, which no encoding can hold, and their number.

    Example:
        >>> without_surrogates("cut \\ud83d")
        ('cut \ufffd', 1)
    """
    return _SURROGATE.subn("\ufffd", text)


def ending_of(file: Path) -> str:
    """The ending of a file's name in small letters, ``.gz`` aside."""
    return (file.with_suffix("") if file.suffix.lower() == ".gz" else file).suffix.lower()


def json_lines(file: Path, encoding: str, columns: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with its place.

    Args:
        file: plain or gzip.
        encoding: the file's encoding.
        columns: the keys that are read.

    Raises:
        InputError: a line is no object, or has two values of one of the ``columns``; names file and line.
    """
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        keys = [key for key, _ in pairs]
        repeated[:] = [] if len(record) == len(keys) else [key for key in record if keys.count(key) > 1]
        return record  # the outermost object comes last, so that ``repeated`` is about it

    for number, line in enumerate(read_lines(file, encoding), start=1):
        if not line.strip():
            continue
        repeated.clear()
        try:
            record = json.loads(line, object_pairs_hook=collect)
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


def check_record(place: str, names: Collection[str], columns: Mapping[str, str]) -> None:
    """Refuses a row, or a table, of these ``names`` that lacks one of the ``columns``, which are given by option.

    Args:
        place: where the row stands.
        names: that it has.
        columns: that it needs, by option.

    Raises:
        InputError: it does; lists the names.
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
    """The rows of a parquet file, each with its place; ``columns`` are given by option."""
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
        reason = seems_to_be(file) or " ".join(str(error).split())
        raise InputError(f"{file} is not a parquet file: {reason}") from error


def _plain_values(column: Any) -> list[Any]:
    """A column's values as Python's; floats of few bits by their shortest digits (0.1, not 0.10000000149)."""
    import pyarrow as pa

    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        values = column.to_numpy(zero_copy_only=False)
        return [
            None if null else float(str(value))
            for value, null in zip(values, column.is_null().to_pylist(), strict=True)
        ]
    found: list[Any] = column.to_pylist()
    return found
