"""Stories with questions in bAbI's text form (Weston et al. 2015). Errors name the line."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from seqlab.data.core.labels import strip_label
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_LONG = 100  # lines above which a file with one story gets a warning
_UNTABBED = re.compile(r"\?(\s|$)")


class StoryQuestion(NamedTuple):
    """A question, the story before it and its answer.

    Attributes:
        story: the sentences before the question, in order.
        question: the question.
        answer: the answer; one of several parts, such as ``milk,football``, is an answer of its own.
        supports: the positions of the sentences that state the answer, from 0; empty where this is not known.
        group: the number of the story, which all questions about it share.
        place: the question's place, for messages: ``file:line``.
    """

    story: tuple[str, ...]
    question: str
    answer: str
    supports: tuple[int, ...]
    group: int
    place: str


class Stories(NamedTuple):
    """The questions of a text in bAbI's form.

    Attributes:
        questions: the questions, in their order.
        num_stories: the number of stories, with those that have no question.
        num_lines: the number of lines that are not blank.
        jumps: each place at which an id is higher than the next one would be, with the id before it and its own.
    """

    questions: list[StoryQuestion]
    num_stories: int
    num_lines: int
    jumps: list[tuple[str, int, int]]


def read_babi(file: Path, encoding: str = "utf-8") -> Stories:
    """Reads the questions of a file.

    A line is ``ID SENTENCE`` or ``ID QUESTION<tab>ANSWER[<tab>IDS]``; the last are the ids of the sentences that state
    the answer, with spaces between them. Ids of sentences and questions count from 1 in each story, so a 1 begins the
    next story. Blank lines are skipped. A warning names ids that jump, because lines may be missing there, and a file
    that is one long story.

    Args:
        file: the file, plain or gzip.
        encoding: the file's encoding.

    Raises:
        InputError: an id is missing or does not rise, a sentence is empty, a question has no answer or no story before
            it, or the id of a supporting sentence is not in the story; names file and line.
    """
    stories = parse_babi(read_lines(file, encoding), str(file))
    if stories.jumps:
        place, before, after = stories.jumps[0]
        log.warning(
            "%s: the ids of lines jump: places where they do: %d, the first from %d to %d; are lines missing?",
            *(place, len(stories.jumps), before, after),
        )
    if stories.num_stories == 1 and stories.num_lines > _LONG:
        log.warning("%s: all %d lines are one story, for no later id is 1, which begins one", file, stories.num_lines)
    return stories


def parse_babi(lines: Iterable[str], name: str) -> Stories:
    """The questions of some lines; see :func:`read_babi`.

    Args:
        lines: the lines, without their ends.
        name: where the lines come from, for messages.

    Example:
        >>> lines = ["1 Ann is here.", "2 Bob left.", "3 Who left?\\tBob\\t2", "1 Ann left.", "2 Who left?\\tAnn"]
        >>> [(row.story, row.answer, row.supports) for row in parse_babi(lines, "text").questions]
        [(('Ann is here.', 'Bob left.'), 'Bob', (1,)), (('Ann left.',), 'Ann', ())]
    """
    questions: list[StoryQuestion] = []
    jumps: list[tuple[str, int, int]] = []
    sentences: dict[int, str] = {}  # of this story, by their ids
    group, last, num_lines = -1, 0, 0
    for number, line in enumerate(lines, start=1):
        if is_blank(line):
            continue
        num_lines += 1
        place = f"{name}:{number}"
        identity, _, content = line.lstrip().partition(" ")
        if not identity.isdecimal() or is_blank(content):
            raise InputError(f"{place}: expected ID SENTENCE, or ID QUESTION<tab>ANSWER<tab>IDS, got {line[:60]!r}")
        current = int(identity)
        if current == 1:
            group, sentences = group + 1, {}
        elif current <= last or not last:
            expected = f"more than {last}, or 1 where a story begins" if last else "1, where a story begins"
            raise InputError(f"{place}: the ids do not rise: expected {expected}, got {current}")
        elif current > last + 1:
            jumps.append((place, last, current))
        last = current
        if "\t" in content:
            questions.append(_question(content, sentences, group, place))
        elif _UNTABBED.search(content):
            raise InputError(f"{place}: the question has no answer: expected ID QUESTION<tab>ANSWER<tab>IDS, with tabs")
        else:
            sentences[current] = content.strip()
    return Stories(questions, group + 1, num_lines, jumps)


def _question(content: str, sentences: dict[int, str], group: int, place: str) -> StoryQuestion:
    question, answer, *rest = (part.strip() for part in content.split("\t"))
    if is_blank(question):
        raise InputError(f"{place}: expected a question before the tab, got none")
    if is_blank(answer := strip_label(answer)):
        raise InputError(f"{place}: the question has no answer: expected ID QUESTION<tab>ANSWER<tab>IDS")
    if len(rest) > 1:
        raise InputError(f"{place}: expected question, answer and ids between tabs, got {len(rest) + 2} columns")
    if not sentences:
        raise InputError(f"{place}: the question has an empty story: expected a sentence before it")
    order = {identity: position for position, identity in enumerate(sentences)}
    supports = rest[0].split() if rest else []
    for identity in supports:
        if not identity.isdecimal() or int(identity) not in order:
            raise InputError(f"{place}: the supporting id {identity!r} is no sentence of the story before the question")
    positions = tuple(order[int(identity)] for identity in supports)
    return StoryQuestion(tuple(sentences.values()), question, answer, positions, group, place)


def write_babi(questions: Sequence[StoryQuestion]) -> str:
    """The text of questions in the form that :func:`read_babi` reads. Questions of one story follow each other.

    Example:
        >>> row = StoryQuestion(("Ann is here.",), "Where is Ann?", "here", (0,), 0, "a:1")
        >>> later = row._replace(story=("Ann is here.", "Ann left."), answer="away", supports=())
        >>> write_babi([row, later]).splitlines()
        ['1 Ann is here.', '2 Where is Ann?\\there\\t1', '3 Ann left.', '4 Where is Ann?\\taway']
    """
    lines: list[str] = []
    group: int | None = None
    identities: list[int] = []  # of the story's sentences
    identity = 0
    for row in questions:
        if row.group != group:
            group, identities, identity = row.group, [], 0
        for sentence in row.story[len(identities) :]:
            identity += 1
            identities.append(identity)
            lines.append(f"{identity} {sentence}")
        identity += 1
        supports = " ".join(str(identities[position]) for position in row.supports)
        lines.append(f"{identity} " + "\t".join([row.question, row.answer, *([supports] if supports else [])]))
    return "".join(line + "\n" for line in lines)
