"""The names that the objects a method read have: a look-up that failed, such as of a default, leaves no guard.

``getattr(self, "scale", 1.0)``, ``try: self.scale`` and ``"scale" in self.options`` depend on names that are not there.
So does what runs over a dictionary or a set, by their order. What is watched here is which names there are, and their
order; what they stand for, Dynamo's guards watch. Of attributes those count that the method's code has; all, where it
asks for names that it computes.
"""

import abc
import builtins
import dis
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from typing import cast as typed

from torch import nn

from seqlab.nn.engine.errors import UnsupportedError

Reader = Callable[[Any], Any]

_FIXED = frozenset(("torch", "numpy", "seqlab"))
"""Packages whose modules and functions are taken to keep their names."""
_OWN = ("L['rows']", "G['__builtins_dict__")  # the method's own tensors, and Python's builtins
_COMPUTED = frozenset(("getattr", "hasattr", "vars", "dir", "__dict__"))  # ask for names that need not stand in code


@dataclass(frozen=True)
class Lookups:
    """Which names there were in all that a method read, and the modules that it imports as it runs.

    Attributes:
        holders: takes the method's arguments; the objects that were read.
        names: of each, what reads its names, and those that it had.
        fixed: objects that are always the same, what reads their names, and those that they had.
        modules: what stood under a name in ``sys.modules``.
        abstract: the abstract classes that were read, and what was registered with them.
    """

    holders: Callable[[dict[str, Any]], tuple[Any, ...]]
    names: tuple[tuple[Reader, Any], ...]
    fixed: tuple[tuple[Any, Reader, Any], ...]
    modules: tuple[tuple[str, Any], ...]
    abstract: "_Registered | None"

    def hold(self, scope: dict[str, Any]) -> bool:
        """Whether all of them are what they were."""
        try:
            for holder, (read, names) in zip(self.holders(scope), self.names, strict=True):
                if read(holder) != names:
                    return False
        except Exception:  # an object on the way is gone, or has become another
            return False
        for holder, read, names in self.fixed:
            if read(holder) != names:
                return False
        for name, module in self.modules:
            if sys.modules.get(name) is not module:
                return False
        return self.abstract is None or self.abstract.holds()


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
    if not codes:  # a cell that ships looks for nothing that may be missing
        return Lookups(lambda arguments: (), (), (), (), None)
    words = frozenset(word for code in codes for word in (*code.co_names, *_texts(code.co_consts)))
    found: dict[str, Any] = {}
    methods = _methods_of(scope.get("cell"))
    functions = [function for _, function in methods if function.__code__ in codes]
    seen: set[int] = set()
    abstract: list[abc.ABCMeta] = []
    for source in sorted(set(sources)):
        if not source or source.startswith(_OWN) or "_hooks" in source:  # hooks have guards of Dynamo's
            continue
        try:
            holder = eval(source, {**names, "L": scope})  # Dynamo's own expression
        except Exception:
            continue
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        if isinstance(holder, types.FunctionType) and holder.__code__ in codes:
            functions.append(holder)
        classes = _classes_of(holder) if isinstance(holder, types.FunctionType) else [holder]
        if not source.startswith("type("):
            abstract += [kind for kind in classes if isinstance(kind, abc.ABCMeta)]
        found[source] = holder
    is_whole = bool(abstract or words & _COMPUTED)  # a protocol asks for names of its own
    readers = {source: _reader_of(holder, words, is_whole) for source, holder in found.items()}
    kept = {source: reader for source, reader in readers.items() if reader is not None}
    holders = eval(f"lambda L: ({''.join(f'{each}, ' for each in kept)})", names)
    read = typed(Callable[[dict[str, Any]], tuple[Any, ...]], holders)
    modules = tuple((name, sys.modules.get(name)) for name in sorted(set(_imports(codes))))
    fixed: list[tuple[Any, Reader]] = [
        (module, reader) for _, module in modules if (reader := _reader_of(module, words, is_whole)) is not None
    ]
    fixed += [(function, _marks_of) for name, function in methods if name in words]
    shadowed = words & vars(builtins).keys()  # a global of such a name takes the place of a builtin
    scopes = {id(function.__globals__): function.__globals__ for function in functions}
    fixed += [(each, lambda scope: scope.keys() & shadowed) for each in scopes.values()]
    return Lookups(
        read,
        tuple((reader, reader(holder)) for reader, holder in zip(kept.values(), read(scope), strict=True)),
        tuple((holder, reader, reader(holder)) for holder, reader in fixed),
        modules,
        _Registered(abstract) if abstract else None,
    )


def _is_fixed(module: str | None) -> bool:
    return str(module).partition(".")[0] in _FIXED


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple | frozenset):
            yield from _texts(value)


def _methods_of(cell: Any) -> list[tuple[str, types.FunctionType]]:
    """The user's functions in the classes of a cell and its modules, by name."""
    modules = cell.modules() if isinstance(cell, nn.Module) else ()
    kinds = {base for module in modules for base in type(module).__mro__ if not _is_fixed(base.__module__)}
    parts = [(name, getattr(value, "__func__", value)) for kind in kinds for name, value in vars(kind).items()]
    return [(name, part) for name, part in parts if isinstance(part, types.FunctionType)]


def _marks_of(function: Any) -> tuple[str, ...]:
    return tuple(vars(function))


def _reader_of(holder: Any, words: frozenset[str], is_whole: bool) -> Reader | None:
    """What reads the names that an object of this kind has, in their order; None for what has none, or keeps them."""
    if isinstance(holder, dict):
        if "__builtins__" in holder:  # globals get new names all the time, as in a notebook
            return lambda scope: scope.keys() & words
        return tuple if type(holder) is dict else lambda table: (*table, *getattr(table, "__dict__", ()))
    if isinstance(holder, set | frozenset):
        return tuple
    if isinstance(holder, type):
        return None
    if isinstance(holder, types.ModuleType):
        if _is_fixed(holder.__name__):
            return None
        return _attributes(words, is_whole and holder.__name__ != "__main__")
    if isinstance(holder, types.MethodType):
        return lambda method: _marks_of(method.__func__)
    if isinstance(holder, types.FunctionType):
        if _is_fixed(holder.__module__):
            return None
        return lambda function: (*vars(function), *map(id, _classes_of(function)))
    attributes = _attributes(words, is_whole)
    if slots := _slots(type(holder)):
        return lambda each: (*attributes(each), *(name for name in slots if hasattr(each, name)))
    return attributes if isinstance(getattr(holder, "__dict__", None), dict) else None


def _attributes(words: frozenset[str], is_whole: bool) -> Reader:
    """What reads the names of the attributes of an object, those of ``words`` alone or all, without Dynamo's marks.

    A module's tables of parameters, buffers and modules are dictionaries that Dynamo guards, and so are watched.
    """
    if is_whole:
        return lambda holder: tuple(name for name in _of(holder) if not name.startswith("_dynamo"))
    return lambda holder: _of(holder).keys() & words


def _of(holder: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(holder, "__dict__", {})
    return found


def _classes_of(function: types.FunctionType) -> list[type]:
    """The classes that a function has in its closure: no guard watches them."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    return [each for each in found if isinstance(each, type)]


class _Registered:
    """What is registered with abstract classes and their subclasses, which decides what is an instance of them."""

    def __init__(self, kinds: Iterable[abc.ABCMeta]) -> None:
        self._kinds = tuple(kinds)
        self._token, self._all = abc.get_cache_token(), self._registered()

    def holds(self) -> bool:
        """Whether it is the same. Python's token tells when anything is registered with any class."""
        token = abc.get_cache_token()
        if token != self._token:
            if self._registered() != self._all:
                return False
            self._token = token
        return True

    def _registered(self) -> set[Any]:
        waiting, seen, found = list(self._kinds), set[Any](), set[Any]()
        while waiting:
            kind = waiting.pop()
            if kind in seen:
                continue
            seen.add(kind)
            below: list[Any] = type.__subclasses__(typed(Any, kind))
            waiting += [each for each in below if isinstance(each, abc.ABCMeta)]
            found |= {(kind, each) for each in abc._get_dump(kind)[0]}  # type: ignore[attr-defined]
        return found


def _slots(kind: type) -> tuple[str, ...]:
    found: list[str] = []
    for base in kind.__mro__:
        if _is_fixed(base.__module__) or base.__module__ == "builtins":
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
