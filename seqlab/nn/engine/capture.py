"""A method of a cell as a graph, and a watch over everything that the graph was made from.

PyTorch's Dynamo runs the method once, symbolically. It returns two things:

- the graph of the method's PyTorch operations, in which ``detach``, ``no_grad``, hooks and custom autograd functions
  stay as the user wrote them;
- guards. Within microseconds they check that all Python values that the method read are unchanged: attributes at any
  depth, closures, globals, the code of helpers, training flags, gradient mode and autocast, shapes and dtypes.

Tensors, and numbers that change, are inputs of the graph: they are read anew at each call.

What the guards do not cover is watched or refused here: a method or attribute that is replaced on a class, code that is
replaced in place, side effects of Python, and code of the standard library that reads the environment or files.
"""

import inspect
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx, nn

from seqlab.nn.engine.dynamo import Translation, is_torch_code, translate
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.lookups import Lookups

# How the source of an input begins that can be read anew at each call.
_READABLE = ("L[", "G[", "___from_numpy(L[", "___from_numpy(G[", "dict(type(L[")
_COUNT = re.compile(r"\.size\(\)\[([01])\]")
_PLAIN = ("builtins", "abc", "enum", "typing", "torch")  # whose classes of classes stay as they are
_AUTOGRAD_ATTRIBUTES = frozenset(("requires_grad", "grad_fn", "is_leaf", "retains_grad", "grad"))


@dataclass(frozen=True)
class Input:
    """An input of a captured graph.

    Attributes:
        role: "rows" for one of the method's own tensors, "count" for the batch size or the number of steps, "read" for
            a tensor or number that is read from Python at each call.
        place: the index among the method's tensors ("rows") or among what is read ("read"); of a "count", 0 is the
            batch size and 1 the number of steps.
        source: Dynamo's expression for the input.
    """

    role: str
    place: int
    source: str


@dataclass(frozen=True)
class Capture:
    """A graph of a method. It may be used only while :meth:`holds` is true.

    Attributes:
        graph: takes ``inputs`` to a tuple of tensors.
        inputs: the graph's inputs, in order.
        flags: whether each of the method's tensors required a gradient.
        grad_mode: whether gradients were enabled.
        code: the code objects that Dynamo ran.
        has_numbers: whether numbers are inputs of the graph; they may change while the capture holds.
        reads_autograd: whether the user's code reads ``requires_grad``, ``grad_fn`` and the like.
        derived: what engines have made of the graph, by keys of their own.
    """

    graph: fx.GraphModule
    inputs: tuple[Input, ...]
    flags: tuple[bool, ...]
    grad_mode: bool
    code: tuple[types.CodeType, ...]
    _check: Callable[[dict[str, Any]], bool]  # Dynamo's guards
    _classes: tuple[tuple[type, dict[str, Any]], ...]  # classes, with their attributes then
    _functions: tuple[tuple[types.FunctionType, tuple[Any, ...]], ...]  # functions, with their parts then
    _read: Callable[[dict[str, Any]], tuple[Any, ...]]
    _lookups: Lookups
    has_numbers: bool
    reads_autograd: bool
    derived: dict[Any, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The graph as Python code, to compare it with another graph."""
        return str(self.graph.code)

    def holds(self, scope: dict[str, Any]) -> bool:
        """Whether everything that the graph was made from is unchanged; ``scope`` holds the frame's arguments."""
        for kind, attributes in self._classes:
            if not _equal(kind.__dict__, attributes):
                return False
        if not self._lookups.hold(scope):
            return False
        for function, parts in self._functions:
            if not _equal(parts_of(function), parts):
                return False
        return self._check(scope)

    def live(self, scope: dict[str, Any]) -> list[Any]:
        """The current values of the tensors and numbers that the graph reads beside its rows."""
        return list(self._read(scope))


def capture_frame(
    function: types.FunctionType, scope: dict[str, Any], flags: tuple[bool, ...], constants: bool
) -> Capture:
    """Capture ``function(**scope)``; with ``constants``, numbers are constants of the graph and not inputs."""
    translation = translate(function, scope, constants)
    inputs, read = _inputs(translation)
    classes = _classes(scope["cell"], translation)
    return Capture(
        translation.graph,
        inputs,
        flags,
        torch.is_grad_enabled(),
        translation.code,
        translation.holds,
        tuple((kind, dict(kind.__dict__)) for kind in classes),
        tuple((function, parts_of(function)) for function in _functions(classes, set(translation.code))),
        read,
        translation.lookups,
        not all(isinstance(value, Tensor) for value in read(scope)),
        _reads_autograd(translation.code),
    )


def _reads_autograd(codes: Sequence[types.CodeType]) -> bool:
    """Whether code of the user's names an attribute such as ``requires_grad``, also as a string for ``getattr``."""
    words = {code: {*code.co_names, *(word for word in code.co_consts if isinstance(word, str))} for code in codes}
    return any(_AUTOGRAD_ATTRIBUTES.intersection(words[code]) and not is_torch_code(code) for code in codes)


def _inputs(translation: Translation) -> tuple[tuple[Input, ...], Callable[[dict[str, Any]], tuple[Any, ...]]]:
    """The graph's inputs by role, and a function that reads those of the role "read" from a scope."""
    from torch._dynamo.guards import _get_closure_vars

    inputs: list[Input] = []
    expressions: list[str] = []
    for source in translation.sources:
        if source.startswith("L['rows'][") and (size := _COUNT.search(source)):
            inputs.append(Input("count", int(size[1]), source))
        elif source.startswith("L['rows'][") and source.endswith("]"):
            inputs.append(Input("rows", int(source[len("L['rows'][") : -1]), source))
        elif not source.startswith(_READABLE):
            raise UnsupportedError(f"its graph has an input that the cell does not hold ({source})")
        else:
            inputs.append(Input("read", len(expressions), source))
            expressions.append(source)
    names = {**_get_closure_vars(), "G": translation.scope}
    read = eval(f"lambda L: ({''.join(f'{each}, ' for each in expressions)})", names)  # Dynamo's own expressions
    return tuple(inputs), typed(Callable[[dict[str, Any]], tuple[Any, ...]], read)


def _classes(cell: nn.Module, translation: Translation) -> list[type]:
    """Every class whose attributes the method may have read: of modules, and of the objects that Dynamo guards."""
    classes: dict[type, None] = {}
    for kind in (*(type(module) for module in cell.modules()), *translation.classes):
        above = (meta for meta in inspect.getmro(type(kind)) if meta.__module__.partition(".")[0] not in _PLAIN)
        for base in (*kind.__mro__, *above):
            if base.__module__ != "builtins" and base is not torch._C.TensorBase:
                classes[base] = None
    classes[Tensor] = None  # the graph calls its methods by name
    return list(classes)


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are equal. If they cannot be compared, as two arrays, they count as changed."""
    try:
        return bool(one == other)
    except Exception:
        return False


def _functions(classes: Sequence[type], code: set[types.CodeType]) -> list[types.FunctionType]:
    """The functions of classes that were run: their code, defaults and closures can be replaced in place."""
    functions = []
    for kind in classes:
        for value in vars(kind).values():
            parts = [value, *(getattr(value, name, None) for name in ("__func__", "fget", "func", "__wrapped__"))]
            functions += [part for part in parts if isinstance(part, types.FunctionType) and part.__code__ in code]
    return functions


def parts_of(function: types.FunctionType) -> tuple[Any, ...]:
    """A function's code, defaults and closure. A closure's plain values are compared by value, others by identity."""
    closure = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            value = None
        closure.append(value if isinstance(value, (int, float, str, bool, tuple, types.FunctionType)) else id(value))
    defaults = function.__kwdefaults__
    return (
        function.__code__,
        function.__defaults__,
        None if defaults is None else tuple(defaults.items()),
        tuple(closure),
    )


__all__ = ["Capture", "Input", "capture_frame", "parts_of"]
