"""Text without a visible character."""

import re
from typing import Final

# Unicode's control characters and default ignorable ones (Unicode 15.1, DerivedCoreProperties), and the blanks of
# Hangul and Braille, which are letters to Unicode.
INVISIBLE: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_VISIBLE: Final = re.compile(rf"[^\s{INVISIBLE}]")


def is_blank(text: str) -> bool:
    """Whether a text consists of white space and invisible characters alone.

    Example:
        >>> is_blank(" \\u200b\\ufeff"), is_blank("\\u00a0."), is_blank("")
        (True, False, True)
    """
    return _VISIBLE.search(text) is None
