"""Slices, reshapes, joins and broadcasts as index arithmetic: which elements of its operands a view's elements are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast as typed

from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.operations import name_of

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Span:
    """Elements of a node's flat row: ``offset + j`` for the loop's j; or with ``shared``, the one at ``offset``."""

    node: fx.Node
    offset: int
    shared: bool


# (begin, end, span): the lanes from begin up to end are those of the span. Its other lanes may lie outside of its node.
# A later piece overrides an earlier one.
Piece = tuple[int, int, Span]
_MOST_PIECES = 16  # of one span


def row_shape(node: fx.Node) -> Shape:
    """The shape of one row of a node; the whole shape where all rows share it."""
    value: Tensor = node.meta["val"]
    return tuple(int(size) for size in value.shape[lead(node) :])


def lead(node: fx.Node) -> int:
    """The number of dimensions before a row: 1, the batch; or 0 where all rows share the node."""
    return int(node.meta["has_rows"])


def mark(graph: fx.Graph, dependent_nodes: set[fx.Node]) -> None:
    """Note at each node whether it has rows: it depends on them, or was made or expanded for each of them."""
    rows = next(iter(graph.nodes)).meta["val"].size(0)  # of gi; no other dimension has this size
    for node in graph.nodes:
        value = node.meta.get("val")
        has_batch = isinstance(value, Tensor) and value.dim() > 0 and value.size(0) == rows
        node.meta["has_rows"] = node in dependent_nodes or has_batch


def _axis(node: fx.Node, dim: int, verb: str) -> int:
    """A dimension of a node as a dimension of its rows; ``verb`` says in an error what the step does to the batch."""
    axis = dim % int(node.meta["val"].dim()) - lead(node)
    if axis < 0:
        raise UnsupportedError(f"its pointwise {verb} rows of the batch")
    return axis


def count_of(node: fx.Node) -> int:
    """The number of elements of a row."""
    return math.prod(row_shape(node))


def broadcast(operand: fx.Node, span: Span, width: int) -> Span:
    """The elements of ``operand`` that an elementwise operation combines with those of ``span``."""
    parts = spread(operand, span, width)
    if len(parts) > 1:
        shapes = f"{row_shape(operand)} and {row_shape(span.node)}"
        raise UnsupportedError(f"its pointwise combines rows of shapes {shapes}: {width} units cross a boundary")
    return parts[0][2]


def spread(operand: fx.Node, span: Span, width: int) -> list[Piece]:
    """The same as :func:`broadcast`, in pieces: one for each index of the dimensions before the last."""
    out, full = row_shape(span.node), tuple(int(size) for size in operand.meta["val"].shape)
    rank = span.node.meta["val"].dim()
    shape = (1,) * (rank - len(full)) + full  # broadcasting aligns shapes at the right
    shape = shape[lead(span.node) :]
    if shape == out:
        return [(0, width, Span(operand, span.offset, span.shared))]
    if math.prod(shape) == 1:
        return [(0, width, Span(operand, 0, True))]
    _check_inside(span, width)
    strides = _strides(shape)

    def operand_offset(offset: int) -> int:
        index = unravel(offset, out)
        return sum(0 if size == 1 else at * stride for at, size, stride in zip(index, shape, strides, strict=True))

    if span.shared:
        return [(0, width, Span(operand, operand_offset(span.offset), True))]
    parts: list[Piece] = []
    begin, first = 0, span.offset % out[-1]
    while begin < width:
        end = min(width, begin + out[-1] - (first if begin == 0 else 0))
        offset, shared = operand_offset(span.offset + begin), shape[-1] == 1
        parts.append((begin, end, Span(operand, offset if shared else offset - begin, shared)))
        begin = end
    if len(parts) > _MOST_PIECES:
        raise UnsupportedError(f"its pointwise combines shapes {shape} and {out} in more than {_MOST_PIECES} pieces")
    return parts


def is_inside(span: Span, width: int) -> bool:
    """Whether all elements of a span lie inside its node; those of a piece may not."""
    return span.shared or 0 <= span.offset <= count_of(span.node) - width


def _check_inside(span: Span, width: int) -> None:
    if not is_inside(span, width):
        shape = row_shape(span.node)
        raise UnsupportedError(
            f"its pointwise joins or replaces parts of rows of shape {shape}, expected one dimension"
        )


def _strides(shape: Shape) -> list[int]:
    return [math.prod(shape[dim + 1 :]) for dim in range(len(shape))]


def unravel(offset: int, shape: Shape) -> list[int]:
    """The index of the element at a flat offset."""
    return [offset // stride % size for stride, size in zip(_strides(shape), shape, strict=True)]


def operands_of(span: Span, width: int) -> list[Span]:
    """The spans that ``span`` is computed from; not for reductions."""
    name = name_of(span.node)
    if name in JOINS and not span.shared and len(row_shape(span.node)) == 1:
        return [each for _, _, each in pieces(span, width)]
    if name == "expand":
        return [each for _, _, each in spread(span.node.all_input_nodes[0], span, width)]
    if name in VIEWS:
        return [VIEWS[name](span, width)]
    operands = [each for each in span.node.args if isinstance(each, fx.Node)]
    return [piece for each in operands for _, _, piece in spread(each, span, width)]


def reduced_dims(node: fx.Node, source: fx.Node) -> list[int]:
    """The dimensions of a row that a reduction reduces."""
    argument = node.args[1] if len(node.args) > 1 else []
    dims = list(argument) if isinstance(argument, Sequence) else [argument]
    if not dims:
        raise UnsupportedError("its pointwise mixes rows (a reduction over everything)")
    return sorted(_axis(source, typed(int, dim), "mixes") for dim in dims)


def _same(span: Span, width: int) -> Span:
    """A view that keeps the flat order."""
    source = span.node.args[0]
    assert isinstance(source, fx.Node)
    if count_of(source) != count_of(span.node):
        raise UnsupportedError(
            f"its pointwise reshapes the batch: rows of {count_of(source)} numbers to rows of {count_of(span.node)}"
        )
    return Span(source, span.offset, span.shared)


def _expand(span: Span, width: int) -> Span:
    source = span.node.args[0]
    assert isinstance(source, fx.Node)
    return broadcast(source, span, width)


def _slice(span: Span, width: int) -> Span:
    source, dim, start = (*span.node.args, 0, 0)[:3]
    assert isinstance(source, fx.Node) and isinstance(dim, int)
    if len(span.node.args) > 4 and span.node.args[4] != 1:
        raise UnsupportedError(f"its pointwise slices with a step of {span.node.args[4]}, expected 1")
    if source.meta["val"].shape == span.node.meta["val"].shape:
        return _same(span, width)
    start = start if isinstance(start, int) else 0
    return _narrow(span, source, dim, start, width)


def _select(span: Span, width: int) -> Span:
    source, dim, index = span.node.args[:3]
    assert isinstance(source, fx.Node) and isinstance(dim, int) and isinstance(index, int)
    return _narrow(span, source, dim, index, width, dropped=True)


def _part(span: Span, width: int) -> Span:
    """One of the parts that a split gives."""
    split, number = span.node.args[:2]
    assert isinstance(split, fx.Node) and isinstance(number, int)
    if name_of(split) != "split_with_sizes":
        raise UnsupportedError(f"its pointwise uses {name_of(split)}, which the compiled step does not support")
    source, sizes = split.args[:2]
    dim = split.args[2] if len(split.args) > 2 else 0
    assert isinstance(source, fx.Node) and isinstance(dim, int) and isinstance(sizes, Sequence)
    return _narrow(span, source, dim, sum(sizes[:number]), width)  # type: ignore[arg-type]


def _narrow(span: Span, source: fx.Node, dim: int, start: int, width: int, dropped: bool = False) -> Span:
    """A slice of ``source`` from ``start`` on along ``dim``; or with ``dropped`` the index ``start`` of ``dim``."""
    whole, dim = row_shape(source), _axis(source, dim, "picks")
    if len(whole) == 1 and not span.shared and not dropped:
        start = max(start + whole[0], 0) if start < 0 else min(start, whole[0])
        return Span(source, span.offset + start, False)
    _check_inside(span, width)
    start = max(start + whole[dim], 0) if start < 0 else min(start, whole[dim])
    cut = row_shape(span.node)
    cut = (*cut[:dim], 1, *cut[dim:]) if dropped else cut
    index = unravel(span.offset, cut)
    inner = math.prod(cut[dim:])
    if not span.shared and span.offset % inner + width > inner:
        raise UnsupportedError(
            f"its pointwise slices rows of shape {whole} to {row_shape(span.node)}: "
            f"{width} units cross a boundary at {inner}"
        )
    index[dim] += start
    return Span(source, sum(i * stride for i, stride in zip(index, _strides(whole), strict=True)), span.shared)


def pieces(span: Span, width: int) -> list[Piece]:
    """The pieces of a span of joined or replaced parts, where a row has one dimension."""
    node, end = span.node, span.offset + width
    if name_of(node) == "cat":
        parts, begin = [], 0  # (begin, end) within the row
        for part in typed(Sequence[fx.Node], node.args[0]):
            size = row_shape(part)[0]
            parts.append((begin, begin + size, Span(part, span.offset - begin, False)))
            begin += size
    else:
        base, part, start, size = _replacement(node)
        one = not row_shape(part)
        parts = [(0, row_shape(node)[0], Span(base, span.offset, False))]
        parts.append((start, start + size, Span(part, 0 if one else span.offset - start, one)))
    overlapping = [(a - span.offset, b - span.offset, each) for a, b, each in parts if a < end and b > span.offset]
    covering = [piece for piece in overlapping if piece[0] <= 0 and piece[1] >= width]
    return covering[-1:] if covering and covering[-1] is overlapping[-1] else overlapping


def _replacement(node: fx.Node) -> tuple[fx.Node, fx.Node, int, int]:
    """Of a scatter: the tensor, the part that replaces some of it, and the replaced start and size along its dim."""
    base, part, dim, bound = (*node.args, *(0, 0)[max(0, len(node.args) - 2) :])[:4]
    assert isinstance(base, fx.Node) and isinstance(part, fx.Node) and isinstance(dim, int)
    if len(node.args) > 5 and node.args[5] != 1:
        raise UnsupportedError(f"its pointwise replaces a slice with a step of {node.args[5]}, expected 1")
    axis = _axis(node, dim, "replaces")
    start = bound if isinstance(bound, int) else 0
    start += row_shape(node)[axis] if start < 0 else 0
    return base, part, start, 1 if name_of(node) == "select_scatter" else row_shape(part)[axis]


def _join(span: Span, width: int) -> Span:
    """The part of a concatenation that holds the span."""
    _check_inside(span, width)
    parts, dim = span.node.args[0], span.node.args[1] if len(span.node.args) > 1 else 0
    assert isinstance(parts, Sequence) and isinstance(dim, int)
    shape, dim = row_shape(span.node), _axis(span.node, dim, "joins")
    index = unravel(span.offset, shape)
    inner = math.prod(shape[dim + 1 :])
    within, position = span.offset % inner, index[dim]
    for part in parts:
        assert isinstance(part, fx.Node)
        size = row_shape(part)[dim]
        if position < size:
            if not span.shared and within + width > (size - position) * inner:
                raise UnsupportedError(
                    f"its pointwise joins parts to rows of shape {shape}: {width} units cross the end of a part"
                )
            index[dim] = position
            strides = _strides(row_shape(part))
            return Span(part, sum(i * stride for i, stride in zip(index, strides, strict=True)), span.shared)
        position -= size
    raise AssertionError("a span lies inside its concatenation")


def _scatter(span: Span, width: int) -> Span:
    """Of a tensor with a slice replaced, the one of the two that holds the span."""
    _check_inside(span, width)
    base, part, start, size = _replacement(span.node)
    whole = row_shape(span.node)
    dim = _axis(span.node, typed(int, (*span.node.args, 0)[2]), "replaces")
    index = unravel(span.offset, whole)
    inner, position = math.prod(whole[dim + 1 :]), index[dim]
    length = 1 if span.shared else width
    flat = position * inner + span.offset % inner  # within the dimensions from `dim` on
    begin, end = start * inner, (start + size) * inner
    if flat + length <= begin or flat >= end:
        return Span(base, span.offset, span.shared)
    if flat < begin or flat + length > end:
        raise UnsupportedError(
            f"its pointwise replaces [{start}:{start + size}] in rows of shape {whole}: {width} units cross its end"
        )
    index[dim] -= start
    shape = (*whole[:dim], size, *whole[dim + 1 :])
    return Span(part, sum(i * stride for i, stride in zip(index, _strides(shape), strict=True)), span.shared)


JOINS = ("cat", "slice_scatter", "select_scatter")
VIEWS = {
    "alias": _same,
    "clone": _same,
    "view": _same,
    "_unsafe_view": _same,
    "reshape": _same,
    "squeeze": _same,
    "unsqueeze": _same,
    "expand": _expand,
    "slice": _slice,
    "select": _select,
    "getitem": _part,
    "cat": _join,
    "slice_scatter": _scatter,
    "select_scatter": _scatter,
}
