"""The choices of configuration groups as they were typed, such as ``recurrent`` of ``model/encoder=recurrent``."""

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from seqlab.config.hash import canonical_json, flatten
from seqlab.report.configs import MISSING
from seqlab.report.reproduce import key_of_override

if TYPE_CHECKING:
    from seqlab.report.collect import Run

_CHOICE = re.compile(r"[\w./-]+|\[[\w, -]+\]")
"""The name of a file of a group, or of one for each layer; no other text says what was chosen."""


def typed_choices(key: str, runs: Iterable["Run"]) -> dict[Hashable, str]:
    """What was typed for each value of a key that is a group, by the value's identity; keys set below it beside it.

    Of several texts of one value, the shortest. Empty if it was not typed for all runs, as where presets have chosen.

    Args:
        key: a dotted key, as ``model.encoder`` of ``model/encoder``.
        runs: the runs.
    """
    texts: dict[Hashable, str] = {}
    for run in runs:
        value = run.value(key)
        if not run.config or value is None or value == MISSING:
            continue
        text = _typed(key, value, run.overrides) if isinstance(value, (dict, list)) else None
        if text is None:
            return {}
        identity = run.identity(key)
        texts[identity] = min(texts.get(identity, text), text, key=lambda each: (len(each), each))
    return texts


def _typed(key: str, value: Mapping[str, Any] | list[Any], overrides: Iterable[str]) -> str | None:
    """The choice that overrides make, as ``transformer(context=64)``; None if they make none, or none in one word."""
    choice, below = None, set[str]()
    for override in overrides:
        changed, text = key_of_override(override), override.partition("=")[2]
        if changed == key:
            choice = text if _CHOICE.fullmatch(text) else None
        elif changed.startswith(f"{key}."):
            below.add(changed.removeprefix(f"{key}."))
    if choice is None or not below:
        return choice
    values = dict(flatten(value)) if isinstance(value, Mapping) else {}
    if not below <= values.keys():
        return None
    texts = {name: values[name] if isinstance(values[name], str) else canonical_json(values[name]) for name in below}
    return f"{choice}({', '.join(f'{name}={texts[name]}' for name in sorted(below))})"
