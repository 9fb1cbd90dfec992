"""Config values and numbers as the text of a report's cells."""

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from seqlab.config.hash import canonical_json, flatten
from seqlab.config.parts import is_late
from seqlab.report.configs import MISSING, identity

MAX_NAMED = 6


def labels(key: str, values: Iterable[Any], typed: Mapping[Hashable, str] | None = None) -> list[str]:
    """Short texts for the values of a config key; whole texts where two short ones would be equal.

    Args:
        key: the dotted key.
        values: its values.
        typed: what was typed for values that are choices of a group, by their identity; taken if all have one.

    Example:
        >>> labels("model.cell._target_", ["seqlab.nn.GRUCell", "seqlab.nn.LSTMCell"])
        ['GRUCell', 'LSTMCell']
        >>> labels("model.cell", [{"_target_": "seqlab.nn.GRUCell", "_partial_": True, "bias": False}, None])
        ['GRUCell(bias=false)', 'null']
        >>> labels("model.cell", [[{"_target_": "seqlab.nn.GRUCell"}, {"_target_": "seqlab.nn.LSTMCell"}]])
        ['[GRUCell, LSTMCell]']

    Arguments that are the same in all values are left out:

        >>> labels("model.cell", [{"_target_": f"nn.{name}", "bias": True} for name in ("GRUCell", "LSTMCell")])
        ['GRUCell', 'LSTMCell']

    So are references to keys of the model, which has its own values for them:

        >>> labels("model.encoder", [{"_target_": "nn.Encoder", "norm": "${..norm}"}])
        ['Encoder']

    A text that reads like another value is in quotes:

        >>> labels("data.column", ["1", 1, "text"])
        ['"1"', '1', 'text']
    """
    values = list(values)
    full = full_texts(values)
    kinds = len(set(full))
    if typed:
        texts = [_typed_text(key, value, text, typed) for value, text in zip(values, full, strict=True)]
        if None not in texts and len(set(texts)) == kinds:
            return [text for text in texts if text is not None]
    references = _references(values)
    common = references | (_common_arguments(values) if kinds > 1 else set())
    for left_out in (common, references, set()):
        short = [_short(key, value, text, left_out) for value, text in zip(values, full, strict=True)]
        if len(set(short)) == kinds:
            return short
    return full


def listed(words: Sequence[str]) -> str:
    """A list of words as in a sentence.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b"])
        ('a, b and c', 'a and b')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def full_text(value: Any) -> str:
    """A config value as text, whole."""
    return value if isinstance(value, str) else canonical_json(value)


def full_texts(values: Sequence[Any]) -> list[str]:
    """Config values as texts, whole, and apart: a text that looks like a value of another type is in quotes.

    Example:
        >>> full_texts([None, "null", 1, "one"])
        ['null', '"null"', '1', 'one']
    """
    return _apart(values, [full_text(value) for value in values])


def find_label(key: str, text: str, values: Sequence[Any], typed: Mapping[Hashable, str] | None = None) -> set[int]:
    """The places of the values of a config key that a text names: as it was typed, by its class, or whole.

    Example:
        >>> find_label("model.cell._target_", "GRUCell", ["seqlab.nn.GRUCell", "seqlab.nn.LSTMCell"])
        {0}
    """
    shown = zip(labels(key, values, typed), labels(key, values), strict=True)
    found = {number for number, texts in enumerate(shown) if text in texts}
    return found or {number for number, value in enumerate(values) if text == full_text(value)}


def sort_key(value: Any) -> tuple[int, float, str]:
    """A key for sorting config values: numbers by size, then texts, then null and missing values."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, float(value), ""
    return (2 if value is None or value == MISSING else 1), 0.0, str(value)


def number_text(value: float, decimals: int | None) -> str:
    """A number with so many decimals; with four digits where ``decimals`` is None, or the number is huge."""
    return f"{value:.4g}" if decimals is None or abs(value) >= 1e6 else f"{value:.{decimals}f}"


def decimals_of(column: Sequence[float]) -> int | None:
    """The number of decimals that show four digits of a column's smallest number; None where sizes differ too much.

    Example:
        >>> decimals_of([133.9134, 98.1]), decimals_of([2.5e9, 3.0])
        (2, None)
    """
    sizes = [abs(number) for number in column if number]
    if not sizes or max(sizes) >= 1e6 or min(sizes) < 1e-4:
        return None if sizes else 3
    return max(0, 3 - math.floor(math.log10(min(sizes))))


def whole_text(number: float | None) -> str:
    """A count with separators between thousands; empty for None."""
    return "" if number is None else f"{number:,.0f}"


def duration_text(seconds: float | None) -> str:
    """A duration; empty for None.

    Example:
        >>> duration_text(4.24), duration_text(61), duration_text(5000)
        ('4.2s', '1m 01s', '1h 23m')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def memory_text(count: float | None) -> str:
    """Bytes in MB, from 1000 MB on in GB; empty for None.

    Example:
        >>> memory_text(548_110_336), memory_text(17_200_000_000)
        ('548 MB', '17.2 GB')
    """
    if count is None:
        return ""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def shortened(names: Iterable[str], limit: int = MAX_NAMED) -> str:
    """The first names in words, and the number of the others.

    Example:
        >>> shortened(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "") or "none"


def runs_text(count: int) -> str:
    """A number of runs in words: ``1 run``, ``2 runs``."""
    return f"{count} run{'s' if count != 1 else ''}"


def _typed_text(key: str, value: Any, full: str, typed: Mapping[Hashable, str]) -> str | None:
    if isinstance(value, (dict, list)):
        return typed.get(identity(value))
    return _short(key, value, full)


def _objects(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The objects among config values, those in lists too."""
    for value in values:
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict))


def _references(values: Iterable[Any]) -> set[tuple[str, str]]:
    """The arguments of objects that refer to keys above them, with the references."""
    arguments = (argument for each in _objects(values) for argument in flatten(each))
    return {(name, entry) for name, entry in arguments if is_late(entry)}


def _apart(values: Sequence[Any], texts: Sequence[str]) -> list[str]:
    """The texts of config values, those in quotes that would be taken for a value of another type."""
    others = {text for value, text in zip(values, texts, strict=True) if not isinstance(value, str)}
    return [
        canonical_json(value) if isinstance(value, str) and text in others else text
        for value, text in zip(values, texts, strict=True)
    ]


def _common_arguments(values: Iterable[Any]) -> set[tuple[str, str]]:
    """The arguments, with their values, that all objects among config values have, those in lists too."""
    sets = [{(name, full_text(entry)) for name, entry in flatten(each)} for each in _objects(values)]
    return set.intersection(*sets) if len(sets) > 1 else set()  # one alone is described in full


def _short(key: str, value: Any, full: str, left_out: Collection[tuple[str, str]] = ()) -> str:
    if isinstance(value, str) and key.rpartition(".")[2] == "_target_":
        return value.rpartition(".")[2]
    if isinstance(value, list) and key.rpartition(".")[2] == "_target_":  # of a cell for each layer
        return ", ".join(_short(key, each, full_text(each)) for each in value)
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):  # a cell for each layer
        return f"[{', '.join(_short(key, each, full_text(each), left_out) for each in value)}]"
    if not isinstance(value, dict):
        return full
    flat = dict(flatten(value))
    name = str(flat.get("_target_", "")).rpartition(".")[2]
    arguments = [(name, entry) for name, entry in sorted(flat.items()) if not name.startswith("_")]
    texts = [(name, full_text(entry)) for name, entry in arguments]
    words = [f"{name}={text}" for name, text in texts if (name, text) not in left_out]
    return f"{name}({', '.join(words)})" if words else name or full
