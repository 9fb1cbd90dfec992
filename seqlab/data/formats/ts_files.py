"""The .ts files of the archives of time series classification (UCR and UEA)."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.number_columns import numbers
from seqlab.data.formats.series import Series
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_DIMENSIONS: Final = ("@dimension", "@dimensions")
_PLAIN: Final = ("@problemname", "@missing", "@univariate", "@equallength", "@serieslength", *_DIMENSIONS)


@dataclass(frozen=True)
class Case:
    """One case of a .ts file: its series, its label (None where the file has none), and its line."""

    series: Series
    label: str | None
    place: str


@dataclass
class _Header:
    """What the lines before ``@data`` say.

    Attributes:
        values: each tag in lower case, with what stands behind it.
        lines: the line of each tag.
        first: the line after ``@data``, from 0.
    """

    values: dict[str, str]
    lines: dict[str, int]
    first: int

    def flag(self, file: Path, tag: str) -> bool | None:
        """A tag of true or false; None where the file lacks it."""
        value = self.values.get(tag)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise InputError(f"{file}:{self.lines[tag]}: {tag} is {value!r}; expected true or false")
        return value.lower() == "true"

    def count(self, file: Path, *tags: str) -> int | None:
        """A tag of a whole number; None where the file lacks it."""
        tag = next((tag for tag in tags if tag in self.values), None)
        if tag is None:
            return None
        if not self.values[tag].isdecimal() or int(self.values[tag]) < 1:
            raise InputError(f"{file}:{self.lines[tag]}: {tag} is {self.values[tag]!r}; expected a whole number")
        return int(self.values[tag])


def is_ts(file: Path) -> bool:
    """Whether a file's name says that it is a .ts file, plain or packed by gzip."""
    return file.name.lower().removesuffix(".gz").endswith(".ts")


def read_ts(file: Path, encoding: str = "utf-8") -> list[Case]:
    """Reads a .ts file: a header of tags, then ``@data`` with a case a line.

    The dimensions of a case stand between colons, their values between commas, and the label comes last. ``?`` and NaN
    are missing values. Cases may have different lengths; the dimensions of one have the same.

    Args:
        file: the file.
        encoding: its encoding.

    Returns:
        The cases, in their order; the features of a series are its dimensions.

    Raises:
        InputError: the header lacks ``@data`` or contradicts a case, values have time stamps, a value is no number, or
            the file is for regression; names file and line.
    """
    lines = read_lines(file, encoding)
    header = _header(file, lines)
    if header.flag(file, "@timestamps"):
        raise InputError(
            f"{file}:{header.lines['@timestamps']}: values with time stamps are not read from .ts files; write a table "
            "with a row a step, and give data.id= and data.time="
        )
    if "@targetlabel" in header.values and header.values["@targetlabel"].lower() != "false":
        raise InputError(
            f"{file}:{header.lines['@targetlabel']}: the file has numbers as targets (@targetLabel), for regression; "
            "classification needs @classLabel"
        )
    classes = _classes(file, header)
    wanted = 1 if header.flag(file, "@univariate") else header.count(file, *_DIMENSIONS)
    cases: list[Case] = []
    for number, line in enumerate(lines[header.first :], header.first + 1):
        if line.strip() and not line.lstrip().startswith("#"):
            cases.append(_case(f"{file}:{number}", line, classes, wanted, len(cases)))
            wanted = wanted or cases[0].series.values.shape[1]
    if not cases:
        raise InputError(f"{file} has no case after @data; give it at least one")
    _check_lengths(file, header, cases)
    return cases


def _header(file: Path, lines: Sequence[str]) -> _Header:
    header = _Header({}, {}, 0)
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("\ufeff")
        if not text or text.startswith(("#", "%")):
            continue
        tag, _, value = text.partition(" ")
        tag = tag.lower()
        if tag == "@data":
            header.first = number
            return header
        if not tag.startswith("@"):
            raise InputError(f"{file}:{number}: expected a tag such as @classLabel, or @data before the first case")
        if tag not in (*_PLAIN, "@timestamps", "@classlabel", "@targetlabel"):
            log.warning("%s:%d: the tag %s is not known, and ignored", file, number, tag)
        header.values[tag], header.lines[tag] = value.strip(), number
    raise InputError(f"{file}:{len(lines) or 1}: expected a line @data before the cases, got the end of the file")


def _classes(file: Path, header: _Header) -> tuple[str, ...] | None:
    """The labels that the header names; None where cases have no label."""
    tag = "@classlabel"
    if tag not in header.values:
        raise InputError(f"{file}:{header.first}: expected a line @classLabel true LABELS before @data")
    flag, *labels = header.values[tag].split() or [""]
    if flag.lower() == "false":
        return None
    if flag.lower() != "true" or not labels:
        raise InputError(f"{file}:{header.lines[tag]}: expected @classLabel true and the labels, or @classLabel false")
    return tuple(labels)


def _case(place: str, line: str, classes: tuple[str, ...] | None, wanted: int | None, number: int) -> Case:
    parts = [part.strip() for part in line.split(":")]
    label = None
    if classes is not None:
        label = parts.pop()
        if label not in classes:
            shown = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
            raise InputError(f"{place}: the label {label[:40]!r} is none of those of @classLabel: {shown}")
    if not parts:
        raise InputError(f"{place}: the case has a label and no values; give it at least one dimension")
    if wanted is not None and len(parts) != wanted:
        raise InputError(f"{place}: expected {wanted} dimensions, with a colon after each, got {len(parts)}")
    dimensions = [_values(place, part, at) for at, part in enumerate(parts, 1)]
    lengths = [len(each) for each in dimensions]
    if len(set(lengths)) > 1:
        raise InputError(
            f"{place}: the dimensions of a case have different lengths ({', '.join(map(str, lengths[:10]))}); fill the "
            "shorter ones with ?, and give data.missing=mask or forward"
        )
    values = np.stack(dimensions, 1)
    return Case(Series(f"case {number + 1}", values, [place] * len(values)), label, place)


def _values(place: str, text: str, dimension: int) -> NDArray[np.float64]:
    if not text:
        raise InputError(f"{place}: dimension {dimension} is empty; give it at least one value, or ?")
    written = [value.strip() for value in text.split(",")]
    if "_" not in text:  # which Python takes for a digit separator
        with contextlib.suppress(ValueError):
            values = np.array(["nan" if value == "?" else value for value in written], dtype=np.float64)
            if not np.isinf(values).any():
                return values
    if "" in written:
        raise InputError(f"{place}: dimension {dimension} has an empty value; write ? for a missing one")
    plain = ["" if value == "?" else value for value in written]
    return numbers(plain, f"a value of dimension {dimension}", [place] * len(plain))


def _check_lengths(file: Path, header: _Header, cases: Sequence[Case]) -> None:
    """Warns where the header promises other lengths than the cases have: the cases are what is read."""
    lengths = sorted({len(case.series) for case in cases})
    promised = header.count(file, "@serieslength") if header.flag(file, "@equallength") else None
    if header.flag(file, "@equallength") and (len(lengths) > 1 or (promised and lengths != [promised])):
        log.warning(
            "%s: the header says that all series have %s steps, and they have %d to %d",
            file,
            promised or "equally many",
            lengths[0],
            lengths[-1],
        )
