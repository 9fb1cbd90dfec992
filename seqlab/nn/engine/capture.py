"""A method of a cell as a graph, with a watch over everything that the graph was made from.

PyTorch's Dynamo runs the method once, symbolically, and answers two things: the graph of PyTorch operations that it
performs, in which ``detach``, ``no_grad``, hooks and custom autograd functions stand as they were written; and guards,
which tell within microseconds whether all that it read from Python is still what it was: attributes at any depth,
closures, globals, the code of helpers, training flags, grad mode and autocast, shapes and dtypes. Tensors and numbers
that change are inputs of the graph, read anew at each call.

What the guards do not cover is watched or refused here: classes (a method or attribute that is replaced on one), code
that is replaced in place, Python side effects, and code of the standard library that reads the world outside.
"""

import builtins
import re
import threading
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from typing import cast as typed
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.engine.dynamo import Followed, follow, of_torch
from seqlab.nn.engine.errors import FinalError, UnsupportedError

ROWS = 11  # of the examples that a method is captured with; its graph serves any number
STEPS = 7  # of an example that is a sequence
Size = int | tuple[int, int]  # of a row, or the steps of a sequence and the size of each
MOST_CAPTURES = 24  # of one method of one cell: what changes at every call would cost more than it gains
_LOCK = threading.RLock()  # Dynamo's state is one for the process
_LINES = count(1)  # each cell's frame gets a code object of its own, by which Dynamo tells which numbers change
_METHODS = ("pointwise", "step", "project", "output")
_READABLE = ("L[", "G[", "___from_numpy(L[", "___from_numpy(G[", "dict(type(L[")  # as sources of inputs begin
_COUNT = re.compile(r"\.size\(\)\[([01])\]")
_READS_OF_AUTOGRAD = frozenset(("requires_grad", "grad_fn", "is_leaf", "retains_grad", "grad"))


@dataclass(frozen=True)
class Input:
    """An input of a captured graph, and Dynamo's expression for it.

    Its ``role`` is "rows", "count", or "read" of a tensor or number that is read from Python at each call; its
    ``place`` is that among the method's own tensors or among what is read, and a count's is 0 for rows and 1 for steps.
    """

    role: str
    place: int
    source: str


@dataclass(frozen=True)
class Capture:
    """A graph of a method, good for as long as :meth:`holds`.

    ``graph`` takes ``inputs`` to a tuple of tensors. ``flags`` says which of the rows required a gradient.
    """

    graph: fx.GraphModule
    inputs: tuple[Input, ...]
    flags: tuple[bool, ...]
    grad_mode: bool
    code: tuple[types.CodeType, ...]
    _check: Callable[[dict[str, Any]], bool]
    _classes: tuple[tuple[type, dict[str, Any]], ...]
    _functions: tuple[tuple[types.FunctionType, tuple[Any, ...]], ...]
    _read: Callable[[dict[str, Any]], tuple[Any, ...]]
    _orders: tuple[tuple[dict[Any, Any], tuple[Any, ...]], ...]
    has_numbers: bool  # as arguments, which may change while it holds
    reads_autograd: bool  # whether code of the user's asks a tensor for its gradient's whereabouts
    derived: dict[Any, Any] = field(default_factory=dict)  # what engines have made of it

    def text(self) -> str:
        """The graph as it would be written, to be compared with another."""
        return str(self.graph.code)

    def holds(self, scope: dict[str, Any]) -> bool:
        """Whether everything that the graph was made from is as it was; ``scope`` holds the method's arguments."""
        for each, known in self._classes:
            if not _equal(each.__dict__, known):
                return False
        for table, keys in self._orders:
            if tuple(table) != keys:
                return False
        for function, parts in self._functions:
            if not _equal(parts_of(function), parts):
                return False
        return self._check(scope)

    def live(self, scope: dict[str, Any]) -> list[Any]:
        """The tensors and numbers that the graph reads beside its rows, as they are now."""
        return list(self._read(scope))


class Watched:
    """The captures of one method of one cell, the latest first.

    Attributes:
        captures: those that held at some time.
        refusal: why the method is captured no more: it changes too often.
        programs: the steps that were compiled of it, by mode.
        lock: held while something is derived from a capture.
    """

    def __init__(self, call: types.FunctionType) -> None:
        code = call.__code__.replace(co_firstlineno=next(_LINES))
        self._function = types.FunctionType(code, {"__builtins__": builtins}, call.__name__)
        self.captures: list[Capture] = []
        self._examples: dict[tuple[Any, ...], list[Tensor | None]] = {}
        self._refusals: dict[Any, str] = {}
        self._constants = False
        self.refusal: str | None = None
        self.programs: dict[Any, set[str]] = {}
        self.lock = _LOCK

    def _state_of(self, cell: nn.Module, flags: Sequence[bool], dtype: torch.dtype) -> Any:
        """What a refusal is kept under, so that it is not looked for at each call: as far as can be told at once, how
        the cell was then."""
        methods = tuple(getattr(type(cell), name, None) for name in _METHODS)
        own = tuple(id(vars(cell).get(name)) for name in _METHODS)
        modes = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()
        switches = tuple(each for each in vars(cell).values() if each is None or isinstance(each, (bool, str)))
        return tuple(flags), dtype, modes, methods, own, switches, tuple(module.training for module in cell.modules())

    def fix_numbers(self) -> None:
        """Capture numbers as constants from now on: each change of one is another capture."""
        self._constants = True
        self.captures = [known for known in self.captures if not known.has_numbers]

    def capture(
        self,
        cell: RecurrentCell,
        sizes: Sequence[Size | None],
        flags: Sequence[bool],
        dtype: torch.dtype,
        device: torch.device,
    ) -> tuple[Capture, dict[str, Any]]:
        """The capture that holds now, made if there is none, and the scope that it reads from.

        Raises:
            UnsupportedError: the method can't be captured exactly.
        """
        if self.refusal is not None:
            raise FinalError(self.refusal)
        if self._refusals and (reason := self._refusals.get(self._state_of(cell, flags, dtype))) is not None:
            raise UnsupportedError(reason)
        scope = self._scope(cell, sizes, flags, dtype, device)
        for known in self.captures:
            if known.flags == tuple(flags) and known.holds(scope):
                return known, scope
        with _LOCK:
            if self.refusal is not None:
                raise FinalError(self.refusal)
            if len(self.captures) >= MOST_CAPTURES:
                self.refusal = f"what it reads has changed {MOST_CAPTURES} times"
                self.captures = []
                raise FinalError(self.refusal)
            try:
                made = _capture(self._function, scope, tuple(flags), self._constants)
                if not made.holds(scope):
                    raise UnsupportedError("what it reads can't be watched")
            except UnsupportedError as error:
                self._refusals[self._state_of(cell, flags, dtype)] = str(error)
                if len(self._refusals) >= MOST_CAPTURES:
                    self.refusal = str(error)
                raise
            self.captures = [made, *self.captures]
            return made, scope

    def _scope(
        self,
        cell: RecurrentCell,
        sizes: Sequence[Size | None],
        flags: Sequence[bool],
        dtype: torch.dtype,
        device: torch.device,
    ) -> dict[str, Any]:
        key = (tuple(sizes), tuple(flags), dtype, device)
        rows = self._examples.get(key)
        if rows is None:
            with torch.inference_mode(False):
                rows = [
                    None if size is None else torch.zeros(shape_of(ROWS, size), dtype=dtype, device=device)
                    for size in sizes
                ]
                for each, flag in zip(rows, flags, strict=True):
                    if each is not None:
                        torch._dynamo.mark_dynamic(each.requires_grad_(flag), list(range(each.dim() - 1)))
            self._examples[key] = rows
        return {"cell": cell, "rows": rows}


def shape_of(rows: int, size: Size) -> tuple[int, ...]:
    """The shape of an example of so many rows."""
    return (rows, *(size if isinstance(size, tuple) else (size,)))


def pointwise_frame(cell: Any, rows: Any) -> Any:
    """What is captured of a ``pointwise``: each part of the new state as a result of its own, whatever it is."""
    new = cell.pointwise(rows[0], rows[1], tuple(rows[2:]))
    if not isinstance(new, (tuple, list)):
        raise TypeError("pointwise must return a tuple")
    return tuple([part.view_as(part) for part in new])


def output_frame(cell: Any, rows: Any) -> Any:
    """What is captured of an ``output``."""
    new = cell.output(tuple(rows))
    return (new.view_as(new),)


def project_frame(cell: Any, rows: Any) -> Any:
    """What is captured of a ``project``."""
    new = cell.project(rows[0])
    return (new.view_as(new),)


def whole_frame(cell: Any, rows: Any) -> Any:
    """What is captured of all that a cell does with a sequence and at a step."""
    new = cell.step(cell.project(rows[0])[:, 0], tuple(rows[1:]))
    output = cell.output(tuple(new))
    return tuple([part.view_as(part) for part in (output, *new)])


_watched: "WeakKeyDictionary[nn.Module, dict[str, Watched]]" = WeakKeyDictionary()
_FRAMES = {
    "pointwise": pointwise_frame,
    "output": output_frame,
    "project": project_frame,
    "whole": whole_frame,
}


def watched(cell: RecurrentCell, method: str) -> Watched:
    """The watch over a cell's "pointwise", "output", "project" or "whole" step, from the first call on."""
    known = _watched.get(cell)
    if known is None or method not in known:
        with _LOCK:
            known = _watched.setdefault(cell, {})
            if method not in known:
                known[method] = Watched(typed(types.FunctionType, _FRAMES[method]))
    return known[method]


def _capture(function: types.FunctionType, scope: dict[str, Any], flags: tuple[bool, ...], constants: bool) -> Capture:
    """The graph of ``function(**scope)`` and its watch; with ``constants``, numbers are not arguments of it."""
    found = follow(function, scope, constants)
    inputs, read = _inputs(found)
    classes = _classes(scope["cell"], found)
    return Capture(
        found.graph,
        inputs,
        flags,
        torch.is_grad_enabled(),
        found.code,
        found.holds,
        tuple((each, dict(each.__dict__)) for each in classes),
        tuple((each, parts_of(each)) for each in _functions(classes, set(found.code))),
        read,
        tuple((table, tuple(table)) for table in _tables(scope["cell"])),
        not all(isinstance(each, Tensor) for each in read(scope)),
        _reads_autograd(found.code),
    )


def _tables(cell: nn.Module) -> list[dict[Any, Any]]:
    """The dictionaries among the attributes of a cell and its modules: no guard watches the order of an OrderedDict."""
    values = [each for module in cell.modules() for name, each in vars(module).items() if not name.startswith("_")]
    return [each for each in values if isinstance(each, dict)]


def _reads_autograd(code: Sequence[types.CodeType]) -> bool:
    words = {each: {*each.co_names, *(word for word in each.co_consts if isinstance(word, str))} for each in code}
    return any(_READS_OF_AUTOGRAD.intersection(words[each]) and not of_torch(each) for each in code)


def _inputs(found: Followed) -> tuple[tuple[Input, ...], Callable[[dict[str, Any]], tuple[Any, ...]]]:
    """The inputs by their roles, and the function that reads those that are no rows."""
    from torch._dynamo.guards import _get_closure_vars

    inputs: list[Input] = []
    expressions: list[str] = []
    for source in found.sources:
        if source.startswith("L['rows'][") and (count := _COUNT.search(source)):
            inputs.append(Input("count", int(count[1]), source))
        elif source.startswith("L['rows'][") and source.endswith("]"):
            inputs.append(Input("rows", int(source[len("L['rows'][") : -1]), source))
        elif not source.startswith(_READABLE):
            raise UnsupportedError(f"it draws or makes an input of its own ({source})")
        else:
            inputs.append(Input("read", len(expressions), source))
            expressions.append(source)
    names = {**_get_closure_vars(), "G": found.scope}
    read = eval(f"lambda L: ({''.join(f'{each}, ' for each in expressions)})", names)  # Dynamo's own expressions
    return tuple(inputs), typed(Callable[[dict[str, Any]], tuple[Any, ...]], read)


def _classes(cell: nn.Module, found: Followed) -> list[type]:
    """Every class whose attributes the method may have read: of modules, and of the objects that it asked."""
    known: dict[type, None] = {}
    for each in (*(type(module) for module in cell.modules()), *found.classes):
        for base in each.__mro__:
            if base.__module__ != "builtins" and base is not torch._C.TensorBase:
                known[base] = None
    known[Tensor] = None  # whose methods the graph calls by their names
    return list(known)


def _equal(one: Any, other: Any) -> bool:
    """Whether what was kept is as it was; of two arrays, which can't say so, one has come for the other."""
    try:
        return bool(one == other)
    except Exception:
        return False


def _functions(classes: Sequence[type], code: set[types.CodeType]) -> list[types.FunctionType]:
    """The functions of classes that were run: what they are made of can change in place."""
    found = []
    for each in classes:
        for value in vars(each).values():
            parts = [value, *(getattr(value, name, None) for name in ("__func__", "fget", "func", "__wrapped__"))]
            found += [part for part in parts if isinstance(part, types.FunctionType) and part.__code__ in code]
    return found


def parts_of(function: types.FunctionType) -> tuple[Any, ...]:
    """What a function's behaviour rests on beside what its code reads by name; closures of plain values by value."""
    cells = []
    for each in function.__closure__ or ():
        try:
            value = each.cell_contents
        except ValueError:
            value = None
        cells.append(value if isinstance(value, (int, float, str, bool, tuple, types.FunctionType)) else id(value))
    defaults = function.__kwdefaults__
    return function.__code__, function.__defaults__, None if defaults is None else tuple(defaults.items()), tuple(cells)


__all__ = ["ROWS", "STEPS", "Capture", "Input", "Size", "Watched", "parts_of", "shape_of", "watched"]
