"""From the graphs of a step to C++: one loop over rows that computes a step, and one that computes its adjoint.

Every tensor is ``(B, *row)``; a row lies flat. What an operation computes is written out where it is used, for a run of
consecutive elements of a row (``offset + j``) or for one element that all lanes share; so slices and reshapes cost
nothing, and a whole ``pointwise`` becomes one loop. Sums over a row come first, each in a loop of its own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.operations import COSTLY, POINTWISE, REDUCTIONS, expression, name_of
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

SLOTS = 64  # runs that loops over a row's sums may leave for later loops
_MOST_PIECES = 16  # elements of a row that are reduced one by one
# Options that `expression` heeds, or that change no value.
_KNOWN = {"add": {"alpha"}, "sub": {"alpha"}, "_to_copy": {"dtype", "layout", "device", "memory_format"}}


class Emitter:
    """Writes the body of one function: lines for a row, made of loops over its elements."""

    def __init__(self, hidden_size: int) -> None:
        self.hidden = self.width = hidden_size
        self.row: list[str] = []  # lines of the row's scope
        self.lines: list[str] = []  # lines of the loop at hand
        self.last: list[str] = []  # lines of the row's scope, after its last loop
        self.memo: dict[str, str] = {}
        self.row_memo: dict[str, str] = {}
        self.reduced: dict[Run, str] = {}
        self.spilled: dict[Run, int] = {}  # what a loop before this one has left in the scratch, with its slot
        self.slots = 0
        self.spilling: dict[Run, int] = {}  # what the loop at hand will leave there
        self.in_reduction = False
        self.crosses = False  # whether a unit looks at others, so that a row may not be cut among threads
        self._names = 0

    def fresh(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def define(self, kind: str, code: str, shared: bool = False) -> str:
        """A variable that holds ``code``, one for equal codes: of the row's scope if all lanes share it."""
        lines, memo = (self.row, self.row_memo) if shared else (self.lines, self.memo)
        if code not in memo:
            memo[code] = self.fresh()
            lines.append(f"const {kind} {memo[code]} = {code};")
        return memo[code]

    def load(self, base: str, offset: int, shared: bool, count: int | None = None) -> str:
        """Read what lies from ``offset`` on; of ``count`` numbers in all, lanes may reach beyond, and are 0 there."""
        if shared:
            return self.define("vec", f"splat({base}[{offset}])", True)
        if count is None or 0 <= offset <= count - self.width:
            return self.define("vec", f"LOAD({base} + {offset} + j)")
        begin, end = max(0, -offset), min(self.width, count - offset)
        return self.define("vec", f"load_lanes({base}, {offset}, j, {begin}, {end})")

    def source(self, run: Run) -> str | None:
        """The code of a run that is read from memory; None where it must be computed."""
        raise NotImplementedError

    def value(self, run: Run) -> str:
        """The variable that holds ``run``."""
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
            return self.operand(node.args[0], run)
        if name in VIEWS:
            return self.value(VIEWS[name](run, self.width))
        if name in REDUCTIONS:
            return self._reduce(run, name)
        if name == "full_like":
            return self.define(kind_of(node), f"{kind_of(node)}_of({literal(node.args[1])})", True)
        if name not in POINTWISE:
            raise UnsupportedError(f"its pointwise uses {name}, which the compiled step does not know")
        if run in self.spilled:
            return self.define("vec", f"LOADA(scratch + {self.spilled[run]} * HP + j)")
        further = set(node.kwargs) - _KNOWN.get(name, set())
        if further:
            raise UnsupportedError(f"its pointwise uses {name} with {', '.join(sorted(further))}")
        operands = [self.operand(argument, run) for argument in node.args]
        code = expression(node, name, operands, [is_mask(argument) for argument in node.args])
        result = self.define(kind_of(node), code, run.shared)
        if self.in_reduction and name in COSTLY and not run.shared and kind_of(node) == "vec":
            self._spill(run, result)
        return result

    def _of_pieces(self, parts: Sequence[Piece], mask: bool) -> str:
        """Lane by lane what each piece gives."""
        result = self.value(parts[0][2])
        for begin, end, piece in parts[1:]:
            here, value = self.define("mask", f"lanes(j, {begin}, {end})"), self.value(piece)
            code = f"(({here} & {value}) | (~{here} & {result}))" if mask else f"choose({here}, {value}, {result})"
            result = self.define("mask" if mask else "vec", code)
        return result

    def _spill(self, run: Run, variable: str) -> None:
        """Leave a costly result where the loops that follow find it, rather than compute it again."""
        if run not in self.spilling and self.slots < SLOTS:
            self.spilling[run], self.slots = self.slots, self.slots + 1
            self.lines.append(f"STOREA(scratch + {self.spilling[run]} * HP + j, {variable});")

    def constant(self, run: Run) -> str:
        """A number that follows from no input, if all lanes share it."""
        values = typed(Tensor, constant_value(run.node))
        if row_shape(run.node) != values.shape and not bool((values == values[0]).all()):
            raise UnsupportedError("its pointwise uses a pattern of constants along the batch")
        values = values.flatten()
        places = torch.arange(run.offset, run.offset + (1 if run.shared else self.width))
        part = values[places.clamp(0, len(values) - 1)]  # lanes beyond it are some other piece's
        if not bool((part == part[0]).all()):
            return self._pattern(part, kind_of(run.node))
        return self.define(kind_of(run.node), f"{kind_of(run.node)}_of({literal(part[0].item())})", True)

    def _pattern(self, values: Tensor, kind: str) -> str:
        """Numbers that differ from unit to unit, written out."""
        table = f"{{{', '.join(literal(each) for each in values.tolist())}}}"
        if table not in self.row_memo:
            self.row_memo[table] = self.fresh()
            self.row.append(f"static const real {self.row_memo[table]}[] = {table};")
        number = self.load(self.row_memo[table], 0, False)
        return self.define("mask", f"({number} != real(0))") if kind == "mask" else number

    def operand(self, argument: object, run: Run) -> str:
        if isinstance(argument, fx.Node):
            return self._of_pieces(spread(argument, run, self.width), is_mask(argument))
        return literal(argument)

    def _reduce(self, run: Run, name: str) -> str:
        """Reduce the last dimension in a loop before this one, or a dimension before it by writing it out."""
        node, source = run.node, run.node.args[0]
        assert isinstance(source, fx.Node)
        if not is_inside(run, self.width):
            begin, end = max(0, -run.offset), min(self.width, count_of(node) - run.offset)
            if end - begin > _MOST_PIECES:
                raise UnsupportedError(f"its pointwise joins parts of what it reduces ({name})")
            single = [(k, k + 1, Run(node, run.offset + k, True)) for k in range(begin, end)]
            return self._of_pieces(single, mask=False) if single else self.define("vec", "vec{}")
        shape = row_shape(source)
        dims = reduced_dims(node, source)
        sizes = [shape[dim] for dim in dims]
        count = math.prod(sizes)
        combine = "{} + {}" if name in ("sum", "mean") else "greater({}, {})" if name == "amax" else "less({}, {})"
        if dims == list(range(len(shape) - len(dims), len(shape))):
            # Elements before the reduced ones keep their order, so each result sums `count` neighbours.
            key = Run(node, run.offset, True)
            if count == 1:
                alone = self.value(Run(source, run.offset, run.shared))
                return f"number_of({alone})" if is_mask(source) else alone
            if not run.shared and count_of(node) > 1:
                if self.width > _MOST_PIECES:
                    raise UnsupportedError(f"its pointwise reduces the last of several dimensions ({name}) into a row")
                each = [(k, k + 1, Run(node, run.offset + k, True)) for k in range(self.width)]
                return self._of_pieces(each, mask=False)
            if key not in self.reduced:
                self.reduced[key] = self._reduction_loop(source, run.offset * count, count, combine)
            total = self.reduced[key]
        elif len(dims) == 1:
            total = self._written_out(run, source, shape, dims[0], combine)
        else:
            raise UnsupportedError(f"its pointwise reduces dimensions {dims} of {shape}, which the compiled step can't")
        return self.define("vec", f"{total} * splat(real({1 / count!r}))", run.shared) if name == "mean" else total

    def _written_out(self, run: Run, source: fx.Node, shape: Shape, dim: int, combine: str) -> str:
        inner = math.prod(shape[dim + 1 :])
        outer, rest = divmod(run.offset, inner)
        if not run.shared and rest + self.width > inner:
            raise UnsupportedError("its pointwise reduces across a row's parts")
        total = ""
        for index in range(shape[dim]):
            part = self.value(Run(source, (outer * shape[dim] + index) * inner + rest, run.shared))
            part = f"number_of({part})" if is_mask(source) else part
            total = part if not total else self.define("vec", combine.format(total, part), run.shared)
        return total

    def _reduction_loop(self, source: fx.Node, offset: int, count: int, combine: str) -> str:
        # A loop that this one waits for runs before it, and finds nothing of what this one will leave.
        saved = self.lines, self.memo, self.width, self.in_reduction, self.spilling
        self.lines, self.memo, self.in_reduction, self.spilling = [], {}, True, {}
        total, start = self.fresh(), "splat({})"
        edge = "0" if combine == "{} + {}" else "-INFINITY" if "greater" in combine else "INFINITY"
        end = offset + count
        for base in range(offset - offset % self.width if count % self.width else offset, end, self.width):
            value = self.value(Run(source, base, False))
            value = f"number_of({value})" if is_mask(source) else value
            if base < offset or base + self.width > end:  # some of the lanes alone
                first, last = max(0, offset - base), min(self.width, end - base)
                value = f"choose(lanes(j, {first}, {last}), {value}, splat(real({edge})))"
            self.lines.append(f"{total}_ = {combine.format(f'{total}_', f'KEEP({value}, real({edge}))')};")
        self.row.append(f"vec {total}_ = {start.format(edge)};")
        self.row.append(loop(self.lines, self.width, whole=True))
        fold = {"{} + {}": "sum_of", "greater({}, {})": "max_of"}.get(combine, "min_of")
        self.row.append(f"const vec {total} = splat({fold}({total}_));")
        self.spilled = {**self.spilling, **self.spilled}
        self.lines, self.memo, self.width, self.in_reduction, self.spilling = saved
        return total


def loop(lines: Sequence[str], width: int, whole: bool = False) -> str:
    """The loop over j, full vectors first and then the rest of the row."""
    body = "\n    ".join(lines)
    start, end = ("0", str(width)) if whole else ("j0", "j1")
    full = body.replace("LOADA(", "load(").replace("STOREA(", "store(").replace("LOAD(", "load(")
    full = full.replace("STORE(", "store(").replace("KEEP(", "keep_all(")
    rest = body.replace("LOADA(", "load(").replace("STOREA(", "store(").replace("LOAD(", "load_some(rest, ")
    rest = rest.replace("STORE(", "store_some(rest, ").replace("KEEP(", "keep_some(rest, ")
    return (
        f"{{ long j = {start};\n  for (; j + VL <= {end}; j += VL) {{\n    {full}\n  }}\n"
        f"  if (j < {end}) {{ const long rest = {end} - j;\n    {rest}\n  }} }}"
    )


def kind_of(node: fx.Node) -> str:
    """The C++ type that holds a run of ``node``: a mask for truth values."""
    return "mask" if node.meta["val"].dtype == torch.bool else "vec"


def is_mask(argument: object) -> bool:
    return isinstance(argument, fx.Node) and kind_of(argument) == "mask"


def constant_value(node: fx.Node) -> object:
    """What a constant node is, computed here and now."""
    arguments = fx.map_arg(node.args, lambda each: typed(Any, constant_value(each)))
    return typed(Callable[..., object], node.target)(*typed(tuple[Any, ...], arguments), **node.kwargs)


def literal(value: object) -> str:
    """A number as C++ writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if math.isinf(value):
            return "real(INFINITY)" if value > 0 else "real(-INFINITY)"
        return "real(NAN)" if math.isnan(value) else f"real({float(value)!r})"
    if value is None:
        return ""
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
