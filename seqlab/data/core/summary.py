"""What a split holds and what was left out of it: the lines printed before training, and the facts in ``run.json``."""

import contextlib
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

_SHOWN_CLASSES = 10  # in a printed line; the record has all of them
_SPACES = re.compile(r"[ \t\n\r]+")  # no-break spaces stay visible
_NOUN = re.compile(r"\S+(?= (?:(?:of|with|without|labelled|that|in|to|alone)\b|\()|,|$)")
_LONGEST_NAME = 40  # of a class in a printed line


@dataclass(frozen=True)
class SplitSummary:
    """What one split holds, counted while it was read.

    Args:
        split: "train", "validation" or "test".
        counts: how many of each unit, the main one first: ``{"rows": 40}``, ``{"tokens": 9000, "documents": 3}``.
        left_out: how many rows were left out, by reason: ``{"rows with an empty side": 20}``.
        classes: how often each class, tag or answer occurs, in the order of their numbers.
        kind: what ``classes`` are, in the plural: "classes", "tags", "types of entities" or "answers".
        notes: further facts, each a phrase: ``"4 rows stand in train too"``.

    Example:
        >>> print(SplitSummary("train", {"rows": 380}, {"rows with an empty side": 20}).line())
        train: 380 rows; left out: 20 rows with an empty side
        >>> print(SplitSummary("test", {"rows": 3}, classes={"neg": 1, "pos": 2}).line())
        test: 3 rows; 2 classes: neg 1, pos 2
    """

    split: str
    counts: Mapping[str, int]
    left_out: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    kind: str = "classes"
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """The line that is printed before training. Of many classes it names the ten commonest."""
        parts = [", ".join(counted(count, unit) for unit, count in self.counts.items())]
        omitted = [counted(count, reason) for reason, count in self.left_out.items() if count]
        if omitted:
            parts.append(f"left out: {', '.join(omitted)}")
        if self.classes:
            ranked = Counter(self.classes).most_common(_SHOWN_CLASSES) if self._many() else self.classes.items()
            shown = ", ".join(f"{_short(name)} {count:,}" for name, count in ranked)
            rest = f", ... ({len(self.classes) - _SHOWN_CLASSES:,} more)" if self._many() else ""
            parts.append(f"{counted(len(self.classes), self.kind)}: {shown}{rest}")
        line = f"{self.split}: {'; '.join([*parts, *self.notes])}"
        return "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)

    def _many(self) -> bool:
        return len(self.classes) > _SHOWN_CLASSES

    def facts(self) -> dict[str, Any]:
        """The same as plain values, for ``run.json``."""
        facts: dict[str, Any] = {"counts": dict(self.counts)}
        for name in ("left_out", "classes"):
            if counts := {key: count for key, count in getattr(self, name).items() if count}:
                facts[name] = counts
        if self.notes:
            facts["notes"] = list(self.notes)
        return facts


def counted(count: int, what: str) -> str:
    """A number and what it counts. Its noun, before "of", "with" and the like, becomes singular after 1.

    Args:
        count: the number.
        what: what it counts, in the plural.

    Example:
        >>> counted(1, "lines of comments"), counted(1, "stories without a question"), counted(0, "rows labelled -1")
        ('1 line of comments', '1 story without a question', '0 rows labelled -1')
        >>> counted(1, "multiword tokens"), counted(1, "classes"), counted(1_000, "rows (before the cut)")
        ('1 multiword token', '1 class', '1,000 rows (before the cut)')
    """
    if count == 1:
        what = _NOUN.sub(lambda match: _singular(match[0]), what, count=1)
    return f"{count:,} {what}"


def _singular(noun: str) -> str:
    if noun == "series":
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith("sses") else noun.removesuffix("s")


def percent(share: float) -> str:
    """A share of a split, for a message.

    Example:
        >>> [percent(share) for share in (0, 0.0034, 0.256, 1)]
        ['0 %', '0.34 %', '26 %', '100 %']
    """
    return f"{100 * share:.0f} %" if share >= 0.1 or not share else f"{100 * share:.2g} %"


def _short(name: str) -> str:
    """A name in one line of at most forty characters."""
    plain = _SPACES.sub(" ", str(name)).strip() or repr(name)
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[: _LONGEST_NAME - 3]}..."


def agree(count: int, one: str, several: str) -> str:
    """The word that goes with a number of things: a form of a verb, or "its" and "their".

    Example:
        >>> agree(1, "has", "have"), agree(2, "has", "have")
        ('has', 'have')
    """
    return one if count == 1 else several


def alike_names(labels: Iterable[str]) -> list[str]:
    """Groups of labels that differ only in case, spacing, Unicode form or the form of a number, each as a phrase.

    Example:
        >>> alike_names(["pos", "Pos", "neg", "1", "1.0"])
        ['pos and Pos', '1 and 1.0']
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        plain = "".join(unicodedata.normalize("NFKC", label).casefold().split())
        with contextlib.suppress(InvalidOperation):
            plain = str(Decimal(plain).normalize()) if plain.isascii() else plain
        groups.setdefault(plain, []).append(label)
    return [" and ".join(group) for group in groups.values() if len(group) > 1]


def equal_rows(rows: Mapping[str, Iterable[Hashable]], unit: str = "rows") -> dict[str, str]:
    """For each split that shares rows with an earlier one, a phrase that says how many.

    Args:
        rows: the rows of each split, as values that are equal where two rows are the same.
        unit: what the rows are, in the plural.

    Example:
        >>> equal_rows({"train": "abcc", "validation": "xyz", "test": "xcd"})
        {'test': '1 of 3 rows stands in train too, 1 in validation'}
    """
    seen: dict[str, set[Hashable]] = {}
    notes = {}
    for split, contents in rows.items():
        content = list(contents)
        shared = [(earlier, sum(row in earlier_rows for row in content)) for earlier, earlier_rows in seen.items()]
        shared = [(earlier, count) for earlier, count in shared if count]
        if shared:
            (first, count), *others = shared
            verb = agree(count, "stands", "stand")
            rest = "".join(f", {number:,} in {earlier}" for earlier, number in others)
            notes[split] = f"{count:,} of {counted(len(content), unit)} {verb} in {first} too{rest}"
        seen[split] = set(content)
    return notes
