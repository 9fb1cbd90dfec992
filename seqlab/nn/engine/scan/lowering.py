"""The part of the lowering that a step and its adjoint share: from a graph to loops over the elements of a row.

Every tensor is ``(B, *row)``, and a row is flat. An operation is lowered where its result is used: for a span of
consecutive elements (``offset + j``), or for one element that all lanes share. So slices and reshapes cost nothing, and
a whole ``pointwise`` is fused into one loop. Reductions over a row come first, each in a loop of its own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.expressions import (
    Apply,
    AsNumber,
    Buffer,
    Choose,
    Combine,
    Constant,
    Expression,
    Fold,
    Kind,
    Lanes,
    Load,
    LoadSpan,
    Number,
    Operand,
    Table,
    Truth,
    Variable,
    Zero,
)
from seqlab.nn.engine.scan.lowered import (
    Accumulate,
    Define,
    DefineTable,
    Reduce,
    Statement,
    StoreSpan,
)
from seqlab.nn.engine.scan.operations import COSTLY, POINTWISE, REDUCTIONS, apply, name_of
from seqlab.nn.engine.scan.trace import is_constant
from seqlab.nn.engine.scan.views import (
    JOINS,
    VIEWS,
    Piece,
    Shape,
    Span,
    count_of,
    is_inside,
    pieces,
    reduced_dims,
    row_shape,
    spread,
)

SLOTS = 64  # spans of scratch, for results of reduction loops that later loops use again
_MOST_PIECES = 16  # elements of a row that are reduced one by one
# Keyword arguments that `apply` uses, or that change no value.
_OPTIONS = {"add": {"alpha"}, "sub": {"alpha"}, "_to_copy": {"dtype", "layout", "device", "memory_format"}}
_FOLDS: dict[str, Fold] = {"sum": "sum", "mean": "sum", "amax": "max", "amin": "min"}


class Lowering:
    """Collects the statements of one function.

    Attributes:
        before: the statements that run once a row, before the last loop; reduction loops are among them.
        body: the statements of the current loop; in the end, those of the last loop.
        after: the statements that run once a row, after the last loop.
        width: the number of lanes of the current loop.
        variables: the variables of the current loop, by expression: equal expressions are computed once.
        row_variables: the variables that all lanes share, by expression.
        tables: the tables, by their numbers.
        reductions: the results of reduction loops.
        spills: the slots of scratch in which earlier loops have left results.
        loop_spills: the slots in which the current loop leaves results.
        slots: the number of slots in use.
        in_reduction: whether the current loop is a reduction.
        crosses: whether a unit reads another unit's elements, so that threads may not share a row.
    """

    def __init__(self, hidden_size: int) -> None:
        self.hidden_size = self.width = hidden_size
        self.before: list[Statement] = []
        self.body: list[Statement] = []
        self.after: list[Statement] = []
        self.variables: dict[Expression, Variable] = {}
        self.row_variables: dict[Expression, Variable] = {}
        self.tables: dict[tuple[Number, ...], Table] = {}
        self.reductions: dict[Span, Variable] = {}
        self.spills: dict[Span, int] = {}
        self.loop_spills: dict[Span, int] = {}
        self.slots = 0
        self.in_reduction = False
        self.crosses = False
        self._count = 0

    def next_number(self) -> int:
        """The number of a new variable or table."""
        self._count += 1
        return self._count

    def define(self, kind: Kind, expression: Expression, shared: bool = False) -> Variable:
        """The variable that holds ``expression``; with ``shared``, one for all lanes of the row."""
        statements, variables = (self.before, self.row_variables) if shared else (self.body, self.variables)
        if expression not in variables:
            variables[expression] = Variable(self.next_number(), kind, shared)
            statements.append(Define(variables[expression], expression))
        return variables[expression]

    def load(self, buffer: Buffer | Table, offset: int, shared: bool, count: int | None = None) -> Variable:
        """Read ``buffer[offset + j]``; or with ``shared``, ``buffer[offset]``.

        If the buffer's size is given as ``count``, lanes may lie outside of it, and are 0 there.
        """
        if shared:
            return self.define("vec", Load(buffer, offset, True), True)
        if count is None or 0 <= offset <= count - self.width:
            return self.define("vec", Load(buffer, offset))
        begin, end = max(0, -offset), min(self.width, count - offset)
        return self.define("vec", Load(buffer, offset, False, begin, end))

    def source(self, span: Span) -> Operand | None:
        """The operand, if it is read from memory; None if it must be computed."""
        raise NotImplementedError

    def value(self, span: Span) -> Operand:
        """The operand that holds ``span``.

        Raises:
            UnsupportedError: a compiled step can't compute it; the error's ``node`` is the operation.
        """
        try:
            return self._value(span)
        except UnsupportedError as error:
            error.node = span.node if error.node is None else error.node
            raise

    def _value(self, span: Span) -> Operand:
        operand = self.source(span)
        if operand is not None:
            return operand
        node = span.node
        if is_constant(node):
            return self.constant(span)
        if node.op == "placeholder":
            raise UnsupportedError(f"its pointwise uses {node.name} in a form that the compiled step does not support")
        name = name_of(node)
        if name in JOINS and not span.shared and len(row_shape(node)) == 1:
            return self._join_pieces(pieces(span, self.width), is_mask(node))
        if name == "expand":
            source = node.all_input_nodes[0]
            return self._join_pieces(spread(source, span, self.width), is_mask(source))
        if name in VIEWS:
            return self.value(VIEWS[name](span, self.width))
        if name in REDUCTIONS:
            return self._reduce(span, name)
        if name == "full_like":
            return self.define(kind_of(node), Constant(kind_of(node), number(node.args[1])), True)
        if name not in POINTWISE:
            raise UnsupportedError(f"its pointwise uses {name}, which the compiled step does not support")
        if span in self.spills:
            return self.define("vec", LoadSpan(self.spills[span]))
        options = set(node.kwargs) - _OPTIONS.get(name, set())
        if options:
            raise UnsupportedError(f"its pointwise uses {name} with {', '.join(sorted(options))}")
        operands = [self.operand(argument, span) for argument in node.args]
        masks = [is_mask(argument) for argument in node.args]
        result = self.define(kind_of(node), apply(node, name, operands, masks), span.shared)
        if self.in_reduction and name in COSTLY and not span.shared and kind_of(node) == "vec":
            self._spill(span, result)
        return result

    def _join_pieces(self, parts: Sequence[Piece], mask: bool) -> Operand:
        """One operand from several pieces, each in its own lanes."""
        result = self.value(parts[0][2])
        kind: Kind = "mask" if mask else "vec"
        for begin, end, piece in parts[1:]:
            lanes, value = self.define("mask", Lanes(begin, end)), self.value(piece)
            result = self.define(kind, Choose(lanes, value, result, kind))
        return result

    def _spill(self, span: Span, variable: Variable) -> None:
        """Store a costly result in the scratch, so that later loops need not compute it again."""
        if span not in self.loop_spills and self.slots < SLOTS:
            self.loop_spills[span], self.slots = self.slots, self.slots + 1
            self.body.append(StoreSpan(self.loop_spills[span], variable))

    def constant(self, span: Span) -> Operand:
        """The operand of a constant node: one number for all lanes, or a table."""
        values = typed(Tensor, constant_value(span.node))
        if row_shape(span.node) != values.shape and not bool((values == values[0]).all()):
            raise UnsupportedError("its pointwise uses constants that differ from row to row")
        values = values.flatten()
        places = torch.arange(span.offset, span.offset + (1 if span.shared else self.width))
        part = values[places.clamp(0, len(values) - 1)]  # lanes outside of it belong to another piece
        if not bool((part == part[0]).all()):
            return self._pattern(part, kind_of(span.node))
        return self.define(kind_of(span.node), Constant(kind_of(span.node), number(part[0].item())), True)

    def _pattern(self, values: Tensor, kind: Kind) -> Operand:
        """Constants that differ from unit to unit, as a table."""
        numbers = tuple(Number.of(each) for each in values.tolist())
        if numbers not in self.tables:
            self.tables[numbers] = Table(self.next_number(), numbers)
            self.before.append(DefineTable(self.tables[numbers]))
        loaded = self.load(self.tables[numbers], 0, False)
        return self.define("mask", Apply("is_true", (loaded,))) if kind == "mask" else loaded

    def operand(self, argument: object, span: Span) -> Operand | None:
        """The operand for an argument of an elementwise operation on ``span``; None for None."""
        if isinstance(argument, fx.Node):
            return self._join_pieces(spread(argument, span, self.width), is_mask(argument))
        return None if argument is None else number(argument)

    def _reduce(self, span: Span, name: str) -> Operand:
        """Reduce the last dimensions in a loop before the current one, or one earlier dimension within it."""
        node, source = span.node, span.node.args[0]
        assert isinstance(source, fx.Node)
        if not is_inside(span, self.width):
            begin, end = max(0, -span.offset), min(self.width, count_of(node) - span.offset)
            if end - begin > _MOST_PIECES:
                raise UnsupportedError(
                    f"its pointwise joins {end - begin} results of {name}, expected at most {_MOST_PIECES}"
                )
            single = [(k, k + 1, Span(node, span.offset + k, True)) for k in range(begin, end)]
            return self._join_pieces(single, mask=False) if single else self.define("vec", Zero())
        shape = row_shape(source)
        dims = reduced_dims(node, source)
        sizes = [shape[dim] for dim in dims]
        count = math.prod(sizes)
        fold = _FOLDS[name]
        if dims == list(range(len(shape) - len(dims), len(shape))):
            # The earlier dimensions keep their order, so each result reduces `count` consecutive elements.
            key = Span(node, span.offset, True)
            if count == 1:
                element = self.value(Span(source, span.offset, span.shared))
                return AsNumber(element) if is_mask(source) else element
            if not span.shared and count_of(node) > 1:
                if self.width > _MOST_PIECES:
                    raise UnsupportedError(
                        f"its pointwise reduces the last of several dimensions ({name} of {shape}) "
                        f"with hidden_size={self.width}, expected at most {_MOST_PIECES}"
                    )
                results = [(k, k + 1, Span(node, span.offset + k, True)) for k in range(self.width)]
                return self._join_pieces(results, mask=False)
            if key not in self.reductions:
                self.reductions[key] = self._reduction_loop(source, span.offset * count, count, fold)
            total: Operand = self.reductions[key]
        elif len(dims) == 1:
            total = self._fold_elements(span, source, shape, dims[0], fold)
        else:
            raise UnsupportedError(
                f"its pointwise reduces dimensions {dims} of rows of shape {shape}, expected the last ones or one"
            )
        return (
            self.define("vec", Apply("scale", (total, Number.of(1 / count))), span.shared) if name == "mean" else total
        )

    def _fold_elements(self, span: Span, source: fx.Node, shape: Shape, dim: int, fold: Fold) -> Operand:
        """Reduce a dimension that is not the last within the current loop, one operation an element."""
        inner = math.prod(shape[dim + 1 :])
        outer, rest = divmod(span.offset, inner)
        if not span.shared and rest + self.width > inner:
            raise UnsupportedError(
                f"its pointwise reduces dimension {dim} of rows of shape {shape}: "
                f"{self.width} units cross a boundary at {inner}"
            )
        total: Operand | None = None
        for index in range(shape[dim]):
            part = self.value(Span(source, (outer * shape[dim] + index) * inner + rest, span.shared))
            part = AsNumber(part) if is_mask(source) else part
            total = part if total is None else self.define("vec", Combine(fold, total, part), span.shared)
        assert total is not None  # no dimension is empty
        return total

    def _reduction_loop(self, source: fx.Node, offset: int, count: int, fold: Fold) -> Variable:
        """A loop before the current one that reduces ``count`` elements of ``source`` from ``offset`` on."""
        # A reduction inside this one is lowered to a loop before it. That loop can't use what this one spills.
        saved = self.body, self.variables, self.width, self.in_reduction, self.loop_spills
        self.body, self.variables, self.in_reduction, self.loop_spills = [], {}, True, {}
        total = Variable(self.next_number(), "vec", True)
        end = offset + count
        for base in range(offset - offset % self.width if count % self.width else offset, end, self.width):
            value = self.value(Span(source, base, False))
            value = AsNumber(value) if is_mask(source) else value
            lanes = None
            if base < offset or base + self.width > end:
                lanes = Lanes(max(0, offset - base), min(self.width, end - base))
            self.body.append(Accumulate(value, lanes))
        self.before.append(Reduce(total, fold, tuple(self.body), self.width))
        self.spills = {**self.loop_spills, **self.spills}
        self.body, self.variables, self.width, self.in_reduction, self.loop_spills = saved
        return total


def kind_of(node: fx.Node) -> Kind:
    """The kind of variable that holds a span of ``node``: a mask for truth values, else a vector."""
    return "mask" if node.meta["val"].dtype == torch.bool else "vec"


def is_mask(argument: object) -> bool:
    return isinstance(argument, fx.Node) and kind_of(argument) == "mask"


def constant_value(node: fx.Node) -> object:
    """The value of a node that depends on no input."""
    arguments = fx.map_arg(node.args, lambda each: typed(Any, constant_value(each)))
    return typed(Callable[..., object], node.target)(*typed(tuple[Any, ...], arguments), **node.kwargs)


def number(value: object) -> Number | Truth:
    """A Python number as a constant of the step.

    Raises:
        UnsupportedError: it is neither a number nor a truth value.
    """
    if isinstance(value, bool):
        return Truth(value)
    if isinstance(value, int | float):
        return Number.of(value)
    raise UnsupportedError(f"its pointwise uses a value that can't be compiled: {value!r}")
