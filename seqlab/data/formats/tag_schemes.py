"""How tags mark the words of entities (BIO, IOB1, BIOES and their like): told apart, read as BIO, written back."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from seqlab.data.formats.sentences import TaggedSentence
from seqlab.errors import InputError

# Of each scheme the marks of a first word, an inner word, a last word and an only word; None: as an inner or first one.
_MARKS: Final[dict[str, tuple[str, str, str | None, str | None]]] = {
    "BIO": ("B", "I", None, None),
    "IOB1": ("B", "I", None, None),
    "BIOES": ("B", "I", "E", "S"),
    "BILOU": ("B", "I", "L", "U"),
    "BMES": ("B", "M", "E", "S"),
    "BMEWO": ("B", "M", "E", "W"),
}
SCHEMES: Final = tuple(_MARKS)
OUTSIDE: Final = ("O", "o", "0", "_", "-")  # what stands for no entity; all but the first where no O occurs

_OPENING, _CONTINUING = frozenset("BIM"), frozenset("IMEL")
_LETTERS = frozenset("BIMELSUW")


class _Mark(NamedTuple):
    """A tag's mark (O outside entities) and what comes after it: the type with its hyphen, or nothing."""

    letter: str
    suffix: str = ""


_NONE: Final = _Mark("O")


@dataclass(frozen=True)
class TagScheme:
    """A scheme of entity tags.

    Two sequences of tags mean the same where they hold the same entities, so that a model may learn one scheme, BIO,
    whatever a file has. A wrong sequence means what it means to CoNLL's scorer: an entity goes on from a first or inner
    word to an inner or last one of the same type, and begins anew wherever else a word is marked.

    Attributes:
        name: one of ``SCHEMES``: BIO (IOB2, Ramshaw & Marcus 1995 as in CoNLL-2003's later copies), IOB1 (B- alone
            between two entities of one type), BIOES, BILOU, BMES and BMEWO.
        outside: the tag of words outside entities.

    Example:
        >>> scheme = TagScheme("BIOES")
        >>> scheme.read(["S-PER", "O", "B-LOC", "E-LOC"])
        ['B-PER', 'O', 'B-LOC', 'I-LOC']
        >>> scheme.write(["B-PER", "O", "B-LOC", "I-LOC"])
        ['S-PER', 'O', 'B-LOC', 'E-LOC']
        >>> TagScheme("IOB1").write(["B-PER", "B-PER", "I-PER", "O", "B-LOC"])
        ['I-PER', 'B-PER', 'I-PER', 'O', 'I-LOC']
        >>> TagScheme("BILOU").write(["B", "I", "O", "B"])  # without types
        ['B', 'L', 'O', 'U']
    """

    name: str = "BIO"
    outside: str = "O"

    def read(self, tags: Sequence[str]) -> list[str]:
        """Tags of this scheme, in BIO."""
        marks = [_parse(tag, self.outside) or _NONE for tag in tags]
        pairs = zip([_NONE, *marks], marks, strict=False)
        return [
            "O" if mark == _NONE else ("I" if _goes_on(before, mark) else "B") + mark.suffix for before, mark in pairs
        ]

    def write(self, tags: Sequence[str]) -> list[str]:
        """Tags in BIO, in this scheme."""
        first, inner, last, only = _MARKS[self.name]
        marks = [*(_parse(tag, "O") or _NONE for tag in tags), _NONE]
        found, before = [], _NONE
        for place, mark in enumerate(marks[:-1]):
            begins, ends = not _goes_on(before, mark), not _goes_on(mark, marks[place + 1])
            if mark == _NONE:
                found.append(self.outside)
            elif self.name == "IOB1":
                found.append(
                    (first if begins and before.suffix == mark.suffix and before != _NONE else inner) + mark.suffix
                )
            elif begins:
                found.append(((only if ends else None) or first) + mark.suffix)
            else:
                found.append(((last if ends else None) or inner) + mark.suffix)
            before = mark
        return found


@dataclass
class _Evidence:
    """What the tags of a split show of their scheme: of each kind how often, and where first."""

    letters: dict[str, tuple[str, str]] = field(default_factory=dict)  # the mark: its first tag and place
    typed: dict[bool, tuple[str, str]] = field(default_factory=dict)
    inside_first: list[str] = field(default_factory=list)  # places of I- that begin an entity, as in IOB1
    free_first: list[str] = field(default_factory=list)  # places of B- where IOB1 would have I-
    broken: list[str] = field(default_factory=list)  # places where an entity lacks its beginning or its end


def scheme_of(sentences: Sequence[TaggedSentence]) -> TagScheme:
    """The scheme that the tags of a training split follow.

    Raises:
        InputError: a tag marks no entity, tags are of two schemes, or some have types and some do not; names places.

    Example:
        >>> scheme_of([TaggedSentence(("New", "York"), ("B-LOC", "E-LOC"), "a:", (1, 2))]).name
        'BIOES'
    """
    outside = _outside(sentences)
    evidence = _gather(sentences, outside, ends=True)
    letters = set(evidence.letters)
    name = next((name for name, marks in _MARKS.items() if letters <= set(marks)), None)
    if name is None:
        clash = _clash(letters)
        shown = " and ".join(f"{evidence.letters[letter][0]!r} ({evidence.letters[letter][1]})" for letter in clash)
        raise InputError(
            f"the tags {shown} are of no one scheme; expected one of {', '.join(SCHEMES)}; "
            "tags without entities take data.entities=false"
        )
    if name == "BIO" and evidence.inside_first and not evidence.free_first:
        name = "IOB1"
    return TagScheme(name, outside)


def typed_mark(tags: Iterable[str], outside: str = "O") -> bool | None:
    """Whether the first tag of an entity has a type; None where no tag is of an entity.

    Example:
        >>> typed_mark(["O", "B-PER"]), typed_mark(["O", "B"]), typed_mark(["O"])
        (True, False, None)
    """
    return next((tag[1:2] == "-" for tag in tags if tag != outside), None)


def check_scheme(sentences: Sequence[TaggedSentence], scheme: TagScheme, typed: bool | None = None) -> list[str]:
    """The places where an entity lacks its beginning or its end, of sentences that follow a scheme.

    Args:
        sentences: those of a split.
        scheme: the training split's.
        typed: whether tags have types in training; None: whatever these have.

    Raises:
        InputError: a tag is not of the scheme, or has a type where those of training have none or the other way round;
            names its place.
    """
    marks = set(_MARKS[scheme.name])
    evidence = _gather(sentences, scheme.outside, ends=None not in marks)
    mend = f"training follows {scheme.name}, and the other splits must too"
    for has_type, (tag, place) in evidence.typed.items():
        if typed is not None and has_type != typed:
            lack = "a type, and those of training have none" if has_type else "no type, and those of training have one"
            raise InputError(f"{place}: the tag {tag!r} has {lack}: give types in all splits, or in none")
    for letter, (tag, place) in evidence.letters.items():
        if letter not in marks:
            raise InputError(f"{place}: the tag {tag!r} is not of {scheme.name}: {mend}")
    if scheme.name == "BIO" and evidence.inside_first and not evidence.free_first:
        raise InputError(
            f"{evidence.inside_first[0]}: an entity begins with I-, as all of this split do (IOB1): {mend}"
        )
    if scheme.name == "IOB1" and evidence.free_first:
        raise InputError(f"{evidence.free_first[0]}: an entity begins with B- that follows none of its type: {mend}")
    return evidence.inside_first if scheme.name == "BIO" else [] if scheme.name == "IOB1" else evidence.broken


def _gather(sentences: Iterable[TaggedSentence], outside: str, ends: bool) -> _Evidence:
    found = _Evidence()
    for sentence in sentences:
        before = _NONE
        for place, tag in enumerate(sentence.tags):
            mark = _parse(tag, outside)
            if mark is None:
                raise InputError(_no_entity(sentence, place, outside))
            if mark != _NONE:
                _note(found, sentence, place, mark, before)
            if ends and before.letter in _OPENING and not _goes_on(before, mark):
                found.broken.append(sentence.place(place - 1))
            before = mark
        if ends and before.letter in _OPENING:
            found.broken.append(sentence.place(len(sentence.tags) - 1))
    if len(found.typed) == 2:
        shown = " and ".join(f"{tag!r} ({place})" for tag, place in found.typed.values())
        raise InputError(f"of the tags {shown} one has a type and one has none: expected types for all or none")
    return found


def _note(found: _Evidence, sentence: TaggedSentence, place: int, mark: _Mark, before: _Mark) -> None:
    tag = sentence.tags[place]
    if mark.letter not in found.letters:
        found.letters[mark.letter] = tag, sentence.place(place)
    if bool(mark.suffix) not in found.typed:
        found.typed[bool(mark.suffix)] = tag, sentence.place(place)
    if mark.letter in _CONTINUING and not _goes_on(before, mark):
        (found.inside_first if mark.letter == "I" else found.broken).append(sentence.place(place))
        if mark.letter == "I":
            found.broken.append(sentence.place(place))
    if mark.letter == "B" and (before == _NONE or before.suffix != mark.suffix):
        found.free_first.append(sentence.place(place))


def _outside(sentences: Iterable[TaggedSentence]) -> str:
    """The tag of words outside entities: O, or one of its spellings where no O occurs."""
    tags = Counter(tag for sentence in sentences for tag in sentence.tags)
    return next((tag for tag in OUTSIDE if tag in tags), OUTSIDE[0])


def _no_entity(sentence: TaggedSentence, place: int, outside: str) -> str:
    tag = sentence.tags[place]
    capital = tag[:1].upper() + tag[1:]
    if len(tag) > 1 and _parse(capital, outside) is not None:
        return f"{sentence.place(place)}: expected a mark in capitals, such as {capital!r}, got {tag!r}"
    return (
        f"{sentence.place(place)}: expected {outside}, B-X or I-X, or a tag of {', '.join(SCHEMES[2:])}, got "
        f"{sentence.tags[place]!r}; a line of column names takes data.header=true, tags without entities "
        "data.entities=false"
    )


def _clash(letters: set[str]) -> Iterator[str]:
    """Two marks that no scheme has both, or else all."""
    ranked = sorted(letters)
    for i, one in enumerate(ranked):
        for other in ranked[i + 1 :]:
            if not any({one, other} <= set(marks) for marks in _MARKS.values()):
                yield from (one, other)
                return
    yield from ranked


def _parse(tag: str, outside: str) -> _Mark | None:
    """None for a tag that marks no entity."""
    if tag == outside:
        return _NONE
    letter, suffix = tag[:1], tag[1:]
    if letter not in _LETTERS or (suffix and (suffix[0] != "-" or len(suffix) == 1)):
        return None
    return _Mark(letter, suffix)


def _goes_on(before: _Mark, mark: _Mark) -> bool:
    """Whether the entity of the word before goes on in a word, by CoNLL's scorer."""
    return before.letter in _OPENING and mark.letter in _CONTINUING and before.suffix == mark.suffix
