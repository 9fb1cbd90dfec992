"""Labels: the name of each value's class, and the number of each class."""

import datetime
import logging
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    White space around a label does not count. Equal numbers are one class (``1`` and ``1.0``), and so are names that
    are equal to Unicode (``é`` as one character or as two). A string, a number and a boolean that read alike are
    refused, because nobody can say whether they are one class. ``written`` values, as in csv, are names as they stand:
    ``"01"`` is not ``"1"``.

    Args:
        column: the column of labels, for messages.

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
        self._seen: dict[Decimal | str, dict[str, str]] = {}  # compared value -> kind -> the first label of it

    def name(self, value: Any, place: str, written: bool = False) -> str:
        """The name of a label's class.

        Args:
            value: the label in the data.
            place: its place, for messages.
            written: whether it is text from a format without types, such as csv.

        Raises:
            InputError: the label is missing, empty, not finite, or of a type that cannot be a label; or it reads like
                an earlier one of another type, whose place the message names too.
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
        """A label's name, its kind, and the value by which labels of different kinds are compared."""
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
        shown = short_repr(value)
        return InputError(
            f"{place}: expected a label in {self._column!r}, got {shown}: give the row one, or leave the row out"
        )


def strip_label(text: str) -> str:
    """A label in Unicode's composed form (NFC), without white space or characters of no width around it."""
    return unicodedata.normalize("NFC", _EDGES.sub("", text))


def short_repr(value: Any) -> str:
    """A value for a message, in at most sixty characters.

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
    """The different labels in order: by value where all are numbers, else by code point.

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
    """The labels that a model learns to tell, in the order of their numbers: classes of texts, tags of words, answers.

    Args:
        names: the labels' names, in order.
        noun: what messages call a label, such as "tag".
        option: the option that gives them, such as "data.tags"; None where they come from the training split.

    Attributes:
        names: the labels' names, in order.
        number_of: the number of each name.

    Example:
        >>> labels = Labels.of_training(["no", "yes", "no"], "answer", "a file")
        >>> labels.names, labels.number_of
        (('no', 'yes'), {'no': 0, 'yes': 1})
    """

    def __init__(self, names: Iterable[str], noun: str, option: str | None = None) -> None:
        self.names = tuple(names)
        self.noun = noun
        self.option = option
        self.number_of = {name: number for number, name in enumerate(self.names)}

    @classmethod
    def of_option(cls, names: Any, noun: str, option: str, name_of: Callable[[Any], str] = str) -> "Labels":
        """The labels that a user gives.

        Args:
            names: the value of the option.
            noun: what messages call a label.
            option: the option, such as "data.tags".
            name_of: the name of a label in the list.

        Raises:
            InputError: ``names`` is not a list, or has a label twice.

        Example:
            >>> Labels.of_option([0, "B"], "tag", "data.tags").names
            ('0', 'B')
        """
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise InputError(f"{option}={names} must be a list, such as {option}=[neg,pos]")
        labels = cls(map(name_of, names), noun, option)
        if len(labels.number_of) < len(labels.names):
            repeated = next(name for name, count in Counter(labels.names).items() if count > 1)
            raise InputError(f"{option} has {repeated!r} twice; each {noun} has one number")
        return labels

    @classmethod
    def of_training(cls, names: Iterable[str], noun: str, source: object) -> "Labels":
        """The labels of a training split: sorted, by value where all are numbers.

        Args:
            names: the label of each training row.
            noun: what messages call a label.
            source: what the rows come from, for messages.

        Raises:
            InputError: there are fewer than two labels.
        """
        labels = cls(sorted_labels(names), noun)
        if len(labels.names) < 2:
            shown = ", ".join(labels.names) or "none"
            raise InputError(f"the training split of {source} has one {noun} ({shown}); two or more are needed")
        return labels

    def unseen(self, names: Iterable[str]) -> tuple[str, ...]:
        """The different names that are not labels, sorted."""
        return tuple(sorted(set(names) - self.number_of.keys()))

    def numbers(
        self, names: Sequence[str], split: str, unit: str, place: Callable[[int], str], unseen: Sequence[str] = ()
    ) -> NDArray[np.int64]:
        """The number of each label of a split, ``(N,)``. A log line counts those that training never saw.

        Args:
            names: the split's labels, one for each ``unit``.
            split: the split's name.
            unit: what has a label, in the plural, such as "texts".
            place: the place of the label at a position, for messages.
            unseen: names that are numbered after the labels. Any other name reads as ``IGNORE_INDEX``.

        Raises:
            InputError: none of the names is a label.
        """
        number_of = self.number_of | {name: number for number, name in enumerate(unseen, start=len(self.names))}
        targets = np.fromiter((number_of.get(name, IGNORE_INDEX) for name in names), np.int64, len(names))
        others = Counter(name for name in names if name not in self.number_of)
        total = others.total()
        if total and total == len(names):
            raise InputError(
                f"{place(0)}: no {self.noun} of the {split} split occurs in training, which has "
                f"{shortened(self.names)}; its first is {names[0]!r}"
            )
        if others and split != "train":
            log.warning(
                "%s: %d of %s %s %s %s that training never saw (%s) and %s as wrong",
                split,
                total,
                counted(len(names), unit),
                agree(total, "has", "have"),
                "an" if self.noun[0] in "aeiou" else "a",
                self.noun,
                shortened(sorted(others)),
                agree(total, "counts", "count"),
            )
        return targets

    def without_rows(self, names: Iterable[str]) -> list[str]:
        """A note, in a list, on the labels of which training has no row; an empty list if it has rows of each.

        Args:
            names: the labels that occur in training.

        Example:
            >>> Labels(["neg", "pos", "posi"], "class", "data.labels").without_rows(["pos", "neg", "pos"])
            ['no row of posi, of data.labels']
        """
        lacking = self.number_of.keys() - set(names)
        shown = shortened([name for name in self.names if name in lacking])
        return [f"no row of {shown}, of {self.option}"] if lacking else []

    def check_training(self, names: Sequence[str], place: Callable[[int], str], mend: str) -> None:
        """Refuses a training row whose label is not among those that an option gives.

        Args:
            names: the training split's labels.
            place: the place of the label at a position, for messages.
            mend: what a user can do besides adding the label; ``{name}`` in it stands for the label.

        Raises:
            InputError: a label is not among them.
        """
        for at, name in enumerate(names):
            if name not in self.number_of:
                raise InputError(
                    f"{place(at)}: the {self.noun} {name!r} is not among {self.option}=[{','.join(self.names[:10])}"
                    f"{',...' if len(self.names) > 10 else ''}]: add it there, or {mend.format(name=name)}"
                )


def majority_shares(targets: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
    """For each split, the share of the label that is commonest in training: the accuracy of always giving that one.

    Args:
        targets: the numbers of each split's labels, ``(N,)``.

    Example:
        >>> majority_shares({"train": np.array([1, 0, 1]), "test": np.array([0, 0, 0, 1])})
        {'train': 0.6666666666666666, 'test': 0.25}
    """
    commonest = Counter(targets["train"].tolist()).most_common(1)[0][0]
    return {split: float((numbers == commonest).mean()) for split, numbers in targets.items()}
