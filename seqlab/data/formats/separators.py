"""The options that say how a table of separated values is written: ``data.separator`` and its neighbours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from seqlab.errors import InputError

SEPARATORS: Final = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
NAMES: Final = {character: name for name, character in SEPARATORS.items()}
"""The names of separators in messages."""


def separator_of(text: str | None) -> str | None:
    """The separator that ``data.separator`` names, by its characters, its name, or ``\\t`` in any quoting.

    Args:
        text: the option; None: none is given.

    Raises:
        InputError: the option is empty, or holds a line break or a double quote.

    Example:
        >>> [separator_of(option) for option in ("tab", "\\\\t", "\\t", "|", "Space", None)]
        ['\\t', '\\t', '\\t', '|', ' ', None]
    """
    if text is None:
        return None
    plain = re.sub(r"\\+t", "\t", str(text))
    separator = SEPARATORS.get(plain.lower(), plain)
    if not separator or any(character in separator for character in '\n\r"'):
        raise InputError(
            f"data.separator={text!r} must be a character, or one of {', '.join(SEPARATORS)}; null: by the file"
        )
    return separator


def shared_marks(lines: Sequence[str], but: str | None = None) -> list[str]:
    """The names of separators other than ``but`` that stand in all of some lines, and in each equally often.

    Example:
        >>> shared_marks(["word,tag", "a cat,NOUN"]), shared_marks(["a,b", "a,b,c"])
        (['comma'], [])
    """
    counts = {mark: {line.count(mark) for line in lines} for mark in NAMES if mark not in (" ", but)}
    return [NAMES[mark] for mark, numbers in counts.items() if len(numbers) == 1 and numbers != {0}]


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How a table is written. All fields but ``encoding`` are for separated values.

    Args:
        encoding: the file's encoding; parquet has none.
        separator: what stands between two values: one or more characters, or ``comma``, ``tab``, ``semicolon``,
            ``pipe`` or ``space``; None: by the file's ending, a comma in .csv.
        header: whether the first line holds the column names; None: it does if a column is given by name.
        quoting: "standard": values in double quotes may contain separators and line breaks; "none": quotes are ordinary
            characters; None: standard, but a file that can be read both ways, or whose quoted value seems to contain
            rows, is refused.

    Raises:
        InputError: an option is wrong.
    """

    encoding: str = "utf-8"
    separator: str | None = None
    header: bool | None = None
    quoting: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "separator", separator_of(self.separator))
        if self.quoting not in (None, "standard", "none"):
            raise InputError(f"data.quoting={self.quoting} must be standard, none, or null")
        if not isinstance(self.header, (bool, type(None))):
            raise InputError(f"data.header={self.header} must be true, false or null")

    def check_column(self, option: str) -> None:
        """Refuses a column that is neither a name nor a number, or a name where no line holds the names.

        Args:
            option: the field of the column.

        Raises:
            InputError: the column is wrong.
        """
        column = getattr(self, option)
        if isinstance(column, bool) or not isinstance(column, (str, int)) or column == "":
            raise InputError(f"data.{option}={column} must be the name of a column, or its number from 0")
        if self.header is False and not isinstance(column, int):
            raise InputError(
                f"data.{option}={column} must be the column's number, from 0, as data.header=false says that "
                f"no line names the columns: give data.{option}=NUMBER"
            )

    def of_separated(self) -> dict[str, object]:
        """The options that are for separated values alone; None for a default."""
        return {"separator": self.separator, "header": self.header, "quoting": self.quoting}

    def of_files(self) -> dict[str, object]:
        """The options that are for files alone, not for a data set of the hub; None for a default."""
        return {**self.of_separated(), "encoding": None if self.encoding == "utf-8" else self.encoding}
