"""Labels as class names: one name for each value, whatever its type, and refusal of what is no label."""

import datetime
import logging
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.core.summary import agree, counted
from seqlab.data.formats.blanks import is_blank
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?")
_INVISIBLE: Final = "\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # of no width; str.strip leaves them
_EDGES: Final = re.compile(rf"^[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+$")
_LONGEST: Final = 60  # characters of a value in a message
_TRUTH: Final = {"true": Decimal(1), "false": Decimal(0)}


class LabelNames:
    """Gives each label of a data set the name of its class.

    White space around a label is no part of it, equal numbers are one class (``1`` and ``1.0``), and so are names that
    Unicode holds to be equal (``é`` as one character or as two). A string, a number and a boolean that read alike are
    refused, for nobody can say whether they are one class. ``written`` values, those of csv and its like, are names as
    they stand: ``"01"`` is not ``"1"``.

    Example:
        >>> names = LabelNames("label")
        >>> [names.name(value, "a.jsonl:1") for value in (" pos\\u00a0", 3, 3.0, 0.5, True)]
        ['pos', '3', '3', '0.5', 'True']
        >>> names.name("NA", "a.csv:1", written=True), names.name("01", "a.csv:2", written=True)
        ('NA', '01')
    """

    def __init__(self, column: str | int) -> None:
        self._column = column
        self._names: dict[tuple[bool, type, Any], str] = {}
        self._seen: dict[Decimal | str, dict[str, str]] = {}  # what a label reads as -> kind -> the first of it

    def name(self, value: Any, place: str, written: bool = False) -> str:
        """The class that a label names.

        Args:
            value: the label as the data has it.
            place: where it stands.
            written: whether it is text as written, as in csv.

        Raises:
            InputError: it is missing, empty, no finite number, or of a type that is no label; or it reads like an
                earlier one of another type, whose place is named too.
        """
        try:
            return self._names[written, type(value), value]
        except (KeyError, TypeError):  # new, or a list
            pass
        name, kind, reading = self._read(value, place)
        if not written:
            self._check_kind(value, kind, reading, place)
        self._names[written, type(value), value] = name
        return name

    def _read(self, value: Any, place: str) -> tuple[str, str, Decimal | str]:
        """Name, kind and what it reads as."""
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError as error:
                raise self._refusal(value, place) from error
        if isinstance(value, bool):
            return str(value), "boolean", Decimal(int(value))
        if isinstance(value, (int, float, Decimal)):
            if not (isinstance(value, int) or math.isfinite(value)):  # math takes no int of more than 308 digits
                raise self._refusal(value, place)
            return _number_name(value), "number", Decimal(value).normalize()
        if isinstance(value, (datetime.date, datetime.time)):
            return str(value), "string", str(value)
        if isinstance(value, str) and not is_blank(name := strip_label(value)):
            if _NUMBER.fullmatch(name):
                return name, "string", Decimal(name).normalize()
            return name, "string", _TRUTH.get(name.lower(), name)
        raise self._refusal(value, place)

    def _check_kind(self, value: Any, kind: str, reading: Decimal | str, place: str) -> None:
        kinds = self._seen.setdefault(reading, {})
        kinds.setdefault(kind, f"the {kind} {value!r} of {place}")
        other = next((first for name, first in kinds.items() if name != kind), None)
        if other is not None:
            raise InputError(
                f"{place}: the {kind} {value!r} in {self._column!r} reads like {other}: are they one class? "
                f"Write all labels as strings, or all as numbers"
            )

    def _refusal(self, value: Any, place: str) -> InputError:
        got = short_repr(value)
        return InputError(
            f"{place}: expected a label in {self._column!r}, got {got}: give the row one, or leave the row out"
        )


def strip_label(text: str) -> str:
    """A label in Unicode's composed form (NFC), without the white space around it, no-break spaces and characters of no
    width included.
    """
    return unicodedata.normalize("NFC", _EDGES.sub("", text))


def short_repr(value: Any) -> str:
    """A value for a message, of at most sixty characters.

    Example:
        >>> short_repr("a"), len(short_repr([0] * 1000))
        ("'a'", 60)
    """
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _number_name(value: int | float | Decimal) -> str:
    if value == int(value):
        return str(int(value))
    return repr(value) if isinstance(value, float) else format(value.normalize(), "f")  # type: ignore[union-attr]


def sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in order, by value where all are numbers.

    Example:
        >>> sorted_labels(["10", "9", "-1"]), sorted_labels(["10", "9", "b"])
        (('-1', '9', '10'), ('10', '9', 'b'))
    """
    names = set(labels)
    if all(_NUMBER.fullmatch(label) for label in names):
        return tuple(sorted(names, key=lambda label: (Decimal(label), label)))
    return tuple(sorted(names))


def shortened(names: Sequence[str]) -> str:
    """The first ten names, for messages."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


class Labels:
    """What can be told of an input, in the order of their numbers: classes of texts, tags of words, answers.

    Args:
        names: of the labels.
        noun: what one of them is called in messages, such as "tag".

    Attributes:
        names: of the labels, in order.

    Example:
        >>> labels = Labels.of_training(["no", "yes", "no"], "answer", "a file")
        >>> labels.names, labels.number_of
        (('no', 'yes'), {'no': 0, 'yes': 1})
    """

    def __init__(self, names: Iterable[str], noun: str) -> None:
        self.names = tuple(names)
        self.noun = noun
        self.number_of = {name: number for number, name in enumerate(self.names)}

    @classmethod
    def of_option(cls, names: Any, noun: str, option: str, name_of: Callable[[Any], str] = str) -> "Labels":
        """Those that a user gives by an ``option``, such as "data.tags"; ``name_of`` gives the name of each.

        Args:
            names: of the labels, as a user gives them.
            noun: what one of them is called, such as "tag".
            option: what a user gives them by, such as "data.tags".
            name_of: gives the name of each.

        Raises:
            InputError: they are no list, or one comes twice.

        Example:
            >>> Labels.of_option([0, "B"], "tag", "data.tags").names
            ('0', 'B')
        """
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise InputError(f"{option}={names} must be a list, such as {option}=[neg,pos]")
        labels = cls(map(name_of, names), noun)
        if len(labels.number_of) < len(labels.names):
            repeated = next(name for name, count in Counter(labels.names).items() if count > 1)
            raise InputError(f"{option} has {repeated!r} twice; each {noun} has one number")
        return labels

    @classmethod
    def of_training(cls, names: Iterable[str], noun: str, source: object) -> "Labels":
        """Those that occur in the training split: sorted, by value where all are numbers.

        Args:
            names: of the labels of all training rows.
            noun: what one of them is called, such as "tag".
            source: what they are of, for messages.

        Raises:
            InputError: there are fewer than two.
        """
        labels = cls(sorted_labels(names), noun)
        if len(labels.names) < 2:
            named = ", ".join(labels.names) or "none"
            raise InputError(f"the training split of {source} has one {noun} ({named}); two or more are needed")
        return labels

    def numbers(self, names: Sequence[str], split: str, unit: str, place: Callable[[int], str]) -> NDArray[np.int64]:
        """The numbers of a split's labels; ``IGNORE_INDEX`` for one that training never saw, which a log line tells.

        Args:
            names: of the labels, one for each ``unit``.
            split: which they are of.
            unit: what has a label, in the plural, such as "texts".
            place: where the label with this position stands.

        Raises:
            InputError: training saw none of them.
        """
        targets = np.fromiter((self.number_of.get(name, IGNORE_INDEX) for name in names), np.int64, len(names))
        unseen = Counter(name for name in names if name not in self.number_of)
        total = unseen.total()
        if total and total == len(names):
            raise InputError(
                f"{place(0)}: no {self.noun} of the {split} split occurs in training, which has "
                f"{shortened(self.names)}; its first is {names[0]!r}"
            )
        if unseen and split != "train":
            log.warning(
                "%s: %d of %s %s %s %s that training never saw (%s) and %s as wrong",
                split,
                total,
                counted(len(names), unit),
                agree(total, "has", "have"),
                "an" if self.noun[0] in "aeiou" else "a",
                self.noun,
                shortened(sorted(unseen)),
                agree(total, "counts", "count"),
            )
        return targets
