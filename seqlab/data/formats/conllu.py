"""Tagged sentences of CoNLL-U files. Errors name the line.

The reader is our own, because `conllu` and `pyconll` give no line numbers, and accept lines with too few columns and
ids that do not count the words of a sentence.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.column_split import BLANKS
from seqlab.data.formats.sentences import Block, TaggedSentence
from seqlab.errors import InputError

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
CONLLU_TAGS = ("upos", "xpos")
NO_WORD_ID: Final = re.compile(r"\d+-\d+|\d+\.\d+")  # the id of a multiword token or an empty node
COMMENTS_ALONE = "blocks of comments alone"

_ID: Final = re.compile(r"\d+")
_PLUS: Final = "# global.columns ="  # begins the first line of CoNLL-U Plus, which names the columns


def is_conllu(lines: Sequence[str]) -> bool:
    """Whether lines look like CoNLL-U: ten columns with tabs between them, the first of which counts words from 1.

    Example:
        >>> is_conllu(["1\\ta\\ta\\tX\\tXX\\t_\\t0\\troot\\t_\\t_"]), is_conllu(["a\\tX"])
        (True, False)
    """
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")][:50]
    whole = all(
        len(row) == len(CONLLU_COLUMNS) and (_ID.fullmatch(row[0]) or NO_WORD_ID.fullmatch(row[0])) for row in rows
    )
    return whole and any(row[0] == "1" for row in rows)


def read_conllu(
    file: Path, lines: Sequence[str], tag_column: str = "upos", left_out: Counter[str] | None = None
) -> Iterator[TaggedSentence]:
    """Reads the sentences of a CoNLL-U file (Nivre et al. 2016).

    Lines of multiword tokens (``3-4``) and of empty nodes (``3.1``) are left out and counted: the words that they stand
    for have lines of their own. So are blocks of comments alone. The tag ``_``, for a word without a tag, is a tag like
    others. CoNLL-U Plus, whose first line names the columns, is read too.

    Args:
        file: the file, for messages.
        lines: its lines, without their ends.
        tag_column: "upos" or "xpos".
        left_out: counts the lines that are left out, by kind.

    Raises:
        InputError: a line has more or fewer than ten columns, ids do not count the words of a sentence, a word or tag
            is empty, or a sentence has no word; names file and line.
    """
    omitted = Counter[str]() if left_out is None else left_out
    names: tuple[str, ...] = CONLLU_COLUMNS
    if lines and lines[0].startswith(_PLUS):
        names = tuple(lines[0].removeprefix(_PLUS).lower().split())
        if missing := [name for name in ("id", "form", tag_column) if name not in names]:
            raise InputError(f"{file}:1: the columns {' '.join(names)} lack {' and '.join(missing)}")
    number_column, form_column, column = (names.index(name) for name in ("id", "form", tag_column))
    block, begun, commented = Block(file), 0, False
    for number, line in enumerate([*lines, ""], start=1):
        place = f"{file}:{number}"
        if is_blank(line):
            if block.words:
                yield block.take()
            elif begun:
                raise InputError(f"{file}:{begun}: a sentence without words")
            omitted[COMMENTS_ALONE] += commented and not begun
            begun, commented = 0, False
            continue
        if line.startswith("#"):
            commented = True
            continue
        begun = begun or number
        fields = line.split("\t")
        if len(fields) != len(names):
            raise InputError(
                f"{place}: expected {len(names)} columns with tabs between them, as CoNLL-U has, got {len(fields)}; "
                "a file of a word and its tags a line takes data.format=columns"
            )
        if NO_WORD_ID.fullmatch(fields[number_column]):
            omitted["multiword tokens" if "-" in fields[number_column] else "empty nodes"] += 1
            continue
        if fields[number_column] != str(len(block.words) + 1):
            raise InputError(
                f"{place}: expected the id {len(block.words) + 1}, got {fields[number_column]!r}; sentences end with a "
                "blank line"
            )
        word, tag = fields[form_column].strip(BLANKS), strip_label(fields[column])
        if not word or not tag:
            empty, cell = (tag_column, fields[column]) if word else ("form", fields[form_column])
            raise InputError(f"{place}: the word has no {empty}: {cell!r}")
        block.add(word, tag, number)
