"""What a file of columns seems to hold beside words: column names and comments that no option names."""

import logging
import re
from collections.abc import Collection
from typing import Final

from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.column_layout import ColumnLayout, folded
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_NAMES_OF_WORDS: Final = frozenset({"word", "words", "token", "tokens", "form", "forms", "text"})
_NAMES_OF_TAGS: Final = frozenset(
    {"tag", "tags", "label", "labels", "pos", "upos", "xpos", "ner", "ner_tag", "ner_tags", "entity", "class", "bio"}
)
_MARK: Final = re.compile(r"(#+|;+|%+|//+|--+|!+|\*+|<!--|@)(?=[ \t\w])")  # with which comments begin elsewhere


def check_first_line(layout: ColumnLayout) -> None:
    """Warns of a first line that is read as a word and looks like column names; refuses the opposite.

    Raises:
        InputError: the line of column names has the tag of other rows, and the columns are given by number.
    """
    if layout.form.header is None:
        _warn_of_header(layout)
    if layout.header is not None:
        _check_header(layout, layout.header)


def _warn_of_header(layout: ColumnLayout) -> None:
    first = next(layout.rows(), "")
    fields = layout.split(first)
    word, tag = layout.word(fields).lower(), layout.tag(fields).lower()
    if tag in _NAMES_OF_TAGS or (word in _NAMES_OF_WORDS and not _occurs_again(layout, tag, first)):
        log.warning(
            "%s:%d: the first line looks like column names (%s) and is read as a word: leave it out by "
            "data.header=true, or keep it by data.header=false",
            layout.file,
            layout.lines.index(first) + 1,
            ", ".join(fields),
        )


def _check_header(layout: ColumnLayout, header: int) -> None:
    line, place = layout.lines[header], f"{layout.file}:{header + 1}"
    names = layout.split(line)
    tag = layout.tag(names)
    by_number = isinstance(layout.form.word, int) and isinstance(layout.form.tag, int)
    if by_number and tag.lower() not in _NAMES_OF_TAGS and _occurs_again(layout, tag.lower(), line):
        raise InputError(
            f"{place}: the line of column names looks like data, for its tag {tag!r} is that of other rows too: "
            "leave data.header=true out"
        )
    log.info("%s: the line of column names: %s", place, ", ".join(names))


def _occurs_again(layout: ColumnLayout, tag: str, first: str) -> bool:
    """Whether a row other than the first line, and its repetitions, has the tag."""
    names = folded(layout.split(first))
    rows = (layout.split(line) for line in layout.rows() if line != first)
    return any(layout.tag(row).lower() == tag for row in rows if folded(row) != names)


def warn_of_comments(layout: ColumnLayout) -> None:
    """Warns of first lines of sentences that look like comments and are read as words."""
    lines = layout.lines
    starts = [
        line for before, line in zip(["", *lines], lines, strict=False) if is_blank(before) and not is_blank(line)
    ]
    if not any(map(mark_of, starts)):
        return
    tags = {layout.tag(layout.split(line)) for line in lines if not mark_of(line)}
    marked = [line for line in starts if _like_comment(layout, line, tags)]
    if len(marked) > 1 and 2 * len(marked) > len(starts):
        log.warning(
            "%s: %d of %d sentences begin with a line such as %r, which is read as a word: leave such lines out by "
            "'data.comments=\"%s\"'",
            *(layout.file, len(marked), len(starts), marked[0][:60], mark_of(marked[0])),
        )
    elif starts and _like_comment(layout, starts[0], tags):
        log.warning(
            "%s:%d: the first line looks like a comment, and is read as a word (%r): leave such lines out by "
            "'data.comments=\"%s\"'",
            *(layout.file, lines.index(starts[0]) + 1, starts[0][:60], mark_of(starts[0])),
        )


def _like_comment(layout: ColumnLayout, line: str, tags: Collection[str]) -> bool:
    """Whether a line looks like a comment.

    Args:
        layout: of the line's file.
        line: the line.
        tags: the tags of the lines that do not begin like a comment.
    """
    if re.match(r"#( |\w+ ?=)", line):
        return True
    space_follows = bool(mark_of(line)) and line.lstrip("#;%/-!*<@")[:1].isspace()
    return space_follows and layout.tag(layout.split(line)) not in tags


def mark_of(line: str) -> str:
    """The mark of a line that may be a comment; empty where there is none."""
    match = _MARK.match(line)
    return "" if match is None else "#" if match[1][0] == "#" else match[1]
