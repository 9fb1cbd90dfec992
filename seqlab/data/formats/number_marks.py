"""Decimal marks and thousands separators: 12,345.6 is not read, and 1,000 may be a thousand or one."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

log = logging.getLogger("seqlab")

_GROUPS: Final = re.compile(
    r"[+-]?[1-9]\d{0,2}(?:(?P<mark>[,. \u00a0\u202f'\u2019])\d{3})(?:(?P=mark)\d{3})*(?:[.,]\d+)?"
)
_ONE_GROUP: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_SMALL: Final = re.compile(r"[+-]?\d{1,3}")
_COMMAS: Final = "for decimal commas give data.decimal=','"
_EXPORT: Final = "thousands separators are not read: export numbers without them"


def marks_mend(text: str, decimal: str) -> str:
    """What to do about a text that is no number for its decimal comma or thousands separators; empty if it has none.

    Args:
        text: the text.
        decimal: the decimal mark, "." or ",".

    Example:
        >>> marks_mend("12,345.6", ".")
        'thousands separators are not read: export numbers without them'
        >>> marks_mend("1,5", "."), marks_mend("one", ".")
        ("for decimal commas give data.decimal=','", '')
    """
    match = _GROUPS.fullmatch(text)
    if match is None:
        return _COMMAS if decimal == "." and re.fullmatch(r"[+-]?\d+,\d+", text) else ""
    if decimal == "." and match["mark"] == "." and "," in text:
        return f"{_EXPORT}, and give data.decimal=','"
    if match["mark"] in ",." and sum(map(text.count, ",.")) == 1:  # 1,000 is a thousand, or one
        other = _COMMAS if decimal == "." else "a decimal point must be a comma too"
        return f"{_EXPORT}; {other}"
    return _EXPORT


def warn_of_thousands(column: Iterable[Any], name: str, places: Sequence[str], decimal: str) -> None:
    """Warns of a column that is read with decimal commas, but whose commas may all separate thousands."""
    if decimal != ",":
        return
    texts = [text for value in column if isinstance(value, str) and any(map(str.isdigit, text := value.strip()))]
    groups = [text for text in texts if _ONE_GROUP.fullmatch(text)]
    if groups and all(_ONE_GROUP.fullmatch(text) or _SMALL.fullmatch(text) for text in texts):
        log.warning(
            "%s: all commas of %s have three digits behind them, such as %s, read as %s by data.decimal=','; if they "
            "separate thousands, export numbers without them",
            *(places[0], name, groups[0], groups[0].replace(",", ".")),
        )
