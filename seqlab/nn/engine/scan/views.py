"""Which elements of its operands an element of a row is made of: slices, reshapes and broadcasts as arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast as typed

from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.operations import name_of

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """Elements of a node's flat row: ``offset + j`` for the loop's j, or with ``shared`` the one at ``offset``."""

    node: fx.Node
    offset: int
    shared: bool


# The first of some lanes, the one after the last, and the run that they are taken from, which may reach beyond what
# there is in its other lanes. A later piece covers an earlier one.
Piece = tuple[int, int, Run]
_MOST_PIECES = 16  # of one run


def row_shape(node: fx.Node) -> Shape:
    """The shape of one row of a node; the whole shape where all rows share it."""
    value: Tensor = node.meta["val"]
    return tuple(int(size) for size in value.shape[lead(node) :])


def lead(node: fx.Node) -> int:
    """How many dimensions come before a row: the batch, or none where all rows share the node."""
    return int(node.meta["moving"])


def mark(graph: fx.Graph, moving: set[fx.Node]) -> None:
    """Note at each node whether it has rows: if they differ, or if what all share was made or spread for each."""
    rows = next(iter(graph.nodes)).meta["val"].size(0)  # of gi; no other dimension is as large
    for node in graph.nodes:
        value = node.meta.get("val")
        spread = isinstance(value, Tensor) and value.dim() > 0 and value.size(0) == rows
        node.meta["moving"] = node in moving or spread


def _axis(node: fx.Node, dim: int, what: str) -> int:
    """A dimension among those of a row."""
    axis = dim % int(node.meta["val"].dim()) - lead(node)
    if axis < 0:
        raise UnsupportedError(f"its pointwise {what} rows of the batch")
    return axis


def count_of(node: fx.Node) -> int:
    return math.prod(row_shape(node))


def broadcast(operand: fx.Node, run: Run, width: int) -> Run:
    """Which elements of ``operand`` meet those of ``run`` in an elementwise operation."""
    parts = spread(operand, run, width)
    if len(parts) > 1:
        raise UnsupportedError("its pointwise combines shapes that do not divide into the hidden size")
    return parts[0][2]


def spread(operand: fx.Node, run: Run, width: int) -> list[Piece]:
    """The same, in pieces where a run goes over several rows of its last dimension."""
    out, full = row_shape(run.node), tuple(int(size) for size in operand.meta["val"].shape)
    rank = run.node.meta["val"].dim()
    shape = (1,) * (rank - len(full)) + full  # aligned at the right, as broadcasting has it
    shape = shape[lead(run.node) :]
    if shape == out:
        return [(0, width, Run(operand, run.offset, run.shared))]
    if math.prod(shape) == 1:
        return [(0, width, Run(operand, 0, True))]
    _check_inside(run, width)
    strides = _strides(shape)

    def met(flat: int) -> int:
        index = unravel(flat, out)
        return sum(0 if size == 1 else at * stride for at, size, stride in zip(index, shape, strides, strict=True))

    if run.shared:
        return [(0, width, Run(operand, met(run.offset), True))]
    found: list[Piece] = []
    begin, first = 0, run.offset % out[-1]
    while begin < width:
        end = min(width, begin + out[-1] - (first if begin == 0 else 0))
        offset, shared = met(run.offset + begin), shape[-1] == 1
        found.append((begin, end, Run(operand, offset if shared else offset - begin, shared)))
        begin = end
    if len(found) > _MOST_PIECES:
        raise UnsupportedError(f"its pointwise combines shapes {shape} and {out} in more than {_MOST_PIECES} pieces")
    return found


def is_inside(run: Run, width: int) -> bool:
    """Whether all of a run's elements are there; of one that a piece of a join is taken from, some may not be."""
    return run.shared or 0 <= run.offset <= count_of(run.node) - width


def _check_inside(run: Run, width: int) -> None:
    if not is_inside(run, width):
        raise UnsupportedError("its pointwise joins or replaces parts of several dimensions")


def _strides(shape: Shape) -> list[int]:
    return [math.prod(shape[dim + 1 :]) for dim in range(len(shape))]


def unravel(offset: int, shape: Shape) -> list[int]:
    """The index of a flat offset."""
    return [offset // stride % size for stride, size in zip(_strides(shape), shape, strict=True)]


def operands_of(run: Run, width: int) -> list[Run]:
    """The runs that ``run`` is computed from, reductions left out."""
    name = name_of(run.node)
    if name in JOINS and not run.shared and len(row_shape(run.node)) == 1:
        return [each for _, _, each in pieces(run, width)]
    if name == "expand":
        return [each for _, _, each in spread(run.node.all_input_nodes[0], run, width)]
    if name in VIEWS:
        return [VIEWS[name](run, width)]
    operands = [each for each in run.node.args if isinstance(each, fx.Node)]
    return [piece for each in operands for _, _, piece in spread(each, run, width)]


def reduced_dims(node: fx.Node, source: fx.Node) -> list[int]:
    """The dimensions of a row that a reduction goes over."""
    given = node.args[1] if len(node.args) > 1 else []
    listed = list(given) if isinstance(given, Sequence) else [given]
    if not listed:
        raise UnsupportedError("its pointwise mixes rows (a reduction over everything)")
    return sorted(_axis(source, typed(int, dim), "mixes") for dim in listed)


def _same(run: Run, width: int) -> Run:
    """A view with the same flat order."""
    source = run.node.args[0]
    assert isinstance(source, fx.Node)
    if count_of(source) != count_of(run.node):
        raise UnsupportedError("its pointwise reshapes the batch away")
    return Run(source, run.offset, run.shared)


def _expand(run: Run, width: int) -> Run:
    source = run.node.args[0]
    assert isinstance(source, fx.Node)
    return broadcast(source, run, width)


def _slice(run: Run, width: int) -> Run:
    source, dim, start = (*run.node.args, 0, 0)[:3]
    assert isinstance(source, fx.Node) and isinstance(dim, int)
    if len(run.node.args) > 4 and run.node.args[4] != 1:
        raise UnsupportedError("its pointwise slices with a step")
    if source.meta["val"].shape == run.node.meta["val"].shape:
        return _same(run, width)
    start = start if isinstance(start, int) else 0
    return _taken(run, source, dim, start, width)


def _select(run: Run, width: int) -> Run:
    source, dim, index = run.node.args[:3]
    assert isinstance(source, fx.Node) and isinstance(dim, int) and isinstance(index, int)
    return _taken(run, source, dim, index, width, dropped=True)


def _part(run: Run, width: int) -> Run:
    """One of the parts that a split gives."""
    split, number = run.node.args[:2]
    assert isinstance(split, fx.Node) and isinstance(number, int)
    if name_of(split) != "split_with_sizes":
        raise UnsupportedError(f"its pointwise uses {name_of(split)}, which the compiled step does not know")
    source, sizes = split.args[:2]
    dim = split.args[2] if len(split.args) > 2 else 0
    assert isinstance(source, fx.Node) and isinstance(dim, int) and isinstance(sizes, Sequence)
    return _taken(run, source, dim, sum(sizes[:number]), width)  # type: ignore[arg-type]


def _taken(run: Run, source: fx.Node, dim: int, start: int, width: int, dropped: bool = False) -> Run:
    """The run of ``source`` whose dimension ``dim`` was cut to begin at ``start``, or with ``dropped`` was indexed."""
    whole, dim = row_shape(source), _axis(source, dim, "picks")
    if len(whole) == 1 and not run.shared and not dropped:
        start = max(start + whole[0], 0) if start < 0 else min(start, whole[0])
        return Run(source, run.offset + start, False)
    _check_inside(run, width)
    start = max(start + whole[dim], 0) if start < 0 else min(start, whole[dim])
    cut = row_shape(run.node)
    cut = (*cut[:dim], 1, *cut[dim:]) if dropped else cut
    index = unravel(run.offset, cut)
    inner = math.prod(cut[dim:])
    if not run.shared and run.offset % inner + width > inner:
        raise UnsupportedError("its pointwise slices across a row's parts")
    index[dim] += start
    return Run(source, sum(i * stride for i, stride in zip(index, _strides(whole), strict=True)), run.shared)


def pieces(run: Run, width: int) -> list[Piece]:
    """What a run of joined or replaced parts is made of, where a row has one dimension."""
    node, end = run.node, run.offset + width
    if name_of(node) == "cat":
        found, begin = [], 0
        for part in typed(Sequence[fx.Node], node.args[0]):
            size = row_shape(part)[0]
            found.append((begin, begin + size, Run(part, run.offset - begin, False)))
            begin += size
    else:
        base, part, start, size = _replaced(node)
        one = not row_shape(part)
        found = [(0, row_shape(node)[0], Run(base, run.offset, False))]
        found.append((start, start + size, Run(part, 0 if one else run.offset - start, one)))
    meeting = [(a - run.offset, b - run.offset, each) for a, b, each in found if a < end and b > run.offset]
    covering = [each for each in meeting if each[0] <= 0 and each[1] >= width]
    return covering[-1:] if covering and covering[-1] is meeting[-1] else meeting


def _replaced(node: fx.Node) -> tuple[fx.Node, fx.Node, int, int]:
    """The tensor, what replaces a part of it, where that begins and how much it is, in the dimension at hand."""
    base, part, dim, bound = (*node.args, *(0, 0)[max(0, len(node.args) - 2) :])[:4]
    assert isinstance(base, fx.Node) and isinstance(part, fx.Node) and isinstance(dim, int)
    if len(node.args) > 5 and node.args[5] != 1:
        raise UnsupportedError("its pointwise replaces a slice with a step")
    axis = _axis(node, dim, "replaces")
    start = bound if isinstance(bound, int) else 0
    start += row_shape(node)[axis] if start < 0 else 0
    return base, part, start, 1 if name_of(node) == "select_scatter" else row_shape(part)[axis]


def _joined(run: Run, width: int) -> Run:
    """The piece of a concatenation that holds the run."""
    _check_inside(run, width)
    pieces, dim = run.node.args[0], run.node.args[1] if len(run.node.args) > 1 else 0
    assert isinstance(pieces, Sequence) and isinstance(dim, int)
    shape, dim = row_shape(run.node), _axis(run.node, dim, "joins")
    index = unravel(run.offset, shape)
    inner = math.prod(shape[dim + 1 :])
    within, position = run.offset % inner, index[dim]
    for piece in pieces:
        assert isinstance(piece, fx.Node)
        size = row_shape(piece)[dim]
        if position < size:
            if not run.shared and within + width > (size - position) * inner:
                raise UnsupportedError("its pointwise joins parts that do not divide into the hidden size")
            index[dim] = position
            strides = _strides(row_shape(piece))
            return Run(piece, sum(i * stride for i, stride in zip(index, strides, strict=True)), run.shared)
        position -= size
    raise AssertionError("a run lies inside its concatenation")


def _scattered(run: Run, width: int) -> Run:
    """A tensor with a slice of it replaced: the run lies in one or the other."""
    _check_inside(run, width)
    base, part, start, size = _replaced(run.node)
    whole = row_shape(run.node)
    dim = _axis(run.node, typed(int, (*run.node.args, 0)[2]), "replaces")
    index = unravel(run.offset, whole)
    inner, position = math.prod(whole[dim + 1 :]), index[dim]
    length = 1 if run.shared else width
    flat = position * inner + run.offset % inner  # within the dimensions from `dim` on
    begin, end = start * inner, (start + size) * inner
    if flat + length <= begin or flat >= end:
        return Run(base, run.offset, run.shared)
    if flat < begin or flat + length > end:
        raise UnsupportedError("its pointwise replaces parts that do not divide into the hidden size")
    index[dim] -= start
    shape = (*whole[:dim], size, *whole[dim + 1 :])
    return Run(part, sum(i * stride for i, stride in zip(index, _strides(shape), strict=True)), run.shared)


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
    "cat": _joined,
    "slice_scatter": _scattered,
    "select_scatter": _scattered,
}
