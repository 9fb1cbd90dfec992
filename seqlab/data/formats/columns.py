"""Sentences from files of columns: a word a line, its tag in another column, a blank line after each sentence.

What a line is (a word, a comment, names, nothing) is told from all the lines of its file, so one class reads it whole.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.column_split import BLANKS, Split, split_at_blanks, splitter
from seqlab.data.formats.conllu import CONLLU_COLUMNS, NO_WORD_ID
from seqlab.data.formats.sentences import Block, TaggedSentence
from seqlab.data.formats.separators import NAMES
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

DOCUMENT_START = "-DOCSTART-"  # a line of its own in CoNLL-2003, and no word
COMMENTS = "lines of comments"
HEADERS = "lines of column names"

_NAMES_OF_WORDS: Final = frozenset({"word", "words", "token", "tokens", "form", "forms", "text"})
_NAMES_OF_TAGS: Final = frozenset(
    {"tag", "tags", "label", "labels", "pos", "upos", "xpos", "ner", "ner_tag", "ner_tags", "entity", "class", "bio"}
)
_OTHER_COLUMN: Final = "other columns take data.word_column=NUMBER and data.tag_column=NUMBER, from 0"
_MARK: Final = re.compile(r"(#+|;+|%+|//+|--+|!+|\*+|<!--|@)(?=[ \t\w])")  # with which comments begin elsewhere
_FREE_COLUMNS: Final = 11  # so many columns, or more, have CoNLL-2009 and 2012, whose sentences differ in their number


class Columns(NamedTuple):
    """How a file of columns is written.

    Attributes:
        word: the column of words: its number from 0 (or from the last, -1), or its name in a file with a header.
        tag: the column of tags.
        separator: what stands between columns; None: a tab where that reads every line alike, else any run of spaces
            and tabs.
        comments: what comments begin with.
        header: whether the first line holds the columns' names; None: it does not, and one that looks so is told.
    """

    word: int | str = 0
    tag: int | str = -1
    separator: str | None = None
    comments: tuple[str, ...] = ()
    header: bool | None = None


_DEFAULT: Final = Columns()


def read_columns(
    file: Path,
    lines: Sequence[str],
    form: Columns = _DEFAULT,
    left_out: Counter[str] | None = None,
    widths: list[int] | None = None,
) -> Iterator[TaggedSentence]:
    """The sentences of a file with a word a line, its tag in another column, and a blank line after each sentence.

    Several blank lines are as one, and so is a line of separators alone. Comments, column names and lines of
    ``-DOCSTART-`` are left out; ``left_out`` counts them. A line that begins with a mark of comments without letters,
    such as ``#``, is a word all the same where its columns are those of the others and no space follows (``#hashtag``),
    or where spaces stand between the columns and its tag is one of the others. Words and tags are stripped. The number
    of columns is added to ``widths`` where it is below 11.

    Args:
        file: what the lines are from, for messages.
        lines: of the file, without their ends.
        form: how they are written.
        left_out: counts the lines that are left out, by kind.
        widths: takes the number of columns.

    Raises:
        InputError: a line has more or fewer columns than the first (of 11 columns or more, sentences may differ in
            their number where word and tag are counted from the front), there is no such column, a word or tag is
            empty, the column of words holds their numbers, or a line of column names looks like data; names file and
            line.
    """
    reader = _ColumnReader(file, lines, form, Counter() if left_out is None else left_out)
    numbers_alone, longest = True, 0
    for sentence in reader.sentences():
        numbers_alone = numbers_alone and _counts(sentence.words)
        longest = max(longest, len(sentence.words))
        yield sentence
    if widths is not None and 0 < reader.width < _FREE_COLUMNS:
        widths.append(reader.width)
    if numbers_alone and longest > 1:
        raise InputError(reader.of_numbers())


def _counts(words: Sequence[str]) -> bool:
    """Whether words are the ids 1, 2, 3, ... (or from 0) of a sentence's words."""
    ids = [word for word in words if not NO_WORD_ID.fullmatch(word)]
    start = {"0": 0, "1": 1}.get(ids[0]) if ids else 1
    return start is not None and ids == [str(number) for number in range(start, start + len(ids))]


class _ColumnReader:
    """Reads a file of columns: what comes between them, and how many there are, is told from all its lines."""

    def __init__(self, file: Path, lines: Sequence[str], form: Columns, left_out: Counter[str]) -> None:
        self._file, self._lines, self._form, self._left_out = file, lines, form, left_out
        self.width = 0  # columns of the first word, once it has been read
        self._header = self._find_header()
        self._check_no_json()
        self._split = self._find_split()
        self._widths = {len(self._split(line)) for line in self._rows()} if form.comments else set()
        self._columns = self._numbers() if self._header is not None else (form.word, form.tag)
        self._names = None if self._header is None else _folded(self._split(lines[self._header]))
        self._tags = {self._cell(self._split(line), 1) for line in self._rows()} if form.comments else set()
        if form.header is None:
            self._warn_of_header()
        if self._header is not None:
            self._check_header(self._header)
        if not form.comments:
            self._warn_of_comments()

    def sentences(self) -> Iterator[TaggedSentence]:
        block, file = Block(self._file), self._file
        expected: tuple[int, int] | None = None  # a width, and the line of which it is
        for number, line in enumerate([*self._lines, ""], start=1):
            fields = self._split(line)
            if all(map(is_blank, fields)):
                if block.words:
                    yield block.take()
                continue
            if self._is_comment(line):
                self._left_out[COMMENTS] += 1
                continue
            if self._names is not None and _folded(fields) == self._names:
                self._left_out[HEADERS] += 1
                continue
            if fields[0] == DOCUMENT_START or self._cell(fields, 0) == DOCUMENT_START:
                if block.words:
                    yield block.take()
                self._left_out[f"lines of {DOCUMENT_START}"] += 1
                continue
            if expected is None or (not block.words and self._may_differ(fields)):
                expected = len(fields), number
                self._check_columns(number, len(fields))
                self.width = self.width or len(fields)
            if len(fields) != expected[0]:
                raise InputError(self._ragged(number, line, len(fields), *expected))
            word, tag = self._cell(fields, 0), strip_label(self._cell(fields, 1))
            if not word or not tag:
                raise InputError(f"{file}:{number}: the {'tag' if word else 'word'} is empty; {_OTHER_COLUMN}")
            block.add(word, tag, number)

    def of_numbers(self) -> str:
        """That the column of words holds numbers of words, and of which format the file seems to be."""
        row = next(self._rows())
        width = len(self._split(row))
        mend = "data.word_column=NUMBER and data.tag_column=NUMBER"
        if width == len(CONLLU_COLUMNS):
            mend = "data.format=conllu" if row.count("\t") == width - 1 else "data.word_column=1 data.tag_column=3"
            kind = "; it looks like CoNLL-U"
        elif width > len(CONLLU_COLUMNS) + 3:
            kind, mend = "; it looks like CoNLL-2009", "data.word_column=1 data.tag_column=4"
        else:
            kind = ""
        return f"{self._file}: the column of words holds their numbers 1, 2, 3, ... in each sentence{kind}: give {mend}"

    def _cell(self, fields: Sequence[str], which: int) -> str:
        """The word (0) or tag (1) of a line's fields; empty where there is no such column."""
        column = self._columns[which]
        assert isinstance(column, int)
        return fields[column] if -len(fields) <= column < len(fields) else ""

    def _rows(self) -> Iterator[str]:
        """The lines that surely hold a word."""
        for number, line in enumerate(self._lines):
            sure = not is_blank(line) and not line.startswith(self._form.comments) and number != self._header
            if sure and not line.startswith(DOCUMENT_START):
                yield line

    def _find_header(self) -> int | None:
        """The place of the line of names."""
        if not self._form.header:
            return None
        marks = self._form.comments
        return next((n for n, line in enumerate(self._lines) if line.strip() and not line.startswith(marks)), None)

    def _check_no_json(self) -> None:
        first = next(self._rows(), "")
        if first.startswith(("{", "[")) and _is_json(first):
            number = self._lines.index(first) + 1
            raise InputError(f"{self._file}:{number}: this is a line of JSON: expected a word and its tag a line")

    def _find_split(self) -> Split:
        form = self._form
        split, differs = splitter(form.separator, self._rows(), (form.word, form.tag))
        if split is None:
            raise InputError(
                f"{self._file}:{self._lines.index(differs) + 1}: tabs, or any run of spaces and tabs, may stand "
                "between the columns, and they read the word or its tag differently: give data.separator=tab or "
                "data.separator=whitespace"
            )
        return split

    def _numbers(self) -> tuple[int, int]:
        """The numbers of the columns in a file with a header."""
        assert self._header is not None
        names = self._split(self._lines[self._header])
        numbers = []
        for option, column in (("word_column", self._form.word), ("tag_column", self._form.tag)):
            if isinstance(column, str):
                if names.count(column) != 1:
                    lack = "two columns" if column in names else "no column"
                    raise InputError(
                        f"{self._file}:{self._header + 1}: there is {lack} {column!r} among "
                        f"{', '.join(map(repr, names))}: give data.{option}=NAME, or its number from 0"
                    )
                column = names.index(column)
            numbers.append(column)
        return numbers[0], numbers[1]

    def _check_columns(self, number: int, width: int) -> None:
        place, columns = f"{self._file}:{number}", []
        for option, column in zip(("word_column", "tag_column"), self._columns, strict=True):
            assert isinstance(column, int)
            if not -width <= column < width:
                raise InputError(f"{place}: there is no column {column} among {width}: give data.{option}=NUMBER")
            columns.append(column % width)
        if columns[0] == columns[1]:
            mend = self._of_one_column(number) if width == 1 else "give data.word_column= and data.tag_column="
            raise InputError(f"{place}: the word and the tag are one column of {width}; {mend}")

    def _of_one_column(self, number: int) -> str:
        """What to give where a line has one column alone."""
        line = self._lines[number - 1]
        if (mark := _mark_of(line)) and not self._form.comments:
            return f"lines of comments take 'data.comments=\"{mark}\"'"
        names = [name for mark, name in NAMES.items() if mark in line and mark != self._form.separator]
        return f"give data.separator={names[0] if names else ''}"

    def _may_differ(self, fields: Sequence[str]) -> bool:
        """Whether a sentence may have another number of columns than the one before."""
        counted = all(isinstance(column, int) and column >= 0 for column in self._columns)
        return counted and len(fields) >= _FREE_COLUMNS

    def _is_comment(self, line: str) -> bool:
        marks = [mark for mark in self._form.comments if line.startswith(mark)]
        if not marks:
            return False
        mark = max(marks, key=len)
        after, fields = line[len(mark) :], self._split(line)
        if any(letter.isalnum() or letter.isspace() for letter in mark) or len(fields) not in self._widths:
            return True
        if after and after[0] not in BLANKS:
            return False
        if self._split is split_at_blanks and "\t" not in line:
            return self._cell(fields, 1) not in self._tags
        return not after or after[0] == " "

    def _ragged(self, number: int, line: str, width: int, expected: int, first: int) -> str:
        message = f"{self._file}:{number}: expected {expected} columns as in line {first}, got {width}"
        marks = [mark for text in (line, self._lines[first - 1]) if (mark := _mark_of(text))]
        if marks and not self._form.comments:
            return f"{message}; lines of comments take 'data.comments=\"{marks[0]}\"'"
        if min(width, expected) >= _FREE_COLUMNS:
            mend = "data.word_column=NUMBER and data.tag_column=NUMBER from the front"
            return f"{message}; where sentences differ in their columns, as in CoNLL-2009 and 2012, give {mend}"
        if self._form.separator is None:
            return f"{message}; words with spaces take data.separator=tab"
        return message

    def _warn_of_header(self) -> None:
        first = next(self._rows(), "")
        word, tag = (self._cell(self._split(first), which).lower() for which in (0, 1))
        if tag in _NAMES_OF_TAGS or (word in _NAMES_OF_WORDS and not self._occurs_again(tag, first)):
            number = self._lines.index(first) + 1
            log.warning(
                "%s:%d: the first line looks like column names (%s) and is read as a word: leave it out by "
                "data.header=true, or keep it by data.header=false",
                self._file,
                number,
                ", ".join(self._split(first)),
            )

    def _check_header(self, header: int) -> None:
        """Refuses a line of names that is data, of columns by number; tells of the names otherwise.

        Raises:
            InputError: its tag is that of other rows too.
        """
        names = self._split(self._lines[header])
        tag, place = self._cell(names, 1), f"{self._file}:{header + 1}"
        by_number = isinstance(self._form.word, int) and isinstance(self._form.tag, int)
        if by_number and tag.lower() not in _NAMES_OF_TAGS and self._occurs_again(tag.lower(), self._lines[header]):
            raise InputError(
                f"{place}: the line of column names looks like data, for its tag {tag!r} is that of other rows too: "
                "leave data.header=true out"
            )
        log.info("%s: the line of column names: %s", place, ", ".join(names))

    def _occurs_again(self, tag: str, first: str) -> bool:
        names = _folded(self._split(first))
        rows = (self._split(line) for line in self._rows() if line != first)
        return any(self._cell(row, 1).lower() == tag for row in rows if _folded(row) != names)

    def _warn_of_comments(self) -> None:
        starts = [
            line
            for before, line in zip(["", *self._lines], self._lines, strict=False)
            if is_blank(before) and not is_blank(line)
        ]
        if not any(map(_mark_of, starts)):
            return
        plain = {self._cell(self._split(line), 1) for line in self._lines if not _mark_of(line)}
        marked = [line for line in starts if self._like_comment(line, plain)]
        if len(marked) > 1 and 2 * len(marked) > len(starts):
            log.warning(
                "%s: %d of %d sentences begin with a line such as %r, which is read as a word: leave such lines out by "
                "'data.comments=\"%s\"'",
                *(self._file, len(marked), len(starts), marked[0][:60], _mark_of(marked[0])),
            )
        elif starts and self._like_comment(starts[0], plain):
            log.warning(
                "%s:%d: the first line looks like a comment, and is read as a word (%r): leave such lines out by "
                "'data.comments=\"%s\"'",
                *(self._file, self._lines.index(starts[0]) + 1, starts[0][:60], _mark_of(starts[0])),
            )

    def _like_comment(self, line: str, tags: Collection[str]) -> bool:
        """Whether a line has the form of a comment; ``tags`` are those of the lines that have not."""
        if re.match(r"#( |\w+ ?=)", line):
            return True
        mark = _mark_of(line)
        alone = bool(mark) and line.lstrip("#;%/-!*<@")[:1].isspace()
        return alone and self._cell(self._split(line), 1) not in tags


def _mark_of(line: str) -> str:
    """The mark of a line that may be a comment; empty where there is none."""
    match = _MARK.match(line)
    return "" if match is None else "#" if match[1][0] == "#" else match[1]


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), (dict, list))
    except (ValueError, RecursionError):
        return False


def _folded(fields: Sequence[str]) -> list[str]:
    return [strip_label(field).casefold() for field in fields]
