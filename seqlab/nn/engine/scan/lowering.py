"""What a step and its adjoint have in common as they are lowered: from graphs to loops over a row's elements.

Every tensor is ``(B, *row)``; a row lies flat. What an operation computes is written out where it is used, for a span
of consecutive elements of a row (``offset + j``) or for one element that all lanes share; so slices and reshapes cost
nothing, and a whole ``pointwise`` becomes one loop. Sums over a row come first, each in a loop of its own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.lowered import (
    Accumulate,
    Apply,
    AsNumber,
    Buffer,
    Choose,
    Combine,
    Constant,
    Define,
    DefineTable,
    Expression,
    Fold,
    Kind,
    Lanes,
    Load,
    LoadSpan,
    Number,
    Operand,
    Reduce,
    Statement,
    StoreSpan,
    Table,
    Truth,
    Variable,
    Zero,
)
from seqlab.nn.engine.scan.operations import COSTLY, POINTWISE, REDUCTIONS, apply, name_of
from seqlab.nn.engine.scan.trace import Trace, is_constant
from seqlab.nn.engine.scan.views import (
    JOINS,
    VIEWS,
    Piece,
    Run,
    Shape,
    count_of,
    is_inside,
    pieces,
    reduced_dims,
    row_shape,
    spread,
)

SLOTS = 64  # spans that loops over a row's sums may leave for later loops
_MOST_PIECES = 16  # elements of a row that are reduced one by one
# Options that `apply` heeds, or that change no value.
_KNOWN = {"add": {"alpha"}, "sub": {"alpha"}, "_to_copy": {"dtype", "layout", "device", "memory_format"}}
_FOLDS: dict[str, Fold] = {"sum": "sum", "mean": "sum", "amax": "max", "amin": "min"}


class Lowering:
    """Collects the statements of one function: those of the row, those of its loop, and those after it."""

    def __init__(self, hidden_size: int) -> None:
        self.hidden = self.width = hidden_size
        self.row: list[Statement] = []  # once a row, before its last loop
        self.lines: list[Statement] = []  # of the loop at hand
        self.last: list[Statement] = []  # once a row, after its last loop
        self.memo: dict[Expression, Variable] = {}
        self.row_memo: dict[Expression, Variable] = {}
        self.tables: dict[tuple[Number, ...], Table] = {}
        self.reduced: dict[Run, Variable] = {}
        self.spilled: dict[Run, int] = {}  # what a loop before this one has left in the scratch, with its slot
        self.slots = 0
        self.spilling: dict[Run, int] = {}  # what the loop at hand will leave there
        self.in_reduction = False
        self.crosses = False  # whether a unit looks at others, so that a row may not be cut among threads
        self._numbers = 0

    def fresh(self) -> int:
        self._numbers += 1
        return self._numbers

    def define(self, kind: Kind, expression: Expression, shared: bool = False) -> Variable:
        """A variable that holds ``expression``, one for equal ones: of the row if all lanes share it."""
        lines, memo = (self.row, self.row_memo) if shared else (self.lines, self.memo)
        if expression not in memo:
            memo[expression] = Variable(self.fresh(), kind, shared)
            lines.append(Define(memo[expression], expression))
        return memo[expression]

    def load(self, buffer: Buffer | Table, offset: int, shared: bool, count: int | None = None) -> Variable:
        """Read what lies from ``offset`` on; of ``count`` numbers in all, lanes may reach beyond, and are 0 there."""
        if shared:
            return self.define("vec", Load(buffer, offset, True), True)
        if count is None or 0 <= offset <= count - self.width:
            return self.define("vec", Load(buffer, offset))
        begin, end = max(0, -offset), min(self.width, count - offset)
        return self.define("vec", Load(buffer, offset, False, begin, end))

    def source(self, run: Run) -> Operand | None:
        """What is read from memory; None where it must be computed."""
        raise NotImplementedError

    def value(self, run: Run) -> Operand:
        """The operand that holds ``run``.

        Raises:
            UnsupportedError: it can't be computed; the error's ``node`` is the operation.
        """
        try:
            return self._value(run)
        except UnsupportedError as error:
            error.node = run.node if error.node is None else error.node
            raise

    def _value(self, run: Run) -> Operand:
        found = self.source(run)
        if found is not None:
            return found
        node = run.node
        if is_constant(node):
            return self.constant(run)
        if node.op == "placeholder":
            raise UnsupportedError(f"its pointwise needs {node.name} in a way that is not known")
        name = name_of(node)
        if name in JOINS and not run.shared and len(row_shape(node)) == 1:
            return self._of_pieces(pieces(run, self.width), is_mask(node))
        if name == "expand":
            source = node.all_input_nodes[0]
            return self._of_pieces(spread(source, run, self.width), is_mask(source))
        if name in VIEWS:
            return self.value(VIEWS[name](run, self.width))
        if name in REDUCTIONS:
            return self._reduce(run, name)
        if name == "full_like":
            return self.define(kind_of(node), Constant(kind_of(node), number(node.args[1])), True)
        if name not in POINTWISE:
            raise UnsupportedError(f"its pointwise uses {name}, which the compiled step does not know")
        if run in self.spilled:
            return self.define("vec", LoadSpan(self.spilled[run]))
        further = set(node.kwargs) - _KNOWN.get(name, set())
        if further:
            raise UnsupportedError(f"its pointwise uses {name} with {', '.join(sorted(further))}")
        operands = [self.operand(argument, run) for argument in node.args]
        masks = [is_mask(argument) for argument in node.args]
        result = self.define(kind_of(node), apply(node, name, operands, masks), run.shared)
        if self.in_reduction and name in COSTLY and not run.shared and kind_of(node) == "vec":
            self._spill(run, result)
        return result

    def _of_pieces(self, parts: Sequence[Piece], mask: bool) -> Operand:
        """Lane by lane what each piece gives."""
        result = self.value(parts[0][2])
        kind: Kind = "mask" if mask else "vec"
        for begin, end, piece in parts[1:]:
            here, value = self.define("mask", Lanes(begin, end)), self.value(piece)
            result = self.define(kind, Choose(here, value, result, kind))
        return result

    def _spill(self, run: Run, variable: Variable) -> None:
        """Leave a costly result where the loops that follow find it, rather than compute it again."""
        if run not in self.spilling and self.slots < SLOTS:
            self.spilling[run], self.slots = self.slots, self.slots + 1
            self.lines.append(StoreSpan(self.spilling[run], variable))

    def constant(self, run: Run) -> Operand:
        """A number that follows from no input, if all lanes share it."""
        values = typed(Tensor, constant_value(run.node))
        if row_shape(run.node) != values.shape and not bool((values == values[0]).all()):
            raise UnsupportedError("its pointwise uses a pattern of constants along the batch")
        values = values.flatten()
        places = torch.arange(run.offset, run.offset + (1 if run.shared else self.width))
        part = values[places.clamp(0, len(values) - 1)]  # lanes beyond it are some other piece's
        if not bool((part == part[0]).all()):
            return self._pattern(part, kind_of(run.node))
        return self.define(kind_of(run.node), Constant(kind_of(run.node), number(part[0].item())), True)

    def _pattern(self, values: Tensor, kind: Kind) -> Operand:
        """Numbers that differ from unit to unit, as a table."""
        numbers = tuple(Number.of(each) for each in values.tolist())
        if numbers not in self.tables:
            self.tables[numbers] = Table(self.fresh(), numbers)
            self.row.append(DefineTable(self.tables[numbers]))
        loaded = self.load(self.tables[numbers], 0, False)
        return self.define("mask", Apply("is_true", (loaded,))) if kind == "mask" else loaded

    def operand(self, argument: object, run: Run) -> Operand | None:
        if isinstance(argument, fx.Node):
            return self._of_pieces(spread(argument, run, self.width), is_mask(argument))
        return None if argument is None else number(argument)

    def _reduce(self, run: Run, name: str) -> Operand:
        """Reduce the last dimension in a loop before this one, or a dimension before it by writing it out."""
        node, source = run.node, run.node.args[0]
        assert isinstance(source, fx.Node)
        if not is_inside(run, self.width):
            begin, end = max(0, -run.offset), min(self.width, count_of(node) - run.offset)
            if end - begin > _MOST_PIECES:
                raise UnsupportedError(f"its pointwise joins parts of what it reduces ({name})")
            single = [(k, k + 1, Run(node, run.offset + k, True)) for k in range(begin, end)]
            return self._of_pieces(single, mask=False) if single else self.define("vec", Zero())
        shape = row_shape(source)
        dims = reduced_dims(node, source)
        sizes = [shape[dim] for dim in dims]
        count = math.prod(sizes)
        fold = _FOLDS[name]
        if dims == list(range(len(shape) - len(dims), len(shape))):
            # Elements before the reduced ones keep their order, so each result sums `count` neighbours.
            key = Run(node, run.offset, True)
            if count == 1:
                alone = self.value(Run(source, run.offset, run.shared))
                return AsNumber(alone) if is_mask(source) else alone
            if not run.shared and count_of(node) > 1:
                if self.width > _MOST_PIECES:
                    raise UnsupportedError(f"its pointwise reduces the last of several dimensions ({name}) into a row")
                each = [(k, k + 1, Run(node, run.offset + k, True)) for k in range(self.width)]
                return self._of_pieces(each, mask=False)
            if key not in self.reduced:
                self.reduced[key] = self._reduction_loop(source, run.offset * count, count, fold)
            total: Operand = self.reduced[key]
        elif len(dims) == 1:
            total = self._written_out(run, source, shape, dims[0], fold)
        else:
            raise UnsupportedError(f"its pointwise reduces dimensions {dims} of {shape}, which the compiled step can't")
        return (
            self.define("vec", Apply("scale", (total, Number.of(1 / count))), run.shared) if name == "mean" else total
        )

    def _written_out(self, run: Run, source: fx.Node, shape: Shape, dim: int, fold: Fold) -> Operand:
        inner = math.prod(shape[dim + 1 :])
        outer, rest = divmod(run.offset, inner)
        if not run.shared and rest + self.width > inner:
            raise UnsupportedError("its pointwise reduces across a row's parts")
        total: Operand | None = None
        for index in range(shape[dim]):
            part = self.value(Run(source, (outer * shape[dim] + index) * inner + rest, run.shared))
            part = AsNumber(part) if is_mask(source) else part
            total = part if total is None else self.define("vec", Combine(fold, total, part), run.shared)
        assert total is not None  # no dimension is empty
        return total

    def _reduction_loop(self, source: fx.Node, offset: int, count: int, fold: Fold) -> Variable:
        # A loop that this one waits for runs before it, and finds nothing of what this one will leave.
        saved = self.lines, self.memo, self.width, self.in_reduction, self.spilling
        self.lines, self.memo, self.in_reduction, self.spilling = [], {}, True, {}
        total = Variable(self.fresh(), "vec", True)
        end = offset + count
        for base in range(offset - offset % self.width if count % self.width else offset, end, self.width):
            value = self.value(Run(source, base, False))
            value = AsNumber(value) if is_mask(source) else value
            lanes = None
            if base < offset or base + self.width > end:
                lanes = Lanes(max(0, offset - base), min(self.width, end - base))
            self.lines.append(Accumulate(value, lanes))
        self.row.append(Reduce(total, fold, tuple(self.lines), self.width))
        self.spilled = {**self.spilling, **self.spilled}
        self.lines, self.memo, self.width, self.in_reduction, self.spilling = saved
        return total


def kind_of(node: fx.Node) -> Kind:
    """What holds a span of ``node``: a mask for truth values."""
    return "mask" if node.meta["val"].dtype == torch.bool else "vec"


def is_mask(argument: object) -> bool:
    return isinstance(argument, fx.Node) and kind_of(argument) == "mask"


def constant_value(node: fx.Node) -> object:
    """What a constant node is, computed here and now."""
    arguments = fx.map_arg(node.args, lambda each: typed(Any, constant_value(each)))
    return typed(Callable[..., object], node.target)(*typed(tuple[Any, ...], arguments), **node.kwargs)


def number(value: object) -> Number | Truth:
    """A constant of a step's code."""
    if isinstance(value, bool):
        return Truth(value)
    if isinstance(value, int | float):
        return Number.of(value)
    raise UnsupportedError(f"its pointwise uses a value that can't be compiled: {value!r}")


def check_trace(trace: Trace) -> None:
    """Raise :class:`UnsupportedError` if the step computes in other types than it was given."""
    nodes = list(trace.joint.graph.nodes)
    given = nodes[0].meta["val"].dtype
    pending = [each for each in nodes[-1].args[0][: trace.num_states] if isinstance(each, fx.Node)]
    seen: set[fx.Node] = set()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if is_constant(node) or node.op == "placeholder":
            continue
        pending += node.all_input_nodes
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.dtype not in (given, torch.bool):
            raise UnsupportedError(f"it uses values of {value.dtype}")
