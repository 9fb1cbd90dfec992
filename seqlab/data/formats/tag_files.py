"""Tagged sentences of files in CoNLL-U or in columns, whichever format a file has."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from seqlab.data.core.summary import counted
from seqlab.data.formats.column_layout import Columns
from seqlab.data.formats.columns import read_columns
from seqlab.data.formats.conllu import CONLLU_TAGS, is_conllu, read_conllu
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.separators import separator_of
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

FORMATS = ("conllu", "columns")
SOME: Final = 10
"""From this number of words on, it is odd that a file has one word alone, or one sentence."""
LONG: Final = 100
"""Above this number of words, a file that is one sentence gets a warning."""


@dataclass(frozen=True)
class TagFormat:
    """How files of tagged sentences are written.

    Args:
        format: "conllu" or "columns"; None: conllu for files that end in .conllu or .conllup (and .gz), and for files
            that look like it where no option is for columns; else columns.
        word_column: in columns, the column of words: a number from 0, or with ``header`` a name; None: 0.
        tag_column: in CoNLL-U, "upos" (None) or "xpos"; in columns, the column of tags: a number from 0 or from the
            last (-1), or with ``header`` a name; None: -1.
        separator: in columns, what stands between them: a character, or "tab", "space", "comma", "semicolon", "pipe",
            or "whitespace" for any run of spaces and tabs; None: tabs where these read every line alike, else
            whitespace.
        comments: in columns, what comments begin with, or a list of such beginnings; None: there are none.
        header: in columns, whether the first line of each file holds the columns' names; None: it does not, and a
            warning says so where it seems to.
        encoding: the files' encoding.

    Raises:
        InputError: an option is wrong, or not for the ``format``.
    """

    format: str | None = None
    word_column: int | str | None = None
    tag_column: int | str | None = None
    separator: str | None = None
    comments: str | Sequence[str] | None = None
    header: bool | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            raise InputError(f"data.format={self.format} must be one of {', '.join(FORMATS)}")
        object.__setattr__(self, "separator", separator_of(self.separator))
        marks = [self.comments] if isinstance(self.comments, str) else self.comments or []
        if not all(isinstance(mark, str) and mark.strip() for mark in marks):
            raise InputError(
                f"data.comments={self.comments} must be what comments begin with, such as '#', or a list of such"
            )
        object.__setattr__(self, "comments", tuple(marks) or None)
        if self.format is not None:
            self.columns(self.format)

    def of_files(self) -> dict[str, object]:
        """The options that are for files alone, not for a data set of the hub; None for a default."""
        names = ("format", "separator", "comments", "header")
        encoding = None if self.encoding == "utf-8" else self.encoding
        return {**{name: getattr(self, name) for name in names}, "encoding": encoding}

    def columns(self, format: str) -> Columns:
        """The columns of files of a format. For CoNLL-U only the column of tags counts.

        Args:
            format: "conllu" or "columns".

        Raises:
            InputError: an option is not for the format.
        """
        word, tag = self.word_column, self.tag_column
        if format == "conllu":
            for option in ("word_column", "separator", "header", "comments"):
                if (value := getattr(self, option)) is not None:
                    raise InputError(f"data.{option}={value!r} is for data.format=columns: CoNLL-U settles it")
            if tag not in (None, *CONLLU_TAGS):
                raise InputError(f"data.tag_column={tag} must be {' or '.join(CONLLU_TAGS)} in a CoNLL-U file")
            return Columns(tag=tag or CONLLU_TAGS[0])
        for option, column in (("word_column", word), ("tag_column", tag)):
            if isinstance(column, str) and self.header:
                continue
            if column is not None and (isinstance(column, bool) or not isinstance(column, int)):
                raise InputError(
                    f"data.{option}={column} must be a whole number in a file of columns, from 0, or -1; a name needs "
                    "a line of names and data.header=true"
                )
        return Columns(
            word=0 if word is None else word,
            tag=-1 if tag is None else tag,
            separator=self.separator,
            comments=tuple(self.comments or ()),
            header=self.header,
        )

    def of_file(self, file: Path, lines: Sequence[str]) -> str:
        """The format of a file, by the options, its ending or its lines."""
        if self.format is not None:
            return self.format
        if file.name.lower().removesuffix(".gz").endswith((".conllu", ".conllup")):
            return "conllu"
        options = (self.word_column, self.separator, self.comments, self.header)
        has_columns = any(option is not None for option in options) or isinstance(self.tag_column, int)
        if has_columns or not is_conllu(lines):
            return "columns"
        log.info("%s looks like CoNLL-U and is read so; data.format=columns reads it as columns", file)
        return "conllu"


class TagReader:
    """Reads files of tagged sentences, which must all have one format.

    Args:
        form: how the files are written.
    """

    def __init__(self, form: TagFormat) -> None:
        self._form = form
        self._formats: dict[str, Path] = {}  # the first file of each format
        self._widths: dict[int, Path] = {}  # the first file with each number of columns

    def read(self, file: Path, left_out: Counter[str]) -> list[TaggedSentence]:
        """The sentences of a file.

        Args:
            file: the file, plain or gzip.
            left_out: counts the lines that are left out, by kind.

        Raises:
            InputError: the file is broken, has no sentence, or has another format than an earlier one; see
                ``read_conllu`` and ``read_columns``.
        """
        lines = read_lines(file, self._form.encoding)
        format = self._form.of_file(file, lines)
        self._formats.setdefault(format, file)
        if len(self._formats) > 1:
            shown = " and ".join(f"{other} like {name}" for name, other in self._formats.items())
            raise InputError(f"{shown}: expected files of one format; give data.format={' or '.join(FORMATS)} for all")
        columns = self._form.columns(format)
        if format == "conllu":
            sentences = list(read_conllu(file, lines, str(columns.tag), left_out))
        else:
            widths: list[int] = []
            sentences = list(read_columns(file, lines, columns, left_out, widths))
            self._check_width(file, widths)
        if not sentences:
            raise InputError(f"{file}:1: the file has no sentence; expected {format}")
        _check_words(file, sentences, format)
        return sentences

    def _check_width(self, file: Path, widths: Sequence[int]) -> None:
        """Refuses files with different numbers of columns where ``tag_column`` is not given."""
        self._widths.update({width: file for width in widths if width not in self._widths})
        if len(self._widths) > 1 and self._form.tag_column is None:
            (width, first), (other, second) = self._widths.items()
            raise InputError(
                f"{second} has {counted(other, 'columns')} and {first} {width}: are the tags of both in the last? "
                "Give data.tag_column=-1 where they are, or its number from 0"
            )


def _check_words(file: Path, sentences: Sequence[TaggedSentence], format: str) -> None:
    """Refuses a file whose words are all the same, and warns of one that is a single long sentence.

    Raises:
        InputError: all words are the same.
    """
    first = sentences[0].words[0]
    if sum(len(one.words) for one in sentences) >= SOME and all({first} == set(one.words) for one in sentences):
        hidden = "the treebank comes without its text" if first == "_" else "these are no words"
        mend = "merge the text into the file" if format == "conllu" else "give data.word_column=NUMBER"
        raise InputError(f"{sentences[0].place(0)}: the word of each line is {first!r}, so {hidden}: {mend}")
    if len(sentences) == 1 and len(sentences[0].words) > LONG:
        log.warning(
            "%s: no line is blank, so the file is one sentence of %d words; sentences end with a blank line",
            file,
            len(sentences[0].words),
        )
