"""Ids in tables: names that tell series, records or speakers apart."""

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.number_columns import Columns, is_missing
from seqlab.errors import InputError


def read_ids(columns: Columns, column: str, option: str, mend: str) -> list[str]:
    """The id of each row, compared as labels are: white space and characters of no width around it do not count.

    Args:
        columns: the table.
        column: the column of ids.
        option: the option that names it, such as "data.id".
        mend: what to do where a row has no id, for the message.

    Raises:
        InputError: there is no such column, or a row has no id, whose place it names.

    Example:
        >>> read_ids(Columns({"who": ["A", " A\\u00a0"]}, ["a.csv:2", "a.csv:3"]), "who", "data.speaker", "say who")
        ['A', 'A']
    """
    ids = []
    for value, place in zip(columns.column(column, option), columns.places, strict=True):
        name = strip_label(str(value))
        if is_missing(value) or is_blank(name) or name == "nan":
            raise InputError(f"{place}: {column} is empty; {mend}")
        ids.append(name)
    return ids
