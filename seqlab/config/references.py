"""References of a part of a model to the ``model`` group around it, such as ``${..num_layers}`` in ``model.encoder``.

They stay as they are in a stored configuration and are resolved when the model is built (:mod:`seqlab.config.build`).
Torch is not needed.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_RELATIVE: Final = re.compile(r"\$\{\.[\w.]+\}")
_TO_GROUP: Final = re.compile(r"\$\{\.\.(\w+)\}")


def is_reference(value: object) -> bool:
    """Whether a value is a reference to the group around its part."""
    return isinstance(value, str) and _RELATIVE.fullmatch(value) is not None


def keys_of_part(part: Any) -> Iterator[str]:
    """The keys of the ``model`` group that are for a part: the part's own names, and the keys that it refers to.

    A part refers to the group at least once; any other value is no part, and has no such keys. A value under the part's
    own name has precedence over the group's.

    Example:
        >>> part = {"_target_": "seqlab.nn.Encoder", "hidden_size": "${..size}", "num_layers": 2}
        >>> list(keys_of_part(part))
        ['hidden_size', 'size', 'num_layers']
    """
    is_part = isinstance(part, Mapping) and any(_TO_GROUP.fullmatch(str(value)) for value in part.values())
    for name, value in part.items() if is_part else ():
        if not name.startswith("_"):
            yield name
        if isinstance(value, str) and (match := _TO_GROUP.fullmatch(value)):
            yield match[1]
