"""Sentences from files of columns: a word a line, its tag in another column, a blank line after each sentence."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.column_hints import check_first_line, mark_of, warn_of_comments
from seqlab.data.formats.column_layout import DOCUMENT_START, ColumnLayout, Columns
from seqlab.data.formats.conllu import CONLLU_COLUMNS, NO_WORD_ID
from seqlab.data.formats.sentences import Block, TaggedSentence
from seqlab.data.formats.separators import NAMES, shared_marks
from seqlab.errors import InputError

COMMENTS = "lines of comments"
HEADERS = "lines of column names"

_OTHER_COLUMN: Final = "other columns take data.word_column=NUMBER and data.tag_column=NUMBER, from 0"
_FREE_COLUMNS: Final = 11  # CoNLL-2009 and 2012 have as many columns or more, in a number that differs by sentence

_DEFAULT: Final = Columns()


def read_columns(
    file: Path,
    lines: Sequence[str],
    form: Columns = _DEFAULT,
    left_out: Counter[str] | None = None,
    widths: list[int] | None = None,
) -> Iterator[TaggedSentence]:
    """The sentences of a file with a word a line, its tag in another column, and a blank line after each sentence.

    Several blank lines count as one, and a line of separators alone counts as blank. Comments, column names and lines
    of ``-DOCSTART-`` are left out and counted. Words and tags are stripped.

    Args:
        file: the file, for messages.
        lines: its lines, without their ends.
        form: how it is written.
        left_out: counts the lines that are left out, by kind.
        widths: receives the number of columns, if it is below 11.

    Raises:
        InputError: a line has more or fewer columns than the first (with 11 columns or more, sentences may differ in
            their number where word and tag are counted from the front), there is no such column, a word or tag is
            empty, the column of words holds their numbers, or a line of column names looks like data; names file and
            line.
    """
    layout = ColumnLayout(file, lines, form)
    check_first_line(layout)
    if not form.comments:
        warn_of_comments(layout)
    reader = _ColumnReader(layout, Counter() if left_out is None else left_out)
    numbers_alone, longest = True, 0
    for sentence in reader.sentences():
        numbers_alone = numbers_alone and _counts(sentence.words)
        longest = max(longest, len(sentence.words))
        yield sentence
    if widths is not None and 0 < reader.width < _FREE_COLUMNS:
        widths.append(reader.width)
    if numbers_alone and longest > 1:
        raise InputError(_numbers_for_words(layout))


def _counts(words: Sequence[str]) -> bool:
    """Whether the words are the ids 1, 2, 3, ... (or from 0) of a sentence's words."""
    ids = [word for word in words if not NO_WORD_ID.fullmatch(word)]
    start = {"0": 0, "1": 1}.get(ids[0]) if ids else 1
    return start is not None and ids == [str(number) for number in range(start, start + len(ids))]


class _ColumnReader:
    """Reads the sentences of a file of columns.

    Attributes:
        width: the number of columns of the first word, once it has been read; 0 before.
    """

    def __init__(self, layout: ColumnLayout, left_out: Counter[str]) -> None:
        self._layout, self._left_out = layout, left_out
        self.width = 0

    def sentences(self) -> Iterator[TaggedSentence]:
        layout = self._layout
        block, file = Block(layout.file), layout.file
        expected: tuple[int, int] | None = None  # a number of columns, and the line that has it
        for number, line in enumerate([*layout.lines, ""], start=1):
            fields = layout.split(line)
            if all(map(is_blank, fields)):
                if block.words:
                    yield block.take()
                continue
            if layout.is_comment(line):
                self._left_out[COMMENTS] += 1
                continue
            if layout.has_names(fields):
                self._left_out[HEADERS] += 1
                continue
            if DOCUMENT_START in (fields[0], layout.word(fields)):
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
            word, tag = layout.word(fields), strip_label(layout.tag(fields))
            if not word or not tag:
                raise InputError(f"{file}:{number}: the {'tag' if word else 'word'} is empty; {_OTHER_COLUMN}")
            block.add(word, tag, number)

    def _may_differ(self, fields: Sequence[str]) -> bool:
        """Whether a sentence may have another number of columns than the one before."""
        from_the_front = all(isinstance(column, int) and column >= 0 for column in self._layout.columns)
        return from_the_front and len(fields) >= _FREE_COLUMNS

    def _check_columns(self, number: int, width: int) -> None:
        """Refuses columns of words and tags that a line of ``width`` columns lacks, or that are one."""
        place, columns = f"{self._layout.file}:{number}", []
        for option, column in zip(("word_column", "tag_column"), self._layout.columns, strict=True):
            assert isinstance(column, int)
            if not -width <= column < width:
                raise InputError(f"{place}: there is no column {column} among {width}: give data.{option}=NUMBER")
            columns.append(column % width)
        if columns[0] == columns[1]:
            mend = self._mend_of_one_column(number) if width == 1 else "give data.word_column= and data.tag_column="
            raise InputError(f"{place}: the word and the tag are one column of {width}; {mend}")

    def _mend_of_one_column(self, number: int) -> str:
        """What to give where a line has one column alone."""
        line, form = self._layout.lines[number - 1], self._layout.form
        if (mark := mark_of(line)) and not form.comments:
            return f"lines of comments take 'data.comments=\"{mark}\"'"
        names = [name for mark, name in NAMES.items() if mark in line and mark != form.separator]
        return f"give data.separator={names[0] if names else ''}"

    def _ragged(self, number: int, line: str, width: int, expected: int, first: int) -> str:
        """That a line has another number of columns than the ``first`` one, and what may be the reason."""
        form = self._layout.form
        message = f"{self._layout.file}:{number}: expected {expected} columns as in line {first}, got {width}"
        marks = [mark for text in (line, self._layout.lines[first - 1]) if (mark := mark_of(text))]
        if marks and not form.comments:
            return f"{message}; lines of comments take 'data.comments=\"{marks[0]}\"'"
        if min(width, expected) >= _FREE_COLUMNS:
            mend = "data.word_column=NUMBER and data.tag_column=NUMBER from the front"
            return f"{message}; where sentences differ in their columns, as in CoNLL-2009 and 2012, give {mend}"
        if form.separator is None and (others := shared_marks([self._layout.lines[first - 1], line], "\t")):
            return f"{message}; give data.separator={others[0]}"
        if form.separator is None:
            return f"{message}; words with spaces take data.separator=tab"
        return message


def _numbers_for_words(layout: ColumnLayout) -> str:
    """That the column of words holds the words' numbers, and which format the file seems to have."""
    row = next(layout.rows())
    width = len(layout.split(row))
    kind, mend = "", "data.word_column=NUMBER and data.tag_column=NUMBER"
    if width == len(CONLLU_COLUMNS):
        kind = "; it looks like CoNLL-U"
        mend = "data.format=conllu" if row.count("\t") == width - 1 else "data.word_column=1 data.tag_column=3"
    elif width > len(CONLLU_COLUMNS) + 3:
        kind, mend = "; it looks like CoNLL-2009", "data.word_column=1 data.tag_column=4"
    return f"{layout.file}: the column of words holds their numbers 1, 2, 3, ... in each sentence{kind}: give {mend}"
