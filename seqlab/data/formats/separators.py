"""What a user gives for ``data.separator``."""

import re
from typing import Final

from seqlab.errors import InputError

SEPARATORS: Final = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
NAMES: Final = {character: name for name, character in SEPARATORS.items()}
"""How a message names a separator."""


def separator_of(given: str | None) -> str | None:
    """The characters that ``data.separator`` means: characters, a name, or ``\\t`` in any quoting; None where none is
    given.

    Raises:
        InputError: it is empty, or holds a line break or a double quote.

    Example:
        >>> [separator_of(given) for given in ("tab", "\\\\t", "\\t", "|", "Space", None)]
        ['\\t', '\\t', '\\t', '|', ' ', None]
    """
    if given is None:
        return None
    plain = re.sub(r"\\+t", "\t", str(given))
    separator = SEPARATORS.get(plain.lower(), plain)
    if not separator or any(character in separator for character in '\n\r"'):
        raise InputError(
            f"data.separator={given!r} must be a character, or one of {', '.join(SEPARATORS)}; null: by the file"
        )
    return separator
