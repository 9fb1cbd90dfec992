"""Labels as class names: one name for each value, whatever its type, and refusal of what is no label."""

import datetime
import math
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from seqlab.data.formats.blanks import is_blank
from seqlab.errors import InputError

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
    found = set(labels)
    if all(_NUMBER.fullmatch(label) for label in found):
        return tuple(sorted(found, key=lambda label: (Decimal(label), label)))
    return tuple(sorted(found))
