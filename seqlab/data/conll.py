"""Sentences with a tag for each word, from CoNLL-U files and from files of columns, with the line of what is wrong."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqlab.data.examples import read_lines
from seqlab.errors import InputError

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
CONLLU_TAGS = ("upos", "xpos")
DOCUMENT_START = "-DOCSTART-"  # a line of its own in CoNLL-2003, and no word


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence, the tag of each word, and where each stands, for messages.

    Attributes:
        words: one or more.
        tags: as many.
        origin: what comes before a word's number in a message, such as ``file:``.
        lines: the number of each word: its line.

    Example:
        >>> TaggedSentence(("Go", "!"), ("VERB", "PUNCT"), "a.conllu:", (7, 8)).place(1)
        'a.conllu:8'
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    origin: str
    lines: Sequence[int]

    def place(self, word: int) -> str:
        """Where a word stands."""
        return f"{self.origin}{self.lines[word]}"


class _Block:
    """The lines between two blank ones, as they come."""

    def __init__(self, file: Path) -> None:
        self._origin = f"{file}:"
        self.words: list[str] = []
        self._tags: list[str] = []
        self._lines: list[int] = []

    def add(self, word: str, tag: str, line: int) -> None:
        self.words.append(word)
        self._tags.append(tag)
        self._lines.append(line)

    def take(self) -> TaggedSentence:
        found = TaggedSentence(tuple(self.words), tuple(self._tags), self._origin, tuple(self._lines))
        self.words, self._tags, self._lines = [], [], []
        return found


def read_conllu(file: Path, tag_column: str = "upos", encoding: str = "utf-8") -> Iterator[TaggedSentence]:
    """The sentences of a CoNLL-U file (Nivre et al. 2016), plain or gzip; ``tag_column`` is "upos" or "xpos".

    Lines of multiword tokens (``3-4``) and of empty nodes (``3.1``) are left out: the words that they stand for have
    lines of their own.

    Raises:
        InputError: a line has not ten columns, ids do not count a sentence's words, a word is empty or has no tag, or a
            sentence has no word; names file and line.
    """
    column, block, begun = CONLLU_COLUMNS.index(tag_column), _Block(file), None
    number = 0
    for number, line in enumerate(read_lines(file, encoding), start=1):
        place = f"{file}:{number}"
        if not line.strip():
            if block.words:
                yield block.take()
            elif begun is not None:
                raise InputError(f"{file}:{begun}: a sentence without words")
            begun = None
            continue
        begun = number if begun is None else begun
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != len(CONLLU_COLUMNS):
            raise InputError(
                f"{place}: expected {len(CONLLU_COLUMNS)} columns with tabs between them, got {len(fields)}"
            )
        if re.fullmatch(r"\d+-\d+|\d+\.\d+", fields[0]):
            continue
        if fields[0] != str(len(block.words) + 1):
            raise InputError(
                f"{place}: expected the id {len(block.words) + 1}, got {fields[0]!r}; sentences end with a blank line"
            )
        if not fields[1].strip() or fields[column] in ("", "_"):
            empty = tag_column if fields[1].strip() else "form"
            raise InputError(f"{place}: the word has no {empty}: {fields[column if empty != 'form' else 1]!r}")
        block.add(fields[1], fields[column], number)
    if block.words:
        yield block.take()
    elif begun is not None:
        raise InputError(f"{file}:{begun}: a sentence without words")


def read_columns(
    file: Path, word_column: int = 0, tag_column: int = -1, separator: str | None = None, encoding: str = "utf-8"
) -> Iterator[TaggedSentence]:
    """The sentences of a file with a word a line, its tag in another column, and a blank line after each sentence.

    Columns are counted from 0, or from the last one by -1, -2, ...; ``separator`` stands between them (None: any run of
    spaces and tabs). Several blank lines are as one, and lines of ``-DOCSTART-`` are left out.

    Raises:
        InputError: a line has more or fewer columns than the first, there is no such column, or a word or tag is empty;
            names file and line.
    """
    block = _Block(file)
    width = first = 0
    for number, line in enumerate(read_lines(file, encoding), start=1):
        place = f"{file}:{number}"
        if not line.strip():
            if block.words:
                yield block.take()
            continue
        fields = re.split(r"[ \t]+", line.strip(" \t")) if separator is None else line.split(separator)
        if fields[0] == DOCUMENT_START:
            continue
        if not width:
            width, first = len(fields), number
            for option, column in (("word_column", word_column), ("tag_column", tag_column)):
                if not -width <= column < width:
                    raise InputError(f"{place}: there is no column {column} among {width}: give data.{option}=NUMBER")
            if word_column % width == tag_column % width:
                mend = "data.separator=" if width == 1 else "data.word_column= and data.tag_column="
                raise InputError(f"{place}: the word and the tag are one column of {width}; give {mend}")
        if len(fields) != width:
            raise InputError(f"{place}: expected {width} columns as in line {first}, got {len(fields)}")
        word, tag = fields[word_column], fields[tag_column]
        if not word.strip() or not tag.strip():
            raise InputError(f"{place}: the {'tag' if word.strip() else 'word'} is empty")
        block.add(word, tag, number)
    if block.words:
        yield block.take()
