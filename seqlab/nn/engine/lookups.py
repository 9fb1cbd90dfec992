"""The names that the objects a method read have: a look-up that failed, such as of a default, leaves no guard.

``getattr(self, "scale", 1.0)``, ``try: self.scale`` and ``"scale" in self.options`` depend on names that are not there.
So does what runs over a dictionary, by the order of its keys. What is watched here is which names there are, and their
order; what they stand for, Dynamo's guards watch.
"""

import abc
import dis
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from typing import cast as typed

from torch import Tensor

from seqlab.nn.engine.errors import UnsupportedError

_FIXED = frozenset(("torch", "numpy", "seqlab"))
"""Packages whose modules and functions are taken to keep their names."""
_OWN = ("L['rows']", "G['__builtins_dict__")  # the method's own tensors, and Python's builtins


@dataclass(frozen=True)
class Lookups:
    """Which names there were in all that a method read, and the modules that it imports as it runs.

    Attributes:
        holders: takes the method's arguments; the objects that were read.
        names: of each, what reads its names, and those that it had.
        modules: what stood under a name in ``sys.modules``.
        token: of Python's abstract classes, where the method asks whether something is an instance of one; None: it
            does not.
    """

    holders: Callable[[dict[str, Any]], tuple[Any, ...]]
    names: tuple[tuple[Callable[[Any], Any], Any], ...]
    modules: tuple[tuple[str, Any], ...]
    token: object

    def hold(self, scope: dict[str, Any]) -> bool:
        """Whether all of them are what they were."""
        try:
            for holder, (read, names) in zip(self.holders(scope), self.names, strict=True):
                if read(holder) != names:
                    return False
        except Exception:  # an object on the way is gone, or has become another
            return False
        for name, module in self.modules:
            if sys.modules.get(name) is not module:
                return False
        return self.token is None or self.token == abc.get_cache_token()


def lookups_of(
    sources: Iterable[str], scope: dict[str, Any], names: dict[str, Any], codes: Sequence[types.CodeType]
) -> Lookups:
    """What is to be watched beside guards.

    Args:
        sources: Dynamo's expressions of what was read, over ``L``, the arguments, and what ``names`` holds.
        scope: the arguments.
        names: what else the expressions name, such as ``G``.
        codes: the user's code that was run.

    Raises:
        UnsupportedError: the code imports a module by a relative name.
    """
    words = frozenset(word for code in codes for word in (*code.co_names, *code.co_consts) if isinstance(word, str))
    kept: dict[str, Callable[[Any], Any]] = {}
    seen: set[int] = set()
    is_abstract = False
    for source in sorted(set(sources)):
        if not source or source.startswith(_OWN):
            continue
        try:
            holder = eval(source, {**names, "L": scope})  # Dynamo's own expression
        except Exception:
            continue
        classes = _classes_of(holder) if isinstance(holder, types.FunctionType) else [holder]
        is_abstract |= any(isinstance(kind, abc.ABCMeta) for kind in classes) and not source.startswith("type(")
        reader = _reader_of(holder, words)
        if id(holder) not in seen and reader is not None:
            seen.add(id(holder))
            kept[source] = reader
    holders = eval(f"lambda L: ({''.join(f'{each}, ' for each in kept)})", names)
    read = typed(Callable[[dict[str, Any]], tuple[Any, ...]], holders)
    return Lookups(
        read,
        tuple((reader, reader(holder)) for reader, holder in zip(kept.values(), read(scope), strict=True)),
        tuple((name, sys.modules.get(name)) for name in sorted(set(_imports(codes)))),
        abc.get_cache_token() if is_abstract else None,
    )


def _reader_of(holder: Any, words: frozenset[str]) -> Callable[[Any], Any] | None:
    """What reads the names that an object of this kind has, in their order; None for what has none, or keeps them."""
    if isinstance(holder, dict):
        # The globals of a module get new names all the time, as in a notebook: those matter that the code has.
        return words.intersection if "__builtins__" in holder else tuple
    if isinstance(holder, types.ModuleType):
        if holder.__name__.partition(".")[0] in _FIXED:
            return None
        return lambda module: words & vars(module).keys()
    if isinstance(holder, type) or type(holder) is Tensor:
        return None
    if isinstance(holder, types.FunctionType):
        if str(holder.__module__).partition(".")[0] in _FIXED:
            return None
        return lambda function: (*vars(function), *map(id, _classes_of(function)))
    if slots := _slots(type(holder)):
        return lambda each: (*getattr(each, "__dict__", ()), *(name for name in slots if hasattr(each, name)))
    return _attributes if isinstance(getattr(holder, "__dict__", None), dict) else None


def _attributes(holder: Any) -> tuple[str, ...]:
    return tuple(holder.__dict__)


def _classes_of(function: types.FunctionType) -> list[type]:
    """The classes that a function has in its closure: no guard watches them."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    return [each for each in found if isinstance(each, type)]


def _slots(kind: type) -> tuple[str, ...]:
    found: list[str] = []
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] in _FIXED or base.__module__ == "builtins":
            continue
        slots = vars(base).get("__slots__", ())
        found += [slots] if isinstance(slots, str) else slots
    return tuple(name for name in found if name not in ("__dict__", "__weakref__"))


def _imports(codes: Sequence[types.CodeType]) -> Iterator[str]:
    """The modules that code imports as it runs, and the packages that they are in."""
    for code in codes:
        instructions = list(dis.get_instructions(code))
        for level, instruction in zip(instructions, instructions[2:], strict=False):
            if instruction.opname == "IMPORT_NAME":
                if level.argval != 0:
                    raise UnsupportedError(f"it imports .{instruction.argval} as it runs, which can't be watched")
                parts = str(instruction.argval).split(".")
                yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


__all__ = ["Lookups", "lookups_of"]
