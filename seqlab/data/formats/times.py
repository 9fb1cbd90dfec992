"""Times of series: read strictly, checked to run forward, and shown."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.number_columns import numbers
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_ZONE: Final = re.compile(
    r"(?:[T\s]\d{2}|\d:\d{2})(?::?\d{2})*(?:[.,]\d+)?\s*(Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE
)  # after a time of day: 2026-11 is a month
_ZONE_OF_PATTERN: Final = re.compile(r"(Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)
_INTEGER: Final = re.compile(r"\s*[+-]?\d+\s*")
_DAYS_AS_NUMBERS: Final = {"%Y%m%d": (19000101, 21001231), "%Y%m": (190001, 210012)}
_LONGEST: Final = 1e19  # from it, whole numbers are shown with a power of ten
_EXACT: Final = 2.0**53  # below it, floats tell all integers apart


def read_times(
    column: Sequence[Any] | NDArray[Any], name: str, places: Sequence[str], pattern: str | None, decimal: str = "."
) -> Any:
    """The times of a column: numbers as float64 (float32 where the column is that), dates as datetime64.

    Integers that float64 cannot tell apart, such as nanoseconds since 1970, are int64.

    Dates are ISO 8601 (2026-11-29, 2026-11-29T18:30), or as ``pattern`` says. Others, such as 01/02/2026, may mean
    either of two days, so they are refused without a pattern. Times whose zones are all the same are read as they
    stand; those of several zones in UTC, which a log line says.

    Args:
        column: its values.
        name: its name, for messages.
        places: the place of each value.
        pattern: the form of dates, as for ``datetime.strptime``; None: numbers or ISO 8601.
        decimal: the decimal mark of numbers.

    Raises:
        InputError: a time is missing, or is neither a number nor a date of that form, some have a zone and others none,
            or a date lies outside the years 1678 to 2261; names its place.

    Example:
        >>> read_times(["2026-01-31", "2026-02-28"], "day", ["a:2", "a:3"], None).astype("datetime64[D]").tolist()
        [datetime.date(2026, 1, 31), datetime.date(2026, 2, 28)]
        >>> read_times(["199001"], "month", ["a:2"], "%Y%m").astype("datetime64[M]").tolist()
        [datetime.date(1990, 1, 1)]
    """
    values = np.asarray(column)
    if np.issubdtype(values.dtype, np.datetime64):
        if np.isnat(values).any():
            missing = int(np.flatnonzero(np.isnat(values))[0])
            raise InputError(f"{places[missing]}: {name} is missing; every row needs it")
        return _nanoseconds(values, name, places)
    if pattern is None and (np.issubdtype(values.dtype, np.number) or _all_numbers(column, decimal)):
        made = numbers(column, name, places, decimal)
        if np.isnan(made).any():
            raise InputError(f"{places[int(np.flatnonzero(np.isnan(made))[0])]}: {name} is missing; every row needs it")
        _warn_of_dates(made, name, places)
        if (integers := _integers(column, made)) is not None:
            return integers
        return made.astype(np.float32) if values.dtype == np.float32 else made  # which tells how exact they are
    return _dates([str(value).strip() for value in column], name, places, pattern)


def check_pattern(pattern: str) -> None:
    """Refuses a form of dates (``data.time_format``) with zones that cannot be told for certain.

    Raises:
        InputError: it has names of zones, which may mean several, or offsets within.
    """
    directives = re.findall(r"%.", pattern)
    if "%Z" in directives:
        raise InputError(
            f"data.time_format={pattern!r}: the name of a zone may mean several (%Z); where all rows have the same, "
            f"write it in place of %Z, such as {pattern.replace('%Z', 'CET')!r}; else give times with offsets (%z)"
        )
    if "%z" in directives and not pattern.endswith("%z"):
        raise InputError(f"data.time_format={pattern!r}: an offset is read at the end of a time; write %z there")


def _all_numbers(column: Sequence[Any] | NDArray[Any], decimal: str) -> bool:
    try:
        for value in column:
            float(value.replace(decimal, ".") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return False
    return True


def _integers(column: Sequence[Any] | NDArray[Any], made: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """A column as integers, where its numbers as floats, ``made``, may not tell them apart; None: not all are."""
    if np.abs(made).max(initial=0.0) < _EXACT or not all(_INTEGER.fullmatch(str(value)) for value in column):
        return None
    try:
        return np.array([int(value) for value in column], dtype=np.int64)
    except OverflowError:
        return None


def _dates(texts: Sequence[str], name: str, places: Sequence[str], pattern: str | None) -> Any:
    import pandas as pd

    form = pattern or "ISO8601"
    try:
        dates = pd.to_datetime(pd.Series(texts, dtype="object"), format=form, errors="coerce", utc=True)
    except (ValueError, re.error) as error:  # of the form alone: a time that is not of it is no date
        raise InputError(f"data.time_format={pattern!r} is no form of dates: {error}") from error
    wrong = np.flatnonzero(dates.isna().to_numpy())
    if wrong.size:
        first = int(wrong[0])
        expected = f"a time of the form {pattern}" if pattern else "a number, 2026-11-29 or 2026-11-29T18:30"
        mend = "mend it, or give data.time_format=" + ("" if pattern else ", such as '%d.%m.%Y'")
        raise InputError(f"{places[first]}: {name} is {texts[first][:40]!r}; expected {expected}: {mend}")
    zone = "UTC"
    if pattern is None or "%z" in pattern:
        zone = _zone(texts, name, places, pattern is not None)
    return _nanoseconds(dates.dt.tz_convert(zone).dt.tz_localize(None).to_numpy(), name, places)


def _zone(texts: Sequence[str], name: str, places: Sequence[str], has_zone: bool) -> str:
    """The zone in which dates are read: their own where all have the same, else UTC.

    ``has_zone``: they end with one, by their pattern.
    """
    matches = [(_ZONE_OF_PATTERN if has_zone else _ZONE).search(text) for text in texts]
    zones = [match[1].upper() if match else "" for match in matches]
    own = list(dict.fromkeys(zones))
    if "" in own and len(own) > 1:
        at = next(number for number, zone in enumerate(zones) if zone != zones[0])
        raise InputError(
            f"{places[at]}: {name} is {texts[at][:40]!r}, and {texts[0][:40]!r} at {places[0]}: give all times a zone, "
            "or none"
        )
    if len(own) > 1:
        shown = ", ".join(sorted(own)[:4])
        log.warning("%s: %s has times of several zones (%s); all are read in UTC", places[0], name, shown)
    if len(own) > 1 or own[0] in ("", "Z"):
        return "UTC"
    digits = own[0][1:].replace(":", "").ljust(4, "0")
    return f"{own[0][0]}{digits[:2]}:{digits[2:]}"


def _nanoseconds(values: NDArray[Any], name: str, places: Sequence[str]) -> Any:
    """Dates in nanoseconds, which hold the years 1678 to 2261."""
    years = values.astype("datetime64[Y]").astype(np.int64) + 1970
    if (beyond := np.flatnonzero((years < 1678) | (years > 2261))).size:
        at = int(beyond[0])
        raise InputError(
            f"{places[at]}: {name} is of the year {years[at]}; dates are read from 1678 to 2261: give times "
            "as numbers, such as years"
        )
    return values.astype("datetime64[ns]")


def _warn_of_dates(times: NDArray[np.float64], name: str, places: Sequence[str]) -> None:
    """Warns of numbers such as 20261129, whose differences are no days."""
    for form, (least, most) in _DAYS_AS_NUMBERS.items():
        months = times // 100 if form == "%Y%m%d" else times
        days = times % 100 if form == "%Y%m%d" else np.ones(1)
        whole = (times >= least) & (times <= most) & (times % 1 == 0) & (months % 100 >= 1) & (months % 100 <= 12)
        if len(times) > 1 and (whole & (days >= 1) & (days <= 31)).all():
            log.warning(
                "%s: %s looks like dates (%.0f) and is read as numbers: give data.time_format=%s if they are dates",
                *(places[0], name, times[0], form),
            )


def check_forward(times: NDArray[Any], name: str, places: Sequence[str]) -> None:
    """Refuses times that stand still or run backwards.

    Args:
        times: the times of one series.
        name: their column, for messages.
        places: the place of each.

    Raises:
        InputError: naming the place.
    """
    wrong = np.flatnonzero(np.diff(times) <= np.zeros(1, dtype=np.diff(times[:1]).dtype))
    if not wrong.size:
        return
    at = int(wrong[0]) + 1
    if times[at] == times[at - 1]:
        raise InputError(
            f"{places[at]}: {name} {shown(times[at])} comes twice; leave one row out, or name the column that tells "
            "several series apart by data.id="
        )
    raise InputError(
        f"{places[at]}: {name} runs backwards, from {shown(times[at - 1])} to {shown(times[at])}; sort the rows by "
        "time, or name the column that tells several series apart by data.id="
    )


def shown(time: Any) -> str:
    """A time for a message: no more digits than it needs.

    Example:
        >>> shown(np.datetime64("2026-11-29T00:00", "ns")), shown(np.datetime64("2026-11-29T18:30", "ns")), shown(3.0)
        ('2026-11-29', '2026-11-29 18:30', '3')
        >>> shown(np.int64(1_700_000_000_000_000_020))
        '1700000000000000020'
    """
    if isinstance(time, np.datetime64):
        text = str(time.astype("datetime64[us]")).replace("T", " ")
        for rest in (".000000", ":00", " 00:00"):
            text = text.removesuffix(rest)
        return text
    if float(time).is_integer() and abs(time) < _LONGEST:
        return str(int(time))
    return f"{float(time):.{np.finfo(time.dtype if isinstance(time, np.floating) else float).precision}g}"


def shown_alike(times: Iterable[Any]) -> list[str]:
    """Times of one series, all to the minute, second or fraction that one of them needs.

    Example:
        >>> shown_alike([np.datetime64("2026-11-29T18:30", "ns"), np.datetime64("2026-11-30T00:00", "ns")])
        ['2026-11-29 18:30', '2026-11-30 00:00']
        >>> shown_alike([1.0, 2.5])
        ['1', '2.5']
    """
    times = list(times)
    if not all(isinstance(time, np.datetime64) for time in times):
        return [shown(time) for time in times]
    texts = [str(time.astype("datetime64[us]")).replace("T", " ") for time in times]
    for rest in (".000000", ":00", " 00:00"):
        if not all(text.endswith(rest) for text in texts):
            break
        texts = [text.removesuffix(rest) for text in texts]
    return texts
