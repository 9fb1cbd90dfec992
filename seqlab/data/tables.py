"""Rows of labelled texts from csv, tsv, jsonl and parquet files, with the line of whatever is wrong in them."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.data.examples import read_lines
from seqlab.errors import InputError


class LabelledText(NamedTuple):
    """A text, its label, and where it stands, for messages: ``file:line``."""

    text: str
    label: str
    place: str


def read_table(file: Path, text: str, label: str, encoding: str) -> Iterator[LabelledText]:
    """The rows of a csv, tsv, jsonl or parquet file.

    Raises:
        InputError: another ending, a broken file, or a row that lacks its text or label; names file and line.
    """
    ending = (file.with_suffix("") if file.suffix == ".gz" else file).suffix.lower()
    if ending in (".csv", ".tsv"):
        records = _separated(file, "," if ending == ".csv" else "\t", encoding)
    elif ending in (".jsonl", ".ndjson", ".json"):
        records = _json_lines(file, encoding)
    elif ending == ".parquet":
        records = _parquet(file, text, label)
    else:
        raise InputError(f"{file}: expected a file that ends in .csv, .tsv, .jsonl or .parquet, got {ending or 'none'}")
    for place, record in records:
        for column in (text, label):
            if column not in record:
                option = "text" if column == text else "label"
                names = ", ".join(map(repr, record))
                raise InputError(f"{place}: there is no column {column!r} but {names}: give data.{option}=NAME")
        yield labelled_row(record[text], record[label], place, text, label)


def labelled_row(text: Any, label: Any, place: str, text_column: str, label_column: str) -> LabelledText:
    """A row of a table, its label as text.

    Raises:
        InputError: the text is none, or there is no label.
    """
    if not isinstance(text, str):
        raise InputError(f"{place}: expected text in {text_column!r}, got {text!r}")
    if label is None or label == "" or isinstance(label, (dict, list)):
        raise InputError(f"{place}: expected a label in {label_column!r}, got {label!r}")
    return LabelledText(text, str(label), place)


def _separated(file: Path, delimiter: str, encoding: str) -> Iterator[tuple[str, dict[str, Any]]]:
    content = io.StringIO("\n".join(read_lines(file, encoding)), newline="")
    if delimiter == "\t":
        reader = csv.reader(content, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(content, delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next(reader, None)
        if not header:
            raise InputError(f"{file}:1: expected a line of column names, got an empty one")
        line = reader.line_num + 1
        for values in reader:
            if len(values) != len(header):
                mend = "" if delimiter == "\t" else "; put a value that holds a comma in double quotes"
                raise InputError(
                    f"{file}:{line}: expected {len(header)} columns ({', '.join(header)}), got {len(values)}{mend}"
                )
            yield f"{file}:{line}", dict(zip(header, values, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{file}:{line}: {error}") from error


def _json_lines(file: Path, encoding: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(read_lines(file, encoding), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{file}:{number}: expected a JSON object in one line: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f"{file}:{number}: expected a JSON object, got {line[:40]}")
        yield f"{file}:{number}", record


def _parquet(file: Path, *columns: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            kept = [name for name in columns if name in names]
            # Where a column is missing, all names are shown; otherwise the other columns are not worth reading.
            batches = parquet.iter_batches(columns=kept if len(kept) == len(columns) else names)
            row = 0
            for batch in batches:
                for record in batch.to_pylist():
                    yield f"{file}, row {row}", record
                    row += 1
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file} is not a parquet file: {' '.join(str(error).split())}") from error
