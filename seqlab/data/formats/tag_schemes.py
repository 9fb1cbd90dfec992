"""Schemes by which tags mark the words of entities (BIO, IOB1, BIOES, ...): found, read as BIO, and written."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from seqlab.data.formats.sentences import TaggedSentence
from seqlab.errors import InputError

# For each scheme, the marks of a first, an inner, a last and an only word; None: that of an inner or a first word.
_MARKS: Final[dict[str, tuple[str, str, str | None, str | None]]] = {
    "BIO": ("B", "I", None, None),
    "IOB1": ("B", "I", None, None),
    "BIOES": ("B", "I", "E", "S"),
    "BILOU": ("B", "I", "L", "U"),
    "BMES": ("B", "M", "E", "S"),
    "BMEWO": ("B", "M", "E", "W"),
}
SCHEMES: Final = tuple(_MARKS)
OUTSIDE: Final = ("O", "o", "0", "_", "-")  # spellings of the tag outside entities; the first that occurs counts

_OPENING, _CONTINUING = frozenset("BIM"), frozenset("IMEL")
_LETTERS = frozenset("BIMELSUW")


class _Mark(NamedTuple):
    """The parts of a tag: its mark (O outside entities), and the type with its hyphen, or nothing."""

    letter: str
    suffix: str = ""


_NONE: Final = _Mark("O")


@dataclass(frozen=True)
class TagScheme:
    """A scheme of entity tags.

    Two sequences of tags are equal in meaning if they mark the same entities. So a model may learn one scheme, BIO,
    whatever the files have. A wrong sequence is read as by CoNLL's scorer: an entity continues from a first or inner
    word to an inner or last word of the same type, and any other marked word begins a new one.

    Attributes:
        name: one of ``SCHEMES``: BIO (IOB2, Ramshaw & Marcus 1995 as in CoNLL-2003's later copies), IOB1 (with B- only
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
        """Converts tags of this scheme to BIO."""
        marks = [_parse(tag, self.outside) or _NONE for tag in tags]
        pairs = zip([_NONE, *marks], marks, strict=False)
        return [
            "O" if mark == _NONE else ("I" if _continues(before, mark) else "B") + mark.suffix for before, mark in pairs
        ]

    def write(self, tags: Sequence[str]) -> list[str]:
        """Converts tags in BIO to this scheme."""
        first, inner, last, only = _MARKS[self.name]
        marks = [*(_parse(tag, "O") or _NONE for tag in tags), _NONE]
        converted, before = [], _NONE
        for place, mark in enumerate(marks[:-1]):
            begins, ends = not _continues(before, mark), not _continues(mark, marks[place + 1])
            if mark == _NONE:
                converted.append(self.outside)
            elif self.name == "IOB1":
                follows_its_type = before != _NONE and before.suffix == mark.suffix
                converted.append((first if begins and follows_its_type else inner) + mark.suffix)
            elif begins:
                converted.append(((only if ends else None) or first) + mark.suffix)
            else:
                converted.append(((last if ends else None) or inner) + mark.suffix)
            before = mark
        return converted


@dataclass
class _Evidence:
    """What the tags of a split show about their scheme.

    Attributes:
        letters: for each mark, the first tag with it and the tag's place.
        typed: for tags with a type (True) and without one (False), the first such tag and its place.
        inside_first: the places of I- that begin an entity, as in IOB1.
        free_first: the places of B- where IOB1 would have I-.
        broken: the places at which an entity lacks its beginning or its end.
    """

    letters: dict[str, tuple[str, str]] = field(default_factory=dict)
    typed: dict[bool, tuple[str, str]] = field(default_factory=dict)
    inside_first: list[str] = field(default_factory=list)
    free_first: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def scheme_of(sentences: Sequence[TaggedSentence]) -> TagScheme:
    """The scheme of a training split's tags.

    Raises:
        InputError: a tag marks no entity, no scheme has all marks, or some tags have types and some do not; names
            places.

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
    """Whether the first tag that marks an entity has a type; None where none does.

    Example:
        >>> typed_mark(["O", "B-PER"]), typed_mark(["O", "B"]), typed_mark(["O"])
        (True, False, None)
    """
    return next((tag[1:2] == "-" for tag in tags if tag != outside), None)


def check_scheme(sentences: Sequence[TaggedSentence], scheme: TagScheme, typed: bool | None = None) -> list[str]:
    """Checks that a split follows a scheme. Returns the places at which an entity lacks its beginning or its end.

    Args:
        sentences: the sentences of the split.
        scheme: the scheme of the training split.
        typed: whether the tags of training have types; None: not known.

    Raises:
        InputError: a tag is not of the scheme, or has a type where those of training have none, or the other way round;
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
    """The evidence of some sentences; ``ends`` says whether the scheme has marks for the last words of entities."""
    evidence = _Evidence()
    for sentence in sentences:
        before = _NONE
        for place, tag in enumerate(sentence.tags):
            mark = _parse(tag, outside)
            if mark is None:
                raise InputError(_no_entity(sentence, place, outside))
            if mark != _NONE:
                _note(evidence, sentence, place, mark, before)
            if ends and before.letter in _OPENING and not _continues(before, mark):
                evidence.broken.append(sentence.place(place - 1))
            before = mark
        if ends and before.letter in _OPENING:
            evidence.broken.append(sentence.place(len(sentence.tags) - 1))
    if len(evidence.typed) == 2:
        shown = " and ".join(f"{tag!r} ({place})" for tag, place in evidence.typed.values())
        raise InputError(f"of the tags {shown} one has a type and one has none: expected types for all or none")
    return evidence


def _note(evidence: _Evidence, sentence: TaggedSentence, place: int, mark: _Mark, before: _Mark) -> None:
    """Adds a tag that marks an entity to the evidence."""
    tag = sentence.tags[place]
    if mark.letter not in evidence.letters:
        evidence.letters[mark.letter] = tag, sentence.place(place)
    if bool(mark.suffix) not in evidence.typed:
        evidence.typed[bool(mark.suffix)] = tag, sentence.place(place)
    if mark.letter in _CONTINUING and not _continues(before, mark):
        evidence.broken.append(sentence.place(place))
        if mark.letter == "I":
            evidence.inside_first.append(sentence.place(place))
    if mark.letter == "B" and (before == _NONE or before.suffix != mark.suffix):
        evidence.free_first.append(sentence.place(place))


def _outside(sentences: Iterable[TaggedSentence]) -> str:
    """The tag of words outside entities: the first spelling of O that occurs."""
    tags = Counter(tag for sentence in sentences for tag in sentence.tags)
    return next((tag for tag in OUTSIDE if tag in tags), OUTSIDE[0])


def _no_entity(sentence: TaggedSentence, place: int, outside: str) -> str:
    """The message about a tag that marks no entity."""
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
    """Two marks that are in no scheme together; all marks where each two are."""
    ranked = sorted(letters)
    for i, one in enumerate(ranked):
        for other in ranked[i + 1 :]:
            if not any({one, other} <= set(marks) for marks in _MARKS.values()):
                yield from (one, other)
                return
    yield from ranked


def _parse(tag: str, outside: str) -> _Mark | None:
    """The parts of a tag; None where it is not of any scheme."""
    if tag == outside:
        return _NONE
    letter, suffix = tag[:1], tag[1:]
    if letter not in _LETTERS or (suffix and (suffix[0] != "-" or len(suffix) == 1)):
        return None
    return _Mark(letter, suffix)


def _continues(before: _Mark, mark: _Mark) -> bool:
    """Whether a word continues the entity of the word before, by CoNLL's scorer."""
    return before.letter in _OPENING and mark.letter in _CONTINUING and before.suffix == mark.suffix
