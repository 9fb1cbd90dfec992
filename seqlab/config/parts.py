"""Parts of a model or a task: keys that refer to keys of the group around them. Torch is not needed.

A part is a mapping with a ``_target_`` of its own, such as ``model.encoder``. Its ``${..num_layers}`` is the key
``num_layers`` of the group around it. Such a reference stays as text until the model is built, for only then are the
sizes known that the data gives.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from seqlab.errors import InputError

_LATE: Final = re.compile(r"\$\{(\.+)([\w.]+)\}")


def is_late(value: object) -> bool:
    """Whether a value is a reference that is resolved when the model is built, such as ``${..num_layers}``."""
    return isinstance(value, str) and _LATE.fullmatch(value) is not None


def referred_key(key: str, value: object) -> str | None:
    """The dotted key that the value of a key refers to; None if it is no reference.

    Example:
        >>> referred_key("model.encoder.norm", "${..norm}"), referred_key("model.encoder.norm", "pre")
        ('model.norm', None)
    """
    return ".".join(_target(tuple(key.split(".")), str(value))) if is_late(value) else None


def references(group: Mapping[str, Any]) -> set[str]:
    """The keys of a group that its parts refer to.

    Example:
        >>> encoder = {"_target_": "seqlab.nn.Encoder", "hidden_size": "${..size}", "num_layers": 2}
        >>> references({"size": 4, "num_layers": 1, "encoder": encoder})
        {'size'}
    """
    return {path[0] for path in _referred(group, ()) if path}


def _referred(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths that the references of a node's parts lead to."""
    for name, value in node.items() if isinstance(node, Mapping) else ():
        here = (*path, str(name))
        if is_late(value) and len(here) > 1:
            yield _target(here, value)
        yield from _referred(value, here)


def _target(path: tuple[str, ...], reference: str) -> tuple[str, ...]:
    """The path that the ``reference`` at ``path`` leads to."""
    match = _LATE.fullmatch(reference)
    assert match is not None
    return (*path[: -len(match[1])], *match[2].split("."))


def resolved(group: Mapping[str, Any], name: str, root: str = "model") -> Any:
    """The value of a group's key ``name``, with what its references lead to; ``root`` is the group's name.

    Raises:
        InputError: a reference leads to no key, or to itself.

    Example:
        >>> encoder = {"_target_": "seqlab.nn.Encoder", "hidden_size": "${..size}"}
        >>> resolved({"size": 4, "encoder": encoder}, "encoder")
        {'_target_': 'seqlab.nn.Encoder', 'hidden_size': 4}
    """
    return _resolved({root: group}, (root, name), ())


def _resolved(config: Mapping[str, Any], path: tuple[str, ...], through: tuple[tuple[str, ...], ...]) -> Any:
    node: Any = config
    for name in path:
        if not isinstance(node, Mapping) or name not in node:
            origin = ".".join(through[-1] if through else path[:1])
            ways = "give it, have the data's spec give it (model_arguments), or choose a model that is for this data"
            mend = f"; {ways}" if path[0] == "model" else ""
            raise InputError(
                f"{origin} refers to {'.'.join(path)}, which neither the configuration nor the data has{mend}"
            )
        node = node[name]
    if is_late(node):
        if path in through:
            raise InputError(f"{'.'.join(path)} refers to itself; give it a value")
        return _resolved(config, _target(path, node), (*through, path))
    if isinstance(node, Mapping):
        return {name: _resolved(config, (*path, str(name)), through) for name in node}
    return node


def check_read(group: Mapping[str, Any], taken: set[str], target: str, root: str = "model") -> None:
    """Refuses keys of a group that nothing reads: neither its ``target``, which takes ``taken``, nor a part.

    Raises:
        InputError: naming the key and, where a part's own value hides it, the key of the part.

    Example:
        >>> encoder = {"_target_": "seqlab.nn.Encoder", "num_layers": 3}
        >>> check_read({"num_layers": 2, "encoder": encoder}, {"encoder"}, "my.Model")
        Traceback (most recent call last):
        ...
        seqlab.errors.InputError: model.num_layers=2 has no effect beside model.encoder.num_layers=3: give it alone
    """
    read = taken | references(group)
    for name, value in group.items():
        if name in read or name.startswith("_"):
            continue
        for part, own in group.items():
            for key in own if isinstance(own, Mapping) else ():
                if (name == key or name.endswith(f"_{key}")) and not is_late(own[key]):
                    raise InputError(
                        f"{root}.{name}={value} has no effect beside {root}.{part}.{key}={own[key]}: give it alone"
                    )
        shown = "" if isinstance(value, (Mapping, list)) else f"={value}"
        mend = "" if shown else f": ~{root}.{name}"
        raise InputError(f"{root}.{name}{shown}: neither {target} nor a part of it takes {name}; leave it out{mend}")
