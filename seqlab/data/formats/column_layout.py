"""How a file of columns is laid out: what separates its columns, which of them are read, which lines hold no word.

All lines of the file decide this together, so the layout is made of the whole file.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.column_split import BLANKS, Split, split_at_blanks, splitter
from seqlab.data.formats.separators import shared_marks
from seqlab.errors import InputError

DOCUMENT_START: Final = "-DOCSTART-"  # a line of its own in CoNLL-2003, and not a word


class Columns(NamedTuple):
    """How a file of columns is written.

    Attributes:
        word: the column of words: its number from 0 (or from the last, -1), or its name in a file with a header.
        tag: the column of tags.
        separator: what stands between columns; None: a tab where that reads every line alike, else any run of spaces
            and tabs.
        comments: what comments begin with.
        header: whether the first line holds the columns' names; None: it does not, and a warning says so where it seems
            to.
    """

    word: int | str = 0
    tag: int | str = -1
    separator: str | None = None
    comments: tuple[str, ...] = ()
    header: bool | None = None


class ColumnLayout:
    """The layout of one file of columns.

    Args:
        file: the file, for messages.
        lines: its lines, without their ends.
        form: what is known of how it is written.

    Attributes:
        header: the place of the line of column names, from 0; None where there is none.

    Raises:
        InputError: the lines are JSON, two separators read the words or tags differently, or a named column is not
            there; names file and line.
    """

    def __init__(self, file: Path, lines: Sequence[str], form: Columns) -> None:
        self.file, self.lines, self.form = file, lines, form
        self.header = self._find_header()
        self._check_no_json()
        self.split = self._find_split()
        self._widths = {len(self.split(line)) for line in self.rows()} if form.comments else set()
        self.columns = self._numbers() if self.header is not None else (form.word, form.tag)
        self._names = None if self.header is None else folded(self.split(lines[self.header]))
        self._tags = {self.tag(self.split(line)) for line in self.rows()} if form.comments else set()

    def word(self, fields: Sequence[str]) -> str:
        """The word among a line's fields; empty where its column is missing."""
        return self._cell(fields, 0)

    def tag(self, fields: Sequence[str]) -> str:
        """The tag among a line's fields; empty where its column is missing."""
        return self._cell(fields, 1)

    def _cell(self, fields: Sequence[str], which: int) -> str:
        column = self.columns[which]
        assert isinstance(column, int)
        return fields[column] if -len(fields) <= column < len(fields) else ""

    def rows(self) -> Iterator[str]:
        """The lines that certainly hold a word."""
        for number, line in enumerate(self.lines):
            no_word = is_blank(line) or line.startswith(self.form.comments) or number == self.header
            if not no_word and not line.startswith(DOCUMENT_START):
                yield line

    def has_names(self, fields: Sequence[str]) -> bool:
        """Whether a line's fields are the column names of the header."""
        return self._names is not None and folded(fields) == self._names

    def is_comment(self, line: str) -> bool:
        """Whether a line is a comment.

        A line that begins with a mark without letters, such as ``#``, is a word all the same in two cases: it has as
        many columns as others and no space follows the mark (``#hashtag``), or spaces stand between the columns and
        another line has its tag.
        """
        marks = [mark for mark in self.form.comments if line.startswith(mark)]
        if not marks:
            return False
        mark = max(marks, key=len)
        after, fields = line[len(mark) :], self.split(line)
        if any(letter.isalnum() or letter.isspace() for letter in mark) or len(fields) not in self._widths:
            return True
        if after and after[0] not in BLANKS:
            return False
        if self.split is split_at_blanks and "\t" not in line:
            return self.tag(fields) not in self._tags
        return not after or after[0] == " "

    def _find_header(self) -> int | None:
        if not self.form.header:
            return None
        marks = self.form.comments
        return next((n for n, line in enumerate(self.lines) if line.strip() and not line.startswith(marks)), None)

    def _check_no_json(self) -> None:
        first = next(self.rows(), "")
        if first.startswith(("{", "[")) and _is_json(first):
            number = self.lines.index(first) + 1
            raise InputError(f"{self.file}:{number}: this is a line of JSON: expected a word and its tag a line")

    def _find_split(self) -> Split:
        form = self.form
        split, differs = splitter(form.separator, self.rows(), (form.word, form.tag))
        if split is None:
            raise InputError(
                f"{self.file}:{self.lines.index(differs) + 1}: tabs, or any run of spaces and tabs, may stand "
                "between the columns, and they read the word or its tag differently: give data.separator=tab or "
                "data.separator=whitespace"
            )
        return split

    def _numbers(self) -> tuple[int, int]:
        """The numbers of the columns of words and tags in a file with a header."""
        assert self.header is not None
        names = self.split(self.lines[self.header])
        numbers = []
        for option, column in (("word_column", self.form.word), ("tag_column", self.form.tag)):
            if isinstance(column, str):
                if names.count(column) != 1:
                    lack = "two columns" if column in names else "no column"
                    marks = shared_marks([self.lines[self.header]], self.form.separator) if len(names) == 1 else []
                    mend = f"data.separator={marks[0]}" if marks else f"data.{option}=NAME, or its number from 0"
                    raise InputError(
                        f"{self.file}:{self.header + 1}: there is {lack} {column!r} among "
                        f"{', '.join(map(repr, names))}: give {mend}"
                    )
                column = names.index(column)
            numbers.append(column)
        return numbers[0], numbers[1]


def folded(fields: Sequence[str]) -> list[str]:
    """Fields without the differences of case and surrounding spaces."""
    return [strip_label(field).casefold() for field in fields]


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), (dict, list))
    except (ValueError, RecursionError):
        return False
